"""Rebuild merginguriel/locales.tsv from CLDR (through babel) and ISO 639 (through pycountry).

    pip install babel pycountry && python scripts/make_locales.py

One row per language and territory in which it is official or spoken by at least 1% of the people,
plus the locales that MASSIVE and Home Assistant use.
"""

from pathlib import Path

import pycountry
from babel import Locale, UnknownLocaleError
from babel.core import get_global

# ISO 639-3 code of the individual language that data sets mean by a macrolanguage's code.
INDIVIDUAL = {
    "ar": "arb", "az": "azj", "et": "ekk", "fa": "pes", "lv": "lvs", "mn": "khk", "ms": "zsm", "ne": "npi",
    "ps": "pbt", "sq": "als", "sw": "swh", "uz": "uzn", "yi": "ydd", "zh": "cmn", "or": "ory", "om": "gaz",
    "qu": "quy", "mg": "plt", "ku": "kmr", "no": "nob", "tl": "tgl", "fil": "fil", "sr": "srp", "jv": "jav",
}  # fmt: skip
MASSIVE = [
    "af-ZA",
    "am-ET",
    "ar-SA",
    "az-AZ",
    "bn-BD",
    "ca-ES",
    "cy-GB",
    "da-DK",
    "de-DE",
    "el-GR",
    "en-US",
    "es-ES",
    "fa-IR",
    "fi-FI",
    "fr-FR",
    "he-IL",
    "hi-IN",
    "hu-HU",
    "hy-AM",
    "id-ID",
    "is-IS",
    "it-IT",
    "ja-JP",
    "jv-ID",
    "ka-GE",
    "km-KH",
    "kn-IN",
    "ko-KR",
    "lv-LV",
    "ml-IN",
    "mn-MN",
    "ms-MY",
    "my-MM",
    "nb-NO",
    "nl-NL",
    "pl-PL",
    "pt-PT",
    "ro-RO",
    "ru-RU",
    "sl-SL",
    "sq-AL",
    "sv-SE",
    "sw-KE",
    "ta-IN",
    "te-IN",
    "th-TH",
    "tl-PH",
    "tr-TR",
    "ur-PK",
    "vi-VN",
    "zh-CN",
    "zh-TW",
]
OTHERS = [
    "de-CH",
    "zh-HK",
    "sr-Latn-RS",
    "sr-RS",
    "kw-GB",
    "pt-BR",
    "gu-IN",
    "sl-SI",
    "lb-LU",
    "pa-IN",
    "eu-ES",
    "gl-ES",
    "ga-IE",
]


def alpha3(language: str) -> str | None:
    if language in INDIVIDUAL:
        return INDIVIDUAL[language]
    found = pycountry.languages.get(alpha_2=language) or pycountry.languages.get(alpha_3=language)
    return found.alpha_3 if found else None


def row(tag: str) -> tuple[str, str, str, str] | None:
    parts = tag.split("-")
    language, territory = parts[0], parts[-1]
    code = "yue" if tag == "zh-HK" else alpha3(language)
    if code is None:
        return None
    likely = get_global("likely_subtags")
    full = likely.get(f"{language}_{territory}") or likely.get(language) or f"{language}_Zyyy_{territory}"
    script = parts[1] if len(parts) == 3 else full.split("_")[1]
    try:
        name = Locale.parse({"tl": "fil"}.get(language, language)).get_display_name("en")
    except UnknownLocaleError:
        found = pycountry.languages.get(alpha_3=code)
        name = found.name if found else language
    return tag, code, script, str(name)


def main() -> None:
    tags = {*MASSIVE, *OTHERS}
    for territory, languages in get_global("territory_languages").items():
        for language, facts in languages.items():
            plain = "_" not in language and territory.isalpha() and len(territory) == 2
            if plain and (facts["official_status"] or facts["population_percent"] >= 1):
                tags.add(f"{language}-{territory}")
    rows = sorted(filter(None, map(row, tags)))
    header = "# locale, ISO 639-3, script, name; from Unicode CLDR and ISO 639, by scripts/make_locales.py\n"
    out = Path(__file__).resolve().parent.parent / "merginguriel" / "locales.tsv"
    out.write_text(header + "".join("\t".join(r) + "\n" for r in rows), encoding="utf-8")
    print(f"{len(rows)} locales written to {out.name}")


if __name__ == "__main__":
    main()

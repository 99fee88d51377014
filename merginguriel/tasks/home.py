"""Task `home`: Home Assistant intents, from sentence templates by native speakers of 65 languages.

The package home-assistant-intents has templates of each intent per language. Templates, not sentences, are split
into train, dev and test, and a sentence whose skeleton (its words with the slots emptied) already occurs in another
split is dropped: no two splits share a template or a skeleton. They still share words, and templates that differ in
one word may be in two splits.
"""

from __future__ import annotations

import heapq
import importlib
import importlib.metadata
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from merginguriel.errors import UnavailableError, UsageError, missing_extra

from .registry import TaskData, digest, make_items, task

PACKAGE = "home-assistant-intents"
# Language codes of the package → locale. A code without a territory gets the one where most speakers live, as
# in MASSIVE where both have the language.
LOCALES = {
    "af": "af-ZA", "ar": "ar-SA", "bg": "bg-BG", "bn": "bn-BD", "ca": "ca-ES", "cs": "cs-CZ",
    "cy": "cy-GB", "da": "da-DK", "de": "de-DE", "de-CH": "de-CH", "el": "el-GR", "en": "en-US",
    "es": "es-ES", "et": "et-EE", "eu": "eu-ES", "fa": "fa-IR", "fi": "fi-FI", "fr": "fr-FR",
    "ga": "ga-IE", "gl": "gl-ES", "gu": "gu-IN", "he": "he-IL", "hi": "hi-IN", "hr": "hr-HR",
    "hu": "hu-HU", "hy": "hy-AM", "id": "id-ID", "is": "is-IS", "it": "it-IT", "ja": "ja-JP",
    "ka": "ka-GE", "kn": "kn-IN", "ko": "ko-KR", "kw": "kw-GB", "lb": "lb-LU", "lt": "lt-LT",
    "lv": "lv-LV", "ml": "ml-IN", "mn": "mn-MN", "ms": "ms-MY", "nb": "nb-NO", "ne": "ne-NP",
    "nl": "nl-NL", "pa": "pa-IN", "pl": "pl-PL", "pt": "pt-PT", "pt-BR": "pt-BR", "ro": "ro-RO",
    "ru": "ru-RU", "sk": "sk-SK", "sl": "sl-SI", "sr": "sr-RS", "sr-Latn": "sr-Latn-RS", "sv": "sv-SE",
    "sw": "sw-KE", "ta": "ta-IN", "te": "te-IN", "th": "th-TH", "tr": "tr-TR", "uk": "uk-UA",
    "ur": "ur-PK", "vi": "vi-VN", "zh-CN": "zh-CN", "zh-HK": "zh-HK", "zh-TW": "zh-TW",
}  # fmt: skip
LARGEST_SHARE = {"train": 0.15, "dev": 0.2, "test": 0.2}  # of a split that one intent may take
MIN_TEST = 50  # fewer test sentences than this say nothing
# Too few intents or templates for a test set, by default options: `home` refuses them. Written down, for who asks
# whether a locale can be scored should not wait for the sentences to be drawn.
TOO_LITTLE = frozenset({
    "et-EE", "gu-IN", "id-ID", "ja-JP", "ka-GE", "kn-IN", "kw-GB",
    "mn-MN", "ms-MY", "pa-IN", "sw-KE", "ta-IN", "te-IN", "tr-TR",
})  # fmt: skip
TRIES = 6  # draws of a template before it counts as exhausted


@dataclass(frozen=True)
class Coverage:
    """Contents of the package for one locale; `sentences` (train, dev, test) are counted on request."""

    locale: str
    intents: int
    templates: int
    sentences: tuple[int, int, int] | None = None


def offered(folder: Path | None = None) -> list[str]:
    """Return the locales of the package, sorted. Some have too little text to train on; `load` reports them."""
    del folder
    here = set(_package().get_languages())
    return sorted(locale for language, locale in LOCALES.items() if language in here)


def coverage(*, sentences: bool = False) -> list[Coverage]:
    """Return intents and templates per locale, most intents first.

    sentences  also draw the default splits of every locale and count them (ten seconds); none where there
               is too little text
    """
    rows = []
    for locale in offered():
        templates = templates_of(locale)
        counts = _sizes(locale) if sentences else None
        rows.append(Coverage(locale, len(templates), sum(map(len, templates.values())), counts))
    return sorted(rows, key=lambda row: (-row.intents, -row.templates, row.locale))


@task(
    "home",
    doc="Home Assistant intents, 65 languages, from the package home-assistant-intents",
    locales=offered,
    too_little=TOO_LITTLE,
)
def home(
    locale: str,
    *,
    folder: Path | None = None,
    seed: int = 0,
    train: int = 600,
    dev: int = 150,
    test: int = 500,
    min_intents: int = 5,
) -> TaskData:
    """Load at most `train`, `dev` and `test` sentences, fewer where the language has fewer templates.

    min_intents  reject a locale with fewer intents than this (sw-KE has 3)
    """
    del folder
    if test < MIN_TEST:
        raise UsageError(f"option test of task home is {test}; the minimum is {MIN_TEST}.")
    templates = templates_of(locale)
    if len(templates) < min_intents:
        raise too_little(
            locale, f"{len(templates)} intents ({', '.join(templates)}); at least {min_intents} are needed"
        )
    dealt = deal(templates, locale, seed)
    language = _intents(locale)
    taken: dict[str, tuple[str, str]] = {}  # skeleton → its split and label
    rows = {}
    # Test first: where templates of two splits overlap, what both can say belongs to the test set.
    for split, size, per_template in (("test", test, 4), ("dev", dev, 4), ("train", train, 10)):
        drawn = {
            intent: _sentences(found, split, intent, per_template, language, f"{locale}/{seed}", taken)
            for intent, found in dealt[split].items()
        }
        weight = {intent: math.sqrt(len(found)) for intent, found in dealt[split].items()}
        rows[split] = balanced(drawn, weight, size, LARGEST_SHARE[split])
    if len(rows["test"]) < MIN_TEST:
        raise too_little(
            locale, f"templates for {len(rows['test'])} test sentences; at least {MIN_TEST} are needed"
        )
    items = {split: make_items("home", locale, split, found) for split, found in rows.items()}
    version = importlib.metadata.version(PACKAGE)
    return TaskData(
        "home", locale, all_intents(), items["train"], items["dev"], items["test"], f"{PACKAGE} {version}"
    )


def _sizes(locale: str) -> tuple[int, int, int]:
    try:
        data = home(locale)
    except UnavailableError:
        return 0, 0, 0
    return len(data.train), len(data.dev), len(data.test)


def too_little(locale: str, has: str) -> UnavailableError:
    """Return the error for a locale with too little text."""
    rich = [row.locale for row in coverage() if row.intents >= 15]
    return UnavailableError(
        f"Home Assistant has too little text in {locale}: {has}.",
        hint=f"Locales with 15 intents or more: {', '.join(sorted(rich))}.",
    )


def deal(templates: Mapping[str, tuple[str, ...]], locale: str, seed: int) -> dict[str, dict[str, list[str]]]:
    """Return split → intent → templates, about 60/15/25 within each intent; a lone template goes to train."""
    from ._templates import shuffled  # needs hassil, which listing the tasks does not

    dealt: dict[str, dict[str, list[str]]] = {split: {} for split in ("train", "dev", "test")}
    for intent, found in templates.items():
        order = shuffled(random.Random(f"deal/{locale}/{seed}/{intent}"), found)
        n = len(order)
        n_test = max(1, round(0.25 * n)) if n > 1 else 0
        n_dev = max(1, round(0.15 * n)) if n > 3 else 0
        parts = {
            "test": order[:n_test],
            "dev": order[n_test : n_test + n_dev],
            "train": order[n_test + n_dev :],
        }
        for split, part in parts.items():
            if part:
                dealt[split][intent] = part
    return dealt


def balanced(
    drawn: Mapping[str, Iterator[tuple[str, str, str]]],
    weight: Mapping[str, float],
    size: int,
    largest: float,
) -> list[tuple[str, str, str]]:
    """Select at most `size` rows, shared among intents by weight, none with more than `largest` of the result.

    Each row goes to the intent that is farthest behind its share (D'Hondt), until all are full or exhausted.
    """
    share = max(largest, 1.5 / max(1, len(drawn)))  # with few intents, so little each would not add up
    rows: dict[str, list[tuple[str, str, str]]] = {intent: [] for intent in drawn}
    queue = [(1 / weight[intent], intent) for intent in drawn]
    heapq.heapify(queue)
    total = 0
    while queue and total < size:
        _, intent = heapq.heappop(queue)
        row = next(drawn[intent], None)
        if row is None or len(rows[intent]) >= share * size:
            continue
        rows[intent].append(row)
        total += 1
        heapq.heappush(queue, ((len(rows[intent]) + 1) / weight[intent], intent))
    counts = [len(found) for found in rows.values()]
    most = next(
        (
            cap
            for cap in range(max(counts, default=0), 0, -1)
            if cap <= share * sum(min(n, cap) for n in counts)
        ),
        size,
    )
    return [row for found in rows.values() for row in found[:most]]


def _sentences(
    templates: list[str],
    split: str,
    intent: str,
    per_template: int,
    language: Mapping[str, dict],
    key: str,
    taken: dict[str, tuple[str, str]],
) -> Iterator[tuple[str, str, str]]:
    """Yield (text, intent, template), cycling over the templates, without repeats."""
    from ._templates import draw

    rng = random.Random(f"draw/{key}/{split}/{intent}")
    seen: set[str] = set()
    live = list(templates)
    for _ in range(per_template):
        for template in list(live):
            for _ in range(TRIES):
                drawn = draw(template, language["expansion_rules"], language["lists"], rng)
                if (
                    drawn.text
                    and drawn.text not in seen
                    and taken.get(drawn.skeleton, (split, intent)) == (split, intent)
                ):
                    seen.add(drawn.text)
                    taken[drawn.skeleton] = (split, intent)
                    yield drawn.text, intent, digest(template)
                    break
            else:
                live.remove(template)


def templates_of(locale: str) -> dict[str, tuple[str, ...]]:
    """Return intent → its templates, sorted, without those that two intents share, which are ambiguous."""
    found: dict[str, set[str]] = {}
    owners: dict[str, set[str]] = defaultdict(set)
    for intent, body in _intents(locale)["intents"].items():
        for block in body.get("data", ()):
            for template in block["sentences"]:
                found.setdefault(intent, set()).add(template)
                owners[template].add(intent)
    kept = {
        intent: tuple(sorted(t for t in found[intent] if len(owners[t]) == 1)) for intent in sorted(found)
    }
    return {intent: templates for intent, templates in kept.items() if templates}


@cache
def all_intents() -> tuple[str, ...]:
    """Return every intent of any language, sorted: one label set, so that heads of all locales can be merged."""
    return tuple(sorted({intent for locale in offered() for intent in templates_of(locale)}))


@cache
def _intents(locale: str) -> dict[str, dict]:
    language = next(code for code, tag in LOCALES.items() if tag == locale)
    return _package().get_intents(language)


def _package() -> ModuleType:
    try:
        return importlib.import_module("home_assistant_intents")
    except ImportError as error:
        raise missing_extra(PACKAGE) from error

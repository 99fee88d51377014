"""Does an entry's text name the unit of every difference? `lost by 5%` can be read in two ways."""

from __future__ import annotations

import re

# A signed percent, or one beside a word of comparison. `90% of the items` is a share and no difference.
_PERCENT = r"(?:about\s+|some\s+|nearly\s+|almost\s+|roughly\s+|only\s+|over\s+)?[0-9][0-9.,]*\s?%(?!\s+of\b)"
_VERBS = r"by|gain(?:s|ed)?|los[et]s?|improve(?:s|d|ment)?|drop(?:s|ped)?|rose|rises|fell|falls|costs?|worth|down|up"
_DIFFERENCE = re.compile(
    rf"(?<![\w.)%])[+−-][0-9][0-9.,]*\s?%(?!\s+of\b)"
    rf"|\b(?:{_VERBS})\s+(?:of\s+|by\s+)?{_PERCENT}"
    rf"|(?<![\w.])[0-9][0-9.,]*\s?%\s+(?:better|worse|higher|lower|gain|loss|improvement)\b",
    re.IGNORECASE,
)
# What somebody else wrote, and code: not this entry's own words.
_CITED = re.compile(
    r"^(?P<fence>```|~~~).*?^(?P=fence)|`[^`\n]*`|\"(?:[^\"\n]|\n(?!\s*\n)){0,300}\"|“[^”]{0,300}”",
    re.MULTILINE | re.DOTALL,
)
_FRONT_QUOTES = re.compile(r"^(\w+:\s*)\"(.*)\"\s*$", re.MULTILINE)
_UNIT_SAID = re.compile(r"\brel(?:ative(?:ly)?|_pct)\b|\bof\s+the\s+baseline\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.;:!?]\s|\n\s*\n|\n\s*[-*+|]|\|")

MEND = "Write percentage points, `5 pp`, or say in the same sentence that it is relative."


def bare_differences(text: str) -> list[tuple[int, str]]:
    """(line, words) of every difference in percent whose sentence does not say what it is percent of."""
    front, mark, body = text.partition("\n---")
    front = _FRONT_QUOTES.sub(lambda m: f"{m[1]} {m[2]} ", front)  # the quotes of YAML cite nobody
    plain = _CITED.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), front + mark + body)
    found = []
    for match in _DIFFERENCE.finditer(plain):
        before = max((m.end() for m in _SENTENCE_END.finditer(plain, 0, match.start())), default=0)
        after = _SENTENCE_END.search(plain, match.end())
        if not _UNIT_SAID.search(plain, before, after.start() if after else len(plain)):
            found.append((plain.count("\n", 0, match.start()) + 1, " ".join(match[0].split())))
    return found

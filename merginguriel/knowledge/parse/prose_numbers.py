"""Numbers with units in prose, and the passages of Markdown that they are in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from . import markdown

BRACKETS = re.compile(r"\[([^\[\]\n]{3,120})\](?!\()")
ENTRY_ID = re.compile(r"\b\d{4}-\d{2}-\d{2}-[a-z0-9]+(?:-[a-z0-9]+)*-[0-9a-f]{8}\b(?:#r\d+\b)?")
NUMBER = re.compile(
    r"(?<![\w.,/×-])(?P<sign>[+−-]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)\s?"
    r"(?P<unit>pp\b|percentage points?\b|rel_pct\b|%|percent\b|pt\b|points?\b|items?\b|runs?\b|rows?\b)"
)
FRACTION = re.compile(
    r"\baccurac(?:y|ies)\b[^.;|\d\n]{0,40}(?<![\w.,/×+−-])(?P<digits>[01]\.\d{2,6})(?!\d|\.\d|\s?(?:pp|%))"
)
UNITS = {
    "percent": "%",
    "percentage point": "pp",
    "percentage points": "pp",
    "point": "pt",
    "points": "pt",
    "items": "item",
    "runs": "run",
    "rows": "row",
}
_UP = r"gain(?:s|ed|ing)?|add(?:s|ed)|rises?|rose|improve[sd]?|wins?|won"
_DOWN = r"los(?:es?|t|ing|s)|costs?|falls?|fell|drop(?:s|ped)?|declines?d?"
BEFORE = re.compile(
    rf"\b(?:(?P<up>{_UP})|(?P<down>{_DOWN}))\b(?:\s+(?:of|by|about|only|another|to))*\s*$", re.IGNORECASE
)
AFTER = re.compile(r"\s+(?:(?P<up>above|better|higher)|(?P<down>below|worse|lower|behind))\b", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:not|no|never|nor|cannot|without)\b|n't\b", re.IGNORECASE)
_HEADED = re.compile(r"(?:,\s*|\(\s*|\s|\bin\s+)(?P<unit>%|pp|rel_pct|percentage points?|percent)\)?\s*$")
_BARE = re.compile(r"\s*[+−-]?\d+(?:\.\d+)?\s*")
_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z0-9+−\[`*])")
# A signed percent, or one beside a word of comparison. `90% of the items` is a share and no difference.
_PERCENT = r"(?:about\s+|some\s+|nearly\s+|almost\s+|roughly\s+|only\s+|over\s+)?[0-9][0-9.,]*\s?%(?!\s+of\b)"
_VERBS = r"by|gain(?:s|ed)?|los[et]s?|improve(?:s|d|ment)?|drop(?:s|ped)?|rose|rises|fell|falls|costs?|worth|down|up"
_DIFFERENCE = re.compile(
    rf"(?<![\w.)%])[+−-][0-9][0-9.,]*\s?%(?!\s+of\b)"
    rf"|\b(?:{_VERBS})\s+(?:of\s+|by\s+)?{_PERCENT}"
    rf"|(?<![\w.])[0-9][0-9.,]*\s?%\s+(?:better|worse|higher|lower|gain|loss|improvement)\b",
    re.IGNORECASE,
)
# Quotations and code, which are not the author's own words.
_CITED = re.compile(
    r"^(?P<fence>```|~~~).*?^(?P=fence)|`[^`\n]*`|\"(?:[^\"\n]|\n(?!\s*\n)){0,300}\"|“[^”]{0,300}”",
    re.MULTILINE | re.DOTALL,
)
_FRONT_QUOTES = re.compile(r"^(\w+:\s*)\"(.*)\"\s*$", re.MULTILINE)
_EXPLICIT_UNIT = re.compile(r"\brel(?:ative(?:ly)?|_pct)\b|\bof\s+the\s+baseline\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.;:!?]\s|\n\s*\n|\n\s*[-*+|]|\|")

NAME_THE_UNIT = "Write percentage points, `5 pp`, or say in the same sentence that it is relative."


@dataclass(frozen=True)
class Passage:
    """A table row, list item or sentence with its line. `head`: the table's column names."""

    line: int
    text: str
    table: bool = False
    head: str = ""

    @cached_property
    def refs(self) -> tuple[str, ...]:
        """Return the ids in brackets."""
        return tuple(part.strip() for item in BRACKETS.findall(self.text) for part in item.split(","))


@dataclass(frozen=True)
class Number:
    """A number in a text: `+1.62 pp` is 1.62 with two decimals, signed, of the unit `pp`."""

    shown: str
    value: float
    decimals: int
    signed: bool
    unit: str

    def is_near(self, real: float, *, units: float = 0.5) -> bool:
        """Return whether `real`, rounded as this number is, equals it, within `units` of the last digit."""
        slack = units * 1.0000001 * 10**-self.decimals + 1e-9
        if self.unit in ("pp", "rel_pct"):
            # Differences are often taken of accuracies that were themselves rounded to two decimals of a percent.
            slack += 0.005
        return abs(self.value - real) <= slack or (not self.signed and abs(self.value - abs(real)) <= slack)


def numbers(text: str) -> Iterator[Number]:
    """Yield every number with a unit that rows can have; a share such as `90% of the items` is none.

    `loses 1.01 pp` is as good as a sign, and so is `2.79 pp below`. An accuracy may be a fraction: `accuracy of 0.4832`.
    """
    for match in FRACTION.finditer(text):
        digits = match["digits"]
        places = len(digits.partition(".")[2]) - 2
        yield Number(digits, round(100 * float(digits), places), places, False, "%")
    for match in NUMBER.finditer(text):
        unit = UNITS.get(match["unit"], match["unit"])
        if unit == "%" and re.match(r"\s+of\s+(?!the baseline)", text[match.end() :]):
            continue
        digits = match["digits"].replace(",", "")
        sign = match["sign"] or (_direction(text, match) if unit in ("pp", "rel_pct") else "")
        value = float(digits) * (-1 if sign in ("−", "-") else 1)
        yield Number(match[0].strip(), value, len(digits.partition(".")[2]), bool(sign), unit)


def _direction(text: str, match: re.Match[str]) -> str:
    """Return the sign that the words beside an unsigned difference give it; "" where they give none."""
    result = BEFORE.search(text, 0, match.start()) or AFTER.match(text, match.end())
    if result is None or _DENIED.search(text, max(0, match.start() - 40), match.end()):
        return ""
    return "+" if result["up"] else "-"


def with_units(row: str, head: str) -> str:
    """Return a table row with the unit of the column name (`accuracy, %`, `gain (pp)`) added to bare numbers."""
    cells, names = row.split("|"), head.split("|")
    for i, (cell, name) in enumerate(zip(cells, names, strict=False)):
        unit = _HEADED.search(name)
        if not _BARE.fullmatch(cell):
            continue
        if unit:
            cells[i] = f" {cell.strip()} {unit['unit']} "
        elif name.strip().lower() == "accuracy":
            cells[i] = f" accuracy {cell.strip()} "
        elif name.strip().lower() in ("score", "ndcg", "ndcg@10") and float(cell.replace("−", "-")) > 1:
            cells[i] = f" {cell.strip()} pt "
    return "|".join(cells)


def passages(section: markdown.Section) -> Iterator[Passage]:
    """Yield table rows, list items and sentences, each with the line where it starts."""
    block: list[tuple[int, str]] = []
    head: str | None = None
    for number, text in (*section.lines, (0, "")):
        row = text.lstrip().startswith("|")
        if block and (row or not text.strip() or markdown.item(text) is not None):
            yield from _sentences(block)
            block = []
        if not row:
            head = None
            if text.strip():
                block.append((number, text))
        elif head is None:
            head = text
        elif not re.fullmatch(r"[\s|:-]+", text):
            yield Passage(number, text, table=True, head=head)


def _sentences(block: Sequence[tuple[int, str]]) -> Iterator[Passage]:
    text = "\n".join(line for _, line in block)
    if (item := markdown.item(text)) is not None:
        # An item is one thought: its second sentence is often about the locale that the first one names.
        yield Passage(block[0][0], item)
        return
    start = 0
    for cut in (*(m.end() for m in _SENTENCE.finditer(text)), len(text)):
        if text[start:cut].strip():
            yield Passage(block[0][0] + text.count("\n", 0, start), text[start:cut])
        start = cut


def bare_differences(text: str) -> list[tuple[int, str]]:
    """Return (line, words) of every difference in percent whose sentence does not name what it is percent of."""
    front, mark, body = text.partition("\n---")
    front = _FRONT_QUOTES.sub(lambda m: f"{m[1]} {m[2]} ", front)  # YAML quotes are no quotations
    plain = _CITED.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), front + mark + body)
    result = []
    for match in _DIFFERENCE.finditer(plain):
        before = max((m.end() for m in _SENTENCE_END.finditer(plain, 0, match.start())), default=0)
        after = _SENTENCE_END.search(plain, match.end())
        if not _EXPLICIT_UNIT.search(plain, before, after.start() if after else len(plain)):
            result.append((plain.count("\n", 0, match.start()) + 1, " ".join(match[0].split())))
    return result


def named_entries(body: str, first_line: int = 1) -> Iterator[tuple[int, str]]:
    """Yield (line, id) of every entry or row that a Markdown body names outside fenced code.

    A `rows:` line, and an id with a file ending (`2026-…-5f6a7b8c.csv`), name a file and no entry.
    """
    for section in markdown.sections(body, first_line):
        for number, text in section.lines:
            for match in ENTRY_ID.finditer(text):
                if not text.startswith("rows:") and not re.match(r"\.\w", text[match.end() :]):
                    yield number, match[0]

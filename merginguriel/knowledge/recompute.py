"""Do the numbers of a skill's text still follow from the rows? Each is looked up, in the unit in which it is written.

A unit of text is a table row, a list item or a sentence. Its numbers are compared with the rows that it names in
brackets (`[claim-id]`, `[entry-id]`, `[entry-id#r3]`), else with those rows of the skill's own evidence that speak
of the locales named in it. If it names locales beside brackets, only their rows count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .. import locales
from . import markdown
from .base import Knowledge
from .claims import Claim, in_scope
from .resemblance import own_words
from .rows import ResultRow
from .skills import Skill
from .standing import DOUBTFUL

SECTION = "Results Summary"
BRACKETS = re.compile(r"\[([^\[\]\n]{3,120})\](?!\()")
ENTRY_ID = re.compile(r"\b\d{4}-\d{2}-\d{2}-[a-z0-9]+(?:-[a-z0-9]+)*-[0-9a-f]{8}\b(?:#r\d+\b)?")
NUMBER = re.compile(
    r"(?<![\w.,/×-])(?P<sign>[+−-]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)\s?"
    r"(?P<unit>pp\b|percentage points?\b|rel_pct\b|%|percent\b|items?\b|runs?\b|rows?\b)"
)
FRACTION = re.compile(
    r"\baccurac(?:y|ies)\b[^.;|\d\n]{0,40}(?<![\w.,/×+−-])(?P<digits>[01]\.\d{2,6})(?!\d|\.\d|\s?(?:pp|%))"
)
UNITS = {
    "percent": "%",
    "percentage point": "pp",
    "percentage points": "pp",
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
LOCALE = re.compile(r"(?<![\w-])[a-z]{2,3}-(?:[A-Z][a-z]{3}-)?[A-Z]{2}(?![\w-])")
RELATIVE = re.compile(r"\brelative(?:ly)?\b|\brel_pct\b|\bof the baseline\b", re.IGNORECASE)
DOUBT = re.compile(
    r"\b(?:contested|invalid(?:ated)?|withdrawn|superseded|doubt\w*|not settled)\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z0-9+−\[`*])")
_LIST = re.compile(r"^\s{0,3}(?:[-*+]|\d+[.)])\s+")


@dataclass(frozen=True)
class Passage:
    """A unit of text with its line. `table`: a row of one; `head`: what its column names say."""

    line: int
    text: str
    table: bool = False
    head: str = ""

    @cached_property
    def refs(self) -> tuple[str, ...]:
        return tuple(part.strip() for found in BRACKETS.findall(self.text) for part in found.split(","))


@dataclass(frozen=True)
class Number:
    """`+1.62 pp` as 1.62, two decimals, signed, of the unit `pp`."""

    shown: str
    value: float
    decimals: int
    signed: bool
    unit: str

    def is_near(self, real: float, *, units: float = 0.5) -> bool:
        """Is `real`, rounded as this number is, this number? Within `units` of the last digit, and its own rounding."""
        slack = units * 1.0000001 * 10**-self.decimals + 1e-9
        if self.unit in ("pp", "rel_pct"):
            # Differences are often taken of accuracies that were themselves rounded to two decimals of a percent.
            slack += 0.005
        return abs(self.value - real) <= slack or (not self.signed and abs(self.value - abs(real)) <= slack)


@dataclass(frozen=True)
class Wrong:
    """A number that the rows do not bear out, or only doubtful ones do."""

    line: int
    what: str
    mend: str


def numbers(text: str) -> Iterator[Number]:
    """Every number with a unit that rows can have; `90% of the items` is a share, and none of them.

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
    """The sign that the words beside an unsigned difference give it; empty where they do not."""
    found = BEFORE.search(text, 0, match.start()) or AFTER.match(text, match.end())
    if found is None or _DENIED.search(text, max(0, match.start() - 40), match.end()):
        return ""
    return "+" if found["up"] else "-"


def _with_units(row: str, head: str) -> str:
    """A table row whose bare numbers have the unit that their column's name ends in: `accuracy, %`, `gain (pp)`."""
    cells, names = row.split("|"), head.split("|")
    for i, (cell, name) in enumerate(zip(cells, names, strict=False)):
        unit = _HEADED.search(name)
        if not _BARE.fullmatch(cell):
            continue
        if unit:
            cells[i] = f" {cell.strip()} {unit['unit']} "
        elif name.strip().lower() == "accuracy":
            cells[i] = f" accuracy {cell.strip()} "
    return "|".join(cells)


def passages(section: markdown.Section) -> Iterator[Passage]:
    """Table rows, list items and sentences, each on the line where it starts."""
    block: list[tuple[int, str]] = []
    head: str | None = None
    for number, text in (*section.lines, (0, "")):
        row = text.lstrip().startswith("|")
        if block and (row or not text.strip() or _LIST.match(text)):
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
    if _LIST.match(text):
        # An item is one thought: its second sentence is often about the locale that the first one names.
        yield Passage(block[0][0], _LIST.sub("", text))
        return
    start = 0
    for cut in (*(m.end() for m in _SENTENCE.finditer(text)), len(text)):
        if text[start:cut].strip():
            yield Passage(block[0][0] + text.count("\n", 0, start), text[start:cut])
        start = cut


def evidence_of(skill: Skill, knowledge: Knowledge) -> list[ResultRow]:
    """Rows that the skill's claims cite, and those of entries that its text names."""
    refs = [ref for claim in skill.claims for ref in claim.evidence] + ENTRY_ID.findall(skill.body)
    rows = {row.ref: row for ref in refs for row in knowledge.evidence_rows(ref)}
    return list(rows.values())


def check_skill(skill: Skill, knowledge: Knowledge) -> list[Wrong]:
    """Every number of the Results Summary that its evidence does not bear out."""
    section = next((s for s in markdown.sections(skill.body, skill.body_line) if s.title == SECTION), None)
    if section is None:
        return []
    evidence = evidence_of(skill, knowledge)
    found: list[Wrong] = []
    for passage in passages(section):
        rows, bound = _rows_for(passage, evidence, skill, knowledge)
        if rows:
            found += _check(passage, rows, bound, DOUBT.search(section.text) is not None)
    return found


def check_claim(claim: Claim, knowledge: Knowledge) -> list[str]:
    """Every difference and accuracy in a claim's text that is none of its rows' nor their pooled difference, in words.

    Its rows are those that it cites and, where its scope names target and method, all of its scope: the same merge
    against another baseline. A claim that compares nothing (`requires`, `no_signal`) may also name a number that stands
    in the entries that it cites.
    """
    rows = {row.ref: row for ref in claim.evidence for row in knowledge.evidence_rows(ref)}
    if not rows:
        return []
    entries = [knowledge.by_entry[name] for name in dict.fromkeys(ref.partition("#")[0] for ref in rows)]
    if {"target", "method"} <= claim.scope.keys():
        rows |= {row.ref: row for row in knowledge.near(claim) if in_scope(row, claim.scope)}
    compares = claim.predicate not in ("requires", "no_signal")
    texts = "" if compares else "\n".join(f"{e.summary}\n{e.body}" for e in entries)
    written = {(number.value, number.unit) for number in numbers(texts)}
    text, pooled = own_words(claim.text), knowledge.standings[claim.id].mean_pp
    relative = bool(RELATIVE.search(text))
    found = []
    for number in numbers(text):
        if number.unit not in ("pp", "rel_pct", "%") or (
            number.unit == "%" and number.signed and not relative
        ):
            continue  # a bare percent of a difference is the business of units
        meant = list(rows.values()) if number.unit == "%" else _shown(text, [*rows.values()])
        if (
            _borne_out(number, meant, relative or number.unit == "rel_pct")
            or (number.unit == "pp" and pooled is not None and number.is_near(pooled))
            or (abs(number.value), number.unit) in {(abs(value), unit) for value, unit in written}
        ):
            continue
        found.append(f"says {number.shown}, but {_instead(number, meant)}")
    return found


def _rows_for(
    passage: Passage, evidence: Sequence[ResultRow], skill: Skill, knowledge: Knowledge
) -> tuple[list[ResultRow], bool]:
    """(rows to compare with, are they named?). Of unnamed ones, those of the locales that the passage names."""
    claims = {claim.id: claim for claim in knowledge.claims}
    named: dict[str, ResultRow] = {}
    for ref in passage.refs:
        refs = claims[ref].evidence if ref in claims else (ref,)
        named.update((row.ref, row) for one in refs for row in knowledge.evidence_rows(one))
    targets = set(LOCALE.findall(passage.text)).intersection(locales.table())
    if named:
        rows = list(named.values())
        ours = [row for row in rows if row.target in targets]
        if not ours and not any(targets.intersection(row.sources) for row in rows):
            # What is named knows nothing of this locale, and another's figures must not pass for its own.
            ours = [row for row in evidence if row.target in targets]
        return ours or rows, True
    return [row for row in evidence if row.target in targets and row.metric != "parameters"], False


def _check(passage: Passage, rows: Sequence[ResultRow], bound: bool, doubt_said: bool) -> list[Wrong]:
    """`bound`: every number must be one of its rows'; else those that look like a result, or are one in another unit."""
    written = _with_units(passage.text, passage.head) if passage.table else passage.text
    text = own_words(BRACKETS.sub(" ", written))
    found: list[Wrong] = []
    for number in numbers(text):
        meant = rows if number.unit == "%" and not number.signed else _shown(text, rows)
        sound = [row for row in meant if row.status == "current"]
        relative = number.unit == "rel_pct" or bool(RELATIVE.search(text + passage.head))
        if _borne_out(number, sound, relative):
            continue
        if _borne_out(number, meant, relative):
            doubtful = [row.ref for row in meant if row.status in DOUBTFUL]
            if doubtful and not doubt_said:
                refs = [
                    r.ref for r in meant if r.ref in doubtful and _borne_out(number, [r], relative)
                ] or doubtful
                found.append(Wrong(passage.line, f"says {number.shown}, which only rows bear out that are contested or "
                                   f"invalidated: {', '.join(refs)}.",
                                   "Write a number that stands, or say in this section that it is contested."))  # fmt: skip
            continue
        misread = _misread(number, sound or meant)
        if misread:
            found.append(Wrong(passage.line, f"says {number.shown}, but {misread}.",
                               "Write percentage points, `pp`, or name the unit `rel_pct`."))  # fmt: skip
        elif bound or _is_result(number, passage, meant):
            found.append(Wrong(passage.line, f"says {number.shown}, but {_instead(number, sound or meant)}.",
                               "Correct it, or name in brackets the row that it comes from: [entry-id#r1]."))  # fmt: skip
    return found


def _shown(text: str, rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Of these rows, those whose accuracy stands in the text: a difference beside them is theirs."""
    levels = [number for number in numbers(text) if number.unit == "%" and not number.signed]
    found = [
        r for r in rows if r.metric == "accuracy" and any(level.is_near(100 * r.value) for level in levels)
    ]
    return found or list(rows)


def _is_result(number: Number, passage: Passage, rows: Sequence[ResultRow]) -> bool:
    """Two decimals, or a place in a table, make a percentage one that was measured and not, say, a share."""
    if number.unit not in ("pp", "%", "rel_pct", "item") or not any(r.metric == "accuracy" for r in rows):
        return False
    return passage.table or number.decimals == 2


def _borne_out(number: Number, rows: Sequence[ResultRow], relative: bool) -> bool:
    if number.unit == "%" and number.signed:
        # A bare percent of a difference is the business of units: here it holds only where it says what it is.
        return relative and any(number.is_near(r) for r in _relatives(rows))
    if number.unit == "%":
        return any(number.is_near(v) for v in _levels(rows)) or (
            relative and any(number.is_near(r) for r in _relatives(rows))
        )
    if number.unit == "rel_pct":
        return any(number.is_near(r) for r in _relatives(rows))
    if number.unit == "pp":
        return any(number.is_near(d) for d in _differences(rows)) or any(
            number.is_near(row.value) for row in rows if row.metric == "merging_effect"
        )
    if number.unit == "item":
        return any(
            row.n and any(number.is_near(round(d * row.n / 100)) for d in _differences([*rows]))
            for row in rows
        ) or any(number.value == row.n for row in rows)
    counts = {len(rows), len({row.measurement() for row in rows}), len({row.run for row in rows if row.run})}
    return number.value in counts


def _levels(rows: Iterable[ResultRow]) -> Iterator[float]:
    for row in rows:
        if row.metric == "accuracy":
            yield 100 * row.value
            if row.baseline is not None:
                yield 100 * row.baseline


def _differences(rows: Sequence[ResultRow]) -> Iterator[float]:
    """In pp: each row against a baseline of its target, and any two rows of one target against each other."""
    values: dict[tuple[str, str], set[float]] = {}
    baselines: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        if row.metric == "accuracy":
            key = (row.context, row.target)
            values.setdefault(key, set()).add(100 * row.value)
            if row.baseline is not None:
                baselines.setdefault(key, set()).add(100 * row.baseline)
    for key, ours in values.items():
        others = ours | baselines.get(key, set())
        yield from (
            a - b for a in sorted(ours) for b in sorted(others) if a != b or b in baselines.get(key, ())
        )


def _relatives(rows: Iterable[ResultRow]) -> Iterator[float]:
    for row in rows:
        if row.difference_pp is not None and row.baseline:
            yield row.difference_pp / row.baseline


def _misread(number: Number, rows: Sequence[ResultRow]) -> str:
    """Both readings, if the number is right in another unit than the one it is written in."""
    for row in rows:
        if row.difference_pp is None or not row.baseline or number.unit not in ("%", "pp", "rel_pct"):
            continue
        points, percent = row.difference_pp, row.difference_pp / row.baseline
        sizes = f"{points:+.2f} pp, {percent:+.2f} rel_pct".replace("-", "−")
        both = f"{row.ref} gives {sizes}: {100 * row.value:.2f}% against {100 * row.baseline:.2f}%"
        wrong = points if number.unit == "rel_pct" else percent
        if number.shown[0] in "+−-" and (
            number.is_near(wrong, units=1) or (number.unit == "%" and number.is_near(points))
        ):
            return both
    return ""


def _instead(number: Number, rows: Sequence[ResultRow]) -> str:
    """What the rows do give, nearest first."""
    if number.unit in ("run", "row", "item"):
        return (
            f"the evidence holds {len(rows)} rows" if number.unit != "item" else "no difference is that large"
        )
    if number.unit == "%" and not number.signed:
        real = sorted(set(_levels(rows)), key=lambda v: abs(v - number.value))[:2]
        return (
            f"its rows give {' and '.join(f'{v:.2f}%' for v in real)}" if real else "no row gives an accuracy"
        )
    real = sorted({row.difference_pp for row in rows if row.difference_pp is not None}, key=lambda v: abs(v - number.value))[:2]  # fmt: skip
    return (
        f"its rows give {' and '.join(f'{v:+.2f} pp' for v in real)}".replace("-", "−")
        if real
        else "no row gives a difference"
    )

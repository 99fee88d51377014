"""Parse the sections by which an entry contests, invalidates or relabels rows of others, or lifts such a mark.

A section `## Invalidates`, `## Contests`, `## Relabels` or `## Lifts` has its reason in prose, and a list whose items
each select rows. docs/formats.md describes the form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from merginguriel.errors import KnowledgeError, UsageError
from merginguriel.similarity import choice

from . import markdown
from .row_parser import is_day, parse_value
from .rows import BASELINE_KINDS, CODE, ResultRow

HEADINGS = ("Invalidates", "Contests", "Relabels", "Lifts")
KEYS = (
    "rows", "entries", "runs", "commits", "range", "dates", "context", "target", "mode", "method", "similarity", "k", "params",
    "seed", "metric", "baseline_kind", "baseline",
)  # fmt: skip

_RANGE = re.compile(r"^[0-9a-f]{7,40}\.\.[0-9a-f]{7,40}\Z")
_ENTRY = re.compile(r"^\d{4}-\d{2}-\d{2}-[a-z0-9-]+-[0-9a-f]{8}\Z")
_ROW = re.compile(r"^\d{4}-\d{2}-\d{2}-[a-z0-9-]+-[0-9a-f]{8}#r[1-9][0-9]*\Z")


@dataclass(frozen=True)
class Selector:
    """One list item: conditions (key, possible values) that must all hold.

    `entry` is set for Lifts; `to`, a column and its corrected label (None: not known), for Relabels.
    """

    conditions: tuple[tuple[str, tuple[str, ...]], ...]
    line: int
    entry: str | None = None
    to: tuple[str, str | None] | None = None

    @cached_property
    def traced(self) -> bool:
        """Return whether it selects by provenance (runs, commits, dates), which also reaches rows logged later."""
        return any(key in ("runs", "commits", "dates") for key, _ in self.conditions)

    def selects(self, row: ResultRow) -> bool:
        """Return whether a row meets all conditions."""
        return all(_holds(key, values, row) for key, values in self.conditions)

    def as_dict(self) -> dict[str, object]:
        """Return the selector as JSON-ready data."""
        to = {"to": {self.to[0]: self.to[1]}} if self.to else {}
        return {
            "entry": self.entry,
            **to,
            "conditions": {key: list(values) for key, values in self.conditions},
        }


@dataclass(frozen=True)
class Mark:
    """What one section of an entry says about rows of others. `kind` is one of HEADINGS; `reason` its prose."""

    kind: str
    selectors: tuple[Selector, ...]
    reason: str
    line: int

    def as_dict(self) -> dict[str, object]:
        """Return the mark as JSON-ready data."""
        return {"kind": self.kind, "selectors": [s.as_dict() for s in self.selectors], "reason": self.reason}


def parse(section: markdown.Section, path: Path) -> list[Mark]:
    """Parse the mark of one such section; raise KnowledgeError with file and line."""
    selectors: list[Selector] = []
    prose: list[str] = []
    for number, text in section.lines:
        item = markdown.item(text)
        if item is not None:
            selectors.append(selector(item, number, section.title, path))
        elif text.strip():
            prose.append(text.strip())
    where = f"{path}:{section.line}"
    if not selectors:
        raise KnowledgeError(
            f"## {section.title} selects no row.",
            where=where,
            hint="A list: each item selects rows, like: - context=massive/xlm-roberta-base dates=..2025-10-31"
            if section.title != "Lifts"
            else "A list of the entries whose mark is lifted: - 2026-01-21-known-defects-0c8626eb",
        )
    if not prose:
        raise KnowledgeError(
            f"## {section.title} gives no reason.", where=where, hint="Say why in a sentence above the list."
        )
    return [Mark(section.title, tuple(selectors), " ".join(prose), section.line)]


def selector(text: str, line: int, kind: str, path: Path) -> Selector:
    """Parse one list item of a section `kind`; raise KnowledgeError with file and line."""
    where = f"{path}:{line}"
    words = text.split()
    entry = None
    if kind == "Lifts":
        entry, words = (words[0] if words else ""), words[1:]
        if not _ENTRY.match(entry):
            raise KnowledgeError(
                f"{text!r} does not start with an entry id.",
                where=where,
                hint="Name the entry whose mark is lifted; what follows (rows=…, target=…) narrows it.",
            )
    to = None
    if kind == "Relabels":
        to = _label([word for word in words if word.startswith("to=")], where)
        words = [word for word in words if not word.startswith("to=")]
    conditions: dict[str, tuple[str, ...]] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or key not in KEYS:
            raise KnowledgeError(f"{word!r} is not a selector.", where=where, hint=f"Write key=value; keys: {', '.join(KEYS)}.")  # fmt: skip
        values = tuple(v for v in value.split(",") if v)
        if key in conditions or not values:
            raise KnowledgeError(f"{key!r} is given twice or has no value.", where=where)
        for item in values:
            _check(key, item, where)
        conditions[key] = values
    if "range" in conditions and "commits" not in conditions:
        raise KnowledgeError("range needs commits beside it.", where=where, hint="Write commits=A..B and add the entry with mu log add.")  # fmt: skip
    if not conditions and kind != "Lifts":
        raise KnowledgeError("this item would select every row of the log.", where=where, hint="Name which.")
    return Selector(tuple(conditions.items()), line, entry, to)


def _label(words: Sequence[str], where: str) -> tuple[str, str | None]:
    """Parse `to=similarity:LABEL` or `to=sources:-`."""
    column, _, value = words[0].removeprefix("to=").partition(":") if len(words) == 1 else ("", "", "")
    if column == "similarity" and value:
        try:
            choice.parsed(value)
        except UsageError as error:
            raise KnowledgeError(error.what, where=where, hint=error.hint) from error
        return column, value
    if column == "sources" and value == "-":
        return column, None
    raise KnowledgeError(
        "an item of ## Relabels needs the corrected label.",
        where=where,
        hint="Add to=similarity:LABEL, or to=sources:- for rows whose sources are not those of the merge.",
    )


def _check(key: str, value: str, where: str) -> None:
    """Raise KnowledgeError for a condition that no row could meet, as it would silently select nothing."""
    if key == "commits" and ".." in value:
        raise KnowledgeError(
            f"the range {value!r} means something only beside its repository.",
            where=where,
            hint="Land the entry with mu log add, which lists its commits from git; or list them yourself:\n"
            f"git log --format=%h {value} | paste -sd, -",
        )
    forms = {"commits": (CODE, "7 to 40 hex digits, or a version"), "range": (_RANGE, "COMMIT..COMMIT"), "entries": (_ENTRY, "an entry's id"), "rows": (_ROW, "<entry id>#r<n>")}  # fmt: skip
    if key in forms and not forms[key][0].match(value):
        raise KnowledgeError(f"{key} says {value!r}, which is not {forms[key][1]}.", where=where)
    if key == "dates":
        first, dots, last = value.partition("..")
        if not dots or not (first or last) or not all(is_day(day) for day in (first, last) if day):
            raise KnowledgeError(
                f"dates says {value!r}.", where=where, hint="FIRST..LAST, ..LAST or FIRST.., as YYYY-MM-DD."
            )
    if key == "baseline_kind" and value not in BASELINE_KINDS:
        raise KnowledgeError(f"unknown baseline_kind {value!r}.", where=where, hint=f"Known: {', '.join(BASELINE_KINDS)}.")  # fmt: skip
    if key == "baseline":
        parse_value(value, "share", key, where)


def _holds(key: str, values: tuple[str, ...], row: ResultRow) -> bool:
    if key == "rows":
        return row.ref in values
    if key == "entries":
        return row.ref.partition("#")[0] in values
    if key == "runs":
        return row.run in values
    if key == "commits":
        return row.code is not None and any(_same_code(row.code.rstrip("+"), c.rstrip("+")) for c in values)
    if key == "range":
        return True  # where the list of commits beside it comes from
    if key == "dates":
        day = row.day
        return any((first or day) <= day <= (last or day) for first, _, last in (v.partition("..") for v in values))  # fmt: skip
    if key == "params":
        return {f"{name}={value}" for name, value in row.params}.issuperset(values)
    if key == "baseline":
        # A baseline round: either the row is compared with that number, or it is that number.
        values_ = [parse_value(v, "share", key, row.where) for v in values]
        return any(n is not None and abs(n - w) < 5e-7 for w in values_ for n in (row.baseline, row.value if row.method == "single" else None))  # fmt: skip
    return str(dict(row.written).get(key, getattr(row, key))) in values


def _same_code(item: str, other: str) -> bool:
    """Return whether two spellings name one commit (either may be longer) or one version."""
    if item[:7] != other[:7] or "." in item:
        return item == other
    return item.startswith(other) or other.startswith(item)

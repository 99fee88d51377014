"""Derived status and labels of result rows: superseded, contested, invalidated or relabelled by later entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.invalidation import Mark, Selector
from merginguriel.knowledge.parse.rows import SUPERSEDED, ResultRow

STATUS = {"Invalidates": "invalidated", "Contests": "contested"}
Reached = tuple[Entry, Mark]


def derive(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries, each row with the status and the labels that the whole log gives it."""
    return marked(superseded(entries))


def superseded(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries, with current rows of superseded entries marked so.

    What still stands of an entry, the one that supersedes it repeats. `contested` and `invalidated` stay as written.
    """
    old = {ref for entry in entries for ref in entry.supersedes if ref != entry.id}
    return tuple(
        replace(
            entry,
            rows=tuple(
                replace(row, status=SUPERSEDED) if row.status == "current" else row for row in entry.rows
            ),
        )
        if entry.id in old
        else entry
        for entry in entries
    )


def marks_of(entries: Sequence[Entry]) -> dict[str, list[Reached]]:
    """Map each row's id to the marks that reach it, in the order they were made.

    A mark reaches the rows logged by its day, of other entries; one that names dates, commits or runs also reaches
    later rows which say that they were made then. An entry that names the marking one under `supersedes` or
    `links` was written in its knowledge and is not reached. Marks of an entry that another one supersedes have
    fallen, and so has what a later `## Lifts` names.
    """
    old = {ref for entry in entries for ref in entry.supersedes if ref != entry.id}
    valid = [(e, m) for e in entries for m in e.marks if e.id not in old]
    lifts = [(e, m) for e, m in valid if m.kind == "Lifts"]
    result: dict[str, list[Reached]] = {}
    for entry, mark in valid:
        if mark.kind == "Lifts":
            continue
        for other in entries:
            if other is entry or entry.id in other.supersedes or entry.id in other.links:
                continue
            for row in other.rows:
                if _reaches(entry, mark, row) and not _lifted(entry, row, lifts):
                    result.setdefault(row.ref, []).append((entry, mark))
    return result


def _reaches(entry: Entry, mark: Mark, row: ResultRow) -> bool:
    return any(
        selector.selects(row) and (row.date <= entry.date or _was_known(selector, row))
        for selector in mark.selectors
    )


def _was_known(selector: Selector, row: ResultRow) -> bool:
    """Return whether a row that was logged later states itself when or by what it was made."""
    return selector.traced and (
        row.measured is not None or all(key != "dates" for key, _ in selector.conditions)
    )


def _lifted(entry: Entry, row: ResultRow, lifts: Iterable[Reached]) -> bool:
    return any(
        selector.entry == entry.id and selector.selects(row)
        for _, lift in lifts
        for selector in lift.selectors
    )


def marked(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries, each row with the status and labels that marks give it; invalidated outranks contested."""
    reached = marks_of(entries) if any(entry.marks for entry in entries) else {}
    if not reached:
        return tuple(entries)

    def status(row: ResultRow) -> str:
        kinds = {mark.kind for _, mark in reached.get(row.ref, ()) if mark.kind in STATUS}
        if row.status not in ("current", "contested") or not kinds:
            return row.status
        return STATUS["Invalidates" if "Invalidates" in kinds else "Contests"]

    return tuple(
        replace(
            entry,
            rows=tuple(
                replace(relabelled(row, reached.get(row.ref, ())), status=status(row)) for row in entry.rows
            ),
        )
        if any(row.ref in reached for row in entry.rows)
        else entry
        for entry in entries
    )


def relabelled(row: ResultRow, marks: Iterable[Reached]) -> ResultRow:
    """Return the row with the labels that `## Relabels` sections give it; `written` holds those of its file."""
    for _, mark in marks:
        for selector in mark.selectors:
            if selector.to and selector.selects(row):
                column, value = selector.to
                written = {column: str(getattr(row, column)), **dict(row.written)}
                row = replace(row, written=tuple(written.items()))
                row = (
                    replace(row, sources=(), weights=())
                    if column == "sources"
                    else replace(row, similarity=value)
                )
    return row

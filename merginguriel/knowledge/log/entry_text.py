"""Text of a log entry from templates, and from the flags of `mu log add`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import date
from typing import Any

from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.base import load_readable
from merginguriel.knowledge.parse import expectations
from merginguriel.knowledge.parse.expectations import in_pp
from merginguriel.knowledge.parse.markdown import format_table
from merginguriel.knowledge.parse.row_parser import DIFFERENCES
from merginguriel.knowledge.parse.rows import COLUMNS, metric_of
from merginguriel.text.suggest import suggest
from merginguriel.workspace import Workspace

from .draft_text import Draft, render

FRONT = """\
---
title: ""
type: "{kind}"
date: "{today}"
summary: ""
"""
BODIES = {
    "Retrospective": """\
context: "{context}"
metric: "accuracy"
n: ""
---

## What was tried

## Results

| target | mode | method | params | similarity | k | sources | value | baseline_kind | baseline | wins | losses | se |
|--------|------|--------|--------|------------|---|---------|-------|---------------|----------|------|--------|----|

## Findings

## What failed

## Open questions

- [open]
""",
    "Plan": """\
context: "{context}"
---

## What will be tried

## Expected

| target | mode | method | params | similarity | k | over | low | high | p_positive |
|--------|------|--------|--------|------------|---|------|-----|------|------------|
""",
    "Observation": """\
---

## Findings

## Open questions

- [open]
""",
    "Troubleshooting": """\
---

## Error pattern

- `the error's own words`

## Symptom

## Cause

## Mend
""",
}


def template(kind: str | None, context: str) -> str:
    """Return the form of an entry of this type, a Retrospective by default, for an author to fill in."""
    kind = kind or "Retrospective"
    return (FRONT + BODIES[kind]).format(kind=kind, today=date.today().isoformat(), context=context)


def section(text: str) -> tuple[str, str]:
    """Split `HEADING: TEXT`; raise UsageError for another form."""
    heading, sign, body = text.partition(":")
    if not sign or not heading.strip():
        raise UsageError(f"--section must be 'HEADING: TEXT', got {text!r}.")
    return heading.strip(), body.strip()


def cells(text: str, flag: str) -> dict[str, str]:
    """Parse `column=value` pairs; a value with spaces is in quotes."""
    try:
        pairs = [part.partition("=") for part in shlex.split(text)]
    except ValueError as error:
        raise UsageError(f"{flag} cannot be read: {text!r}: {error}.") from error
    if any(not sign for _, sign, _ in pairs):
        raise UsageError(
            f"{flag} must be column=value pairs, got {text!r}.", hint="Put a value with spaces in quotes."
        )
    return {key: value for key, _, value in pairs}


def check_cells(found: list[dict[str, str]], known: tuple[str, ...], flag: str) -> None:
    """Raise UsageError for a cell whose column is unknown."""
    for name in dict.fromkeys(name for row in found for name in row):
        if name.lower() not in known:
            guess = suggest(name, known, n=1)
            raise UsageError(
                f"{flag} has an unknown column {name!r}.", hint=f"{guess}\nKnown: {', '.join(known)}.".strip()
            )


def table(rows: tuple[str, ...]) -> str:
    """Return the Results table of `--row` flags, with a column for every key of any row."""
    found = [cells(text, "--row") for text in rows]
    check_cells(
        [{k: v for k, v in row.items() if k.lower() not in DIFFERENCES} for row in found], COLUMNS, "--row"
    )
    names = list(dict.fromkeys(key for row in found for key in row))
    return format_table(names, [[row.get(name, "-") for name in names] for row in found])


def expected(rows: tuple[str, ...]) -> str:
    """Return the Expected table of `--expect` flags."""
    found = [cells(text, "--expect") for text in rows]
    check_cells(found, (*expectations.COLUMNS, "low_pp", "high_pp"), "--expect")
    return expectations.table([in_pp(row) for row in found])


def draft_text(where: Workspace, given: dict[str, Any]) -> str:
    """Return the text of a draft from flags that do not make an entry, with nothing left out.

    Flags that cannot be read are put under `Results:` and `Expected:`, headings that no entry may have, so that the draft
    is refused until it is corrected.
    """
    sections, rows = [], ""
    for text in given["sections"]:
        heading, sign, body = text.partition(":")
        sections.append((heading.strip(), body.strip()) if sign and heading.strip() else ("Findings", text))
    if given["expected"]:
        try:
            sections.insert(0, ("Expected", expected(given["expected"])))
        except MuError:
            sections.insert(0, ("Expected:", _flags("--expect", given["expected"])))
    unread = [
        _flags(flag, given[name])
        for flag, name in (
            ("--from-run", "runs"),
            ("--sweep", "sweeps"),
            ("--matrix", "matrices"),
            ("--only", "only"),
        )
        if given[name]
    ]
    if given["figure"]:
        unread.append(_flags("--figure", (given["figure"],)))
    try:
        rows = table(given["rows"]) if given["rows"] else ""
    except MuError:
        unread.append(_flags("--row", given["rows"]))
    if unread:
        sections.append(("Results:", "\n".join(unread)))
    lines = [f"- [open] {one}" for one in given["questions"]]
    for verb in ("narrows", "closes"):
        for text in given[verb]:
            ref, _, why = text.partition(":")
            lines.append(f"- [{verb} {ref.strip()}] {' '.join(why.split())}")
    if lines:
        sections.append(("Open questions", "\n".join(lines)))
    return render(draft_of(where, given, sections), raw_table=rows)


def draft_of(where: Workspace, given: dict[str, Any], sections: Sequence[tuple[str, str]]) -> Draft:
    """Return the draft that flags make, with ids of other entries as they were written."""
    usual = str(where.settings["context"])
    return Draft(
        title=given["title"] or "",
        type=given["kind"] or "",
        date=given["day"] or date.today().isoformat(),
        summary=given["summary"] or "",
        context=given["context"] or (usual if given["rows"] or given["expected"] else ""),
        metric=usual_metric(where, given["context"] or usual) if given["rows"] else "",
        n=str(given["n"] or ""),
        supersedes=", ".join(given["supersedes"]),
        links=", ".join(given["links"]),
        answers=", ".join(given["answers"]),
        tags=given["tags"] or "",
        sections=tuple(sections),
    )


def usual_metric(where: Workspace, context: str) -> str:
    """Return the metric of most rows of a context in the log: that of a new row which names none."""
    return metric_of(load_readable(where).rows, context)


def _flags(flag: str, values: Sequence[object]) -> str:
    return "\n".join(f"    {flag} {shlex.quote(str(value))}" for value in values)


def settled(where: Workspace, given: tuple[str, ...], verb: str) -> list[tuple[str, str]]:
    """Return (`<entry id>#q<n>`, why) of `--narrows` and `--closes` flags, entries named by a beginning of their id."""
    found = []
    for text in given:
        ref, sign, why = text.partition(":")
        prefix, mark, number = ref.strip().partition("#")
        if not (sign and mark and why.strip()):
            raise UsageError(f"--{verb} must be 'ENTRY-ID#q1: WHY', got {text!r}.")
        found.append((f"{load_readable(where).entry(prefix).id}#{number}", " ".join(why.split())))
    return found


def full_ids(where: Workspace, given: tuple[str, ...]) -> list[str]:
    """Return the full ids of the entries that beginnings of ids name; one text may hold several, with commas."""
    prefixes = [prefix.strip() for text in given for prefix in text.split(",") if prefix.strip()]
    if not prefixes:
        return []
    knowledge = load_readable(where)
    return list(dict.fromkeys(knowledge.entry(prefix).id for prefix in prefixes))

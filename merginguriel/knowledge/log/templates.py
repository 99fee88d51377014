"""Empty forms of log entries, one for each type."""

from __future__ import annotations

from datetime import date

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
    """Return the form of an entry.

    Args:
        kind: Type of the entry; default: Retrospective.
        context: Context of the results.
    """
    kind = kind or "Retrospective"
    return (FRONT + BODIES[kind]).format(kind=kind, today=date.today().isoformat(), context=context)

"""What does an entry look like as JSON, for programs that write one? Its schema, and the Markdown that it becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from merginguriel.errors import UsageError
from merginguriel.knowledge.parse import expectations, rows
from merginguriel.knowledge.parse.entries import TYPES
from merginguriel.knowledge.parse.expectations import table as expected_table
from merginguriel.knowledge.parse.markdown import format_table

from .append import Draft, render

Schema = dict[str, Any]


def _text(says: str) -> Schema:
    return {"type": "string", "description": says}


def _ids(says: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "description": says}


def _cells(
    columns: tuple[str, ...], required: tuple[str, ...], says: str, more: Schema | None = None
) -> Schema:
    cell = {"type": ["string", "number", "null"]}
    return {
        "type": "array",
        "description": says,
        "items": {
            "type": "object",
            "properties": {**dict.fromkeys(columns, cell), **(more or {})},
            "required": list(required),
            "additionalProperties": False,
        },
    }


_SETTLED: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "question": _text("Its name: <entry id>#q<n>, as mu log questions prints it."),
            "text": _text("What was found."),
        },
        "required": ["question", "text"],
        "additionalProperties": False,
    },
}
_PP = {"type": ["number", "null"], "description": "Percentage points; null or absent: open."}

ENTRY: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "MergingUriel log entry, as mu log add reads it",
    "type": "object",
    "properties": {
        "title": _text("A few words."),
        "type": {
            "enum": list(TYPES),
            "description": "A Plan has expected, a Troubleshooting its four sections.",
        },
        "date": _text("YYYY-MM-DD; absent: today."),
        "summary": _text("One sentence for a reader outside the project."),
        "context": _text("Task and base model of every row, like massive/xlm-roberta-base."),
        "metric": _text("Metric of every row; absent: accuracy."),
        "n": {"type": ["integer", "string"], "description": "Test items behind every row."},
        "seed": {"type": ["integer", "string"], "description": "Seed of every row."},
        "supersedes": _ids("Ids of the entries that this one corrects; their rows stop counting."),
        "links": _ids("Ids of the entries that this one follows from."),
        "answers": _ids("Ids of the plans that this entry is the retrospective of."),
        "tags": _ids("Words to find it by."),
        "origin": _text("Where the facts were found, if not made by this program."),
        "sections": {
            "type": "object",
            "description": "Heading → Markdown, in order. Results, Expected and Open questions have keys of their own.",
            "additionalProperties": {"type": "string"},
        },
        "rows": _cells(
            rows.COLUMNS,
            rows.REQUIRED,
            "Result rows: column → cell, as docs/formats.md has them; accuracies as fractions.",
        ),
        "expected": _cells(
            tuple(c for c in expectations.COLUMNS if c not in ("low", "high")),
            ("target", "method"),
            "What a plan expects: the difference low_pp … high_pp to the baseline kind over, or p_positive, or both.",
            {"low_pp": _PP, "high_pp": _PP},
        ),
        "questions": _ids("Questions that this entry opens."),
        "narrows": {**_SETTLED, "description": "Questions of other entries that this one narrows."},
        "closes": {**_SETTLED, "description": "Questions of other entries that this one closes."},
    },
    "required": ["title", "type", "summary"],
    "additionalProperties": False,
}

_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,), "null": (type(None),),
}  # fmt: skip


def entry_text(text: str, *, today: str, context: str) -> str:
    """The Markdown of an entry written as JSON. Raises UsageError that names the key which is wrong.

    today, context  date and context (of rows and expectations) where the JSON gives none
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is not valid JSON: {error}.", mend="Its form: mu schema entry") from error
    _check(given, ENTRY, "the entry")
    measured = bool(given.get("rows") or given.get("expected"))
    draft = Draft(
        title=given["title"],
        type=given["type"],
        date=given.get("date") or today,
        summary=given["summary"],
        context=given.get("context") or (context if measured else ""),
        metric=given.get("metric") or ("accuracy" if given.get("rows") else ""),
        n=str(given.get("n", "")),
        seed=str(given.get("seed", "")),
        supersedes=", ".join(given.get("supersedes", [])),
        links=", ".join(given.get("links", [])),
        answers=", ".join(given.get("answers", [])),
        tags=", ".join(given.get("tags", [])),
        origin=given.get("origin", ""),
        sections=tuple(_sections(given)),
    )
    return render(draft, raw_table=_results(given["rows"]) if given.get("rows") else "")


def _sections(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = list(given.get("sections", {}).items())
    if given.get("expected"):
        found.insert(0, ("Expected", expected_table([in_pp(row) for row in given["expected"]])))
    lines = [f"- [open] {one}" for one in given.get("questions", [])]
    for verb in ("narrows", "closes"):
        lines += [f"- [{verb} {one['question']}] {one['text']}" for one in given.get(verb, [])]
    if lines:
        # A line break in a question would end the item that it stands in.
        found.append(("Open questions", "\n".join(" ".join(line.split()) for line in lines)))
    return found


def in_pp(row: Mapping[str, Any]) -> dict[str, Any]:
    """An expectation's cells, with `low_pp` and `high_pp` under the names that the table has for them."""
    return {name.removesuffix("_pp"): _pp(name, value) for name, value in row.items()}


def _pp(name: str, value: Any) -> Any:
    if not name.endswith("_pp") or value in (None, ""):
        return value
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"{name} is {value!r}, not a number of percentage points.") from error


def _results(found: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in found for name in row))
    return format_table(names, [["-" if row.get(n) is None else str(row[n]) for n in names] for row in found])


def _check(value: Any, schema: Schema, where: str) -> None:
    """Raises UsageError where `value` is not what this file's schemas allow."""
    kinds = schema.get("type")
    named = [kinds] if isinstance(kinds, str) else kinds or []
    allowed = tuple(kind for name in named for kind in _KINDS[name])
    if allowed and (not isinstance(value, allowed) or isinstance(value, bool)):
        raise _wrong(f"{where} must be {' or '.join(named)}, not {json.dumps(value)[:60]}.")
    if "enum" in schema and value not in schema["enum"]:
        raise _wrong(f"{where} is {json.dumps(value)[:60]}, none of {', '.join(schema['enum'])}.")
    if isinstance(value, list):
        for number, item in enumerate(value, start=1):
            _check(item, schema["items"], f"item {number} of {where}")
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                raise _wrong(f"{where} has no {name}.")
        known, others = schema.get("properties", {}), schema.get("additionalProperties") or {}
        for name, item in value.items():
            if name not in known and not others:
                raise _wrong(f"{where} has an unknown key {name!r}; known: {', '.join(known)}.")
            _check(
                item,
                known.get(name) or others,
                f"{name!r} of {where}" if name in known else f"{where}, {name!r}",
            )


def _wrong(what: str) -> UsageError:
    return UsageError(what, mend="Its form: mu schema entry")

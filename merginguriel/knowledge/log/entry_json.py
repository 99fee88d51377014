"""Log entries written as JSON: their schema, and their translation to the Markdown of an entry.

An error in such an entry names the key that its author wrote, such as `rows[2].value`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypeAliasType

from merginguriel.errors import UsageError
from merginguriel.knowledge.parse import expectations, rows
from merginguriel.knowledge.parse.entries import EntryType
from merginguriel.knowledge.parse.expectations import in_pp
from merginguriel.knowledge.parse.expectations import table as expected_table
from merginguriel.knowledge.parse.markdown import format_table, item, sections
from merginguriel.text.suggest import suggest

from .draft_text import Draft, render

FORM = "Schema: mu schema entry"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Cell = TypeAliasType("Cell", str | int | float | None)
TYPES: Mapping[str, Any] = {
    "sources": list[str] | str | None,
    "weights": list[int | float] | str | None,
    "params": dict[str, str | int | float | bool] | str | None,
}
ABOUT = {
    "context": "task/base-model", "target": "locale, sw-KE", "method": "one word; single: a model alone",
    "params": "parameters of the method", "similarity": "what chose the sources", "k": "number of sources",
    "sources": "locales", "value": "fraction, 0.4832", "n": "test items", "saw": "the most that the merge used of its target",
    "baseline": "fraction, same items and round", "wins": "items that only the merge got right",
    "losses": "items that only the baseline got right", "se": "standard error of the difference: 1.35 pp",
    "code": "commit or version", "measured": "YYYY-MM-DD", "items": "written by the program; leave it out",
    "p_positive": "probability that it is above the baseline", "level": "of the interval, like 90%",
}  # fmt: skip
_KINDS = (*rows.BASELINE_KINDS, "-", None)
CLOSED: Mapping[str, Sequence[str | None]] = {
    "mode": (*rows.MODES, None), "metric": rows.known_metrics(), "baseline_kind": _KINDS, "over": _KINDS,
    "saw": (*rows.SAW, "-", None), "status": (*rows.STATUSES, None),
}  # fmt: skip
_PP: Any = (int | float | None, Field(None, description="Percentage points; null or absent: open."))


def _cells(columns: Iterable[str], required: Iterable[str]) -> dict[str, Any]:
    return {
        name: (
            TYPES.get(name, Cell),
            Field(
                ... if name in required else None,
                description=ABOUT.get(name),
                json_schema_extra=_one_of(CLOSED.get(name)),
            ),
        )
        for name in columns
    }


def _one_of(values: Sequence[str | None] | None) -> Callable[[dict[str, Any]], None] | None:
    """Return what makes the schema of a column that of its values; the reader of rows names a wrong one."""

    def extra(schema: dict[str, Any]) -> None:
        about = {"description": schema["description"]} if "description" in schema else {}
        schema.clear()
        schema.update(about, enum=[*(values or ())])

    return extra if values else None


Row: Any = create_model("Row", __base__=_Model, **_cells(rows.COLUMNS, rows.REQUIRED))
Expected: Any = create_model(
    "Expected",
    __base__=_Model,
    **_cells((c for c in expectations.COLUMNS if c not in ("low", "high")), ("target", "method")),
    low_pp=_PP,
    high_pp=_PP,
)


class AnsweredQuestion(_Model):
    """A question of another entry, and what was found."""

    question: str = Field(description="Name of the question: <entry id>#q<n>, as mu log questions prints it.")
    text: str = Field(description="What was found.")


class EntryModel(_Model):
    """A log entry as mu log add reads it from JSON."""

    title: str = Field(description="A few words.")
    type: EntryType = Field(description="A Plan has expected, a Troubleshooting its four sections.")
    date: str = Field("", description="YYYY-MM-DD; absent: today.")
    summary: str = Field(description="One sentence for a reader outside the project.")
    context: str = Field("", description="Task and base model of every row, like massive/xlm-roberta-base.")
    metric: str = Field(
        "",
        description="Metric of every row; absent: accuracy.",
        json_schema_extra={"enum": ["", *rows.known_metrics()]},
    )
    n: int | str = Field("", description="Test items behind every row.")
    seed: int | str = Field("", description="Seed of every row.")
    supersedes: list[str] = Field(
        [], description="Ids of the entries that this one corrects; their rows stop counting."
    )
    links: list[str] = Field([], description="Ids of the entries that this one follows from.")
    answers: list[str] = Field([], description="Ids of the plans that this entry is the retrospective of.")
    tags: list[str] = Field([], description="Words to find it by.")
    origin: str = Field("", description="Where the facts were found, if not made by this program.")
    sections: dict[str, str] = Field(
        {}, description="Heading → Markdown, in order. Results, Expected and Open questions have own keys."
    )
    rows: list[Row] = Field(
        [], description="Result rows: column → cell, as in docs/formats.md; accuracies as fractions."
    )
    expected: list[Expected] = Field(
        [],
        description="What a plan expects: the difference low_pp … high_pp to the baseline kind over, "
        "or p_positive, or both.",
    )
    questions: list[str] = Field([], description="Questions that this entry opens.")
    narrows: list[AnsweredQuestion] = Field(
        [], description="Questions of other entries that this one narrows."
    )
    closes: list[AnsweredQuestion] = Field([], description="Questions of other entries that this one closes.")


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema of an entry; what `mu schema entry` prints."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **EntryModel.model_json_schema(schema_generator=_Untitled),
        "title": "MergingUriel log entry, as mu log add reads it",
    }


def read(text: str, *, today: str, context: str) -> tuple[str, dict[int, str]]:
    """Read an entry written as JSON.

    Args:
        text: The JSON.
        today: Date of the entry where the JSON gives none, YYYY-MM-DD.
        context: Context of its rows and expectations where the JSON gives none.

    Returns:
        Its Markdown, and the key of the JSON behind each line of it.

    Raises:
        UsageError: The text is not JSON, or not of the form of `schema()`; `where` is the key.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is not valid JSON: {error}.", hint=FORM) from error
    try:
        entry = EntryModel.model_validate(data)
    except ValidationError as error:
        raise _first_error(error, data) from None
    # As the author wrote them: a cell that is absent is no column.
    result_rows, expected = data.get("rows") or [], data.get("expected") or []
    draft = Draft(
        title=entry.title,
        type=entry.type,
        date=entry.date or today,
        summary=entry.summary,
        context=entry.context or (context if result_rows or expected else ""),
        metric=entry.metric or ("accuracy" if result_rows else ""),
        n=str(entry.n),
        seed=str(entry.seed),
        supersedes=", ".join(entry.supersedes),
        links=", ".join(entry.links),
        answers=", ".join(entry.answers),
        tags=", ".join(entry.tags),
        origin=entry.origin,
        sections=tuple(_sections(entry, expected)),
    )
    markdown = render(draft, raw_table=_results_table(result_rows) if result_rows else "")
    return markdown, dict(_keys(markdown, entry))


def _sections(entry: EntryModel, expected: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    if expected:
        # Numbers under low and high get their unit there; lists and mappings become cells here.
        cells = [
            {k: _cell(v) if isinstance(v, list | dict) else v for k, v in row.items()} for row in expected
        ]
        yield "Expected", expected_table([in_pp(row) for row in cells])
    yield from entry.sections.items()
    lines = [f"- [open] {question}" for question in entry.questions]
    for verb, settled in (("narrows", entry.narrows), ("closes", entry.closes)):
        lines += [f"- [{verb} {one.question}] {one.text}" for one in settled]
    if lines:
        # A line break in a question would end its list item.
        yield "Open questions", "\n".join(" ".join(line.split()) for line in lines)


def _results_table(result: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in result for name in row))
    return format_table(names, [[_cell(row.get(name)) for name in names] for row in result])


def _cell(value: Any) -> str:
    """Return a value as the cell of a table."""
    if isinstance(value, dict):
        value = " ".join(f"{key}={one}" for key, one in value.items())
    elif isinstance(value, list):
        value = " ".join(map(str, value))
    return "-" if value in (None, "") else str(value)


def _keys(markdown: str, entry: EntryModel) -> Iterator[tuple[int, str]]:
    """Yield (line of the Markdown, key of the JSON that it was made from)."""
    lines = markdown.split("\n")
    end = lines.index("---", 1)
    yield from ((number, line.partition(":")[0]) for number, line in enumerate(lines[1:end], start=2))
    questions = [f"questions[{i}]" for i in range(len(entry.questions))]
    questions += [f"narrows[{i}]" for i in range(len(entry.narrows))]
    questions += [f"closes[{i}]" for i in range(len(entry.closes))]
    for section in sections("\n".join(lines[end + 1 :]), end + 2):
        made = {"Results": "rows", "Expected": "expected"}.get(section.title)
        if made and getattr(entry, made):
            table = [number for number, text in section.lines if text.startswith("|")]
            yield from ((number, made) for number in table[:2])
            yield from ((number, f"{made}[{i}]") for i, number in enumerate(table[2:]))
        elif section.title == "Open questions" and questions:
            bullets = [number for number, text in section.lines if item(text) is not None]
            yield from zip(bullets[-len(questions) :], questions, strict=False)
        elif section.title:
            key = f"sections[{json.dumps(section.title, ensure_ascii=False)}]"
            yield section.line, key
            yield from ((number, key) for number, _ in section.lines)


def _first_error(error: ValidationError, data: Any) -> UsageError:
    """Return pydantic's first complaint as an error of ours; those about one key are joined."""
    result = error.errors(include_url=False)
    path = _path(result[0]["loc"], data, result[0]["type"])
    value = data
    for part in path:
        value = value[part] if _has(value, part) else None
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    if result[0]["type"] == "missing":
        return UsageError("this key is required.", where=where, hint=FORM)
    if result[0]["type"] == "extra_forbidden":
        known = list(_fields(path[:-1]))
        guess = suggest(str(path[-1]), known)
        return UsageError(
            f"unknown key {str(path[-1])!r}.",
            where=where,
            hint="\n".join(part for part in (guess, f"Known: {', '.join(known)}.", FORM) if part),
        )
    expected = [
        one["msg"].removeprefix("Input should be ")
        for one in result
        if _path(one["loc"], data, one["type"]) == path
    ]
    got = json.dumps(value, ensure_ascii=False)[:60]
    return UsageError(
        f"must be {' or '.join(dict.fromkeys(expected))}, got {got}.", where=where or None, hint=FORM
    )


def _path(loc: tuple[int | str, ...], data: Any, kind: str) -> tuple[int | str, ...]:
    """Return the part of pydantic's location that is a path of keys, without the names of union members."""
    path: list[int | str] = []
    for part in loc:
        if not _has(data, part):
            return (*path, part) if kind == "missing" else tuple(path)
        path.append(part)
        data = data[part]
    return tuple(path)


def _has(data: Any, part: int | str) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _fields(path: tuple[int | str, ...]) -> Mapping[str, Any]:
    """Return the fields of the model at a path of keys."""
    model: Any = EntryModel
    for part in path:
        if isinstance(part, str):
            model = get_args(model.model_fields[part].annotation)[0]
    return model.model_fields

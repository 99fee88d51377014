"""Parse one log entry: front matter, result rows, expectations, questions, marks and troubleshooting."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from merginguriel import files as disk
from merginguriel.errors import KnowledgeError

from . import expectations, invalidation, markdown, questions, rows, troubleshooting
from .expectations import Expectation
from .questions import OpenQuestion, QuestionSettlement
from .row_parser import parse_row, read_csv
from .troubleshooting import Trouble
from .yaml_lines import Mapping, line_of, need_text, read_front_matter, read_text

EntryType = Literal["Plan", "Observation", "Retrospective", "Troubleshooting"]
TYPES: tuple[str, ...] = get_args(EntryType)
REQUIRED = ("title", "type", "date", "summary")
OPTIONAL = (
    "context", "metric", "n", "seed", "code", "measured", "supersedes", "links", "answers", "tags", "origin",
)  # fmt: skip
READ_SECTIONS = ("Results", "Expected", "Open questions", *troubleshooting.SECTIONS, *invalidation.HEADINGS)
ID = re.compile(r"^(\d{4}-\d{2}-\d{2})-([a-z0-9]+(?:-[a-z0-9]+)*)-([0-9a-f]{8})$")

_ROWS_FILE = re.compile(r"^rows:\s+(\S+)\s+sha256:([0-9a-f]{64})\s*$")


@dataclass(frozen=True)
class Entry:
    """One entry of the log. `path` is its file; its rows are named `<id>#r1`, `#r2` and so on."""

    id: str
    path: Path
    title: str
    type: str
    date: str
    summary: str
    body: str
    context: str | None = None
    supersedes: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()  # plans that this entry is the retrospective of
    tags: tuple[str, ...] = ()
    origin: str = ""
    rows: tuple[rows.ResultRow, ...] = ()
    expected: tuple[Expectation, ...] = ()
    questions: tuple[OpenQuestion, ...] = ()
    settles: tuple[QuestionSettlement, ...] = ()  # questions of other entries that this one narrows or closes
    trouble: Trouble | None = None  # of an entry of type Troubleshooting
    files: tuple[Path, ...] = field(default=())  # row files that the entry names
    marks: tuple[invalidation.Mark, ...] = ()  # what it says of rows of other entries
    body_line: int = 1  # where the body starts in the file

    def as_dict(self) -> dict[str, object]:
        """Return the entry as JSON-ready data, without its body."""
        return {
            "id": self.id,
            "title": self.title,
            "type": self.type,
            "date": self.date,
            "summary": self.summary,
            "context": self.context,
            "supersedes": list(self.supersedes),
            "links": list(self.links),
            "answers": list(self.answers),
            "tags": list(self.tags),
            "origin": self.origin,
            "rows": [row.as_dict() for row in self.rows],
            "questions": [{"text": q.text, "state": q.state, "by": q.by} for q in self.questions],
            "marks": [mark.as_dict() for mark in self.marks],
            "settles": [answer.as_dict() for answer in self.settles],
            "expected": [item.as_dict() for item in self.expected],
            "trouble": self.trouble.as_dict() if self.trouble else None,
            "path": str(self.path),
        }


def parse_entry(text: str, path: Path) -> Entry:
    """Parse an entry from its file's text; raise KnowledgeError with file and line."""
    match = ID.match(path.stem)
    if not match:
        raise KnowledgeError(
            "the file's name is not <date>-<slug>-<8 hex>.md.",
            where=str(path),
            hint="Add it with: mu log add FILE",
        )
    front, body, body_line = read_front_matter(text, path)
    fields = _front_fields(front, path)
    if fields["date"] != match[1]:
        raise KnowledgeError(
            f"date is {fields['date']}, the file's name says {match[1]}.",
            where=f"{path}:{line_of(front, 'date')}",
        )
    defaults: dict[str, str] = {key: fields[key] for key in rows.DEFAULTED if key in fields}
    result: list[rows.ResultRow] = []
    files: list[Path] = []
    expected: list[Expectation] = []
    own_questions: list[OpenQuestion] = []
    settled: list[QuestionSettlement] = []
    marks: list[invalidation.Mark] = []
    sections = markdown.sections(body, body_line)
    for section in sections:
        meant = section.title.rstrip(": ").capitalize()
        if meant in READ_SECTIONS and section.title != meant:
            raise KnowledgeError(
                f"unknown heading {section.title!r}.",
                where=f"{path}:{section.line}",
                hint=f"Write: ## {meant}",
            )
        if section.title == "Results":
            for table in markdown.tables(section, path):
                _check_columns(table, defaults, path)
                result += [parse_row(row.cells, defaults, f"{path}:{row.line}") for row in table.rows]
            more, named_files = _rows_files(section, defaults, path)
            result += more
            files += named_files
        elif section.title == "Expected":
            expected += expectations.parse(section, defaults, path)
        elif section.title == "Open questions":
            more_asked, more_settled = questions.parse(section, path)
            own_questions += more_asked
            settled += more_settled
        elif section.title in invalidation.HEADINGS:
            marks += invalidation.parse(section, path)
    files_named = tuple(
        replace(row, ref=f"{path.stem}#r{number}", date=fields["date"])
        for number, row in enumerate(result, start=1)
    )
    return Entry(
        id=path.stem, path=path, title=fields["title"], type=fields["type"], date=fields["date"],
        summary=fields["summary"], body=body.strip(), context=fields.get("context"),
        supersedes=_list(fields.get("supersedes", "")), links=_list(fields.get("links", "")),
        tags=_list(fields.get("tags", "")), origin=fields.get("origin", ""),
        answers=_list(fields.get("answers", "")), rows=files_named, expected=tuple(expected), questions=tuple(own_questions),
        settles=tuple(settled), files=tuple(files),
        trouble=troubleshooting.parse(sections, path) if fields["type"] == "Troubleshooting" else None,
        marks=tuple(marks),
        body_line=body_line + body[: len(body) - len(body.lstrip())].count("\n"),
    )  # fmt: skip


def _front_fields(front: Mapping, path: Path) -> dict[str, str]:
    fields: dict[str, str] = {}
    for key, value in front.items():
        line = getattr(value, "line", 1)
        if key not in REQUIRED and key not in OPTIONAL:
            raise KnowledgeError(
                f"unknown key {key!r}.",
                where=f"{path}:{line}",
                hint=f"Known: {', '.join((*REQUIRED, *OPTIONAL))}.",
            )
        fields[key] = need_text(value, key, f"{path}:{line}").strip()
    for key in REQUIRED:
        if not fields.get(key):
            raise KnowledgeError(f"the front matter has no {key}.", where=f"{path}:1")
    if fields["type"] not in TYPES:
        raise KnowledgeError(
            f"type {fields['type']!r} is none of {', '.join(TYPES)}.",
            where=f"{path}:{line_of(front, 'type')}",
        )
    try:
        date.fromisoformat(fields["date"])
    except ValueError as error:
        raise KnowledgeError(
            f"{fields['date']!r} is not a date (YYYY-MM-DD).", where=f"{path}:{line_of(front, 'date')}"
        ) from error
    return fields


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _check_columns(table: markdown.Table, defaults: dict[str, str], path: Path) -> None:
    """Report a missing column at the table's own line rather than at its first row."""
    for name in (*rows.REQUIRED, "context", "metric"):
        if name not in table.columns and name not in defaults:
            where_else = " or a key of that name in the front matter" if name in ("context", "metric") else ""
            raise KnowledgeError(
                f"the table under Results has no column {name!r}.",
                where=f"{path}:{table.line}",
                hint=f"Add the column{where_else}. A table of other things belongs under another heading.",
            )


def _rows_files(
    section: markdown.Section, defaults: dict[str, str], path: Path
) -> tuple[list[rows.ResultRow], list[Path]]:
    result: list[rows.ResultRow] = []
    files: list[Path] = []
    for number, text in section.lines:
        if not text.startswith("rows:"):
            continue
        where = f"{path}:{number}"
        match = _ROWS_FILE.match(text)
        if not match:
            raise KnowledgeError(
                "this line does not name a file of rows.", where=where, hint="rows: NAME.csv sha256:HEX"
            )
        file = path.parent / match[1]
        if "/" in match[1] or "\\" in match[1]:
            raise KnowledgeError(f"{match[1]} must be in the folder of the entry.", where=where)
        data = read_text(file)
        if disk.sha256(file) != match[2]:
            raise KnowledgeError(
                f"{match[1]} was changed after the entry was written (its sha256 differs).",
                where=where,
                hint="Restore the file, or write a new entry for the new rows.",
            )
        result += read_csv(data, defaults, file)
        files.append(file)
    return result, files


def entry_paths(log: Path) -> list[Path]:
    """Return every entry's file, oldest date first; also what cannot be read, such as a folder without permission."""
    result: list[Path] = []
    # Refused drafts in .draft/ are no entries.
    for year in _listed(log):
        if year.is_dir():
            try:
                result += [Path(one.path) for one in _listed(Path(year.path)) if one.name.endswith(".md")]
            except OSError:
                result.append(Path(year.path))
    return sorted(result, key=lambda path: path.name)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """Return what a folder has, without hidden names; nothing if there is no such folder."""
    try:
        with os.scandir(folder) as inside:
            return [one for one in inside if not one.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def load_entry(path: Path) -> Entry:
    """Read and parse one entry."""
    return parse_entry(read_text(path), path)

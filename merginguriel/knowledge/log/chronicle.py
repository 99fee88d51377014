"""Read a one-file chronological log: `## DATE – Type: Title`, a type, a general description, sections and tables.

Each heading becomes a draft of an entry. Tables whose columns name methods and baselines become result rows. All other
text is kept as it was written; what could not be typed is listed with its line.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from merginguriel import locales
from merginguriel.errors import KnowledgeError, MuError
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.entries import READ_SECTIONS, TYPES
from merginguriel.knowledge.parse.prose_numbers import bare_differences
from merginguriel.knowledge.parse.row_parser import is_day, parse_row
from merginguriel.knowledge.parse.rows import ResultRow

from .draft_text import Draft, render

HEADING = re.compile(r"^## (\d{4}-\d{2}-\d{2})\s+[–—-]+\s+(?:(\w+):\s*)?(.+?)\s*$")
FIELD = re.compile(r"^\*\*([\w ]+):\*\*\s*(.*?)\s*$")
DESCRIPTIONS = ("general description", "description", "summary")
OWN_FIELDS = ("type", "date", "entry", "answers", "supersedes", "links")  # as `mu log export` writes them
FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
# Columns of a table that name a baseline, in lower case → its kind.
BASELINES = {
    "zs baseline": "best_zero_shot", "zero-shot baseline": "best_zero_shot", "best zero-shot": "best_zero_shot",
    "best source": "best_single_source", "target-only": "target_alone", "target only": "target_alone",
}  # fmt: skip
TARGETS = ("target", "locale", "target locale")
_ACCURACY = re.compile(r"^(0\.\d{2,6}|\d{1,2}\.\d+%)(?:\s*\([^()]*\))?$")


@dataclass(frozen=True)
class Kept:
    """Text that was kept as prose. `what`: why it is no typed data."""

    line: int
    what: str

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON-ready data."""
        return {"line": self.line, "what": self.what}


@dataclass(frozen=True)
class Imported:
    """An entry of the file: the Markdown of a new entry, its rows, and what was kept as prose."""

    title: str
    date: str
    type: str
    line: int
    text: str
    rows: tuple[ResultRow, ...]
    kept: tuple[Kept, ...]


def read(text: str, path: Path, *, context: str, methods: Collection[str]) -> list[Imported]:
    """Return the entries of a chronological log.

    Args:
        text: The file's text.
        path: The file, for places and the origin.
        context: Task and base model of its rows.
        methods: Names of the methods that a column may have.

    Raises:
        KnowledgeError: The file has no heading of this form.
    """
    parts = _parts(text)
    if not parts:
        raise KnowledgeError(
            "this file has no heading like `## 2026-01-20 – Retrospective: Title`.", where=str(path)
        )
    return [_entry(part, path, context, {_plain_name(name): name for name in methods}) for part in parts]


def _parts(text: str) -> list[list[tuple[int, str]]]:
    """Split a file at its dated headings, outside fenced code; what is before the first is left out."""
    parts: list[list[tuple[int, str]]] = []
    fence = ""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        mark = FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        if not fence and HEADING.match(line):
            parts.append([])
        if parts:
            parts[-1].append((number, line))
    return parts


def _entry(part: list[tuple[int, str]], path: Path, context: str, methods: dict[str, str]) -> Imported:
    line, heading = part[0]
    match = HEADING.match(heading)
    assert match is not None  # _parts splits at it
    kept: list[Kept] = []
    day, kind, title = match[1], (match[2] or "").capitalize(), match[3]
    if not is_day(day):
        raise KnowledgeError(f"{day!r} is not a date (YYYY-MM-DD).", where=f"{path}:{line}")
    fields, body = _fields(part[1:])
    kind = fields.get("type", kind).capitalize()
    if kind not in ("Plan", "Observation", "Retrospective"):
        what = f"the type {kind!r}" if kind in TYPES else f"the unknown type {kind!r}" if kind else "no type"
        kept.append(Kept(line, f"{what}: imported as an Observation"))
        kind = "Observation"
    summary = next((fields[name] for name in DESCRIPTIONS if fields.get(name)), title)
    rows = _rows(body, path, context, methods, f"{heading} {summary}", kept)
    sections = _sections(body, kept)
    draft = Draft(
        title=title, type=kind, date=day, summary=_verbatim(summary), context=context, metric="accuracy" if rows else "",
        tags="imported", origin=f"{path.name}, line {line}", sections=tuple(sections), rows=tuple(rows),
    )  # fmt: skip
    return Imported(
        title, day, kind, line, render(draft), tuple(rows), tuple(sorted(kept, key=lambda one: one.line))
    )


def _fields(lines: list[tuple[int, str]]) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Return the fields `**Type:** …` at the beginning, and the lines after them."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(lines):
        match = FIELD.match(lines[at][1])
        if match and match[1].lower() in (*DESCRIPTIONS, *OWN_FIELDS):
            fields[match[1].lower()] = match[2]
        elif lines[at][1].strip():
            break
        at += 1
    body = lines[at:]
    while body and (not body[-1][1].strip() or re.match(r"^(-{3,}|<!--.*-->)\s*$", body[-1][1].strip())):
        body.pop()
    return fields, body


def _verbatim(text: str) -> str:
    """Return a sentence, as a quotation where it has a difference in percent without a unit."""
    return f"“{text.replace('“', '').replace('”', '')}”" if bare_differences(text) else text


def _sections(body: list[tuple[int, str]], kept: list[Kept]) -> list[tuple[str, str]]:
    """Return (heading, Markdown) of the text; open questions in the form of the log."""
    found: list[tuple[str, list[tuple[int, str]]]] = [("Text", [])]
    fence = ""
    for number, line in body:
        mark = FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        heading = None if fence else re.match(r"^#{2,3}\s+(.+?)\s*$", line)
        if heading:
            found.append((heading[1], []))
        else:
            found[-1][1].append((number, line))
    sections: list[tuple[str, str]] = []
    for title, lines in found:
        if not any(line.strip() for _, line in lines):
            continue
        if title.lower() == "open questions":
            asked = [item for _, line in lines if (item := markdown.item(line))]
            sections.append(("Open questions", "\n".join(f"- [open] {item}" for item in asked)))
            continue
        if title.rstrip(": ").capitalize() in READ_SECTIONS:
            title = f"{title} as written"
        text = "\n".join(re.sub(r"^#(?=###)", "", line) for _, line in lines).strip("\n")
        if bare_differences(text):
            kept.append(
                Kept(
                    lines[0][0] - 1,
                    f"section {title!r}: a difference in percent names no unit; kept as it was written",
                )
            )
            wrap = "~~~" if "\n~~~" not in f"\n{text}" else "```"
            text = f"{wrap}markdown\n{text}\n{wrap}"
        sections.append((title, text))
    names: dict[str, int] = {}
    return [(_numbered(title, names), text) for title, text in sections]


def _numbered(title: str, seen: dict[str, int]) -> str:
    seen[title] = seen.get(title, 0) + 1
    return title if seen[title] == 1 else f"{title} ({seen[title]})"


def _rows(
    body: list[tuple[int, str]],
    path: Path,
    context: str,
    methods: dict[str, str],
    about: str,
    kept: list[Kept],
) -> list[ResultRow]:
    """Return the rows of tables that name a target, methods and a mode; list the other tables as kept."""
    found: list[ResultRow] = []
    for number, block in _tables(body):
        columns, *lines = [markdown.cells(line) for line in block]
        names = [_plain_name(name) for name in columns]
        target = next((i for i, name in enumerate(columns) if name.lower() in TARGETS), None)
        measured = {i: methods[name] for i, name in enumerate(names) if name in methods}
        base = next((i for i, name in enumerate(columns) if name.lower() in BASELINES), None)
        mode = _mode(about, columns[base].lower() if base is not None else "")
        why = ""
        if target is None:
            why = "no column Target or Locale"
        elif not measured:
            why = "no column that is named after a method"
        elif not mode:
            why = "ExcTar or IncTar is not stated"
        if why:
            kept.append(Kept(number, f"table {', '.join(columns[:3])} …: {why}"))
            continue
        assert target is not None
        for i, name in enumerate(columns):
            if (
                i not in (target, base)
                and i not in measured
                and all(_accuracy(markdown.cells(x), i) for x in block[2:])
            ):
                kept.append(Kept(number, f"column {_bare(name)}: unknown method"))
        for at, cells in enumerate(lines[1:], start=number + 2):
            for column, method in measured.items():
                row = {
                    "target": _bare(cells[target]),
                    "mode": mode,
                    "method": method,
                    "value": _accuracy(cells, column),
                }
                if base is not None and _accuracy(cells, base):
                    row |= {
                        "baseline_kind": BASELINES[columns[base].lower()],
                        "baseline": _accuracy(cells, base),
                    }
                try:
                    locales.get(row["target"])
                    found.append(parse_row(row, {"context": context, "metric": "accuracy"}, f"{path}:{at}"))
                except MuError as error:
                    kept.append(Kept(at, f"{method} on {row['target']}: {error.what}"))
    return found


def _tables(body: list[tuple[int, str]]) -> list[tuple[int, list[str]]]:
    """Return (first line, lines) of each pipe table whose rows have as many cells as its heading."""
    found: list[tuple[int, list[str]]] = []
    last = -1
    for number, line in body:
        if not line.lstrip().startswith("|"):
            continue
        if number != last + 1:
            found.append((number, []))
        found[-1][1].append(line)
        last = number
    return [
        (number, block)
        for number, block in found
        if len(block) > 2 and len({len(markdown.cells(line)) for line in block}) == 1
    ]


def _plain_name(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", _bare(name).lower())


def _bare(cell: str) -> str:
    return cell.replace("*", "").replace("`", "").strip()


def _accuracy(cells: list[str], column: int) -> str:
    match = _ACCURACY.match(_bare(cells[column]))
    return match[1] if match else ""


def _mode(about: str, baseline: str) -> str:
    """Return the mode that title, summary or the baseline's column states; '' if none or both."""
    stated = [mode for mode in ("ExcTar", "IncTar") if mode.lower() in about.lower()]
    if len(stated) == 1:
        return stated[0]
    if not stated and baseline:
        return "IncTar" if BASELINES[baseline] == "target_alone" else "ExcTar"
    return ""

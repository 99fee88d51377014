"""Sections, tables and list items of a Markdown body, each with its line."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from merginguriel.errors import KnowledgeError

_HEADING = re.compile(r"^(#{1,6})\s(.*)$")
_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"^\s{0,3}(?:[-*+]|\d+[.)])\s+")
_RULE_CELL = re.compile(r"^:?-+:?$")
_BAR = re.compile(r"(?<!\\)\|")
_BARE_RULE = re.compile(r"^\s*:?-+:?\s*\|[\s:|-]*$")


@dataclass(frozen=True)
class Section:
    """A `##` section."""

    title: str
    line: int
    lines: tuple[tuple[int, str], ...]  # (line in the file, text), fenced code left out

    @property
    def text(self) -> str:
        """Return the text without surrounding blanks and without fenced code."""
        return "\n".join(text for _, text in self.lines).strip()


@dataclass(frozen=True)
class TableRow:
    """A row of a pipe table: column → cell."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A pipe table."""

    line: int
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


GENERATED = re.compile(r"^<!-- mu:(?P<kind>rows|means) (?P<selector>[^>\n]+?) -->$")
GENERATED_END = "<!-- mu:end -->"


def without_generated(section: Section) -> Section:
    """Return the section without its tables that are generated from rows."""
    inside, lines = False, []
    for number, text in section.lines:
        inside = (inside or bool(GENERATED.match(text))) and text != GENERATED_END
        if not inside:
            lines.append((number, text))
    return replace(section, lines=tuple(lines))


def sections(body: str, first_line: int = 1) -> list[Section]:
    """Return the `##` sections of `body` in order; text before the first has the title ''."""
    result: list[tuple[str, int, list[tuple[int, str]]]] = [("", first_line, [])]
    fence: str | None = None
    for number, text in enumerate(body.split("\n"), start=first_line):
        mark = _FENCE.match(text) if "```" in text or "~~~" in text else None
        if mark and (fence is None or mark[1].startswith(fence)):
            fence = None if fence else mark[1]
            continue
        if fence:
            continue
        heading = _HEADING.match(text) if text.startswith("##") else None
        if heading and len(heading[1]) == 2:
            result.append((heading[2].strip().rstrip("#").rstrip(), number, []))
        else:
            result[-1][2].append((number, text))
    return [Section(title, line, tuple(lines)) for title, line, lines in result]


def tables(section: Section, path: Path) -> list[Table]:
    """Parse the pipe tables of a section; raise KnowledgeError for a row with too few or too many cells."""
    result: list[Table] = []
    block: list[tuple[int, str]] = []
    for number, text in (*section.lines, (0, "")):
        if text.lstrip().startswith("|"):
            block.append((number, text))
            continue
        if _BARE_RULE.match(text):
            raise KnowledgeError(
                "this looks like a table, but its lines do not start with a bar.",
                where=f"{path}:{number}",
                hint="Write | at both ends of every line of the table.",
            )
        if block:
            result.append(_table(block, path))
        block = []
    return result


def _table(block: list[tuple[int, str]], path: Path) -> Table:
    first = block[0][0]
    if len(block) < 2 or not all(_RULE_CELL.match(cell) for cell in cells(block[1][1])):
        raise KnowledgeError(
            "a table needs a line of | --- | under its column names.",
            where=f"{path}:{first}",
            hint="See docs/formats.md.",
        )
    columns = tuple(cells(block[0][1]))
    for name in columns:
        if columns.count(name) > 1:
            raise KnowledgeError(f"the column {name!r} appears twice.", where=f"{path}:{first}")
    rows = []
    for number, text in block[2:]:
        values = cells(text)
        if len(values) != len(columns):
            raise KnowledgeError(
                f"this row has {len(values)} cells, the table has {len(columns)} columns.",
                where=f"{path}:{number}",
                hint="Write - in a cell that has no value; write \\| for a bar inside a cell.",
            )
        rows.append(TableRow(number, dict(zip(columns, values, strict=True))))
    return Table(first, columns, tuple(rows))


def item(text: str) -> str | None:
    """Return what follows the mark of a list item, `- ` or `1. `; None for other lines."""
    mark = _ITEM.match(text)
    return text[mark.end() :] if mark else None


def cells(text: str) -> list[str]:
    """Split a table line: `| a | b |` → ['a', 'b']."""
    inner = text.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(inner)]


def format_table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a pipe table with aligned columns."""
    safe = [[" ".join(cell.replace("|", "\\|").splitlines()) for cell in row] for row in rows]
    widths = [max(len(name), 3, *(len(row[i]) for row in safe)) for i, name in enumerate(columns)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(columns, widths, strict=True)) + " |"]
    lines.append("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    lines += ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in safe]
    return "\n".join(lines)

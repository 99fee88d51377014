"""An entry before it has a name, and its text as Markdown and CSV."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from merginguriel import files
from merginguriel.knowledge.parse import rows
from merginguriel.knowledge.parse.markdown import format_table
from merginguriel.knowledge.parse.rows import ResultRow, row_cells


@dataclass(frozen=True)
class Draft:
    """An entry before it has a name. `sections` are (heading, Markdown) in order, without Results."""

    title: str
    type: str
    date: str
    summary: str
    context: str = ""
    metric: str = ""
    n: str = ""
    seed: str = ""
    code: str = ""
    supersedes: str = ""
    links: str = ""
    answers: str = ""
    tags: str = ""
    origin: str = ""
    sections: tuple[tuple[str, str], ...] = ()
    rows: tuple[ResultRow, ...] = ()


def slug(title: str) -> str:
    """Return a title as part of a file name: `The Merging Effect (Why?)` → `the-merging-effect-why`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    text = ""
    for word in words:
        if len(text) + len(word) > 47:
            break
        text = f"{text}-{word}" if text else word
    return text or "entry"


def quoted(text: str) -> str:
    """Return a YAML double-quoted scalar on one line that is read back as the same words."""
    plain = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    # YAML refuses control characters; escaped, they are harmless.
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in plain) + '"'


def render(draft: Draft, rows_file: tuple[str, str] | None = None, *, raw_table: str = "") -> str:
    """Return the Markdown text of an entry.

    `rows_file`: name and sha256 of a CSV that holds further rows. `raw_table`: a Results table as text, not yet
    checked, in place of `draft.rows`.
    """
    front = {
        "title": draft.title, "type": draft.type, "date": draft.date, "summary": draft.summary,
        "context": draft.context, "metric": draft.metric, "n": draft.n, "seed": draft.seed, "code": draft.code, "supersedes": draft.supersedes,
        "links": draft.links, "answers": draft.answers, "tags": draft.tags, "origin": draft.origin,
    }  # fmt: skip
    lines = ["---", *(f"{key}: {quoted(value)}" for key, value in front.items() if value), "---", ""]
    before = [s for s in draft.sections if s[0] in ("What was tried", "Expected", "Error pattern")]
    after = [s for s in draft.sections if s not in before]
    for heading, text in before:
        lines += [f"## {heading}", "", text.strip(), ""]
    if draft.rows or rows_file or raw_table:
        lines += ["## Results", ""]
        if draft.rows or raw_table:
            lines += [raw_table or results_table(draft.rows, front), ""]
        if rows_file:
            lines += [f"rows: {rows_file[0]} sha256:{rows_file[1]}", ""]
    for heading, text in after:
        lines += [f"## {heading}", "", text.strip(), ""]
    return "\n".join(lines)


def results_table(result: Sequence[ResultRow], front: Mapping[str, str]) -> str:
    """Return the Results table: columns that any row fills and the front matter does not give for all."""
    cells = [row_cells(row) for row in result]
    common = {c for c in rows.DEFAULTED if front.get(c) and all(row[c] == front[c] for row in cells)}
    columns = [
        c
        for c in rows.COLUMNS
        if c in rows.REQUIRED or (c not in common and any(row[c] != "-" for row in cells))
    ]
    return format_table(columns, [[row[c] for c in columns] for row in cells])


def rows_csv(result: Sequence[ResultRow]) -> str:
    """Return rows as CSV text with the table's columns."""
    cells = [row_cells(row) for row in result]
    columns = [c for c in rows.COLUMNS if c in rows.REQUIRED or any(row[c] != "-" for row in cells)]
    return files.csv_text([columns, *([row[c] for c in columns] for row in cells)])

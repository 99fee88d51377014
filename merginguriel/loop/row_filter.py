"""Which rows of runs go into an entry of the log, and with which picture?"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.rows import COLUMNS, ResultRow, row_cells

PNG = b"\x89PNG\r\n\x1a\n"


def only(rows: Sequence[ResultRow], text: str) -> list[ResultRow]:
    """The rows whose cell is one of the values: `method=ties,slerp`. Raises UsageError where that leaves none."""
    column, sign, given = (part.strip() for part in text.partition("="))
    if not sign:
        raise UsageError(f"--only {text!r} is not COLUMN=VALUE.", mend=f"Columns are: {', '.join(COLUMNS)}.")
    if column not in COLUMNS:
        raise UsageError(
            f"--only {text!r}: rows have no column {column!r}.",
            mend=f"{_near(column, COLUMNS)}Columns are: {', '.join(COLUMNS)}.",
        )
    there = sorted({row_cells(row)[column] for row in rows})
    values = [value.strip() for value in given.split(",")]
    for value in values:
        if value not in there:
            more = f" and {len(there) - 20} more" if len(there) > 20 else ""
            raise UsageError(
                f"--only {text!r}: no row has {column} {value!r}.",
                mend=f"{_near(value, there)}There are: {', '.join(there[:20])}{more}.",
            )
    return [row for row in rows if row_cells(row)[column] in values]


def picture(text: str) -> tuple[str, Path]:
    """Caption and file of `CAPTION=FILE.png`. Raises UsageError where there is no such file, or no PNG in it."""
    caption, sign, name = text.rpartition("=")
    if not sign or not caption.strip() or not name.strip():
        raise UsageError(
            f"--figure {text!r} is not CAPTION=FILE.png.", mend="Like: --figure 'Accuracies=matrix.png'"
        )
    path = Path(name.strip())
    if not path.is_file():
        there = sorted(one.name for one in path.parent.glob("*.png")) if path.parent.is_dir() else []
        near = _near(path.name, there)
        raise UsageError("there is no such figure.", where=str(path), mend=near.strip() or None)
    with path.open("rb") as file:
        if file.read(len(PNG)) != PNG:
            raise UsageError(
                "this figure is no PNG.", where=str(path), mend="mu report writes figures as PNG."
            )
    return caption.strip(), path


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?\n" if near else ""

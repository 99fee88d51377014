"""Parse --only and --figure of `mu log add`: rows of runs that go into an entry, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.rows import COLUMNS, ResultRow, row_cells
from merginguriel.text.suggest import suggest

PNG = b"\x89PNG\r\n\x1a\n"


def only(rows: Sequence[ResultRow], text: str) -> list[ResultRow]:
    """Return the rows whose cell is one of the values of `COLUMN=VALUE`: `method=ties,slerp`.

    Raises:
        UsageError: Not of this form, an unknown column, or a value that no row has.
    """
    column, sign, given = (part.strip() for part in text.partition("="))
    if not sign:
        raise UsageError(f"--only {text!r} is not COLUMN=VALUE.", hint=f"Columns: {', '.join(COLUMNS)}.")
    if column not in COLUMNS:
        raise UsageError(
            f"--only {text!r}: unknown column {column!r}.",
            hint=f"{_near(column, COLUMNS)}Columns: {', '.join(COLUMNS)}.",
        )
    there = sorted({row_cells(row)[column] for row in rows})
    values = [value.strip() for value in given.split(",")]
    for value in values:
        if value not in there:
            more = f" and {len(there) - 20} more" if len(there) > 20 else ""
            raise UsageError(
                f"--only {text!r}: no row has {column} {value!r}.",
                hint=f"{_near(value, there)}Values: {', '.join(there[:20])}{more}.",
            )
    return [row for row in rows if row_cells(row)[column] in values]


def picture(text: str) -> tuple[str, Path]:
    """Return caption and file of `CAPTION=FILE.png`.

    Raises:
        UsageError: Not of this form, no such file, or not a PNG.
    """
    caption, sign, name = text.rpartition("=")
    if not sign or not caption.strip() or not name.strip():
        raise UsageError(
            f"--figure {text!r} is not CAPTION=FILE.png.", hint="Example: --figure 'Accuracies=matrix.png'"
        )
    path = Path(name.strip())
    if not path.is_file():
        there = sorted(one.name for one in path.parent.glob("*.png")) if path.parent.is_dir() else []
        near = _near(path.name, there)
        raise UsageError("figure not found.", where=str(path), hint=near.strip() or None)
    with path.open("rb") as file:
        if file.read(len(PNG)) != PNG:
            raise UsageError(
                "the figure is not a PNG.", where=str(path), hint="mu report writes figures as PNG."
            )
    return caption.strip(), path


def _near(name: str, known: Sequence[str]) -> str:
    near = suggest(name, known, n=1, cutoff=0.5)
    return f"{near}\n" if near else ""

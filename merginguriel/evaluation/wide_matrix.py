"""N×N matrices as a plain wide table, models × locales, as pandas reads and writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from merginguriel import locales
from merginguriel.errors import MuError, UsageError
from merginguriel.files import csv_lines, csv_text, sha256, write_text
from merginguriel.metrics import registry as metrics

from . import nxn
from .nxn import Matrix

IMPORTED = "imported"  # stands in a pair's origin for the digest of its model
EMPTY = ("", "nan", "na", "n/a", "none")


def load(path: Path, *, items: int = 0, percent: bool = False, metric: str = "accuracy") -> Matrix:
    """Read a wide table: the first column names models, the first line locales.

    Args:
        items: Number of items that each value was measured on; 0 if it is not known.

    Raises:
        MuError: With file and line, for a name that is no locale or a value out of range.
    """
    lines = [line for line in csv_lines(path) if line]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise MuError(
            "this is not a wide matrix.",
            where=str(path),
            hint="Its first line has the locales, its first column the models.",
        )
    targets = [locale_in(name, f"{path}:1") for name in lines[0][1:]]
    unit = metrics.find(metric).unit
    values: dict[tuple[str, str], float] = {}
    sources: list[str] = []
    for number, cells in enumerate(lines[1:], 2):
        where = f"{path}:{number}"
        source = locale_in(cells[0], where)
        if source in sources:
            raise MuError(f"{source} has two rows.", where=where)
        if len(cells) != len(targets) + 1:
            raise MuError(f"{len(cells)} cells under {len(targets) + 1} columns.", where=where)
        sources.append(source)
        for target, cell in zip(targets, cells[1:], strict=True):
            if cell.strip().lower() in EMPTY:
                continue
            try:
                value = float(cell) / (100 if percent else 1)
            except ValueError:
                raise MuError(f"{cell!r} is not a number.", where=where) from None
            if not unit.low <= value <= unit.high:
                raise UsageError(
                    f"{metric} of {source} on {target} is {cell}: expected {unit.low:g} to {unit.high:g}.",
                    where=where,
                    hint="If the values are percentages: --percent",
                )
            values[source, target] = value
    if len(set(targets)) < len(targets):
        double = next(one for one in targets if targets.count(one) > 1)
        raise MuError(f"{double} has two columns.", where=f"{path}:1")
    if not values:
        raise MuError("the matrix holds no value.", where=str(path))
    origin = dict.fromkeys(values, (IMPORTED, sha256(path)[:16]))
    return nxn.of_cells(values, dict.fromkeys(targets, items), origin, sources, targets, metric=metric)


def locale_in(name: str, where: str) -> str:
    """Return the locale that a row or column is named after: `sw-KE`, or a model's name that ends in it."""
    last = name.strip().replace("/", "_").rpartition("_")[2]
    for text in (name.strip(), last):
        if locales.normalize(text) in locales.table():
            return locales.normalize(text)
    near = ", ".join(locales.nearest(last)) or "a tag like sw-KE"
    raise MuError(
        f"{name!r} is not a locale, and does not end in one.", where=where, hint=f"Nearest: {near}."
    )


def save(path: Path, matrix: Matrix) -> None:
    """Write the matrix as a wide table; `pandas.read_csv(path, index_col=0)` reads it."""
    rows = zip(matrix.sources, matrix.scores, strict=True)
    cells = ([source, *("" if np.isnan(v) else repr(float(v)) for v in row)] for source, row in rows)
    write_text(path, csv_text([["", *matrix.targets], *cells]))

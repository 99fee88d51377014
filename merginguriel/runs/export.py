"""Export of result rows to Parquet, CSV and LaTeX."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from merginguriel import files
from merginguriel.errors import UsageError, missing_extra
from merginguriel.knowledge.parse.rows import COLUMNS
from merginguriel.metrics.registry import metrics
from merginguriel.text.suggest import close
from merginguriel.workspace import Workspace

from . import run_index

ALL = (*COLUMNS, "gain_pp")
PAPER = (
    "target",
    "mode",
    "method",
    "similarity",
    "k",
    "value",
    "baseline_kind",
    "baseline",
    "gain_pp",
    "se",
    "n",
)
HEADS = {
    "baseline_kind": "against",
    "gain_pp": "gain (pp)",
    "se": "s.e. (pp)",
}  # of shares; `value`: its metric
ESCAPES = {"\\": r"\textbackslash{}", **{c: "\\" + c for c in "&%$#_{}"}, "~": r"\textasciitilde{}",
           "^": r"\textasciicircum{}", "×": r"$\times$", "−": "$-$"}  # fmt: skip


def export(space: Workspace, out: Path, ids: Sequence[str] = (), chosen: Sequence[str] = ()) -> int:
    """Write the result rows of runs to a file.

    Args:
        out: The file. Its suffix is its format: .parquet, .csv (plain numbers, empty cells for missing values) or .tex (a
            booktabs table).
        ids: Ids of runs; none: all that have finished.
        chosen: Columns, in this order; none: all, or for .tex those of a paper.

    Returns:
        The number of rows.

    Raises:
        UsageError: For another suffix, an unknown column, or no rows.
    """
    writers = {".parquet": parquet, ".csv": plain_csv, ".tex": latex}
    if out.suffix not in writers:
        near = close(out.suffix, writers, n=1, cutoff=0.5)
        raise UsageError(
            f"unknown format {out.suffix!r} of {out.name}." if out.suffix else f"{out.name} has no suffix.",
            hint=f"{f'Did you mean {out.with_suffix(near[0]).name}? ' if near else ''}Formats are: {', '.join(writers)}.",
        )
    odd = [name for name in chosen if name not in ALL]
    if odd:
        raise UsageError(f"unknown column {odd[0]!r}.", hint=f"Columns are: {', '.join(ALL)}.")
    rows = run_index.cells(run_index.result_rows(space, ids))
    if not rows:
        raise UsageError("nothing to export: no run has finished.", hint="See: mu runs list")
    columns = tuple(chosen) or (PAPER if out.suffix == ".tex" else ALL)
    files.write_bytes(out, writers[out.suffix](rows, columns))
    return len(rows)


def plain_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> bytes:
    """Return rows as CSV."""
    cells = (["" if row[c] is None else row[c] for c in columns] for row in rows)
    return files.csv_text([columns, *cells]).encode("utf-8")


def parquet(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> bytes:
    """Return rows as Parquet."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise missing_extra("pyarrow") from error
    kinds = {"INTEGER": pyarrow.int64(), "REAL": pyarrow.float64(), "TEXT": pyarrow.string()}
    schema = pyarrow.schema([(name, kinds[run_index.ROWS[name]]) for name in columns])
    table = pyarrow.Table.from_pylist([{c: row[c] for c in columns} for row in rows], schema=schema)
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def latex(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> bytes:
    """Return rows as a booktabs table, with shares in percent."""
    measured = {str(row["metric"]) for row in rows}
    heads = HEADS | ({"value": measured.pop()} if len(measured) == 1 else {})
    numbers = [c for c in columns if run_index.ROWS[c] != "TEXT"]
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{''.join('r' if c in numbers else 'l' for c in columns)}}}",
        r"\toprule",
        " & ".join(escaped(heads.get(c, c)) for c in columns) + r" \\",
        r"\midrule",
        *(" & ".join(shown(row, c) for c in columns) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return ("\n".join(lines) + "\n").encode("utf-8")


def shown(row: dict[str, Any], column: str) -> str:
    """Return a cell of the LaTeX table."""
    value = row[column]
    if value is None:
        return "--"
    if column in ("value", "baseline"):
        known = metrics().get(str(row["metric"]))
        return f"{100 * value:.2f}" if known and known.unit.percent else f"{value:.4f}"
    if isinstance(value, float):
        return f"{value:+.2f}".replace("-", "$-$") if column == "gain_pp" else f"{value:.2f}"
    return escaped(str(value))


def escaped(text: str) -> str:
    """Escape the special characters of LaTeX."""
    return "".join(ESCAPES.get(c, c) for c in text)

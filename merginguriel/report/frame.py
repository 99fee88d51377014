"""Result rows of a workspace as a pandas DataFrame."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Literal

import pandas as pd

from merginguriel.errors import UsageError
from merginguriel.knowledge.base import load
from merginguriel.knowledge.parse.row_parser import read_csv
from merginguriel.knowledge.parse.rows import HIDDEN, ResultRow
from merginguriel.workspace import Workspace, find

from .scored_arms import kind_of

Source = Literal["log", "runs", "both"]
NOT_COLUMNS = (*HIDDEN, "ref", "params")
COLUMNS = [
    "source", "id", "kind", *(f.name for f in fields(ResultRow) if f.name not in NOT_COLUMNS), "params", "difference_pp",
]  # fmt: skip


def frame(workspace: Workspace | Path | str | None = None, source: Source = "both") -> pd.DataFrame:
    """Return the result rows of a workspace as a pandas DataFrame, one row per measurement and baseline.

    Args:
        workspace: A folder, or what `workspace.find` returns; None for the nearest one upwards from here, else the
            shipped knowledge.
        source: `log` for the rows of its entries, `runs` for those of its finished runs, or `both`.

    Returns:
        The fields of ResultRow (docs/formats.md), and:
        source: `log` or `runs`.
        id: `<entry>#r<n>` of a row of the log; the run's id of another.
        kind: `merge`, `ensemble`, `single`, or `compat` for a comparison of two models.
        params: As `density=0.2 scale=1.0`.
        difference_pp: Value minus baseline in percentage points.

    Raises:
        UsageError: No workspace in that folder, or an unknown source.
    """
    if source not in ("log", "runs", "both"):
        raise UsageError(f"unknown source {source!r}.", hint="Sources: log, runs, both")
    space = (
        workspace
        if isinstance(workspace, Workspace)
        else find(explicit=Path(workspace) if workspace else None)
    )
    rows: list[dict[str, object]] = []
    if source != "runs":
        rows += [_record("log", row.ref, row) for row in load(space).rows]
    if source != "log":
        for path in sorted((space.root / "runs").glob("*/rows.csv")):
            found = read_csv(path.read_text(encoding="utf-8"), {}, path)
            rows += [_record("runs", path.parent.name, row) for row in found]
    return pd.DataFrame(rows, columns=COLUMNS).convert_dtypes()


def _record(source: str, name: str, row: ResultRow) -> dict[str, object]:
    params = " ".join(f"{key}={value}" for key, value in row.params)
    kind = row.method if row.method == "compat" else kind_of(row)
    own = {
        "source": source,
        "id": name,
        "kind": kind,
        "params": params,
        "difference_pp": row.difference_pp,
    }
    return {**row.as_dict(), **own}

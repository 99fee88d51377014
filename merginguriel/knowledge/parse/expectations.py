"""Parse what a plan expects: a difference in pp, or the probability of a gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merginguriel.errors import KnowledgeError, UsageError

from .markdown import Section, format_table, tables
from .row_parser import CellError, parse_row, parse_value
from .rows import BASELINE_KINDS, ResultRow

# A table that has one of these is read, and then every cell of it must be readable; any other is text.
STATED = ("low", "high", "p_positive")
CELLS = ("context", "target", "mode", "method", "params", "similarity", "k", "sources")
COLUMNS = (*CELLS, "over", *STATED, "level", "plan", "note")
LEVEL = 0.8  # of an interval that does not say how often it means to hold
OVER = {"ExcTar": "best_single_source", "IncTar": "target_alone"}


@dataclass(frozen=True)
class Expectation:
    """One row of an Expected table.

    Attributes:
        low_pp, high_pp: Interval of value − baseline in percentage points; one of them may be open (None).
        level: Probability that the interval is meant to have.
        p_positive: P(value > baseline).
        over: Kind of baseline, as in a result row.
        plan: Id of the plan that expected it, where another entry writes it down; else ''.
    """

    context: str
    target: str
    mode: str
    method: str
    over: str
    params: tuple[tuple[str, str], ...] = ()
    similarity: str | None = None
    k: int | None = None
    sources: tuple[str, ...] = ()
    low_pp: float | None = None
    high_pp: float | None = None
    level: float = LEVEL
    p_positive: float | None = None
    plan: str = ""
    note: str = ""
    where: str = ""  # file:line

    def label(self) -> str:
        """Return `sw-KE ExcTar ties REAL 5 density=0.2`."""
        params = " ".join(f"{key}={value}" for key, value in self.params)
        return " ".join(
            str(x) for x in (self.target, self.mode, self.method, self.similarity, self.k, params) if x
        )

    def as_dict(self) -> dict[str, object]:
        """Return the expectation as JSON-ready data."""
        result = {name: value for name, value in vars(self).items() if name != "where"}
        return {**result, "params": dict(self.params), "sources": list(self.sources)}

    def covers(self, row: ResultRow) -> bool:
        """Return whether a row measures this expectation; open fields match anything."""
        return (
            (row.context, row.target, row.mode, row.method)
            == (self.context, self.target, self.mode, self.method)
            and self.similarity in (None, row.similarity)
            and self.k in (None, row.k)
            and (not self.sources or sorted(self.sources) == sorted(row.sources))
            and set(self.params) <= set(row.params)
        )


def parse(section: Section, defaults: Mapping[str, str], path: Path) -> list[Expectation]:
    """Parse the expectations of a section; raise KnowledgeError with file and line."""
    result = []
    for table in tables(section, path):
        if not set(STATED) & set(table.columns):
            continue
        for name in table.columns:
            if name not in COLUMNS:
                raise KnowledgeError(
                    f"the table under Expected has an unknown column {name!r}.",
                    where=f"{path}:{table.line}",
                    hint=f"Known: {', '.join(COLUMNS)}.",
                )
        result += [_expectation(row.cells, defaults, f"{path}:{row.line}") for row in table.rows]
    return result


def _expectation(cells: Mapping[str, str], defaults: Mapping[str, str], where: str) -> Expectation:
    def cell(name: str) -> str:
        text = cells.get(name, "").strip()
        return "" if text in ("-", "–", "—") else text

    def share(name: str) -> float | None:
        return parse_value(cell(name), "share", name, where) if cell(name) else None

    # What names a merge is checked as in a result row.
    values = {name: cells[name] for name in CELLS if name in cells}
    values = {**values, "mode": cell("mode") or "ExcTar", "value": "0"}
    values.setdefault("target", "")
    values.setdefault("method", "")
    context = {"context": defaults.get("context", ""), "metric": defaults.get("metric") or "accuracy"}
    row = parse_row(values, context, where)
    low, high = (parse_value(cell(n), "pp", n, where) if cell(n) else None for n in ("low", "high"))
    p_positive, level = share("p_positive"), share("level")
    over = cell("over") or OVER[row.mode]
    if over not in BASELINE_KINDS:
        raise CellError(
            f"unknown baseline kind {over!r} in the column over.",
            where=where,
            hint=f"Known: {', '.join(BASELINE_KINDS)}.",
            column="over",
        )
    if low is None and high is None and p_positive is None:
        raise KnowledgeError(
            "this row states no expectation that can be scored.",
            where=where,
            hint="Give low and high, `+1 pp` and `+3 pp` (one may be - for open), or p_positive.",
        )
    if low is not None and high is not None and low > high:
        raise KnowledgeError(f"low, {low:+g} pp, must not be above high, {high:+g} pp.", where=where)
    return Expectation(
        context=row.context, target=row.target, mode=row.mode, method=row.method, over=over, params=row.params,
        similarity=row.similarity, k=row.k, sources=row.sources, low_pp=low, high_pp=high,
        level=LEVEL if level is None else level, p_positive=p_positive, plan=cell("plan"), note=cell("note"),
        where=where,
    )  # fmt: skip


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return the Expected table of these cells, columns in their usual order; numbers under low and high are pp."""
    names = [name for name in COLUMNS if any(row.get(name) not in (None, "") for row in rows)]
    names += sorted({str(name) for row in rows for name in row} - set(COLUMNS))

    def text(name: str, value: object) -> str:
        if value in (None, ""):
            return "-"
        return f"{value:+g} pp" if name in ("low", "high") and isinstance(value, int | float) else str(value)

    return format_table(names, [[text(name, row.get(name)) for name in names] for row in rows])


def in_pp(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an expectation's cells with `low_pp` and `high_pp` under the table's column names."""
    return {name.removesuffix("_pp"): _pp(name, value) for name, value in row.items()}


def _pp(name: str, value: Any) -> Any:
    if not name.endswith("_pp") or value in (None, ""):
        return value
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"{name} must be a number of percentage points, got {value!r}.") from error

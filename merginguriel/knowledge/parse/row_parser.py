"""Parse result rows from table cells and CSV: typed, in one unit, and consistent with each other."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from merginguriel import locales
from merginguriel.errors import KnowledgeError, MuError, UsageError
from merginguriel.similarity import choice

from .rows import (
    BASELINE_KINDS,
    CODE,
    COLUMNS,
    MODES,
    PAIRWISE,
    REQUIRED,
    SAW,
    STATUSES,
    ItemBits,
    ResultRow,
    is_context,
    known_metrics,
    unit_of,
)

DIFFERENCES = ("gain", "delta", "effect", "improvement", "difference", "change")

RELEASED = "2026-11-21"  # day of the newest shipped entry
FIRST_ZONE = timezone(timedelta(hours=14))  # the time zone in which a day begins first

_NUMBER = re.compile(r"^[+-]?[0-9]{1,18}(\.[0-9]+)?$")
_WHOLE = re.compile(r"^[0-9]{1,18}$")
_METHOD = re.compile(r"^[a-zA-Z0-9][\w@+.()×-]*\Z")


class CellError(KnowledgeError):
    """A cell that cannot be read. `column`: its column, where the error is of one."""

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, column: str | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.column = column


def parse_row(cells: Mapping[str, str], defaults: Mapping[str, str], where: str) -> ResultRow:
    """Parse the cells of one result row.

    Args:
        cells: Column → text.
        defaults: Column → text for columns that the table does not have; from the front matter.
        where: Place of the row, file:line.

    Raises:
        CellError: A cell cannot be read; `column` names it.
        KnowledgeError: Cells contradict each other.
    """

    def fail(column: str, what: str, hint: str | None = None) -> CellError:
        return CellError(what, where=where, hint=hint, column=column)

    def cell(name: str) -> str:
        text = (cells[name] if name in cells else defaults.get(name, "")).strip()
        return "" if text in ("-", "–", "—") else text

    def integer(name: str) -> int | None:
        text = cell(name)
        if text == "":
            return None
        if not _WHOLE.match(text):
            raise fail(name, f"column {name!r} must be a whole number, got {text!r}.")
        return int(text)

    for name in REQUIRED:
        if name not in cells:
            raise fail(
                name, f"the table has no column {name!r}.", f"A result row needs: {', '.join(REQUIRED)}."
            )
    context, metric, method = cell("context"), cell("metric"), cell("method")
    for name, text in (("context", context), ("metric", metric), ("method", method)):
        if not text:
            raise fail(
                name,
                f"the row has no {name}.",
                f"Add a column {name}, or `{name}:` to the front matter for the whole entry.",
            )
    if not is_context(context):
        raise fail(
            "context",
            f"{context!r} is not a context.",
            "Write task/base-model, like massive/xlm-roberta-base.",
        )
    try:
        unit = unit_of(metric)
    except UsageError:
        raise fail("metric", f"unknown metric {metric!r}.", f"Known: {', '.join(known_metrics())}.") from None
    if not _METHOD.match(method):
        raise fail("method", f"{method!r} is not a method name.", "One word: letters, digits, _ . + ( ) -")
    mode = cell("mode") or "-"
    if mode not in MODES:
        raise fail("mode", f"unknown mode {mode!r}.", f"Known: {', '.join(MODES)}.")

    def locale(column: str, name: str) -> str:
        try:
            return locales.get(name).tag
        except MuError as error:
            raise fail(column, error.what, error.hint) from error

    target = locale("target", cell("target")) if cell("target") else "-"
    sources = tuple(locale("sources", name) for name in cell("sources").split())

    if cell("value") == "":
        raise fail(
            "value", "the row has no value.", "A row is one measured number; leave out a row without one."
        )
    value = parse_value(cell("value"), unit, "value", where)
    baseline_text, kind = cell("baseline"), cell("baseline_kind") or None
    baseline = parse_value(baseline_text, unit, "baseline", where) if baseline_text else None
    if (baseline is None) != (kind is None):
        raise fail("baseline", "baseline and baseline_kind must be given together.")
    if kind is not None and kind not in BASELINE_KINDS:
        raise fail(
            "baseline_kind", f"unknown baseline_kind {kind!r}.", f"Known: {', '.join(BASELINE_KINDS)}."
        )
    similarity = cell("similarity") or None
    try:
        choice.parsed(similarity or "URIEL")
    except UsageError as error:
        raise fail("similarity", error.what, error.hint) from None
    saw = cell("saw") or None
    if saw not in (None, *SAW):
        raise fail("saw", f"unknown value of saw {saw!r}.", f"Known: {', '.join(SAW)}.")
    status = cell("status") or "current"
    if status not in STATUSES:
        raise fail("status", f"unknown status {status!r}.", f"Known: {', '.join(STATUSES)}.")
    code, measured = cell("code").lower() or None, cell("measured") or None
    if code and not CODE.match(code):
        raise fail("code", f"code must be a commit or a version, got {code!r}.", "7 to 40 hex digits, as git prints them; or a version, 0.1.0.")  # fmt: skip
    if measured and not is_day(measured):
        raise fail("measured", f"measured must be a date YYYY-MM-DD, got {measured!r}.")
    n, k, wins, losses = integer("n"), integer("k"), integer("wins"), integer("losses")
    if n == 0:
        raise fail("n", "n must be 1 or more, got 0.")
    if k == 0:
        raise fail("k", "k must be 1 or more, got 0.", "Write - where the number of sources does not apply.")
    weights = _weights(cell("weights"), where)
    row = ResultRow(
        context=context, target=target, mode=mode, method=method, metric=metric, value=value, n=n,
        params=_params(cell("params"), where), similarity=similarity, k=k, sources=sources, weights=weights,
        seed=integer("seed"), saw=saw, baseline_kind=kind, baseline=baseline, wins=wins, losses=losses,
        se_pp=_error(cell("se"), unit, where),
        run=cell("run") or None, code=code, measured=measured, status=status, note=cell("note"),
        items=cell("items") or None, where=where,
    )  # fmt: skip
    _check(row, where)
    _check_differences(cells, row, where)
    return row


def _error(text: str, unit: str, where: str) -> float | None:
    """Parse the standard error of a difference: in `pt` for a correlation or a score, else in `pp`."""
    if unit in ("correlation", "score") and text.endswith("pt"):
        text = f"{text.removesuffix('pt').strip()} pp"
    return parse_value(text, "pp", "se", where) if text else None


def is_day(text: str) -> bool:
    """Return whether `text` is a day written YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def is_future(day: str) -> bool:
    """Return whether `day` (YYYY-MM-DD) has not begun in any time zone.

    No day up to that of the newest shipped entry is in the future, however wrong this machine's clock is.
    """
    return day > max(datetime.now(FIRST_ZONE).date().isoformat(), RELEASED)


def parse_value(text: str, unit: str, column: str, where: str) -> float:
    """Parse a cell's number in the unit of its metric.

    Args:
        text: The cell.
        unit: `fraction`, `score`, `correlation`, `count` or `pp`.
        column: Name of the column, for the error.
        where: Place of the cell, file:line.

    Raises:
        CellError: The text is no number of this unit, or could be read in two ways.
    """
    plain = text.replace("−", "-").replace(" ", " ").strip()

    def fail(what: str, hint: str) -> CellError:
        return CellError(f"column {column!r} says {text!r}: {what}", where=where, hint=hint, column=column)

    if unit == "count":
        number = plain[:-1] if plain[-1:] in "KMB" else plain
        scale = {"K": 1e3, "M": 1e6, "B": 1e9}.get(plain[-1:], 1.0)
        if not _NUMBER.match(number) or number.startswith("-"):
            raise fail("not a count.", "Write digits, with K, M or B for thousands, millions, billions: 18M.")
        return float(number) * scale
    if unit == "pp":
        if not plain.endswith("pp"):
            raise fail("no unit.", "Write a difference with its unit: +2.57 pp.")
        plain = plain.removesuffix("pp").strip()
        if not _NUMBER.match(plain):
            raise fail("not a number.", "Write it like +2.57 pp.")
        return float(plain)
    scale = 1.0
    if unit == "share" and plain.endswith("%"):
        plain, scale = plain[:-1].strip(), 100.0
    if unit == "score" and plain.endswith("pt"):
        plain, scale = plain.removesuffix("pt").strip(), 100.0
    if not _NUMBER.match(plain):
        raise fail("not a number.", "Write digits with a decimal point, like 0.4832.")
    number_ = float(plain) / scale
    low = -1.0 if unit == "correlation" else 0.0
    if not low <= number_ <= 1.0:
        hint = {
            "share": "An accuracy is a fraction, 0.4832, or carries its sign: 48.32%.",
            "score": "Write a fraction, 0.8664, or points out of 100 with the unit: 86.64 pt.",
            "correlation": "A correlation is between −1 and 1.",
        }[unit]
        raise fail("outside the range of this metric; fraction or percent?", hint)
    return number_


def _params(text: str, where: str) -> tuple[tuple[str, str], ...]:
    result: dict[str, str] = {}
    for part in text.split():
        key, sign, value = part.partition("=")
        if not sign or not key or not value:
            raise CellError(
                f"params must be key=value pairs, got {part!r}.",
                where=where,
                hint="Write key=value pairs with spaces between them.",
                column="params",
            )
        if key in result:
            raise CellError(f"the parameter {key!r} is given twice.", where=where, column="params")
        result[key] = value
    return tuple(sorted(result.items()))


def _weights(text: str, where: str) -> tuple[float, ...]:
    try:
        result = tuple(float(part) for part in text.split())
    except ValueError as error:
        raise CellError(
            f"weights must be numbers with spaces between them, got {text!r}.", where=where, column="weights"
        ) from error
    if any(not math.isfinite(w) for w in result):
        raise CellError("a weight is not a finite number.", where=where, column="weights")
    return result


def _check(row: ResultRow, where: str) -> None:
    """Raise KnowledgeError for fields that contradict each other."""

    def fail(what: str, hint: str | None = None) -> KnowledgeError:
        return KnowledgeError(what, where=where, hint=hint)

    if row.method != "single" and row.sources:
        if row.mode == "ExcTar" and row.target in row.sources:
            raise fail(f"mode is ExcTar, but {row.target} is among its own sources.")
        if row.mode == "IncTar" and row.target not in row.sources:
            raise fail(f"mode is IncTar, but {row.target} is not among the sources.")
        if row.k is not None and row.k != len(row.sources):
            raise fail(f"k is {row.k}, but {len(row.sources)} sources are named.")
    if (row.method == "compat") != (row.metric in PAIRWISE):
        raise fail(f"the metrics {', '.join(PAIRWISE)} need the method compat, and compat needs one of them.")
    if row.method == "compat" and (len(row.sources) != 1 or row.target in row.sources or row.mode != "-"):
        raise fail("compat compares two models.", "Name one as target, the other in sources, and - as mode.")
    if row.method == "single" and len(row.sources) != 1:
        raise fail("a single model has one source.", "Name its locale in the column sources.")
    if row.weights and len(row.weights) != len(row.sources):
        raise fail(f"{len(row.weights)} weights for {len(row.sources)} sources.")
    if (row.wins is None) != (row.losses is None):
        raise fail("wins and losses must be given together.")
    if row.se_pp is not None and (row.baseline is None or row.se_pp < 0):
        raise fail("se, the standard error of value − baseline, needs a baseline and must not be negative.")
    if row.wins is not None and row.metric != "accuracy":
        raise fail(
            f"wins and losses count items that are right or wrong, and {row.metric} has none.",
            "Give the standard error of the difference in the column se.",
        )
    if row.wins is not None and row.losses is not None:
        if row.baseline is None or not row.n:
            raise fail("wins and losses need a baseline and n.")
        if row.wins + row.losses > row.n:
            raise fail(f"{row.wins} wins and {row.losses} losses are more than {row.n} items.")
        if row.se_pp == 0 and row.wins + row.losses:
            raise fail(
                f"se is 0, but the two models differ on {row.wins + row.losses} items.",
                "Leave se out where it could not be estimated.",
            )
        if abs((row.wins - row.losses) / row.n - (row.value - row.baseline)) > 2e-4:
            raise fail(
                f"wins − losses over n is {100 * (row.wins - row.losses) / row.n:+.2f} pp, "
                f"value − baseline is {row.difference_pp:+.2f} pp.",
                "They must agree: both are the same difference.",
            )
    if row.items is not None:
        try:
            found = ItemBits.parse(row.items)
        except ValueError:
            raise fail(
                "items cannot be read.", "Let the program write it: mu log add --run RUN. Else leave it out."
            ) from None
        counted = found.wins.bit_count(), found.losses.bit_count()
        if counted != (row.wins, row.losses):
            raise fail(
                f"items has {counted[0]} wins and {counted[1]} losses, the row {row.wins} and {row.losses}."
            )


def _check_differences(cells: Mapping[str, str], row: ResultRow, where: str) -> None:
    """Raise KnowledgeError for a difference without a unit, or one that value and baseline do not give."""
    for name, text in cells.items():
        if name.lower() not in DIFFERENCES:
            if name not in COLUMNS:
                raise KnowledgeError(
                    f"unknown column {name!r}.", where=where, hint=f"Known: {', '.join(COLUMNS)}."
                )
            continue
        plain = text.strip().replace("−", "-")
        if plain in ("", "-"):
            continue
        match = re.match(r"^([+-]?\d+(?:\.\d+)?)\s*(pp|rel_pct)$", plain)
        if not match:
            reading = "percent of the baseline, or percentage points?" if "%" in plain else "in which unit?"
            raise KnowledgeError(
                f"column {name!r} says {text!r}: {reading}",
                where=where,
                hint="Write the two accuracies and leave the difference to the program, "
                "or name the unit: `pp` or `rel_pct`.",
            )
        if row.difference_pp is None or row.baseline is None:
            raise KnowledgeError(
                f"column {name!r} needs a value and a baseline to check it against.", where=where
            )
        if match[2] == "rel_pct" and row.baseline == 0:
            raise KnowledgeError(f"column {name!r}: rel_pct is undefined for a baseline of 0.", where=where)
        real = row.difference_pp if match[2] == "pp" else row.difference_pp / row.baseline
        if abs(float(match[1]) - real) > 0.06:
            raise KnowledgeError(
                f"column {name!r} says {text!r}, but value and baseline give {real:+.2f} {match[2]}.",
                where=where,
            )


def read_csv(text: str, defaults: Mapping[str, str], path: Path) -> list[ResultRow]:
    """Parse result rows from CSV text with the columns of the table; `path` is for errors."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    result = []
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        if not columns:
            raise KnowledgeError("the file has no header line.", where=f"{path}:1")
        for name in columns:
            if columns.count(name) > 1:
                raise KnowledgeError(f"the column {name!r} appears twice.", where=f"{path}:1")
        reader.fieldnames = columns
        for record in reader:
            where = f"{path}:{reader.line_num}"
            if None in record or None in record.values():
                raise KnowledgeError("this row and the header differ in their number of cells.", where=where)
            result.append(parse_row(record, defaults, where))
    except csv.Error as error:
        raise KnowledgeError(f"this is not CSV: {error}.", where=f"{path}:{reader.line_num + 1}") from error
    return result

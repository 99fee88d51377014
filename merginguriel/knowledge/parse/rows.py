"""Result rows: the fields of one measured number, their units, and their cells."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from math import floor, sqrt
from typing import Literal, NamedTuple

from merginguriel import stats
from merginguriel.errors import UsageError
from merginguriel.metrics import registry as metrics

MODES = ("ExcTar", "IncTar", "-")
STATUSES = ("current", "contested", "invalidated")  # what a cell may say
SUPERSEDED = (
    "superseded"  # of a current row whose entry a later one supersedes; derived on every load, never written
)
SAW = ("nothing", "unlabelled text", "labels")  # of the target, from little to much
# Policies of a recipe that are listed among a row's params where they are not the default.
POLICIES = ("heads", "embeddings", "vocab", "trim_scope", "include", "exclude", "excluded", "preweight")
BASELINE_KINDS = (
    "best_single_source",
    "source_mean",
    "target_alone",
    "best_zero_shot",
    "average_merge",
    "untuned_merge",
    "joint",
    "majority_class",
    "pretrained_base",
)
# Measures that are no registered metric, and the units of their cells.
MEASURES = {
    "merging_effect": "pp",
    "ndcg@10": "score",
    "cosine": "correlation",
    "weighted_sign_conflict": "score",
    "cka": "score",
    "tokens_per_sentence": "count",
    "parameters": "count",
    "agreement": "score",
    "entropy": "score",
}
# Of a pilot without labels: with the vote of the single models; of the predicted probabilities, uniform: 1.
AGREEMENT: Literal["agreement"] = "agreement"
ENTROPY: Literal["entropy"] = "entropy"
# What `mu compat` measures between two models: `target` and the one of `sources`, as method `compat`.
PAIRWISE = ("cosine", "weighted_sign_conflict", "cka")
HIDDEN = ("where", "items")  # fields that JSON output leaves out
REQUIRED = ("target", "mode", "method", "value")
COLUMNS = (
    "context", "target", "mode", "method", "params", "similarity", "k", "sources", "weights", "metric", "value",
    "n", "seed", "saw", "baseline_kind", "baseline", "wins", "losses", "se", "run", "code", "measured", "status",
    "note", "items",
)  # fmt: skip
DEFAULTED = ("context", "metric", "n", "seed", "code", "measured")  # may be given once, in the front matter

# Commit of the program, with + if files in it were changed; of an installed one, its version.
CODE = re.compile(r"^(?:[0-9a-f]{7,40}\+?|[0-9]+(?:\.[0-9a-z+]+)+)\Z")
_CONTEXT = re.compile(r"^[\w@.+-]+/[\w@.+-]+\Z")


class ItemBits(NamedTuple):
    """Test items that only the merge (`wins`), or only its baseline (`losses`), answered correctly: a bit for each.

    Attributes:
        test_set: Hash of the ids of the items, in order.
        wins: Bits of the wins.
        losses: Bits of the losses.
    """

    test_set: str
    wins: int
    losses: int

    @classmethod
    def parse(cls, cell: str) -> ItemBits:
        """Return what a cell of the column `items` says; raise ValueError for another text."""
        test_set, wins, losses = cell.split(":")
        if not re.fullmatch("[0-9a-f]{8}", test_set):
            raise ValueError(test_set)
        bits = (binascii.a2b_base64(part, strict_mode=True) for part in (wins, losses))
        return cls(test_set, *(int.from_bytes(part, "little") for part in bits))


def items_cell(ids: Sequence[str], right: Sequence[bool], baseline: Sequence[bool]) -> str:
    """Return the cell of the column `items` for a merge and its baseline on the same test items."""
    parts = [hashlib.sha256("\n".join(ids).encode()).hexdigest()[:8]]
    for a, b in ((right, baseline), (baseline, right)):
        bits = sum(1 << i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x and not y)
        data = bits.to_bytes((len(ids) + 7) // 8, "little")
        parts.append(binascii.b2a_base64(data, newline=False).decode())
    return ":".join(parts)


@dataclass(frozen=True)
class ResultRow:
    """One measured number. `value` and `baseline` are in the metric's unit; docs/formats.md has each field."""

    context: str
    target: str
    mode: str
    method: str
    metric: str
    value: float
    n: int | None = None
    params: tuple[tuple[str, str], ...] = ()
    similarity: str | None = None
    k: int | None = None
    sources: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    seed: int | None = None
    saw: str | None = None  # the most that the merge used of its target, one of SAW
    baseline_kind: str | None = None
    baseline: float | None = None
    wins: int | None = None
    losses: int | None = None
    se_pp: float | None = None
    run: str | None = None
    code: str | None = None  # commit or version of the program that measured it
    measured: str | None = None  # day of the measurement, where it is not that of the entry
    status: str = "current"
    note: str = ""
    items: str | None = None  # which items are wins and losses: `ItemBits`
    ref: str = ""  # <entry id>#r<n>
    date: str = ""
    where: str = ""  # file:line
    written: tuple[tuple[str, str], ...] = ()  # labels of the file that a later entry corrected

    def __getstate__(self) -> dict[str, object]:
        """Return the fields that differ from their defaults: the class has the others, and large logs load faster."""
        state = vars(self)
        return {
            name: state[name] for name in state.keys() & _NAMES if state[name] != _DEFAULTS.get(name, MISSING)
        }

    @property
    def day(self) -> str:
        """Return the day of the measurement, or of its entry where that is not known."""
        return self.measured or self.date

    @property
    def paired(self) -> bool:
        """Return whether wins and losses on the same items are known."""
        return self.wins is not None

    @property
    def difference_pp(self) -> float | None:
        """Return value − baseline in hundredths of the metric's unit: pp for shares, points (pt) for correlations.

        None without a baseline, and for a measure that is no registered metric.
        """
        if self.baseline is None or self.metric in MEASURES:
            return None
        return 100 * (self.value - self.baseline)

    @property
    def gain_pp(self) -> float | None:
        """`difference_pp` in the metric's direction: above 0 where the value is better than the baseline."""
        difference = self.difference_pp
        return None if difference is None else difference * self.sign

    @property
    def is_share(self) -> bool:
        """Whether the value is a share, shown in percent: accuracy, F1."""
        return unit_of(self.metric) == "share"

    @property
    def sign(self) -> int:
        """1 where a higher value is better, else −1."""
        return 1 if self.metric in MEASURES else metrics.find(self.metric).sign

    @property
    def points(self) -> str:
        """Unit of `difference_pp`: `pp`, or `pt` for a correlation and for a score out of 100."""
        unit = unit_of(self.metric)
        return metrics.UNITS[unit].points if unit in metrics.UNITS else unit

    def show(self, value: float) -> str:
        """Return a value of this row's metric as people read it: `48.32%` for a share, else digits."""
        unit = unit_of(self.metric)
        return metrics.UNITS[unit].show(value) if unit in metrics.UNITS else format_value(self, value)

    @property
    def variance_pp(self) -> float | None:
        """Sampling variance of `difference_pp`, in its unit squared.

        From wins and losses where they are known, else from the values alone, taken as independent: binomial for a share,
        which for an F1 is an approximation. An `se` takes the place of that; beside wins and losses it counts where it is
        larger: test items that are variants of each other carry less information than their number.
        """
        if self.difference_pp is None or self.baseline is None or (self.se_pp is None and not self.n):
            return None
        recorded = self.se_pp**2 if self.se_pp is not None else 0.0
        if not self.n:
            return max(recorded, 1e-4)
        if self.wins is not None and self.losses is not None:
            counted = stats.paired_variance(self.wins, self.losses, self.n)
        elif self.se_pp is None:
            variance = metrics.find(self.metric).unit.variance
            counted = variance(self.value, self.n) + variance(self.baseline, self.n)
        else:
            counted = 0.0
        # A tie on every item, two perfect scores or a tiny `se` are not certainty: one item keeps noise above zero.
        return max(recorded, 1e4 * counted, 1e4 / self.n**2)

    @property
    def p_value(self) -> float | None:
        """Two-sided p that `difference_pp` is zero; None without its variance.

        With wins and losses, exact McNemar. Where variants of a template make the variance larger, it is of as many
        independent items as have this variance: within a factor of 1.4 of the sign-flip test of templates that runs use,
        on the careful side.
        """
        if self.variance_pp is None or self.difference_pp is None:
            return None
        if self.wins is not None and self.losses is not None and self.n:
            single = 1e4 * stats.paired_variance(self.wins, self.losses, self.n)
            effect = max(1.0, self.variance_pp / single) if single else 1.0
            return stats.exact_mcnemar(int(self.wins / effect), int(self.losses / effect))
        return stats.two_sided_p(self.difference_pp / sqrt(self.variance_pp))

    def measurement(self) -> tuple[object, ...]:
        """Return what identifies a measurement, whatever it is compared with.

        The order in which they name the sources is no difference: a merge has none.
        """
        found = vars(self).get("_measurement")
        if found is None:
            found = vars(self)["_measurement"] = (
                self.context, self.target, self.mode, self.method, self.params, self.similarity, self.k,
                tuple(sorted(self.sources)), self.metric, round(self.value, 6), self.n, self.seed,
            )  # fmt: skip
        return found

    def as_dict(self) -> dict[str, object]:
        """Return the row as JSON-ready data."""
        result: dict[str, object] = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in HIDDEN
        }
        result["params"] = dict(self.params)
        return result


_NAMES = frozenset(one.name for one in fields(ResultRow))
_DEFAULTS = {one.name: one.default for one in fields(ResultRow) if one.default is not MISSING}


def unit_of(metric: str) -> str:
    """Return the unit of a metric's cells: one of `metrics.UNITS`, `pp` or `count`. Raises UsageError if it is unknown."""
    return MEASURES[metric] if metric in MEASURES else metrics.find(metric).unit_name


def known_metrics() -> list[str]:
    """Return every metric that a row can have, registered ones first."""
    return [*metrics.metrics(), *MEASURES]


def metric_of(rows: Iterable[ResultRow], context: str) -> str:
    """Return the metric of most rows of a context, or else of its task, compared rows before others; accuracy without rows."""
    scored = [row for row in rows if row.metric not in MEASURES]
    task = context.partition("/")[0]
    here = [row for row in scored if row.context == context] or [
        row for row in scored if row.context.partition("/")[0] == task
    ]
    counts = Counter(row.metric for row in here if row.baseline is not None) or Counter(
        r.metric for r in here
    )
    return min(counts, key=lambda name: (-counts[name], name), default="accuracy")


def impossible(row: ResultRow) -> Iterator[tuple[str, str, str]]:
    """Yield (column, problem, hint) of each accuracy that is no number of items over n, neither rounded nor cut.

    A mean of models is none. A row with the note `repeat` is checked where it was recorded first.
    """
    if row.metric != "accuracy" or not row.n or row.status != "current" or row.note == "repeat":
        return
    for column, value in (("value", row.value), ("baseline", row.baseline)):
        if value is None or (column == "baseline" and row.baseline_kind == "source_mean"):
            continue
        low = floor(value * row.n + 1e-9)
        unit = 10.0 ** -len(f"{value:.6f}".rstrip("0").partition(".")[2])
        if not any(-unit / 2 - 1e-9 <= k / row.n - value < unit + 1e-9 for k in range(low - 1, low + 3)):
            near = " and ".join(f"{k / row.n:.6f} ({k:,})" for k in (low, low + 1) if k <= row.n)
            what = f"the {'accuracy' if column == 'value' else column} {value:.6g} is no number of items over n = {row.n:,}"
            yield (
                column,
                what,
                f"The nearest are {near}. Correct it or n, or write `contested` in the column status.",
            )


def is_merge(method: str) -> bool:
    """Return whether a method merges, rather than being a single model, a comparison or an ensemble."""
    return method not in ("single", "compat") and not method.startswith("ensemble")


def is_context(text: str) -> bool:
    """Return whether `text` has the form task/base-model."""
    return bool(_CONTEXT.match(text))


def check_context(text: str) -> None:
    """Raise UsageError for a text that is not of the form task/base-model."""
    if not is_context(text):
        raise UsageError(
            f"{text!r} is not a context.", hint="Write task/base-model, like massive/xlm-roberta-base."
        )


def distinct(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Return each measurement against each kind of baseline once, oldest first, independent of input order.

    Of repeats, the first record counts. Where a later one gives another baseline it corrects the first (of the same
    day: the higher baseline, so that no gain is overstated). One that says more of its noise beats one that says
    less: a standard error, then wins and losses. A row that is current beats any that is not.
    """
    unique: dict[object, ResultRow] = {}
    for row in sorted(rows, key=lambda r: (r.date, -1.0 if r.baseline is None else r.baseline, r.ref)):
        key = (row.measurement(), row.baseline_kind)
        previous = unique.get(key)
        if previous is None or (
            (_standing(row), row.baseline) != (_standing(previous), previous.baseline)
            and _standing(row) >= _standing(previous)
        ):
            unique[key] = row
    return sorted(unique.values(), key=lambda r: (r.date, r.ref))


def _standing(row: ResultRow) -> tuple[bool, bool, bool]:
    return (row.status == "current", row.se_pp is not None, row.paired)


def format_value(row: ResultRow, value: float) -> str:
    """Return `value` as a cell of this row's metric, read back as the same number to six decimals."""
    unit = unit_of(row.metric)
    if unit == "pp":
        return f"{decimal(value, 2, sign='+')} pp"
    return decimal(value, 0 if unit == "count" else 4)


def decimal(value: float, places: int, *, sign: str = "-") -> str:
    """Return `value` with `places` decimals, or with as many more, up to six, as it has."""
    whole, _, digits = f"{value:{sign}.6f}".partition(".")
    digits = digits[:places] + digits[places:].rstrip("0")
    return f"{whole}.{digits}" if digits else whole


def row_cells(row: ResultRow) -> dict[str, str]:
    """Return the cells that `parse_row` reads back as this row."""
    special = {
        "params": " ".join(f"{key}={value}" for key, value in row.params),
        "sources": " ".join(row.sources),
        "weights": " ".join(decimal(w, 4) for w in row.weights),
        "value": format_value(row, row.value),
        "baseline": None if row.baseline is None else format_value(row, row.baseline),
        "se": None if row.se_pp is None else f"{decimal(row.se_pp, 2)} {row.points}",
        "status": None if row.status == "current" else row.status,
    }
    text = {name: special[name] if name in special else getattr(row, name) for name in COLUMNS}
    return {name: str(value) if value not in (None, "") else "-" for name, value in text.items()}

"""Registry of metrics: value, unit, direction, and the per-item statistics that paired comparisons resample.

A new metric is one function in one file of this folder, under `@metric(name, ...)`; nothing else changes. A file imports
numpy inside its functions: reading the log needs the registry and no arrays.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from merginguriel import stats
from merginguriel.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

READS = (
    "label",
    "tags",
    "number",
    "scores",
)  # what an item's gold and predicted answers are; scores: several numbers


@dataclass(frozen=True)
class Unit:
    """Range of a metric's values and the way they are printed.

    points: name of a hundredth of the unit, in which differences are given: `pp` or `pt`. variance: sampling variance of
    one value over n items, where its items were not recorded.
    """

    low: float
    high: float
    percent: bool
    points: str
    variance: Callable[[float, int], float]

    def show(self, value: float, places: int = 2) -> str:
        """Return `48.32%` for a share, `0.4832` for a correlation."""
        return f"{100 * value:.{places}f}%" if self.percent else f"{value:.{places + 2}f}"

    def span(self, low: float, high: float, places: int = 1) -> str:
        """Return the interval `45.1 … 51.3` of a share, in percent, `0.451 … 0.513` of a correlation."""
        return " … ".join(self.show(end, places).removesuffix("%") for end in (low, high))


UNITS = {
    "share": Unit(0.0, 1.0, True, "pp", stats.proportion_variance),
    "correlation": Unit(-1.0, 1.0, False, "pt", stats.rank_correlation_variance),
    "score": Unit(0.0, 1.0, False, "pt", stats.proportion_variance),
}


@dataclass(frozen=True)
class Metric:
    """A registered metric; `metric` describes its parts.

    statistics  (gold [n], predicted [n]) → [n], or [n, S] with S numbers per item (bool where S is one yes or no)
    of_sums     summed statistics [d, S] → [d], for a metric that sums determine
    of_draws    (statistics [n, S], counts [d, n]) → [d]: the value when item i counts counts[d, i] times, for another
    """

    name: str
    doc: str
    unit_name: str
    reads: str
    higher_is_better: bool
    statistics: Callable[[Sequence[str], Sequence[str]], np.ndarray]
    of_sums: Callable[[np.ndarray], np.ndarray] | None = None
    of_draws: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    @property
    def unit(self) -> Unit:
        """Unit of the values."""
        return UNITS[self.unit_name]

    @property
    def sign(self) -> int:
        """1 where a higher value is better, else −1."""
        return 1 if self.higher_is_better else -1

    @property
    def superlative(self) -> str:
        """`highest` or `lowest`: the best value."""
        return "highest" if self.higher_is_better else "lowest"

    def benefit(self, value: float) -> float:
        """Return a value so that higher is better: of an error rate, 1 minus it."""
        return value if self.higher_is_better else self.unit.low + self.unit.high - value

    @property
    def mark(self) -> str:
        """What the heading of a column of values times 100 adds to a name: `, %`, or ` × 100` for a correlation."""
        return ", %" if self.unit.percent else " × 100"

    @property
    def is_mean(self) -> bool:
        """Whether the value is the mean of the statistics [n]."""
        return self.of_sums is None and self.of_draws is None

    def values(self, statistics: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the value [d] for every row of counts [d, n]: how often each item is drawn."""
        if self.of_draws:
            return self.of_draws(statistics, counts)
        sums = counts @ statistics
        return self.of_sums(sums) if self.of_sums else sums / counts.sum(axis=-1)

    def value(self, statistics: np.ndarray) -> float:
        """Return the value over all items, each counted once. Raises UsageError without an item."""
        import numpy as np

        if not len(statistics):
            raise UsageError(f"{self.name} of no item is undefined.")
        if self.is_mean:
            return float(statistics.mean())
        return float(self.values(statistics, np.ones((1, len(statistics))))[0])


_registry: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    doc: str,
    unit: str = "share",
    reads: str = "label",
    higher_is_better: bool = True,
    of_sums: Callable[[np.ndarray], np.ndarray] | None = None,
    of_draws: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Callable:
    """Register a function `f(gold, predicted) -> statistics` as the metric `name`.

    Args:
        higher_is_better: False for an error rate or a loss.
        of_sums: Value [d] from the summed statistics [d, S], for a metric such as F1. Without it and `of_draws`, the value
            is the mean of the statistics [n]: accuracy, or NDCG with one gain per query.
        of_draws: Value [d] from the statistics and the counts [d, n], for a metric that sums do not determine.
    """
    if unit not in UNITS or reads not in READS:
        raise UsageError(f"metric {name}: unit {unit!r} or reads {reads!r} is unknown.")

    def register(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        _registry[name] = Metric(name, doc, unit, reads, higher_is_better, function, of_sums, of_draws)
        return function

    return register


@cache
def _load() -> None:
    package = importlib.import_module(__package__ or "merginguriel.metrics")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def metrics() -> dict[str, Metric]:
    """Return every metric by its name, sorted."""
    _load()
    return dict(sorted(_registry.items()))


def named_in(text: object) -> str | None:
    """Return the metric that the name of a run's score has in it, such as `dev span_f1 of de-DE`; None for a loss."""
    return next((name for name in metrics() if name in str(text)), None)


def find(name: str) -> Metric:
    """Return the metric called `name`. Raises UsageError that lists the others."""
    _load()
    if name in _registry:
        return _registry[name]
    import difflib

    near = difflib.get_close_matches(name, _registry, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?\n" if near else ""
    raise UsageError(f"unknown metric {name!r}.", hint=f"{hint}Metrics: {', '.join(metrics())}.")

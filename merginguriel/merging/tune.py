"""Search of a recipe's weights and parameters by their score on labelled data, by CMA-ES (Hansen 2016, arXiv:1604.00772).

A candidate is scored on a growing share of the items, and dropped where it is in the lower half of the candidates that were
scored on the same share before: successive halving in its sequential form (Li et al. 2020, arXiv:1810.05934, section 3.2).
CMA-ES uses ranks only: a dropped candidate ranks below each that was scored on more items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from merginguriel.errors import MuError, UnavailableError, UsageError

from . import registry
from .recipe import Recipe, check
from .registry import Param, Value

RUNGS = (0.25, 0.5, 1.0)  # shares of the items after which a candidate may be dropped
STEP = 0.15  # first standard deviation of CMA-ES, as a share of each range
DIGITS = 4  # decimals of a coordinate: recipes are written with them
WEIGHTS, LAYERS = "weights", "layers"

# Value (more is better) and mean log probability of the right label, which breaks ties.
Score = tuple[float, float]
# Yields the score after each share of the items, or nothing if that fails.
Scorer = Callable[[Recipe], Iterator[Score]]


@dataclass(frozen=True)
class Axis:
    """One searched number. what: a parameter, or the name of a source, whose weight it is; knot: of which layers."""

    what: str
    low: float
    high: float
    start: float
    knot: int | None = None

    def value(self, at: float) -> float:
        """Return the number at a coordinate in [0, 1]."""
        return self.low + min(max(at, 0.0), 1.0) * (self.high - self.low)


@dataclass(frozen=True)
class RecipeSpace:
    """All recipes that the search can give.

    recipe   the recipe before the search
    weights  axes of the sources' weights: one per source, or per source and knot
    params   axes of the method's parameters
    """

    recipe: Recipe
    weights: tuple[Axis, ...]
    params: tuple[Axis, ...]

    @cached_property
    def start(self) -> tuple[float, ...]:
        """Coordinates of the recipe before the search."""
        return tuple(
            round((a.start - a.low) / (a.high - a.low), DIGITS) for a in (*self.weights, *self.params)
        )

    def at(self, point: Sequence[float]) -> Recipe:
        """Return the recipe at these coordinates in [0, 1]; at the start, the recipe before the search."""
        if tuple(point) == self.start:
            return self.recipe
        of_weights, of_params = point[: len(self.weights)], point[len(self.weights) :]
        params: dict[str, Value] = dict(self.recipe.params)
        for axis, at in zip(self.params, of_params, strict=True):
            whole = isinstance(params[axis.what], int)
            params[axis.what] = round(axis.value(at)) if whole else round(axis.value(at), DIGITS)
        recipe = replace(self.recipe, params=params)
        if not self.weights:
            return check(recipe)
        names = [source.name for source in recipe.sources]
        table = np.array([max(at, 0.0) for at in of_weights]).reshape(len(names), -1)
        table[:, table.sum(axis=0) == 0] = 1.0  # no source at all: all alike
        table = np.round(table, DIGITS)
        if self.weights[0].knot is not None:
            by_layer = {name: tuple(map(float, row)) for name, row in zip(names, table, strict=True)}
            return check(replace(recipe, layer_weights=by_layer))
        sources = (replace(s, weight=float(w)) for s, w in zip(recipe.sources, table[:, 0], strict=True))
        return check(replace(recipe, sources=tuple(sources)))


@dataclass(frozen=True)
class Evaluation:
    """A scored candidate: its coordinates, and its score after each share of the items that it was scored on."""

    point: tuple[float, ...]
    scores: tuple[Score, ...]

    @property
    def key(self) -> tuple[int, float, float]:
        """Order of candidates: a greater one is better."""
        return (len(self.scores), *self.scores[-1]) if self.scores else (0, 0.0, 0.0)

    @property
    def complete(self) -> bool:
        """Whether it was scored on all items."""
        return len(self.scores) == len(RUNGS)


def space_of(
    recipe: Recipe,
    what: Sequence[str] = (),
    ranges: dict[str, tuple[float, float]] | None = None,
    knots: int = 4,
) -> RecipeSpace:
    """Return the space of a search around a recipe.

    Args:
        recipe: The recipe before the search.
        what: `weights`, `layers` (weights at `knots` depths, interpolated between) or parameters; none: the weights and
            all numbers that the method declares as share or scale, whichever it has.
        ranges: Parameter → range; default: its bounds, or 0 to three times its default.
        knots: For `layers`.

    Raises:
        UsageError: Nothing to search, or the method has no such parameter, or learns its coefficients itself.
    """
    recipe = check(recipe)
    method = registry.get(recipe.method)
    ranges = ranges or {}
    if method.needs == "coefficients":
        raise UsageError(
            f"{method.name} learns its coefficients from text without labels.",
            hint="Tune task_arithmetic with --search layers, or merge by this method.",
        )
    numbers = {n: p for n, p in method.params.items() if is_number(p) and n not in method.before}
    usual = [WEIGHTS] * method.weighted + [n for n, p in numbers.items() if isinstance(p.default, float)]
    wanted = list(dict.fromkeys([*(what or usual), *ranges]))
    if WEIGHTS in wanted and LAYERS in wanted:
        raise UsageError("weights and layers exclude each other.", hint="Search one of them.")
    if not wanted:
        raise UsageError(f"{method.name} has neither weights nor numbers to search.")
    params = []
    for name in wanted:
        if name in (WEIGHTS, LAYERS):
            if not method.weighted or len(recipe.sources) < 2:
                raise UsageError(
                    f"{method.name} weighs all sources alike: {name} cannot be searched.",
                    hint=f"It can search: {', '.join(numbers) or 'nothing'}.",
                )
            continue
        if name not in numbers:
            raise UsageError(
                f"{method.name} has no number called {name!r} to search.",
                hint=f"It can search: {', '.join([*[WEIGHTS, LAYERS] * method.weighted, *numbers])}.",
            )
        params.append(axis_of(name, numbers[name], float(recipe.params[name]), ranges.get(name)))
    count = knots if LAYERS in wanted else 1
    most = 2 * max(source.weight for source in recipe.sources)
    weights = [
        Axis(s.name, 0.0, 1.0, s.weight / most, knot if LAYERS in wanted else None)
        for s in recipe.sources
        for knot in range(count)
    ]
    searched = WEIGHTS in wanted or LAYERS in wanted
    return RecipeSpace(recipe, tuple(weights) if searched else (), tuple(params))


def is_number(param: Param) -> bool:
    """Return whether a parameter is a number."""
    return isinstance(param.default, int | float) and not isinstance(param.default, bool)


def axis_of(name: str, param: Param, start: float, given: tuple[float, float] | None) -> Axis:
    """Return the axis of a parameter: the range given, else its bounds, else up to three times its default."""
    low, high = given or (param.low, param.high)
    low = min(0.0, 3 * float(param.default)) if low is None else low
    high = max(3 * float(param.default), 1.0) if high is None else high
    for edge in (low, high):
        registry.checked(f"the range of {name}", param, edge)
    if not low < high:
        raise UsageError(f"the range of {name} is {low:g}..{high:g}.", hint="Write LOW..HIGH, as 0.2..3.")
    return Axis(name, float(low), float(high), min(max(start, low), high))


def search(
    space: RecipeSpace,
    score: Scorer,
    evaluations: int,
    *,
    seed: int = 0,
    drop: bool = True,
    before: Sequence[Evaluation] = (),
    on_evaluation: Callable[[Evaluation, int], None] | None = None,
) -> list[Evaluation]:
    """Score `evaluations` candidates, the recipe before the search first; equal arguments give equal results.

    Args:
        space: The recipes to choose from.
        score: Scores a recipe; it is asked for the score on a greater share of the items only while it is not dropped.
        evaluations: Number of candidates.
        seed: Of the search.
        drop: Drop candidates before they were scored on all items.
        before: Evaluations of an interrupted search with the same arguments; they are not repeated.
        on_evaluation: Called with each new evaluation and its number from 1.

    Raises:
        UnavailableError: The package cma is not installed.
    """
    done: list[Evaluation] = []

    def evaluate(point: tuple[float, ...]) -> Evaluation:
        if len(done) < len(before) and before[len(done)].point == point:
            found = before[len(done)]
        else:
            found = Evaluation(point, tuple(scores_of(score(space.at(point)), done, drop)))
            if on_evaluation:
                on_evaluation(found, len(done) + 1)
        done.append(found)
        return found

    evaluate(space.start)
    strategy = cma_es(space.start, seed)
    while len(done) < evaluations:
        asked = strategy.ask()
        found = [evaluate(rounded(point, space)) for point in asked[: evaluations - len(done)]]
        if len(found) == len(asked):
            keys = sorted({one.key for one in found}, reverse=True)
            strategy.tell(asked, [float(keys.index(one.key)) for one in found])
    return done


def best_of(done: Sequence[Evaluation]) -> Evaluation:
    """Return the best candidate that was scored on all items; of equal ones the first. Raises MuError if there is none."""
    complete = [one for one in done if one.complete]
    if not complete:
        raise MuError(
            "no merge of the search has finite predictions.", hint="Search smaller ranges: --range scale=0..1"
        )
    return max(complete, key=lambda one: one.key)


def scores_of(parts: Iterator[Score], done: Sequence[Evaluation], drop: bool) -> Iterator[Score]:
    """Yield the scores of a candidate until it is dropped."""
    for rung, found in enumerate(parts):
        yield found
        others = [one.scores[rung] for one in done if len(one.scores) > rung]
        # Candidates at this share of the items, this one among them: the better half goes on.
        if drop and sum(other > found for other in others) >= (len(others) + 2) // 2:
            return


def cma_es(start: Sequence[float], seed: int) -> Any:
    """Return a CMA-ES that asks for points in [0, 1]; a single coordinate gets an idle second one, which it needs."""
    try:
        import cma
    except ImportError as error:
        raise UnavailableError(
            "mu tune needs the package cma.", hint="Install it with: pip install cma"
        ) from error
    draw = np.random.default_rng(seed)
    never: dict[str, Any] = dict.fromkeys(("tolfun", "tolfunhist", "tolx"), 0)
    options = {
        "bounds": [0, 1],
        "randn": lambda *size: draw.standard_normal(size),
        "seed": np.nan,  # leave numpy's global generator as it is
        "verbose": -9,
        **never,
    }
    return cma.CMAEvolutionStrategy([*start, 0.5] if len(start) == 1 else list(start), STEP, options)


def rounded(point: Sequence[float], space: RecipeSpace) -> tuple[float, ...]:
    """Return the coordinates of the space with the decimals that a recipe has."""
    return tuple(round(float(at), DIGITS) for at in point[: len(space.start)])

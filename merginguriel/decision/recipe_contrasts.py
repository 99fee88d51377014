"""Contrasts: what a recipe gains more than others on the same targets and items, and the order of arms that follows.

A recipe's mean gain depends on the targets on which it was measured, and their levels differ more than recipes do. Between the arms
of one test set the level cancels. Gains, each without the part that its lead explains, are the sum of a level of the test set, an
effect of the recipe, and a rest; the effects are shrunk towards their method's mean as far as their differences are noise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from .estimate import SLOPE, SMALLEST_SPREAD, SPREAD, SPREAD_DF, Estimate
from .evidence import JOINT, Arm, Combination, Observation
from .gains import Learned, shared
from .pilot import value_of_arm

CAUTION = (
    0.5  # standard deviations taken off where arms are ranked: the best of many estimates is overestimated
)
PASS_PRICE = (
    0.05  # of each forward pass after the first, as a share of the smallest gain worth a merge: a judgement
)
SMALLEST_SHARE = 0.05  # of the noise, the least variance of effects within a method
LEAST_NOISE = 1.0  # pp² of a paired gain: that of about 3,000 items
ROUNDS, CLOSE = 50, 0.01  # of the fit at most; pp that effects move by in the last one
WELL_KNOWN = 3  # other targets that a recipe was measured on: fewer show no spread between targets
Key = tuple[object, Combination]  # test set, recipe


class RecipeContrast(NamedTuple):
    """Effect of a recipe at lead 0, and its usual lead; both over the mean of its context's test sets, pp."""

    effect_pp: float
    lead_pp: float


class Ranked(Protocol):
    """An arm with its estimate, its lead where it is known, and its contrast where its recipe was measured elsewhere."""

    @property
    def arm(self) -> Arm: ...  # noqa: D102
    @property
    def estimate(self) -> Estimate: ...  # noqa: D102
    @property
    def lead_pp(self) -> float | None: ...  # noqa: D102
    @property
    def contrast(self) -> RecipeContrast | None: ...  # noqa: D102


def contrasts(learned: Learned, context: str, target: str) -> dict[Combination, RecipeContrast]:
    """Return the contrasts of a context's recipes, from every target but one."""
    cells: defaultdict[Key, list[tuple[float, float | None]]] = defaultdict(list)
    for o in learned.found:
        if o.arm.context == context and o.arm.target != target and o.kind != "agreement":
            cells[(o.arm.target, o.row.n), o.arm.recipe].append((o.gain_pp, o.lead_pp))
    if any(lead is not None for found in cells.values() for _, lead in found):
        known = {key: [cell for cell in found if cell[1] is not None] for key, found in cells.items()}
        cells = defaultdict(list, {key: found for key, found in known.items() if found})
    leads = {key: _mean([lead or 0.0 for _, lead in found]) for key, found in cells.items()}
    gains = {key: _mean([g - SLOPE * (lead or 0.0) for g, lead in found]) for key, found in cells.items()}
    usual = _effects(leads, rounds=1)[0]  # needed only where a lead is unknown
    return {recipe: RecipeContrast(effect, usual[recipe]) for recipe, effect in _shrunk(gains).items()}


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _effects(
    cells: Mapping[Key, float], *, rounds: int = ROUNDS
) -> tuple[dict[Combination, float], dict[object, float]]:
    """Return the effects of recipes and the levels of test sets, by alternating least squares."""
    places: tuple[dict[object, int], dict[Combination, int]] = {}, {}
    for where, recipe in cells:
        places[0].setdefault(where, len(places[0]))
        places[1].setdefault(recipe, len(places[1]))
    sets: list[list[tuple[int, float]]] = [[] for _ in places[0]]
    recipes: list[list[tuple[int, float]]] = [[] for _ in places[1]]
    for (where, recipe), value in cells.items():
        sets[places[0][where]].append((places[1][recipe], value))
        recipes[places[1][recipe]].append((places[0][where], value))
    effects, levels = [0.0] * len(recipes), [0.0] * len(sets)
    for _ in range(rounds):
        levels = [sum([v - effects[r] for r, v in found]) / len(found) for found in sets]
        fitted = [sum([v - levels[s] for s, v in found]) / len(found) for found in recipes]
        moved = max([abs(a - b) for a, b in zip(fitted, effects, strict=True)], default=0.0)
        effects = fitted
        if moved < CLOSE:
            break
    return dict(zip(places[1], effects, strict=True)), dict(zip(places[0], levels, strict=True))


def _shrunk(cells: Mapping[Key, float]) -> dict[Combination, float]:
    """Return the effects of recipes, each shrunk towards its method's mean.

    The variance within methods is that of a one-way layout with random effects (Searle 1971, ch. 11); the noise is the median of the
    squared rests, so that a method that collapses does not count as noise of the others. A recipe or a test set with one cell fits it
    exactly and has no rest; where no cell has one, nothing tells effects from noise, and each recipe has its method's mean.
    """
    effects, levels = _effects(cells)
    sets, recipes = (Counter(key[at] for key in cells) for at in (0, 1))
    repeated = [key for key in cells if sets[key[0]] > 1 and recipes[key[1]] > 1]
    rests = [(cells[where, recipe] - levels[where] - effects[recipe]) ** 2 for where, recipe in repeated]
    fitted = len({where for where, _ in repeated}) + len({recipe for _, recipe in repeated}) - 1
    free = len(rests) - fitted
    methods: dict[str, list[Combination]] = {}
    for recipe in effects:
        methods.setdefault(recipe.method, []).append(recipe)
    means = {
        method: sum(recipes[r] * effects[r] for r in found) / sum(recipes[r] for r in found)
        for method, found in methods.items()
    }
    if not rests or free <= 0:
        return {r: means[r.method] for r in effects}
    middle, half = sorted(rests), len(rests) // 2
    median = (middle[half] + middle[~half]) / 2
    noise = max(median / 0.455 * len(rests) / free, LEAST_NOISE)
    between = weight = 0.0
    for method, found in methods.items():
        total = sum(recipes[r] for r in found)
        between += (
            sum(recipes[r] * (effects[r] - means[method]) ** 2 for r in found) - (len(found) - 1) * noise
        )
        weight += total - sum(recipes[r] ** 2 for r in found) / total
    pull = noise / max(between / weight if weight else 0.0, SMALLEST_SHARE * noise)
    return {r: (recipes[r] * e + pull * means[r.method]) / (recipes[r] + pull) for r, e in effects.items()}


def passes_pp(arm: Arm, min_gain_pp: float) -> float:
    """Return the gain in pp that the forward passes of an ensemble must bring beyond that of one model."""
    return PASS_PRICE * min_gain_pp * (arm.passes - 1)


def expected(ones: Sequence[Ranked], min_gain_pp: float) -> list[tuple[float, float]]:
    """Return (expected gain, standard deviation) of arms of one target without their own rows, as they compare.

    The arm with the best contrast has its prior; the others differ from it by their contrasts, with its spread, most of which is the
    target's. An arm without a contrast has its own prior.
    """
    ahead = [one.lead_pp - one.contrast.lead_pp for one in ones if one.contrast and one.lead_pp is not None]
    usual = _mean(ahead) if ahead else 0.0  # where a lead is unknown

    def even(one: Ranked, contrast: RecipeContrast) -> float:
        lead = contrast.lead_pp + usual if one.lead_pp is None else one.lead_pp
        return contrast.effect_pp + SLOPE * lead

    order = [(even(one, one.contrast), one) for one in ones if one.contrast]
    if not order:
        return [(one.estimate.before_pp, one.estimate.before_sd_pp) for one in ones]
    level, top = max(
        order, key=lambda item: (item[0] - passes_pp(item[1].arm, min_gain_pp), item[1].arm.label)
    )
    first, sd = top.estimate.before_pp - level, top.estimate.before_sd_pp
    return [
        (first + even(one, one.contrast), sd)
        if one.contrast
        else (one.estimate.before_pp, one.estimate.before_sd_pp)
        for one in ones
    ]


def well_known(ones: Sequence[Ranked], own_rows: Sequence[bool], min_gain_pp: float) -> list[bool]:
    """Return which arms may lead: where an arm with own rows or `WELL_KNOWN` other targets pays, only such arms.

    The largest of many gains on one target is mostly luck; without a better known arm that pays, it is worth a trial.
    """
    known = [own or one.estimate.targets >= WELL_KNOWN for one, own in zip(ones, own_rows, strict=True)]
    pays = any(
        k and one.arm.method != JOINT and one.estimate.mean_pp >= min_gain_pp
        for k, one in zip(known, ones, strict=True)
    )
    return [k or not pays for k in known]


def worths(ones: Sequence[Ranked], min_gain_pp: float) -> list[float]:
    """Return what arms of one target are ranked by: expected gain, less `CAUTION` and forward passes.

    An arm with own rows on the target is judged by its estimate, any other by how it compares.
    """
    found = []
    for one, (mean, sd) in zip(ones, expected(ones, min_gain_pp), strict=True):
        e = one.estimate
        mean, sd = (e.mean_pp, e.sd_pp) if e.own_weight else (mean, sd)
        found.append(mean - CAUTION * sd - passes_pp(one.arm, min_gain_pp))
    return found


class Rival(NamedTuple):
    """An arm that a trial compares with the first: its place among the arms, what it is expected to gain more, and the variance of that.

    Both are net of forward passes.
    """

    place: int
    ahead_pp: float
    apart: float


def rivals(
    ones: Sequence[Ranked], first: int, found: Iterable[Observation], min_gain_pp: float
) -> list[Rival]:
    """Return the other arms of a target, those first from whose trial most is expected.

    Args:
        ones: Arms of one target.
        first: Index of the arm that they are compared with.
        found: Measured gains, of which those of the target are not used.
    """
    arm = ones[first].arm
    sets: dict[object, dict[Combination, Observation]] = {}
    for o in found:
        if o.arm.context == arm.context and o.arm.target != arm.target and o.kind != "agreement":
            sets.setdefault((o.arm.target, o.row.n, o.row.seed), {})[o.arm.recipe] = o
    result = []
    prior = expected(ones, min_gain_pp)
    for i, one in enumerate(ones):
        more = prior[i][0] - prior[first][0]
        pairs = [
            (cells[one.arm.recipe], cells[arm.recipe])
            for cells in sets.values()
            if one.arm.recipe in cells and arm.recipe in cells
        ]
        if i != first:
            even = more - SLOPE * ((one.lead_pp or 0.0) - (ones[first].lead_pp or 0.0))
            price = passes_pp(one.arm, min_gain_pp) - passes_pp(arm, min_gain_pp)
            result.append(Rival(i, more - price, _apart(pairs, even)))
    return sorted(result, key=lambda r: (-value_of_arm(r.ahead_pp, r.apart), ones[r.place].arm.label))


def _apart(pairs: Sequence[tuple[Observation, Observation]], even_pp: float) -> float:
    """Return the variance of the difference of two recipes about what is expected at equal leads, pp²; as `estimate.prior`."""
    errors, noise = 0.0, 0.0
    for a, b in pairs:
        more = a.gain_pp - b.gain_pp - SLOPE * ((a.lead_pp or 0.0) - (b.lead_pp or 0.0))
        errors += (more - even_pp) ** 2
        common = shared([a.row, b.row]) * min(a.variance, b.variance)
        noise += max(a.variance + b.variance - 2 * common, 0.0)
    between = (SPREAD_DF * SPREAD**2 + errors - noise) / (SPREAD_DF + len(pairs))
    return max(between, SMALLEST_SPREAD**2)

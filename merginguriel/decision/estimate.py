"""Expected gain of an arm on a target: what other targets show, what relatives show, and the arm's own rows.

An arm's accuracy is about the mean of its sources plus an effect of its recipe, so its gain over the best single model
falls with the lead of that model over the mean. The steps, all closed forms with weights that are never negative:

1. Prior: the mean gain of the same recipe on the other targets of the context, each moved to the asked target's lead by
   `SLOPE`. Its spread is the recipe's own, so that a recipe that collapses has wide intervals and no other recipe.
2. Relatives: other arms on the target move the prior by a target effect. A loss can only lower it.
3. Own rows: combined with the prior by their variances; the result lies between the two.

docs/backtest/report.md has the errors of this form and of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Literal, NamedTuple

from merginguriel import stats

from .evidence import Arm, Combination
from .gains import SHARED_ITEMS, Learned, cell_of

# Stated beforehand, with the source of each figure.
SLOPE, SLOPE_SD = -0.8, 0.2  # of a gain in the lead: an arm keeps a fifth of it
OBSERVATIONS = 0.5  # that the stated centre counts for, beside measured targets
SPREAD, SPREAD_DF = 3.0, 3  # pp between targets of one recipe, and how many observations that is worth
SMALLEST_SPREAD = 1.0  # pp
LEVEL_SD = 5.0  # pp of a recipe's mean gain, where nothing is known of the recipe
CONTEXT_SD = 4.0  # pp of a recipe's mean gain between contexts, worth one observation
TARGET_SD = 2.0  # pp of what all arms of a target share, beyond the lead
BASELINE_NOISE = 4.0  # pp², sampling variance of the accuracy that all gains of a target are taken over
SURPRISE = 6.0  # pp, the most that one relative says about a target: twice `SPREAD`
GAINED = 3.0  # targets on which a relative gained, at which its weight is half


Origin = Literal["context", "method", "contexts", "nothing"]


class EstimateParts(NamedTuple):
    """Parts of an expected gain in pp, which add up to it: those of `arm_types.GainParts`."""

    prior_pp: float = 0.0
    lead_pp: float = 0.0
    relatives_pp: float = 0.0
    own_pp: float = 0.0
    winner_pp: float = 0.0


NO_PARTS = EstimateParts()


@dataclass(frozen=True)
class Estimate:
    """Posterior of a gain: Student's t.

    Attributes:
        mean_pp: Expected gain.
        sd_pp: Scale of the distribution.
        df: Degrees of freedom; inf: normal.
        parts: Parts of the mean.
        targets: Other targets of the context that measured the recipe.
        before_pp: Mean without the arm's own rows.
        before_sd_pp: Scale without them.
        own_weight: Weight of the own rows, 0 to 1.
        relatives: Arm → its part of `parts.relatives_pp`.
        where: What the prior rests on: `context`, `method`, `contexts` or `nothing`.
    """

    mean_pp: float
    sd_pp: float
    df: float = inf
    parts: EstimateParts = NO_PARTS
    targets: int = 0
    before_pp: float = 0.0
    before_sd_pp: float = inf
    own_weight: float = 0.0
    relatives: Mapping[Arm, float] | None = None
    where: Origin = "nothing"

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval that contains the gain with probability `level`, pp."""
        half = quantile(0.5 + level / 2, self.df) * self.sd_pp
        return self.mean_pp - half, self.mean_pp + half

    def p_above(self, gain_pp: float) -> float:
        """P(true gain > gain_pp)."""
        return cdf((self.mean_pp - gain_pp) / self.sd_pp, self.df)


NORMAL_FROM = 60  # degrees of freedom from which Student's t is taken as normal


def quantile(p: float, df: float) -> float:
    """Return the quantile of Student's t."""
    return stats.NORMAL.inv_cdf(p) if df >= NORMAL_FROM else stats.student_inv_cdf(p, int(df))


def cdf(t: float, df: float) -> float:
    """Return the distribution function of Student's t."""
    if df >= NORMAL_FROM:
        return stats.NORMAL.cdf(t)
    beyond = stats.student_two_sided_p(t, int(df)) / 2
    return 1 - beyond if t > 0 else beyond


@dataclass(frozen=True)
class Prior:
    """What other targets say of a recipe on a target: centre at the mean lead, slope part, spread and its origin."""

    centre_pp: float
    lead_pp: float
    between: float  # pp², of true gains between targets
    error: float  # pp², of the centre
    df: float
    targets: int
    where: Origin

    @property
    def mean_pp(self) -> float:
        """Expected gain."""
        return self.centre_pp + self.lead_pp

    @property
    def variance(self) -> float:
        """Variance of the gain on one target."""
        return self.between + self.error


def prior(
    learned: Learned, recipe: Combination, target: str, lead_pp: float | None, *, alone: bool = False
) -> Prior:
    """Return the prior of a recipe on a target, from every row but those of the target.

    Args:
        learned: Measured gains.
        recipe: The recipe.
        target: The target, whose own rows are not used.
        lead_pp: Lead of the best single model over the mean of the sources there; None: unknown, as elsewhere.
        alone: Whether only the recipe's own gains count, without its losses, its method and other contexts.
    """
    recipes = learned.gained if alone else learned.recipes
    cells = [cell for where, cell in recipes.get(recipe, {}).items() if where != target]
    centre, error, where = NO_CENTRE if alone else _centre(learned, recipe, target, lead_pp)
    if not cells:
        return Prior(centre, 0.0, SPREAD**2, error, SPREAD_DF, 0, where)
    leads = [cell.lead_pp for cell in cells if cell.lead_pp is not None]
    usual = sum(leads) / len(leads) if leads else 0.0
    moved = lead_pp - usual if lead_pp is not None and leads else 0.0
    # At the mean lead. Where the asked lead is unknown, what leads do to gains is part of their spread.
    gains = [
        cell.gain_pp
        if lead_pp is None or cell.lead_pp is None
        else cell.gain_pp - SLOPE * (cell.lead_pp - usual)
        for cell in cells
    ]
    noise = sum(cell.variance for cell in cells) / len(cells)
    mean = sum(gains) / len(gains)
    df = SPREAD_DF + len(gains) - 1
    total = (SPREAD_DF * (SPREAD**2 + noise) + sum((gain - mean) ** 2 for gain in gains)) / df
    between = max(total - noise, SMALLEST_SPREAD**2)
    weights = [1 / (between + cell.variance) for cell in cells]
    stated = OBSERVATIONS / (between + noise)
    precision = stated + sum(weights)
    centre = (sum(w * gain for w, gain in zip(weights, gains, strict=True)) + stated * centre) / precision
    slope_error = (SLOPE_SD * moved) ** 2
    return Prior(centre, SLOPE * moved, between, 1 / precision + slope_error, df, len(cells), "context")


NO_CENTRE: tuple[float, float, Origin] = (0.0, LEVEL_SD**2, "nothing")


def _centre(
    learned: Learned, recipe: Combination, target: str, lead_pp: float | None
) -> tuple[float, float, Origin]:
    """Return the stated centre of a recipe's gain, its variance and its origin: kin here, other contexts, or nothing."""
    base, spread, origin = _other_contexts(learned, recipe)
    kin = [other for other in learned.kin.get((recipe.context, recipe.method), []) if other != recipe]
    alike = [other for other in kin if other.similarity == recipe.similarity] or kin
    gains, losses = (
        [
            gain + (0.0 if lead_pp is None or lead is None else SLOPE * (lead_pp - lead)) - base
            for other in alike
            for where, gain, lead in learned.by_sign[other][part]
            if where != target
        ]
        for part in (0, 1)
    )
    if gains or losses:
        # The mean of `cautious`, at weights of 1.
        total, weight = sum(gains), 1.0 + len(gains)
        for value in sorted(losses):
            if value >= total / weight:
                break
            total, weight = total + value, weight + 1.0
        # The spread stays: rows of other recipes move an estimate and never make it surer.
        return base + total / weight, spread, "method"
    return base, spread, origin


def _other_contexts(learned: Learned, recipe: Combination) -> tuple[float, float, Origin]:
    """Return what the recipe gained in other contexts, shrunk to 0, with the spread between contexts as its variance."""
    means = []
    for other in learned.elsewhere.get(recipe[1:], []):
        if other.context != recipe.context:
            cells = learned.recipes[other].values()
            means.append(sum(cell.gain_pp for cell in cells) / len(cells))
    if not means:
        return NO_CENTRE
    mean = sum(means) / len(means)
    spread = (CONTEXT_SD**2 + sum((one - mean) ** 2 for one in means)) / len(means)
    return mean * len(means) / (len(means) + 1), spread * (1 + 1 / len(means)), "contexts"


def cautious(found: Sequence[tuple[float, float, bool]], pull: float) -> tuple[float, set[int]]:
    """Return the lowest weighted mean that leaving out losses can give, and the items in it.

    A loss that would raise the mean, because it is smaller than expected, does not count: so no loss of one arm
    raises another. Adding items in order of their value gives the lowest mean of all subsets.

    Args:
        found: (value, weight, whether it is a loss) of each item.
        pull: Weight of a value of 0 beside them.
    """
    used = {i for i, (_, _, loss) in enumerate(found) if not loss}
    total = sum([value * own for value, own, loss in found if not loss])
    weight = pull + sum([own for _, own, loss in found if not loss])
    for value, own, i in sorted([(value, own, i) for i, (value, own, loss) in enumerate(found) if loss]):
        if weight and value >= total / weight:
            break
        total, weight = total + value * own, weight + own
        used.add(i)
    return (total / weight if weight else 0.0), used


class Relative(NamedTuple):
    """A row of another arm: how much better it did on the target than expected, the weight of that, whether it lost."""

    arm: Arm
    surprise_pp: float
    weight: float
    lost: bool


def relatives(learned: Learned, context: str, target: str) -> list[Relative]:
    """Return the rows of a target, each against what the recipe's gains on other targets promise.

    A loss elsewhere does not lower what is expected of a recipe, so that it cannot turn its row here into good news; a
    recipe that gained nowhere else promises nothing. A surprise is cut at `SURPRISE`: a collapse is not the target's.
    """
    found = []
    for arm, rows in learned.on(context, target).items():
        for o in rows:
            expected = prior(learned, arm.recipe, target, o.lead_pp, alone=True)
            if expected.targets:
                trust = expected.targets / (expected.targets + GAINED)
                weight = trust / (o.variance + expected.variance)
                surprise = max(-SURPRISE, min(SURPRISE, o.gain_pp - expected.mean_pp))
                found.append(Relative(arm, surprise, weight, o.gain_pp < 0))
    return sorted(found, key=lambda r: (r.surprise_pp, r.weight, r.arm.label))


def _moved(others: Sequence[Relative]) -> tuple[float, dict[Arm, float]]:
    """Return the target effect that other arms show, pp, and each arm's part."""
    if not others:
        return 0.0, {}
    # The posterior mean of a normal effect with prior variance TARGET_SD²; noise of the common baseline stays.
    pull = 1 / (TARGET_SD**2 + BASELINE_NOISE)
    scale = TARGET_SD**2 * pull
    _, used = cautious([(o.surprise_pp, o.weight, o.lost) for o in others], pull)
    weight = pull + sum(others[i].weight for i in sorted(used))
    parts: dict[Arm, float] = {}
    for i in sorted(used):
        arm, surprise, own, _ = others[i]
        parts[arm] = parts.get(arm, 0.0) + scale * surprise * own / weight
    return sum(parts.values()), parts


def predict(
    learned: Learned, arm: Arm, lead_pp: float | None, others: Sequence[Relative], *, width: float = 1.0
) -> Estimate:
    """Return the expected gain of an arm over the best single model.

    Args:
        learned: Measured gains.
        arm: The arm.
        lead_pp: Lead of the best single model over the mean of its sources, pp; None: unknown.
        others: `relatives` of the target; the arm itself is passed over.
        width: Factor of the prior's standard deviation.
    """
    rows = learned.on(arm.context, arm.target).get(arm)
    cell = cell_of(rows) if rows else None
    if cell is not None and cell.lead_pp is not None:
        lead_pp = cell.lead_pp
    before = prior(learned, arm.recipe, arm.target, lead_pp)
    rest = [o for o in others if o.arm != arm] if rows else others
    shift, shares = _moved(rest)
    start, spread = before.mean_pp + shift, width**2 * before.variance
    own = winner = weight = 0.0
    if cell is not None:
        measured = cell.gain_pp
        if measured > start and not any(o.piloted for o in rows or ()):
            count = 1 + len({o.arm for o in rest})
            luck = stats.NORMAL.inv_cdf(
                (count - 0.375) / (count + 0.25)
            )  # of the best of them (Blom 1958, ch. 6)
            luck *= sqrt((1 - SHARED_ITEMS) * cell.variance)
            measured = max(start, measured - luck)
        weight = spread / (spread + cell.variance)
        own, winner = weight * (cell.gain_pp - start), weight * (measured - cell.gain_pp)
    parts = EstimateParts(before.centre_pp, before.lead_pp, shift, own, winner)
    return Estimate(
        mean_pp=sum(parts),
        sd_pp=sqrt((1 - weight) * spread),
        # By the share of the variance that rests on the recipe's own spread (Satterthwaite 1946).
        df=before.df / (1 - weight) ** 2,
        parts=parts,
        targets=before.targets,
        before_pp=start,
        before_sd_pp=sqrt(spread),
        own_weight=weight,
        relatives=shares,
        where=before.where,
    )


class LeftOutPrediction(NamedTuple):
    """A measured gain predicted without its target."""

    target: str
    recipe: Combination
    gain_pp: float
    mean_pp: float
    sd_pp: float  # of the true gain
    noise: float  # pp², of the measurement
    df: float

    @property
    def u(self) -> float:
        """Where the gain falls in its predictive distribution, 0 to 1."""
        return cdf((self.gain_pp - self.mean_pp) / sqrt(self.sd_pp**2 + self.noise), self.df)


MOST_CHECKS = 400


def checks(learned: Learned, context: str) -> list[LeftOutPrediction]:
    """Return the measured gains of a context, each predicted from the other targets; the first `MOST_CHECKS` of many."""
    found: list[LeftOutPrediction] = []
    for recipe, cells in learned.recipes.items():
        if recipe.context != context or len(cells) < 2:
            continue
        for target, (gain, noise, lead) in cells.items():
            if len(found) < MOST_CHECKS:
                told = prior(learned, recipe, target, lead)
                sd = sqrt(told.variance)
                found.append(LeftOutPrediction(target, recipe, gain, told.mean_pp, sd, noise, told.df))
    return found

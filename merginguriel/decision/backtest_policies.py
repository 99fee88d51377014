"""Predictions of measured gains, and policies compared by the gain that they would have realised on the same items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from merginguriel import stats

from .estimate import Estimate, cdf
from .evidence import Arm, Combination, is_ensemble
from .pilot import MERGE_AT
from .recipe_contrasts import RecipeContrast, well_known, worths
from .study_rules import TargetFacts, rules

MIN_GAIN = 1.0  # pp


class Prediction(NamedTuple):
    """An arm on a target, as it was predicted without it, and as it was measured."""

    arm: Arm
    estimate: Estimate
    gain_pp: float
    variance: float
    lead_pp: float | None = None
    contrast: RecipeContrast | None = None
    n: int | None = None  # items of the test set

    @property
    def u(self) -> float:
        """Probability that the predictive distribution gives to a gain below the measured one."""
        e = self.estimate
        return cdf((self.gain_pp - e.mean_pp) / sqrt(e.sd_pp**2 + self.variance), e.df)

    @property
    def proven(self) -> bool:
        """Whether the estimate is sure and large enough to act on."""
        return self.estimate.p_above(0) >= MERGE_AT and self.estimate.mean_pp >= MIN_GAIN

    @property
    def p_measured(self) -> float:
        """P(measured gain > 0), with the noise of the measurement."""
        e = self.estimate
        return cdf(e.mean_pp / sqrt(e.sd_pp**2 + self.variance), e.df)


@dataclass(frozen=True)
class Policy:
    """Realised gain of a policy over targets, with a 95% t interval; regret against the best arm on the same items.

    A target with several test sets counts once, with their mean: gains on other items are over another baseline.

    `ahead_pp`: what the engine's first choice, with ensembles, gains more on the same targets, with its interval.
    """

    name: str
    targets: int
    gain_pp: float
    low_pp: float
    high_pp: float
    regret_pp: float
    p90_regret_pp: float
    ahead_pp: tuple[float, float, float]


class TestSet(NamedTuple):
    """Items of a target on which arms are compared."""

    target: str
    n: int | None


Compared = Mapping[TestSet, Sequence[Prediction]]


def compared_sets(told: Sequence[Prediction]) -> dict[TestSet, list[Prediction]]:
    """Return the test sets on which policies are compared: those of targets with the arms that most targets have."""
    counts: dict[Combination, set[str]] = {}
    for one in told:
        counts.setdefault(one.arm.recipe, set()).add(one.arm.target)
    most = max((len(targets) for targets in counts.values()), default=0)
    common = [recipe for recipe, targets in counts.items() if 2 * len(targets) > most]
    wanted = set.intersection(*(counts[recipe] for recipe in common)) if common else set()
    if len(wanted) < 3:
        wanted = {one.arm.target for one in told}
    found: dict[TestSet, list[Prediction]] = {}
    for one in sorted(told, key=lambda one: (one.arm.target, one.n or 0)):
        if one.arm.target in wanted:
            found.setdefault(TestSet(one.arm.target, one.n), []).append(one)
    return found


def first(told: Sequence[Prediction]) -> Prediction | None:
    """Return the arm that is worth most, as the advice ranks them; None without arms."""
    leads = well_known(told, [False] * len(told), MIN_GAIN)
    order = zip(leads, worths(told, MIN_GAIN), told, strict=True)
    best = max(order, key=lambda item: (item[0], item[1], item[2].arm.label), default=None)
    return best[2] if best else None


Pick = Callable[[TestSet], float | None]  # realised gain; None: not measured


def policies(compared: Compared, facts: Mapping[str, TargetFacts]) -> list[Policy]:
    """Return realised gains: the engine's first choice, fixed recipes, the study's rules, random and oracle."""
    merged = {t: [one for one in told if not is_ensemble(one.arm.method)] for t, told in compared.items()}

    def of(arms: Compared, method: str, similarity: str | None, k: int | None) -> Pick:
        def pick(target: TestSet) -> float | None:
            found = [
                one.gain_pp
                for one in arms[target]
                if one.arm.method == method
                and (similarity is None or one.arm.similarity == similarity)
                and (k is None or one.arm.k == k)
            ]
            return sum(found) / len(found) if found else None

        return pick

    def engine(arms: Compared, *, sure: bool = False) -> Pick:
        def pick(target: TestSet) -> float | None:
            one = first(arms[target])
            if one is None:
                return None
            return one.gain_pp if one.proven or not sure else 0.0

        return pick

    def elsewhere(arms: Compared) -> Pick:
        return lambda target: _best_elsewhere(arms, target)

    def drawn(target: TestSet) -> float | None:
        gains = [one.gain_pp for one in merged[target]]
        return sum(gains) / len(gains) if gains else None  # the expectation of a random draw

    real3, soft3 = of(compared, "similarity", "REAL", 3), of(compared, "ensemble_soft", "REAL", 3)
    picks: dict[str, Pick] = {
        "engine: first choice, with ensembles": engine(compared),
        "engine: first choice, one model": engine(merged),
        "engine: acts only where proven": engine(compared, sure=True),
        "best on the other targets, with ensembles": elsewhere(compared),
        "best on the other targets, one model": elsewhere(merged),
        "similarity REAL 3 always": real3,
        "soft ensemble REAL 3 always": soft3,
        "average always": of(compared, "average", None, None),
        "never": lambda where: 0.0,
        "random merge": drawn,
        "oracle, with ensembles": lambda t: max([0.0, *(one.gain_pp for one in compared[t])]),
        "oracle, one model": lambda t: max([0.0, *(one.gain_pp for one in merged[t])]),
    }
    ties5, uriel3 = of(compared, "ties", None, 5), of(compared, "similarity", "URIEL", 3)

    def ruled(says: Mapping[str, bool], yes: Pick, no: Pick) -> Pick:
        return lambda where: (yes if says.get(where.target) else no)(where)

    for name, says in rules(facts).items():
        tree = name == "decision tree of the study"
        picks[name] = ruled(says, uriel3, ties5) if tree else ruled(says, real3, picks["never"])
    found, chosen, oracle = [], engine(compared), picks["oracle, with ensembles"]
    for name, pick in picks.items():
        # Target → gain, regret, and what the first choice gains more, on each test set.
        gains: dict[str, list[tuple[float, float, float]]] = {}
        for where in compared:
            gain = pick(where)
            if gain is not None:
                of_set = gain, (oracle(where) or 0.0) - gain, (chosen(where) or 0.0) - gain
                gains.setdefault(where.target, []).append(of_set)
        if gains:
            means = [[sum(one) / len(sets) for one in zip(*sets, strict=True)] for sets in gains.values()]
            every, regrets, more = ([one[i] for one in means] for i in range(3))
            p90 = sorted(regrets)[min(len(regrets) - 1, int(0.9 * len(regrets)))]
            regret = sum(regrets) / len(regrets)
            found.append(Policy(name, len(gains), *mean_interval(every), regret, p90, mean_interval(more)))
    return found


def _best_elsewhere(arms: Compared, where: TestSet) -> float | None:
    """Return what the recipe with the highest mean gain on the other targets gains on this one."""
    means: dict[Combination, list[float]] = {}
    others = [told for other, told in arms.items() if other.target != where.target]
    for told in others:
        for one in told:
            means.setdefault(one.arm.recipe, []).append(one.gain_pp)
    here = {one.arm.recipe: one.gain_pp for one in arms[where]}
    enough = [r for r in here if len(means.get(r, ())) * 2 >= len(others)]
    if not enough:
        return None
    return here[max(enough, key=lambda r: (sum(means[r]) / len(means[r]), str(r)))]


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its 95% t interval."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, mean, mean
    half = stats.student_inv_cdf(0.975, n - 1) * sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    return mean, mean - half, mean + half

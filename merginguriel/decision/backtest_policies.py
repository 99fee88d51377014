"""Predictions of measured gains, and policies compared by the gain that they would have realised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from merginguriel import stats

from .estimate import Estimate, cdf
from .evidence import Arm, Recipe
from .pilot import MERGE_AT, worth_pp
from .study_rules import Facts, rules

MIN_GAIN = 1.0  # pp


class Prediction(NamedTuple):
    """An arm on a target, as it was predicted without it, and as it was measured."""

    arm: Arm
    estimate: Estimate
    gain_pp: float
    variance: float

    @property
    def u(self) -> float:
        """Probability that the predictive distribution gives to a gain below the measured one."""
        e = self.estimate
        return cdf((self.gain_pp - e.mean_pp) / sqrt(e.sd_pp**2 + self.variance), e.df)

    @property
    def p_measured(self) -> float:
        """P(measured gain > 0), with the noise of the measurement."""
        e = self.estimate
        return cdf(e.mean_pp / sqrt(e.sd_pp**2 + self.variance), e.df)


@dataclass(frozen=True)
class Policy:
    """Realised gain of a policy over targets, with a 95% t interval; regret against the best measured arm.

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


def compared_targets(told: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    """Return the targets on which policies are compared: those with the arms that most targets have."""
    counts: dict[Recipe, set[str]] = {}
    for one in told:
        counts.setdefault(one.arm.recipe, set()).add(one.arm.target)
    most = max((len(targets) for targets in counts.values()), default=0)
    common = [recipe for recipe, targets in counts.items() if 2 * len(targets) > most]
    wanted = set.intersection(*(counts[recipe] for recipe in common)) if common else set()
    if len(wanted) < 3:
        wanted = {one.arm.target for one in told}
    return {t: [one for one in told if one.arm.target == t] for t in sorted(wanted)}


def first(told: Sequence[Prediction]) -> Prediction | None:
    """Return the arm that is worth most, as the advice ranks them; None without arms."""

    def worth(one: Prediction) -> tuple[float, str]:
        return worth_pp(one.estimate, one.arm, MIN_GAIN), one.arm.label

    return max(told, key=worth, default=None)


Pick = Callable[[str], float | None]  # target → realised gain; None: not measured


def policies(
    compared: Mapping[str, Sequence[Prediction]],
    merged: Mapping[str, Sequence[Prediction]],
    facts: Mapping[str, Facts],
) -> list[Policy]:
    """Return realised gains: the engine's first choice, fixed recipes, the study's rules, random and oracle."""

    def of(
        arms: Mapping[str, Sequence[Prediction]], method: str, similarity: str | None, k: int | None
    ) -> Pick:
        def pick(target: str) -> float | None:
            found = [
                one.gain_pp
                for one in arms[target]
                if one.arm.method == method
                and (similarity is None or one.arm.similarity == similarity)
                and (k is None or one.arm.k == k)
            ]
            return sum(found) / len(found) if found else None

        return pick

    def engine(arms: Mapping[str, Sequence[Prediction]], *, sure: bool = False) -> Pick:
        def pick(target: str) -> float | None:
            one = first(arms[target])
            if one is None:
                return None
            e = one.estimate
            act = not sure or (e.p_above(0) >= MERGE_AT and e.mean_pp >= MIN_GAIN)
            return one.gain_pp if act else 0.0

        return pick

    def elsewhere(arms: Mapping[str, Sequence[Prediction]]) -> Pick:
        return lambda target: _best_elsewhere(arms, target)

    def drawn(target: str) -> float | None:
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
        "never": lambda target: 0.0,
        "random merge": drawn,
        "oracle, with ensembles": lambda t: max([0.0, *(one.gain_pp for one in compared[t])]),
        "oracle, one model": lambda t: max([0.0, *(one.gain_pp for one in merged[t])]),
    }
    ties5, uriel3 = of(compared, "ties", None, 5), of(compared, "similarity", "URIEL", 3)

    def never(_: str) -> float | None:
        return 0.0

    def ruled(says: Mapping[str, bool], yes: Pick, no: Pick) -> Pick:
        return lambda target: (yes if says.get(target) else no)(target)

    for name, says in rules(facts).items():
        tree = name == "decision tree of the study"
        picks[name] = ruled(says, uriel3, ties5) if tree else ruled(says, real3, never)
    found, chosen = [], engine(compared)
    for name, pick in picks.items():
        gains = {t: gain for t in compared if (gain := pick(t)) is not None}
        if gains:
            regrets = sorted(max([0.0, *(o.gain_pp for o in compared[t])]) - g for t, g in gains.items())
            mean, low, high = mean_interval(list(gains.values()))
            p90 = regrets[min(len(regrets) - 1, int(0.9 * len(regrets)))]
            ahead = mean_interval([(chosen(t) or 0.0) - gain for t, gain in gains.items()])
            regret = sum(regrets) / len(regrets)
            found.append(Policy(name, len(gains), mean, low, high, regret, p90, ahead))
    return found


def _best_elsewhere(arms: Mapping[str, Sequence[Prediction]], target: str) -> float | None:
    """Return what the recipe with the highest mean gain on the other targets gains on this one."""
    means: dict[Recipe, list[float]] = {}
    for other, told in arms.items():
        if other != target:
            for one in told:
                means.setdefault(one.arm.recipe, []).append(one.gain_pp)
    here = {one.arm.recipe: one.gain_pp for one in arms[target]}
    enough = [r for r in here if len(means.get(r, ())) * 2 >= len(arms) - 1]
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

"""Backtest of the estimate: predictions of measured gains from other targets, contexts and days, and policies compared.

Every part hides what it predicts: a target as target and as source, a whole context, later entries, or, for targets
with own rows, half of the information (data fission: with noise e of the same variance, gain + e estimates and gain − e
judges, and the two are independent; Leiner et al. 2023, "Data fission").
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Any

from . import backtest_items
from .backtest_policies import Policy, Prediction, compared_sets, first, mean_interval, policies
from .estimate import predict, relatives
from .evidence import Arm, Combination, Observation, is_ensemble
from .gains import Learned, cell_of, learn
from .recipe_contrasts import RecipeContrast, contrasts
from .study_rules import TargetFacts

# Methods that collapse on some targets of the shipped log; judged on their own.
COLLAPSING = frozenset({"sce", "iso_c", "iso_cts", "consensus", "della", "dare_ties", "breadcrumbs", "wudi"})
LEVELS = (0.5, 0.8, 0.9)
SHARES = (0.5, 0.9)  # of the smaller variance that two gains of a target share, in fission
REPLICATES = 48  # with 12, the difference of claimed and fresh moves by 0.4 pp from seed to seed


@dataclass(frozen=True)
class CalibrationScore:
    """How predictions fared. `coverage`: share inside the 50, 80 and 90% intervals. `pit`: ten bins of `u`."""

    name: str
    predictions: int
    targets: int
    coverage: tuple[float, float, float]
    pit: tuple[int, ...]
    brier_skill: float | None
    mean_error_pp: float


@dataclass(frozen=True)
class Fission:
    """Verdicts on measured targets: what they claim, and what fresh information of the same size shows."""

    kind: str  # `merges`, or `with ensembles`
    shared: float | None  # share of the smaller variance that two gains share; None: halves of the items
    verdicts: int  # over all replicates
    share: float  # of targets with a verdict to act
    claimed_pp: float
    fresh_pp: float
    low_pp: float  # of claimed − fresh: 95% over targets
    high_pp: float
    fresh_above: float  # share of fresh gains above 0
    expected_above: float
    coverage: tuple[float, float, float]


@dataclass(frozen=True)
class Backtest:
    """All parts of the backtest of one context."""

    context: str
    without: tuple[str, ...]
    gains: int
    targets: tuple[str, ...]
    policies: tuple[Policy, ...]
    risk_coverage: tuple[tuple[float, float], ...]  # share of targets acted on, their mean gain, surest first
    left_out: tuple[CalibrationScore, ...]
    other_contexts: CalibrationScore | None
    in_time: CalibrationScore | None
    permuted: CalibrationScore
    fission: tuple[Fission, ...]
    pilots: tuple[backtest_items.PilotScore, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return asdict(self)


def run(
    found: Sequence[Observation],
    context: str,
    *,
    facts: Mapping[str, TargetFacts] | None = None,
    without: Iterable[str] = (),
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Backtest:
    """Return the backtest of a context, `without` some targets; `facts`: what the study's rules look at on a target."""
    hidden = frozenset(without)
    used = [o for o in found if o.arm.context != context or o.arm.target not in hidden]
    here = [o for o in used if o.arm.context == context]
    told = leave_targets_out(used, context)
    compared = compared_sets(told)
    chosen = {where: first(compared[where]) for where in compared}
    return Backtest(
        context=context,
        without=tuple(sorted(hidden)),
        gains=len(here),
        targets=tuple(sorted({where.target for where in compared})),
        policies=tuple(policies(compared, facts or {})),
        risk_coverage=_risk_coverage([one for one in chosen.values() if one]),
        left_out=tuple(_groups(told, leave_targets_out(used, context, leads=False))),
        other_contexts=calibration("from other contexts", leave_context_out(used, context)),
        in_time=calibration("from earlier entries", replay(here)),
        permuted=_permuted(here, context, seed),
        fission=tuple(
            one
            for shared in (*SHARES, *([None] if backtest_items.enough(here) else []))
            for one in fission(here, shared, seed=seed, replicates=replicates)
        )
        if here
        else (),
        pilots=backtest_items.pilots(told, here, seed=seed, replicates=replicates),
    )


def leave_targets_out(found: Sequence[Observation], context: str, *, leads: bool = True) -> list[Prediction]:
    """Predict every arm of every target of a context without the target's rows, and without those that used its model.

    `leads`: whether the lead of the best single model is known, as where the target has a matrix column.
    """
    result = []
    for target in sorted({o.arm.target for o in found if o.arm.context == context}):
        rest = [o for o in found if o.arm.target != target and target not in o.arm.sources]
        own = [o for o in found if (o.arm.context, o.arm.target) == (context, target)]
        learned = learn(rest)
        against = contrasts(learned, context, target) if leads else {}
        result += _predicted(learned, own, leads=leads, against=against)
    return result


def leave_context_out(found: Sequence[Observation], context: str) -> list[Prediction]:
    """Predict every arm of a context from the other contexts, where they measured its recipe."""
    learned = learn(o for o in found if o.arm.context != context)
    told = _predicted(learned, [o for o in found if o.arm.context == context])
    return [one for one in told if one.estimate.where == "contexts"]


def replay(found: Sequence[Observation]) -> list[Prediction]:
    """Predict the gains of every log entry from the entries before it, with relatives on the same target."""
    entries: dict[tuple[str, str], list[Observation]] = {}
    for o in found:
        entries.setdefault((o.row.date, o.row.ref.partition("#")[0]), []).append(o)
    before: list[Observation] = []
    result = []
    for _, rows in sorted(entries.items()):
        if before:
            result += _predicted(learn(before), rows, related=True)
        before += rows
    return [one for one in result if one.estimate.where != "nothing"]


def _predicted(
    learned: Learned,
    own: Sequence[Observation],
    *,
    leads: bool = True,
    related: bool = False,
    against: Mapping[Combination, RecipeContrast] | None = None,
) -> list[Prediction]:
    """Predict measured arms, on each test set, from `learned`; arms of which nothing is known are left out."""
    arms: dict[tuple[Arm, int | None], list[Observation]] = {}
    for o in own:
        arms.setdefault((o.arm, o.row.n), []).append(o)
    others = {
        target: relatives(learned, context, target) if related else []
        for context, target in {(arm.context, arm.target) for arm, _ in arms}
    }
    result = []
    for (arm, n), rows in sorted(arms.items(), key=lambda item: str(item[0])):
        gain, variance, lead = cell_of(rows)
        estimate = predict(learned, arm, lead if leads else None, others[arm.target])
        if estimate.where != "nothing":
            contrast = (against or {}).get(arm.recipe)
            result.append(Prediction(arm, estimate, gain, variance, lead, contrast, n))
    return result


def _risk_coverage(chosen: Sequence[Prediction]) -> tuple[tuple[float, float], ...]:
    order = sorted(chosen, key=lambda one: (-one.estimate.p_above(0), one.arm.target))
    total, points = 0.0, []
    for i, one in enumerate(order, 1):
        total += one.gain_pp
        points.append((i / len(order), total / i))
    return tuple(points)


def _groups(told: Sequence[Prediction], blind: Sequence[Prediction]) -> list[CalibrationScore]:
    """Return the calibration of all predictions and of groups of them."""

    def steady(one: Prediction) -> bool:
        return one.arm.method not in COLLAPSING

    def real(one: Prediction) -> bool:
        return one.arm.method == "similarity" and one.arm.similarity == "REAL"

    groups = [
        ("all", list(told)),
        ("methods that collapse", [one for one in told if not steady(one)]),
        ("other methods", [one for one in told if steady(one)]),
        ("similarity REAL", [one for one in told if real(one)]),
        ("other methods, lead unknown", [one for one in blind if steady(one)]),
    ]
    return [found for name, ones in groups if (found := calibration(name, ones))]


def calibration(name: str, told: Sequence[Prediction]) -> CalibrationScore | None:
    """Return how predictions fared; None without any."""
    if not told:
        return None
    bins = [0] * 10
    for one in told:
        bins[min(9, int(10 * one.u))] += 1
    n = len(told)
    gained = [float(one.gain_pp > 0) for one in told]
    rate = sum(gained) / n
    brier = sum((one.p_measured - y) ** 2 for one, y in zip(told, gained, strict=True)) / n
    inside = [sum(abs(one.u - 0.5) <= level / 2 for one in told) / n for level in LEVELS]
    return CalibrationScore(
        name,
        n,
        len({one.arm.target for one in told}),
        (inside[0], inside[1], inside[2]),
        tuple(bins),
        1 - brier / (rate * (1 - rate)) if 0 < rate < 1 else None,
        sum(abs(one.gain_pp - one.estimate.mean_pp) for one in told) / n,
    )


def _permuted(here: Sequence[Observation], context: str, seed: int) -> CalibrationScore:
    """Return the calibration where gains were permuted over all arms and targets, so that nothing can be learnt."""
    steady = [o for o in here if o.arm.method not in COLLAPSING]
    order = list(range(len(steady)))
    random.Random(seed).shuffle(order)
    mixed = [
        replace(o, gain_pp=steady[i].gain_pp, variance=steady[i].variance)
        for o, i in zip(steady, order, strict=True)
    ]
    found = calibration("permuted outcomes", leave_targets_out(mixed, context))
    return found or CalibrationScore("permuted outcomes", 0, 0, (0.0, 0.0, 0.0), (), None, 0.0)


def split(
    found: Sequence[Observation], shared: float, random_: random.Random
) -> tuple[list[Observation], dict[Arm, list[Observation]]]:
    """Return the gains with noise added, and the fresh halves by arm, each with twice the variance.

    Noise of two gains of a target has the covariance `shared` · min(v, w), which is Brownian motion at the times v, w.
    """
    seen: list[Observation] = []
    fresh: dict[Arm, list[Observation]] = {}
    targets: dict[str, list[Observation]] = {}
    for o in found:
        targets.setdefault(o.arm.target, []).append(o)
    for _, rows in sorted(targets.items()):
        at = common = 0.0
        for o in sorted(rows, key=lambda o: (o.variance, o.row.ref)):
            common += random_.gauss(0, sqrt(max(o.variance - at, 0.0)))
            at = o.variance
            noise = sqrt(shared) * common + sqrt((1 - shared) * o.variance) * random_.gauss(0, 1)
            seen.append(replace(o, gain_pp=o.gain_pp + noise, variance=2 * o.variance))
            other = replace(o, gain_pp=o.gain_pp - noise, variance=2 * o.variance)
            fresh.setdefault(o.arm, []).append(other)
    return seen, fresh


def fission(
    found: Sequence[Observation], shared: float | None, *, seed: int, replicates: int = REPLICATES
) -> list[Fission]:
    """Return what verdicts to act claim on measured targets, and what fresh halves of the information show.

    Of the merges, and of these with ensembles.
    """
    draws = random.Random(seed)
    told: dict[str, list[Prediction]] = {"merges": [], "with ensembles": []}
    chosen: dict[str, list[Prediction]] = {kind: [] for kind in told}
    for _ in range(replicates):
        seen, fresh = backtest_items.halves(found, draws) if shared is None else split(found, shared, draws)
        learned = learn(seen)
        for (context, target), arms in sorted(learned.by_target.items()):
            others, every = relatives(learned, context, target), []
            for arm in arms:
                gain, variance, _ = cell_of(fresh[arm])
                every.append(Prediction(arm, predict(learned, arm, None, others), gain, variance))
            merges = [one for one in every if not is_ensemble(one.arm.method)]
            for kind, candidates in zip(told, (merges, every), strict=True):
                told[kind] += candidates
                best = first(candidates)
                chosen[kind] += [best] if best else []
    return [_judged(kind, shared, told[kind], chosen[kind]) for kind in told]


def _judged(
    kind: str, shared: float | None, told: Sequence[Prediction], chosen: Sequence[Prediction]
) -> Fission:
    """Return how the verdicts to act among first choices fared, and the coverage of all predictions."""
    acted: dict[str, list[Prediction]] = {}
    for one in chosen:
        if one.proven:
            acted.setdefault(one.arm.target, []).append(one)
    every = [one for ones in acted.values() for one in ones]
    n = max(len(every), 1)
    more = sum(one.estimate.mean_pp - one.gain_pp for one in every) / n
    # Targets are the sample, and one with many verdicts counts more: a ratio estimator (Cochran 1977, ch. 6).
    away = [
        len(acted) / n * sum(p.estimate.mean_pp - p.gain_pp - more for p in ones) for ones in acted.values()
    ]
    _, low, high = mean_interval(away) if away else (0.0, 0.0, 0.0)
    inside = [sum(abs(one.u - 0.5) <= level / 2 for one in told) / max(len(told), 1) for level in LEVELS]
    return Fission(
        kind=kind, shared=shared, verdicts=len(every), share=len(every) / max(len(chosen), 1),
        claimed_pp=sum(one.estimate.mean_pp for one in every) / n,
        fresh_pp=sum(one.gain_pp for one in every) / n, low_pp=more + low, high_pp=more + high,
        fresh_above=sum(one.gain_pp > 0 for one in every) / n,
        expected_above=sum(one.p_measured for one in every) / n, coverage=(inside[0], inside[1], inside[2]),
    )  # fmt: skip


@dataclass(frozen=True)
class Backtests:
    """Backtests of several contexts, and of the choice of sources on a transfer table."""

    knowledge_hash: str
    contexts: tuple[Backtest, ...]
    sources: tuple[Any, ...] = ()  # transfer.Score

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return asdict(self)

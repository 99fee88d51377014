"""Measured gains of a mode, read from result rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from merginguriel.knowledge.parse.rows import AGREEMENT, MEASURES, ResultRow, distinct

from .arm_types import ArmName, BaselineKind

GOAL: dict[str, BaselineKind] = {"ExcTar": "best_single_source", "IncTar": "target_alone"}
JOINT = "joint"  # one model, trained on the sentences of many locales
BEST_OF_ALL = "best_zero_shot"  # of all models but the target's own, not only of the sources
SMALLEST_GAP_VARIANCE = 0.01  # pp²
AGREEMENT_SD = (
    5.0  # pp between a gain of agreement and one of accuracy: a judgement, no pair was measured yet
)
GAP_TARGETS = 3  # fewer say nothing about how much the gap varies


class Combination(NamedTuple):
    """A way to combine models in a context, whatever the target and its sources."""

    context: str
    method: str
    similarity: str | None
    k: int | None
    params: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Arm:
    """A way to serve a target in a mode and context: a recipe and its sources, sorted; empty where they are not known."""

    context: str
    target: str
    mode: str
    method: str
    similarity: str | None
    k: int | None
    params: tuple[tuple[str, str], ...]
    sources: tuple[str, ...] = ()

    @cached_property
    def recipe(self) -> Combination:
        """The arm without target and sources: what is measured again on other targets."""
        return Combination(self.context, self.method, self.similarity, self.k, self.params)

    @property
    def passes(self) -> int:
        """Number of forward passes for an input: k for an ensemble, else 1."""
        return (self.k or len(self.sources) or 1) if is_ensemble(self.method) else 1

    @property
    def name(self) -> ArmName:
        """The arm without target, mode and context."""
        return ArmName(self.method, self.similarity, self.k, dict(self.params))

    @property
    def label(self) -> str:
        """`similarity, REAL, 5 sources`."""
        return self.name.label


class Gap(NamedTuple):
    """Best single source − mean of sources, in pp, over the targets where both are known."""

    mean_pp: float
    variance: float
    targets: int


@dataclass(frozen=True)
class Observation:
    """One measured gain in pp.

    `kind`: `gain`, against the goal's baseline; `effect`, inferred over a `gap`; `agreement`, measured without labels.
    """

    row: ResultRow
    arm: Arm
    gain_pp: float
    variance: float
    kind: Literal["gain", "effect", "agreement"]
    gap: Gap | None = None
    lead_pp: float | None = None  # best single model − mean of the arm's sources, pp; None: unknown

    @property
    def piloted(self) -> bool:
        """Whether it is the confirmation of a pilot, on items with labels that did not choose the arm."""
        return self.kind != AGREEMENT and (self.row.run or "").startswith("pilot-")


Effect = tuple[ResultRow, Arm, float, float]  # a gain over the mean of the sources, pp, and its variance
Column = Mapping[str, float]  # source → accuracy on one target, a fraction


def arm_of(row: ResultRow) -> Arm:
    """Return the arm that a row measured."""
    sources = tuple(sorted(row.sources))
    return Arm(row.context, row.target, row.mode, row.method, row.similarity, row.k, row.params, sources)


def is_ensemble(method: str) -> bool:
    """Return whether models answer together instead of being merged."""
    return method.startswith("ensemble")


def with_joint(rows: Sequence[ResultRow], mode: str) -> list[ResultRow]:
    """Return the rows, and for each joint model that a merge was compared with, its row against the merge's baseline."""
    joint = [row for row in rows if row.baseline_kind == JOINT and row.mode == mode]
    places = {(row.context, row.target) for row in joint}
    goals = GOAL[mode], BEST_OF_ALL
    here = (row for row in rows if (row.context, row.target) in places)
    beaten = {row.measurement(): row for row in here if row.mode == mode and row.baseline_kind in goals}
    found = []
    for row in joint:
        goal = beaten.get(row.measurement())
        if goal is not None and row.baseline is not None:
            found.append(
                replace(
                    goal, method=JOINT, similarity=None, k=None, params=(), sources=(), weights=(), wins=None,
                    losses=None, se_pp=None, items=None, value=row.baseline, ref=row.ref, status=row.status,
                )
            )  # fmt: skip
    return [*rows, *found]


def is_arm(row: ResultRow) -> bool:
    """Return whether a row is of a merge, an ensemble or a joint model."""
    return row.method not in ("single", "compat")


def observations(
    rows: Sequence[ResultRow],
    mode: str,
    excluded: Callable[[Arm], bool],
    *,
    known: Mapping[tuple[str, str], Column] | None = None,
) -> list[Observation]:
    """Return the current rows of a mode, all of one metric, as gains; each measurement counts once.

    A row that was compared only with the mean of its sources gives an effect. Where other targets of the same context
    show how far the best source is above that mean (the gap), effect − gap estimates the gain, with the gap's variance
    added. `known`: `columns` of the rows, where they were read already.
    """
    kinds = (GOAL[mode], BEST_OF_ALL, "source_mean") if mode == "ExcTar" else (GOAL[mode],)
    every = distinct(
        row for row in with_joint(rows, mode)
        if row.mode == mode and row.status == "current" and is_arm(row)
        and (row.baseline_kind in kinds or row.metric == "merging_effect")
    )  # fmt: skip
    arms = [arm_of(row) for row in every]
    usable = [(row, arm) for row, arm in zip(every, arms, strict=True) if not excluded(arm)]
    means = {row.measurement(): row.baseline for row, _ in usable if row.baseline_kind == "source_mean"}
    known = columns(rows) if known is None else known
    # Where the best of all models was recorded beside the best of the sources, that is what a merge has to beat.
    strict = {row.measurement() for row, _ in usable if row.baseline_kind == BEST_OF_ALL}
    found: list[Observation] = []
    effects: list[Effect] = []
    for row, arm in usable:
        difference, variance = row.gain_pp, row.variance_pp
        beaten = row.baseline_kind == GOAL[mode] and not (
            strict and mode == "ExcTar" and row.measurement() in strict
        )
        beaten |= mode == "ExcTar" and row.baseline_kind == BEST_OF_ALL
        if beaten and difference is not None and variance is not None:
            lead = (
                _lead_of(row, known.get((row.context, row.target), {}), means) if mode == "ExcTar" else None
            )
            found.append(Observation(row, arm, difference, variance, "gain", lead_pp=lead))
        elif mode == "ExcTar" and row.baseline_kind == "source_mean" and difference is not None and row.n:
            effects.append((row, arm, difference, variance or 0.0))
        elif mode == "ExcTar" and row.metric == "merging_effect" and row.n:
            # The accuracies were not recorded; ½ is the accuracy with the largest variance.
            effects.append((row, arm, row.value, 1e4 * 0.5 / row.n))
    return found + _inferred(found, effects)


def _inferred(gains: Sequence[Observation], effects: Iterable[Effect]) -> list[Observation]:
    """Return gains inferred from effects, of recipes that have no gain on the target."""
    measured = {_setting(gain.arm) for gain in gains}
    lacking = {arm.context for _, arm, _, _ in effects if _setting(arm) not in measured}
    first: dict[object, Observation] = {}
    for row, arm, effect, variance in effects:
        if arm.context in lacking:
            first.setdefault((arm, row.seed), Observation(row, arm, effect, variance, "effect"))
    gaps = _gaps([gain for gain in gains if gain.arm.context in lacking], first.values())
    found = []
    for o in first.values():
        gap = next((gaps[key] for key in _gap_keys(o.arm) if key in gaps), None)
        if gap is not None and _setting(o.arm) not in measured:
            gain = o.gain_pp - gap.mean_pp
            found.append(replace(o, gain_pp=gain, variance=o.variance + gap.variance, gap=gap))
    return found


def agreements(rows: Iterable[ResultRow], mode: str, excluded: Callable[[Arm], bool]) -> list[Observation]:
    """Return what pilots without labels measured: gains of agreement, with `AGREEMENT_SD` added to their noise."""
    return [
        Observation(row, arm, 100 * (row.value - row.baseline), (row.se_pp or 0.0) ** 2 + AGREEMENT_SD**2, AGREEMENT)
        for row in distinct(rows)
        if row.metric == AGREEMENT and row.mode == mode and row.status == "current" and row.baseline is not None
        and not excluded(arm := arm_of(row))
    ]  # fmt: skip


def columns(rows: Sequence[ResultRow]) -> dict[tuple[str, str], dict[str, float]]:
    """Return (context, target) → what each single model of another locale reaches on the target, as far as it is known.

    Values of a metric of which less is better are negated.

    REAL weights are development accuracies up to a factor, which the recorded mean of the sources gives. They come
    first, because they share no noise with the gains on test items; models without them have their score in the log.
    Of several test sets the largest counts: others are harder or easier, and a mean over both has the level of neither.
    """
    scored: dict[tuple[str, str], dict[str, float]] = {}
    weights: dict[tuple[str, str], dict[str, dict[int, list[float]]]] = {}  # target → source → n → values
    for row in rows:
        if row.status != "current":
            continue
        where = row.context, row.target
        if row.method == "single" and row.metric not in MEASURES and len(row.sources) == 1:
            if row.sources[0] != row.target:
                scored.setdefault(where, {})[row.sources[0]] = row.sign * row.value
        elif _weighs_by_accuracy(row) and row.baseline is not None:
            for source, weight in zip(row.sources, row.weights, strict=True):
                value = weight * len(row.sources) * row.baseline
                by_size = weights.setdefault(where, {}).setdefault(source, {})
                by_size.setdefault(row.n or 0, []).append(value)
    for where, found in weights.items():
        scored.setdefault(where, {}).update(
            {source: _mean(sorted(by_size[max(by_size)])) for source, by_size in found.items()}
        )
    return scored


def _weighs_by_accuracy(row: ResultRow) -> bool:
    """Return whether the weights of a row are accuracies, and their mean is recorded with it."""
    compared = row.mode == "ExcTar" and row.baseline_kind == "source_mean" and row.sign > 0
    return compared and row.similarity == "REAL" and len(row.weights) == len(row.sources) > 1


def lead(column: Column, sources: Sequence[str], best: float | None = None) -> float | None:
    """Return how far the best single model is above the mean of `sources`, pp; None if a source is not in the column."""
    if not sources or any(source not in column for source in sources):
        return None
    return 100 * ((max(column.values()) if best is None else best) - _mean([column[s] for s in sources]))


def _lead_of(
    row: ResultRow, column: Column, means: Mapping[tuple[object, ...], float | None]
) -> float | None:
    """Return the lead behind a measured gain: of all models or of the arm's sources, whichever it was compared with."""
    pool = column if row.baseline_kind == BEST_OF_ALL else {s: column[s] for s in row.sources if s in column}
    if pool:
        found = lead(column, row.sources, max(pool.values()))
        if found is not None:
            return found
    mean = means.get(row.measurement()) if means else None
    if mean is None:
        return None
    if pool and row.baseline_kind == BEST_OF_ALL:
        best = max(pool.values())
    elif row.baseline is not None:
        best = row.sign * row.baseline
    else:
        return None
    return 100 * (best - row.sign * mean)


def _gap_keys(arm: Arm) -> tuple[object, ...]:
    """Return the groups whose gap applies to an arm: the same choice of sources, else the same context.

    Never another context: how far sources are apart depends on the task and the base model.
    """
    return (arm.context, arm.similarity, arm.k), arm.context


def _gaps(gains: Sequence[Observation], effects: Iterable[Observation]) -> dict[object, Gap]:
    """Return the gap of every group with `GAP_TARGETS` targets or more."""
    by_setting: dict[object, list[float]] = {}
    for gain in gains:
        by_setting.setdefault(_setting(gain.arm), []).append(gain.gain_pp)
    known: dict[object, dict[str, list[float]]] = {}
    for effect in effects:
        arm = effect.arm
        if _setting(arm) in by_setting:
            gap = effect.gain_pp - _mean(by_setting[_setting(arm)])
            for key in _gap_keys(arm):
                known.setdefault(key, {}).setdefault(arm.target, []).append(gap)
    found: dict[object, Gap] = {}
    for key, by_target in known.items():
        if len(by_target) >= GAP_TARGETS:
            values = [_mean(gaps) for _, gaps in sorted(by_target.items())]
            mean = _mean(values)
            variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
            found[key] = Gap(mean, max(variance, SMALLEST_GAP_VARIANCE), len(values))
    return found


def _setting(arm: Arm) -> tuple[Combination, str]:
    return arm.recipe, arm.target


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

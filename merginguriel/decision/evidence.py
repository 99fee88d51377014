"""Measured gains of a mode, read from result rows, with their noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from merginguriel.knowledge.parse.rows import ResultRow, distinct, is_merge

from .advice_types import ArmName, BaselineKind

GOAL: dict[str, BaselineKind] = {"ExcTar": "best_single_source", "IncTar": "target_alone"}
BEST_OF_ALL = "best_zero_shot"  # of all models but the target's own, not only of the sources
# Rows of one target are differences from the same baseline on the same items. For two differences with equal
# parts of noise from the merge and from the baseline, the shared part is half.
SHARED_BASELINE = 0.5
SMALLEST_GAP_VARIANCE = 0.01  # pp²
GAP_TARGETS = 3  # fewer say nothing about how much the gap varies


@dataclass(frozen=True)
class Arm:
    """A way to merge for a target in a mode and context, without its sources and weights."""

    context: str
    target: str
    mode: str
    method: str
    similarity: str | None
    k: int | None
    params: tuple[tuple[str, str], ...]

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
    """One measured gain in pp. `kind`: `gain`, against the goal's baseline, or `effect`, inferred over a `gap`."""

    row: ResultRow
    arm: Arm
    gain_pp: float
    variance: float
    kind: Literal["gain", "effect"]
    gap: Gap | None = None


def arm_of(row: ResultRow) -> Arm:
    """Return the arm that a row measured."""
    return Arm(row.context, row.target, row.mode, row.method, row.similarity, row.k, row.params)


def observations(rows: Iterable[ResultRow], mode: str, excluded: Callable[[Arm], bool]) -> list[Observation]:
    """Return the current rows of a mode, all of one metric, as gains; each measurement counts once.

    A row that was compared only with the mean of its sources gives an effect. Where other targets of the same context
    show how far the best source is above that mean (the gap), effect − gap estimates the gain, with the gap's variance
    added.

    Args:
        rows: Result rows of any mode.
        mode: `ExcTar` or `IncTar`.
        excluded: Whether the rows of an arm are left out.
    """
    usable = distinct(
        row
        for row in rows
        if row.mode == mode and row.status == "current" and is_merge(row.method) and not excluded(arm_of(row))
    )
    # Where the best of all models was recorded beside the best of the sources, that is what a merge has to beat.
    strict = {row.measurement() for row in usable if row.baseline_kind == BEST_OF_ALL}
    found: list[Observation] = []
    effects: dict[object, Observation] = {}
    for row in usable:
        arm = arm_of(row)
        difference, variance = row.gain_pp, row.variance_pp
        beaten = row.baseline_kind == GOAL[mode] and not (mode == "ExcTar" and row.measurement() in strict)
        beaten |= mode == "ExcTar" and row.baseline_kind == BEST_OF_ALL
        if beaten and difference is not None and variance is not None:
            found.append(Observation(row, arm, difference, variance, "gain"))
        elif mode == "ExcTar" and row.baseline_kind == "source_mean" and difference is not None and row.n:
            effects.setdefault((arm, row.seed), Observation(row, arm, difference, variance or 0.0, "effect"))
        elif mode == "ExcTar" and row.metric == "merging_effect" and row.n:
            # The accuracies were not recorded; ½ is the accuracy with the largest variance.
            effects.setdefault((arm, row.seed), Observation(row, arm, row.value, 1e4 * 0.5 / row.n, "effect"))
    measured = {observation.arm for observation in found}
    gaps = _gaps(found, effects.values())
    for effect in effects.values():
        gap = next((gaps[key] for key in _gap_keys(effect.arm) if key in gaps), None)
        if gap is not None and effect.arm not in measured:
            found.append(
                replace(
                    effect,
                    gain_pp=effect.gain_pp - gap.mean_pp,
                    variance=effect.variance + gap.variance,
                    gap=gap,
                )
            )
    return found


def _gap_keys(arm: Arm) -> tuple[object, ...]:
    """Return the groups whose gap applies to an arm: the same choice of sources, else the same context.

    Never another context: how far sources are apart depends on the task and the base model.
    """
    return (arm.context, arm.similarity, arm.k), arm.context


def _gaps(gains: Sequence[Observation], effects: Iterable[Observation]) -> dict[object, Gap]:
    """Return the gap of every group with `GAP_TARGETS` targets or more."""
    by_setting: dict[Arm, list[float]] = {}
    for gain in gains:
        by_setting.setdefault(gain.arm, []).append(gain.gain_pp)
    known: dict[object, dict[str, list[float]]] = {}
    for effect in effects:
        arm = effect.arm
        if arm in by_setting:
            gap = effect.gain_pp - _mean(by_setting[arm])
            for key in _gap_keys(arm):
                known.setdefault(key, {}).setdefault(arm.target, []).append(gap)
    found: dict[object, Gap] = {}
    for key, by_target in known.items():
        if len(by_target) >= GAP_TARGETS:
            values = np.array([_mean(gaps) for gaps in by_target.values()])
            found[key] = Gap(float(values.mean()), float(values.var(ddof=1)), len(values))
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class Noise(NamedTuple):
    """The noise of n measured gains: sampling, shared baselines, and the gaps' own errors."""

    sd: np.ndarray  # [n] pp
    baseline: np.ndarray  # [n] rows of one number are differences from one baseline
    gap: np.ndarray  # [n] which gap a row was inferred over; −1 for none
    gap_variance: np.ndarray  # [gaps] pp², of the mean gap


def noise(found: Sequence[Observation]) -> Noise:
    """Return the noise of observations. An inferred gain has no recorded baseline and shares it with no other."""
    baselines: dict[object, int] = {}
    gaps: dict[Gap, int] = {}
    for o in found:
        if o.gap:
            gaps.setdefault(o.gap, len(gaps))
    return Noise(
        np.sqrt(np.array([o.variance for o in found], dtype=float)),
        np.array(
            [
                baselines.setdefault(
                    (o.row.context, o.row.target, o.row.baseline_kind, o.row.baseline), len(baselines)
                )
                if o.kind == "gain"
                else -1 - i
                for i, o in enumerate(found)
            ],
            dtype=int,
        ),
        np.array([gaps[o.gap] if o.gap else -1 for o in found], dtype=int),
        # Three equal gaps are chance: a gap is never known exactly.
        np.array([max(gap.variance, SMALLEST_GAP_VARIANCE) / gap.targets for gap in gaps]),
    )


def sampling(sd: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Return the sampling covariance: differences from one baseline share a part of their noise.

    Args:
        sd: Standard deviations, [..., m] pp.
        baseline: Number of each difference's baseline, [..., m].

    Returns:
        Covariance, [..., m, m] pp².
    """
    variance = sd**2
    # The quieter of two differences bounds what both can owe to their baseline.
    shared = SHARED_BASELINE * np.minimum(variance[..., :, None], variance[..., None, :])
    sampled = np.where(baseline[..., :, None] == baseline[..., None, :], shared, 0.0)
    diagonal = np.arange(sd.shape[-1])
    sampled[..., diagonal, diagonal] = variance
    return sampled

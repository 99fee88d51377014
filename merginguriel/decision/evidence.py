"""Which rows speak to a question, and as what gain with what noise?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from merginguriel.knowledge.parse.rows import MEASURES, ResultRow, distinct, is_merge

GOAL = {"ExcTar": "best_single_source", "IncTar": "target_alone"}
BEST_OF_ALL = "best_zero_shot"  # of all models but the target's own, not only of the sources
# Rows of one target are differences from the same baseline on the same items. For two differences with equal
# parts of noise from the merge and from the baseline, the shared part is half.
SHARED_BASELINE = 0.5
SMALLEST_GAP_VARIANCE = 0.01  # pp²
GAP_TARGETS = 3  # fewer say nothing about how much the gap varies


@dataclass(frozen=True)
class Setting:
    """What is asked of a merge: method, similarity, k and parameters, for a target in a mode and context.

    A recipe (merging/recipe.py) is more: it also names the sources and their weights.
    """

    context: str
    target: str
    mode: str
    method: str
    similarity: str | None
    k: int | None
    params: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        """`similarity, REAL, 5 sources`."""
        parts = [self.method, self.similarity or "", f"{self.k} sources" if self.k else ""]
        parts += [f"{key}={value}" for key, value in self.params]
        return ", ".join(part for part in parts if part)


class Gap(NamedTuple):
    """Best single source − mean of sources, in pp, over the targets where both are known."""

    mean_pp: float
    variance: float
    targets: int


@dataclass(frozen=True)
class Observation:
    """One measured gain in pp. `kind`: `gain`, against the goal's baseline, or `effect`, inferred over a `gap`."""

    row: ResultRow
    setting: Setting
    gain_pp: float
    variance: float
    kind: str
    gap: Gap | None = None


def metric_of(rows: Iterable[ResultRow], context: str) -> str:
    """Return the metric that most rows of a context have, compared rows before others; accuracy where there are none."""
    here = [row for row in rows if row.context == context and row.metric not in MEASURES]
    counts = Counter(row.metric for row in here if row.baseline is not None) or Counter(
        r.metric for r in here
    )
    return min(counts, key=lambda name: (-counts[name], name), default="accuracy")


def setting_of(row: ResultRow) -> Setting:
    return Setting(row.context, row.target, row.mode, row.method, row.similarity, row.k, row.params)


def observations(
    rows: Iterable[ResultRow], mode: str, excluded: Callable[[Setting], bool]
) -> list[Observation]:
    """Return current rows of this mode, all of one metric, as gains; each measurement counts once.

    A row that knows only its sources' mean gives an effect. Where other targets of the same context show how far
    the best source lies above that mean (the gap), effect − gap estimates the gain, with the gap's variance added.
    """
    usable = distinct(
        row
        for row in rows
        if row.mode == mode
        and row.status == "current"
        and is_merge(row.method)
        and not excluded(setting_of(row))
    )
    # Where the best of all models was recorded beside the best of the sources, that is what a merge has to beat.
    strict = {row.measurement() for row in usable if row.baseline_kind == BEST_OF_ALL}
    found: list[Observation] = []
    effects: dict[object, Observation] = {}
    for row in usable:
        setting = setting_of(row)
        difference, variance = row.gain_pp, row.variance_pp
        beaten = row.baseline_kind == GOAL[mode] and not (mode == "ExcTar" and row.measurement() in strict)
        beaten |= mode == "ExcTar" and row.baseline_kind == BEST_OF_ALL
        if beaten and difference is not None and variance is not None:
            found.append(Observation(row, setting, difference, variance, "gain"))
        elif mode == "ExcTar" and row.baseline_kind == "source_mean" and difference is not None and row.n:
            effects.setdefault(
                (setting, row.seed), Observation(row, setting, difference, variance or 0.0, "effect")
            )
        elif mode == "ExcTar" and row.metric == "merging_effect" and row.n:
            # The accuracies were not recorded; ½ is the accuracy with the largest variance.
            effects.setdefault(
                (setting, row.seed), Observation(row, setting, row.value, 1e4 * 0.5 / row.n, "effect")
            )
    measured = {observation.setting for observation in found}
    gaps = _gaps(found, effects.values())
    for effect in effects.values():
        gap = next((gaps[key] for key in _gap_keys(effect.setting) if key in gaps), None)
        if gap is not None and effect.setting not in measured:
            found.append(
                replace(
                    effect,
                    gain_pp=effect.gain_pp - gap.mean_pp,
                    variance=effect.variance + gap.variance,
                    gap=gap,
                )
            )
    return found


def _gap_keys(setting: Setting) -> tuple[object, ...]:
    """Whose gap may stand for this one's: the same way to choose sources, else the same context.

    Never another context: how far sources lie apart depends on the task and the base model.
    """
    return (setting.context, setting.similarity, setting.k), setting.context


def _gaps(gains: Sequence[Observation], effects: Iterable[Observation]) -> dict[object, Gap]:
    """A gap for every key that `GAP_TARGETS` targets or more tell of."""
    by_setting: dict[Setting, list[float]] = {}
    for gain in gains:
        by_setting.setdefault(gain.setting, []).append(gain.gain_pp)
    known: dict[object, dict[str, list[float]]] = {}
    for effect in effects:
        setting = effect.setting
        if setting in by_setting:
            gap = effect.gain_pp - _mean(by_setting[setting])
            for key in _gap_keys(setting):
                known.setdefault(key, {}).setdefault(setting.target, []).append(gap)
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
    """The noise of these observations. An inferred gain has no recorded baseline and shares it with none."""
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
    """[…, m, m] pp², for sd and baseline […, m]: differences from one baseline share a part of their noise."""
    variance = sd**2
    # The quieter of two differences bounds what both can owe to their baseline.
    shared = SHARED_BASELINE * np.minimum(variance[..., :, None], variance[..., None, :])
    sampled = np.where(baseline[..., :, None] == baseline[..., None, :], shared, 0.0)
    diagonal = np.arange(sd.shape[-1])
    sampled[..., diagonal, diagonal] = variance
    return sampled

"""Which rows speak to a question, and as what gain with what noise?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..knowledge.rows import ResultRow, distinct

GOAL = {"ExcTar": "best_single_source", "IncTar": "target_alone"}
# Rows of one target are differences from the same baseline on the same items. For two differences with equal
# parts of noise from the merge and from the baseline, the shared part is half.
SHARED_BASELINE = 0.5


@dataclass(frozen=True)
class Recipe:
    """What could be done: method, similarity, k and parameters, for a target in a mode and context."""

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


@dataclass(frozen=True)
class Observation:
    """One measured gain in pp. `kind`: `gain`, against the goal's baseline, or `effect`, against the sources' mean."""

    row: ResultRow
    recipe: Recipe
    gain_pp: float
    variance: float
    kind: str


@dataclass(frozen=True)
class Gap:
    """Best single source − mean of sources, in pp, over the targets where both are known."""

    mean_pp: float
    variance: float
    targets: int


def recipe_of(row: ResultRow) -> Recipe:
    return Recipe(row.context, row.target, row.mode, row.method, row.similarity, row.k, row.params)


def observations(
    rows: Iterable[ResultRow], mode: str, excluded: Callable[[Recipe], bool]
) -> tuple[list[Observation], Gap | None]:
    """Current rows of this mode as gains; each measurement counts once.

    A row that knows only its sources' mean gives an effect. Where other targets show how far the best source
    lies above that mean (the gap), effect − gap estimates the gain, with the gap's variance added.
    """
    usable = distinct(
        row
        for row in rows
        if row.mode == mode
        and row.status == "current"
        and row.method != "single"
        and not excluded(recipe_of(row))
    )
    found: list[Observation] = []
    effects: dict[object, Observation] = {}
    for row in usable:
        recipe = recipe_of(row)
        difference, variance = row.difference_pp, row.variance_pp
        if row.baseline_kind == GOAL[mode] and difference is not None and variance is not None:
            found.append(Observation(row, recipe, difference, variance, "gain"))
        elif mode == "ExcTar" and row.baseline_kind == "source_mean" and difference is not None and row.n:
            effects.setdefault(
                (recipe, row.seed), Observation(row, recipe, difference, variance or 0.0, "effect")
            )
        elif mode == "ExcTar" and row.metric == "merging_effect" and row.n:
            # The accuracies were not recorded; ½ is the accuracy with the largest variance.
            effects.setdefault(
                (recipe, row.seed), Observation(row, recipe, row.value, 1e4 * 0.5 / row.n, "effect")
            )
    measured = {observation.recipe for observation in found}
    gap = _gap(found, effects.values())
    if gap is not None:
        for effect in effects.values():
            if effect.recipe not in measured:
                found.append(
                    Observation(
                        effect.row,
                        effect.recipe,
                        effect.gain_pp - gap.mean_pp,
                        effect.variance + gap.variance,
                        "effect",
                    )
                )
    return found, gap


def _gap(gains: Sequence[Observation], effects: Iterable[Observation]) -> Gap | None:
    by_recipe: dict[Recipe, list[float]] = {}
    for gain in gains:
        by_recipe.setdefault(gain.recipe, []).append(gain.gain_pp)
    known: dict[tuple[str, str], list[float]] = {}
    for effect in effects:
        recipe = effect.recipe
        if recipe in by_recipe:
            known.setdefault((recipe.context, recipe.target), []).append(
                effect.gain_pp - _mean(by_recipe[recipe])
            )
    if len(known) < 3:
        return None
    values = np.array([_mean(gaps) for gaps in known.values()])
    return Gap(float(values.mean()), float(values.var(ddof=1)), len(values))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def noise(found: Sequence[Observation], gap: Gap | None) -> np.ndarray:
    """[n, n] covariance in pp² of the measured gains: sampling, shared baselines, and the gap's own error."""
    sigma = np.sqrt(np.array([o.variance for o in found], dtype=float))
    # Gains of one target over one baseline; an inferred gain has no recorded baseline and shares it with none.
    groups: dict[object, int] = {}
    group = np.array(
        [
            groups.setdefault((o.row.context, o.row.target, o.row.baseline_kind, o.row.baseline), len(groups))
            if o.kind == "gain"
            else -1 - i
            for i, o in enumerate(found)
        ],
        dtype=int,
    )
    shared = group[:, None] == group[None, :]
    covariance = np.where(shared, SHARED_BASELINE, 0.0) * np.outer(sigma, sigma)
    np.fill_diagonal(covariance, sigma**2)
    if gap is not None:
        inferred = np.array([o.kind == "effect" for o in found], dtype=float)
        covariance += np.outer(inferred, inferred) * gap.variance / gap.targets
    return covariance

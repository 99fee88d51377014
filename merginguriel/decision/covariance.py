"""Covariance of measured gains: blocks of one target each, and shared effects across targets.

V = B + U C Uᵀ. B has a block for each (context, target): effects that stay within one target, sampling noise, and the
noise of a shared baseline. Every column of U is a level of an effect that crosses targets (or one gap's error), with
its variance on the diagonal of C; or a feature, whose slope has that variance. Inverted by the Woodbury identity, so that a fit costs n q² + Σ m³ and not n³ (n rows, q
columns, m rows of one target): a log of thousands of merges is fitted while its reader waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .evidence import Arm, Noise, sampling
from .replicates import Repeats

# Before any evidence, a merge is as likely to lose as to gain, and 5 pp either way is unsurprising.
LEVEL_SD = 5.0

Effect = Callable[[Arm], object]
CROSSED: dict[str, Effect] = {
    "context": lambda r: r.context,
    "target": lambda r: r.target,
    "method": lambda r: r.method,
    "method and similarity": lambda r: (r.method, r.similarity),
    "recipe": lambda r: (r.method, r.similarity, r.k, r.params),
}
# The slopes of what is known beforehand of a merge's sources: columns with numbers, not levels.
SLOPES = "compatibility"
CROSSING = (*CROSSED, SLOPES)
# Levels of these lie within one block.
NESTED: dict[str, Effect] = {
    "target in context": lambda r: (r.context, r.target),
    "method on target": lambda r: (r.context, r.target, r.method),
    "cell": lambda r: r,
}
EFFECTS = (*CROSSING, *NESTED)


class Design(NamedTuple):
    """What does not depend on the variances. Blocks are filled up to the same size, so that numpy inverts all at once."""

    place: tuple[np.ndarray, np.ndarray]  # [n] the block of each row, and its place there
    full: np.ndarray  # bool [b, m] where a block has a row
    columns: dict[tuple[str, object], int]  # (effect, level) → column of U
    crossed: np.ndarray  # [n, q] U: column 0 the overall level, the levels of effects, the gaps, the slopes
    owner: np.ndarray  # [q] index in EFFECTS, −1 where the variance is given
    given: np.ndarray  # [q] pp², where it is
    levels: dict[tuple[str, object], int]  # (nested effect, level) → its number
    nested: np.ndarray  # [nested, n] the number of each row's level
    same: np.ndarray  # [nested, b, m, m] 1 where two rows of a block share a level
    noise: np.ndarray  # [b, m, m] pp²; 1 on the diagonal where there is no row

    def blocks(self, x: np.ndarray) -> np.ndarray:
        """[b, m, …] the rows of x [n, …] in their blocks, 0 elsewhere."""
        filled = np.zeros((*self.full.shape, *x.shape[1:]), dtype=x.dtype)
        filled[self.place] = x
        return filled


class Factor(NamedTuple):
    """V for some variances, inverted."""

    design: Design
    variances: np.ndarray  # [effects] pp²
    spread: np.ndarray  # [q] diagonal of C
    inverse: np.ndarray  # [b, m, m] B⁻¹
    reach: np.ndarray  # [n, q] B⁻¹ U
    inner: np.ndarray  # [q, q] (C⁻¹ + Uᵀ B⁻¹ U)⁻¹
    logdet: float

    def solve(self, x: np.ndarray) -> np.ndarray:
        """V⁻¹ x, for x [n, columns]."""
        inside = (self.inverse @ self.design.blocks(x))[self.design.place]
        return inside - self.reach @ (self.inner @ (self.reach.T @ x))

    def within(self) -> np.ndarray:
        """[b, m, m] the blocks of V⁻¹ on its diagonal; 1 on the diagonal where there is no row."""
        outward = self.design.blocks(self.reach @ self.inner)
        return self.inverse - outward @ self.design.blocks(self.reach).swapaxes(1, 2)


def design(
    arms: Sequence[Arm], noise: Noise, features: np.ndarray, repeated: Repeats | None = None
) -> Design:
    """Lay out one row for each arm. features: [n, f] what is known of each merge's sources, 0 where it is not.

    repeated  of rows that repeat merges: one row is laid out for each merge, with the noise of all its rows together
    """
    gap = noise.gap
    if repeated is not None:
        arms = [arms[i] for i in repeated.first]
        gap, features = gap[repeated.first], features[repeated.first]
    n = len(arms)
    sizes: dict[tuple[str, str], int] = {}
    numbers: dict[tuple[str, str], int] = {}
    place = np.empty((2, n), dtype=int)
    for i, arm in enumerate(arms):
        key = arm.context, arm.target
        place[:, i] = numbers.setdefault(key, len(numbers)), sizes.get(key, 0)
        sizes[key] = sizes.get(key, 0) + 1
    at = place[0], place[1]
    full = np.zeros((len(sizes), max(sizes.values())), dtype=bool)
    full[at] = True
    columns, crossed, owner = _crossed(arms, gap, len(noise.gap_variance))
    slopes = features.shape[1]
    crossed = np.hstack([crossed, features])
    owner = np.append(owner, [CROSSING.index(SLOPES)] * slopes)
    levels: dict[tuple[str, object], int] = {}
    nested = np.array(
        [
            [levels.setdefault((name, effect(arm)), len(levels)) for arm in arms]
            for name, effect in NESTED.items()
        ]
    )
    ids = np.full((len(NESTED), *full.shape), -1)
    ids[:, full] = nested[:, np.lexsort((place[1], place[0]))]
    return Design(
        at,
        full,
        columns,
        crossed,
        owner,
        np.array([LEVEL_SD**2, *[0.0] * (len(columns) - 1), *noise.gap_variance, *[0.0] * slopes]),
        levels,
        nested,
        ((ids[..., :, None] == ids[..., None, :]) & (ids >= 0)[..., None]).astype(float),
        _sampling(noise, at, full) if repeated is None else repeated.noise(at, full),
    )


def _crossed(
    arms: Sequence[Arm], gap: np.ndarray, gaps: int
) -> tuple[dict[tuple[str, object], int], np.ndarray, np.ndarray]:
    """U, which column a level has, and which effect a column belongs to."""
    columns: dict[tuple[str, object], int] = {("level", None): 0}
    owner = [-1]
    hits = np.empty((len(CROSSED), len(arms)), dtype=int)
    for number, (name, effect) in enumerate(CROSSED.items()):
        for i, arm in enumerate(arms):
            hits[number, i] = columns.setdefault((name, effect(arm)), len(columns))
        owner += [number] * (len(columns) - len(owner))
    crossed = np.zeros((len(arms), len(columns) + gaps))
    crossed[:, 0] = 1
    crossed[np.arange(len(arms)), hits] = 1
    inferred = np.flatnonzero(gap >= 0)
    crossed[inferred, len(columns) + gap[inferred]] = 1
    return columns, crossed, np.array([*owner, *[-1] * gaps])


def _sampling(noise: Noise, place: tuple[np.ndarray, np.ndarray], full: np.ndarray) -> np.ndarray:
    """[b, m, m] pp²; 1 on the diagonal where there is no row."""
    sd, baseline = np.zeros(full.shape), np.zeros(full.shape, dtype=int)
    sd[place], baseline[place] = noise.sd, noise.baseline
    sampled = sampling(sd, baseline)
    diagonal = np.arange(full.shape[1])
    sampled[:, diagonal, diagonal] += ~full
    return sampled


def factor(design: Design, variances: np.ndarray) -> Factor:
    """Invert V for these variances in pp², in the order of EFFECTS."""
    spread = np.where(design.owner >= 0, variances[design.owner], design.given)
    own = design.noise + np.tensordot(variances[len(CROSSING) :], design.same, 1)
    inverse = np.linalg.inv(own)
    reach = (inverse @ design.blocks(design.crossed))[design.place]
    middle = design.crossed.T @ reach
    middle[np.diag_indices_from(middle)] += 1 / spread
    logdet = np.linalg.slogdet(own)[1].sum() + np.linalg.slogdet(middle)[1] + np.log(spread).sum()
    return Factor(design, variances, spread, inverse, reach, np.linalg.inv(middle), float(logdet))


def traces(factor: Factor) -> np.ndarray:
    """[effects] tr(V⁻¹ ∂V/∂variance)."""
    owner = factor.design.owner
    theirs = 1 / factor.spread - factor.inner.diagonal() / factor.spread**2
    crossing = np.bincount(owner[owner >= 0], theirs[owner >= 0], len(CROSSING))
    nested = np.tensordot(factor.design.same, factor.within(), 3)
    return np.concatenate([crossing, nested])


def spread_over(design: Design, x: np.ndarray) -> np.ndarray:
    """[n, effects] (∂V/∂variance) x of each effect: every row gets the sum over the rows that share its level."""
    columns = [
        design.crossed[:, design.owner == i] @ (design.crossed[:, design.owner == i].T @ x)
        for i in range(len(CROSSING))
    ]
    columns += [np.bincount(ids, x, len(design.levels))[ids] for ids in design.nested]
    return np.stack(columns, axis=1)


def shared_with(factor: Factor, arm: Arm, features: np.ndarray) -> np.ndarray:
    """[n] pp²: the covariance of the true gain of `arm`, its sources known by `features`, with each row's."""
    design = factor.design
    asked = np.zeros(len(factor.spread))
    asked[0] = 1
    for name, effect in CROSSED.items():
        column = design.columns.get((name, effect(arm)))
        if column is not None:
            asked[column] = 1
    asked[len(asked) - len(features) :] = features
    shared = design.crossed @ (factor.spread * asked)
    for i, (name, effect) in enumerate(NESTED.items()):
        level = design.levels.get((name, effect(arm)))
        if level is not None:
            shared += factor.variances[len(CROSSING) + i] * (design.nested[i] == level)
    return shared

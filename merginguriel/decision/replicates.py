"""Pooling of gains that were measured for the same merge.

Rows that are alike in every effect, feature and gap differ by their noise alone. With S their membership [n, g], N the
noise and K the covariance of the g merges, V = N + S K Sᵀ. Then P = (Sᵀ N⁻¹ S)⁻¹ and ȳ = P Sᵀ N⁻¹ y are sufficient: the
likelihood of y is that of ȳ under P + K, up to a factor without K; and V⁻¹ S = N⁻¹ S P (P + K)⁻¹. So ten thousand rows
of a hundred merges cost what a hundred rows cost, and the answer is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .evidence import Arm, Noise, sampling


class Repeats(NamedTuple):
    """n rows as g merges, and N⁻¹ in parts: rows that share a baseline, as many at once as there are groups of a size."""

    first: np.ndarray  # [g] the first row of each merge
    merge: np.ndarray  # [n] the merge of each row
    parts: list[tuple[np.ndarray, np.ndarray]]  # rows [c, s], N⁻¹ of them [c, s, s]

    def weighed(self, x: np.ndarray) -> np.ndarray:
        """[n] N⁻¹ x."""
        found = np.empty(len(x))
        for rows, inverse in self.parts:
            found[rows] = (inverse @ x[rows][..., None])[..., 0]
        return found

    def total(self, x: np.ndarray) -> np.ndarray:
        """[g] Sᵀ x."""
        return np.bincount(self.merge, x, len(self.first))

    def noise(self, place: tuple[np.ndarray, np.ndarray], full: np.ndarray) -> np.ndarray:
        """[b, m, m] P, with `place` and `full` as in covariance.Design; 1 on the diagonal where there is no merge."""
        known = np.zeros((*full.shape, full.shape[1]))
        block, seat = place[0][self.merge], place[1][self.merge]
        for rows, inverse in self.parts:
            np.add.at(
                known, (block[rows][:, :, None], seat[rows][:, :, None], seat[rows][:, None, :]), inverse
            )
        diagonal = np.arange(full.shape[1])
        known[:, diagonal, diagonal] += ~full
        return np.linalg.inv(known)


def repeats(arms: Sequence[Arm], noise: Noise, features: np.ndarray) -> Repeats | None:
    """Group rows by merge; None where no merge was measured twice, or a row has no noise."""
    merges: dict[object, int] = {}
    known = np.ascontiguousarray(features)
    merge = np.array(
        [
            merges.setdefault((arm, known[i].tobytes(), gap), len(merges))
            for i, (arm, gap) in enumerate(zip(arms, noise.gap.tolist(), strict=True))
        ]
    )
    if len(merges) == len(arms) or not (noise.sd > 0).all():
        return None
    sharing: dict[object, list[int]] = {}
    for i, (arm, baseline) in enumerate(zip(arms, noise.baseline.tolist(), strict=True)):
        sharing.setdefault((arm.context, arm.target, baseline), []).append(i)
    sized: dict[int, list[list[int]]] = {}
    for group in sharing.values():
        sized.setdefault(len(group), []).append(group)
    parts = []
    for groups in sized.values():
        rows = np.array(groups)
        parts.append((rows, np.linalg.inv(sampling(noise.sd[rows], np.zeros(rows.shape)))))
    return Repeats(np.unique(merge, return_index=True)[1], merge, parts)

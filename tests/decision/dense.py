"""The covariance of measured gains written down in full, to test the factored one against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from merginguriel.decision.covariance import CROSSED, LEVEL_SD, NESTED, SLOPES
from merginguriel.decision.evidence import SHARED_BASELINE, Arm, Noise

KEYS = {**CROSSED, **NESTED}


def dense_noise(noise: Noise) -> np.ndarray:
    """[n, n] pp²."""
    n = len(noise.sd)
    matrix = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i == j:
                matrix[i, j] = noise.sd[i] ** 2
            elif noise.baseline[i] == noise.baseline[j]:
                matrix[i, j] = SHARED_BASELINE * min(noise.sd[i], noise.sd[j]) ** 2
            if noise.gap[i] == noise.gap[j] >= 0:
                matrix[i, j] += noise.gap_variance[noise.gap[i]]
    return matrix


def dense_covariance(arms: Sequence[Arm], variances: Mapping[str, float], features: np.ndarray) -> np.ndarray:
    """[n, n] pp² of the true gains. features: [n, f] what is known of their sources."""
    matrix = np.full((len(arms), len(arms)), LEVEL_SD**2)
    for name in variances:
        matrix += variances[name] * same(arms, name, features)
    return matrix


def same(arms: Sequence[Arm], name: str, features: np.ndarray) -> np.ndarray:
    """[n, n] 1 where two arms share the level of this effect; for slopes, the products of their features."""
    if name == SLOPES:
        return features @ features.T
    levels = [KEYS[name](arm) for arm in arms]
    return np.array([[float(a == b) for b in levels] for a in levels])


def some_features(arms: Sequence[Arm]) -> np.ndarray:
    """[n, 2] numbers that depend on target, method and k alone; 0, as where nothing is known, for k = 3."""
    found = [
        [len(s.method) - 6, s.method.count("e") - ord(s.target[0]) % 3] if s.k == 5 else [0, 0] for s in arms
    ]
    return np.array(found, dtype=float).reshape(len(arms), 2) / 2

"""One tensor, merged by the engine as it would be in a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from merginguriel.merging.engine import merge_arrays
from merginguriel.merging.recipe import Recipe, Source
from merginguriel.merging.registry import Value


def apply(
    name: str,
    base: np.ndarray,
    tensors: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    tensor: str = "w",
    seed: int = 0,
    threads: int | None = None,
    order: list[int] | None = None,
    **params: Value,
) -> np.ndarray:
    """Merge `tensors` [k, *s] of the sources s0, s1 …, of which the first is the target. `order`: in which they are named."""
    weights = np.ones(len(tensors)) if weights is None else weights
    indices = order or range(len(tensors))
    sources = {f"s{i}": {tensor: tensors[i]} for i in indices}
    listed = tuple(Source(f"s{i}", Path(), float(weights[i])) for i in indices)
    recipe = Recipe(name, listed, params, base=Path(), target="s0", seed=seed)
    return merge_arrays(recipe, sources, {tensor: base}, threads=threads)[tensor]


def some_weights(count: int, seed: int = 0) -> np.ndarray:
    """Return unequal weights of sum 1."""
    weights = np.random.default_rng(seed).uniform(0.1, 1, count)
    return weights / weights.sum()

"""Layers of one merge from different sources, or with different weights or factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.merging.registry import Method, Param, TensorPlace, method

from .averaging import added, weighted_sum


@method(
    "layer_swap",
    paper="Bandarkar et al. 2024, arXiv:2410.01335, section 4",
    unit="entry",
    sources=(2, None),
    outer=Param(
        "", doc="source of the outer layers; empty: the one with the greatest weight, of equals the first"
    ),
    bottom=Param(2, low=0, doc="number of outer layers at the input"),
    top=Param(2, low=0, doc="number of outer layers at the output"),
    blend=Param(0, low=0, doc="number of layers at each border that are the mean of both"),
)
def layer_swap(
    tensors: np.ndarray,
    weights: np.ndarray,
    *,
    outer: str,
    bottom: int,
    top: int,
    blend: int,
    place: TensorPlace,
) -> np.ndarray:
    """Take the outer layers from one source and the middle ones from the other.

    Embeddings belong to the outer layers, and so does all that follows the last layer, the head among it. Of more
    than two sources, the middle is the weighted mean of those that are not `outer`. The paper swaps between a
    language's expert (outer) and a task's; how many layers, it finds by trying.

    tensors  [k, *s] sources, float32
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    if outer and outer not in place.names:
        raise UsageError(
            f"layer_swap: outer is {outer!r}, which is not a source.",
            hint=f"It is one of: {', '.join(place.names)}.",
        )
    chosen = place.names.index(outer) if outer else int(np.argmax(weights))
    # Layers from the nearer border into the middle; negative: outside.
    depth = min(place.layer - bottom, place.layers - top - 1 - place.layer)
    if place.layer in (-1, place.layers):
        depth = -1
    part = 1.0 if depth < 0 else 0.5 if depth < blend else 0.0
    others = weights.astype(np.float64)
    others[chosen] = 0
    if others.sum() == 0:
        others[:] = 1
        others[chosen] = 0
    shares = (1 - part) * others / others.sum()
    shares[chosen] = part
    return weighted_sum(tensors, shares.astype(np.float32))


@method(
    "lines",
    paper="Wang et al. 2024, arXiv:2410.17146, sections 4 and 5.2 (LiNeS)",
    unit="entry",
    heads="average",
    first=Param(1.0, doc="factor on the mean of the task vectors in the first layer and outside the layers"),
    last=Param(1.0, doc="factor on their sum in the last layer; the paper's α + β"),
)
def lines(
    base: np.ndarray,
    deltas: np.ndarray,
    weights: np.ndarray,
    *,
    first: float,
    last: float,
    place: TensorPlace,
) -> np.ndarray:
    """Add the task vectors with a factor that grows linearly from the first layer to the last.

    Layer ℓ of L adds (α + β ℓ/(L − 1)) k Σ wᵢδᵢ, what is outside the layers adds α k Σ wᵢδᵢ: shallow layers stay near
    the base, deep ones take the whole sum. In the paper's terms α is `first` / k, its choice for task arithmetic, and
    α + β is `last`. The paper selects β on validation data; for one model it takes α + β = 1, the default here.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    depth = place.layer / max(place.layers - 1, 1) if 0 <= place.layer < place.layers else 0.0
    return added(base, deltas, weights, (1 - depth) * first + depth * last * len(deltas))


# --- weights by layer, for any method with weights ---


def weights_at(
    table: Mapping[str, Sequence[float]], names: Sequence[str], layer: int, layers: int
) -> np.ndarray:
    """Return the sources' weights [k] at one layer, float32, sum 1.

    table   source → its weights, spread evenly from the first layer to the last and interpolated between
    layer   as in Place: the embeddings take the first weight, what follows the last layer the last
    """
    at = min(max(layer / max(layers - 1, 1), 0), 1)
    found = np.array([np.interp(at * (len(table[n]) - 1), range(len(table[n])), table[n]) for n in names])
    if found.sum() <= 0:
        raise UsageError(f"layer_weights: all weights are 0 at layer {layer}.")
    return (found / found.sum()).astype(np.float32)


def check_layer_weights(table: Mapping[str, Sequence[float]], names: Sequence[str], chosen: Method) -> None:
    """Raise UsageError unless each source has weights, all numbers from 0 upwards, and `chosen` uses weights."""
    if not chosen.weighted:
        raise UsageError(f"{chosen.name} weighs all sources the same.", hint="Use the method linear.")
    if set(table) != set(names):
        wrong = sorted(set(table) ^ set(names))[0]
        raise UsageError(
            f"layer_weights: {wrong} {'is not a source' if wrong in table else 'has no weights'}.",
            hint=f"Give a list for each of: {', '.join(names)}.",
        )
    for name, values in table.items():
        if not values or not all(isfinite(value) and value >= 0 for value in values):
            raise UsageError(
                f"layer_weights: the weights of {name} are {list(values)}.",
                hint="Give at least one number from 0 upwards; they are spread over the layers.",
            )

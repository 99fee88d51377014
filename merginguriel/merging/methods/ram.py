"""RAM: entries that several sources changed are averaged, those that one changed are left whole."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

PAPER = "Yuan et al. 2026, arXiv:2601.13572; the authors' code ram-main.py"
THRESHOLD = Param(1e-5, low=0, doc="an entry counts as changed if its task vector is larger in magnitude")


@method("ram", paper=PAPER, unit="entry", heads="average", threshold=THRESHOLD)
def ram(base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, threshold: float) -> np.ndarray:
    """Average each entry over the sources that changed it.

    An entry that one source alone changed is so taken whole, and not divided by the number of sources. The paper's mean
    is the plain one, which equal weights give. Entries that nobody changed stay at the base.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    return base + mean_of_changed(deltas, weights, np.abs(deltas) > np.float32(threshold))


@method(
    "ram+",
    paper=PAPER,
    unit="row",
    heads="average",
    threshold=THRESHOLD,
    boost=Param(0.2, low=0, doc="r: greatest increase of the entries that one source alone changed"),
)
def ram_plus(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, threshold: float, boost: float
) -> np.ndarray:
    """As ram, but what a source alone changed is enlarged by how much of its change it shares with others.

    The factor is 1 + r min(ρ, 1), with ρ the source's number of shared entries by that of its own. It makes up for what
    averaging takes from the shared ones. The paper counts over the whole model, which needs one more pass over all
    files; here, as mergekit counts in each tensor, each row of a matrix is counted by itself (a bias is one row). The
    defaults are those of the authors' README (rescale factor 1.2).

    Arguments as for `ram`.
    """
    changed = np.abs(deltas) > np.float32(threshold)
    alone = changed & (changed.sum(axis=0) == 1)
    own = alone.sum(axis=-1, keepdims=True)
    shared = changed.sum(axis=-1, keepdims=True) - own
    overlap = np.minimum(shared / np.maximum(own, 1), 1)
    factor = (1 + boost * overlap).astype(np.float32)
    np.multiply(deltas, factor, out=deltas, where=alone)
    return base + mean_of_changed(deltas, weights, changed)


def mean_of_changed(deltas: np.ndarray, weights: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return Σ wᵢδᵢ / Σ wᵢ over the sources that changed the entry, [*s]; 0 where none did."""
    total, mass = np.zeros_like(deltas[0]), np.zeros_like(deltas[0])
    for delta, weight, counted in zip(deltas, weights, changed, strict=True):
        share = weight * counted
        total += share * delta
        mass += share
    return np.divide(total, mass, out=total, where=mass > 0)

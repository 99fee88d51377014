"""RegMean: the linear layer closest to all sources' layers, each on its own inputs."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

SENTENCES = Param(256, low=1, doc="how many sentences of the text are read, drawn by the seed")
ALPHA = Param(0.9, low=0, high=1, doc="factor on what lies off the diagonal of the Gram matrices")
RIDGE = Param(1e-6, low=0, doc="added to the diagonal, in shares of its mean: keeps the system solvable")


@method(
    "regmean",
    paper="Jin et al. 2023, arXiv:2212.09849, section 3",
    saw="unlabelled text",
    before=("sentences",),
    alpha=ALPHA,
    ridge=RIDGE,
    sentences=SENTENCES,
)
def regmean(
    tensors: np.ndarray, weights: np.ndarray, *, grams: np.ndarray, alpha: float, ridge: float
) -> np.ndarray:
    """Least-squares answer to all sources' linear layers, each on the inputs it meets in its own model.

    Gram matrices are means over tokens, so that a longer text does not count more. Biases, norms, embeddings and
    whatever has no Gram matrix get the weighted mean.

    tensors  [k, out, in] weights of one linear layer, float32
    weights  [k], non-negative, sum 1
    grams    [k, in, in] mean of x xᵀ over the layer's inputs x
    returns  [out, in]: the W that solves (Σ w G) Wᵀ = Σ w G Wᵢᵀ
    """
    return least_squares(tensors, weights, grams, alpha, ridge)


@method(
    "regmean++",
    paper="Nguyen et al. 2025, arXiv:2508.03121",
    saw="unlabelled text",
    before=("sentences",),
    alpha=ALPHA,
    ridge=RIDGE,
    sentences=SENTENCES,
)
def regmean_plus_plus(
    tensors: np.ndarray, weights: np.ndarray, *, grams: np.ndarray, alpha: float, ridge: float
) -> np.ndarray:
    """As regmean, but each layer's inputs come from the layers below it as they are after their merge.

    The layers are merged from the first to the last: the inputs of a transformer layer are what the merged layers
    below give, and go through the source's own layer. The Gram matrices are written while that is done.

    Arguments as for `regmean`.
    """
    return least_squares(tensors, weights, grams, alpha, ridge)


def least_squares(
    tensors: np.ndarray, weights: np.ndarray, grams: np.ndarray, alpha: float, ridge: float
) -> np.ndarray:
    """Return W [out, in] that minimises Σ w ‖(W − Wᵢ) xᵢ‖², the off-diagonal of the Gram matrices scaled by `alpha`."""
    count, width = len(grams), grams.shape[-1]
    scaled = grams * np.float32(alpha)
    diagonal = np.arange(width)
    scaled[:, diagonal, diagonal] = grams[:, diagonal, diagonal]
    added = max(ridge, 1e-12) * max(float(grams[:, diagonal, diagonal].mean()), 1e-30)
    left, right = np.zeros((width, width)), np.zeros((width, tensors.shape[1]))
    for i in range(count):
        own = scaled[i].astype(np.float64) * weights[i]
        own[diagonal, diagonal] += added * weights[i]
        left += own
        right += own @ tensors[i].astype(np.float64).T
    try:
        solved = np.linalg.solve(left, right)
    except np.linalg.LinAlgError:  # an input that is always 0, or too few tokens
        solved = np.linalg.lstsq(left, right, rcond=None)[0]
    return solved.T.astype(np.float32)

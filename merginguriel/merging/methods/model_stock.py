"""Model Stock: a step from the base towards the mean, by the angle between the models."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import method


@method("model_stock", paper="Jang et al. 2024, arXiv:2403.19522, sections 4.1 and 4.2", heads="average")
def model_stock(base_gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Go from the base towards the sources' mean by the share that the angle between task vectors gives.

    The share is t = k c / (1 + (k − 1) c), with c the mean cosine between the task vectors of one tensor. The
    paper speaks of one angle; for more than two sources the mean of the pairwise cosines stands for it (mergekit
    does so too). A negative c gives t = 0, the base: the paper assumes an angle of at most 90°, and mergekit
    goes on beyond. The paper's mean is the plain one, which equal weights give. One source is left as it is.

    base_gram  [k, k] inner products of the task vectors, float64
    weights    [k], non-negative, sum 1
    returns    [k] coefficients of the task vectors
    """
    count = len(weights)
    if count == 1:
        return weights
    lengths = np.sqrt(np.maximum(np.diag(base_gram), 0))
    products = np.outer(lengths, lengths)
    cosines = np.divide(base_gram, products, out=np.zeros_like(products), where=products > 0)
    cosine = np.clip(cosines[np.triu_indices(count, 1)].mean(), 0, 1)
    return weights * (count * cosine / (1 + (count - 1) * cosine))

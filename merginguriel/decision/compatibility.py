"""Compatibility of the sources of a merge, from the rows of `mu compat`.

A row of method `compat` holds a measure of two models of a context. A merge's feature is the mean over the pairs of its
sources, in standard deviations from the mean of all pairs of that context: measures of different models and bases are
not comparable otherwise. An unknown feature is 0 and has no influence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from merginguriel.knowledge.parse.rows import PAIRWISE, ResultRow

FEWEST_PAIRS = 3  # of a context, to estimate a standard deviation


class Fit(NamedTuple):
    """One measure of one context: pair of locales → value, and mean and standard deviation over all pairs."""

    pairs: Mapping[frozenset[str], float]
    mean: float
    sd: float


Fits = Mapping[tuple[str, str], Fit]  # (context, measure)


def known_fits(rows: Iterable[ResultRow]) -> Fits:
    """Return the measures of all contexts from current rows; of a pair measured twice, the later row."""
    values: dict[tuple[str, str], dict[frozenset[str], float]] = {}
    of_pairs = (r for r in rows if r.method == "compat" and r.metric in PAIRWISE)
    for row in sorted(of_pairs, key=lambda r: (r.date, r.ref)):
        # With params it is of a part of the models, such as one layer.
        if row.status == "current" and not row.params:
            pair = frozenset((row.target, *row.sources))
            values.setdefault((row.context, row.metric), {})[pair] = row.value
    found = {}
    for key, pairs in values.items():
        every = np.array(list(pairs.values()))
        if len(every) >= FEWEST_PAIRS and every.std(ddof=1) > 0:
            found[key] = Fit(pairs, float(every.mean()), float(every.std(ddof=1)))
    return found


def value_of(fits: Fits, context: str, measure: str, sources: Sequence[str]) -> float | None:
    """Return the mean of a measure over the pairs of `sources`; None if a pair is unknown or there is none."""
    fit = fits.get((context, measure))
    if fit is None or len(sources) < 2:
        return None
    pairs = [frozenset(pair) for pair in combinations(sources, 2)]
    if any(pair not in fit.pairs for pair in pairs):
        return None
    return sum(fit.pairs[pair] for pair in pairs) / len(pairs)


def features(fits: Fits, context: str, sources: Sequence[str]) -> np.ndarray:
    """Return the features in the order of PAIRWISE, [measures] in standard deviations; 0 where unknown."""
    found = np.zeros(len(PAIRWISE))
    for i, measure in enumerate(PAIRWISE):
        value = value_of(fits, context, measure, sources)
        if value is not None:
            fit = fits[context, measure]
            found[i] = (value - fit.mean) / fit.sd
    return found

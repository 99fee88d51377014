"""Which sources does REAL similarity choose for a target, and with what weights?

REAL similarity of source and target is the accuracy of the source's model on the target's data: a column of
the N×N matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def top_k(column: Mapping[str, float], k: int, *, exclude: Sequence[str] = ()) -> list[str]:
    """The `k` sources with the highest value, best first; equal values in order of name."""
    ranked = sorted((s for s in column if s not in exclude), key=lambda source: (-column[source], source))
    return ranked[:k]


def weights(column: Mapping[str, float], sources: Sequence[str]) -> dict[str, float]:
    """Values of the chosen sources divided by their sum (equal if all are zero)."""
    total = sum(column[source] for source in sources)
    if total <= 0:
        return {source: 1 / len(sources) for source in sources}
    return {source: column[source] / total for source in sources}

"""Span F1: F1 over labelled spans of tokens, matched exactly, as seqeval and conlleval count them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    import numpy as np

Span = tuple[str, int, int]


def spans(tags: Sequence[str]) -> set[Span]:
    """Return (type, first token, last token) of the spans in tags such as `O B-PER I-PER`.

    IOB1, IOB2, IOE and IOBES are read leniently, as by seqeval's default mode: an `I-` after another type begins a span.
    """
    found: set[Span] = set()
    before, before_kind, start = "O", "", 0
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        kind = kind or "_"
        if before != "O" and (before in "ES" or prefix in "BSO" or before_kind != kind):
            found.add((before_kind, start, i - 1))
        if prefix != "O" and (prefix in "BS" or before in "ESO" or before_kind != kind):
            start = i
        before, before_kind = prefix, kind
    return found


def micro(sums: np.ndarray) -> np.ndarray:
    """Return F1 [d] from sums [d, 3]: right, predicted and gold spans; 0 where there are none."""
    import numpy as np

    size = sums[..., 1] + sums[..., 2]
    return np.divide(2 * sums[..., 0], size, out=np.zeros(size.shape), where=size > 0)


@metric("span_f1", doc="F1 of spans matched exactly (seqeval)", reads="tags", of_sums=micro)
def span_f1(gold: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return float [n, 3]: right, predicted and gold spans per item, whose tags are separated by spaces."""
    import numpy as np

    rows = []
    for a, b in zip(gold, predicted, strict=True):
        wanted, given = spans(a.split()), spans(b.split())
        rows.append((len(wanted & given), len(given), len(wanted)))
    return np.array(rows, dtype=float).reshape(len(rows), 3)

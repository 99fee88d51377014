"""Spearman correlation of cosine similarity with scored sentence pairs: a proxy for transfer, not an accuracy.

The score of STS-B and of sentence-transformers' EmbeddingSimilarityEvaluator: rank correlation of the cosine of the two
sentence vectors with human scores. It measures how an encoder orders meaning, not the accuracy of its classifier; a
merge with a higher score can have a lower accuracy on the task. It is labelled a proxy wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh
from pathlib import Path

import numpy as np

from merginguriel import stats
from merginguriel.errors import CheckpointError, MuError, UsageError
from merginguriel.files import Progress
from merginguriel.tasks.row_files import table_rows

COLUMNS = ("sentence1", "sentence2", "score")
FEWEST = 4  # pairs, below which the interval's formula has no meaning


@dataclass(frozen=True)
class SentencePair:
    """Two sentences and the human score of their similarity, on any scale."""

    first: str
    second: str
    score: float


@dataclass(frozen=True)
class Proxy:
    """Result. spearman: −1 … 1, over n pairs; low, high: its 95% interval. A proxy, not an accuracy."""

    spearman: float
    low: float
    high: float
    n: int


def read(path: Path) -> tuple[SentencePair, ...]:
    """Read pairs from a CSV, TSV or JSONL file with the columns or keys sentence1, sentence2, score; ignore others.

    Raises:
        MuError: With file and line; also for fewer than four pairs or scores that are all equal.
    """
    pairs = []
    for line, row in table_rows(path):
        missing = [name for name in COLUMNS if row.get(name) in (None, "")]
        if missing:
            raise MuError(
                f"{', '.join(missing)} missing.", where=f"{path}:{line}",
                hint=f"Columns are: {', '.join(COLUMNS)}.",
            )  # fmt: skip
        try:
            score = float(str(row["score"]))
        except ValueError:
            score = float("nan")
        if not np.isfinite(score):
            raise MuError(f"the score is {row['score']!r}, not a number.", where=f"{path}:{line}")
        pairs.append(SentencePair(str(row["sentence1"]), str(row["sentence2"]), score))
    if len(pairs) < FEWEST or len({pair.score for pair in pairs}) < 2:
        raise MuError(
            f"{len(pairs)} pairs and {len({p.score for p in pairs})} different scores: too few for a rank correlation.",
            where=str(path),
        )
    return tuple(pairs)


def proxy(
    model: Path,
    pairs: Sequence[SentencePair],
    *,
    prefix: str = "",
    device: str | None = None,
    on_progress: Progress | None = None,
) -> Proxy:
    """Return the Spearman correlation of the cosine of sentence vectors with the scores: a proxy.

    Args:
        model: An encoder or a classifier; vectors are pooled as its folder declares, by the mean if it declares nothing.
        prefix: Prepended to every sentence, such as E5's `query: `.

    Raises:
        CheckpointError: The model cannot be loaded, or its vectors are not finite.
        UsageError: There are too few pairs.
    """
    from .embedding import vectors

    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.first, pair.second)))
    found = vectors(model, [prefix + text for text in texts], device=device, on_progress=on_progress)
    if not np.isfinite(found).all():
        raise CheckpointError("the model's sentence vectors are not numbers.", where=str(model))
    at = {text: row for row, text in enumerate(texts)}
    first, second = (
        found[[at[getattr(pair, side)] for pair in pairs]].astype(np.float64) for side in ("first", "second")
    )
    return correlate(cosines(first, second), np.array([pair.score for pair in pairs]))


def correlate(values: np.ndarray, scores: np.ndarray) -> Proxy:
    """Correlate values [n] with scores [n]; Fisher's interval with the variance of ranks (Bonett & Wright 2000, eq. 3)."""
    n = len(values)
    if n < FEWEST:
        raise UsageError(f"{n} pairs are too few for a rank correlation: {FEWEST} or more.")
    found = stats.spearman(values.tolist(), scores.tolist())
    if abs(found) == 1 or np.isnan(found):
        return Proxy(found, -1.0, 1.0, n)
    half = stats.NORMAL.inv_cdf(0.975) * sqrt((1 + found**2 / 2) / (n - 3))
    return Proxy(found, tanh(atanh(found) - half), tanh(atanh(found) + half), n)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of a with the same row of b, both [n, h] → [n]; 0 for a vector of zeros."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1)

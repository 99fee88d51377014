"""Tokens per sentence by language, and the pooling that their spread argues for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.errors import UsageError

WIDE = 2.0  # ratio of mean lengths from which pooling other than the mean is worth a trial


@dataclass(frozen=True)
class Lengths:
    """Tokens per sentence of one language, special tokens not counted; low, high: the middle 80% of sentences."""

    locale: str
    mean: float
    low: float
    high: float
    sentences: int


def count(tokenizer: Any, texts: Mapping[str, Sequence[str]]) -> list[Lengths]:
    """Return the lengths of each locale's texts, shortest first. Raises UsageError without texts."""
    found = []
    for locale, sentences in texts.items():
        if not sentences:
            raise UsageError(f"no sentences of {locale}.")
        sizes = [len(ids) for ids in tokenizer(list(sentences), add_special_tokens=False)["input_ids"]]
        low, high = np.percentile(sizes, [10, 90])
        found.append(Lengths(locale, float(np.mean(sizes)), float(low), float(high), len(sizes)))
    if not found:
        raise UsageError("no texts.", hint="Name locales of the task: --locale ko-KR --locale en-US")
    return sorted(found, key=lambda one: (one.mean, one.locale))


def disparity(rows: Sequence[Lengths]) -> float:
    """Return the largest mean length over the smallest."""
    return rows[-1].mean / rows[0].mean if rows[0].mean else float("inf")


def argues_for(rows: Sequence[Lengths]) -> str:
    """Return, as a sentence, which pooling the lengths argue for."""
    ratio = disparity(rows)
    if len(rows) < 2:
        return "One language: name others to compare it with."
    if ratio < WIDE:
        return f"The longest mean is {ratio:.1f} times the shortest: mean pooling needs no remedy."
    return (
        f"The longest mean is {ratio:.1f} times the shortest: in {rows[-1].locale} a token has {1 / ratio:.2f} of its weight in "
        f"{rows[0].locale} under mean pooling. Try attention pooling, then max, against the mean."
    )


def figure(rows: Sequence[Lengths], path: Path) -> None:
    """Write a bar chart of mean and middle 80% by language."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(6, 0.4 * len(rows) + 1.2))
    axes = picture.subplots()
    means = [one.mean for one in rows]
    spread = [[max(0.0, one.mean - one.low) for one in rows], [max(0.0, one.high - one.mean) for one in rows]]
    axes.barh([one.locale for one in rows], means, xerr=spread, color="#4477aa", ecolor="#555555", capsize=3)
    axes.set_xlabel("tokens per sentence: mean, and the middle 80%")
    picture.tight_layout()
    picture.savefig(path, dpi=120)

"""N×N matrix of retrieval: NDCG@10 of every model on every pair of a query language and a document language."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np

from merginguriel.evaluation.nxn import Matrix, of_cells
from merginguriel.evaluation.predictions import fingerprint
from merginguriel.files import Progress
from merginguriel.tasks.parallel import Parallel, languages
from merginguriel.tasks.registry import digest

from . import architecture, retrieval

METRIC = "ndcg_at_10"


def nxn(
    models: Mapping[str, Path],
    text: Parallel,
    *,
    known: Matrix | None = None,
    on_progress: Progress | None = None,
) -> Matrix:
    """Score every model on every pair of languages; the target `ko-en` is queries in ko that search documents in en.

    Args:
        models: Name → folder of an embedder.
        known: Earlier matrix; its cells of the same model and text are not computed again, those of other models of the
            same text stay.
    """
    pairs = [f"{a}-{b}" for a, b in product(languages(*text.locales), repeat=2)]
    data = digest(text.fingerprint(), length=16)
    values: dict[tuple[str, str], float] = {}
    origin: dict[tuple[str, str], tuple[str, str]] = {}
    for cell, made in (known.origin if known else {}).items():
        if known and made[1] == data:
            values[cell], origin[cell] = known.value(*cell), made
    for done, (name, folder) in enumerate(models.items(), 1):
        made = digest(fingerprint(folder), length=16), data
        if any(origin.get((name, pair)) != made for pair in pairs):
            found = retrieval.by_direction(architecture.load(folder), text)
            for pair in pairs:
                values[name, pair], origin[name, pair] = float(found[pair][METRIC].mean()), made
        if on_progress:
            on_progress(done, len(models), name)
    sources = [*models, *sorted({source for source, _ in values} - set(models))]
    return of_cells(values, dict.fromkeys(pairs, len(text.relevant)), origin, sources, pairs, metric=METRIC)


def by_language(matrix: Matrix, source: str, names: tuple[str, ...]) -> Matrix:
    """Return one model's matrix of query language (rows, `ko-`) by document language (columns, `-en`)."""
    row = dict(zip(matrix.targets, matrix.scores[matrix.sources.index(source)], strict=True))
    scores = np.array([[row[f"{a}-{b}"] for b in names] for a in names])
    n = np.full(len(names), matrix.n[0])
    sides = tuple(f"{a}-" for a in names), tuple(f"-{b}" for b in names)
    return Matrix(*sides, scores, n, metric=METRIC)

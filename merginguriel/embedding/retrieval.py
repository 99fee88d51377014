"""Retrieval with an embedder: NDCG@10, recall and reciprocal rank per query, compared with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from merginguriel.errors import CheckpointError, IncompatibleError, MuError, UnavailableError
from merginguriel.evaluation.predictions import fingerprint
from merginguriel.evaluation.significance import Comparison, compare
from merginguriel.metrics import retrieval
from merginguriel.models.quiet_transformers import quiet
from merginguriel.tasks.parallel import Parallel, Retrieval, languages

from .architecture import load
from .mu_modules import family_of

MEASURES = {
    "ndcg_at_10": retrieval.ndcg,
    "recall_at_10": retrieval.recall,
    "mrr_at_10": retrieval.reciprocal_rank,
}
CHUNK = 256  # queries whose similarities are in memory at a time


def measured(model: SentenceTransformer, data: Retrieval, *, batch: int = 64) -> dict[str, np.ndarray]:
    """Return measure → float [q], in the order of data.relevant, by cosine similarity.

    Raises:
        MuError: There are no queries, or a query has no relevant document.
        CheckpointError: The vectors are not finite.
    """
    if not data.relevant:
        raise MuError("there are no queries.")
    lonely = next((id for id in data.queries if not data.relevant.get(id)), None)
    if lonely is not None:
        what = f"the query {lonely!r} has no relevant document."
        raise MuError(what, hint="Remove it, or add its document.")
    queries = [data.queries[id] for id in data.relevant]
    return of_vectors(*encoded(model, queries, list(data.documents.values()), batch), data)


def encoded(
    model: SentenceTransformer, queries: list[str], documents: list[str], batch: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors of queries [q, h] and documents [d, h].

    Raises:
        IncompatibleError: The model cannot encode a text, such as one in a script without a head.
        CheckpointError: The vectors are not finite.
    """
    heads: Any = next((m.families for m in model if type(m).__name__ == "FamilyHeads"), None)
    other = next((t for t in (*queries, *documents) if heads and family_of(t) not in (None, *heads)), None)
    if other is not None:  # its tokens may all be unknown ones, which have no script
        what = f"the model has no head for the script of the text {other!r}."
        raise IncompatibleError(what, hint=f"Heads: {', '.join(heads)}.")
    given: Any = {"batch_size": batch, "normalize_embeddings": True, "show_progress_bar": False}
    try:
        with quiet():
            found = model.encode_query(queries, **given), model.encode_document(documents, **given)
    except ValueError as error:
        raise IncompatibleError(f"the model cannot encode these texts: {error}.") from error
    if not all(np.isfinite(side).all() for side in found):
        raise CheckpointError("the model's sentence vectors are not numbers (NaN or infinite).")
    return found


def of_vectors(queries: np.ndarray, documents: np.ndarray, data: Retrieval) -> dict[str, np.ndarray]:
    """Return measure → float [q] of the dot products of queries [q, h] and documents [d, h].

    Raises:
        IncompatibleError: Queries and documents differ in width.
    """
    if queries.shape[1] != documents.shape[1]:
        widths = f"queries have {queries.shape[1]} dimensions, documents {documents.shape[1]}."
        raise IncompatibleError(widths)
    at = {id: row for row, id in enumerate(data.documents)}
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    wanted = list(data.relevant.values())
    for start in range(0, len(queries), CHUNK):
        scores = queries[start : start + CHUNK] @ documents.T
        for row, relevant in zip(scores, wanted[start : start + CHUNK], strict=True):
            gains = np.zeros(len(documents))
            gains[[at[id] for id in relevant]] = 1
            for name, measure in MEASURES.items():
                found[name].append(measure(gains, row))
    return {name: np.array(values) for name, values in found.items()}


def by_direction(model: SentenceTransformer, text: Parallel) -> dict[str, dict[str, np.ndarray]]:
    """Return `ko-en`, query and document language → measure → float [q]; each text is encoded once."""
    locale_of = dict(zip(languages(*text.locales), text.locales, strict=True))
    vectors = {
        name: encoded(
            model, [text.queries[locale][id] for id in text.relevant], list(text.documents[locale].values())
        )
        for name, locale in locale_of.items()
    }
    return {
        f"{a}-{b}": of_vectors(vectors[a][0], vectors[b][1], text.pair(locale_of[a], locale_of[b]))
        for a, b in product(locale_of, repeat=2)
    }


def differences(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], *, draws: int = 10_000
) -> dict[str, Comparison]:
    """Return measure → paired comparison over queries."""
    return {name: compare(ours[name], theirs[name], metric=name, draws=draws) for name in ours}


def mteb(folder: Path, tasks: list[str], out: Path) -> list[dict[str, Any]]:
    """Return task, language and main score of MTEB tasks on the model in a folder, cached in `out` under its contents.

    Raises:
        UnavailableError: mteb is not installed.
        MuError: A task is unknown.
    """
    try:
        import mteb as package
    except ImportError as error:
        what = "this needs the package mteb, which is not installed."
        raise UnavailableError(what, hint="Install it with: pip install mteb") from error
    try:
        chosen = package.get_tasks(tasks=tasks)
    except KeyError as error:
        raise MuError(f"mteb has no such task: {error}.") from error
    cache = package.ResultCache(out / fingerprint(folder)[:12])  # mteb names models in local folders alike
    results = package.evaluate(load(folder), chosen, cache=cache)
    return [
        {"task": one.task_name, "split": split, "subset": part["hf_subset"], "main_score": part["main_score"]}
        for one in results.task_results
        for split, parts in one.scores.items()
        for part in parts
    ]

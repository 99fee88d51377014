"""Ensembles: cached logits of several models combined by vote, by probability or by weighted logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merginguriel.errors import IncompatibleError, UnavailableError, UsageError
from merginguriel.models import tokenizer_files
from merginguriel.tasks.registry import Item

from . import predictions as stored
from .predictions import Predictions


@dataclass(frozen=True)
class EnsembleMethod:
    """Ensemble method. weights: the similarity that weighs the models (`any`: as requested), None: equal."""

    doc: str
    weights: str | None = None


METHODS = {
    "majority": EnsembleMethod("each model has one vote"),
    "weighted_majority": EnsembleMethod("each model has as many votes as its weight", "any"),
    "soft": EnsembleMethod("mean of the probabilities"),
    "uriel_logits": EnsembleMethod("mean of the logits, weighted by typology", "URIEL"),
    "real_logits": EnsembleMethod("mean of the logits, weighted by accuracy on development data", "REAL"),
}


def combine(
    answers: Mapping[str, Predictions], method: str, weights: Mapping[str, float] | None = None
) -> Predictions:
    """Combine the predictions of the models; `logits` [n, L] holds shares of votes, probabilities or mean logits.

    Labels are sorted, so that ties go to the alphabetically first, as in scikit-learn's VotingClassifier. The order of
    the models has no effect.

    Args:
        answers: Model → its predictions; items and labels may be in any order, and are matched by name.
        weights: Model → 0 or more, for weighted methods; divided by their sum.

    Raises:
        UsageError: Unknown method, or invalid weights.
        IncompatibleError: Items or labels differ.
    """
    if method not in METHODS:
        raise UsageError(f"unknown ensemble method {method!r}.", hint=f"Methods are: {', '.join(METHODS)}.")
    if not answers:
        raise UsageError("an ensemble needs a model.")
    names = sorted(answers)
    first = answers[names[0]]
    labels, ids = tuple(sorted(first.labels)), first.ids
    shares = _shares(names, weights if METHODS[method].weights else None, method)
    scores = np.zeros((len(answers[names[0]].logits), len(labels)))
    for name, share in zip(names, shares, strict=True):
        logits = _aligned(answers[name], first, labels, name, names[0])
        if method == "soft":
            part = softmax(logits)
        elif method in ("majority", "weighted_majority"):
            part = np.zeros_like(logits)
            part[np.arange(len(logits)), logits.argmax(axis=1)] = 1
        else:
            part = logits
        scores += share * part
    # Votes that are equal on paper must be equal here: sums of shares differ in the last bits.
    return Predictions(ids, labels, scores.round(12), first.sizes)


def scored(
    models: Mapping[str, Path],
    items: Sequence[Item],
    cache: Path,
    weights: Mapping[str, Mapping[str, float]],
    *,
    methods: Sequence[str] = tuple(METHODS),
    similarity: str = "REAL",
    metric: str = "accuracy",
) -> dict[str, np.ndarray]:
    """Return method → statistics of the metric for each ensemble; for accuracy bool [n]. No model is run.

    weights     similarity (`REAL`, `URIEL`) → model → weight, as far as the methods need them
    similarity  the one used by methods that accept any
    Raises the errors of `read` and `combine`.
    """
    answers, found = read(models, items, cache), {}
    for method in methods:
        kind = METHODS[method].weights if method in METHODS else None
        used = None if kind is None else weights.get(similarity if kind == "any" else kind)
        found[method] = stored.scored(combine(answers, method, used), items, metric)
    return found


def logged(method: str) -> str:
    """Return the method's name in a result row: `ensemble_soft`."""
    return f"ensemble_{method}"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Convert logits [n, L] to probabilities [n, L]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def read(models: Mapping[str, Path], items: Sequence[Item], cache: Path) -> dict[str, Predictions]:
    """Return model → its cached predictions for the items. No model is run.

    Raises:
        UnavailableError: Predictions are not cached; names the models.
        CheckpointError: Cached predictions are damaged.
    """
    found, missing = {}, []
    for name, folder in models.items():
        model = stored.fingerprint(folder)
        path = stored.cache_path(cache, model, items)
        tokenizer_files.require(folder, None)  # an earlier version scored models without one
        if path.is_file():
            found[name] = stored.load(path, model)
        else:
            missing.append(name)
    if missing:
        raise UnavailableError(
            f"no cached predictions of {', '.join(missing)} for these items.",
            where=str(cache),
            hint="Score these models with: mu nxn",
        )
    return found


def _shares(names: Sequence[str], weights: Mapping[str, float] | None, method: str) -> np.ndarray:
    """Return the weight of each model, with the sum 1."""
    if weights is None:
        if METHODS[method].weights:
            raise UsageError(f"{method} needs a weight for every model.")
        return np.full(len(names), 1 / len(names))
    missing = [name for name in names if name not in weights]
    if missing:
        raise UsageError(f"missing weight for {', '.join(missing)}.")
    given = np.array([weights[name] for name in names], dtype=float)
    if not np.isfinite(given).all() or (given < 0).any() or not given.sum():
        raise UsageError(f"ensemble weights must be 0 or more, with at least one above 0: {given.tolist()}.")
    return given / given.sum()


def _aligned(
    answer: Predictions, like: Predictions, labels: Sequence[str], name: str, first: str
) -> np.ndarray:
    """Return the logits float64 with rows in the order of `like` and columns in that of `labels`."""
    if set(answer.labels) != set(labels):
        other = set(answer.labels) ^ set(labels)
        raise IncompatibleError(
            f"{name} and {first} cannot be combined: only one of them has {stored.some(other)}.",
            hint="Models of an ensemble need the same labels; their order is free.",
        )
    sizes = dict(zip(answer.ids, answer.sizes or (1,) * len(answer.ids), strict=True))
    wanted = dict(zip(like.ids, like.sizes or (1,) * len(like.ids), strict=True))
    if sizes != wanted or len(answer.ids) != len(like.ids):
        raise IncompatibleError(f"{name} and {first} were scored on different items.")
    starts = dict(zip(answer.ids, answer.starts, strict=True))
    rows = [row for id in like.ids for row in range(starts[id], starts[id] + sizes[id])]
    columns = [answer.labels.index(label) for label in labels]
    return answer.logits[np.ix_(rows, columns)].astype(np.float64)

"""How well does every source model serve every locale? The N×N matrix, incremental through a cache."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from merginguriel.errors import CheckpointError, IncompatibleError, MuError
from merginguriel.files import Progress, write_text
from merginguriel.models.checkpoint import open_checkpoint
from merginguriel.tasks.base import Item, TaskData, digest
from merginguriel.tasks.base import fingerprint as items_fingerprint

from . import predictions as stored
from .predictions import Predictions, check_labels, correct

COLUMNS = ["source", "target", "accuracy", "n"]
ORIGIN = ["model", "data"]  # columns that a matrix written by a person may lack
CODE = ["code"]  # another that it may lack
# (tokenizer, longest sentence, target) → token ids of the target's items.
Tokens = dict[tuple[str, int, str], list[list[int]]]


@dataclass(frozen=True)
class Matrix:
    """sources [S], targets [T], accuracy [S, T] as fractions (NaN: not measured), n [T] items per target.

    correct  (source, target) → bool [n], one per item in the order of the split; empty if read from a CSV
    groups   target → [n] names: items of one group are variants of one template
    origin   (source, target) → digests of the model and of the items; equal ones give an equal accuracy
    code     (source, target) → commit or version of the program that measured it, where that was written down
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    accuracy: np.ndarray
    n: np.ndarray
    correct: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    origin: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    code: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def value(self, source: str, target: str) -> float:
        """Accuracy of one pair. Raises IncompatibleError if it was not measured."""
        if source not in self.sources or target not in self.targets:
            raise IncompatibleError(f"the matrix has no accuracy of {source} on {target}.")
        found = float(self.accuracy[self.sources.index(source), self.targets.index(target)])
        if np.isnan(found):
            raise IncompatibleError(f"the matrix has no accuracy of {source} on {target}.")
        return found

    def column(self, target: str, sources: Sequence[str]) -> np.ndarray:
        """Accuracies [k] of `sources` on `target`."""
        return np.array([self.value(source, target) for source in sources])


def nxn(
    models: Mapping[str, Path],
    data: Mapping[str, TaskData],
    *,
    split: str = "test",
    cache: Path | None = None,
    device: str | None = None,
    batch_tokens: int | None = None,
    bf16: bool = False,
    on_progress: Progress | None = None,
) -> Matrix:
    """Accuracy of every model on the split of every locale.

    models  name of the source (its locale) → model folder
    data    target locale → its data
    cache   folder of predictions: a pair that lies there is not computed again, and a model with
            nothing left to compute is not loaded; a damaged file is computed again, and `on_progress` says so
    bf16    matrix products in bfloat16: faster; such answers are kept apart from those in float32
    A locale is cut into tokens once for all models that have the same tokenizer.
    Raises IncompatibleError, before anything is computed, if a model does not know a label of the items.
    """
    items = {target: found.split(split) for target, found in data.items()}
    accuracy = np.full((len(models), len(items)), np.nan)
    right: dict[tuple[str, str], np.ndarray] = {}
    total = len(models) * len(items)
    for folder in models.values():
        known = open_checkpoint(folder).labels
        if known is not None:  # a folder without a head gets its own error when it is loaded
            check_labels(known, [item for found in items.values() for item in found], folder)

    def tell(text: str, *, notice: bool = False) -> None:
        if on_progress:
            on_progress(len(right), 0 if notice else total, text)

    prints = {source: stored.fingerprint(folder) for source, folder in models.items()}
    if bf16:
        prints = {source: stored.in_bf16(model) for source, model in prints.items()}
    tokens: Tokens = {}
    for row, (source, folder) in enumerate(models.items()):
        answered = _answers(folder, prints[source], items, tokens, cache, device, batch_tokens, bf16, tell)
        for column, (target, answers) in enumerate(answered):
            right[source, target] = correct(answers, items[target])
            if items[target]:
                accuracy[row, column] = right[source, target].mean()
            tell(f"{source} on {target}")
    return Matrix(
        tuple(models),
        tuple(items),
        accuracy,
        np.array([len(found) for found in items.values()], dtype=np.int64),
        right,
        {target: tuple(item.group or item.id for item in found) for target, found in items.items()},
        {(s, t): origin(prints[s], found) for s in models for t, found in items.items()},
    )


def unanswered(
    models: Mapping[str, Path],
    data: Mapping[str, TaskData],
    *,
    split: str = "test",
    cache: Path,
    bf16: bool = False,
) -> list[tuple[str, str]]:
    """(source, target) of the pairs whose answers are not in `cache`: what `nxn` would compute."""
    missing = []
    for source, folder in models.items():
        model = stored.fingerprint(folder)
        model = stored.in_bf16(model) if bf16 else model
        missing += [
            (source, target)
            for target, found in data.items()
            if not stored.cache_path(cache, model, found.split(split)).is_file()
        ]
    return missing


def origin(model: str, items: Sequence[Item]) -> tuple[str, str]:
    """Short digests of what an accuracy comes from: the model's fingerprint, and its items with their labels."""
    return digest(model, length=16), digest(items_fingerprint(items), length=16)


def _answers(
    folder: Path,
    model: str,
    items: Mapping[str, Sequence[Item]],
    tokens: Tokens,
    cache: Path | None,
    device: str | None,
    batch_tokens: int | None,
    bf16: bool,
    tell: Callable[..., None],
) -> Iterator[tuple[str, Predictions]]:
    """(target, predictions) of the model with the fingerprint `model`, loaded when a pair is not in the cache."""
    opened = None
    with contextlib.ExitStack() as held:
        for target, wanted in items.items():
            path = stored.cache_path(cache, model, wanted) if cache else None
            if path and path.is_file():
                try:
                    yield target, stored.load(path, model)
                    continue
                except CheckpointError as error:
                    tell(f"{path.name} is computed again: {error.what}", notice=True)
            from . import (  # torch, which a matrix that lies in the cache does without
                packed_inference,
                predict,
            )

            if opened is None:
                opened = predict.open_model(folder, device)
                held.enter_context(packed_inference.packed(opened[0], bf16=bf16))  # once for all locales
            key = (stored.tokenizer_digest(folder), predict.longest(opened[0]), target)
            if key not in tokens:
                tokens[key] = predict.tokens_of(*opened[:2], wanted)
            try:
                fresh = stored.rounded(
                    predict.predict_with(
                        *opened, wanted, batch_tokens=batch_tokens, bf16=bf16, tokens=tokens[key]
                    )
                )
            except CheckpointError as error:
                raise CheckpointError(error.what, where=str(folder), mend=error.mend) from error
            if path:
                stored.save(path, fresh, model)
            yield target, fresh


def save(path: Path, matrix: Matrix) -> None:
    """Write `as_csv` into a file."""
    write_text(path, as_csv(matrix))


def as_csv(matrix: Matrix) -> str:
    """One line per measured pair: source, target, accuracy (a fraction), n (items), origin, code."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS + ORIGIN + (CODE if matrix.code else []))
    for row, source in enumerate(matrix.sources):
        for column, target in enumerate(matrix.targets):
            value = float(matrix.accuracy[row, column])
            if not np.isnan(value):
                made = matrix.origin.get((source, target), ("", ""))
                by = [matrix.code.get((source, target), "")] if matrix.code else []
                writer.writerow([source, target, repr(value), int(matrix.n[column]), *made, *by])
    return text.getvalue()


def load(path: Path) -> Matrix:
    """What `save` wrote, or a person did. Raises MuError with file and line."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MuError(f"this matrix cannot be read: {error}.", where=str(path)) from error
    if not lines or lines[0] not in (COLUMNS, COLUMNS + ORIGIN, COLUMNS + ORIGIN + CODE):
        raise MuError(
            "this is not an N×N matrix.", where=str(path), mend=f"Its first line is: {','.join(COLUMNS)}"
        )
    values: dict[tuple[str, str], float] = {}
    n: dict[str, int] = {}
    made: dict[tuple[str, str], tuple[str, str]] = {}
    code: dict[tuple[str, str], str] = {}
    for number, cells in enumerate(lines[1:], 2):
        where = f"{path}:{number}"
        try:
            source, target, value, count = cells[0], cells[1], float(cells[2]), int(cells[3])
        except (ValueError, IndexError) as error:
            raise MuError(
                f"expected {', '.join(COLUMNS)}; found {','.join(cells)!r}.", where=where
            ) from error
        if not 0 <= value <= 1:
            raise MuError(f"accuracy is {value}: write a fraction between 0 and 1.", where=where)
        if (source, target) in values:
            raise MuError(f"{source} on {target} is there twice.", where=where)
        if n.setdefault(target, count) != count:
            raise MuError(f"{target} had {n[target]} items above and has {count} here.", where=where)
        values[source, target] = value
        if len(cells) >= len(COLUMNS + ORIGIN) and all(cells[4:6]):
            made[source, target] = (cells[4], cells[5])
        if len(cells) > len(COLUMNS + ORIGIN) and cells[6]:
            code[source, target] = cells[6]
    if not values:
        raise MuError("the matrix holds no accuracy.", where=str(path))
    sources, targets = tuple(dict.fromkeys(s for s, _ in values)), tuple(n)
    return of_cells(values, n, made, sources, targets, code)


def of_cells(
    values: Mapping[tuple[str, str], float],
    n: Mapping[str, int],
    made: Mapping[tuple[str, str], tuple[str, str]],
    sources: Sequence[str],
    targets: Sequence[str],
    code: Mapping[tuple[str, str], str] | None = None,
) -> Matrix:
    """A matrix from single accuracies; pairs that are not there were not measured."""
    accuracy = np.array([[values.get((s, t), np.nan) for t in targets] for s in sources])
    items = np.array([n[t] for t in targets], dtype=np.int64)
    return Matrix(tuple(sources), tuple(targets), accuracy, items, origin=made, code=code or {})

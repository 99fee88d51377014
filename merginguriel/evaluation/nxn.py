"""N×N matrix: the value of every source model on every locale, incremental through a cache of predictions."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merginguriel.errors import CheckpointError, IncompatibleError, MuError
from merginguriel.files import Progress, csv_lines, csv_text, write_text
from merginguriel.metrics import registry as metrics
from merginguriel.models import tokenizer_files
from merginguriel.models.checkpoint import open_checkpoint
from merginguriel.tasks.registry import Item, TaskData, digest
from merginguriel.tasks.registry import fingerprint as items_fingerprint

from . import predictions as stored
from .predictions import Predictions, check_labels, scored

if TYPE_CHECKING:
    from .nxn_workers import Executor, ScoringJob
    from .predict import Encoded

COLUMNS = ["source", "target", "accuracy", "n"]  # the third is named by the metric
ORIGIN = ["model", "data"]  # columns that a matrix written by a person may lack
CODE = ["code"]  # another that it may lack
# (tokenizer, longest sentence, target) → token ids of the target's items.
Tokens = dict[tuple[str, int, str], "Encoded"]


@dataclass(frozen=True)
class Matrix:
    """sources [S], targets [T], scores [S, T] in the unit of the metric (NaN: not measured), n [T] items per target.

    correct  (source, target) → statistics of the metric [n] or [n, S] in the order of the split's items, for accuracy
             bool; empty if read from a CSV
    groups   target → [n] names: items of one group are variants of one template
    origin   (source, target) → digests of the model and of the items; equal ones give an equal value
    code     (source, target) → commit or version of the program that measured it, where that was written down
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    scores: np.ndarray
    n: np.ndarray
    correct: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    origin: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    code: Mapping[tuple[str, str], str] = field(default_factory=dict)
    metric: str = "accuracy"

    def value(self, source: str, target: str) -> float:
        """Return the value of one pair. Raises IncompatibleError if it was not measured."""
        if source not in self.sources or target not in self.targets:
            raise IncompatibleError(f"the matrix has no {self.metric} of {source} on {target}.")
        found = float(self.scores[self.sources.index(source), self.targets.index(target)])
        if np.isnan(found):
            raise IncompatibleError(f"the matrix has no {self.metric} of {source} on {target}.")
        return found

    def column(self, target: str, sources: Sequence[str]) -> np.ndarray:
        """Return the values [k] of `sources` on `target`."""
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
    metric: str | None = None,
    executor: Executor | None = None,
    on_progress: Progress | None = None,
) -> Matrix:
    """Score every model on the split of every locale. A locale is tokenized once for all models of one tokenizer.

    Args:
        models: Name of the source (its locale) → model folder.
        split: `train`, `dev` or `test`.
        cache: Folder of predictions. A pair that is there is not computed again, and a model with nothing left to compute
            is not loaded; a damaged file is computed again, and `on_progress` reports it.
        batch_tokens: Padded tokens per batch; None: what is fast on the device.
        bf16: Matrix products in bfloat16, faster with AMX. Such predictions are cached apart from those in float32.
        metric: Name of a registered metric; None: the one of the task.
        executor: Computes the predictions of each model elsewhere, as nxn_workers.Processes(4); None: here. The result is
            the same.
        on_progress: Called with (pairs done, pairs in all, text).

    Raises:
        IncompatibleError: Before anything is computed: a model does not know a label of the items.
    """
    metric = metric or next((found.metric for found in data.values()), "accuracy")
    used = metrics.find(metric)
    items = {target: found.split(split) for target, found in data.items()}
    scores = np.full((len(models), len(items)), np.nan)
    right: dict[tuple[str, str], np.ndarray] = {}
    total = len(models) * len(items)
    for folder in models.values():
        checkpoint = open_checkpoint(folder)
        known = checkpoint.labels
        if known is not None:  # a folder without a head gets its own error when it is loaded
            check_labels(known, [item for found in items.values() for item in found], folder)
        tokenizer_files.require(folder, checkpoint.embedding_rows)  # also where predictions are cached

    made = 0  # pairs whose predictions an executor has computed

    def tell(text: str, *, notice: bool = False) -> None:
        if on_progress:
            on_progress(max(made, len(right)), 0 if notice else total, text)

    prints = {source: stored.fingerprint(folder) for source, folder in models.items()}
    if bf16:
        prints = {source: stored.in_bf16(model) for source, model in prints.items()}
    tokens: Tokens = {}
    with contextlib.ExitStack() as held:
        if executor:
            cache = cache or Path(held.enter_context(tempfile.TemporaryDirectory()))
            jobs = _jobs(models, prints, items, cache.absolute(), device, batch_tokens, bf16)
            made = total - sum(len(job.items) for job in jobs)
            sizes = {job.source: len(job.items) for job in jobs}
            for source in executor(jobs) if jobs else ():
                made += sizes[source]
                tell(f"{source} on {sizes[source]} locales")
        for row, (source, folder) in enumerate(models.items()):
            answered = _answers(
                folder, prints[source], items, tokens, cache, device, batch_tokens, bf16, tell
            )
            for column, (target, answers) in enumerate(answered):
                right[source, target] = scored(answers, items[target], metric)
                if items[target]:
                    scores[row, column] = used.value(right[source, target])
                tell(f"{source} on {target}")
    return Matrix(
        tuple(models),
        tuple(items),
        scores,
        np.array([len(found) for found in items.values()], dtype=np.int64),
        right,
        {target: tuple(item.group or item.id for item in found) for target, found in items.items()},
        {(s, t): origin(prints[s], found) for s in models for t, found in items.items()},
        metric=metric,
    )


def _jobs(
    models: Mapping[str, Path],
    prints: Mapping[str, str],
    items: Mapping[str, Sequence[Item]],
    cache: Path,
    device: str | None,
    batch_tokens: int | None,
    bf16: bool,
) -> list[ScoringJob]:
    """Return a job for each model that lacks predictions; models of equal content have one together."""
    from merginguriel.models import remote_code

    from .nxn_workers import ScoringJob

    found: dict[str, ScoringJob] = {}
    for source, folder in models.items():
        missing = {
            target: wanted
            for target, wanted in items.items()
            if not stored.cache_path(cache, prints[source], wanted).is_file()
        }
        if missing and prints[source] not in found:
            found[prints[source]] = ScoringJob(
                source, folder.absolute(), prints[source], missing, cache, device, batch_tokens, bf16,
                remote_code.trusted(),
            )  # fmt: skip
    return list(found.values())


def predict_missing(job: ScoringJob) -> None:
    """Compute the predictions of a job into its cache, unless they are there."""
    how = job.device, job.batch_tokens, job.bf16
    for _ in _answers(job.folder, job.model, job.items, {}, job.cache, *how, lambda text, notice=False: None):
        pass


def unanswered(
    models: Mapping[str, Path],
    data: Mapping[str, TaskData],
    *,
    split: str = "test",
    cache: Path,
    bf16: bool = False,
) -> list[tuple[str, str]]:
    """Return the pairs (source, target) without predictions in `cache`: those that `nxn` would compute."""
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
    """Return short digests of the inputs of a value: the model's fingerprint, and its items with their labels."""
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
    """Yield (target, predictions) of the model with the fingerprint `model`, loaded if a pair is not cached."""
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
            from merginguriel.models import classifier  # torch, which a matrix from the cache does without

            from . import packed_inference, predict

            if opened is None:
                opened = predict.open_model(folder, device)
                held.enter_context(packed_inference.packed(opened[0], bf16=bf16))  # once for all locales
            key = (stored.tokenizer_digest(folder), classifier.longest(opened[0]), target)
            if key not in tokens:
                tokens[key] = predict.tokens_of(*opened[:2], wanted)
            try:
                fresh = stored.rounded(
                    predict.predict_with(
                        *opened, wanted, batch_tokens=batch_tokens, bf16=bf16, tokens=tokens[key]
                    )
                )
            except CheckpointError as error:
                raise CheckpointError(error.what, where=str(folder), hint=error.hint) from error
            if path:
                stored.save(path, fresh, model)
            yield target, fresh


def save(path: Path, matrix: Matrix) -> None:
    """Write `as_csv` into a file."""
    write_text(path, as_csv(matrix))


def as_csv(matrix: Matrix) -> str:
    """Return one line per measured pair: source, target, value under the metric's name, n (items), origin, code."""
    rows: list[list[object]] = [
        [*COLUMNS[:2], matrix.metric, *COLUMNS[3:], *ORIGIN, *(CODE if matrix.code else [])]
    ]
    for row, source in enumerate(matrix.sources):
        for column, target in enumerate(matrix.targets):
            value = float(matrix.scores[row, column])
            if not np.isnan(value):
                made = matrix.origin.get((source, target), ("", ""))
                by = [matrix.code.get((source, target), "")] if matrix.code else []
                rows.append([source, target, repr(value), int(matrix.n[column]), *made, *by])
    return csv_text(rows)


def load(path: Path) -> Matrix:
    """Read a matrix written by `save` or by hand. Raises MuError with file and line."""
    lines = csv_lines(path)
    head = lines[0] if lines else []
    metric = head[2] if len(head) > 2 and head[2] in metrics.metrics() else "accuracy"
    plain = [*COLUMNS[:2], metric, *COLUMNS[3:]]
    if head not in (plain, plain + ORIGIN, plain + ORIGIN + CODE):
        raise MuError(
            "this is not an N×N matrix.", where=str(path), hint=f"Its first line is: {','.join(COLUMNS)}"
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
            raise MuError(f"expected {', '.join(plain)}; found {','.join(cells)!r}.", where=where) from error
        low, high = metrics.find(metric).unit.low, metrics.find(metric).unit.high
        if not low <= value <= high:
            raise MuError(f"{metric} is {value}: write a number between {low:g} and {high:g}.", where=where)
        if (source, target) in values:
            raise MuError(f"duplicate pair: {source} on {target}.", where=where)
        if n.setdefault(target, count) != count:
            raise MuError(f"{target} had {n[target]} items above and has {count} here.", where=where)
        values[source, target] = value
        if len(cells) >= len(COLUMNS + ORIGIN) and all(cells[4:6]):
            made[source, target] = (cells[4], cells[5])
        if len(cells) > len(COLUMNS + ORIGIN) and cells[6]:
            code[source, target] = cells[6]
    if not values:
        raise MuError("the matrix holds no value.", where=str(path))
    sources, targets = tuple(dict.fromkeys(s for s, _ in values)), tuple(n)
    return of_cells(values, n, made, sources, targets, code, metric)


def of_cells(
    values: Mapping[tuple[str, str], float],
    n: Mapping[str, int],
    made: Mapping[tuple[str, str], tuple[str, str]],
    sources: Sequence[str],
    targets: Sequence[str],
    code: Mapping[tuple[str, str], str] | None = None,
    metric: str = "accuracy",
) -> Matrix:
    """Build a matrix of single values; missing pairs were not measured."""
    scores = np.array([[values.get((s, t), np.nan) for t in targets] for s in sources])
    items = np.array([n[t] for t in targets], dtype=np.int64)
    return Matrix(tuple(sources), tuple(targets), scores, items, origin=made, code=code or {}, metric=metric)

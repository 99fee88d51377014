"""Plan of a merge: how each tensor is made, and where its values are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import prod
from pathlib import Path

import numpy as np

from merginguriel.errors import IncompatibleError, UsageError
from merginguriel.models.adapter_bases import base_for, with_head
from merginguriel.models.adapters import is_adapter, open_adapter
from merginguriel.models.checkpoint import FLOATS, Checkpoint, TensorInfo, is_head, read_header
from merginguriel.models.safetensors_writer import sorted_layout
from merginguriel.models.sentence_transformer import body_folder, body_of, open_model, with_modules

from . import policies, registry
from .compatibility import Aligned, align
from .encoder_checks import with_tokenizers
from .recipe import DTYPES, Recipe
from .registry import Method
from .sentence_models import check_modules
from .tensor_reader import Held, Input, whole
from .token_alignment import Vocabulary, align_vocabularies

Layout = dict[str, tuple[str, tuple[int, ...]]]  # tensor → dtype and shape


@dataclass(frozen=True)
class TensorJob:
    """One tensor of the output: where it is read, and `how` it is made (see policies.handling)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    inputs: tuple[Input, ...]
    base: Input | None
    how: str
    rows: np.ndarray | None  # bool: rows that are merged, the others are the base's or the mean
    statistics: tuple[Input, ...] = ()  # one per source: importance like the tensor, or the Gram matrix


@dataclass(frozen=True)
class OpenMerge:
    """A checked recipe with its models open.

    names    of the sources, in the order of `inputs` and `weights`
    origins  name and place of each source and of the base, for messages
    vocabulary  of the output, if the embeddings were aligned by token
    """

    recipe: Recipe
    method: Method
    layout: Layout
    jobs: tuple[TensorJob, ...]
    weights: np.ndarray
    names: tuple[str, ...]
    origins: tuple[tuple[str, str], ...]
    vocabulary: Vocabulary | None = None


def prepare(recipe: Recipe, open_tensor: Callable[[TensorInfo], Input]) -> tuple[OpenMerge, Aligned]:
    """Open and align every model of a checked recipe; plan each tensor, in the order of the output."""
    ordered = sorted(recipe.sources, key=lambda source: source.name)
    ordered_names = [source.name for source in ordered]
    method = registry.get(recipe.method)
    adapters = {source.name: source.path for source in ordered if is_adapter(source.path)}
    if adapters:
        recipe = replace(recipe, base=base_for(adapters, recipe.base))
    base = open_model(recipe.base) if recipe.base and (adapters or wants_base(recipe, method)) else None
    sources = [
        (s.name, adapted(s.path, base) if base and s.name in adapters else open_model(s.path))
        for s in ordered
    ]
    check_modules(sources)
    models = align_vocabularies(
        recipe, with_tokenizers(sources, body_folder(recipe.base) if recipe.base else None), base
    )
    aligned = align(method, models.sources, models.base, heads=recipe.heads)
    first = aligned.sources[0][1]
    policies.check_patterns(recipe, first.tensors)
    wanted = DTYPES[recipe.dtype] if recipe.dtype else None
    layout: Layout = {}
    for name, dtype in aligned.dtypes.items():
        shape = first.tensors[name].shape
        if name in aligned.head and aligned.labels:
            shape = (len(aligned.labels), *shape[1:])
        layout[name] = wanted if wanted and dtype in FLOATS else dtype, shape
    layout = sorted_layout(layout)
    used = policies.used_rows(recipe.text, first) if recipe.embeddings == "used" and recipe.text else None
    measured = [read_header(s.statistics) if s.statistics and method.needs else {} for s in ordered]
    jobs = []
    for name, (dtype, shape) in layout.items():
        inputs = [read_from(aligned, i, name, open_tensor) for i in range(len(sources))]
        based = read_from(aligned, len(sources), name, open_tensor) if name in aligned.base_names else None
        how = policies.handling(
            recipe, method, name, shape,
            vocabulary=first.vocabulary, head=name in aligned.head, based=based is not None,
        )  # fmt: skip
        if name in aligned.head and how.startswith("source:"):  # the others' heads may have other labels
            inputs = [inputs[ordered_names.index(how.partition(":")[2])]] * len(inputs)
        statistics: tuple[Input, ...] = ()
        if how == "method" and all(name in table for table in measured):
            found = [open_tensor(table[name]) for table in measured]
            orders = aligned.rows if method.needs == "importance" and name in aligned.head else ()
            statistics = tuple(
                reordered(one, shape, order) for one, order in zip_longest(found, orders[: len(found)])
            )
        how = without_statistics(how, method, name, shape, statistics)
        rows = used if used is not None and policies.is_embedding(name, shape, first.vocabulary) else None
        jobs.append(TensorJob(name, dtype, shape, tuple(inputs), based, how, rows, statistics))
    origins = tuple((name, str(checkpoint.path)) for name, checkpoint in aligned.models)
    return replace(work_of(recipe, method, layout, jobs, origins), vocabulary=models.vocabulary), aligned


def adapted(path: Path, base: Checkpoint) -> Checkpoint:
    """Open an adapter on its base, with the head and the modules of sentence-transformers that it saves."""
    return with_modules(path, open_adapter(path, with_head(path, body_of(base))))


def hold(
    recipe: Recipe,
    sources: Mapping[str, Mapping[str, np.ndarray]],
    base: Mapping[str, np.ndarray] | None,
    vocabulary: int | None = None,
    statistics: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    head: Collection[str] | None = None,
) -> OpenMerge:
    """Plan a merge of models in memory: name → tensor → float32 [*s], all with the same tensors and label order.

    head  names of the tensors with one row per label; None: those that are named as heads are
    """
    method = registry.get(recipe.method)
    names = sorted(source.name for source in recipe.sources)
    lacking = [name for name in names if name not in sources]
    if lacking:
        raise UsageError(f"the model {lacking[0]} of the recipe is not among those in memory.")
    if recipe.heads == "common":
        raise UsageError("models in memory have the same labels: leave heads: common out.")
    if recipe.vocab:
        raise UsageError("models in memory have the same vocabulary: leave vocab out.")
    first = sources[names[0]]
    policies.check_patterns(recipe, first)
    if head is None:
        head = {name for name, array in first.items() if is_head(name, array.shape, (*array.shape, 0)[0])}
    if recipe.heads not in ("merge", "average") and not head:
        raise UsageError(
            f"heads: {recipe.heads}, but nothing says which tensors are the head.",
            hint="Name them: merge_arrays(…, head={'classifier.weight', 'classifier.bias'})",
        )
    jobs = []
    for name in sorted(first):
        shape = first[name].shape
        inputs = tuple(Held(flat(sources[source][name])) for source in names)
        if name in head and recipe.heads.startswith("source:"):
            inputs = (inputs[names.index(recipe.heads.partition(":")[2])],) * len(names)
        based = Held(flat(base[name])) if base is not None and name in base else None
        how = policies.handling(
            recipe, method, name, shape, vocabulary=vocabulary, head=name in head, based=based is not None
        )
        tables = [(statistics or {}).get(source, {}) for source in names]
        measured = tuple(Held(flat(table[name])) for table in tables if name in table)
        measured = measured if len(measured) == len(names) else ()
        how = without_statistics(how, method, name, shape, measured)
        jobs.append(TensorJob(name, "F32", shape, inputs, based, how, None, measured))
    layout = {job.name: (job.dtype, job.shape) for job in jobs}
    return work_of(recipe, method, layout, jobs, tuple((name, "memory") for name in [*names, "base"]))


def work_of(
    recipe: Recipe,
    method: Method,
    layout: Layout,
    jobs: list[TensorJob],
    origins: tuple[tuple[str, str], ...],
) -> OpenMerge:
    """Assemble a plan and check that it can be carried out."""
    check_text_was_read(recipe, method, jobs)
    weight_of = {source.name: source.weight for source in recipe.sources}
    names = tuple(sorted(weight_of))
    weights = np.array([weight_of[name] for name in names], np.float32)
    return OpenMerge(recipe, method, layout, tuple(jobs), weights, names, origins)


def without_statistics(
    how: str, method: Method, name: str, shape: tuple[int, ...], statistics: tuple[Input, ...]
) -> str:
    """Return `how`, or `mean` where the method needs statistics and none exist. Raises if they do not fit the tensor."""
    if how != "method" or method.needs not in ("importance", "grams"):
        return how
    wanted = prod(shape) if method.needs == "importance" else shape[-1] ** 2 if shape else 0
    if any(one.size != wanted for one in statistics):
        raise IncompatibleError(
            f"the statistics of {name} have {statistics[0].size:,} numbers, and {method.name} needs {wanted:,}.",
            hint="They are of another model or for another method: let `mu merge --method` write them anew.",
        )
    return how if statistics else "mean"


def check_text_was_read(recipe: Recipe, method: Method, jobs: list[TensorJob]) -> None:
    """Raise UsageError if the method needs something from text that the recipe does not hold."""
    if method.needs == "coefficients":
        lacking = [source.name for source in recipe.sources if not source.coefficients]
    elif method.needs and not any(job.statistics for job in jobs):
        lacking = [source.name for source in recipe.sources]
    else:
        return
    if lacking:
        raise UsageError(
            f"{method.name} must first read text, and the recipe has no "
            f"{'coefficients' if method.needs == 'coefficients' else 'statistics'} of {', '.join(lacking)}.",
            hint=f"Read the target's training text with: mu merge --method {method.name} --target LOCALE\n"
            "or text of your own, one sentence a line, with: --text FILE",
        )


def reordered(found: Input, shape: tuple[int, ...], order: np.ndarray | None) -> Input:
    """Return the rows of a head's statistics in the order of the output's labels."""
    return found if order is None else Held(whole(found).reshape(-1, *shape[1:])[order].reshape(-1))


def wants_base(recipe: Recipe, method: Method) -> bool:
    """Return whether the base is read: for task vectors, or for a policy that takes tensors from it."""
    left_out = bool(recipe.include or recipe.exclude) and recipe.excluded in ("auto", "base")
    keeps = recipe.embeddings != "merge" or "base" in (recipe.heads, recipe.vocab)
    return method.needs_base or left_out or keeps


def flat(array: np.ndarray) -> np.ndarray:
    """Return the array flat, as contiguous float32."""
    return np.ascontiguousarray(array, np.float32).reshape(-1)


def read_from(aligned: Aligned, i: int, name: str, open_tensor: Callable[[TensorInfo], Input]) -> Input:
    """Return tensor `name` of model i; a head's rows are put into the order of the output's labels."""
    _, checkpoint = aligned.models[i]
    known = name if i < len(aligned.sources) else aligned.base_names[name]
    info = checkpoint.tensors[known]
    found = open_tensor(info)
    order = aligned.rows[i]
    if order is None or name not in aligned.head:
        return found
    moved = whole(found).reshape(info.shape)[order].reshape(-1)
    return Held(moved, "F32" if info.dtype in FLOATS else info.dtype)

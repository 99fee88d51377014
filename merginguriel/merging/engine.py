"""The merge engine: carries out a recipe, from model folders into a folder.

Sources are processed in the order of their names, so that their order in the recipe changes no byte. tensor_plan
decides how each tensor is made, blocks calls the arithmetic.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel import files
from merginguriel.errors import CheckpointError, IncompatibleError, MuError, warn
from merginguriel.models import folder_kinds, tokenizer_files
from merginguriel.models.checkpoint import FLOATS, STORAGE, TensorInfo, to_float32
from merginguriel.models.digest_cache import cached_digest, digest
from merginguriel.models.sentence_transformer import OWN_CODE, body_of
from merginguriel.models.tokens import write_tokens

from . import card, policies, registry, sentence_models
from .blocks import Progress, carry_out
from .compatibility import BASE_HINT, Aligned
from .executor import BLOCK, cores
from .recipe import DTYPES, Recipe, check, dump_recipe
from .tensor_plan import Layout, OpenMerge, TensorJob, hold, prepare
from .tensor_reader import Held, Input, opened, whole

Kept = dict[TensorInfo, Held]  # place of a tensor → its numbers


def merge_tensors(
    recipe: Recipe, kept: Kept | None = None, *, on_progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Merge in memory and return name → float32 [*s], with the values that `merge` would write.

    kept  give the same empty dict for many recipes: base and sources are then read from disk once

    Integer tensors keep their type. Raises as `merge` does, except for what concerns writing and the digests
    in the recipe, which are not looked at for the sake of speed.
    """
    with work_from(recipe, kept) as work:
        return in_memory(work, on_progress)


@contextmanager
def work_from(recipe: Recipe, kept: Kept | None = None) -> Iterator[OpenMerge]:
    """Yield the recipe's plan with its models open. kept: as for `merge_tensors`."""
    with opened() as open_tensor:

        def from_memory(info: TensorInfo) -> Input:
            if kept is not None and info not in kept:
                stored = open_tensor(info)
                kept[info] = Held(whole(stored), "F32" if info.dtype in FLOATS else info.dtype)
            return kept[info] if kept is not None else open_tensor(info)

        yield prepare(check(recipe), from_memory)[0]


def merge_arrays(
    recipe: Recipe,
    sources: Mapping[str, Mapping[str, np.ndarray]],
    base: Mapping[str, np.ndarray] | None = None,
    *,
    vocabulary: int | None = None,
    statistics: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    head: Collection[str] | None = None,
    on_progress: Progress | None = None,
    threads: int | None = None,
) -> dict[str, np.ndarray]:
    """Do the same as `merge_tensors` for models in memory; the paths in the recipe are not read.

    sources     name → tensor → float32 [*s]; the names are those of the recipe
    base        tensor → float32 [*s]
    vocabulary  number of tokens, where a policy speaks of embeddings
    statistics  name → tensor → importance [*s] or Gram matrix, for a method that needs them
    head        names of the tensors with one row per label; None: those that are named as heads are
    """
    work = hold(check(recipe), sources, base, vocabulary, statistics, head)
    return in_memory(work, on_progress, threads)


def in_memory(
    work: OpenMerge, on_progress: Progress | None = None, threads: int | None = None
) -> dict[str, np.ndarray]:
    """Carry out the plan into arrays: name → [*s]."""
    merged = {
        name: np.empty(prod(shape), np.float32 if dtype in FLOATS else STORAGE[dtype])
        for name, (dtype, shape) in work.layout.items()
    }

    def keep(name: str, start: int, block: np.ndarray) -> None:
        dtype = work.layout[name][0]
        values = to_float32(block, dtype) if dtype in FLOATS else block
        merged[name][start : start + block.size] = values

    carry_out(work, keep, on_progress, threads)
    return {name: array.reshape(work.layout[name][1]) for name, array in merged.items()}


def merge(
    recipe: Recipe, out: Path, *, on_progress: Progress | None = None, threads: int | None = None
) -> Path:
    """Merge into the new folder `out` and return it: weights, config, tokenizer, recipe.yaml and model card.

    All or nothing: after an error or an interrupt there is no `out`. Raises UsageError for a recipe that is
    wrong in itself, IncompatibleError for models that do not fit, CheckpointError for damaged weights or NaN,
    MuError for a folder that cannot be written.

    threads  how many; None for one per core
    """
    recipe, out = check(recipe), Path(out)
    with ExitStack() as stack:
        inputs = stack.enter_context(opened())
        work, aligned = prepare(recipe, inputs)
        recipe = work.recipe  # with the base that adapters name
        refuse_known(recipe, aligned)
        folder = stack.enter_context(files.new_folder(out))
        check_space(folder, work.layout)
        pool = ThreadPoolExecutor(1)  # hashing needs no interpreter lock: it runs beside the arithmetic
        try:
            models = {str(c.path): c for _, c in aligned.models}
            digests = {path: {p: pool.submit(digest, p) for p in c.files} for path, c in models.items()}
            first = aligned.sources[0][1]
            with sentence_models.opened_files(folder, work.layout, first, recipe.shard_size) as write:
                carry_out(work, write, on_progress, threads)
            complete = stamp(recipe, aligned, digests)
            inputs.check_unchanged()
        finally:
            pool.shutdown(cancel_futures=True)
        body = sentence_models.copy_settings(folder, first)
        write_config(body, aligned, work.layout)
        copy_parts(body, aligned)
        if work.vocabulary:
            write_tokens(body, work.vocabulary.tokens)
        text = dump_recipe(complete, out.absolute())
        (folder / "recipe.yaml").write_text(card.RECIPE_HEADER + text, encoding="utf-8")
        (folder / "README.md").write_text(
            card.model_card(
                complete,
                registry.get(recipe.method),
                sentence_models.card_metadata([checkpoint for _, checkpoint in aligned.sources]),
                OWN_CODE.name if (folder / OWN_CODE.name).is_file() else None,
            ),
            encoding="utf-8",
        )
    return out


def plan(recipe: Recipe) -> dict[str, Any]:
    """Return what a merge would do; check everything but the values.

    tensors, parameters, bytes, bytes_read  of the output, and of all models
    how              how many tensors come about how: a phrase → number
    bytes_of_memory  for the blocks or tensors that are worked on at once
    seconds          measured on one tensor and scaled to all; None where it depends on data
    """
    recipe = check(recipe)
    with opened() as open_tensor:
        work, aligned = prepare(recipe, open_tensor)
        seconds = expected_seconds(work)
    sizes = {name: prod(shape) for name, (_, shape) in work.layout.items()}
    models = [checkpoint for _, checkpoint in aligned.models]
    buffers = 4 * BLOCK * (len(models) + 2) * cores(None)
    if work.method.unit == "tensor":
        dense = [
            prod(job.shape) * (2 * len(models) + 2) + sum(one.size for one in job.statistics)
            for job in work.jobs
            if job.how == "method"
        ]
        buffers = 4 * max(dense, default=0)
    elif any(job.statistics for job in work.jobs):
        buffers += 4 * BLOCK * len(models) * cores(None)
    return {
        "tensors": len(work.layout),
        "parameters": sum(sizes.values()),
        "bytes": sum(sizes[name] * STORAGE[dtype].itemsize for name, (dtype, _) in work.layout.items()),
        "bytes_read": sum(info.end - info.start for c in models for info in c.tensors.values()),
        "bytes_of_memory": buffers,
        "how": dict(Counter(in_words(work, job) for job in work.jobs).most_common()),
        "seconds": seconds,
    }


def in_words(work: OpenMerge, job: TensorJob) -> str:
    """Describe how a tensor is made."""
    if job.dtype not in FLOATS:
        return "copied: whole numbers"
    if job.how == "mean":
        why = (
            "because the base has none"
            if work.method.needs_base and job.base is None
            else "as the recipe says"
        )
        if work.method.matrices and (job.base is not None or not work.method.needs_base):
            why = (
                f"because {work.method.name} is for weight matrices"
                if policies.selected(work.recipe, job.name)
                else why
            )
        return f"by the weighted mean, {why}"
    rows = (
        f", in {int(job.rows.sum())} of {job.rows.size} rows, the others from the base"
        if job.rows is not None
        else ""
    )
    kept = {
        "base": "kept from the base",
        "fresh": "new, random",
        "method": f"merged by {work.method.name}{rows}",
    }
    return kept.get(job.how) or f"taken from {job.how.partition(':')[2]}"


SAMPLE = 1 << 22  # entries of the largest tensor that a plan merges to take the time


def expected_seconds(work: OpenMerge) -> float | None:
    """Return the time of a middle-sized tensor scaled to all entries; the second run, since the first compiles."""
    if work.method.saw != "nothing":
        return None
    jobs = sorted((job for job in work.jobs if job.how == "method"), key=lambda job: prod(job.shape))
    jobs = [job for job in jobs if prod(job.shape) <= SAMPLE] or jobs[:1]
    total = sum(prod(job.shape) for job in work.jobs)
    if not jobs:
        return total / 1e9
    # Largest first, and enough of them that the clock can see it.
    sample = replace(work, jobs=(jobs[-1],), recipe=replace(work.recipe, trim_scope="tensor"))
    taken = []
    for _ in range(4 if work.method.unit != "tensor" else 2):
        begun = time.perf_counter()
        carry_out(sample, lambda name, start, block: None, None, None)
        taken.append(time.perf_counter() - begun)
    return min(taken[1:]) * total / max(prod(jobs[-1].shape), 1)


def check_space(folder: Path, layout: Layout) -> None:
    """Raise MuError if the disk cannot hold the weights (and a little more for the rest)."""
    needed = sum(prod(shape) * STORAGE[dtype].itemsize for dtype, shape in layout.values()) + (1 << 20)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MuError(
            f"the merge needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free.",
            where=str(folder.parent),
            hint="Free some space, or name a folder on another disk.",
        )


def refuse_known(recipe: Recipe, aligned: Aligned) -> None:
    """Refuse before the work what `stamp` would refuse after it, where all digests are in the cache."""
    models = {str(checkpoint.path): checkpoint for _, checkpoint in aligned.models}
    known = {
        path: {relative(p, path): cached_digest(p) for p in checkpoint.files}
        for path, checkpoint in models.items()
    }
    if all(all(table.values()) for table in known.values()):
        stamped(recipe, aligned, {path: {n: d or "" for n, d in t.items()} for path, t in known.items()})


def stamp(recipe: Recipe, aligned: Aligned, digests: dict[str, dict[Path, Future[str]]]) -> Recipe:
    """Return the recipe with its inputs' digests, once they are computed."""
    found = {
        path: {relative(p, path): one.result() for p, one in table.items()} for path, table in digests.items()
    }
    return stamped(recipe, aligned, found)


def relative(path: Path, folder: str) -> str:
    """Return the name of a model's file in its folder, such as `2_Dense/model.safetensors`."""
    return path.relative_to(folder).as_posix()


def stamped(recipe: Recipe, aligned: Aligned, found: Mapping[str, Mapping[str, str]]) -> Recipe:
    """Return the recipe with its inputs' digests. Raises if one differs from the recipe's, or if a source is the base.

    found  folder → file → digest
    """
    paths = {name: str(checkpoint.path) for name, checkpoint in aligned.sources}
    read = {s.name: {"statistics": digest(s.statistics)} for s in recipe.sources if s.statistics}
    sources = tuple(
        replace(s, sha256={**found[paths[s.name]], **read.get(s.name, {})}) for s in recipe.sources
    )
    base = found[str(aligned.base.path)] if aligned.base else {}
    expected = [(s.name, s.sha256) for s in recipe.sources] + [("the base", recipe.base_sha256)]
    for (name, before), now in zip(expected, [*(s.sha256 for s in sources), base], strict=True):
        changed = [file for file in before if now and now.get(file) != before[file]]
        if changed:
            raise CheckpointError(
                f"{changed[0]} of {name} is not the file that this recipe was written for.",
                hint="Fetch that file again, or take the sha256 lines out of the recipe.",
            )
    for source in sources:
        if aligned.base and weights_of(source.sha256) == weights_of(base):
            raise IncompatibleError(
                f"the base has the same weights as the source {source.name}.", hint=BASE_HINT
            )
    return replace(recipe, sources=sources, base_sha256=base)


def weights_of(digests: Any) -> dict[str, str]:
    """Return the digests of the weight files only."""
    return {file: digest for file, digest in digests.items() if file.endswith(".safetensors")}


def write_config(folder: Path, aligned: Aligned, layout: Layout) -> None:
    """Write the first source's config with the labels of the output and the dtype of most weights."""
    first = aligned.sources[0][1]
    config = dict(first.config)
    if aligned.labels and aligned.labels != first.labels:
        config["id2label"] = {str(i): label for i, label in enumerate(aligned.labels)}
        config["label2id"] = {label: i for i, label in enumerate(aligned.labels)}
    sizes: dict[str, int] = {}
    for dtype, shape in layout.values():
        sizes[dtype] = sizes.get(dtype, 0) + prod(shape)
    name = {code: name for name, code in DTYPES.items()}.get(max(sizes, key=lambda code: sizes[code]))
    for key in ("dtype", "torch_dtype"):
        if key in config and name:
            config[key] = name
    (folder / "config.json").write_text(
        json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def copy_parts(folder: Path, aligned: Aligned) -> None:
    """Copy tokenizer, generation settings and custom code of the first source; warn where another has other ones."""
    (name, first), *others = aligned.sources
    tokenizer_files.copy(first.tokenizer_folder, folder)
    copied = folder_kinds.copy_companions(body_of(first).path, folder)
    if code := [file for file in copied if file.endswith(".py")]:
        warn(
            f"{name} has custom code, which was copied and did not run: {', '.join(code)}. "
            "Read it before the merged model is loaded with trust_remote_code."
        )
    for title, model in aligned.sources:
        if lost := folder_kinds.other_weights(model.path):
            warn(f"{title} has weights that are neither merged nor copied: {', '.join(lost)}.")
    if missing := folder_kinds.missing_code(first.path):
        warn(
            f"the config of {name} names custom code that its folder lacks: {', '.join(missing)}. "
            "Without it the merged model loads only if transformers knows its model_type."
        )
    for other, source in others:
        for file in copied:
            theirs = body_of(source).path / file
            if not theirs.is_file() or theirs.read_bytes() != (folder / file).read_bytes():
                warn(f"{file} of {other} differs from that of {name}, which the merged model has.")

"""How is a recipe carried out? One tensor after the other, from mapped sources into one file.

Weights are read from disk in blocks, merged in float32 and written in turn, so that memory holds a few blocks
(or, for a method that must see a tensor whole, one tensor of each source) and never a model. Tensors that are
the same bytes everywhere, such as frozen embeddings, are copied. Sources are worked on in the order of their
names, so that neither their order in the recipe nor the machine changes a byte.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..errors import CheckpointError, IncompatibleError, MuError
from ..models.checkpoint import (
    FLOATS,
    STORAGE,
    TOKENIZER_FILES,
    WEIGHTS,
    Checkpoint,
    from_float32,
    map_tensor,
    open_checkpoint,
    sorted_layout,
    to_float32,
    write_safetensors,
)
from . import card, registry
from .compatibility import BASE_MEND, Aligned, align
from .recipe import DTYPES, Recipe, check, dump_recipe

BLOCK = 1 << 18  # entries worked on at once: 1 MB of float32 per source, which stays in the processor's cache
Progress = Callable[[int, int, str], None]  # parameters done, parameters in all, tensor just finished


def merge_tensors(recipe: Recipe, *, on_progress: Progress | None = None) -> dict[str, np.ndarray]:
    """The merged weights in memory: name → float32 [*s], with the values that `merge` would write.

    Integer tensors keep their type. Raises as `merge` does, except for what concerns writing and the digests
    in the recipe, which are not looked at for the sake of speed.
    """
    recipe = check(recipe)
    aligned, layout = prepare(recipe)
    merged: dict[str, np.ndarray] = {}
    for name, blocks in merged_tensors(recipe, aligned, layout, on_progress):
        dtype, shape = layout[name]
        flat = np.empty(prod(shape), np.float32 if dtype in FLOATS else STORAGE[dtype])
        position = 0
        for block in blocks:
            flat[position : position + block.size] = to_float32(block, dtype) if dtype in FLOATS else block
            position += block.size
        merged[name] = flat.reshape(shape)
    return merged


def merge(recipe: Recipe, out: Path, *, on_progress: Progress | None = None) -> Path:
    """Merge into the new folder `out` and return it: weights, config, tokenizer, recipe.yaml and model card.

    All or nothing: after an error or an interrupt there is no `out`. Raises UsageError for a recipe that is
    wrong in itself, IncompatibleError for models that do not fit, CheckpointError for damaged weights or NaN,
    MuError for a folder that cannot be written.
    """
    recipe, out = check(recipe), Path(out)
    aligned, layout = prepare(recipe)
    with files.new_folder(out) as folder:
        check_space(folder, layout)
        pool = ThreadPoolExecutor(1)  # hashing needs no interpreter lock: it runs beside the arithmetic
        try:
            opened = {str(c.path): c for _, c in aligned.models}
            digests = {path: {p: pool.submit(files.sha256, p) for p in c.files} for path, c in opened.items()}
            write_safetensors(folder / WEIGHTS, layout, merged_tensors(recipe, aligned, layout, on_progress))
            stamped = stamp(recipe, aligned, digests)
        finally:
            pool.shutdown(cancel_futures=True)
        write_config(folder, aligned.sources[0][1], layout)
        copy_tokenizer(folder, [checkpoint for _, checkpoint in aligned.models])
        text = dump_recipe(stamped, out.absolute())
        (folder / "recipe.yaml").write_text(card.RECIPE_HEADER + text, encoding="utf-8")
        (folder / "README.md").write_text(
            card.model_card(stamped, registry.get(recipe.method)), encoding="utf-8"
        )
    return out


def plan(recipe: Recipe) -> dict[str, int]:
    """What a merge would write: tensors, parameters, bytes. Checks everything but the values."""
    _, layout = prepare(check(recipe))
    sizes = {name: prod(shape) for name, (_, shape) in layout.items()}
    return {
        "tensors": len(layout),
        "parameters": sum(sizes.values()),
        "bytes": sum(sizes[name] * STORAGE[dtype].itemsize for name, (dtype, _) in layout.items()),
    }


def prepare(recipe: Recipe) -> tuple[Aligned, dict[str, tuple[str, tuple[int, ...]]]]:
    """Open and align every model of a checked recipe; the output's tensors with dtype and shape, in order."""
    ordered = sorted(recipe.sources, key=lambda source: source.name)
    sources = [(source.name, open_checkpoint(source.path)) for source in ordered]
    method = registry.get(recipe.method)
    base = open_checkpoint(recipe.base) if recipe.base and method.needs_base else None
    aligned = align(method, sources, base)
    wanted = DTYPES[recipe.dtype] if recipe.dtype else None
    layout = {
        name: (wanted if wanted and dtype in FLOATS else dtype, sources[0][1].tensors[name].shape)
        for name, dtype in aligned.dtypes.items()
    }
    return aligned, sorted_layout(layout)


def merged_tensors(
    recipe: Recipe,
    aligned: Aligned,
    layout: dict[str, tuple[str, tuple[int, ...]]],
    on_progress: Progress | None,
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Name and blocks of each merged tensor, in `layout` order; each must be used up before the next."""
    total = sum(prod(shape) for _, shape in layout.values())
    done = 0
    for name, (dtype, shape) in layout.items():
        yield name, merged_blocks(recipe, aligned, name, dtype)
        done += prod(shape)
        if on_progress:
            on_progress(done, total, name)


def merged_blocks(recipe: Recipe, aligned: Aligned, name: str, dtype: str) -> Iterator[np.ndarray]:
    """One merged tensor as flat blocks, as they lie on disk."""
    inputs = [checkpoint.tensors[name] for _, checkpoint in aligned.models]
    raw = [map_tensor(info) for info in inputs]
    moved = name in aligned.head and any(order is not None for order in aligned.rows)
    if moved:
        raw = [
            rows(array, info.shape, order)
            for array, info, order in zip(raw, inputs, aligned.rows, strict=True)
        ]
    size = raw[0].size
    if inputs[0].dtype not in FLOATS:
        if not identical(raw):
            raise IncompatibleError(
                f"tensor {name} holds whole numbers that differ; they cannot be averaged."
            )
        yield raw[0]
        return
    if len({info.dtype for info in inputs}) == 1 and identical(raw):
        for start in range(0, size, BLOCK):
            block = raw[0][start : start + BLOCK]
            values = finite(to_float32(block, inputs[0].dtype), aligned.models[0], name)
            yield block if dtype == inputs[0].dtype else encoded(values, dtype, name)
        return
    method = registry.get(recipe.method)
    weight_of = {source.name: source.weight for source in recipe.sources}
    weights = np.array([weight_of[source] for source, _ in aligned.sources], np.float32)
    step = BLOCK if method.elementwise else max(size, 1)
    stack = np.empty((len(raw), min(step, size)), np.float32)
    for start in range(0, size, step):
        part = stack[:, : min(step, size - start)]
        for row, array, info, model in zip(part, raw, inputs, aligned.models, strict=True):
            row[...] = to_float32(array[start : start + step], info.dtype)
            finite(row, model, name)
        shaped = part if method.elementwise else part.reshape(len(raw), *(inputs[0].shape or (1,)))
        if aligned.base:
            base, deltas = shaped[-1], shaped[:-1]
            deltas -= base
            merged = method.function(base, deltas, weights, **recipe.params)
        else:
            merged = method.function(shaped, weights, **recipe.params)
        yield encoded(merged.reshape(-1), dtype, name)


def rows(array: np.ndarray, shape: tuple[int, ...], order: np.ndarray | None) -> np.ndarray:
    """A head's rows in the order of the output's labels, flat."""
    return array if order is None else array.reshape(shape)[order].reshape(-1)


def identical(arrays: list[np.ndarray]) -> bool:
    """Are all arrays the same bytes? Compared in blocks: the first that differs ends it."""
    views = [array.view(np.uint8) for array in arrays]
    step = BLOCK * 4
    return all(
        np.array_equal(views[0][start : start + step], view[start : start + step])
        for view in views[1:]
        for start in range(0, views[0].size, step)
    )


def finite(values: np.ndarray, model: tuple[str, Checkpoint], tensor: str) -> np.ndarray:
    """`values` themselves, if none is NaN or infinite. Raises CheckpointError."""
    # A sum is NaN or infinite if an entry is; only if it is must every entry be looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        doubtful = not np.isfinite(values.sum())
    if doubtful and not np.isfinite(values).all():
        name, checkpoint = model
        raise CheckpointError(
            f"tensor {tensor} of {name} holds NaN or infinity.",
            where=str(checkpoint.tensors[tensor].file),
            mend="Its training went wrong: train it again, or leave this source out.",
        )
    return values


def encoded(values: np.ndarray, dtype: str, tensor: str) -> np.ndarray:
    """float32 → as it lies on disk. Raises MuError if the merge is too large for `dtype`."""
    raw = from_float32(values, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        doubtful = not np.isfinite(values.sum()) or dtype in ("F16", "BF16")
    if doubtful and not np.isfinite(to_float32(raw, dtype)).all():
        raise MuError(
            f"the merged tensor {tensor} has entries too large for {dtype}.",
            mend="Use a smaller scale, or --dtype float32.",
        )
    return raw


def check_space(folder: Path, layout: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """Raise MuError if the disk cannot hold the weights (and a little more for the rest)."""
    needed = sum(prod(shape) * STORAGE[dtype].itemsize for dtype, shape in layout.values()) + (1 << 20)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MuError(
            f"the merge needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free.",
            where=str(folder.parent),
            mend="Free some space, or name a folder on another disk.",
        )


def stamp(recipe: Recipe, aligned: Aligned, digests: dict[str, dict[Path, Future[str]]]) -> Recipe:
    """The recipe with its inputs' digests. Raises if one is unexpected, or if a source is the base."""
    found = {
        path: {p.name: future.result() for p, future in table.items()} for path, table in digests.items()
    }
    paths = {name: str(checkpoint.path) for name, checkpoint in aligned.sources}
    sources = tuple(replace(source, sha256=found[paths[source.name]]) for source in recipe.sources)
    base = found[str(aligned.base.path)] if aligned.base else {}
    expected = [(s.name, s.sha256) for s in recipe.sources] + [("the base", recipe.base_sha256)]
    for (name, before), now in zip(expected, [*(s.sha256 for s in sources), base], strict=True):
        changed = [file for file in before if now and now.get(file) != before[file]]
        if changed:
            raise CheckpointError(
                f"{changed[0]} of {name} is not the file that this recipe was written for.",
                mend="Fetch that file again, or take the sha256 lines out of the recipe.",
            )
    for source in sources:
        if aligned.base and weights_of(source.sha256) == weights_of(base):
            raise IncompatibleError(
                f"the base has the same weights as the source {source.name}.", mend=BASE_MEND
            )
    return replace(recipe, sources=sources, base_sha256=base)


def weights_of(digests: Any) -> dict[str, str]:
    return {file: digest for file, digest in digests.items() if file.endswith(".safetensors")}


def write_config(folder: Path, first: Checkpoint, layout: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """The first source's config, with the dtype that most of the weights have now."""
    config = dict(first.config)
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


def copy_tokenizer(folder: Path, models: list[Checkpoint]) -> None:
    """The tokenizer's files from the first model that has one."""
    for checkpoint in models:
        if checkpoint.tokenizer:
            for name in TOKENIZER_FILES:
                if (checkpoint.path / name).is_file():
                    shutil.copyfile(checkpoint.path / name, folder / name)
            return

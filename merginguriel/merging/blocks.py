"""Block-wise merge of every tensor on all cores.

A thread reads a block of every model into a buffer, merges it in float32 and passes it on. Memory holds a few blocks
(or, for a method that needs whole tensors, one tensor of each model), never a model. Tensors with the same bytes in
every source, such as frozen embeddings, are copied. The order of additions does not depend on the number of threads,
so the output bytes do not either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fnmatch import fnmatchcase
from math import prod
from threading import Lock
from typing import Any

import numpy as np

from merginguriel.errors import IncompatibleError
from merginguriel.models.checkpoint import FLOATS, to_float32

from . import policies, registry
from .executor import Executor, blocks, cores, divided, encoded, finite, identical
from .registry import Dice, Method, TensorPlace
from .tensor_plan import OpenMerge, TensorJob
from .tensor_reader import Input
from .tensor_reader import whole as whole_numbers
from .trim import Band
from .trim_bounds import model_bands, tensor_bands

Progress = Callable[[int, int, str], None]  # parameters done, parameters in all, tensor just finished
Sink = Callable[[str, int, np.ndarray], None]  # tensor, first entry, entries in their form on disk
Params = Mapping[str, Any]


def carry_out(work: OpenMerge, sink: Sink, on_progress: Progress | None, threads: int | None) -> None:
    """Merge every tensor and hand its blocks to `sink`, which is called from several threads."""
    total = sum(prod(job.shape) for job in work.jobs)
    done = 0
    lock = Lock()

    def finished(job: TensorJob) -> None:
        nonlocal done
        with lock:
            done += prod(job.shape)
            if on_progress:
                on_progress(done, total, job.name)

    whole = [job for job in work.jobs if needs_whole(job, work.method)]
    others = [job for job in work.jobs if not needs_whole(job, work.method)]
    count = cores(threads)
    with ThreadPoolExecutor(count) as pool:
        step = Executor(work, pool, count)
        bands = model_bands(step) if work.method.trim and work.recipe.trim_scope == "model" else None
        try:
            for job in others:
                one(step, job, sink, bands)
                finished(job)
            if whole:
                side_by_side(step, whole, sink, finished)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def needs_whole(job: TensorJob, method: Method) -> bool:
    """Return whether the method needs this tensor of all models at once."""
    floats = job.inputs[0].dtype in FLOATS
    return floats and job.how == "method" and method.unit == "tensor" and not method.takes.endswith("gram")


def side_by_side(
    step: Executor, jobs: list[TensorJob], sink: Sink, finished: Callable[[TensorJob], None]
) -> None:
    """Merge each whole tensor in one thread, the largest first; its linear algebra uses no other.

    Decompositions gain little from several threads, and the rounding of one thread is the same for any number of cores.
    """
    from threadpoolctl import threadpool_limits

    single = Executor(step.work, step.pool, 1)

    def merge(job: TensorJob) -> None:
        one(single, job, sink, None)
        finished(job)

    with threadpool_limits(1, user_api="blas"):
        step.each(merge, sorted(jobs, key=lambda job: -prod(job.shape)))


def one(step: Executor, job: TensorJob, sink: Sink, bands: list[Iterator[Band]] | None) -> None:
    """Merge one tensor."""
    work = step.work
    size = prod(job.shape)
    every = [*job.inputs, *([job.base] if job.base else [])]
    if every[0].dtype not in FLOATS:
        numbers = [whole_numbers(source) for source in job.inputs]
        if any(not np.array_equal(numbers[0], other) for other in numbers[1:]):
            raise IncompatibleError(
                f"tensor {job.name} holds whole numbers that differ; they cannot be averaged."
            )
        sink(job.name, 0, numbers[0])
        return
    how, method, params = job.how, work.method, work.recipe.params
    if how.startswith("source:"):
        at = work.names.index(how.partition(":")[2])
        copy(step, job, job.inputs[at], work.origins[at], sink)
    elif how == "base" and job.base:
        copy(step, job, job.base, work.origins[-1], sink)
    elif how == "fresh":
        sink(job.name, 0, encoded(fresh(work.recipe.seed, job.name, job.shape), job.dtype, job.name))
    elif identical(every if method.needs_base else list(job.inputs)):
        copy(step, job, job.inputs[0], work.origins[0], sink)
    else:
        if how != "method":
            method, params = registry.get("linear"), {}
        if method.takes.endswith("gram"):
            combine(step, job, method, params, sink)
        elif method.unit == "tensor":
            values = apply(step, job, method, params, 0, stacked(step, job, method, 0, size))
            sink(job.name, 0, encoded(values, job.dtype, job.name))
        else:
            in_blocks(step, job, method, params, sink, bands)


def in_blocks(
    step: Executor,
    job: TensorJob,
    method: Method,
    params: Params,
    sink: Sink,
    bands: list[Iterator[Band]] | None,
) -> None:
    """Merge one tensor by a method that works on entries or rows, block by block on all threads."""
    spans = blocks(job, method)
    cuts: list[list[Band]] | None = None
    if method.trim:
        # Bands over the whole model were measured in this order of tensors and blocks.
        found = [[next(b) for _ in spans] for b in bands] if bands else tensor_bands(step, job, params)
        cuts = found

    def block(at: int) -> None:
        start, stop = spans[at]
        stack = stacked(step, job, method, start, stop)
        if cuts:
            from .compiled_loops import keep_band

            for row, own in zip(stack, cuts, strict=False):
                band = own[at if len(own) > 1 else 0]
                keep_band(row, band.low, band.low_keep, band.high, band.high_keep)
        sink(job.name, start, encoded(apply(step, job, method, params, start, stack), job.dtype, job.name))

    step.each(block, list(range(len(spans))))


def stacked(step: Executor, job: TensorJob, method: Method, start: int, stop: int) -> np.ndarray:
    """Return entries start … stop of the sources [k, n], or task vectors [k + 1, n] with the base last."""
    based = method.needs_base and job.base is not None
    models = step.work.origins
    stack = step.buffer(len(job.inputs) + based, stop - start)
    if based and job.base:
        job.base.read(start, stack[-1])
        finite(stack[-1], models[-1], job.name)
    for row, source, model in zip(stack, job.inputs, models, strict=False):
        source.read(start, row)
        finite(row, model, job.name)
        if based:
            row -= stack[-1]
    return stack


def apply(
    step: Executor, job: TensorJob, method: Method, params: Params, start: int, stack: np.ndarray
) -> np.ndarray:
    """Apply the method to one flat block and restore the rows that the recipe excludes."""
    work = step.work
    width = job.shape[-1] if job.shape else 1
    shapes = {"entry": (-1,), "row": (-1, width), "tensor": job.shape or (1,)}
    shaped = stack.reshape(len(stack), *shapes[method.unit])
    given = keywords_for(work, job, method, params)
    weights = weights_for(work, job)
    if "dice" in method.facts:
        given["dice"] = Dice(keys(work.recipe.seed, work.names, job.name), start)
    if method.needs:
        given[method.needs] = from_text(step, job, method, start, shaped.shape[1:])
    untouched = None
    if job.rows is not None:
        untouched = stack[-1].copy() if method.needs_base else (weights @ stack)
        if job.base and not method.needs_base:
            job.base.read(start, untouched)
    if method.needs_base:
        merged = method.function(shaped[-1], shaped[:-1], weights, **given)
    else:
        merged = method.function(shaped, weights, **given)
    merged = merged.reshape(-1)
    if untouched is not None and job.rows is not None:
        taken = job.rows[(start + np.arange(merged.size)) // width]
        merged = np.where(taken, merged, untouched)
    return merged


def weights_for(work: OpenMerge, job: TensorJob) -> np.ndarray:
    """Return the sources' weights [k]; those of the tensor's name and layer if the recipe gives them so.

    Where a signed method leaves a tensor to the mean, sources of negative weight have no share in it.
    """
    if work.method.signed and job.how != "method":
        shares = np.maximum(work.weights, 0)
        return shares / shares.sum()
    recipe = work.recipe
    named = (table for pattern, table in recipe.tensor_weights.items() if fnmatchcase(job.name, pattern))
    table = next(named, recipe.layer_weights)
    if not table:
        return work.weights
    from .methods.layers import weights_at

    return weights_at(table, work.names, *policies.layer_of(job.name, work.layout))


def keywords_for(work: OpenMerge, job: TensorJob, method: Method, params: Params) -> dict[str, Any]:
    """Return the keyword arguments of the method's function: its parameters (not those of its trim) and the place."""
    wanted = registry.keywords(method.function)
    given = {key: value for key, value in params.items() if key in wanted}
    if "place" in method.facts:
        layer = policies.layer_of(job.name, work.layout)
        given["place"] = TensorPlace(job.name, job.shape, *layer, work.names, work.recipe.target)
    return given


def from_text(
    step: Executor, job: TensorJob, method: Method, start: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the statistics from text that the method needs: importance, Gram matrices or coefficients."""
    work = step.work
    if method.needs == "coefficients":
        layer = policies.layer_of(job.name, work.layout)
        by_name = {source.name: source for source in work.recipe.sources}
        found = [policies.coefficient(by_name[name], job.name, layer) for name in work.names]
        return np.array(found, np.float32)
    width = job.shape[-1] if job.shape else 1
    at, shape = (start, shape) if method.needs == "importance" else (0, (width, width))
    values = step.buffer(len(job.statistics), prod(shape), "statistics")
    for row, source, (name, _) in zip(values, job.statistics, work.origins, strict=False):
        source.read(at, row)
        finite(row, (name, "its statistics"), job.name)
    return values.reshape(-1, *shape)


def combine(step: Executor, job: TensorJob, method: Method, params: Params, sink: Sink) -> None:
    """Merge by a method that needs only inner products: one pass to measure them, one to combine."""
    work = step.work
    spans = blocks(job, method)
    count = len(job.inputs)
    gram = products_of(count)

    def measure(span: tuple[int, int]) -> np.ndarray:
        products = np.zeros((count, count))
        gram(stacked(step, job, method, *span)[:count], products)
        return products

    products = np.zeros((count, count))
    for part in step.each(measure, spans):
        products += part
    given = keywords_for(work, job, method, params)
    shares = method.function(products, weights_for(work, job), **given)
    linear = replace_weights(method, np.asarray(shares, np.float32))

    def block(span: tuple[int, int]) -> None:
        start, stop = span
        stack = stacked(step, job, method, start, stop)
        values = apply(step, job, linear, {}, start, stack)
        sink(job.name, start, encoded(values, job.dtype, job.name))

    step.each(block, spans)


def products_of(count: int) -> Callable[[np.ndarray, np.ndarray], None]:
    """Return a function that adds the inner products of rows [count, n] float32 to a [count, count] float64 matrix.

    For two sources numpy finishes before numba is imported (0.7 s); for more the compiled loop is faster.
    """
    if count > 2:
        from .compiled_loops import gram

        compiled: Callable[[np.ndarray, np.ndarray], None] = gram
        return compiled

    def plain(rows: np.ndarray, out: np.ndarray) -> None:
        wide = rows.astype(np.float64)
        # Not BLAS, whose order of summation depends on its threads.
        out += np.einsum("in,jn->ij", wide, wide)

    return plain


def replace_weights(method: Method, shares: np.ndarray) -> Method:
    """Return a method that combines the sources, or the task vectors on the base, with these coefficients."""
    from .methods.averaging import added, weighted_sum

    function: registry.Function
    takes, function = "tensors", lambda tensors, _: weighted_sum(tensors, shares)
    if method.needs_base:
        takes, function = "base", lambda base, deltas, _: added(base, deltas, shares, 1)
    return replace(method, takes=takes, unit="entry", facts=frozenset(), function=function)


def copy(step: Executor, job: TensorJob, source: Input, origin: tuple[str, str], sink: Sink) -> None:
    """Copy one model's tensor in the output's dtype. `origin`: name and path of that model."""

    def block(span: tuple[int, int]) -> None:
        start, stop = span
        if source.dtype == job.dtype:
            raw = source.raw(start, stop)
            finite(to_float32(raw, job.dtype), origin, job.name)
        else:
            values = np.empty(stop - start, np.float32)
            source.read(start, values)
            finite(values, origin, job.name)
            raw = encoded(values, job.dtype, job.name)
        sink(job.name, start, raw)

    step.each(block, divided(prod(job.shape)))


def fresh(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return new flat weights for a head: normal with standard deviation 0.02 as in transformers; zero for a bias."""
    if len(shape) < 2:
        return np.zeros(prod(shape), np.float32)
    generator = np.random.Generator(np.random.Philox(key=int(keys(seed, ("fresh",), name)[0])))
    return generator.standard_normal(prod(shape), dtype=np.float32) * np.float32(0.02)


def keys(seed: int, names: tuple[str, ...], tensor: str) -> np.ndarray:
    """Return a 64-bit key for each source's random numbers in this tensor."""
    from hashlib import sha256

    parts = [sha256(json.dumps([seed, name, tensor]).encode()).digest() for name in names]
    return np.array([int.from_bytes(part[:8], "little") for part in parts], np.uint64)

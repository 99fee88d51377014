"""How is each tensor merged, block by block, on all cores?

A thread reads a block of every model into a buffer, merges it in float32 and hands it on, so that memory holds a
few blocks (or, for a method that must see a tensor whole, one tensor of each model) and never a model. Tensors that
are the same bytes everywhere, such as frozen embeddings, are copied. No sum crosses a block in an order that threads
decide, so that their number changes no byte.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ..errors import CheckpointError, IncompatibleError, MuError
from ..models.checkpoint import FLOATS, from_float32, to_float32
from . import policies, registry, trim
from .inputs import Input, whole
from .registry import Dice, Method, Place
from .work import Job, Work

BLOCK = 1 << 16  # entries worked on at once: 256 kB of float32 per model, which the processor's cache holds
SAMPLED, SAMPLE_RUN = 512, 512  # blocks to sample from, and entries of each
Progress = Callable[[int, int, str], None]  # parameters done, parameters in all, tensor just finished
Sink = Callable[[str, int, np.ndarray], None]  # tensor, first entry, entries as they lie on disk
Params = Mapping[str, Any]


def cores(threads: int | None) -> int:
    """How many threads to work with: as given, else one per core that this process may use."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return threads or available


def carry_out(work: Work, sink: Sink, on_progress: Progress | None, threads: int | None) -> None:
    """Merge every tensor and hand its blocks to `sink`, which is called from several threads."""
    total = sum(prod(job.shape) for job in work.jobs)
    done = 0
    count = cores(threads)
    with ThreadPoolExecutor(count) as pool:
        step = Step(work, pool, count)
        bands = model_bands(step) if work.method.trim and work.recipe.trim_scope == "model" else None
        try:
            for job in work.jobs:
                one(step, job, sink, bands)
                done += prod(job.shape)
                if on_progress:
                    on_progress(done, total, job.name)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class Step:
    """What every tensor needs: the work, the threads, and a buffer for each thread."""

    def __init__(self, work: Work, pool: ThreadPoolExecutor, threads: int) -> None:
        self.work, self.pool, self.threads = work, pool, threads
        self.buffers = threading.local()

    def each(self, function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        """function(item) for all, on all threads, results in order; a single item stays in this thread."""
        if len(items) == 1 or self.threads == 1:
            return [function(item) for item in items]
        results: list[Any] = [None] * len(items)
        turn = itertools.count()

        # One task per thread, not per block: thousands of futures cost more than the sums.
        def worker() -> None:
            while (i := next(turn)) < len(items):
                results[i] = function(items[i])

        running = [self.pool.submit(worker) for _ in range(self.threads)]
        try:
            for one in running:
                one.result()
        except BaseException:
            while next(turn) < len(items):  # leaves nothing for the others to take
                pass
            raise
        return results

    def buffer(self, rows: int, size: int, use: str = "array") -> np.ndarray:
        """[rows, size] float32 of this thread, the same memory every time: fresh pages are slow to come by."""
        kept = getattr(self.buffers, use, None)
        if kept is None or kept.size < rows * size:
            kept = np.empty(rows * size, np.float32)
            setattr(self.buffers, use, kept)
        return kept[: rows * size].reshape(rows, size)


def one(step: Step, job: Job, sink: Sink, bands: list[Iterator[trim.Band]] | None) -> None:
    """Merge one tensor."""
    work = step.work
    size = prod(job.shape)
    every = [*job.inputs, *([job.base] if job.base else [])]
    if every[0].dtype not in FLOATS:
        numbers = [whole(source) for source in job.inputs]
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
    step: Step,
    job: Job,
    method: Method,
    params: Params,
    sink: Sink,
    bands: list[Iterator[trim.Band]] | None,
) -> None:
    """A method that sees entries or rows: block by block on all threads."""
    spans = blocks(job, method)
    cuts: list[list[trim.Band]] | None = None
    if method.trim:
        # Bands over the whole model were measured in this order of tensors and blocks.
        found = [[next(b) for _ in spans] for b in bands] if bands else tensor_bands(step, job, params)
        cuts = found

    def block(at: int) -> None:
        start, stop = spans[at]
        stack = stacked(step, job, method, start, stop)
        if cuts:
            from .kernels import keep_band

            for row, own in zip(stack, cuts, strict=False):
                band = own[at if len(own) > 1 else 0]
                keep_band(row, band.low, band.low_keep, band.high, band.high_keep)
        sink(job.name, start, encoded(apply(step, job, method, params, start, stack), job.dtype, job.name))

    step.each(block, list(range(len(spans))))


def blocks(job: Job, method: Method) -> list[tuple[int, int]]:
    """Start and stop of each block: whole rows for a method that needs them, and a multiple of four entries."""
    size = prod(job.shape)
    width = BLOCK
    if method.unit == "row":
        row = job.shape[-1] if job.shape else 1
        width = max(BLOCK // max(row, 1) // 4, 1) * 4 * row
    return [(start, min(start + width, size)) for start in range(0, size, max(width, 1))]


def stacked(step: Step, job: Job, method: Method, start: int, stop: int) -> np.ndarray:
    """Entries start … stop of the sources [k, n], as task vectors [k + 1, n] with the base last if it needs them."""
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


def apply(step: Step, job: Job, method: Method, params: Params, start: int, stack: np.ndarray) -> np.ndarray:
    """The method on one block, flat; rows that the recipe leaves out are put back."""
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


def weights_for(work: Work, job: Job) -> np.ndarray:
    """The sources' weights [k], those of the tensor's layer if the recipe gives them by layer."""
    if not work.recipe.layer_weights:
        return work.weights
    from .methods.layers import weights_at

    return weights_at(work.recipe.layer_weights, work.names, *policies.layer_of(job.name, work.layout))


def keywords_for(work: Work, job: Job, method: Method, params: Params) -> dict[str, Any]:
    """The parameters and the place that the method's function asks for; what only its trim asks for is left out."""
    wanted = registry.keywords(method.function)
    given = {key: value for key, value in params.items() if key in wanted}
    if "place" in method.facts:
        layer = policies.layer_of(job.name, work.layout)
        given["place"] = Place(job.name, job.shape, *layer, work.names, work.recipe.target)
    return given


def from_text(step: Step, job: Job, method: Method, start: int, shape: tuple[int, ...]) -> np.ndarray:
    """What the method was promised from text, for entries of this shape: importance, Gram matrices, coefficients."""
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


def combine(step: Step, job: Job, method: Method, params: Params, sink: Sink) -> None:
    """A method that asks only for angles and lengths: one pass to measure them, one to combine."""
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
    """What adds the inner products of `count` rows [count, n] float32 to a matrix [count, count] float64.

    For two sources numpy is done before a compiler is imported (0.7 s); more of them are worth it.
    """
    if count > 2:
        from .kernels import gram

        compiled: Callable[[np.ndarray, np.ndarray], None] = gram
        return compiled

    def plain(rows: np.ndarray, out: np.ndarray) -> None:
        wide = rows.astype(np.float64)
        # Not BLAS, whose order of summation depends on its threads.
        out += np.einsum("in,jn->ij", wide, wide)

    return plain


def replace_weights(method: Method, shares: np.ndarray) -> Method:
    """The combination of sources, or of task vectors on the base, with these shares."""
    from .methods.averaging import weighted_sum

    if method.needs_base:
        return replace(
            method,
            takes="base",
            unit="entry",
            facts=frozenset(),
            function=lambda base, deltas, _: base + weighted_sum(deltas, shares),
        )
    return replace(
        method,
        takes="tensors",
        unit="entry",
        facts=frozenset(),
        function=lambda tensors, _: weighted_sum(tensors, shares),
    )


def copy(step: Step, job: Job, source: Input, origin: tuple[str, str], sink: Sink) -> None:
    """One model's tensor as it is, in the output's dtype. `origin`: name and place of that model."""

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

    size = prod(job.shape)
    step.each(block, [(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)])


def identical(sources: list[Input]) -> bool:
    """Are all tensors the same bytes? Compared in blocks: the first that differs ends it."""
    first = sources[0]
    if any(other.dtype != first.dtype or other.size != first.size for other in sources[1:]):
        return False
    for start in range(0, first.size, BLOCK * 4):
        stop = min(start + BLOCK * 4, first.size)
        block = first.raw(start, stop).view(np.uint8)
        if any(not np.array_equal(block, other.raw(start, stop).view(np.uint8)) for other in sources[1:]):
            return False
    return True


def fresh(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """New weights for a head, flat: normal with deviation 0.02, as transformers starts them; zero for a bias."""
    if len(shape) < 2:
        return np.zeros(prod(shape), np.float32)
    generator = np.random.Generator(np.random.Philox(key=int(keys(seed, ("fresh",), name)[0])))
    return generator.standard_normal(prod(shape), dtype=np.float32) * np.float32(0.02)


def keys(seed: int, names: tuple[str, ...], tensor: str) -> np.ndarray:
    """A key of 64 bits for each source's random numbers in this tensor."""
    from hashlib import sha256

    parts = [sha256(json.dumps([seed, name, tensor]).encode()).digest() for name in names]
    return np.array([int.from_bytes(part[:8], "little") for part in parts], np.uint64)


# --- bands of magnitude ---


def tensor_bands(step: Step, job: Job, params: Params) -> list[list[trim.Band]]:
    """The band of each source for each block of one tensor."""
    return measured(step, [job], params)


def model_bands(step: Step) -> list[Iterator[trim.Band]]:
    """The band of each source for each block of each tensor, over the whole model, in order."""
    jobs = [job for job in step.work.jobs if merged_by_method(job)]
    found = measured(step, jobs, step.work.recipe.params)
    count = sum(len(blocks(job, step.work.method)) for job in jobs)
    return [iter(own if len(own) > 1 else own * count) for own in found]


def merged_by_method(job: Job) -> bool:
    """Will `one` hand this tensor to the method? Asked before, because a band over the model must know."""
    floats = job.inputs[0].dtype in FLOATS
    return floats and job.how == "method" and not identical([*job.inputs, *([job.base] if job.base else [])])


def measured(step: Step, jobs: list[Job], params: Params) -> list[list[trim.Band]]:
    method = step.work.method
    if method.trim is None:
        raise MuError(f"{method.name} trims nothing.")
    count = len(step.work.names)
    size = sum(prod(job.shape) for job in jobs)
    spans = [(job, span) for job in jobs for span in blocks(job, method)]

    def over(function: Callable[[int, np.ndarray, np.ndarray], Any]) -> list[list[Any]]:
        def block(item: tuple[Job, tuple[int, int]]) -> list[Any]:
            job, (start, stop) = item
            base, tensor = step.buffer(2, stop - start)
            if job.base is None:
                raise MuError(f"there is no base for {job.name}.")
            job.base.read(start, base)
            found = []
            for i, source in enumerate(job.inputs):
                source.read(start, tensor)
                found.append(function(i, tensor, base))
            return found

        return [list(row) for row in zip(*step.each(block, spans), strict=True)]

    def sample(i: int) -> np.ndarray:
        """Bits of magnitudes from runs of entries that lie evenly over all tensors."""
        found = []
        for job, (start, stop) in spans[:: max(len(spans) // SAMPLED, 1)]:
            base, tensor = np.empty((2, min(stop - start, SAMPLE_RUN)), np.float32)
            if job.base:
                job.base.read(start, base)
            job.inputs[i].read(start, tensor)
            found.append(np.abs(tensor - base).view(np.uint32))
        return np.concatenate(found)

    wanted = {key: params[key] for key in registry.keywords(method.trim)}
    low, high = method.trim(size, **wanted)
    return trim.places(over, trim.measure(over, count, size, low, high, sample if len(spans) >= 16 else None))


# --- values ---


def finite(values: np.ndarray, model: tuple[str, str], tensor: str) -> np.ndarray:
    """`values` themselves, if none is NaN or infinite. Raises CheckpointError."""
    # A sum is NaN or infinite if an entry is; only if it is must every entry be looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        doubtful = not np.isfinite(values.sum())
    if doubtful and not np.isfinite(values).all():
        name, place = model
        raise CheckpointError(
            f"tensor {tensor} of {name} holds NaN or infinity.",
            where=place,
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

"""Threads, buffers and block boundaries that the merge of every tensor shares."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np

from merginguriel.errors import CheckpointError, MuError
from merginguriel.models.checkpoint import from_float32, to_float32

from .registry import Method
from .tensor_plan import OpenMerge, TensorJob
from .tensor_reader import Input

BLOCK = 1 << 16  # entries worked on at once: 256 kB of float32 per model, which the processor's cache holds


def cores(threads: int | None) -> int:
    """Return the number of threads: as given, else one per core that this process may use."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return threads or available


class Executor:
    """The plan, the threads, and a buffer for each thread."""

    def __init__(self, work: OpenMerge, pool: ThreadPoolExecutor, threads: int) -> None:
        self.work, self.pool, self.threads = work, pool, threads
        self.buffers = threading.local()

    def each(self, function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        """Call function(item) for all items on all threads; return results in order. A single item stays in this thread."""
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
        """Return a [rows, size] float32 buffer of this thread, the same memory every time: fresh pages are slow."""
        kept = getattr(self.buffers, use, None)
        if kept is None or kept.size < rows * size:
            kept = np.empty(rows * size, np.float32)
            setattr(self.buffers, use, kept)
        return kept[: rows * size].reshape(rows, size)


def blocks(job: TensorJob, method: Method) -> list[tuple[int, int]]:
    """Return start and stop of each block: whole rows for a method that needs them, and a multiple of four entries."""
    size = prod(job.shape)
    width = BLOCK
    if method.unit == "row":
        row = job.shape[-1] if job.shape else 1
        width = max(BLOCK // max(row, 1) // 4, 1) * 4 * row
    return divided(size, max(width, 1))


def divided(size: int, width: int | None = None) -> list[tuple[int, int]]:
    """Return start and stop of each run of `width` entries, by default BLOCK, over `size` of them."""
    width = width or BLOCK
    return [(start, min(start + width, size)) for start in range(0, size, width)]


def identical(sources: list[Input]) -> bool:
    """Return whether all tensors have the same bytes; stops at the first block that differs."""
    first = sources[0]
    if any(other.dtype != first.dtype or other.size != first.size for other in sources[1:]):
        return False
    for start in range(0, first.size, BLOCK * 4):
        stop = min(start + BLOCK * 4, first.size)
        block = first.raw(start, stop).view(np.uint8)
        if any(not np.array_equal(block, other.raw(start, stop).view(np.uint8)) for other in sources[1:]):
            return False
    return True


def finite(values: np.ndarray, model: tuple[str, str], tensor: str) -> np.ndarray:
    """Return `values` if all are finite; raise CheckpointError for NaN or infinity."""
    # A sum is NaN or infinite if an entry is; only if it is must every entry be looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        doubtful = not np.isfinite(values.sum())
    if doubtful and not np.isfinite(values).all():
        name, place = model
        raise CheckpointError(
            f"tensor {tensor} of {name} holds NaN or infinity.",
            where=place,
            hint="Its training went wrong: train it again, or leave this source out.",
        )
    return values


def encoded(values: np.ndarray, dtype: str, tensor: str) -> np.ndarray:
    """Convert float32 to its form on disk. Raises MuError if a value is too large for `dtype`."""
    raw = from_float32(values, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        doubtful = not np.isfinite(values.sum()) or dtype in ("F16", "BF16")
    if doubtful and not np.isfinite(to_float32(raw, dtype)).all():
        raise MuError(
            f"the merged tensor {tensor} has entries too large for {dtype}.",
            hint="Use a smaller scale, or --dtype float32.",
        )
    return raw

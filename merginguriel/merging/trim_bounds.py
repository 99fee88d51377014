"""Bounds of the magnitudes that a trimming method keeps, measured exactly in one pass over blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from merginguriel.errors import MuError
from merginguriel.models.checkpoint import FLOATS

from . import registry, trim
from .executor import Executor, blocks, identical
from .tensor_plan import TensorJob

SAMPLED, SAMPLE = 512, 1 << 18  # blocks and entries to sample at most


def tensor_bands(step: Executor, job: TensorJob, params: Mapping[str, Any]) -> list[list[trim.Band]]:
    """Return the band of each source for each block of one tensor."""
    return measured(step, [job], params)


def model_bands(step: Executor) -> list[Iterator[trim.Band]]:
    """Return the band of each source for each block of each tensor, over the whole model, in order."""
    jobs = [job for job in step.work.jobs if merged_by_method(job)]
    found = measured(step, jobs, step.work.recipe.params)
    count = sum(len(blocks(job, step.work.method)) for job in jobs)
    return [iter(own if len(own) > 1 else own * count) for own in found]


def merged_by_method(job: TensorJob) -> bool:
    """Return whether `one` will pass this tensor to the method, which a band over the model must know in advance."""
    floats = job.inputs[0].dtype in FLOATS
    return floats and job.how == "method" and not identical([*job.inputs, *([job.base] if job.base else [])])


def measured(step: Executor, jobs: list[TensorJob], params: Mapping[str, Any]) -> list[list[trim.Band]]:
    """Return the band of each source for each block of these tensors."""
    method = step.work.method
    if method.trim is None:
        raise MuError(f"{method.name} trims nothing.")
    count = len(step.work.names)
    size = sum(prod(job.shape) for job in jobs)
    spans = [(job, span) for job in jobs for span in blocks(job, method)]

    def over(function: Callable[[int, np.ndarray, np.ndarray], Any]) -> list[list[Any]]:
        def block(item: tuple[TensorJob, tuple[int, int]]) -> list[Any]:
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
        """Return bits of magnitudes from runs of entries spread evenly over all tensors."""
        found = []
        chosen = spans[:: max(len(spans) // SAMPLED, 1)]
        run = min(SAMPLE, max(size // 16, 1 << 14)) // len(chosen)
        for job, (start, stop) in chosen:
            base, tensor = np.empty((2, min(stop - start, run)), np.float32)
            if job.base:
                job.base.read(start, base)
            job.inputs[i].read(start, tensor)
            found.append(np.abs(tensor - base).view(np.uint32))
        return np.concatenate(found)

    wanted = {key: params[key] for key in registry.keywords(method.trim)}
    low, high = method.trim(size, **wanted)
    return trim.measure(over, count, size, low, high, sample)

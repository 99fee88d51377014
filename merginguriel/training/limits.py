"""Limits of a training: memory, time and number of sentences."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback

from merginguriel.errors import UnavailableError
from merginguriel.files import Progress
from merginguriel.tasks.registry import Item, digest

Made = TypeVar("Made")


class SplitBatches(Sampler[list[int]]):
    """The batches of another sampler, each in up to `parts` parts of about the same size, in order."""

    def __init__(self, batches: Any, parts: int) -> None:
        self.batches, self.parts = batches, parts

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the batches."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        sizes = [self.batches.batch_size] * len(self.batches)
        rest = len(self.batches.lengths) % self.batches.batch_size
        if rest:
            sizes[-1] = rest
        return sum(min(size, self.parts) for size in sizes)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            count = min(len(batch), self.parts)
            for i in range(count):
                yield batch[i * len(batch) // count : (i + 1) * len(batch) // count]


class TimeLimit(TrainerCallback):
    """Callback that stops the training at the end of the step in which the time runs out."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes
        self.reached = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop if the time is over."""
        del args, state, kwargs
        if time.monotonic() >= self.end:
            self.reached = control.should_training_stop = True


def until_it_fits(
    attempt: Callable[[int], Made], batch_size: int, on_progress: Progress | None
) -> tuple[Made, int]:
    """Return attempt(parts), and the parts into which each batch had to be divided for the memory.

    Where the memory does not suffice, the parts are doubled and the attempt is repeated. Gradients of the parts are
    accumulated, so that a step has the same sentences as before.

    Raises:
        UnavailableError: The memory does not suffice for one sentence at a time.
    """
    parts = 1
    while True:
        try:
            return attempt(parts), parts
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if parts >= batch_size:
                raise UnavailableError(
                    "not enough memory to train on one sentence at a time.",
                    hint="Cut sentences (--max-tokens), train fewer weights (--lora-rank, --freeze-layers),\n"
                    "or take a smaller base.",
                ) from error
        parts = min(2 * parts, batch_size)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if on_progress:
            on_progress(0, 0, f"out of memory: batches of {batch_size} are computed in {parts} parts")


def out_of_memory(error: BaseException) -> bool:
    """Return whether torch could not allocate memory, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def sampled(items: Sequence[Item], count: int | None, seed: int) -> Sequence[Item]:
    """Return `count` items in their order, chosen by a hash of the seed; all if there are no more."""
    if count is None or count >= len(items):
        return items
    chosen = set(sorted(range(len(items)), key=lambda i: digest(str(seed), items[i].id, length=16))[:count])
    return [item for i, item in enumerate(items) if i in chosen]

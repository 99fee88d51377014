"""Predictions of many models in several processes, each with one model and at most one GPU, into the cache of `nxn`."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merginguriel import gpus
from merginguriel.errors import MuError
from merginguriel.models import remote_code
from merginguriel.tasks.registry import Item
from merginguriel.threads import cores


@dataclass(frozen=True)
class ScoringJob:
    """One model and the items that it lacks predictions of. model: its fingerprint, with the precision."""

    source: str
    folder: Path
    model: str
    items: Mapping[str, Sequence[Item]]
    cache: Path
    device: str | None
    batch_tokens: int | None
    bf16: bool
    trusted: bool


Executor = Callable[[Sequence[ScoringJob]], Iterator[str]]  # yields the source of each job that is done


@dataclass(frozen=True)
class Processes:
    """Processes of this machine, each with its share of the cores and, in turn, one of the GPUs."""

    workers: int

    def __call__(self, jobs: Sequence[ScoringJob]) -> Iterator[str]:
        """Carry out the jobs; yield the source of each when it is done.

        Raises:
            MuError: The error of a job, or a process was killed.
        """
        count = min(self.workers, len(jobs))
        if not count:
            return
        spawn = multiprocessing.get_context("spawn")  # CUDA and threads do not survive a fork
        places = spawn.Queue()
        visible = gpus.present()
        for worker in range(count):
            places.put(gpus.assigned(worker, visible))
        with ProcessPoolExecutor(
            count, mp_context=spawn, initializer=begin, initargs=(places, max(1, cores() // count))
        ) as pool:
            waiting = {pool.submit(carry_out, job): job for job in jobs}
            try:
                for done in as_completed(waiting):
                    done.result()
                    yield waiting[done].source
            except BrokenProcessPool as error:
                raise MuError(
                    "a worker process was killed, perhaps for lack of memory.",
                    hint="Predictions that are done are kept. Use fewer --workers.",
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


def begin(places: Any, threads: int) -> None:
    """Prepare a worker process: its GPU and its number of threads."""
    os.environ |= places.get()  # before torch is imported, which reads it once
    import torch

    torch.set_num_threads(threads)


def carry_out(job: ScoringJob) -> str:
    """Compute and cache the predictions of a job; return its source."""
    from . import nxn

    with remote_code.trust(job.trusted):
        nxn.predict_missing(job)
    return job.source

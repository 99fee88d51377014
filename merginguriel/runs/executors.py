"""Executors of many runs: processes of this machine, or tasks of a Ray cluster.

Both take runs and return when each of them has ended in some way; the state of a run is in its own folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merginguriel import gpus
from merginguriel.errors import MuError, UsageError, missing_extra
from merginguriel.evaluation import nxn_workers
from merginguriel.threads import cores

from . import run_store, worker
from .run_store import Run

EVERY = 0.1  # seconds between two checks of the running processes
GRACE = 20.0  # seconds that a run has to end after SIGTERM
TRIES = 10  # attempts to start a run that other processes keep taking
LOST = 180.0  # seconds without a heartbeat after which the lock of a lost node is given up
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

# Called with a run that has ended and the error that ended it, if any; in between with no run.
Report = Callable[[Run | None, str | None], None]


@dataclass(frozen=True)
class Local:
    """A pool of processes, each with its share of the cores and, in turn, one of the GPUs."""

    workers: int

    def __call__(self, todo: Sequence[Run], report: Report) -> None:
        """Carry out the runs, `workers` at a time.

        A run that another process is executing occupies a worker until it ends. A run that is cancelled or paused while it
        waits is not started.
        """
        waiting = deque(todo)
        ours: dict[str, int] = {}
        running: dict[str, Run] = {}
        refused = Counter[str]()
        places: dict[str, int] = {}  # run → its place in the pool, from 0
        visible = gpus.present()
        with shared_cores(self.workers), ended_with_us(ours):
            while waiting or running:
                while waiting and len(running) < self.workers:
                    run = waiting.popleft()
                    running[run.id] = run
                    places[run.id] = free_place([places[name] for name in running if name != run.id])
                    if not run_store.held(run):
                        try:
                            ours[run.id] = worker.start(
                                run, from_queue=True, variables=gpus.assigned(places[run.id], visible)
                            )
                        except worker.Withdrawn as error:
                            del running[run.id]
                            report(run, error.what)
                        except MuError as error:  # another process was faster
                            refused[run.id] += 1
                            if refused[run.id] == TRIES:
                                del running[run.id]
                                report(run, error.what)
                for run in [run for run in running.values() if not run_store.held(run)]:
                    del running[run.id]
                    process = ours.pop(run.id, None)
                    if process is not None:
                        reap(process)
                    if process is None and not worker.over(Run(run.id, run.folder)):
                        waiting.append(run)  # it was killed or failed there: try it here
                    else:
                        report(run, None)
                report(None, None)
                time.sleep(EVERY)


def free_place(taken: Sequence[int]) -> int:
    """Return the lowest number, from 0, that is not taken."""
    return next(number for number in range(len(taken) + 1) if number not in taken)


@contextlib.contextmanager
def shared_cores(workers: int) -> Iterator[None]:
    """Divide the cores among the processes that the block starts, unless the user set the number of threads."""
    threads = os.environ.get(THREADS[0]) or str(max(1, cores() // workers))
    ours = {name: threads for name in THREADS if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextlib.contextmanager
def ended_with_us(ours: dict[str, int]) -> Iterator[None]:
    """End every process that the block started, however the block ends: SIGTERM first, SIGKILL after GRACE seconds."""
    try:
        yield
    finally:
        for process in ours.values():
            os.kill(process, signal.SIGTERM)
        end = time.monotonic() + GRACE
        while any(alive(process) for process in ours.values()) and time.monotonic() < end:
            time.sleep(EVERY)
        for process in [p for p in ours.values() if alive(p)]:
            os.kill(process, signal.SIGKILL)
            reap(process)


def alive(process: int) -> bool:
    """Return whether a child process is running; a child that has ended is reaped."""
    try:
        return os.waitpid(process, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def reap(process: int) -> None:
    """Wait for the end of a child process."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, 0)


@dataclass(frozen=True)
class Ray:
    """Tasks of a Ray cluster: one per run, each in a process of its own on some node.

    address     of a running cluster (`auto`, `10.0.0.1:6379`); None starts one on this machine
    cpus, gpus  that a run takes of a node, also fractions: with 0.5 GPUs two runs share one
    retries     how often a run is started again, on another node, when its process or node is lost
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3

    def __call__(self, todo: Sequence[Run], report: Report) -> None:
        """Carry out the runs, as many at a time as the nodes have room for."""
        with connected(self.address) as ray:
            task = self.task(ray, execute_on_node)
            pending = {task.remote(str(run.folder.resolve())): run for run in todo}
            try:
                while pending:
                    for done in ray.wait(list(pending), timeout=0.5)[0]:
                        report(pending.pop(done), task_error(ray, done))
                    report(None, None)
            finally:
                for one in pending:
                    ray.cancel(one, force=False)  # an interrupt: the run records that it was cancelled
                if pending:
                    ray.wait(list(pending), num_returns=len(pending), timeout=GRACE)

    def each_model(self, jobs: Sequence[nxn_workers.ScoringJob]) -> Iterator[str]:
        """Carry out the jobs of an N×N matrix, a task for each model; yield the source of each that is done.

        Raises:
            MuError: The error of a job, or its node was lost too often. The nodes must see the workspace at the same path.
        """
        with connected(self.address) as ray:
            task = self.task(ray, nxn_workers.carry_out)
            pending = [task.remote(job) for job in jobs]
            try:
                while pending:
                    done, pending = ray.wait(pending)
                    try:
                        source = ray.get(done[0])
                    except ray.exceptions.RayError:
                        raise MuError(str(task_error(ray, done[0]))) from None
                    yield source
            finally:
                for one in pending:
                    ray.cancel(one, force=False)

    def task(self, ray: Any, function: Callable[..., Any]) -> Any:
        """Return a function as a task; one per process, so that memory and GPU are free when a run ends.

        Raises:
            UsageError: No node has the resources of a run; Ray would wait for one without end.
        """
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(n.get("CPU", 0) >= self.cpus and n.get("GPU", 0) >= self.gpus for n in nodes):
            most = {kind: max((n.get(kind, 0) for n in nodes), default=0) for kind in ("CPU", "GPU")}
            raise UsageError(
                f"no node has {self.cpus:g} CPUs and {self.gpus:g} GPUs for a run; "
                f"the largest have {most['CPU']:g} and {most['GPU']:g}.",
                hint="Ask for less with --cpus and --gpus; with 0.5 GPUs two runs share one.",
            )
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": self.retries, "max_calls": 1}
        return ray.remote(**options)(function)


def task_error(ray: Any, done: Any) -> str | None:
    """Return the error of a finished task; None if its run recorded its own end."""
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        return str(error.cause) or type(error.cause).__name__
    except ray.exceptions.RayError as error:
        return f"Ray gave up: {str(error).strip().splitlines()[0]}"


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Yield the package ray, connected while the block runs.

    Raises:
        UnavailableError: ray is not installed.
        MuError: No cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # Ray's coming default, without its warning
    try:
        import ray
    except ModuleNotFoundError:
        raise missing_extra("ray", "ray") from None
    if ray.is_initialized():
        raise MuError(
            "this process is already connected to a Ray cluster.", hint="Call ray.shutdown() first."
        )
    before = signal.getsignal(signal.SIGTERM)
    # Ray reports lost nodes on stdout, which is for data.
    with contextlib.redirect_stdout(sys.stderr):
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if address is None:
                ray.init(address="local", num_cpus=cores(), include_dashboard=False, **quiet)
            else:
                ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise MuError(
                f"no Ray cluster answers at {address or 'this machine'}: {str(error).strip().splitlines()[0]}",
                hint="Start one with: ray start --head\nand name it with: --address HOST:PORT",
            ) from error
        try:
            signal.signal(signal.SIGTERM, before)  # Ray installs a handler that ends without cleaning up
            yield ray
        finally:
            ray.shutdown()


def execute_on_node(folder: str) -> str | None:
    """Carry out the run in `folder` in this Ray process; return why it could not be, or None."""
    path = Path(folder)
    if not (path / "config.yaml").is_file():
        return (
            f"the node {socket.gethostname()} does not see {folder}: the workspace must be on a file system "
            "that all nodes share, at the same path"
        )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run = Run(path.name, path)
    while True:
        try:
            worker.execute(run, from_queue=True)
            return None
        except worker.Withdrawn as error:
            return error.what
        except MuError as error:
            # Another process executes it; or did, on a lost node whose lock is not released yet.
            if not run_store.held(run) or silent(run) > LOST:
                return error.what
        time.sleep(1.0)


def silent(run: Run) -> float:
    """Return the seconds since the last heartbeat of a run."""
    try:
        return time.time() - (run.folder / "heartbeat").stat().st_mtime
    except FileNotFoundError:
        return 0.0

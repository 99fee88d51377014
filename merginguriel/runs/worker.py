"""Execution of a run: its lock, heartbeat and events, and how it is paused, cancelled or detached."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from merginguriel import files, threads
from merginguriel.errors import MuError, UsageError, as_mu_error
from merginguriel.files import Progress
from merginguriel.models import remote_code
from merginguriel.version import code

from . import resources, run_store
from .run_store import Events, Run

if TYPE_CHECKING:
    import numpy as np

    from merginguriel.config.schema import Config
    from merginguriel.knowledge.parse.rows import ResultRow
    from merginguriel.workspace import Workspace

BEAT = 1.0  # seconds between two heartbeats
INTERRUPTED = "interrupted"  # note of a run that a signal ended, and no request
PATIENCE = 3.0  # seconds after which a step that reports no progress is interrupted to cancel it


class Withdrawn(MuError):
    """A queued run that was cancelled or paused before its turn."""


class Stopped(BaseException):
    """Request to stop the run: `what` is cancel or pause. Not an Exception, so that no handler on the way catches it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Outcome:
    """Result of a kind of run; the worker writes it into the run's folder.

    result  for result.json
    rows    for rows.csv
    ids     [n] of the test items
    groups  [n] of the test items
    arms    name → bool [n], which items were answered correctly; an array each in items.npz
    """

    result: dict[str, Any]
    rows: Sequence[ResultRow] = ()
    ids: Sequence[str] = ()
    groups: Sequence[str] = ()
    arms: dict[str, np.ndarray] = field(default_factory=dict)


class Tell:
    """Reporter of a run's progress. The run may be paused between two steps, and cancelled in `progress`."""

    def __init__(self, run: Run, show: Progress | None = None) -> None:
        self.run, self.show = run, show
        self.events = Events(run.folder)
        self.now = ""
        self.written = 0.0

    def step(self, text: str) -> None:
        """Begin a step; the one before is done and is not repeated."""
        self.heed(("cancel", "pause"))
        self.now = text
        self.events.add("step", text=text)
        self.log(text)
        self.progress(0, 1, "")

    def progress(self, done: float, total: float, text: str) -> None:
        """Report the progress of the step; with `total` 0 the text is a note. Usable as any on_progress."""
        if not total:
            self.note(text)
            return
        if time.monotonic() - self.written > 0.5 or not done:
            self.written = time.monotonic()
            self.heed(("cancel",))
            beat = {"step": self.now, "done": done, "total": total, "text": text, "time": time.time()}
            with contextlib.suppress(OSError):
                (self.run.folder / "heartbeat").write_text(json.dumps(beat), encoding="utf-8")
        if self.show:
            self.show(done, total, f"{self.now}  {text}".strip())

    __call__ = progress

    def metric(self, name: str, value: float) -> None:
        """Record the value of a metric."""
        self.events.add("metric", name=name, value=value)
        self.log(f"{name} {value:.4f}")

    def note(self, text: str) -> None:
        """Record a note."""
        self.events.add("note", text=text)
        self.log(text)
        if self.show:
            self.show(0, 0, text)

    def heed(self, words: tuple[str, ...]) -> None:
        """Raise Stopped if one of these words was requested."""
        request = run_store.requested(self.run)
        if request in words:
            raise Stopped(request)

    def log(self, text: str) -> None:
        """Write a line to log.txt, which also receives stdout and stderr of a detached run."""
        with contextlib.suppress(OSError), (self.run.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{run_store.now()}  {text}\n")


def execute(run: Run, show: Progress | None = None, *, held: bool = False, from_queue: bool = False) -> str:
    """Carry the run out in this process.

    A finished run is left as it is, unless its model is to be written and is missing. Steps that are done are not repeated.

    Args:
        held: Whether this process was given the descriptor of the lock.
        from_queue: Whether the run is one of many that wait, as for `start`.

    Returns:
        The state that the run ends in: finished, paused or cancelled.

    Raises:
        MuError: Another process executes the run. Any error of the run itself is recorded and raised.
    """
    with contextlib.nullcontext() if held else run_store.claimed(run):
        run = Run(run.id, run.folder)  # read again: another process may have asked for its model
        if over(run):
            return "finished"
        if from_queue:
            refuse_withdrawn(run)
        with contextlib.suppress(OSError):
            (run.folder / "lock").write_text(f"{os.getpid()} {socket.gethostname()}\n", encoding="utf-8")
        if not held and not from_queue:
            (run.folder / "request").unlink(missing_ok=True)
        events, started = Events(run.folder), time.monotonic()
        events.add("started", pid=os.getpid(), host=socket.gethostname(), code=code())
        tell = Tell(run, show)
        try:
            with terminable(), beating(run), remote_code.trust(run.config.trust_remote_code):
                outcome = kind_of(run)(run, run.space, tell)
                again = Run(run.id, run.folder)
                if (
                    again.config.keep and not run.config.keep
                ):  # requested meanwhile; only the model is left to write
                    outcome = kind_of(run)(again, run.space, tell)
                write(run, outcome)
        except Stopped as stop:
            by_signal = {} if run_store.requested(run) == stop.what else {"note": INTERRUPTED}
            return ended(run, {"cancel": "cancelled", "pause": "paused"}[stop.what], started, **by_signal)
        except KeyboardInterrupt:
            ended(run, "cancelled", started, note=INTERRUPTED)
            raise
        except MuError as error:
            failed(run, error.render(), started)
            raise
        except BaseException as error:
            known = as_mu_error(error)
            failed(run, known.render() if known else f"{type(error).__name__}: {error}", started)
            raise
        finally:
            with contextlib.suppress(OSError):
                (run.folder / "lock").write_text("", encoding="utf-8")
        return ended(run, "finished", started, rows=len(outcome.rows))


def kind_of(run: Run) -> Callable[[Run, Any, Tell], Outcome]:
    """Return the function that carries out runs of this kind."""
    name = run.config.kind
    try:
        return importlib.import_module(f"{__package__}.kinds.{name}").run
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.kinds.{name}":
            raise
        raise UsageError(f"this version cannot carry out runs of kind {name}.") from error


def ended(run: Run, event: str, started: float, **more: Any) -> str:
    """Record the end of a run, and return the event."""
    seconds = round(time.monotonic() - started, 2)
    Events(run.folder).add(event, seconds=seconds, **resources.used(), **more)
    (run.folder / "request").unlink(missing_ok=True)
    return event


def failed(run: Run, text: str, started: float) -> None:
    """Record why a run failed. On a full disk this may fail too: the run then counts as dead."""
    with contextlib.suppress(MuError, OSError):
        Tell(run).log(text)
        ended(run, "failed", started, error=text)


def write(run: Run, outcome: Outcome) -> None:
    """Write the outcome into the run's folder; it counts once the event `finished` is written."""
    from merginguriel.knowledge.parse.rows import COLUMNS, row_cells
    from merginguriel.study import item_file

    text = files.csv_text([COLUMNS, *(row_cells(row).values() for row in outcome.rows)])
    files.write_text(run.folder / "rows.csv", text)
    if outcome.arms:
        item_file.write(run.folder / "items.npz", outcome.ids, outcome.groups, outcome.arms)
    result = {"run": run.id, **outcome.result}
    files.write_text(run.folder / "result.json", json.dumps(result, ensure_ascii=False, indent=2) + "\n")


@contextlib.contextmanager
def beating(run: Run) -> Iterator[None]:
    """Touch the heartbeat while the block runs, and pass on a request to cancel that comes in the middle of a step."""
    over = threading.Event()
    path = run.folder / "heartbeat"

    def beat() -> None:
        unheard = 0.0
        while not over.wait(BEAT):
            with contextlib.suppress(OSError):
                path.touch()
            if in_main and run_store.requested(run) == "cancel":
                unheard += BEAT
                if PATIENCE <= unheard < PATIENCE + BEAT:  # once, so that the cleanup is not interrupted
                    os.kill(os.getpid(), signal.SIGTERM)

    in_main = threading.current_thread() is threading.main_thread()
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    with contextlib.suppress(OSError):
        path.touch()
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM cancel the run while the block runs, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_IGN)  # let the cleanup finish
        raise Stopped("cancel")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def over(run: Run) -> bool:
    """Return whether the run has finished, with its model written if it is to be kept."""
    keeps = run.config.keep or run.config.kind in ("iterate", "embed")
    return run_store.last_event(run_store.events(run))["event"] == "finished" and not (
        keeps and lacks_model(run)
    )


def lacks_model(run: Run) -> bool:
    """Return whether the model of a finished run is missing: never written, or removed."""
    path = run_store.result(run).get("path")
    return not path or not (run.space.root / path).is_dir()


def refuse_withdrawn(run: Run) -> None:
    """Raise Withdrawn if the run was cancelled or paused while it waited."""
    last = run_store.last_event(run_store.events(run))
    if last["event"] in ("cancelled", "paused") and last.get("note") != INTERRUPTED:
        raise Withdrawn(f"it was {last['event']}", hint=f"Continue with: mu runs resume {run.id}")


def start(run: Run, *, from_queue: bool = False, variables: Mapping[str, str] | None = None) -> int:
    """Carry the run out in a process of its own, which outlives this one.

    The new process is given the lock, so that the run counts as running from this moment on.

    Args:
        from_queue: Whether it waited for its turn.
        variables: Environment variables of the process, beside those of this one.

    Returns:
        The pid.

    Raises:
        Withdrawn: It waited, and was cancelled or paused meanwhile.
        MuError: Another process executes it.
    """
    with run_store.claimed(run) as lock:
        if over(Run(run.id, run.folder)):
            raise UsageError(f"{run.id} has finished.", hint=f"See: mu runs show {run.id}")
        if from_queue:
            refuse_withdrawn(run)
        else:  # later requests are for the new process
            (run.folder / "request").unlink(missing_ok=True)
        with (run.folder / "log.txt").open("ab") as log:
            words = [sys.executable, "-m", f"{__package__}.worker", str(run.folder.resolve())]
            given = () if lock is None else (lock,)
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=given,
                env={**threads.environment(), **(variables or {})},
            )  # fmt: skip
        with contextlib.suppress(OSError):
            (run.folder / "lock").write_text(f"{process.pid} {socket.gethostname()}\n", encoding="utf-8")
    return process.pid


def carry_out(space: Workspace, config: Config, show: Progress | None = None) -> Run:
    """Carry out the run of a configuration in this process, unless it has finished.

    Raises:
        MuError: As `execute`; or the run was cancelled or paused.
    """
    run = run_store.create(space, config)
    state = execute(run, show)
    if state != "finished":
        raise MuError(f"the run {run.id} was {state}.", hint="The same command continues where it stopped.")
    return run


def launch(space: Workspace, config: Config) -> tuple[Run, int | None]:
    """Start the run of a configuration in a process of its own; return it and the pid, None if it has finished."""
    run = run_store.create(space, config)
    return run, None if run_store.state(run) == "finished" else start(run)


def steer(run: Run, what: str) -> dict[str, Any]:
    """Ask a run to `cancel`, `pause` or `resume`; a resumed run is started in a process of its own.

    Returns:
        run, state, asked (whether a running process will act on it) and, of a resumed run, pid.

    Raises:
        UsageError: As run_store.request.
    """
    before = run_store.state(run)
    now = run_store.request(run, what)
    if what == "resume":
        return {"run": run.id, "state": "running", "asked": False, "pid": start(run)}
    return {"run": run.id, "state": now, "asked": before == "running"}


def in_turn(runs: Sequence[Run]) -> int:
    """Carry out runs one after the other, each in a process of its own; return 1 if one failed, else 0."""
    code = 0
    for run in runs:
        try:
            code |= os.waitpid(start(run, from_queue=True), 0)[1] != 0
            if run_store.state(run) == "queued":
                failed(run, f"its process could not begin: see {run.folder / 'log.txt'}", time.monotonic())
        except MuError as error:
            print(f"mu: {error.render()}", file=sys.stderr)
            code = 1
    return code


def main() -> None:
    """Carry out the run in the folder given as argument, or several in turn, in a detached process."""
    runs = [Run(Path(word).name, Path(word)) for word in sys.argv[1:]]
    if len(runs) > 1:
        sys.exit(in_turn(runs))
    try:
        execute(runs[0], held=True)
    except MuError as error:
        print(f"mu: {error.render()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

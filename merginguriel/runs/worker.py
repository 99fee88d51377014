"""How is a run carried out: its lock, its heartbeat, its events, and how it is paused, cancelled or left running?"""

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from merginguriel import files, threads
from merginguriel.errors import MuError, UsageError
from merginguriel.files import Progress
from merginguriel.version import code

from . import run_store
from .run_store import Events, Run

if TYPE_CHECKING:
    import numpy as np

    from merginguriel.config.schema import Config
    from merginguriel.knowledge.parse.rows import ResultRow
    from merginguriel.workspace import Workspace

BEAT = 1.0  # seconds between two heartbeats
INTERRUPTED = "interrupted"  # note of a run that a signal ended: nobody has said that it is not wanted
PATIENCE = 3.0  # seconds after which a step that says nothing of itself is interrupted to be cancelled


class Withdrawn(MuError):
    """A run that waited for its turn was cancelled or paused before it came."""


class Stopped(BaseException):
    """The run was asked to stop: `what` is cancel or pause. No Exception, so that nothing on the way catches it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Outcome:
    """What a kind of run hands back; the worker writes it into the run's folder, whole.

    result  for result.json
    rows    for rows.csv
    ids     [n] of the test items, groups [n] of them, arms: name → bool [n], was the item answered rightly; an array
            each in items.npz
    """

    result: dict[str, Any]
    rows: Sequence[ResultRow] = ()
    ids: Sequence[str] = ()
    groups: Sequence[str] = ()
    arms: dict[str, np.ndarray] = field(default_factory=dict)


class Tell:
    """How a kind says how far it is. Between two steps it may be paused, in `progress` cancelled."""

    def __init__(self, run: Run, show: Progress | None = None) -> None:
        self.run, self.show = run, show
        self.events = Events(run.folder)
        self.now = ""
        self.told = 0.0

    def step(self, text: str) -> None:
        """A new step begins: the one before is done and will not be done again."""
        self.heed(("cancel", "pause"))
        self.now = text
        self.events.add("step", text=text)
        self.log(text)
        self.progress(0, 1, "")

    def progress(self, done: float, total: float, text: str) -> None:
        """How far the step is; `total` 0 makes the text a note. Fits every on_progress of this program."""
        if not total:
            self.note(text)
            return
        if time.monotonic() - self.told > 0.5 or not done:
            self.told = time.monotonic()
            self.heed(("cancel",))
            said = {"step": self.now, "done": done, "total": total, "text": text, "time": time.time()}
            with contextlib.suppress(OSError):
                (self.run.folder / "heartbeat").write_text(json.dumps(said), encoding="utf-8")
        if self.show:
            self.show(done, total, f"{self.now}  {text}".strip())

    __call__ = progress

    def metric(self, name: str, value: float) -> None:
        self.events.add("metric", name=name, value=value)
        self.log(f"{name} {value:.4f}")

    def note(self, text: str) -> None:
        self.events.add("note", text=text)
        self.log(text)
        if self.show:
            self.show(0, 0, text)

    def heed(self, words: tuple[str, ...]) -> None:
        asked = run_store.requested(self.run)
        if asked in words:
            raise Stopped(asked)

    def log(self, text: str) -> None:
        """Into log.txt, where a detached run's stdout and stderr go too."""
        with contextlib.suppress(OSError), (self.run.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{run_store.now()}  {text}\n")


def execute(run: Run, show: Progress | None = None, *, held: bool = False, from_queue: bool = False) -> str:
    """Carry the run out in this process; returns the state that it ends in: finished, paused or cancelled.

    show        is told how far it is, as a progress bar wants it
    held        the lock is held already, by a descriptor that this process was given
    from_queue  it is one of many that wait: as for `start`

    A finished run is left as it is, unless its model is to be kept and is not there. Steps that were done before are
    not done again. Raises what went wrong, after it was written down; MuError if another process is at work on it.
    """
    with contextlib.nullcontext() if held else run_store.claimed(run):
        run = Run(run.id, run.folder)  # its configuration as it is now: another may have asked for its model
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
            with terminable(), beating(run):
                made = kind_of(run)(run, run.space, tell)
                asked = Run(run.id, run.folder)
                if asked.config.keep and not run.config.keep:  # meanwhile; all but the writing is done
                    made = kind_of(run)(asked, run.space, tell)
                write(run, made)
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
            failed(run, f"{type(error).__name__}: {error}", started)
            raise
        return ended(run, "finished", started, rows=len(made.rows))


def kind_of(run: Run) -> Callable[[Run, Any, Tell], Outcome]:
    name = run.config.kind
    try:
        return importlib.import_module(f"{__package__}.kinds.{name}").run
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.kinds.{name}":
            raise
        raise UsageError(f"runs of kind {name} cannot be carried out by this version.") from error


def ended(run: Run, event: str, started: float, **more: Any) -> str:
    Events(run.folder).add(
        event,
        seconds=round(time.monotonic() - started, 2),
        peak_memory_mb=peak_memory(),
        **gpu(),
        **more,
    )
    (run.folder / "request").unlink(missing_ok=True)
    return event


def peak_memory() -> float | None:
    """The most that this process has held, in MB; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(usage / (1 << 20) if sys.platform == "darwin" else usage / 1024, 1)


def gpu() -> dict[str, Any]:
    """Which GPU the run used and the most that it held there, in MB; nothing without one."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    held = round(torch.cuda.max_memory_allocated() / (1 << 20), 1)
    return {"gpu": torch.cuda.get_device_name(), "gpu_peak_memory_mb": held}


def failed(run: Run, text: str, started: float) -> None:
    """Write down why. On a full disk that may fail too: the run is then seen as dead, which it is."""
    with contextlib.suppress(MuError, OSError):
        Tell(run).log(text)
        ended(run, "failed", started, error=text)


def write(run: Run, made: Outcome) -> None:
    """Put what was found into the folder; it counts when the event `finished` has been written."""
    import csv
    import io

    from merginguriel.knowledge.parse.rows import COLUMNS, row_cells
    from merginguriel.study import item_file

    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row_cells(row) for row in made.rows)
    files.write_text(run.folder / "rows.csv", text.getvalue())
    if made.arms:
        item_file.write(run.folder / "items.npz", made.ids, made.groups, made.arms)
    result = {"run": run.id, **made.result}
    files.write_text(run.folder / "result.json", json.dumps(result, ensure_ascii=False, indent=2) + "\n")


@contextlib.contextmanager
def beating(run: Run) -> Iterator[None]:
    """Touch the heartbeat while the block runs, and pass on a request to cancel that came in the middle of a step."""
    over = threading.Event()
    path = run.folder / "heartbeat"

    def beat() -> None:
        unheard = 0.0
        while not over.wait(BEAT):
            with contextlib.suppress(OSError):
                path.touch()
            if in_main and run_store.requested(run) == "cancel":
                unheard += BEAT
                if PATIENCE <= unheard < PATIENCE + BEAT:  # once: the ending is not to be interrupted
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
    """SIGTERM cancels the run while the block runs, where this process's signals are ours to set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_IGN)  # what is being written is cleared away in peace
        raise Stopped("cancel")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def last_event(run: Run) -> dict[str, Any]:
    """The last event that says what state the run is in."""
    found = reversed(run_store.events(run))
    return next(
        (one for one in found if one["event"] not in ("metric", "note", "step")), {"event": "created"}
    )


def over(run: Run) -> bool:
    """Has the run finished, with its model written if it is to be kept?"""
    return last_event(run)["event"] == "finished" and not (run.config.keep and lacks_model(run))


def lacks_model(run: Run) -> bool:
    """Is the model of a finished run not there, because it was not kept or is gone?"""
    path = run_store.result(run).get("path")
    return not path or not (run.space.root / path).is_dir()


def refuse_withdrawn(run: Run) -> None:
    last = last_event(run)
    if last["event"] in ("cancelled", "paused") and last.get("note") != INTERRUPTED:
        raise Withdrawn(f"it was {last['event']}", mend=f"It goes on with: mu runs resume {run.id}")


def start(run: Run, *, from_queue: bool = False) -> int:
    """Carry the run out in a process of its own, which outlives this one; returns its pid.

    from_queue  it waited for its turn: Withdrawn is raised if it was asked to be cancelled or paused by then

    That process is given the lock, so that the run is at work from this moment on. Raises MuError if it is already.
    """
    with run_store.claimed(run) as lock:
        if over(Run(run.id, run.folder)):
            raise UsageError(f"{run.id} has finished.", mend=f"See: mu runs show {run.id}")
        if from_queue:
            refuse_withdrawn(run)
        else:  # what is asked from now on is meant for the new process
            (run.folder / "request").unlink(missing_ok=True)
        with (run.folder / "log.txt").open("ab") as log:
            words = [sys.executable, "-m", __name__, str(run.folder.resolve())]
            given = () if lock is None else (lock,)
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=given,
                env=threads.environment(),
            )
        with contextlib.suppress(OSError):
            (run.folder / "lock").write_text(f"{process.pid} {socket.gethostname()}\n", encoding="utf-8")
    return process.pid


def launch(space: Workspace, config: Config) -> tuple[Run, int | None]:
    """The run of this configuration, at work in a process of its own, and its pid; None for one that has finished."""
    run = run_store.create(space, config)
    return run, None if run_store.state(run) == "finished" else start(run)


def steer(run: Run, what: str) -> dict[str, Any]:
    """Ask for `cancel`, `pause` or `resume`, where a run that is resumed is started in a process of its own.

    Returns run, state, asked (it is at work, and will hear of it) and, of a resumed one, pid. Raises as runs.request does.
    """
    before = run_store.state(run)
    now = run_store.request(run, what)
    if what == "resume":
        return {"run": run.id, "state": "running", "asked": False, "pid": start(run)}
    return {"run": run.id, "state": now, "asked": before == "running"}


def main() -> None:
    """What a detached process does: carry out the run in the folder that it is given."""
    folder = Path(sys.argv[1])
    run = Run(folder.name, folder)
    try:
        execute(run, held=True)
    except MuError as error:
        print(f"mu: {error.render()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

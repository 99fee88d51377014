"""Runs on disk: their folders, states, locks and events.

runs/<id>/  config.yaml, provenance.yaml   configuration and origin, written once
            events.jsonl                   events, one JSON object a line, append-only
            log.txt, heartbeat, lock       of the process that executes it; the system frees the lock when it ends
            result.json, rows.csv, …       results, once it has finished

The id depends on the configuration alone: the same configuration is the same run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from merginguriel import files, workspace
from merginguriel.config import run_config as configs
from merginguriel.config.schema import EMBEDDERS, Config
from merginguriel.errors import MuError, UsageError
from merginguriel.text import suggest
from merginguriel.workspace import Workspace

from . import provenance, resolve

STATES = ("queued", "running", "paused", "finished", "failed", "cancelled", "dead")
ENDED = ("finished", "failed", "cancelled", "paused")  # events after which no process executes the run
WAITING = ("created", "reopened", "resumed")  # events after which a process may start
PATIENCE = 60.0  # seconds that a lock is waited for which no executing process holds
SILENT = 60.0  # seconds without a heartbeat after which a run counts as dead where there are no locks


@dataclass(frozen=True)
class Run:
    """One run: its id and its folder."""

    id: str
    folder: Path

    @cached_property
    def config(self) -> Config:
        """The configuration, from config.yaml."""
        return configs.load(self.folder / "config.yaml")

    @cached_property
    def space(self) -> Workspace:
        """The workspace that the run belongs to."""
        return workspace.find(self.folder)


def run_id(config: Config) -> str:
    """Return the id of a configuration's run: `merge-sw-KE-ties-1f2e3d4c`."""
    method = config.method
    if method == "linear" and config.similarity:
        method = "similarity"
    parts = [config.kind, config.target or re.sub(r"[^\w.+-]", "-", config.task or ""), method]
    return "-".join([*(part for part in parts if part), configs.digest(config)[:8]])


def create(space: Workspace, config: Config) -> Run:
    """Return the run of a configuration, with its folder made on the first call.

    Raises:
        MuError: The folder has another configuration than its name says.
    """
    config = resolve.resolved(config, workspace.writable(space))
    run = Run(run_id(config), space.runs / run_id(config))
    while not (run.folder / "config.yaml").is_file():
        try:
            with files.new_folder(run.folder) as folder:
                files.write_text(folder / "config.yaml", configs.dump(config))
                files.write_text(folder / "provenance.yaml", provenance.text(config))
                (folder / "lock").touch()
                table = configs.as_table(config)
                Events(folder).add("created", config=table, digest=configs.digest(config))
        except files.BeingWritten:
            # The other process makes the same run, or removes what a killed one left.
            files.wait_for_writer(run.folder, lambda: None)
        except MuError:
            if not (run.folder / "config.yaml").is_file():
                raise
    if configs.digest(run.config) != configs.digest(config):
        raise MuError(
            "the configuration does not match the name of its run.",
            where=str(run.folder / "config.yaml"),
            hint="Somebody edited it. Remove the folder; a changed configuration makes a new run.",
        )
    if config.keep and not run.config.keep:
        files.write_text(run.folder / "config.yaml", configs.dump(config))
        run = Run(run.id, run.folder)
        if state(run) == "finished":
            Events(run.folder).add("reopened", note="keep its model")
    return run


def get(space: Workspace, id: str) -> Run:
    """Return the run with this id, also an archived one, or the only one whose id begins or ends with it.

    Raises:
        UsageError: There is none, or more than one; it names the nearest.
    """
    if id and Path(id).name == id and (space.run_folder(id) / "config.yaml").is_file():
        return Run(id, space.run_folder(id))
    known = [run.id for run in listed(space)]
    found = [name for name in known if id and (name.startswith(id) or name.endswith(id))]
    if len(found) == 1:
        return Run(found[0], space.runs / found[0])
    near = found[:5] or suggest.close(id, known, cutoff=0.5)
    hint = suggest.did_you_mean(near) or "See: mu runs list"
    what = f"{len(found)} runs match {id!r}." if found else f"unknown run {id!r}."
    raise UsageError(what, hint=hint)


def listed(space: Workspace) -> list[Run]:
    """Return every run of the workspace, by id."""
    try:
        with os.scandir(space.runs) as found:
            names = sorted(e.name for e in found if not e.name.startswith(".") and e.is_dir())
    except FileNotFoundError:
        return []
    return [Run(name, space.runs / name) for name in names if (space.runs / name / "events.jsonl").is_file()]


def state(run: Run) -> str:
    """Return one of STATES. A run whose process ended without a last event is dead: its lock is free."""
    return state_of(run, events(run))


def state_of(run: Run, found: list[dict[str, Any]]) -> str:
    """Return the state of a run whose events are read already."""
    if last_event(found)["event"] == "finished":
        return "finished"  # its process may still be ending
    return "running" if held(run) else at_rest(found)


def at_rest(found: list[dict[str, Any]]) -> str:
    """Return the state of a run that no process executes."""
    last = last_event(found)["event"]
    return last if last in ENDED else "queued" if last in WAITING else "dead"


def last_event(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the last event that determines the state of a run."""
    deciding = (one for one in reversed(found) if one["event"] not in ("metric", "note", "step"))
    return next(deciding, {"event": "created"})


def held(run: Run) -> bool:
    """Return whether a process is executing this run."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            return time.time() - (run.folder / "heartbeat").stat().st_mtime < SILENT
        return False
    import fcntl

    try:
        descriptor = os.open(run.folder / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def claimed(run: Run) -> Iterator[int | None]:
    """Hold the run's lock while the block runs; yields its descriptor.

    A process that checks, steers or ends the run holds the lock for a moment, and is waited for.

    Raises:
        MuError: A process executes the run, or holds the lock for longer than PATIENCE.
    """
    path = run.folder / "lock"
    path.touch()
    deadline = time.monotonic() + PATIENCE
    with contextlib.ExitStack() as stack:
        while True:
            try:
                descriptor = stack.enter_context(files.locked(path))
                break
            except BlockingIOError:
                if time.monotonic() > deadline or (held(run) and executed(run)):
                    named = holder(run)
                    who = f"process {named[0]} on {named[1]}" if named else "unknown"
                    raise MuError(
                        f"another process executes this run: {who}.",
                        where=str(run.folder),
                        hint=f"Watch it with: mu runs watch {run.id}\nor end it with: mu runs cancel {run.id}",
                    ) from None
                time.sleep(0.02)
        yield descriptor


def holder(run: Run) -> tuple[int, str] | None:
    """Return the process and the machine that the run's lock names; None where it names none, as after a regular end."""
    try:
        process, machine = (run.folder / "lock").read_text(encoding="utf-8").split()
        return int(process), machine
    except (OSError, ValueError):
        return None


def executed(run: Run) -> bool:
    """Return whether the process that the lock names may be alive; on another machine, it always may."""
    named = holder(run)
    if named is None or named[1] != socket.gethostname():
        return named is not None
    try:
        os.kill(named[0], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


ALLOWED = {  # request → states in which it has an effect
    "cancel": ("queued", "running", "paused", "failed", "dead"),
    "pause": ("queued", "running"),
    "resume": ("queued", "paused", "failed", "cancelled", "dead"),
}


def request(run: Run, what: str) -> str:
    """Ask a run to `cancel`, `pause` or `resume`.

    A running process notices within a second, and pauses after its step.

    Returns:
        The state now.

    Raises:
        UsageError: The run's state does not allow it.
    """
    now = state(run)
    if run.folder.parent != run.space.runs:
        raise UsageError(f"cannot {what} {run.id}: it is archived.")
    if now not in ALLOWED[what]:
        raise UsageError(f"cannot {what} {run.id}: it is {now}.")
    if now == "running":
        files.write_text(run.folder / "request", what)
        return now
    with claimed(run):
        (run.folder / "request").unlink(missing_ok=True)
        if what != "resume" or now != "queued":
            Events(run.folder).add({"cancel": "cancelled", "pause": "paused", "resume": "resumed"}[what])
    return state(run)


def requested(run: Run) -> str | None:
    """Return what was asked of a run, or None."""
    try:
        return (run.folder / "request").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ValueError):
        return None


class Events:
    """Writer of events.jsonl; each line is one write."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"

    def add(self, event: str, **more: Any) -> None:
        """Append one event with the time. Raises MuError if the disk is full."""
        line = json.dumps({"time": now(), "event": event, **more}, ensure_ascii=False, default=str)
        try:
            with self.path.open("ab+", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                torn = False
                if size:
                    file.seek(size - 1)
                    torn = file.read(1) != b"\n"  # a killed writer's last line
                data = f"{chr(10) if torn else ''}{line}\n".encode()
                if file.write(data) != len(data):
                    raise OSError(28, "No space left on device")
                os.fsync(file.fileno())
        except OSError as error:
            raise files.os_error(error, self.path) from error


def now() -> str:
    """Return the time in UTC, in milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def events(run: Run) -> list[dict[str, Any]]:
    """Return all events, oldest first. A half-written line is skipped."""
    try:
        lines = (run.folder / "events.jsonl").read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [event for line in lines if (event := event_of(line))]


def event_of(line: str | bytes) -> dict[str, Any] | None:
    """Return the event of a line of events.jsonl; None for one that a killed writer left half."""
    try:
        event = json.loads(line) if line else None
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def seconds(text: object) -> float | None:
    """Return an event's time in seconds since 1970; None if it has none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def worked(events: Iterable[Mapping[str, Any]]) -> float:
    """Return the seconds of work of all starts but one that is at work; of one that was killed, up to its last event."""
    total, began, last = 0.0, None, None
    for event in events:
        if event["event"] == "started":
            total += last - began if began is not None and last is not None else 0.0
            began = last = seconds(event.get("time"))
        elif event.get("seconds") is not None:
            total, began = total + float(event["seconds"]), None
        elif event["event"] != "note":
            last = seconds(event.get("time"))
    return total


def result(run: Run) -> dict[str, Any]:
    """Return the result of a finished run. Raises UsageError for one that has not finished."""
    path = run.folder / "result.json"
    if not path.is_file():
        raise UsageError(
            f"{run.id} has no result yet: it is {state(run)}.", hint=f"See: mu runs show {run.id}"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MuError(
            f"this result is damaged: {error}.",
            where=str(path),
            hint=f"Remove that folder and run it again: {run.folder}/config.yaml gives the same result.",
        ) from error


def outdated(run: Run) -> str | None:
    """Return what has changed since a run finished: its data, its base, or a model. None if nothing has.

    Reads the sentences and cached digests of the models; what was not recorded counts as unchanged.
    """
    from merginguriel.evaluation import predictions
    from merginguriel.tasks import pairs, parallel
    from merginguriel.tasks.registry import fingerprint

    found, config = result(run), run.config
    if config.kind == "compose":
        text = parallel.load(
            config.data or "home", *config.locales, seed=config.seed, size=config.compose.size
        )
        if found.get("data") not in (None, text.fingerprint()):
            return "the parallel text"
    if config.kind == "embed" and found["data"] != pairs.text_hash(pairs.read(Path(str(config.data)))):
        return "the pairs"
    if config.kind in EMBEDDERS:
        base = Path(str(config.base)).expanduser()
        same = not base.is_dir() or found.get("base_weights") in (None, predictions.fingerprint(base))
        return None if same else "the base model"
    study = resolve.study_of(config, run.space)
    if found.get("data") and config.target and found["data"] != fingerprint(study.data(config.target).test):
        return f"the test sentences of {config.target}"
    for name, before in (found.get("models") or {}).items():
        model = study.model(name)
        if not (model / "config.json").is_file():
            return f"the model of {name}, which is missing"
        if predictions.fingerprint(model) != before:
            return f"the model of {name}"
    return None

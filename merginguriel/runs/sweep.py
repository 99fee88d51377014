"""Sweeps: many runs from one file, of which those that have finished are not repeated.

sweeps/<name>-<digest>/  sweep.yaml   the file, as it was when the sweep was first started
                         runs.json    its runs: id, varied keys, configuration
                         lock         held by the process that carries the sweep out

Everything else is in the folders of the runs, so that an interrupted sweep can continue.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from merginguriel import files
from merginguriel.config import run_config as configs
from merginguriel.config import sweep_file
from merginguriel.errors import MuError, UsageError
from merginguriel.text.suggest import suggest
from merginguriel.workspace import Workspace, writable

from . import resolve, run_store, worker
from .run_store import Run

Executor = Callable[[Sequence[Run], Callable[[Run | None, str | None], None]], None]
# Called with runs ended, number of runs (0: the text is about a run that ended), text, seconds left if known.
Tell = Callable[[float, float, str, float | None], None]
ENDINGS = {
    "dead": "its process was killed, perhaps for lack of memory",
    "cancelled": "it was cancelled",
    "paused": "it was paused",
    "queued": "its process ended before it started",
    "running": "another process executes it",
}
LOOK_BACK = 50  # finished runs from which the time of one is estimated


@dataclass(frozen=True)
class Member:
    """One run of a sweep. varied: keys that distinguish it from the others; table: its configuration, in plain values."""

    id: str
    varied: dict[str, Any]
    table: dict[str, Any]

    @property
    def label(self) -> str:
        """The varied keys and values; the id if there are none."""
        return " ".join(f"{key}={sweep_file.shown(value)}" for key, value in self.varied.items()) or self.id


@dataclass(frozen=True)
class Sweep:
    """A sweep in a workspace. asked: number of runs in the file, of which some may be the same one."""

    space: Workspace
    name: str
    digest: str
    text: str
    members: tuple[Member, ...]
    asked: int

    @property
    def id(self) -> str:
        """The name and digest, which name its folder."""
        return f"{self.name}-{self.digest}"

    @property
    def folder(self) -> Path:
        """The folder of the sweep."""
        return home(self.space) / self.id

    def run(self, member: Member) -> Run:
        """Return the run of a member."""
        return Run(member.id, self.space.runs / member.id)


@dataclass(frozen=True)
class MemberState:
    """State of a member: one of run_store.STATES, or `new`. seconds: how long it took; begun: number of starts."""

    member: Member
    state: str
    seconds: float | None = None
    error: str | None = None
    value: float | None = None
    metric: str | None = None
    begun: int = 0


@dataclass(frozen=True)
class SweepResult:
    """Result of a sweep: runs known before, finished now, and not finished, with the reason."""

    known: int
    finished: int
    failed: tuple[tuple[Member, str], ...] = field(default=())


def home(space: Workspace) -> Path:
    """Return the folder of all sweeps."""
    return space.root / "sweeps"


def plan(space: Workspace, path: Path) -> Sweep:
    """Return the sweep of a file, without writing anything.

    Points that turn out to be the same run are one. A sweep that was started before keeps its runs of then: the models that
    a run can choose from are fixed when it is made.

    Raises:
        MuError: For a wrong key or value; it names key, file and line.
    """
    writable(space)
    file = sweep_file.read(path)
    found = [(point, *config_of(point, file)) for point in file.points()]
    found = [(point, resolve.placed(config, space), places) for point, config, places in found]
    # Keeping models does not change the runs, but a list of runs that was made without it does not record it.
    names = sorted({configs.digest(config) + " keep" * config.keep for _, config, _ in found})
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    begun = home(space) / f"{file.name}-{digest}"
    if (begun / "runs.json").is_file():
        return load(space, begun)
    members: dict[str, Member] = {}
    for point, config, places in found:
        with naming_point(point, file):
            whole = resolve.resolved(config, space, places)
        refuse_no_candidates(whole, file.path)
        id = run_store.run_id(whole)
        varied = {key: plain(value) for key, value in point.varied.items()}
        before = members.get(id)
        if before is None:
            members[id] = Member(id, varied, configs.as_table(whole))
        elif whole.keep:
            members[id] = replace(before, table={**before.table, "keep": True})
    return Sweep(space, file.name, digest, file.text, tuple(members.values()), len(found))


def config_of(
    point: sweep_file.SweepPoint, file: sweep_file.SweepFile
) -> tuple[configs.Config, dict[str, str]]:
    """Return the configuration of one point, and where its keys were given."""
    with naming_point(point, file):
        return configs.built(point.table, where=str(file.path), sets=(), folder=file.path.resolve().parent)


@contextlib.contextmanager
def naming_point(point: sweep_file.SweepPoint, file: sweep_file.SweepFile) -> Iterator[None]:
    """Add the point of the sweep to an error."""
    try:
        yield
    except MuError as error:
        run = f"In the run {point.label}." if point.varied else None
        hint = "\n".join(filter(None, (error.hint, run))) or None
        raise type(error)(error.what, where=error.where or str(file.path), hint=hint) from error


def refuse_no_candidates(config: configs.Config, path: Path) -> None:
    """Refuse a run without candidates, which would be another run as soon as a model is trained."""
    if config.kind == "merge" and not config.sources and not config.candidates:
        raise MuError(
            "no candidates to choose sources from: nothing is trained yet, and none are named.",
            where=str(path),
            hint="Name them under base, like `candidates: [de-DE, sv-SE, fr-FR]`: they are trained when needed.",
        )


def plain(value: Any) -> Any:
    """Return a value read from YAML as JSON holds it."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return str(value)


def load(space: Workspace, folder: Path) -> Sweep:
    """Return a sweep that was started before. Raises MuError if its list of runs is damaged."""
    path = folder / "runs.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        members = tuple(Member(one["run"], one["varied"], one["config"]) for one in table["runs"])
        text = (folder / "sweep.yaml").read_text(encoding="utf-8")
        return Sweep(space, table["name"], table["digest"], text, members, table["asked"])
    except FileNotFoundError:
        raise UsageError(f"no sweep in {space.display(folder)}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise MuError(
            f"this list of runs is damaged: {error}.",
            where=str(path),
            hint="Remove that folder and start the sweep again: finished runs are not repeated.",
        ) from error


def listed(space: Workspace) -> list[Sweep]:
    """Return every sweep of the workspace, the one started last first."""
    found = sorted(home(space).glob("*/runs.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [load(space, path.parent) for path in found]


def get(space: Workspace, name: str) -> Sweep:
    """Return the sweep called `name` or `name-digest`; of several, the last. Raises UsageError."""
    known = listed(space)
    found = [sweep for sweep in known if name in (sweep.id, sweep.name)]
    if found:
        return found[0]
    hint = suggest(name, [sweep.name for sweep in known], n=2)
    raise UsageError(f"unknown sweep {name!r}.", hint=hint or "List them with: mu sweep status")


def standings(sweep: Sweep) -> list[MemberState]:
    """Return the state of every member, in the order of the file."""
    return [standing(sweep, member) for member in sweep.members]


def standing(sweep: Sweep, member: Member) -> MemberState:
    """Return the state of one member."""
    run = sweep.run(member)
    if not (run.folder / "config.yaml").is_file():
        return MemberState(member, "new")
    happened = run_store.events(run)
    state = run_store.state_of(run, happened)
    if state == "finished" and member.table.get("keep") and worker.lacks_model(run):
        state = "queued"  # to write its model
    last: dict[str, Any] = next((event for event in reversed(happened) if event["event"] == state), {})
    begun = sum(event["event"] == "started" for event in happened)
    value, metric = main_value(run) if state == "finished" else (None, None)
    return MemberState(member, state, last.get("seconds"), last.get("error"), value, metric, begun)


def main_value(run: Run) -> tuple[float | None, str | None]:
    """Return value and metric of the run's first row, the merge's own score; None for runs without rows."""
    try:
        with (run.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file), {})
    except FileNotFoundError:
        return None, None
    try:
        return float(row["value"]), row.get("metric")
    except (KeyError, ValueError):
        return None, None


def expected_seconds(sweep: Sweep, found: Sequence[MemberState]) -> float | None:
    """Return the median seconds of one run: of this sweep, or else of runs of the same kind and study; None if none has finished."""
    own = [one.seconds for one in found if one.state == "finished" and one.seconds]
    if own:
        return statistics.median(own)
    if not sweep.members:
        return None
    keys = ("kind", "task", "base")
    alike = [sweep.members[0].table.get(key) for key in keys]
    seconds: list[float] = []
    for run in run_store.listed(sweep.space):
        last = (run_store.events(run) or [{}])[-1]
        if last.get("event") == "finished" and [getattr(run.config, key) for key in keys] == alike:
            seconds.append(float(last["seconds"]))
        if len(seconds) == LOOK_BACK:
            break
    return statistics.median(seconds) if seconds else None


def carry_out(
    sweep: Sweep, executor: Executor, *, at_once: int | None = None, tell: Tell | None = None
) -> SweepResult:
    """Carry out every run that has not finished; a failing one does not end the others.

    A sweep that was interrupted continues; failed, cancelled and dead runs are tried again.

    Args:
        executor: executors.Local(…) or executors.Ray(…).
        at_once: Number of runs at a time, for the estimate of the remaining time; None: not known.

    Raises:
        MuError: Another process carries this sweep out; it names the process.
    """
    tell = tell or (lambda done, total, text, left: None)
    with held(sweep) as sweep:
        for member in sweep.members:
            make(sweep, member)
        before = standings(sweep)
        todo = {one.member.id: one.member for one in before if one.state != "finished"}
        for one in before:
            if one.state in ("cancelled", "paused", "dead"):
                with contextlib.suppress(MuError):  # another process was faster
                    run_store.request(sweep.run(one.member), "resume")
        reasons: dict[str, str] = {}
        took = [one for one in [expected_seconds(sweep, before)] if one]
        ended, since = 0, time.monotonic()

        def report(run: Run | None, killed: str | None) -> None:
            nonlocal ended, since
            if run is not None:
                ended, since = ended + 1, time.monotonic()
                now = standing(sweep, todo[run.id])
                text = f"{now.member.label}: {now.state}"
                if now.state != "finished":
                    reasons[run.id] = first_line(now.error) or killed or ENDINGS.get(now.state, now.state)
                    text += f": {reasons[run.id]}"
                elif now.seconds is not None:
                    took[:0] = [now.seconds]
                    text += f" in {now.seconds:.0f} s"
                if now.begun > 1:
                    text += f", started {now.begun} times"
                if now.value is not None:
                    text += f", {now.metric} {now.value:.4f}"
                tell(0, 0, text, None)
            left = None
            if took and at_once:
                rounds = -(-(len(todo) - ended) // at_once)
                left = max(0.0, rounds * statistics.median(took[:LOOK_BACK]) - (time.monotonic() - since))
            bad = f", {len(reasons)} not finished" if reasons else ""
            # Failed runs do not count for the time of the others.
            good, all_good = ended - len(reasons), max(len(todo) - len(reasons), 1)
            tell(good, all_good, f"{ended} of {len(todo)} runs{bad}", left)

        if todo:
            executor([sweep.run(member) for member in todo.values()], report)
        failed = tuple((todo[id], reason) for id, reason in reasons.items())
        known = len(sweep.members) - len(todo)
        return SweepResult(known, len(todo) - len(failed), failed)


def make(sweep: Sweep, member: Member) -> None:
    """Make the folder of a member's run, if it is missing."""
    run = run_store.create(sweep.space, configs.from_table(member.table))
    if run.id != member.id:
        raise MuError(
            f"the run {member.id} of this sweep is {run.id} in this version of the program.",
            where=str(sweep.folder / "runs.json"),
            hint="Remove the sweep's folder and start it again: runs of the same configuration are not repeated.",
        )


def first_line(text: str | None) -> str | None:
    """Return the first line of a text; None for an empty one."""
    return text.strip().splitlines()[0] if text and text.strip() else None


@contextlib.contextmanager
def held(sweep: Sweep) -> Iterator[Sweep]:
    """Hold the lock of the sweep, and write its folder if it has none. Yields the sweep as it was started.

    Raises:
        MuError: Another process holds it; it names the process.
    """
    sweep.folder.mkdir(parents=True, exist_ok=True)
    lock = sweep.folder / "lock"
    lock.touch()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            # A process that only checks the lock holds it for microseconds.
            with contextlib.suppress(BlockingIOError):
                stack.enter_context(files.locked(lock))
                break
            time.sleep(0.05)
        else:
            pid, host, since = (lock.read_text(encoding="utf-8").split() + ["?"] * 3)[:3]
            raise MuError(
                f"the sweep {sweep.id} is already running: process {pid} on {host}, since {since}.",
                where=str(sweep.folder),
                hint=f"See its progress: mu sweep status {sweep.name}",
            )
        lock.write_text(f"{os.getpid()} {socket.gethostname()} {time.strftime('%Y-%m-%dT%H:%M:%S')}\n")
        if (sweep.folder / "runs.json").is_file():
            # Started by another process since the plan was made.
            sweep = replace(load(sweep.space, sweep.folder), space=sweep.space)
        else:
            for left in sweep.folder.glob(".*.partial"):  # left by a killed process
                left.unlink(missing_ok=True)
            files.write_text(sweep.folder / "sweep.yaml", sweep.text)
            files.write_text(sweep.folder / "runs.json", dumped(sweep))
        yield sweep


def dumped(sweep: Sweep) -> str:
    """Return runs.json."""
    table = {
        "name": sweep.name,
        "digest": sweep.digest,
        "asked": sweep.asked,
        "runs": [{"run": one.id, "varied": one.varied, "config": one.table} for one in sweep.members],
    }
    return json.dumps(table, ensure_ascii=False, indent=1) + "\n"


def is_held(sweep: Sweep) -> bool:
    """Return whether a process carries the sweep out."""
    return run_store.held(Run(sweep.id, sweep.folder))  # its lock is like a run's

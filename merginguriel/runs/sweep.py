"""Many runs from one file: which are they, which are known already, and what has become of each?

sweeps/<name>-<digest>/  sweep.yaml   the file, as it was when the sweep was first started
                         runs.json    its runs: id, what tells it from the others, configuration
                         lock         held by the process that carries the sweep out

Everything else stands in the runs' own folders, so that an interrupted sweep goes on where it stopped.
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
from merginguriel.workspace import Workspace, writable

from . import resolve, run_store, worker
from .run_store import Run

Executor = Callable[[Sequence[Run], Callable[[Run | None, str | None], None]], None]
# How far a sweep is: runs ended, of how many (0: the text is of a run that ended), text, seconds left if known.
Tell = Callable[[float, float, str, float | None], None]
ENDINGS = {
    "dead": "its process was ended from outside, or for want of memory",
    "cancelled": "it was cancelled",
    "paused": "it was paused",
    "queued": "its process ended before it had begun",
    "running": "another process is at work on it",
}
LOOK_BACK = 50  # finished runs from which the time of one is estimated


@dataclass(frozen=True)
class Member:
    """One run of a sweep. varied: what tells it from the others; table: its configuration, in plain values."""

    id: str
    varied: dict[str, Any]
    table: dict[str, Any]

    @property
    def label(self) -> str:
        return " ".join(f"{key}={sweep_file.shown(value)}" for key, value in self.varied.items()) or self.id


@dataclass(frozen=True)
class Sweep:
    """A sweep in a workspace. asked: runs that the file asks for, of which some may be the same one."""

    space: Workspace
    name: str
    digest: str
    text: str
    members: tuple[Member, ...]
    asked: int

    @property
    def id(self) -> str:
        return f"{self.name}-{self.digest}"

    @property
    def folder(self) -> Path:
        return home(self.space) / self.id

    def run(self, member: Member) -> Run:
        return Run(member.id, self.space.runs / member.id)


@dataclass(frozen=True)
class Standing:
    """What has become of a run: one of runs.STATES, or `new`. seconds: how long it took; begun: how often."""

    member: Member
    state: str
    seconds: float | None = None
    error: str | None = None
    value: float | None = None
    metric: str | None = None
    begun: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to: known before, finished now, and what has not finished, with the reason."""

    known: int
    finished: int
    failed: tuple[tuple[Member, str], ...] = field(default=())


def home(space: Workspace) -> Path:
    return space.root / "sweeps"


def plan(space: Workspace, path: Path) -> Sweep:
    """The sweep that a file means, without writing anything. Raises MuError naming key, file and line.

    Runs that turn out to be the same are one. If it was started before, its runs are those of then: which models
    a run may choose from is settled when it is made.
    """
    writable(space)
    asked = sweep_file.read(path)
    found = [(point, *config_of(point, asked)) for point in asked.points()]
    found = [(point, resolve.placed(config, space), places) for point, config, places in found]
    # Whether models are kept makes no other runs, but a list of runs that was begun without it does not say so.
    names = sorted({configs.digest(config) + " keep" * config.keep for _, config, _ in found})
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    begun = home(space) / f"{asked.name}-{digest}"
    if (begun / "runs.json").is_file():
        return load(space, begun)
    members: dict[str, Member] = {}
    for point, config, places in found:
        with told_which(point, asked):
            whole = resolve.resolved(config, space, places)
        refuse_no_candidates(whole, asked.path)
        id = run_store.run_id(whole)
        varied = {key: plain(value) for key, value in point.varied.items()}
        before = members.get(id)
        if before is None:
            members[id] = Member(id, varied, configs.as_table(whole))
        elif whole.keep:
            members[id] = replace(before, table={**before.table, "keep": True})
    return Sweep(space, asked.name, digest, asked.text, tuple(members.values()), len(found))


def config_of(point: sweep_file.Point, asked: sweep_file.SweepFile) -> tuple[configs.Config, dict[str, str]]:
    """The configuration of one point, and where its keys stand."""
    with told_which(point, asked):
        return configs.built(point.table, where=str(asked.path), sets=(), folder=asked.path.resolve().parent)


@contextlib.contextmanager
def told_which(point: sweep_file.Point, asked: sweep_file.SweepFile) -> Iterator[None]:
    """An error also says in which run of the sweep it is."""
    try:
        yield
    except MuError as error:
        said = f"This is the run {point.label}." if point.varied else None
        mend = "\n".join(filter(None, (error.mend, said))) or None
        raise type(error)(error.what, where=error.where or str(asked.path), mend=mend) from error


def refuse_no_candidates(config: configs.Config, path: Path) -> None:
    """Such a run would be another one as soon as a model is trained."""
    if config.kind == "merge" and not config.sources and not config.candidates:
        raise MuError(
            "nothing is trained yet, and no candidates are named to choose sources from.",
            where=str(path),
            mend="Name them under base, like `candidates: [de-DE, sv-SE, fr-FR]`: they are trained when needed.",
        )


def plain(value: Any) -> Any:
    """A value as read from YAML, as JSON holds it."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return str(value)


def load(space: Workspace, folder: Path) -> Sweep:
    """A sweep that was started before. Raises MuError if its list of runs is damaged."""
    path = folder / "runs.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        members = tuple(Member(one["run"], one["varied"], one["config"]) for one in table["runs"])
        text = (folder / "sweep.yaml").read_text(encoding="utf-8")
        return Sweep(space, table["name"], table["digest"], text, members, table["asked"])
    except FileNotFoundError:
        raise UsageError(f"there is no sweep in {space.display(folder)}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise MuError(
            f"this list of runs is damaged: {error}.",
            where=str(path),
            mend="Remove that folder and start the sweep again: runs that have finished are taken as they are.",
        ) from error


def listed(space: Workspace) -> list[Sweep]:
    """Every sweep of the workspace, the one started last first."""
    found = sorted(home(space).glob("*/runs.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [load(space, path.parent) for path in found]


def get(space: Workspace, name: str) -> Sweep:
    """The sweep called `name`, or `name-digest`; of several of that name, the last. Raises UsageError."""
    known = listed(space)
    found = [sweep for sweep in known if name in (sweep.id, sweep.name)]
    if found:
        return found[0]
    import difflib

    near = difflib.get_close_matches(name, [sweep.name for sweep in known], n=2)
    raise UsageError(
        f"there is no sweep {name!r} here.",
        mend=f"Did you mean {' or '.join(near)}?" if near else "List them with: mu sweep status",
    )


def standings(sweep: Sweep) -> list[Standing]:
    """What has become of every run, in the order of the file."""
    return [standing(sweep, member) for member in sweep.members]


def standing(sweep: Sweep, member: Member) -> Standing:
    run = sweep.run(member)
    if not (run.folder / "config.yaml").is_file():
        return Standing(member, "new")
    happened = run_store.events(run)
    state = run_store.state_of(run, happened)
    if state == "finished" and member.table.get("keep") and worker.lacks_model(run):
        state = "queued"  # for its model
    last: dict[str, Any] = next((event for event in reversed(happened) if event["event"] == state), {})
    begun = sum(event["event"] == "started" for event in happened)
    value, metric = main_value(run) if state == "finished" else (None, None)
    return Standing(member, state, last.get("seconds"), last.get("error"), value, metric, begun)


def main_value(run: Run) -> tuple[float | None, str | None]:
    """What the run's first row says: the merge's own score. None for runs that make no rows."""
    try:
        with (run.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file), {})
    except FileNotFoundError:
        return None, None
    try:
        return float(row["value"]), row.get("metric")
    except (KeyError, ValueError):
        return None, None


def expected_seconds(sweep: Sweep, found: Sequence[Standing]) -> float | None:
    """How long one run takes: the median of finished ones, of this sweep or else of the same kind and study."""
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
) -> Outcome:
    """Carry out every run that has not finished; a failing one does not end the others.

    executor  executors.Local(…) or executors.Ray(…)
    at_once   how many run at a time, for the estimate of what is left; None: not known
    tell      is told how far it is

    Interrupted and started again, it goes on; failed, cancelled and dead runs are tried again then. Raises MuError
    if another process carries this sweep out, naming it.
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
                    text += f", begun {now.begun} times"
                if now.value is not None:
                    text += f", {now.metric} {now.value:.4f}"
                tell(0, 0, text, None)
            left = None
            if took and at_once:
                rounds = -(-(len(todo) - ended) // at_once)
                left = max(0.0, rounds * statistics.median(took[:LOOK_BACK]) - (time.monotonic() - since))
            bad = f", {len(reasons)} not finished" if reasons else ""
            # Runs that failed say nothing of how long the others take.
            good, all_good = ended - len(reasons), max(len(todo) - len(reasons), 1)
            tell(good, all_good, f"{ended} of {len(todo)} runs{bad}", left)

        if todo:
            executor([sweep.run(member) for member in todo.values()], report)
        failed = tuple((todo[id], reason) for id, reason in reasons.items())
        known = len(sweep.members) - len(todo)
        return Outcome(known, len(todo) - len(failed), failed)


def make(sweep: Sweep, member: Member) -> None:
    """The run's folder, if it is not there."""
    run = run_store.create(sweep.space, configs.from_table(member.table))
    if run.id != member.id:
        raise MuError(
            f"this run is {run.id} to this version of the program, and {member.id} to the one that began the sweep.",
            where=str(sweep.folder / "runs.json"),
            mend="Remove the sweep's folder and start it again: runs that mean the same are taken as they are.",
        )


def first_line(text: str | None) -> str | None:
    return text.strip().splitlines()[0] if text and text.strip() else None


@contextlib.contextmanager
def held(sweep: Sweep) -> Iterator[Sweep]:
    """Hold the sweep, and write its folder if it has none. Yields it as it was begun.

    Raises MuError naming the process that holds it.
    """
    sweep.folder.mkdir(parents=True, exist_ok=True)
    lock = sweep.folder / "lock"
    lock.touch()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            # Somebody who only looks whether it is free holds it for microseconds.
            with contextlib.suppress(BlockingIOError):
                stack.enter_context(files.locked(lock))
                break
            time.sleep(0.05)
        else:
            pid, host, since = (lock.read_text(encoding="utf-8").split() + ["?"] * 3)[:3]
            raise MuError(
                f"the sweep {sweep.id} is being carried out already: by process {pid} on {host}, since {since}.",
                where=str(sweep.folder),
                mend=f"See how far it is: mu sweep status {sweep.name}",
            )
        lock.write_text(f"{os.getpid()} {socket.gethostname()} {time.strftime('%Y-%m-%dT%H:%M:%S')}\n")
        if (sweep.folder / "runs.json").is_file():
            # Begun by another process since this one looked.
            sweep = replace(load(sweep.space, sweep.folder), space=sweep.space)
        else:
            for left in sweep.folder.glob(".*.partial"):  # of one who was killed here
                left.unlink(missing_ok=True)
            files.write_text(sweep.folder / "sweep.yaml", sweep.text)
            files.write_text(sweep.folder / "runs.json", dumped(sweep))
        yield sweep


def dumped(sweep: Sweep) -> str:
    table = {
        "name": sweep.name,
        "digest": sweep.digest,
        "asked": sweep.asked,
        "runs": [{"run": one.id, "varied": one.varied, "config": one.table} for one in sweep.members],
    }
    return json.dumps(table, ensure_ascii=False, indent=1) + "\n"


def is_held(sweep: Sweep) -> bool:
    """Is a process carrying it out now?"""
    return run_store.held(Run(sweep.id, sweep.folder))  # its lock is like a run's

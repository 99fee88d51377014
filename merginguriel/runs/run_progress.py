"""Progress of runs: the state, step and metrics of one, and which of all have ended since the last look."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from merginguriel.metrics.registry import find, named_in
from merginguriel.workspace import Workspace

from . import run_index, run_store, time_left
from .run_index import MERGING, is_number
from .run_store import Run

TAIL = 1 << 18  # bytes of a log that are read at first
SHARE = 50  # pause between two looks at all runs, as a multiple of the time that one took
SELDOM = 30.0  # seconds after which all runs are checked even if none was added: one may have been resumed
GOING = ("queued", "running")
ASKED = ("pause", "cancel")


@dataclass(frozen=True)
class RunProgress:
    """A run at one moment.

    state     one of run_store.STATES
    step      the current step, or the last one
    whole     progress of a running run, with the time left of all its stages
    best      value of a merge; of other runs the best so far
    metric    of `best`
    request   `pause` or `cancel`, requested of a running run that has not yet complied
    """

    state: str
    step: str = ""
    whole: time_left.Whole | None = None
    best: float | None = None
    metric: str | None = None
    request: str | None = None

    @property
    def live(self) -> bool:
        """Whether a process is executing the run."""
        return self.state == "running"


@dataclass
class Watch:
    """A run, and how much of its events was read. metrics: (time, name, value), oldest first."""

    run: Run
    place: int = 0
    last: str = "created"
    step: str = ""
    began: float | None = None  # time of the last start
    steps: list[tuple[float, str]] = field(default_factory=list)  # (time, text), since the last start
    before: int = 0  # stages that earlier starts have ended
    expected: time_left.Expected | None = None
    share: float = 0.0  # the most of the run that was done, so that its bar never goes back
    highest: float = 0.0  # share of the current step
    merging: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[tuple[float, str, float]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)  # metrics that were NaN, infinite or beyond all measure

    def look(self) -> RunProgress:
        """Read new events, and return the progress now."""
        lines, place = read_on(self.run.folder / "events.jsonl", self.place)
        if place < self.place:  # the folder holds another run now
            self.last, self.step, self.events, self.metrics = "created", "", [], []
            self.restart(None)
            self.before = 0
            lines, place = read_on(self.run.folder / "events.jsonl", 0)
        self.place = place
        for line in lines:
            self.take(line)
        state = run_store.state_of(self.run, [{"event": self.last}])
        # Scores of single models are not the result of a merge.
        scores = [
            (find(metric).sign * value, metric)
            for _, name, value in self.metrics
            if (metric := named_in(name)) and (metric == name or not self.merging)
        ]
        best, metric = max(scores, default=(None, None))
        if best is not None and metric is not None:
            best *= find(metric).sign
        if state != "running":
            return RunProgress(state, self.step, best=best, metric=metric)
        asked = run_store.requested(self.run)
        return RunProgress(state, self.step, self.whole(), best, metric, asked if asked in ASKED else None)

    def whole(self) -> time_left.Whole | None:
        """Return the progress of the running run; None before it has written its start."""
        if self.began is None:
            return None
        if self.expected is None:
            self.expected = time_left.expected(self.run)
        beat = heartbeat(self.run)
        current = beat is not None and beat.get("step") == self.step
        share = min(max(beat["done"] / beat["total"], 0.0), 1.0) if beat and current else None
        if share is not None and share < self.highest:
            share = None  # the step has several parts: its speed is not known
        else:
            self.highest = share or 0.0
        found = time_left.whole(self.steps, self.began, time.time(), share, self.expected)
        found = time_left.after(found, self.before, run_store.worked(self.events))
        self.share = max(self.share, found.share)
        return replace(found, share=self.share)

    def restart(self, at: float | None) -> None:
        """Begin again, after the stages that an earlier start has ended."""
        self.before += max(len(self.steps) - 1, 0)
        self.began, self.steps, self.expected, self.share = at, [], None, 0.0

    def take(self, line: str) -> None:
        """Add one line of events.jsonl; a half-written line is skipped."""
        event = run_store.event_of(line)
        if event is None:
            return
        at = run_store.seconds(event.get("time"))
        if event["event"] == "metric":
            name, value = str(event.get("name")), event.get("value")
            if not isinstance(value, int | float) or at is None:
                return
            if is_number(value):
                self.metrics.append((at, name, float(value)))
                return
            if name in self.broken:
                return
            self.broken.add(name)
            event = {**event, "event": "note", "text": f"{name} is {value}, which cannot be plotted"}
        self.events.append(event)
        if event["event"] == "created" and isinstance(event.get("config"), dict):
            self.merging = event["config"].get("kind") in MERGING
        if event["event"] == "step":
            self.step = str(event.get("text") or "")
            if at is not None:
                self.began = at if self.began is None else self.began
                self.steps.append((at, self.step))
                self.highest = 0.0
        elif event["event"] != "note":
            self.last = event["event"]
            if self.last == "started":
                self.restart(at)


def heartbeat(run: Run) -> dict[str, Any] | None:
    """Return the progress of the step as last written: step, done, total (not 0), text, time."""
    try:
        found = json.loads((run.folder / "heartbeat").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(found, dict) and all(isinstance(found.get(n), int | float) for n in ("done", "total"))
    return found if known and found["total"] else None


def read_on(path: Path, place: int, *, most: int | None = None) -> tuple[list[str], int]:
    """Read the whole lines after a byte of a file.

    Args:
        place: The byte where the last call ended.
        most: Of a longer rest, read only so many bytes at its end.

    Returns:
        The lines, and where the next one begins; no lines and 0 if the file is missing or shorter than `place`.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size < place:
                return [], 0
            cut = most is not None and size - place > most
            file.seek(size - most if cut and most is not None else place)
            if cut:
                file.readline()  # the rest of a line whose beginning is left out
            start = file.tell()
            data = file.read(size - start)
    except OSError:
        return [], 0
    whole = data.rfind(b"\n") + 1
    return data[:whole].decode("utf-8", errors="replace").split("\n")[:-1], start + whole


@dataclass
class EndWatch:
    """Runs of a workspace that end between two calls of `ended`, also among ten thousand.

    `live` holds the runs that are expected to end; a run that was just started may be added.
    """

    space: Workspace
    live: set[str] = field(default_factory=set)
    reported: dict[str, str] = field(default_factory=dict)  # id → time of the change that was reported
    since: str = field(default_factory=run_store.now)
    stamp: int = -1
    again: float = 0.0
    latest: float = 0.0

    def ended(self) -> list[tuple[str, str]]:
        """Return (id, state) of every run that has ended since the last call."""
        found = {}
        for name in sorted(self.live):
            run = Run(name, self.space.runs / name)
            if not run_store.held(run) and (state := run_store.state(run)) not in GOING:
                found[name] = state
                self.reported[name] = run_store.now()
        now = time.monotonic()
        stamp = self._stamp()
        if (stamp != self.stamp and now >= self.again) or now >= self.latest:
            self.stamp = stamp
            found |= self._all()
            took = time.monotonic() - now
            self.again, self.latest = now + SHARE * took, now + max(SELDOM, SHARE * took)
        self.live -= set(found)
        return sorted(found.items())

    def _stamp(self) -> int:
        try:
            return self.space.runs.stat().st_mtime_ns
        except OSError:
            return 0

    def _all(self) -> dict[str, str]:
        """Follow all running runs from now on, and return those that started and ended in between."""
        if not self.stamp:
            return {}
        query = f"SELECT id, state, changed FROM runs WHERE state IN {GOING} OR changed > '{self.since}'"
        found = {}
        for name, state, changed in run_index.query(self.space, query)[1]:
            if state in GOING:
                self.live.add(name)
            elif name not in self.live and self.reported.get(name, self.since) < changed:
                found[name] = state
                self.reported[name] = changed
        return found

"""How far is a run now? Of one that is at work only what it appended since the last look is read."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from merginguriel.metrics.base import metrics

from . import run_store
from .index import MERGING, is_number
from .run_store import Run

ENOUGH = 0.02  # share of a step that must be done before its time left is guessed from it
TAIL = 1 << 18  # bytes of a log that are read at first


@dataclass(frozen=True)
class Standing:
    """A run at one moment.

    state     one of runs.STATES
    step      what it is at, or was at when it ended
    share     how much of that step is done, 0 … 1, and left the seconds to its end; None where it does not say
    best      of a merge its accuracy, of other runs the highest that it has told so far
    """

    state: str
    step: str = ""
    share: float | None = None
    left: float | None = None
    best: float | None = None

    @property
    def live(self) -> bool:
        return self.state == "running"


@dataclass
class Watch:
    """A run, and how much of its events was read. metrics: (time, name, value), oldest first."""

    run: Run
    place: int = 0
    last: str = "created"
    step: str = ""
    began: float | None = None
    merging: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[tuple[float, str, float]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)  # metrics that were NaN, infinite or beyond all measure

    def look(self) -> Standing:
        """Read on, and say how far it is now."""
        lines, place = read_on(self.run.folder / "events.jsonl", self.place)
        if place < self.place:  # another run lies here now
            self.last, self.step, self.began, self.events, self.metrics = "created", "", None, [], []
            lines, place = read_on(self.run.folder / "events.jsonl", 0)
        self.place = place
        for line in lines:
            self.take(line)
        state = run_store.state_of(self.run, [{"event": self.last}])
        # What single models score on the way is no result of a merge.
        counts = (lambda name: name in metrics()) if self.merging else is_accuracy
        best = max((value for _, name, value in self.metrics if counts(name)), default=None)
        beat = heartbeat(self.run) if state == "running" else None
        if not beat or beat.get("step") != self.step:
            return Standing(state, self.step, best=best)
        share = min(max(beat["done"] / beat["total"], 0.0), 1.0)
        spent = time.time() - self.began if self.began is not None else None
        left = spent / share - spent if spent is not None and share > ENOUGH else None
        return Standing(state, self.step, share, left, best)

    def take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return  # a line that a killed writer left half
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            return
        at = seconds(event.get("time"))
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
            event = {**event, "event": "note", "text": f"{name} is {value}, which no curve can show"}
        self.events.append(event)
        if event["event"] == "created" and isinstance(event.get("config"), dict):
            self.merging = event["config"].get("kind") in MERGING
        if event["event"] == "step":
            self.step, self.began = str(event.get("text") or ""), at
        elif event["event"] != "note":
            self.last = event["event"]


def is_accuracy(name: str) -> bool:
    """Is it one of the metrics of which higher is better, in a table's column `best`?"""
    return any(metric in name for metric in metrics())


def seconds(text: object) -> float | None:
    """An event's time, in seconds since 1970."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def heartbeat(run: Run) -> dict[str, Any] | None:
    """How far the step is, as the run said last: step, done, total (not 0), text, time."""
    try:
        found = json.loads((run.folder / "heartbeat").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(found, dict) and all(isinstance(found.get(n), int | float) for n in ("done", "total"))
    return found if known and found["total"] else None


def read_on(path: Path, place: int, *, most: int | None = None) -> tuple[list[str], int]:
    """The whole lines after byte `place` of a file, and where the next one begins.

    most    of a file that is longer, only so many bytes at its end
    A file that is shorter than it was gives no lines and 0; one that is not there likewise.
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

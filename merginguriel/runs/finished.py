"""Which runs have ended since the last look? Asked every few seconds, of ten thousand runs too."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from merginguriel.workspace import Workspace

from . import index, run_store
from .run_store import Run

SHARE = 50  # between two looks at all runs pass as many times as one took
SELDOM = 30.0  # seconds after which all are looked at though no run was added: one may have been resumed
GOING = ("queued", "running")


@dataclass
class Watch:
    """Call `ended` again and again. `live` holds the runs that are to end; one that was just started may be added."""

    space: Workspace
    live: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)  # id → the change that was told
    since: str = field(default_factory=run_store.now)
    stamp: int = -1
    again: float = 0.0
    latest: float = 0.0

    def ended(self) -> list[tuple[str, str]]:
        """(id, state) of every run that has ended since the call before; a dead one is told as dead."""
        found = {}
        for name in sorted(self.live):
            run = Run(name, self.space.runs / name)
            if not run_store.held(run) and (state := run_store.state(run)) not in GOING:
                found[name] = state
                self.told[name] = run_store.now()
        now = time.monotonic()
        stamp = self._stamp()
        if (stamp != self.stamp and now >= self.again) or now >= self.latest:
            self.stamp = stamp
            found |= self._look()
            took = time.monotonic() - now
            self.again, self.latest = now + SHARE * took, now + max(SELDOM, SHARE * took)
        self.live -= set(found)
        return sorted(found.items())

    def _stamp(self) -> int:
        try:
            return self.space.runs.stat().st_mtime_ns
        except OSError:
            return 0

    def _look(self) -> dict[str, str]:
        """Of all runs: those at work are followed from now on, and those that began and ended in between are told."""
        if not self.stamp:
            return {}
        asked = f"SELECT id, state, changed FROM runs WHERE state IN {GOING} OR changed > '{self.since}'"
        found = {}
        for name, state, changed in index.query(self.space, asked)[1]:
            if state in GOING:
                self.live.add(name)
            elif name not in self.live and self.told.get(name, self.since) < changed:
                found[name] = state
                self.told[name] = changed
        return found

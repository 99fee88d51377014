"""Time that the quickstart takes: expected seconds of its steps, and how much of it is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# Seconds on two busy cores of a 2024 server, for the first estimate; corrected by what each step really takes.
SECONDS = {"base": 20.0, "train": 27.0, "score": 20.0, "pilot": 12.0, "merge": 5.0}
STATED = 120.0  # seconds of work at the expected speed, beside what was seen


@dataclass
class Pace:
    """Estimate of the time left: expected seconds of the work to come, scaled by the speed so far."""

    expected: dict[str, float]
    spent: float = STATED
    planned: float = STATED
    done: set[str] = field(default_factory=set)

    def finish(self, step: str, seconds: float, *, skipped: bool = False) -> None:
        """Record what a step took; one that was skipped says nothing about the speed."""
        self.done.add(step)
        if not skipped:
            self.spent += seconds
            self.planned += self.expected[step]

    def left(self, step: str, share: float, seconds: float) -> float:
        """Return the seconds left when `share` of `step` is done, after `seconds` of it."""
        rest = sum(s for name, s in self.expected.items() if name not in self.done and name != step)
        rest += self.expected[step] * (1 - share)
        return rest * (self.spent + seconds) / (self.planned + self.expected[step] * share)


def expected(steps: Sequence[str], models: int, merges: int) -> dict[str, float]:
    """Return the seconds that each step should take on two cores."""
    times = {"score": models, "merge": merges}
    return {step: SECONDS.get(step.partition(" ")[0], 0.2) * times.get(step, 1) for step in steps}

"""Format a pilot before it starts: arms, cost, detectable gain and stopping rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .numbers import count
from .runs import plan_lines

if TYPE_CHECKING:
    from merginguriel.loop.pilot import PlannedPilot
    from merginguriel.runs.planning import RunPlan


def before(planned: PlannedPilot, work: RunPlan) -> str:
    """Return the arms of a pilot, its cost and the gain that it detects."""
    advice = planned.advice
    lines = [f"{advice.target}  advised: {advice.verdict.upper()} {advice.recipe.label}"]
    lines += [f"  arm    {label}" for label in planned.arms]
    lines += plan_lines(work, "new")
    lines.append(
        f"  cost   at most {count(planned.pieces, 'piece')} of work; "
        + (
            "no confirmation: there are no labels"
            if planned.config.unlabelled
            else f"the confirmation on test items detects {planned.sees_pp:.1f} pp or more"
        )
    )
    return "\n".join([*lines, *(f"  note   {note}" for note in planned.notes)])


def stopping(margin_pp: float) -> str:
    """Return when a pilot stops; docs/pilot.md has the details."""
    return (
        "Each round on development items halves the arms. The last arm stops once its gain is certainly above 0, below 0 "
        f"or within ±{margin_pp:g} pp (95%). The winner is then scored once on test items."
    )

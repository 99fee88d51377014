"""Outcomes of the rounds so far: merges taken, convergence, and a round as one line of text.

A history is the list of the rounds' outcomes, as stored in iterate.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .round_store import State
from .settings import IterateSettings


def last_merge(history: list[dict[str, Any]]) -> int:
    """Return the number of the last round whose merge was taken; 0 if there is none."""
    return max((outcome["round"] for outcome in history if outcome["merge"]["taken"]), default=0)


def known_before(name: str, history: list[dict[str, Any]]) -> bool:
    """Return whether the locale failed in an earlier round."""
    return any(name in outcome["failed"] for outcome in history)


def converged(settings: IterateSettings, states: Mapping[str, State], history: list[dict[str, Any]]) -> bool:
    """Return whether no locale's loss fell by more than the tolerance since the last round, which did not merge."""
    if not history or history[-1]["merge"]["taken"]:
        return False
    before = history[-1]["locales"]

    def falls(name: str, figures: Mapping[str, Any]) -> bool:
        key = "dev_loss" if figures.get("dev_loss") is not None else "loss"
        return before[name][key] - figures[key] >= settings.tolerance * abs(before[name][key])

    return not any(falls(name, state.figures) for name, state in states.items())


def best_of(history: list[dict[str, Any]]) -> float:
    """Return the best score of the merges taken; −1 if there is none."""
    return max((o["merge"]["score"] for o in history if o["merge"]["taken"]), default=-1.0)


def stopped(settings: IterateSettings, history: list[dict[str, Any]]) -> bool:
    """Return whether the last `patience` merges are not better than the best before them."""
    scores = [outcome["merge"]["score"] for outcome in history if outcome["merge"]["taken"]]
    if not settings.patience or len(scores) <= settings.patience:
        return False
    return max(scores[-settings.patience :]) <= max(scores[: -settings.patience])


def in_words(outcome: Mapping[str, Any], last: int) -> str:
    """Format an outcome: `round 2 of 6: de-DE 81.2%, sv-SE 79.0%; merged, 78.5%`."""
    parts = [
        f"{name} {100 * figures['dev_accuracy']:.1f}%"
        if figures.get("dev_accuracy") is not None
        else f"{name} loss {figures['loss']:.2f}"
        for name, figures in outcome["locales"].items()
    ]
    merge = outcome["merge"]
    scored = f", {100 * merge['score']:.1f}%" if merge.get("score") is not None else ""
    done = f"merged{scored}" if merge["taken"] else f"not merged{scored and f' (the merge: {scored[2:]})'}"
    return f"round {outcome['round']} of {last}: {', '.join(parts)}; {done}"

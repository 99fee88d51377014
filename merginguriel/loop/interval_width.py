"""Width of the intervals of a workspace's advice, learned from the advice that was scored there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from merginguriel import files
from merginguriel.workspace import Workspace

if TYPE_CHECKING:
    from .ledger import ScoredAdvice

NAME = "advice_width.json"
STATED = 20.0  # scores with an error of one standard deviation that the factor is shrunk by
LARGEST = 3.0  # standard deviations that an error counts for at most


class Width(NamedTuple):
    """Factor of the standard deviation of a prior, and the number of measurements that it rests on."""

    factor: float
    measurements: int


def learned(found: Sequence[ScoredAdvice]) -> dict[str, Width]:
    """Return context → width. Advice that the same rows measured counts once, by its mean squared error."""
    errors: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for one in found:
        square = min(one.z_unscaled**2, LARGEST**2)
        errors.setdefault(one.entry.question["context"], {}).setdefault(one.refs, []).append(square)
    result = {}
    for context, measured in sorted(errors.items()):
        total = sum(sum(sorted(squares)) / len(squares) for _, squares in sorted(measured.items()))
        factor = sqrt((STATED + total) / (STATED + len(measured)))
        result[context] = Width(round(factor, 3), len(measured))
    return result


def save(space: Workspace, widths: dict[str, Width]) -> None:
    """Store the widths for later advice, unless the workspace cannot be written."""
    path = space.root / NAME
    if (widths or path.exists()) and not space.shipped and os.access(space.root, os.W_OK):
        files.write_text(path, json.dumps(widths, indent=2) + "\n")


def stored(space: Workspace, context: str) -> float:
    """Return the stored factor of a context; 1 where none can be read."""
    try:
        return float(json.loads((space.root / NAME).read_text(encoding="utf-8"))[context][0])
    except (OSError, ValueError, LookupError, TypeError):
        return 1.0

"""In what do runs differ, and do their merges differ by more than noise? Paired on the test items that they share."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import MuError
from ..evaluation.significance import Comparison, compare
from . import config as configs
from . import runs, values
from .runs import Run

# What two results must have alike to be paired: ids alone may be the numbers of lines. `data` is a digest of items.
SAME = {"context": "context", "target": "target", "metric": "metric", "data": "test sentences"}


@dataclass(frozen=True)
class Against:
    """One run; `found` against the first run of the comparison, or `why` there is none."""

    run: str
    accuracy: float | None
    settings: dict[str, Any] = field(default_factory=dict)
    found: Comparison | None = None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "accuracy": self.accuracy,
            "settings": self.settings,
            "why": self.why or None,
        }


@dataclass(frozen=True)
class Items:
    """ids, groups [n] of the test items; right bool [n]: which the merge got."""

    ids: np.ndarray
    groups: np.ndarray
    right: np.ndarray


def compared(found: Sequence[Run]) -> list[Against]:
    """Every run with the settings that not all share, and its merge against the first one's. Raises UsageError (not finished)."""
    results = [runs.result(run) for run in found]
    tables = [{n: values.plain(v) for n, v in configs.flat_values(run.config).items()} for run in found]
    apart = [name for name in tables[0] if any(table[name] != tables[0][name] for table in tables)]
    items = [items_of(run) for run in found]
    made = []
    for number, run in enumerate(found):
        settings = {name: tables[number][name] for name in apart}
        seen, why = None, ""
        first, mine = items[0], items[number]
        if number and (first is None or mine is None):
            why = "no test items are stored"
        elif number and first is not None and mine is not None:
            other = [word for key, word in SAME.items() if results[number].get(key) != results[0].get(key)]
            if other:
                why = f"other {', '.join(other)}"
            elif first.ids.tolist() != mine.ids.tolist():
                why = "other test items"
            else:
                seen = compare(mine.right, first.right, groups=mine.groups.tolist())
        made.append(Against(run.id, results[number].get("accuracy"), settings, seen, why))
    return made


def items_of(run: Run, arm: str = "merge") -> Items | None:
    """What items.npz says of one arm; None for a run that scored nothing. Raises MuError where it is damaged."""
    path = run.folder / "items.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Items(stored["ids"], stored["groups"], stored[arm])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MuError(
            "these items are damaged.", where=str(path), mend="Remove the run's folder and run it again."
        ) from error

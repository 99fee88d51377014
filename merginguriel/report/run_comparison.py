"""In what do runs or recipes differ, and do their merges differ by more than noise? Paired on the test items that they share.

Runs that differ by their seed alone are also taken together.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from merginguriel import stats
from merginguriel.config import run_config as configs
from merginguriel.errors import MuError
from merginguriel.evaluation.significance import Comparison, compare
from merginguriel.runs import run_store as runs
from merginguriel.runs.run_store import Run
from merginguriel.training.settings import dev_score

from .comparable import NEW, Recipe

if TYPE_CHECKING:
    from .comparisons import Difference

# What two results must have alike to be paired: ids alone may be the numbers of lines. `data` is a digest of items.
SAME = {"context": "context", "target": "target", "metric": "metric", "data": "test sentences"}


@dataclass(frozen=True)
class Bar:
    """An accuracy on one locale, with its 95% interval and test items where they are known."""

    locale: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Against:
    """One run; `found` against the first run of the comparison, or `why` there is none. bars: a locale each.

    file     of a recipe, whose run this is; None where a run was named
    state    of the run, `new` for a recipe that was not run; only of one that has finished are there figures
    command  that gets the figures of a recipe, or shows them
    """

    run: str
    accuracy: float | None
    settings: dict[str, Any] = field(default_factory=dict)
    found: Comparison | None = None
    why: str = ""
    bars: tuple[Bar, ...] = ()
    file: str | None = None
    state: str = "finished"
    command: str | None = None

    @property
    def name(self) -> str:
        """As it can be named to be compared again."""
        return self.file or self.run

    @property
    def missing(self) -> str:
        """Why there are no figures, in words; nothing where there are."""
        return words_of(self.state)

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "is": "run" if self.file is None else "recipe",
            "file": self.file,
            "state": self.state,
            "command": self.command,
            "accuracy": self.accuracy,
            "settings": self.settings,
            "why": self.why or None,
            "locales": [asdict(bar) for bar in self.bars],
        }


@dataclass(frozen=True)
class Seeds:
    """Runs that differ by their seed alone.

    mean    of their accuracies; low, high: the lowest and the highest
    found   against the first group, over the seeds that both have, items and seeds at random; None of the first, and
            where there is only one such seed
    """

    runs: tuple[str, ...]
    settings: dict[str, Any]
    mean: float | None
    low: float | None
    high: float | None
    found: Difference | None = None

    def as_dict(self) -> dict[str, Any]:
        table = asdict(self)
        return table | {"runs": list(self.runs), "verdict": self.found.verdict if self.found else None}


@dataclass(frozen=True)
class Items:
    """ids, groups [n] of the test items; right bool [n]: which the merge got."""

    ids: np.ndarray
    groups: np.ndarray
    right: np.ndarray


def words_of(state: str) -> str:
    """Why a run in this state has no figures; nothing of one that has finished."""
    return {"finished": "", NEW: "not run yet"}.get(state, state)


def compared(given: Sequence[Run | Recipe]) -> list[Against]:
    """Every run with the settings that not all share, and its merge against the first one's.

    A recipe stands for its run; where that has not finished, it has settings and no figures. Raises UsageError for a
    run that has not finished.
    """
    found = [one.run if isinstance(one, Recipe) else one for one in given]
    states = [one.state if isinstance(one, Recipe) else "finished" for one in given]
    results = [
        runs.result(run) if state == "finished" else {} for run, state in zip(found, states, strict=True)
    ]
    tables = [{n: configs.plain(v) for n, v in configs.flat_values(one.config).items()} for one in given]
    apart = [name for name in tables[0] if any(table[name] != tables[0][name] for table in tables)]
    items = [items_of(run) if state == "finished" else None for run, state in zip(found, states, strict=True)]
    made: list[Against] = []
    for number, run in enumerate(found):
        settings = {name: tables[number][name] for name in apart}
        seen, why = None, ""
        first, mine = items[0], items[number]
        if states[number] != "finished":
            why = words_of(states[number])
        elif number and states[0] != "finished":
            why = "the first has no figures"
        elif number and (first is None or mine is None):
            why = "no test items are stored"
        elif number and first is not None and mine is not None:
            other = [word for key, word in SAME.items() if results[number].get(key) != results[0].get(key)]
            if other:
                why = f"other {', '.join(other)}"
            elif first.ids.tolist() != mine.ids.tolist():
                why = "other test items"
            else:
                metric = str(results[number].get("metric", "accuracy"))
                seen = compare(mine.right, first.right, groups=mine.groups.tolist(), metric=metric)
        result, one = results[number], given[number]
        recipe = one if isinstance(one, Recipe) else None
        made.append(
            Against(
                run.id, result.get(result.get("metric", "accuracy")), settings, seen, why, bars_of(result), recipe.name if recipe else None,
                states[number], recipe.command if recipe else None,
            )
        )  # fmt: skip
    return made


def bars_of(result: Mapping[str, Any]) -> tuple[Bar, ...]:
    """A merge on its target; of single models, each on its own locale."""
    if result.get("kind") in ("merge", "iterate"):
        low, high = result["ci95"]
        return (Bar(result["target"], result[result.get("metric", "accuracy")], low, high, result["n"]),)
    if result.get("kind") == "train":
        found = {locale: dev_score(one)[1] for locale, one in result["models"].items()}
        return tuple(Bar(locale, value) for locale, value in found.items() if value is not None)
    scored = result.get("test") or result.get("dev") or {"accuracy": {}, "n": {}}
    metric = scored.get("metric", "accuracy")
    own = {s: row[s] for s, row in scored[metric].items() if row.get(s) is not None}
    return tuple(Bar(s, v, *stats.wilson_interval(v, scored["n"][s]), scored["n"][s]) for s, v in own.items())


def by_seed(found: Sequence[Against], given: Sequence[Run | Recipe]) -> list[Seeds]:
    """What `compared` gave, with runs that differ by their seed alone taken together; nothing where none do.

    A run counts once, however often it was named; a recipe that has no figures, not at all.
    """
    from .comparisons import over_seeds_by_items
    from .loading import MERGE, from_runs

    groups: dict[str, list[Against]] = {}
    once = {one.run: one for one in found if one.state == "finished"}
    for one in once.values():
        rest = {name: value for name, value in one.settings.items() if name != "seed"}
        groups.setdefault(repr(sorted(rest.items())), []).append(one)
    if all(len(group) == 1 for group in groups.values()):
        return []
    every = [one.run if isinstance(one, Recipe) else one for one in given]
    folders = {run.id: run.folder for run in every}
    arms = {
        one.run: next((arm for arm in from_runs([folders[one.run]]).arms if arm.kind == MERGE), None)
        for one in once.values()
    }
    made: list[Seeds] = []
    first: dict[Any, Any] = {}
    for group in groups.values():
        by = {arm.row.seed: arm for one in group if (arm := arms[one.run]) is not None}
        first = first or by
        both = sorted(set(by) & set(first), key=str) if made else []
        same = [first[s].items == by[s].items and first[s].block == by[s].block for s in both]
        seen = None
        if len(both) > 1 and all(same):
            seen = over_seeds_by_items([by[s] for s in both], [first[s].right for s in both])
        values = [one.accuracy for one in group if one.accuracy is not None]
        settings = {n: v for n, v in group[0].settings.items() if n != "seed"}
        mean = sum(values) / len(values) if values else None
        made.append(
            Seeds(tuple(one.run for one in group), settings, mean, min(values, default=None),
                  max(values, default=None), seen)
        )  # fmt: skip
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

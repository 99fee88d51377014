"""Comparison of runs and recipes: their settings, and their merges paired on the test items that they share.

Runs that differ by their seed alone are also compared as one.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from merginguriel import stats
from merginguriel.config import run_config as configs
from merginguriel.errors import MuError
from merginguriel.evaluation.significance import Comparison, compare
from merginguriel.runs import run_store as runs
from merginguriel.runs.run_store import Run
from merginguriel.study.results import words
from merginguriel.text.differences import Difference, difference_words
from merginguriel.text.numbers import percent
from merginguriel.text.runs import setting
from merginguriel.training.settings import dev_score

from .comparable import NEW, Recipe

# Keys of results that must be equal for a paired comparison: ids alone may be line numbers. `data` is a digest of items.
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
    """A run, compared with the first run.

    Attributes:
        run: Its id.
        accuracy: Of its merge.
        settings: Those that not all runs share.
        found: Comparison of its merge with that of the first run.
        why: Reason why there is no comparison.
        bars: An accuracy per locale.
        file: Of the recipe, where a recipe was named.
        state: Of the run, or NEW; only a finished run has accuracies.
        command: Measures the accuracy of a recipe, or shows it.
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
        """Name by which it can be compared again."""
        return self.file or self.run

    @property
    def missing(self) -> str:
        """Reason why there is no accuracy; empty for a finished run."""
        return words_of(self.state)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON of a run in a comparison."""
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

    Attributes:
        runs: Their ids.
        settings: Those that not all groups share.
        mean: Of their accuracies.
        low: The lowest accuracy.
        high: The highest accuracy.
        found: Difference to the first group over the seeds that both have, items and seeds at random; None for the
            first group, and with fewer than two such seeds.
    """

    runs: tuple[str, ...]
    settings: dict[str, Any]
    mean: float | None
    low: float | None
    high: float | None
    found: Difference | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON of a group of runs."""
        table = asdict(self)
        return table | {"runs": list(self.runs), "verdict": self.found.verdict if self.found else None}


@dataclass(frozen=True)
class Items:
    """Test items: their ids and groups [n], and right, bool [n]: which the merge got."""

    ids: np.ndarray
    groups: np.ndarray
    right: np.ndarray


def words_of(state: str) -> str:
    """Return why a run in this state has no accuracy; empty for a finished one."""
    return {"finished": "", NEW: "not run yet"}.get(state, state)


def compared(given: Sequence[Run | Recipe]) -> list[Against]:
    """Compare runs: the settings that not all share, and each merge with the first one's.

    A recipe represents its run; where that has not finished, it has settings and no accuracy.

    Raises:
        UsageError: A run has not finished.
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
            why = "the first has no accuracy"
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
    """Return the value of a merge on its target, or of each single model on its own locale."""
    if result.get("kind") in ("merge", "iterate"):
        value = result.get(result.get("metric", "accuracy"))
        if value is None:  # an iterative merge that was not scored
            return ()
        low, high = result["ci95"]
        return (Bar(result["target"], value, low, high, result["n"]),)
    if result.get("kind") == "train":
        found = {locale: dev_score(one)[1] for locale, one in result["models"].items()}
        return tuple(Bar(locale, value) for locale, value in found.items() if value is not None)
    scored = result.get("test") or result.get("dev") or {"accuracy": {}, "n": {}}
    metric = scored.get("metric", "accuracy")
    own = {s: row[s] for s, row in scored[metric].items() if row.get(s) is not None}
    return tuple(Bar(s, v, *stats.wilson_interval(v, scored["n"][s]), scored["n"][s]) for s, v in own.items())


def by_seed(found: Sequence[Against], given: Sequence[Run | Recipe]) -> list[Seeds]:
    """Group runs that differ by their seed alone; empty where none do.

    A run counts once, however often it was named; a recipe without an accuracy does not count.

    Args:
        found: From `compared`.
        given: What `found` was made from.
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
    """Return the answers of one arm; None for a run that scored nothing.

    Raises:
        MuError: items.npz is damaged.
    """
    path = run.folder / "items.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Items(stored["ids"], stored["groups"], stored[arm])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MuError(
            "the items of this run are damaged.",
            where=str(path),
            hint="Remove the run's folder and run it again.",
        ) from error


# tables of text


def comparison_table(runs: Sequence[Against]) -> list[list[str]]:
    """Lay out runs with the settings that differ and the comparison with the first; the first row is the heading."""
    keys = sorted({key for one in runs for key in one.settings})
    table = [["run", *keys, "accuracy", "against the first"]]
    for number, one in enumerate(runs):
        result = words(one.found) if one.found else one.why if number else ""
        value = "" if one.accuracy is None else percent(one.accuracy)
        if one.missing:
            value, result = one.missing, one.command or ""
        table.append([one.name, *(setting(one.settings.get(key)) for key in keys), value, result])
    return table


def seeds_table(seeds: Sequence[Seeds]) -> list[list[str]]:
    """Lay out groups of runs that differ by their seed alone; the first row is the heading."""
    keys = sorted({key for one in seeds for key in one.settings})
    table = [["seeds", *keys, "mean", "lowest … highest", "against the first, over seeds"]]
    for number, one in enumerate(seeds):
        mean = "" if one.mean is None else percent(one.mean)
        span = "" if one.low is None or one.high is None else f"{100 * one.low:.2f} … {100 * one.high:.2f}"
        missing = "fewer than two seeds in common" if number else ""
        result = difference_words(one.found) if one.found else missing
        row = [str(len(one.runs)), *(setting(one.settings.get(key)) for key in keys), mean, span, result]
        table.append(row)
    return table

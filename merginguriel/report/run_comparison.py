"""Comparison of runs and recipes: their settings, and their merges paired on the test items that they share.

Runs that differ by their seed alone are also compared as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from merginguriel import stats
from merginguriel.config import run_config as configs
from merginguriel.config.schema import SOURCES
from merginguriel.evaluation.significance import Comparison, compare, value_interval
from merginguriel.metrics.registry import find
from merginguriel.runs import run_store as runs
from merginguriel.runs.run_store import Run
from merginguriel.study import item_file
from merginguriel.study.results import words
from merginguriel.text.differences import Difference, difference_words
from merginguriel.text.runs import metric_of, setting
from merginguriel.training.settings import dev_score

from .comparable import NEW, ResolvedRun, StudyModel
from .scored_arms import MERGE, ScoredArm

# Keys of results that must be equal for a paired comparison: ids alone may be line numbers. `data` is a digest of items.
SAME = {"context": "context", "target": "target", "metric": "metric", "data": "test sentences"}


@dataclass(frozen=True)
class LocaleScore:
    """A score on one locale or direction of search, with its 95% interval and test items where they are known.

    found: comparison with the first run in this direction.
    """

    locale: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    found: Comparison | None = None


@dataclass(frozen=True)
class Against:
    """A run, compared with the first run.

    Attributes:
        value: Of its merge, in `metric`.
        settings: Those that not all runs share.
        found: Comparison of its merge with that of the first run.
        why: Reason why there is no comparison.
        bars: A score per locale.
        file: Of the recipe, where a recipe was named; RUN:MODEL for a model of a study.
        state: Of the run, or NEW; only a finished run has scores.
        command: Measures the value of a recipe, or shows it.
        metric: Name of the metric of `value` and `bars`.
    """

    run: str
    value: float | None
    settings: dict[str, Any] = field(default_factory=dict)
    found: Comparison | None = None
    why: str = ""
    bars: tuple[LocaleScore, ...] = ()
    file: str | None = None
    state: str = "finished"
    command: str | None = None
    metric: str = "accuracy"

    @property
    def name(self) -> str:
        """Name by which it can be compared again."""
        return self.file or self.run

    @property
    def missing(self) -> str:
        """Reason why there is no value; empty for a finished run."""
        return words_of(self.state)

    def show(self, value: float) -> str:
        """Return a value of the metric: `48.32%`."""
        return find(self.metric).unit.show(value)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON of a run in a comparison."""
        return {
            "run": self.run,
            "is": "run" if self.file is None else "model" if ":" in self.file else "recipe",
            "file": self.file,
            "state": self.state,
            "command": self.command,
            "metric": self.metric,
            self.metric: self.value,
            "settings": self.settings,
            "why": self.why or None,
            "locales": [asdict(bar) for bar in self.bars],
        }


@dataclass(frozen=True)
class Seeds:
    """Runs that differ by their seed alone.

    Attributes:
        settings: Those that not all groups share.
        mean: Of their values.
        found: Difference to the first group over the seeds that both have, items and seeds at random; None for the
            first group, and with fewer than two such seeds.
        metric: Name of the metric of the values.
    """

    runs: tuple[str, ...]
    settings: dict[str, Any]
    mean: float | None
    low: float | None
    high: float | None
    found: Difference | None = None
    metric: str = "accuracy"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON of a group of runs."""
        table = asdict(self)
        return table | {"runs": list(self.runs), "verdict": self.found.verdict if self.found else None}


def words_of(state: str) -> str:
    """Return why a run in this state has no value; empty for a finished one."""
    return {"finished": "", NEW: "not run yet"}.get(state, state)


def compared(given: Sequence[Run | ResolvedRun | StudyModel], *, unfinished: bool = False) -> list[Against]:
    """Compare runs: the settings that not all share, and each merge with the first one's.

    A recipe represents its run; where that has not finished, it has settings and no value.

    Args:
        given: Runs and recipes, the first of which the others are compared with.
        unfinished: Treat runs as recipes are treated.

    Raises:
        UsageError: A run has not finished, unless `unfinished`.
    """
    found = [one if isinstance(one, Run) else one.run for one in given]
    states = [
        one.state if isinstance(one, ResolvedRun) else runs.state(run) if unfinished else "finished"
        for one, run in zip(given, found, strict=True)
    ]
    results = [
        runs.result(run) if state == "finished" else {} for run, state in zip(found, states, strict=True)
    ]
    tables = [{n: configs.plain(v) for n, v in configs.flat_values(one.config).items()} for one in given]
    models = [
        one.model
        if isinstance(one, StudyModel)
        else best_of(result)
        if result.get("kind") == "compose"
        else None
        for one, result in zip(given, results, strict=True)
    ]
    tables = [table | {"model": model} for table, model in zip(tables, models, strict=True)]
    apart = [name for name in tables[0] if any(table[name] != tables[0][name] for table in tables)]
    items = [
        items_of(run, model) if state == "finished" else None
        for run, state, model in zip(found, states, models, strict=True)
    ]
    made: list[Against] = []
    for number, run in enumerate(found):
        settings = {name: tables[number][name] for name in apart}
        seen, why = None, ""
        first, mine = items[0], items[number]
        if states[number] != "finished":
            why = words_of(states[number])
        elif number and states[0] != "finished":
            why = "the first has no result"
        elif number and (first is None or mine is None):
            why = "no test items are stored"
        elif number and first is not None and mine is not None:
            other = [word for key, word in SAME.items() if results[number].get(key) != results[0].get(key)]
            if other:
                why = f"other {', '.join(other)}"
            elif first.ids != mine.ids:
                why = "other test items"
            else:
                metric, sides = metric_of(results[number]).name, (mine.arms[MERGE], first.arms[MERGE])
                seen = compare(*sides, groups=mine.groups, metric=metric)
        result, one, model = results[number], given[number], models[number]
        bars = bars_of(result, model)
        if model and mine:
            bars = tuple(in_direction(bar, mine, first if seen else None) for bar in bars)
        made.append(
            Against(
                run.id, value_of(result, model), settings, seen, why, bars, None if isinstance(one, Run) else one.name,
                states[number], one.command if isinstance(one, ResolvedRun) else watch_command(run, states[number]),
                scored_by(result),
            )
        )  # fmt: skip
    return made


def in_direction(
    bar: LocaleScore, mine: item_file.StoredItems, first: item_file.StoredItems | None
) -> LocaleScore:
    """Add the interval over the queries of a direction of search, and the comparison with the first model there."""
    at = [i for i, id in enumerate(mine.ids) if id.startswith(f"{bar.locale} ")]
    ours = mine.arms[MERGE][at]
    low, high = value_interval(ours, metric="ndcg_at_10")
    found = compare(ours, first.arms[MERGE][at], metric="ndcg_at_10") if first else None
    return replace(bar, low=low, high=high, found=found)


def value_of(result: Mapping[str, Any], model: str | None) -> float | None:
    """Return the value of a run: of its merge, or of a model of a study of compositions the mean over directions."""
    value = result.get(metric_of(result).name)
    if model is None:
        return value
    found = list(result["ndcg_at_10"][model].values())
    return sum(found) / len(found)


def best_of(result: Mapping[str, Any]) -> str:
    """Return the best merge of a study of compositions; of one without a record of it, the first merge."""
    return result.get("best") or next(name for name in result["ndcg_at_10"] if name.startswith("average"))


def watch_command(run: Run, state: str) -> str | None:
    """Return the command that follows an unfinished run, or shows why it ended; None for a finished one."""
    if state == "finished":
        return None
    return f"mu runs {'watch' if state in ('queued', 'running', 'paused') else 'show'} {run.id}"


def bars_of(result: Mapping[str, Any], model: str | None) -> tuple[LocaleScore, ...]:
    """Return the value of a merge on its target or directions of search, or of each single model on its own locale."""
    if result.get("kind") in SOURCES:
        value = result.get(metric_of(result).name)
        if value is None:  # an iterative merge that was not scored
            return ()
        low, high = result["ci95"]
        return (LocaleScore(result["target"], value, low, high, result["n"]),)
    if model is not None:
        scores = result["ndcg_at_10"][model]
        return tuple(LocaleScore(one, value, n=result["queries"][2]) for one, value in scores.items())
    if result.get("kind") == "train":
        found = {locale: dev_score(one)[1] for locale, one in result["models"].items()}
        return tuple(LocaleScore(locale, value) for locale, value in found.items() if value is not None)
    scored = result.get("test") or result.get("dev") or {"accuracy": {}, "n": {}}
    metric, n = metric_of(scored), scored["n"]
    own = {s: row[s] for s, row in scored[metric.name].items() if row.get(s) is not None}
    if metric.name != "accuracy":  # its interval needs the items
        return tuple(LocaleScore(s, v, n=n[s]) for s, v in own.items())
    return tuple(LocaleScore(s, v, *stats.wilson_interval(v, n[s]), n[s]) for s, v in own.items())


def scored_by(result: Mapping[str, Any]) -> str:
    """Return the name of the metric of a result of any kind of run."""
    if result.get("kind") == "train":
        return next(
            (name for one in result["models"].values() for name, v in [dev_score(one)] if v), "accuracy"
        )
    return metric_of(result.get("test") or result.get("dev") or result).name


def by_seed(found: Sequence[Against], given: Sequence[Run | ResolvedRun | StudyModel]) -> list[Seeds]:
    """Group runs that differ by their seed alone; empty where none do.

    A run counts once, however often it was named; a recipe without a value does not count.
    """
    from .comparisons import over_seeds_by_items
    from .scored_arms import from_runs

    groups: dict[str, list[Against]] = {}
    once = {(one.run, one.settings.get("model")): one for one in found if one.state == "finished"}
    for one in once.values():
        rest = {name: value for name, value in one.settings.items() if name != "seed"}
        groups.setdefault(repr(sorted(rest.items())), []).append(one)
    if all(len(group) == 1 for group in groups.values()):
        return []
    every = [one if isinstance(one, Run) else one.run for one in given]
    folders = {run.id: run.folder for run in every}
    arms = {
        one.run: next((arm for arm in from_runs([folders[one.run]]).arms if arm.kind == MERGE), None)
        for one in once.values()
    }
    made: list[Seeds] = []
    first: dict[int | None, ScoredArm] = {}
    for group in groups.values():
        by = {arm.row.seed: arm for one in group if (arm := arms[one.run]) is not None}
        first = first or by
        both = sorted(set(by) & set(first), key=str) if made else []
        same = [first[s].items == by[s].items and first[s].block == by[s].block for s in both]
        seen = None
        if len(both) > 1 and all(same):
            others = [(right,) if (right := first[s].right) is not None else () for s in both]
            seen = over_seeds_by_items([by[s] for s in both], others)
            seen = replace(seen, points=find(group[0].metric).unit.points) if seen else None
        values = [one.value for one in group if one.value is not None]
        settings = {n: v for n, v in group[0].settings.items() if n != "seed"}
        mean = sum(values) / len(values) if values else None
        made.append(
            Seeds(tuple(one.run for one in group), settings, mean, min(values, default=None),
                  max(values, default=None), seen, group[0].metric)
        )  # fmt: skip
    return made


def items_of(run: Run, model: str | None = None) -> item_file.StoredItems | None:
    """Return the items of a run; None for one that scored no merge. Raises MuError if items.npz is damaged.

    Of a model of a study of compositions, they are the queries in each direction.
    """
    path = run.folder / "items.npz"
    found = item_file.read(path) if path.is_file() else None
    if found and model in found.arms:
        ranks = found.arms[f"{item_file.RECIPROCAL}{model}"]
        return found._replace(arms={MERGE: found.arms[str(model)], item_file.RECIPROCAL: ranks})
    return found if found and MERGE in found.arms else None


# tables of text


def comparison_table(runs: Sequence[Against]) -> list[list[str]]:
    """Lay out runs with the settings that differ and the comparison with the first; the first row is the heading."""
    keys = sorted({key for one in runs for key in one.settings})
    measured = {one.metric for one in runs if one.value is not None}
    several = len(measured) > 1
    table = [["run", *keys, "value" if several else next(iter(measured), "accuracy"), "against the first"]]
    for number, one in enumerate(runs):
        result = words(one.found) if one.found else one.why if number else ""
        value = "" if one.value is None else f"{one.metric} " * several + one.show(one.value)
        if one.missing:
            value, result = one.missing, one.command or ""
        table.append([one.name, *(setting(one.settings.get(key)) for key in keys), value, result])
    return table


def directions_table(runs: Sequence[Against]) -> list[list[str]]:
    """Lay out the directions of search of embedders, with the comparison with the first; empty without one."""
    table = [["direction", "run", "value", "95%", "against the first"]]
    pairs = [(bar, one) for one in runs for bar in one.bars if one.metric == "ndcg_at_10"]
    for bar, one in sorted(pairs, key=lambda pair: pair[0].locale):
        span = "" if bar.low is None or bar.high is None else find(one.metric).unit.span(bar.low, bar.high)
        found = words(bar.found) if bar.found else ""
        table.append([bar.locale, one.name, one.show(bar.value), span, found])
    return table if len(table) > 1 else []


def seeds_table(seeds: Sequence[Seeds]) -> list[list[str]]:
    """Lay out groups of runs that differ by their seed alone; the first row is the heading."""
    keys = sorted({key for one in seeds for key in one.settings})
    table = [["seeds", *keys, "mean", "lowest … highest", "against the first, over seeds"]]
    for number, one in enumerate(seeds):
        unit = find(one.metric).unit
        mean = "" if one.mean is None else unit.show(one.mean)
        span = "" if one.low is None or one.high is None else unit.span(one.low, one.high, 2)
        missing = "fewer than two seeds in common" if number else ""
        result = difference_words(one.found) if one.found else missing
        row = [str(len(one.runs)), *(setting(one.settings.get(key)) for key in keys), mean, span, result]
        table.append(row)
    return table

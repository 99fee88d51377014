"""Rows of runs and log entries, gathered into arms with their baselines and test items."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from merginguriel.config.dotted import leaves
from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.row_parser import read_csv
from merginguriel.knowledge.parse.rows import (
    BASELINE_KINDS,
    CODE,
    MEASURES,
    ItemBits,
    ResultRow,
    distinct,
    items_cell,
)
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.metrics import registry as metrics
from merginguriel.study import item_file

SINGLE, ENSEMBLE, MERGE = "single", "ensemble", "merge"
NOTHING = item_file.StoredItems((), (), {})
# Keys of a run's configuration that are columns of a row, that name the run, or that do not change what is measured.
NOT_SETTINGS = (
    "kind", "task", "base", "data", "options", "target", "seed", "sources", "candidates", "mode", "method", "params",
    "similarity", "k", "keep", "ensembles", "locales", "splits",
)  # fmt: skip


@dataclass(frozen=True)
class ScoredArm:
    """A merge, an ensemble or a single model, scored on one target.

    Attributes:
        row: The measurement; its own baseline fields are empty.
        against: Kind of baseline → the row that compares with it.
        origin: Id of the run or entry.
        extras: Settings without a column in rows, from the run's configuration.
        right: Statistics of the row's metric on the test items, [n] or [n, S], or None; for accuracy bool.
        items: [n] ids of the test items.
        groups: [n] templates of the test items.
        rights: Kind of baseline → statistics of its model; of the mean of the sources, of each source.
    """

    row: ResultRow
    against: Mapping[str, ResultRow]
    origin: str
    extras: Mapping[str, str] = field(default_factory=dict)
    right: np.ndarray | None = None
    items: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    rights: Mapping[str, tuple[np.ndarray, ...]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """SINGLE, ENSEMBLE or MERGE."""
        return kind_of(self.row)

    @property
    def block(self) -> tuple[str, str]:
        """Context and target."""
        return self.row.context, self.row.target


class Single(NamedTuple):
    """Score of a single model: its value, number of test items, and metric."""

    value: float
    n: int
    metric: str


@dataclass(frozen=True)
class Evidence:
    """What a report is built from.

    Attributes:
        origins: Ids of runs and of entries.
        notes: What was left out, and why.
        singles: (context, source, target) → score of the model of one locale.
    """

    arms: tuple[ScoredArm, ...]
    origins: tuple[str, ...]
    notes: tuple[str, ...] = ()
    singles: Mapping[tuple[str, str, str], Single] = field(default_factory=dict)

    @property
    def metric(self) -> metrics.Metric:
        """Metric of the arms, of which there is one after `joined`; accuracy where there is no arm."""
        return metrics.find(next((arm.row.metric for arm in self.arms), "accuracy"))


@dataclass(frozen=True)
class ItemStatistics:
    """Statistics of a run's arms per test item.

    Attributes:
        stored: Content of its items.npz.
        problems: Arms whose items disagree with their rows, in words.
    """

    run: str = ""
    stored: item_file.StoredItems = NOTHING
    problems: list[str] = field(default_factory=list)

    def of(self, name: str, row: ResultRow, value: float | None) -> tuple[np.ndarray, ...]:
        """Return the statistics of an arm, or of each source for `source_mean`.

        Empty where one is missing, or where they do not give the value of the row.
        """
        names = [f"{SINGLE}:{source}" for source in row.sources] if name == "source_mean" else [name]
        found = tuple(self.stored.arms[one] for one in names if one in self.stored.arms)
        if not found or len(found) < len(names):
            return ()
        metric = metrics.find(row.metric)
        try:
            got = float(np.mean([metric.value(one) for one in found]))
        except (ValueError, IndexError):  # of another metric
            return ()
        if value is None or abs(got - value) < 1e-5:
            return found
        self.problems.append(f"{self.run}: {name} has {got:.6f} in items.npz, {value:.6f} in its row.")
        return ()


def arm_name(row: ResultRow) -> str:
    """Return the name of a row's arm in items.npz."""
    kind = kind_of(row)
    return {MERGE: MERGE, SINGLE: f"{SINGLE}:{' '.join(row.sources)}"}.get(kind, row.method)


def kind_of(row: ResultRow) -> str:
    """Return SINGLE, ENSEMBLE or MERGE; every method is a merge but `single` and `ensemble…`."""
    if row.method == SINGLE:
        return SINGLE
    return ENSEMBLE if row.method.lower().startswith(ENSEMBLE) else MERGE


# from the log


def from_entries(knowledge: Knowledge, prefixes: Sequence[str]) -> Evidence:
    """Load the current rows of log entries, with the items of the runs that are still in the workspace.

    Args:
        prefixes: Unique beginnings of the entries' ids.
    """
    entries = list({entry.id: entry for entry in map(knowledge.entry, prefixes)}.values())
    notes: list[str] = []
    current: list[ResultRow] = []
    for entry in entries:
        rows = [row for row in entry.rows if row.status == "current"]
        if len(rows) < len(entry.rows):
            notes.append(
                f"{entry.id}: {len(entry.rows) - len(rows)} of {len(entry.rows)} rows do not count and are left out."
            )
        current += rows
    unique = distinct(current)
    if len(unique) < len(current):
        notes.append(f"{len(current) - len(unique)} rows that repeat a measurement are left out.")
    runs = dict.fromkeys(row.run for row in unique if row.run and Path(row.run).name == row.run)
    items = {run: _items(knowledge.space.run_folder(run), notes) for run in runs}
    arms = _gathered(
        ((row, row.ref.partition("#")[0], {}, items.get(row.run or "", ItemStatistics())) for row in unique),
        {},
    )
    notes += [problem for each in items.values() for problem in each.problems]
    return Evidence(arms, tuple(entry.id for entry in entries), tuple(notes), _singles(arms))


# from runs


def rows_of(folders: Sequence[Path]) -> list[ResultRow]:
    """Return the rows of finished runs for an entry of the log; a measurement that several runs share, once.

    Raises:
        UsageError: A run has no result.
    """
    rows: list[ResultRow] = []
    for folder in folders:
        path = folder / "rows.csv"
        if not path.is_file():
            raise UsageError(f"{folder.name} has no result yet.", hint=f"See: mu runs show {folder.name}")
        by = _code(folder / "provenance.yaml")
        found = read_csv(read_text(path), {}, path)
        stored = _items(folder, []).stored
        rows += [
            replace(row, code=row.code or by, items=_items_of(row, stored))
            for row in found
            if row.status == "current"
        ]
    kept = {(row.measurement(), row.baseline_kind, row.baseline): row for row in reversed(rows)}
    return list(reversed(kept.values()))


def _items_of(row: ResultRow, stored: item_file.StoredItems) -> str | None:
    """Return the cell `items` of a row with wins and losses; None where its run did not store them."""
    arm, baseline = stored.arms.get(arm_name(row)), stored.arms.get(row.baseline_kind or "")
    if row.wins is None or arm is None or baseline is None or arm.dtype != bool:
        return None
    cell = items_cell(stored.ids, arm.tolist(), baseline.tolist())
    found = ItemBits.parse(cell)
    counted = found.wins.bit_count(), found.losses.bit_count()
    return cell if counted == (row.wins, row.losses) else None


def _code(path: Path) -> str | None:
    """Return the commit or version that made a run, as the cell `code` has it; None where it is unknown."""
    words: list[str] = []
    with suppress(MuError):
        words = str(_yaml(path).get("code") or "").split()
    return words[-1] if words and CODE.match(words[-1]) else None


def from_runs(folders: Sequence[Path]) -> Evidence:
    """Load the rows, configuration and items of finished runs; the notes name runs without a result."""
    arms: list[ScoredArm] = []
    singles: dict[tuple[str, str, str], Single] = {}
    notes: list[str] = []
    origins = []
    for folder in folders:
        path = folder / "rows.csv"
        if not path.is_file():
            notes.append(f"{folder.name}: no result yet; left out.")
            continue
        rows = [row for row in read_csv(read_text(path), {}, path) if row.status == "current"]
        items = _items(folder, notes)
        extras = _extras(folder / "config.yaml")
        result = _result(folder / "result.json")
        arms += _gathered(((row, folder.name, extras, items) for row in rows), _more_baselines(result))
        notes += items.problems
        if rows:
            singles |= _more_singles(result, rows[0])
        origins.append(folder.name)
    kept = _distinct(arms)
    if len(kept) < len(arms):
        notes.append(f"{len(arms) - len(kept)} measurements that several runs share are left out.")
    return Evidence(tuple(kept), tuple(origins), tuple(notes), singles | _singles(kept))


def joined(parts: Sequence[Evidence]) -> Evidence:
    """Join evidence of one metric, the one that most arms have; a measurement that parts share counts once."""
    arms = _distinct([arm for part in parts for arm in part.arms])
    notes = [note for part in parts for note in part.notes]
    counts = Counter(arm.row.metric for arm in arms)
    metric = min(counts, key=lambda name: (-counts[name], name), default="accuracy")
    notes += [
        f"Results in {name} are left out, {counts[name]} of them: a report is of one metric, {metric}."
        for name in sorted(counts)
        if name != metric
    ]
    return Evidence(
        tuple(arm for arm in arms if arm.row.metric == metric),
        tuple(dict.fromkeys(origin for part in parts for origin in part.origins)),
        tuple(notes),
        {key: one for part in parts for key, one in part.singles.items() if one.metric == metric},
    )


def _singles(arms: Iterable[ScoredArm]) -> dict[tuple[str, str, str], Single]:
    return {
        (row.context, row.sources[0], row.target): Single(row.value, row.n or 0, row.metric)
        for arm in arms
        for row in (arm.row,)
        if arm.kind == SINGLE and len(row.sources) == 1
    }


def _more_singles(result: Mapping[str, Any], row: ResultRow) -> dict[tuple[str, str, str], Single]:
    """Return the scores of single models on a run's target, from its result.json."""
    return {
        (row.context, source, row.target): Single(float(found["test"]), row.n or 0, row.metric)
        for source, found in (result.get("singles") or {}).items()
        if isinstance(found, dict) and isinstance(found.get("test"), int | float)
    }


def _items(folder: Path, notes: list[str]) -> ItemStatistics:
    """Read a run's items.npz; without it, or where it is damaged, a report uses the rows alone."""
    if not (folder / "items.npz").is_file():
        return ItemStatistics()
    try:
        return ItemStatistics(folder.name, item_file.read(folder / "items.npz"))
    except MuError as error:
        notes.append(f"{folder.name}: {error.what} The rows alone are used.")
        return ItemStatistics()


def _extras(path: Path) -> dict[str, str]:
    """Return the settings of a resolved configuration that have no column in rows, as dotted keys."""
    return {
        key: " ".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value, _ in leaves(_yaml(path))
        if key.partition(".")[0] not in NOT_SETTINGS and value not in (None, {})
    }


def _yaml(path: Path) -> dict[str, Any]:
    """Return the table in a YAML file; empty without one. Raises MuError for one that is damaged."""
    try:
        found = yaml.safe_load(read_text(path)) if path.is_file() else {}
    except yaml.YAMLError as error:
        raise MuError(f"not YAML: {error}", where=str(path)) from error
    return found if isinstance(found, dict) else {}


def _result(path: Path) -> dict[str, Any]:
    """Return a run's result.json; empty for an imported run without one. Raises MuError for one that is damaged."""
    try:
        found = json.loads(read_text(path)) if path.is_file() else {}
    except json.JSONDecodeError as error:
        raise MuError(f"not JSON: {error}", where=str(path)) from error
    return found if isinstance(found, dict) else {}


def _more_baselines(result: Mapping[str, Any]) -> dict[str, float]:
    """Return kind → value of the baselines in result.json, which has more of them than the rows."""
    found = {
        k: v.get("value") if isinstance(v, dict) else v for k, v in (result.get("baselines") or {}).items()
    }
    return {k: float(v) for k, v in found.items() if isinstance(v, int | float) and -1 <= v <= 1}


# A row, its origin, settings without a column, and the items of its run.
Source = tuple[ResultRow, str, Mapping[str, str], ItemStatistics]


def _gathered(rows: Iterable[Source], more: Mapping[str, float]) -> tuple[ScoredArm, ...]:
    """Gather rows of registered metrics into arms: rows that differ in the baseline only are one arm.

    Items are joined by the id of the run and the name of the arm. more: kind → value of further baselines.
    """
    groups: dict[object, list[Source]] = {}
    for source in rows:
        if source[0].metric not in MEASURES:
            groups.setdefault((source[0].measurement(), source[1]), []).append(source)
    arms = []
    for group in groups.values():
        row, origin, extras, items = group[0]
        plain = replace(
            row, baseline_kind=None, baseline=None, wins=None, losses=None, se_pp=None, note="", ref=""
        )
        compared: dict[str, ResultRow] = {}
        if kind_of(row) != SINGLE:
            compared = {k: replace(plain, baseline_kind=k, baseline=value) for k, value in more.items()}
        own: dict[str, ResultRow] = {}
        for one, *_ in group:
            if one.baseline_kind is not None:
                own.setdefault(one.baseline_kind, one)
        compared |= own
        right = items.of(arm_name(row), row, row.value)
        rights = {kind: items.of(kind, row, other.baseline) for kind, other in compared.items()}
        known = {kind: found for kind, found in rights.items() if found}
        stored = items.stored
        arms.append(
            ScoredArm(
                plain, compared, origin, extras, next(iter(right), None), stored.ids, stored.groups, known
            )
        )
    return tuple(arms)


def _distinct(arms: Sequence[ScoredArm]) -> list[ScoredArm]:
    """Keep each measurement under the same settings once: many runs share the ensembles of one set of sources."""
    kept: dict[object, ScoredArm] = {}
    for arm in arms:
        same = (arm.row.measurement(), tuple(sorted(arm.extras.items())))
        held = kept.get(same)
        if held is None:
            kept[same] = arm
        else:
            kept[same] = replace(
                held, against={**arm.against, **held.against}, rights={**arm.rights, **held.rights}
            )
    return list(kept.values())


def kinds_in(arms: Iterable[ScoredArm]) -> list[str]:
    """Return the kinds of baselines that occur, those of the row format first and in its order."""
    found = {kind for arm in arms for kind in arm.against}
    return [k for k in BASELINE_KINDS if k in found] + sorted(found - set(BASELINE_KINDS))

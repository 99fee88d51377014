"""What did these runs and log entries measure? Their rows, gathered into arms with all that each is compared with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml

from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.row_parser import read_csv
from merginguriel.knowledge.parse.rows import BASELINE_KINDS, CODE, MEASURES, ResultRow, distinct
from merginguriel.study import item_file
from merginguriel.workspace import Workspace

SINGLE, ENSEMBLE, MERGE = "single", "ensemble", "merge"
# Keys of a run's configuration that a row says already, that name the run rather than a setting of it, or that
# change nothing in what is measured.
NOT_SETTINGS = (
    "kind", "task", "base", "data", "options", "target", "seed", "sources", "candidates", "mode", "method", "params",
    "similarity", "k", "keep", "ensembles", "locales", "splits",
)  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """One thing scored on one target: a merge, an ensemble or a single model.

    row       what was measured; its own baseline fields are empty
    against   kind of baseline → the row that compares with it
    extras    settings that rows have no column for, from the run's configuration
    right     bool [n], which test items it got right, or None; items, groups [n]: their ids, and which are variants
    rights    kind of baseline → bool [n] of it; of the mean of the sources: the share [n] of them that is right
    """

    row: ResultRow
    against: Mapping[str, ResultRow]
    origin: str
    extras: Mapping[str, str] = field(default_factory=dict)
    right: np.ndarray | None = None
    items: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    rights: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return kind_of(self.row)

    @property
    def block(self) -> tuple[str, str]:
        return self.row.context, self.row.target


@dataclass(frozen=True)
class Evidence:
    """arms of all origins; notes say what was left out and why.

    singles  (context, source, target) → accuracy of the model of one locale, test items
    """

    arms: tuple[Arm, ...]
    origins: tuple[str, ...]  # ids of runs and of entries
    notes: tuple[str, ...] = ()
    singles: Mapping[tuple[str, str, str], tuple[float, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Items:
    """A run's items.npz: ids [n], groups [n] or None, arm or baseline → bool [n]."""

    ids: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    right: Mapping[str, np.ndarray] = field(default_factory=dict)

    def of(self, names: Iterable[str], value: float) -> np.ndarray | None:
        """The first of the arms `names` whose accuracy is `value`: one that disagrees with its row is not of it."""
        for name in names:
            found = self.right.get(name)
            if found is not None and found.ndim == 1 and abs(float(found.mean()) - value) < 1e-5:
                return found
        return None

    def mean_of(self, sources: Sequence[str], value: float) -> np.ndarray | None:
        """Share [n] of the sources that gets an item right, if every source is there and the mean is `value`."""
        each = [self.right.get(f"{SINGLE}:{source}") for source in sources]
        known = [one for one in each if one is not None and one.ndim == 1]
        if not known or len(known) < len(each):
            return None
        found = np.mean(known, axis=0)
        return found if abs(float(found.mean()) - value) < 1e-5 else None


def kind_of(row: ResultRow) -> str:
    """`single` and `ensemble…` are words of the row format for what is no merge; every other method is one."""
    if row.method == SINGLE:
        return SINGLE
    return ENSEMBLE if row.method.lower().startswith(ENSEMBLE) else MERGE


# from the log


def from_entries(knowledge: Knowledge, prefixes: Sequence[str]) -> Evidence:
    """The rows of entries named by a beginning of their id. Rows that do not count are left out, and told."""
    entries = list({entry.id: entry for entry in map(knowledge.entry, prefixes)}.values())
    notes, kept = [], []
    for entry in entries:
        current = [row for row in entry.rows if row.status == "current"]
        if len(current) < len(entry.rows):
            notes.append(
                f"{entry.id}: rows that do not count any more are left out, {len(entry.rows) - len(current)} of "
                f"{len(entry.rows)}."
            )
        kept += current
    rows = distinct(kept)
    if len(rows) < len(kept):
        notes.append(f"Rows that repeat a measurement count once: {len(kept) - len(rows)} left out.")
    arms = _gathered(((row, row.ref.partition("#")[0], {}) for row in rows), {})
    return Evidence(arms, tuple(entry.id for entry in entries), tuple(notes), _singles(arms))


# from runs


def run_folders(space: Workspace, names: Sequence[str] = ()) -> list[Path]:
    """Folders of runs: paths, or unique beginnings of ids under runs/; without names, every run with rows."""
    root = space.root / "runs"
    if not names:
        found = sorted(path.parent for path in root.glob("*/rows.csv"))
        if not found:
            raise UsageError(
                "there is no finished run in this workspace.",
                where=str(root),
                mend="Make one with: mu run CONFIG.yaml\nor report on the log: mu report --log ENTRY",
            )
        return found
    return [_run_folder(root, name) for name in dict.fromkeys(names)]


def _run_folder(root: Path, name: str) -> Path:
    # A name with a separator is a path; anything else is looked up, so that a folder in the way does not hide a run.
    if Path(name).name != name or name in (".", ".."):
        if not Path(name).is_dir():
            raise UsageError(f"there is no run in the folder {name}.", mend="See all: mu runs list")
        return Path(name)
    found = sorted(path for path in root.glob("*/") if path.name.startswith(name) or path.name.endswith(name))
    exact = [path for path in found if path.name == name]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if found:
        raise UsageError(
            f"{name!r} begins or ends {len(found)} runs.", mend="\n".join(path.name for path in found[:8])
        )
    raise UsageError(
        f"no run's id begins or ends with {name!r}.", where=str(root), mend="See all: mu runs list"
    )


def sweep_runs(space: Workspace, name: str) -> list[str]:
    """Ids of the runs that a sweep lists in sweeps/<name>-<digest>/runs.json; of several of one name, the last."""
    root = space.root / "sweeps"
    known = sorted(root.glob("*/runs.json"), key=lambda path: (path.stat().st_mtime, path.parent.name))
    found = [path for path in known if name in (path.parent.name, path.parent.name.rpartition("-")[0])]
    if not found:
        raise UsageError(
            f"there is no sweep {name!r} here.",
            where=str(root),
            mend="There are: " + ", ".join(path.parent.name for path in known[-8:]) if known else None,
        )
    table = _json(found[-1])
    listed = table.get("runs") if isinstance(table, dict) else None
    ids = [one.get("run") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if not ids or not all(isinstance(one, str) for one in ids):
        raise MuError("this list of runs is damaged.", where=str(found[-1]))
    return [str(one) for one in ids]


def rows_of(folders: Sequence[Path]) -> list[ResultRow]:
    """The rows of finished runs, as they stand, for an entry of the log. Raises UsageError for a run without any.

    A measurement that stands in several runs (the baselines of one target) is there once.
    """
    rows: list[ResultRow] = []
    for folder in folders:
        path = folder / "rows.csv"
        if not path.is_file():
            raise UsageError(f"{folder.name} has no result yet.", mend=f"See: mu runs show {folder.name}")
        by = _code(folder / "provenance.yaml")
        found = read_csv(_text(path), {}, path)
        rows += [replace(row, code=row.code or by) for row in found if row.status == "current"]
    kept = {(row.measurement(), row.baseline_kind, row.baseline): row for row in reversed(rows)}
    return list(reversed(kept.values()))


def _code(path: Path) -> str | None:
    """What made a run, as the cell `code` says it: the commit, else the version; None where that is not known."""
    try:
        found = yaml.safe_load(_text(path)) if path.is_file() else None
    except yaml.YAMLError:
        return None
    said = str(found.get("code") or "").split() if isinstance(found, dict) else []
    return said[-1] if said and CODE.match(said[-1]) else None


def from_runs(folders: Sequence[Path]) -> Evidence:
    """The rows, configuration and items of finished runs. A run without rows is left out, and told."""
    arms: list[Arm] = []
    singles: dict[tuple[str, str, str], tuple[float, int]] = {}
    notes, origins = [], []
    for folder in folders:
        path = folder / "rows.csv"
        if not path.is_file():
            notes.append(f"{folder.name}: it has no result yet, and is left out.")
            continue
        rows = [row for row in read_csv(_text(path), {}, path) if row.status == "current"]
        items, problem = read_items(folder / "items.npz")
        if problem:
            notes.append(f"{folder.name}: {problem}")
        extras = _extras(folder / "config.yaml")
        result = _json(folder / "result.json")
        arms += _gathered(((row, folder.name, extras) for row in rows), _more_baselines(result), items)
        if rows:
            singles |= _more_singles(result, rows[0])
        origins.append(folder.name)
    kept = _distinct(arms)
    if len(kept) < len(arms):
        notes.append(f"Measurements that stand in several runs count once: {len(arms) - len(kept)} left out.")
    return Evidence(tuple(kept), tuple(origins), tuple(notes), singles | _singles(kept))


def joined(parts: Sequence[Evidence]) -> Evidence:
    """Return the evidence of all parts, as far as it is of one metric: the one that most arms have."""
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
        {key: value for part in parts for key, value in part.singles.items()},
    )


def _singles(arms: Iterable[Arm]) -> dict[tuple[str, str, str], tuple[float, int]]:
    return {
        (arm.row.context, arm.row.sources[0], arm.row.target): (arm.row.value, arm.row.n or 0)
        for arm in arms
        if arm.kind == SINGLE and len(arm.row.sources) == 1
    }


def _more_singles(result: object, row: ResultRow) -> dict[tuple[str, str, str], tuple[float, int]]:
    """What a run's result.json says that single models score on its target's test items."""
    stored = result.get("singles") if isinstance(result, dict) else None
    return {
        (row.context, str(source), row.target): (float(found["test"]), row.n or 0)
        for source, found in (stored if isinstance(stored, dict) else {}).items()
        if isinstance(found, dict) and isinstance(found.get("test"), int | float)
    }


def read_items(path: Path) -> tuple[Items, str]:
    """items.npz and what is wrong with it, in words: without it a report stands on the rows alone."""
    if not path.is_file():
        return Items(), ""
    try:
        stored = item_file.read(path)
    except MuError as error:
        return Items(), f"{error.what} Its rows are taken as they are."
    return Items(*stored), ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MuError("this is not UTF-8 text.", where=str(path)) from error


def _extras(path: Path) -> dict[str, str]:
    """The settings of a resolved configuration that no column of a row holds, as dotted keys."""
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise MuError(f"this is not YAML: {error}", where=str(path)) from error
    flat = _flat(found if isinstance(found, dict) else {})
    return {
        k: v for k, v in flat.items() if k not in NOT_SETTINGS and k.partition(".")[0] not in NOT_SETTINGS
    }


def _flat(table: Mapping[object, object], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            found[f"{prefix}{key}"] = " ".join(map(str, value))
        elif value is not None:
            found[f"{prefix}{key}"] = str(value)
    return found


def _json(path: Path) -> object:
    if not path.is_file():
        return None
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise MuError(f"this is not JSON: {error}", where=str(path)) from error


def _more_baselines(result: object) -> dict[str, float]:
    """Kind → value of the baselines in result.json, which may know more of them than the rows."""
    stored = result.get("baselines") if isinstance(result, dict) else None
    found = {}
    for kind, value in (stored if isinstance(stored, dict) else {}).items():
        number = value.get("value") if isinstance(value, dict) else value
        if isinstance(number, int | float) and 0 <= number <= 1:
            found[str(kind)] = float(number)
    return found


def _gathered(
    rows: Iterable[tuple[ResultRow, str, Mapping[str, str]]],
    more: Mapping[str, float],
    items: Items | None = None,
) -> tuple[Arm, ...]:
    """Return rows of registered metrics as arms: those that differ in the baseline only are one arm."""
    items = items or Items()
    bare: dict[object, tuple[ResultRow, str, Mapping[str, str]]] = {}
    against: dict[object, dict[str, ResultRow]] = {}
    for row, origin, extras in rows:
        if row.metric in MEASURES:
            continue
        measured = (row.measurement(), origin)
        bare.setdefault(measured, (row, origin, extras))
        held = against.setdefault(measured, {})
        if row.baseline_kind is not None:
            held.setdefault(row.baseline_kind, row)
    arms = []
    for key, (row, origin, extras) in bare.items():
        plain = replace(
            row, baseline_kind=None, baseline=None, wins=None, losses=None, se_pp=None, note="", ref=""
        )
        compared = against[key]
        if kind_of(row) != SINGLE:
            known = {kind: replace(plain, baseline_kind=kind, baseline=value) for kind, value in more.items()}
            compared = known | compared
        named = (row.method, kind_of(row)) if kind_of(row) == MERGE else (row.method,)
        right = items.of(named, row.value)
        rights = {
            kind: found
            for kind, other in compared.items()
            if other.baseline is not None and (found := items.of((kind,), other.baseline)) is not None
        }
        mean = compared.get("source_mean")
        if mean is not None and mean.baseline is not None:
            shares = items.mean_of(row.sources, mean.baseline)
            rights |= {} if shares is None else {"source_mean": shares}
        arms.append(Arm(plain, compared, origin, extras, right, items.ids, items.groups, rights))
    return tuple(arms)


def _distinct(arms: Sequence[Arm]) -> list[Arm]:
    """Each measurement under the same settings once: the ensembles of one set of sources stand in many runs."""
    kept: dict[object, Arm] = {}
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


def kinds_in(arms: Iterable[Arm]) -> list[str]:
    """Kinds of baselines that occur, those of the row format first and in its order."""
    found = {kind for arm in arms for kind in arm.against}
    return [k for k in BASELINE_KINDS if k in found] + sorted(found - set(BASELINE_KINDS))

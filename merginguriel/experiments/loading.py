"""What did these runs and log entries measure? Their rows, gathered into arms with all that each is compared with."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml

from ..errors import MuError, UsageError
from ..knowledge.base import Knowledge
from ..knowledge.parsing import read_csv
from ..knowledge.rows import BASELINE_KINDS, ResultRow, distinct
from ..workspace import Workspace

SINGLE, ENSEMBLE, MERGE = "single", "ensemble", "merge"
# Keys of a run's configuration that a row says already, that name the run rather than a setting of it, or that
# change nothing in what is measured.
NOT_SETTINGS = (
    "kind", "name", "task", "base", "data", "options", "context", "target", "seed", "sources", "candidates", "mode",
    "method", "params", "similarity", "k", "keep", "ensembles", "on", "device", "training.seed",
)  # fmt: skip
ITEM_IDS = ("items", "ids", "item_ids", "item")  # names of the array of item ids in items.npz


@dataclass(frozen=True)
class Arm:
    """One thing scored on one target: a merge, an ensemble or a single model.

    row       what was measured; its own baseline fields are empty
    against   kind of baseline → the row that compares with it
    extras    settings that rows have no column for, from the run's configuration
    right     bool [n], which test items it got right, or None; items, groups [n]: their ids, and which are variants
    rights    kind of baseline → bool [n] of it
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
    """arms of all origins; notes say what was left out and why."""

    arms: tuple[Arm, ...]
    origins: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Items:
    """A run's items.npz: ids [n], groups [n] or None, arm or baseline → bool [n]."""

    ids: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    right: Mapping[str, np.ndarray] = field(default_factory=dict)

    def of(self, names: Iterable[str], value: float) -> np.ndarray | None:
        """The array of one of `names`, alone or after a prefix such as `baseline:`, if its mean is `value`."""
        for name in names:
            for key, found in self.right.items():
                named = key == name or any(key.endswith(mark + name) for mark in ":/.")
                if named and abs(float(found.mean()) - value) < 1e-5:
                    return found
        return None


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
                f"{entry.id}: {len(entry.rows) - len(current)} rows do not count any more, and are left out."
            )
        kept += current
    rows = distinct(kept)
    if len(rows) < len(kept):
        notes.append(f"{len(kept) - len(rows)} rows repeat a measurement, which counts once.")
    arms = _gathered(((row, row.ref.partition("#")[0], {}) for row in rows), {})
    return Evidence(arms, tuple(entry.id for entry in entries), tuple(notes))


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
    found = sorted(path for path in root.glob("*/") if path.name.startswith(name))
    exact = [path for path in found if path.name == name]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if found:
        raise UsageError(
            f"{name!r} begins {len(found)} runs.", mend="\n".join(path.name for path in found[:8])
        )
    raise UsageError(f"no run's id begins with {name!r}.", where=str(root), mend="See all: mu runs list")


def sweep_runs(space: Workspace, name: str) -> list[str]:
    """Ids of the runs that a sweep names: every line of sweeps/<name>…/runs.txt, or the list in its sweep.yaml."""
    root = space.root / "sweeps"
    found = sorted(path for path in root.glob("*/") if path.name.startswith(name))
    exact = [path for path in found if path.name in (name, Path(name).name)]
    if len(found) != 1 and not exact:
        raise UsageError(
            f"{name!r} begins {len(found)} sweeps." if found else f"no sweep's name begins with {name!r}.",
            where=str(root),
            mend="\n".join(path.name for path in (found or sorted(root.glob("*/")))[:8]) or None,
        )
    folder = (exact or found)[0]
    for file in sorted(folder.glob("runs.*")):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".txt":
            return [line.strip() for line in text.splitlines() if line.strip()]
        listed = _ids(yaml.safe_load(text))  # JSON is YAML
        if listed:
            return listed
    raise MuError("this sweep does not say which runs it has.", where=str(folder))


def _ids(value: object) -> list[str]:
    """Run ids in a list of ids or of tables with an `id`, or in such a list under the key `runs`."""
    if isinstance(value, dict):
        return _ids(value.get("runs"))
    if not isinstance(value, list):
        return []
    return [str(one["id"] if isinstance(one, dict) else one) for one in value]


def from_runs(folders: Sequence[Path]) -> Evidence:
    """The rows, configuration and items of finished runs. A run without rows is left out, and told."""
    arms: list[Arm] = []
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
        more = _more_baselines(folder / "result.json")
        arms += _gathered(((row, folder.name, extras) for row in rows), more, items)
        origins.append(folder.name)
    kept = _distinct(arms)
    if len(kept) < len(arms):
        notes.append(f"{len(arms) - len(kept)} measurements stand in several runs, and count once.")
    return Evidence(tuple(kept), tuple(origins), tuple(notes))


def joined(parts: Sequence[Evidence]) -> Evidence:
    return Evidence(
        tuple(_distinct([arm for part in parts for arm in part.arms])),
        tuple(dict.fromkeys(origin for part in parts for origin in part.origins)),
        tuple(note for part in parts for note in part.notes),
    )


def read_items(path: Path) -> tuple[Items, str]:
    """items.npz and what is wrong with it, in words: without it a report stands on the rows alone."""
    if not path.is_file():
        return Items(), ""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        return Items(), f"items.npz cannot be read ({error}); its rows are taken as they are."
    ids = next((arrays[name] for name in ITEM_IDS if name in arrays), None)
    if ids is None:
        return Items(), "items.npz names no items; its rows are taken as they are."
    right = {n: a for n, a in arrays.items() if a.dtype == np.bool_ and a.shape == ids.shape and a.size}
    groups = arrays.get("groups")
    return (
        Items(
            tuple(map(str, ids)),
            tuple(map(str, groups)) if groups is not None and groups.shape == ids.shape else None,
            right,
        ),
        "",
    )


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


def _more_baselines(path: Path) -> dict[str, float]:
    """Kind → value of the baselines in result.json, which may know more of them than the rows."""
    if not path.is_file():
        return {}
    try:
        told = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise MuError(f"this is not JSON: {error}", where=str(path)) from error
    stored = told.get("baselines") if isinstance(told, dict) else None
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
    """Rows of accuracies as arms: those that differ in the baseline only are one arm."""
    items = items or Items()
    bare: dict[object, tuple[ResultRow, str, Mapping[str, str]]] = {}
    against: dict[object, dict[str, ResultRow]] = {}
    for row, origin, extras in rows:
        if row.metric != "accuracy":
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

"""Folders of runs, named by id, by path or by their sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merginguriel.errors import UsageError
from merginguriel.workspace import Workspace

from . import run_store, sweep


def run_folders(space: Workspace, names: Sequence[str] = (), sweeps: Sequence[str] = ()) -> list[Path]:
    """Find the folders of runs.

    Args:
        names: Paths, or unique beginnings or ends of ids; without names and sweeps: every run with rows.
        sweeps: Names of sweeps, whose runs are added; of several of one name, the last.

    Raises:
        UsageError: No run or sweep, or several runs, of a name.
    """
    named = [*names, *(member.id for name in sweeps for member in sweep.get(space, name).members)]
    if named:
        return [_folder(space, name) for name in dict.fromkeys(named)]
    found = sorted(path.parent for path in space.runs.glob("*/rows.csv"))
    if not found:
        raise UsageError(
            "no finished run in this workspace.",
            where=str(space.runs),
            hint="Make one with: mu run CONFIG.yaml\nor report on the log: mu report --log ENTRY",
        )
    return found


def _folder(space: Workspace, name: str) -> Path:
    # A name with a separator is a path; anything else is looked up, so that a folder in the way does not hide a run.
    if Path(name).name == name and name not in (".", ".."):
        return run_store.get(space, name).folder
    if not Path(name).is_dir():
        raise UsageError(f"no run in the folder {name}.", hint="See all: mu runs list")
    return Path(name)

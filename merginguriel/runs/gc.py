"""Find and remove run folders that were given up, and partial files that killed programs left."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from merginguriel import files
from merginguriel.errors import MuError
from merginguriel.workspace import Workspace

from . import run_store
from .run_store import Run

HALF = ("partial", "removed")  # suffixes of what a killed program leaves


@dataclass(frozen=True)
class Waste:
    """A folder or file that can be removed, the reason, and its size in bytes."""

    path: Path
    why: str
    size: int


def find(space: Workspace, states: Sequence[str], days: float = 0) -> list[Waste]:
    """Return runs in these states, and hidden partial files, that have not changed for so many days."""
    before = time.time() - 86400 * days
    found = []
    for run in run_store.listed(space):
        state = run_store.state(run)
        if state in states and (run.folder / "events.jsonl").stat().st_mtime <= before:
            found.append(Waste(run.folder, state, size_of(run.folder)))
    for path in partial(space):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime <= before:
                found.append(Waste(path, "left half", size_of(path)))
    return found


def partial(space: Workspace) -> Iterator[Path]:
    """Yield hidden folders of this program whose writer has ended, and those whose removal was interrupted."""
    for root in (space.runs, space.models, space.results):
        for path in sorted(path for ending in HALF for path in root.rglob(f".*.{ending}")):
            if not path.is_dir():
                continue
            try:
                with files.locked(path):
                    yield path
            except (BlockingIOError, FileNotFoundError):
                continue  # it is being written


def size_of(path: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def remove(waste: Waste) -> bool:
    """Remove a folder or file, and return whether it was removed; one that is in use, or changed since, is left."""
    run = Run(waste.path.name, waste.path)
    try:
        if waste.path.name.startswith("."):
            with files.locked(waste.path):
                shutil.rmtree(waste.path, ignore_errors=True)
        else:
            with run_store.claimed(run):
                if run_store.at_rest(run_store.events(run)) != waste.why:
                    return False
                gone = files.beside(waste.path, "removed")
                waste.path.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError, MuError):
        return False
    return True

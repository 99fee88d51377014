"""Archive of runs: their folders are moved to runs/.archive, out of every list, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from merginguriel.errors import MuError, UsageError
from merginguriel.workspace import Workspace, writable

from . import run_store


def archive(space: Workspace, names: Sequence[str]) -> list[str]:
    """Archive runs, and return those that were; one that is running stays.

    Raises:
        UsageError: None of them can be archived: they are running, or earlier runs of their ids are archived.
    """
    folder = writable(space).runs / ".archive"
    folder.mkdir(exist_ok=True)
    moved = []
    for name in names:
        run = run_store.get(space, name)
        with contextlib.suppress(MuError, OSError), run_store.claimed(run):
            run.folder.rename(folder / run.id)
            moved.append(run.id)
    if not moved:
        earlier = [folder / run_store.get(space, name).id for name in names]
        if blocking := next((one for one in earlier if one.exists()), None):
            raise UsageError(f"an earlier {blocking.name} is archived.", hint=f"Remove it first: {blocking}")
        raise UsageError(
            "runs that are running cannot be archived.", hint="Cancel them first: mu runs cancel RUN"
        )
    return moved


def restore(space: Workspace, names: Sequence[str]) -> list[str]:
    """Bring archived runs back, and return those that are back; one that was made again meanwhile stays archived."""
    back = []
    for name in names:
        place = space.runs / name
        if not place.exists() and (archived := space.run_folder(name)).is_dir():
            archived.rename(place)
            back.append(name)
    return back

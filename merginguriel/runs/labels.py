"""Tags and note of a run, stored among its events."""

from __future__ import annotations

from typing import NamedTuple

from . import run_store
from .run_store import Run


class Labels(NamedTuple):
    """Tags, words without spaces, and a note."""

    tags: tuple[str, ...] = ()
    note: str = ""


def read(run: Run) -> Labels:
    """Return the labels of a run."""
    found = Labels()
    for event in run_store.events(run):
        if event["event"] == "note" and "tags" in event:
            found = Labels(tuple(str(event["tags"]).split()), str(event.get("note", "")))
    return found


def write(run: Run, labels: Labels) -> None:
    """Replace the labels of a run."""
    if labels != read(run):
        run_store.Events(run.folder).add("note", tags=" ".join(labels.tags), note=labels.note)

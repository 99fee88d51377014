"""Checkpoints beside a model in training, from which an interrupted training is resumed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from merginguriel.tasks.base import digest

WHOLE = "whole"  # an empty file that is written last


@contextmanager
def beside(out: Path, made: Mapping[str, Any]) -> Iterator[Path]:
    """The folder for checkpoints of the model `out`, and of no other base, data or settings.

    It is removed when the block ends well; after an error or an interrupt it stays, if a checkpoint is in it.
    """
    folder = out.with_name(f"{out.name}-checkpoints-{digest(yaml.safe_dump(dict(made)))}")
    try:
        yield folder
    except BaseException:
        if last(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    for found in out.parent.glob(f"{out.name}-checkpoints-*"):
        shutil.rmtree(found, ignore_errors=True)


def complete(folder: Path, step: int) -> None:
    """Mark the Trainer's checkpoint of this step as written to its end."""
    (folder / f"checkpoint-{step}" / WHOLE).touch()


def last(folder: Path) -> Path | None:
    """The latest whole checkpoint; those that were being written when the training was killed are removed."""
    found: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if (path / WHOLE).is_file():
            found[int(path.name.rpartition("-")[2])] = path
        else:
            shutil.rmtree(path)
    return found[max(found)] if found else None

"""Checkpoints beside a model in training, from which an interrupted training is resumed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from transformers import TrainerCallback

from merginguriel.tasks.registry import digest

WHOLE = "whole"  # an empty file that is written last


@contextmanager
def beside(out: Path, made: Mapping[str, Any]) -> Iterator[Path]:
    """Provide the checkpoint folder of the model `out`, specific to base, data and settings.

    It is removed when the block ends without error; after an error or an interrupt it is kept if it has a checkpoint.
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


def last(folder: Path) -> Path | None:
    """Return the latest complete checkpoint, and remove incomplete ones."""
    found: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if (path / WHOLE).is_file():
            found[int(path.name.rpartition("-")[2])] = path
        else:
            shutil.rmtree(path)
    return found[max(found)] if found else None


class Keeper(TrainerCallback):
    """Callback that saves a checkpoint at a fixed interval in seconds."""

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every, self.kept = folder, every, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Request a checkpoint if the interval has passed."""
        del args, state, kwargs
        if time.monotonic() - self.kept >= self.every:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint as complete and restart the interval."""
        del args, control, kwargs
        (self.folder / f"checkpoint-{state.global_step}" / WHOLE).touch()
        self.kept = time.monotonic()

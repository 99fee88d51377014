"""Loading by transformers: quietly, from safetensors alone, without code from the folder unless the user trusts it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from merginguriel.errors import CheckpointError

from . import remote_code
from .base_models import first_line
from .checkpoint import WEIGHTS, find_tensors, plain_names
from .quiet_transformers import quiet


@contextlib.contextmanager
def plainly_named(path: Path) -> Iterator[Path | None]:
    """Yield a temporary copy of a folder saved inside torch.compile, DDP or FSDP, without their names; None for others.

    transformers can rename tensors while it loads, but it then writes the old names again when it saves.
    """
    try:
        tensors = find_tensors(path)
    except CheckpointError:  # transformers names the fault
        tensors = {}
    plain = plain_names(tensors)
    if all(name == short for name, short in plain.items()):
        yield None
        return
    files = sorted({info.file for info in tensors.values()})
    stored = {name: tensor for file in files for name, tensor in load_file(file).items()}
    with tempfile.TemporaryDirectory() as text:
        for file in path.iterdir():
            if file.is_file() and ".safetensors" not in file.name:
                (Path(text) / file.name).symlink_to(file.resolve())
        renamed = {plain[name]: tensor for name, tensor in stored.items()}
        save_file(renamed, Path(text) / WEIGHTS, metadata={"format": "pt"})
        yield Path(text)


def from_pretrained(kind: Any, path: Path, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """Return the model and its loading info. Code in the folder runs only where the user trusts it."""
    try:
        with quiet(), plainly_named(path) as plain:
            model, info = kind.from_pretrained(
                plain or path,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
                trust_remote_code=remote_code.trusted(),
                **kwargs,
            )
            model.config.name_or_path = str(path)
            return model, info
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, ImportError) as error:
        raise not_loaded("model", path, error) from error


def not_loaded(what: str, path: Path, error: Exception) -> CheckpointError:
    """Return the error for a model or tokenizer that transformers cannot load, with a hint for custom code."""
    if "trust_remote_code" in str(error):
        return CheckpointError(
            f"this {what} needs Python code from its folder, which does not run by default.",
            where=str(path),
            hint=remote_code.HINT,
        )
    if "ignore_mismatched_sizes" in str(error):
        return CheckpointError(
            f"this {what} cannot be loaded: weights have other shapes than config.json says.",
            where=str(path),
            hint="Heads that transformers 4 removed (prune_heads) cannot be loaded by transformers 5.",
        )
    return CheckpointError(f"this {what} cannot be loaded: {first_line(error)}", where=str(path))

"""GPUs that this machine offers, and their assignment to worker processes. No torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"


def present(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of the visible GPUs, as CUDA_VISIBLE_DEVICES takes them; empty without one.

    The variable is respected where it is set: CUDA ignores what follows an invalid name, and so does this.
    """
    given = (os.environ if environment is None else environment).get(VISIBLE)
    if given is not None:
        names: list[str] = []
        for name in map(str.strip, given.split(",")):
            if not name or name.startswith("-"):
                break
            names.append(name)
        return tuple(names)
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        asked = subprocess.run(
            [program, "--query-gpu=uuid", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(asked.stdout.split()) if asked.returncode == 0 else ()


def assigned(worker: int, gpus: Sequence[str]) -> dict[str, str]:
    """Return the environment variables of the worker with this number, from 0: one GPU each, in turn; empty without GPUs."""
    return {VISIBLE: gpus[worker % len(gpus)]} if gpus else {}

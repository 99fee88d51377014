"""The check of a GPU machine runs through on a tiny model without a GPU, and refuses to run without one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.lab]


def check(*arguments):
    return subprocess.run(
        [REPOSITORY / "scripts" / "gpu_check.sh", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip


def test_every_step_runs_on_a_tiny_model():
    done = check("--small", "--cpu")
    assert done.returncode == 0, done.stderr
    steps = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert {"train two locales", "N×N, float32", "N×N, bfloat16, 2 workers", "average and eval", "adamerging and eval",
            "cpu bfloat16 and CPU"} <= set(steps)  # fmt: skip


def test_without_a_gpu_it_ends_with_exit_code_3():
    done = check()
    assert done.returncode == 3 and "no GPU here" in done.stderr

"""The installed package answers from its knowledge anywhere, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY

# As where only the light dependencies are installed: whatever the lab extra brings cannot be imported.
WITHOUT_THE_LAB = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "datasets", "safetensors", "matplotlib", "hassil"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from merginguriel.cli.main import main
main()
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, built without network and unpacked as an installer does it."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    code = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    built = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def started(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_LAB, *arguments],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(installed)},
    )  # fmt: skip


def test_the_wheel_carries_every_skill_and_entry(installed):
    shipped = installed / "merginguriel" / "_shipped"
    for part in ("skills", "experiment_log"):
        here = {p.relative_to(REPOSITORY) for p in (REPOSITORY / part).rglob("*") if p.is_file()}
        there = {p.relative_to(shipped) for p in (shipped / part).rglob("*") if p.is_file()}
        assert {p for p in here if not any(x.startswith(".") for x in p.parts)} == there


def test_the_wheel_answers_from_an_empty_folder_and_names_the_extra(installed, tmp_path):
    told = started(installed, tmp_path, "advise", "--target", "sw-KE")
    assert told.returncode == 0 and told.stdout.startswith("sw-KE  ExcTar") and "P(gain > 0)" in told.stdout
    assert started(installed, tmp_path, "init", "w").returncode == 0
    for words in (["lint"], ["skills", "list"], ["log", "list"]):
        assert started(installed, tmp_path / "w", *words).returncode == 0
    told = started(installed, tmp_path / "w", "train", "--locale", "de-DE")
    assert told.returncode == 3 and "merginguriel[lab]" in told.stderr

"""`mu merge` of folders needs no workspace, no task and no locale names."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from merginguriel import workspace
from merginguriel.cli.main import run

sys.path.insert(0, str(Path(__file__).parent.parent / "merging"))
from tiny_models import bert


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder outside of any workspace with two fine-tunes and their base, as transformers saves them."""
    for seed, name in enumerate(("P", "A", "B")):
        bert(tmp_path / name, seed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workspace, "MARKER", "none.toml")  # a folder above may be a workspace
    return tmp_path


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_folders_are_merged_outside_of_a_workspace(elsewhere, capsys):
    flags = ["--method", "ties", "--source", "A", "--source", "B", "--pretrained", "P"]
    assert run(["merge", *flags, "--out", "O"]) == 0, capsys.readouterr().err
    assert set(weights(elsewhere / "O")) == set(weights(elsewhere / "A"))
    assert run(["merge", "O/recipe.yaml", "--out", "again"]) == 0
    assert (elsewhere / "O/model.safetensors").read_bytes() == (
        elsewhere / "again/model.safetensors"
    ).read_bytes()


def test_a_mergekit_configuration_is_merged_outside_of_a_workspace(elsewhere, capsys):
    text = "models: [{model: A, parameters: {weight: 3}}, {model: B, parameters: {weight: 1}}]\nmerge_method: linear\n"
    (elsewhere / "config.yaml").write_text(text, encoding="utf-8")
    assert run(["merge", "--mergekit", "config.yaml", "--out", "O"]) == 0, capsys.readouterr().err
    a, b = weights(elsewhere / "A"), weights(elsewhere / "B")
    for name, found in weights(elsewhere / "O").items():
        np.testing.assert_allclose(found, 0.75 * a[name] + 0.25 * b[name], atol=1e-6)
    assert run(["merge", "--mergekit", "config.yaml", "--method", "ties", "--out", "N"]) == 2


def test_what_needs_a_workspace_says_so(elsewhere, capsys):
    assert run(["merge", "--method", "linear", "--source", "A", "--source", "B"]) == 2
    assert "mu init" in capsys.readouterr().err
    assert run(["merge", "--method", "ties", "--source", "A", "--source", "B", "--out", "O"]) == 2
    assert "needs the pretrained base" in capsys.readouterr().err
    assert run(["merge", "--method", "regmean", "--source", "A", "--source", "B", "--out", "O"]) == 2
    assert "--text FILE" in capsys.readouterr().err
    assert not (elsewhere / "O").exists()

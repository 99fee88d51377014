"""Studies whose bases have the same name are separate."""

from __future__ import annotations

import json
import shutil

import pytest
from run_files import config_file

from merginguriel import workspace
from merginguriel.errors import MuError
from merginguriel.study.study import Study

pytestmark = pytest.mark.lab


@pytest.fixture
def namesake(trained, tmp_path):
    """Another base whose folder has the name of the first one's."""
    folder = tmp_path / "other" / trained.encoder.name
    shutil.copytree(trained.encoder, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-5}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("command", "more"),
    [("nxn", []), ("train", ["--locale", "de-DE"]), ("merge", ["--method", "average", "--source", "de-DE"])],
)
def test_models_of_another_base_of_the_same_name_are_not_taken(trained, namesake, command, more):
    trained.encoder, first = namesake, trained.encoder
    result = trained.mu(command, *more)
    assert result.code == 1 and str(first) in result.err and str(namesake) in result.err
    assert "another name" in result.err and "rooms/tiny-bert" in result.err


def test_a_run_on_another_base_of_the_same_name_is_refused_before_it_begins(trained, namesake):
    path = config_file(trained, base=str(namesake))
    ran = trained.mu("run", path, "--dry-run", "--workspace", trained.space)
    assert ran.code == 1 and str(namesake) in ran.err and str(trained.encoder) in ran.err
    assert not (trained.space / "runs").exists()


def test_the_same_base_elsewhere_or_by_its_name_is_the_same_study(trained, tmp_path):
    moved = tmp_path / "moved" / trained.encoder.name
    shutil.copytree(trained.encoder, moved)
    space = workspace.find(explicit=trained.space)
    there = set(Study(space, "rooms", str(trained.encoder), trained.sentences).trained())
    for name in (str(moved), trained.encoder.name, f"{trained.encoder}/"):
        assert set(Study(space, "rooms", name, trained.sentences).trained()) == there
    (moved / "model.safetensors").unlink()  # tidied away: nothing says that it is another
    Study(space, "rooms", str(moved), trained.sentences)
    (moved / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(MuError, match="same name"):
        Study(space, "rooms", str(moved), trained.sentences)


def test_the_packaged_base_does_not_take_the_models_of_a_folder_called_like_it(trained, tmp_path):
    root = trained.space / "models" / "rooms"
    (root / "tiny-bert").rename(root / "e5-small")
    with pytest.raises(MuError, match="not from e5-small"):
        Study(workspace.find(explicit=trained.space), "rooms", "e5-small", trained.sentences)

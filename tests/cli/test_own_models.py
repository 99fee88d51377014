"""Fine-tunes made elsewhere are registered, checked, and used like those that `mu train` makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import REPOSITORY
from lab_fixtures import write_sentences

from merginguriel.study import capabilities
from merginguriel.workspace import find

pytestmark = pytest.mark.slow

LOCALES = ("de-DE", "en-US", "sv-SE")
OURS = ("training.yaml", "README.md")  # files that only this program writes


@pytest.fixture
def outside(tmp_path, made, encoder):
    """Three fine-tunes as their owners saved them, in folders of other names, and a workspace without any."""
    folders = {}
    for number, locale in enumerate(LOCALES):
        folders[locale] = tmp_path / "theirs" / f"checkpoint-{number}"
        shutil.copytree(made / "models" / "rooms" / encoder.name / locale, folders[locale])
        for name in OURS:
            (folders[locale] / name).unlink(missing_ok=True)
    return folders


def words(command, lab):
    return [*command, *lab.study]


def mu(lab, *command):
    return lab.mu(*words(command, lab)) if command[0] == "models" else lab.mu(*command)


def test_registered_models_are_scored_merged_ranked_and_run(lab, outside):
    added = mu(lab, "models", "add", *(f"{locale}={folder}" for locale, folder in outside.items()), "--json")
    assert added.code == 0, added.err
    assert "writing the base" in added.err  # the first call takes a while
    assert [one["locale"] for one in added.data] == list(LOCALES) and all(one["sha256"] for one in added.data)
    assert not any((folder / name).exists() for folder in outside.values() for name in OURS)

    matrix = lab.mu("nxn", "--split", "dev", "--json")
    assert matrix.code == 0, matrix.err
    assert set(matrix.data["accuracy"]) == set(LOCALES)
    chosen = lab.mu(
        "merge", "--method", "similarity", "--similarity", "REAL", "--k", "2", "--target", "sv-SE", "--json"
    )
    assert chosen.code == 0, chosen.err
    recipe = yaml.safe_load(
        (lab.root / "merged" / chosen.data["path"].rpartition("/")[2] / "recipe.yaml").read_text()
    )
    assert {source["name"] for source in recipe["sources"]} == {"de-DE", "en-US"}
    row = lab.mu("eval", chosen.data["path"], "--locale", "sv-SE", "--against", "de-DE", "--row", "--json")
    assert row.code == 0, row.err
    assert "baseline_kind=best_single_source" in row.data[0]["row"]
    together = lab.mu("ensemble", "--target", "sv-SE", "--source", "de-DE", "--source", "en-US", "--json")
    assert together.code == 0, together.err

    config = lab.space / "run.yaml"
    table = {"kind": "merge", "task": "rooms", "data": str(lab.sentences), "base": str(lab.encoder),
             "target": "sv-SE", "sources": ["de-DE", "en-US"], "method": "linear"}  # fmt: skip
    config.write_text(yaml.safe_dump(table), encoding="utf-8")
    planned = lab.mu("run", config, "--dry-run", "--json", "--workspace", lab.space)
    assert planned.code == 0, planned.err
    assert "train" not in json.dumps(planned.data.get("plan", planned.data).get("train") or "")
    ran = lab.mu("run", config, "--workspace", lab.space)
    assert ran.code == 0, ran.err
    assert capabilities.trained(find(explicit=lab.space), "rooms/tiny-bert") == set(LOCALES)


def test_many_models_are_read_from_a_table_listed_shown_and_removed(lab, outside, tmp_path):
    table = tmp_path / "theirs" / "models.csv"
    lines = [f"{locale},{folder.name}" for locale, folder in outside.items()]
    table.write_text("locale,model\n" + "\n".join(lines) + "\n", encoding="utf-8")
    assert mu(lab, "models", "add", table).code == 0
    listed = mu(lab, "models", "list", "--json").data
    assert [(one["locale"], one["made"]) for one in listed] == [(locale, "registered") for locale in LOCALES]
    assert mu(lab, "models", "show", "de-DE", "--json").data["weights"] == "unchanged"
    refused = lab.mu("train", "--locale", "de-DE")
    assert refused.code == 1 and "mu models remove de-DE" in refused.err
    assert mu(lab, "models", "remove", "de-DE", "en-US").code == 0
    assert [one["locale"] for one in mu(lab, "models", "list", "--json").data] == ["sv-SE"]
    assert outside["de-DE"].is_dir()


def test_a_model_with_other_labels_or_none_or_another_base_is_refused(lab, outside, tmp_path):
    def changed(**changes):
        path = outside["de-DE"] / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**config, **changes}), encoding="utf-8")
        return mu(lab, "models", "add", f"de-DE={outside['de-DE']}")

    names = ["HassGetWeather", "HassLightSet", "HassTurnOff", "music"]
    other = changed(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
    assert other.code == 1 and "1 are missing (HassTurnOn) and 1 are not the task's (music)" in other.err
    nameless = [f"LABEL_{i}" for i in range(4)]
    unnamed = changed(id2label=dict(enumerate(nameless)), label2id={n: i for i, n in enumerate(nameless)})
    assert unnamed.code == 1 and "does not name its labels" in unnamed.err
    gone = mu(lab, "models", "add", f"de-DE={tmp_path / 'nowhere' / 'else'}")
    assert gone.code == 3 and "no such model folder" in gone.err
    assert mu(lab, "models", "list", "--json").data == []


def test_a_model_without_a_tokenizer_is_not_registered(lab, outside):
    for file in outside["de-DE"].glob("*token*"):
        file.unlink()
    (outside["de-DE"] / "vocab.txt").unlink(missing_ok=True)
    refused = mu(lab, "models", "add", f"de-DE={outside['de-DE']}")
    assert refused.code == 1 and "no tokenizer" in refused.err


def test_a_hub_name_is_taken_from_the_local_cache_with_its_revision(lab, outside, tmp_path, monkeypatch):
    import huggingface_hub.constants

    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--owner--fine-tune"
    shutil.copytree(outside["de-DE"], repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision, encoding="utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    added = mu(lab, "models", "add", "de-DE=owner/fine-tune", "--json")
    assert added.code == 0, added.err
    assert added.data[0]["revision"] == revision


def test_the_example_goes_from_five_fine_tunes_made_outside_to_a_report(encoder, tmp_path):
    script = REPOSITORY / "examples" / "own_models.py"
    sentences = tmp_path / "sentences"
    sentences.mkdir()
    write_sentences(sentences, (*LOCALES, "fr-FR", "nl-NL"))
    words = ["--data", sentences, "--base", encoder, "--target", "sv-SE", "--work", tmp_path / "own"]
    ran = subprocess.run(
        [sys.executable, script, *map(str, words), "--epochs", "6", "--rate", "3e-3", "--evaluations", "6"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    theirs = tmp_path / "own" / "theirs"
    assert len(list(theirs.iterdir())) == 5 and not any(
        (one / n).exists() for one in theirs.iterdir() for n in OURS
    )
    assert (tmp_path / "own" / "study" / "report" / "report.html").is_file()
    assert (tmp_path / "own" / "study" / "merged" / "model.safetensors").is_file()

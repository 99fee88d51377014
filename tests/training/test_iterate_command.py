"""`mu iterate` for many targets, and after a kill."""

from __future__ import annotations

import shutil
import signal

import pytest
import yaml

from merginguriel.knowledge.parse.entries import entry_paths, parse_entry
from merginguriel.study.iterate_study import iterate
from merginguriel.study.study import Study
from merginguriel.training.settings import IterateSettings
from merginguriel.workspace import find

pytestmark = [pytest.mark.slow, pytest.mark.lab]
FAST = ("--epochs", "4", "--merge-every", "2", "--learning-rate", "3e-3", "--head-learning-rate", "1e-2",
        "--batch-size", "8", "--no-bf16")  # fmt: skip


@pytest.fixture
def mu(trained):
    """`mu iterate` on the study of the fixture `trained`."""

    def call(*words, apart=False):
        return (trained.start if apart else trained.mu)("iterate", *words, *FAST, *trained.study)

    return call


def test_a_target_is_scored_beside_single_models_and_written_down(trained, mu):
    pair = ("--source", "de-DE", "--source", "en-US")
    ran = mu("--target", "sv-SE", *pair, "--method", "ties", "--param", "density=0.5", "--log", "--json")
    assert ran.code == 0, ran.err
    (one,) = ran.data
    assert one["n"] == 28 and set(one["compared"]) >= {"best_single_source", "target_alone"}
    record = yaml.safe_load(
        (trained.root / "merged" / one["path"] / "iterate.yaml").read_text(encoding="utf-8")
    )
    assert [outcome["epochs"] for outcome in record["rounds"]] == [2, 4]
    (path,) = entry_paths(find(explicit=trained.space).log)
    entry = parse_entry(path.read_text(encoding="utf-8"), path)
    kinds = {row.baseline_kind for row in entry.rows}
    assert kinds == {"best_single_source", "source_mean", "target_alone"}
    row = entry.rows[0]
    assert (row.method, row.mode, row.k, row.sources) == ("iterate_ties", "ExcTar", 2, ("de-DE", "en-US"))
    assert dict(row.params) == {"density": "0.5", "epochs": "4", "merge_every": "2"} and row.saw == "nothing"
    again = mu("--target", "sv-SE", *pair, "--method", "ties", "--param", "density=0.5", "--log")
    assert again.code == 0 and f"{100 * one['accuracy']:.1f}%" in again.out and entry.id in again.err
    assert entry_paths(find(explicit=trained.space).log) == [path]
    scored = trained.mu("eval", one["path"], "--locale", "sv-SE", "--json")
    assert scored.data[0]["accuracy"] == one["accuracy"]


def test_many_targets_choose_their_own_sources_and_one_that_fails_is_named(trained, mu):
    words = (
        "--target",
        "sv-SE",
        "--target",
        "de-DE",
        "--target",
        "da-DK",
        "--similarity",
        "URIEL",
        "--k",
        "2",
    )
    ran = mu(*words)
    assert ran.code == 1 and "1 of 3 targets failed: da-DK" in ran.err
    assert [line.split()[0] for line in ran.out.splitlines() if line[0] != " "] == ["sv-SE", "de-DE"]
    names = sorted(path.name for path in (trained.root / "merged").iterdir())
    assert [name[:21] for name in names] == ["de-DE-iterate-average", "sv-SE-iterate-average"]
    assert mu("--target", "da-DK", "--similarity", "URIEL", "--k", "2").code == 2


def test_real_similarity_weighs_by_what_was_measured_and_says_what_it_saw(trained, mu):
    ran = mu("--target", "sv-SE", "--method", "similarity", "--similarity", "REAL", "--k", "2", "--json")
    assert ran.code == 0, ran.err
    row = ran.data[0]["rows"][0]
    assert row["saw"] == "labels" and sum(row["weights"]) == pytest.approx(1, abs=1e-5)


def test_without_a_target_the_sources_are_trained_and_merged(trained, mu):
    ran = mu("--source", "de-DE", "--source", "sv-SE", "--json")
    assert ran.code == 0 and (trained.root / "merged" / ran.data[0]["path"] / "model.safetensors").is_file()
    assert mu().code == 2 and mu("--source", "de-DE", "--log").code == 2
    assert mu("--target", "sv-SE", "--source", "de-DE", "--weight", "de-DE=much").code == 2


def test_each_target_is_a_run_that_a_dry_run_shows_and_a_removed_merge_is_made_again(trained, mu):
    words = (
        "--target",
        "sv-SE",
        "--source",
        "de-DE",
        "--source",
        "en-US",
        "--weight",
        "de-DE=3",
        "--weight",
        "en-US=1",
    )
    planned = mu(*words, "--method", "linear", "--dry-run", "--json").data[0]
    assert planned["state"] == "new" and planned["config"]["weights"] == {"de-DE": 3.0, "en-US": 1.0}
    assert not list((trained.space / "runs").glob("*"))
    (one,) = mu(*words, "--method", "linear", "--json").data
    assert one["run"] == planned["run"] and one["weights"] == [0.75, 0.25]
    assert (
        trained.mu("runs", "show", one["run"], "--workspace", trained.space, "--json").data["state"]
        == "finished"
    )
    shutil.rmtree(one["path"])
    (again,) = mu(*words, "--method", "linear", "--json").data
    assert (
        again["accuracy"] == one["accuracy"]
        and (trained.root / "merged" / one["path"] / "config.json").is_file()
    )


def test_a_command_that_was_killed_goes_on(trained, mu):
    words = (
        "--target",
        "sv-SE",
        "--source",
        "de-DE",
        "--source",
        "en-US",
        "--no-score",
        "--schedule",
        "gain",
    )
    child = mu(*words, apart=True)
    child.until(lambda: list(trained.root.glob("merged/*-rounds/round-0001/en-US.safetensors")))
    child.send(signal.SIGKILL)
    child.end()
    ran = mu(*words)
    assert ran.code == 0, ran.err
    assert len(list((trained.root / "merged").iterdir())) == 1 and trained.litter() == []


def test_the_same_from_python(trained):
    study = Study(find(explicit=trained.space), "rooms", str(trained.encoder), trained.sentences)
    training = {"learning_rate": 3e-3, "batch_size": 8, "bf16": False}
    settings = IterateSettings(("de-DE", "en-US"), "sv-SE", epochs=2, training=training)
    told = []
    path = iterate(study, settings, progress=lambda *what: told.append(what))
    assert (path / "model.safetensors").is_file() and told[-1][2].startswith("round 2 of 2")
    assert iterate(study, settings) == path

"""Runs of kinds `merge`, `train`, `nxn` and `iterate`: carried out once, complete results."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml
from run_files import QUICK, config_file, made_run, names, only_run

from merginguriel.merging.recipe import Recipe, Source, check, dump_recipe, load_recipe
from merginguriel.report import scored_arms
from merginguriel.runs import run_store, worker
from merginguriel.study import merge_store

pytestmark = pytest.mark.lab


@pytest.mark.slow
def test_a_run_from_nothing_trains_merges_and_compares_with_every_baseline(lab):
    path = config_file(lab, candidates=["de-DE", "en-US"])
    ran = lab.mu("run", path, "--workspace", lab.space, "--json")
    assert ran.code == 0, ran
    found = ran.data
    assert found["sources"] and set(found["sources"]) == {"de-DE", "en-US"}
    assert set(found["baselines"]) >= {"best_single_source", "source_mean", "target_alone", "average_merge",
                                       "majority_class", "pretrained_base"}  # fmt: skip
    assert "best_zero_shot" not in found["baselines"]  # no other model was scored than the sources
    assert len(found["ensembles"]) == 5 and found["goal"]["number"] == 1
    run = only_run(lab)
    assert run.id == found["run"] and run.id.startswith("merge-sv-SE-ties-")
    assert run_store.state(run) == "finished" and names(run)[0] == "created" and names(run)[-1] == "finished"
    last = run_store.events(run)[-1]
    assert last["seconds"] > 0 and last["peak_memory_mb"] > 50
    with (run.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {run.id}
    merged = [row for row in rows if row["method"] == "ties"]
    assert {float(row["value"]) for row in merged} == {round(found["accuracy"], 6)}
    assert {row["baseline_kind"] for row in merged} == set(found["baselines"])
    together = {row["method"]: float(row["value"]) for row in rows if row["method"] != "ties"}
    assert together == {f"ensemble_{name}": round(v, 6) for name, v in found["ensembles"].items()}
    # The similarity that chose the sources chose the ensembles' too, by labels of the target.
    assert {(row["similarity"], row["saw"]) for row in rows} == {("REAL", "labels")}
    output = scored_arms.from_runs([run.folder])
    assert not output.notes and all(
        arm.right is not None for arm in output.arms if arm.row.method != "single"
    )
    items = np.load(run.folder / "items.npz")
    assert len(items["ids"]) == found["n"] and items["merge"].mean() == found["accuracy"]
    assert items["ensemble_soft"].mean() == found["ensembles"]["soft"]
    assert items["target_alone"].mean() == found["baselines"]["target_alone"]["value"]
    made = yaml.safe_load((run.folder / "provenance.yaml").read_text())
    assert made["packages"]["torch"] and made["seed"] == 0 and made["machine"]["cores"]


@pytest.mark.slow
def test_the_same_configuration_is_the_same_run_and_is_not_done_again(trained):
    one = config_file(trained, "one.yaml", training=None)
    other = config_file(trained, "other.yaml", training=None, seed=0, mode="ExcTar")
    first = trained.mu("run", one, "--workspace", trained.space, "--json")
    before = names(only_run(trained))
    second = trained.mu("run", other, "--workspace", trained.space, "--json")
    assert first.code == second.code == 0 and first.data == second.data
    assert names(only_run(trained)) == before


def test_a_finished_run_on_sentences_that_have_changed_is_shown_with_a_note(trained, tmp_path):
    mine = shutil.copytree(trained.sentences, tmp_path / "mine")
    path = config_file(trained, training=None, data=str(mine), method="average", ensembles=False)
    first = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert first.code == 0 and "note" not in first.err
    text = (mine / "sv-SE.csv").read_text(encoding="utf-8").splitlines()
    (mine / "sv-SE.csv").write_text("\n".join(text[:-1]), encoding="utf-8")
    second = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert (
        second.data == first.data
        and "the test sentences of" in second.err
        and "runs/merge-sv-SE" in second.err
    )


def test_mode_decides_whether_the_target_is_a_source(trained):
    path = config_file(trained, training=None, mode="IncTar", similarity="URIEL", method="average")
    found = trained.mu("run", path, "--workspace", trained.space, "--json").data
    assert found["mode"] == "IncTar" and len(found["sources"]) == 2 and "sv-SE" in found["sources"]


def test_a_merge_in_memory_answers_as_one_on_disk(trained):
    path = config_file(trained, training=None, method="similarity", keep=True)
    found = trained.mu("run", path, "--workspace", trained.space, "--json").data
    assert found["method"] == "similarity" and found["weights"][0] >= found["weights"][1]
    scored = trained.mu("eval", trained.space / found["path"], "--locale", "sv-SE", "--json").data
    assert scored[0]["accuracy"] == found["accuracy"]


@pytest.mark.slow
def test_keeping_the_model_of_a_finished_run_makes_it_later(trained):
    path = config_file(trained, training=None)
    first = trained.mu("run", path, "--workspace", trained.space, "--json").data
    later = trained.mu("run", path, "--set", "keep=true", "--workspace", trained.space, "--json").data
    assert first["path"] is None and (trained.space / later["path"] / "config.json").is_file()
    assert first["run"] == later["run"] and first["accuracy"] == later["accuracy"]


def test_the_best_of_all_models_is_a_baseline_where_more_than_the_sources_were_scored(trained):
    path = config_file(trained, training=None, k=1, method="average", ensembles=False)
    found = trained.mu("run", path, "--workspace", trained.space, "--json").data
    assert len(found["sources"]) == 1 and found["baselines"]["best_zero_shot"]["n"] == found["n"]


def test_a_model_that_is_asked_for_while_the_run_is_at_work_is_written(trained):
    run = made_run(trained, training=None, method="average", ensembles=False)
    asked = []

    def ask(done, total, text):
        if "compare" in text and not asked:
            asked.append(made_run(trained, training=None, method="average", ensembles=False, keep=True))

    assert worker.execute(run, ask) == "finished" and asked[0].id == run.id
    assert names(run).count("finished") == 1
    assert (trained.space / run_store.result(run)["path"] / "recipe.yaml").is_file()


def test_a_model_that_should_be_kept_and_is_gone_is_written_when_it_is_asked_for_again(trained):
    path = config_file(trained, training=None, method="average", ensembles=False, keep=True)
    first = trained.mu("run", path, "--workspace", trained.space, "--json").data
    shutil.rmtree(trained.space / first["path"])
    again = trained.mu("run", path, "--workspace", trained.space, "--json").data
    assert again == first and (trained.space / first["path"] / "recipe.yaml").is_file()
    before = names(only_run(trained))
    assert trained.mu("run", path, "--workspace", trained.space).code == 0
    assert names(only_run(trained)) == before


@pytest.mark.slow
def test_processes_that_find_a_merge_outdated_at_once_make_it_once_and_leave_it_whole(trained):
    models = trained.root
    sources = tuple(Source(name, models / name) for name in ("de-DE", "en-US"))
    recipe = check(Recipe("average", sources, base=models / "base", target="sv-SE"))
    out = merge_store.merge_once(recipe, models / "merged" / "one")
    made = load_recipe(out / "recipe.yaml")
    weights = dict.fromkeys(made.sources[0].sha256, "0" * 64)
    old = replace(made, sources=(replace(made.sources[0], sha256=weights), *made.sources[1:]))
    (out / "recipe.yaml").write_text(dump_recipe(old))
    (models / "recipe.yaml").write_text(dump_recipe(recipe))
    code = (
        "import sys; from pathlib import Path; from merginguriel.study.merge_store import merge_once; "
        "from merginguriel.merging.recipe import load_recipe; "
        "print(merge_once(load_recipe(Path(sys.argv[1])), Path(sys.argv[2])))"
    )
    words = [sys.executable, "-c", code, str(models / "recipe.yaml"), str(out)]
    begun = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [one.communicate(timeout=120)[0].strip() for one in begun] == [str(out)] * 4
    assert load_recipe(out / "recipe.yaml").sources == made.sources
    assert merge_store.is_current(out) and not list(out.parent.glob(".*"))


@pytest.mark.slow
def test_a_run_of_kind_train_makes_the_models_and_one_of_kind_nxn_scores_them(lab):
    common = {"target": None, "method": None, "similarity": None, "k": None}
    path = config_file(lab, kind="train", locales=["de-DE", "sv-SE"], **common)
    found = lab.mu("run", path, "--workspace", lab.space, "--json").data
    assert found["models"]["de-DE"]["dev_accuracy"] > 0.4 and (lab.root / "sv-SE" / "config.json").is_file()
    path = config_file(lab, kind="nxn", **common)
    found = lab.mu("run", path, "--workspace", lab.space, "--json").data
    assert set(found["test"]["accuracy"]) == {"de-DE", "sv-SE"}
    table = lab.space / "results" / "nxn-rooms-tiny-bert-test.csv"
    folder = lab.space / "runs" / found["run"]
    assert table.read_text() == (folder / "nxn-test.csv").read_text()
    assert len((folder / "rows.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_a_run_of_kind_iterate_trains_in_turn_and_is_compared(trained):
    path = config_file(trained, kind="iterate", k=None, similarity=None, sources=["de-DE", "en-US"], method="average",
                       iterate={"epochs": 2, "merge_every": 1}, training={**QUICK, "epochs": None})  # fmt: skip
    ran = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert ran.code == 0, ran
    found = ran.data
    assert found["method"] == "iterate_average" and found["mode"] == "ExcTar" and len(found["rounds"]) == 2
    assert found["baselines"]["best_single_source"]["comparison"]["n"] == found["n"]
    assert "best_zero_shot" not in found["baselines"]
    items = np.load(only_run(trained).folder / "items.npz")
    assert items["merge"].mean() == found["accuracy"]
    assert trained.mu("run", path, "--workspace", trained.space).out.startswith(found["run"])


def test_a_dry_run_says_what_it_would_be_and_writes_nothing(trained):
    path = config_file(trained, training=None)
    ran = trained.mu("run", path, "--dry-run", "--workspace", trained.space, "--json")
    assert ran.data["state"] == "new" and ran.data["config"]["candidates"] == ["de-DE", "en-US", "sv-SE"]
    assert not (trained.space / "runs").exists()


def test_a_run_that_fails_says_why_and_can_be_done_again(trained):
    path = config_file(
        trained, training=None, method="fisher_dataset", params={"sentences": 8}, text="gone.txt"
    )
    ran = trained.mu("run", path, "--workspace", trained.space)
    assert ran.code == 2 and "gone.txt" in ran.err
    run = only_run(trained)
    assert run_store.state(run) == "failed" and "gone.txt" in run_store.events(run)[-1]["error"]
    assert not (run.folder / "result.json").exists()


@pytest.mark.slow
def test_two_processes_do_not_work_on_one_run(trained):
    run = made_run(trained, training=None)
    with run_store.claimed(run):
        (run.folder / "lock").write_text("4711 elsewhere\n")
        assert run_store.state(run) == "running"
        with pytest.raises(run_store.MuError, match="4711 on elsewhere"):
            worker.execute(run)
    assert run_store.state(run) == "queued" and worker.execute(run) == "finished"


@pytest.mark.slow
def test_a_process_that_only_looks_at_a_run_does_not_keep_it_from_starting(trained):
    import fcntl
    import os
    import threading

    run = made_run(trained, training=None)
    descriptor = os.open(run.folder / "lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # as `held` takes it, but for as long as this test likes
    entered = threading.Event()

    def claim():
        with run_store.claimed(run):
            entered.set()

    thread = threading.Thread(target=claim)
    thread.start()
    assert not entered.wait(0.7)
    os.close(descriptor)
    assert entered.wait(120)
    thread.join()


def test_a_torn_last_line_is_passed_over_and_not_continued(trained):
    run = made_run(trained, training=None)
    with (run.folder / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-01-01", "event": "fini')
    assert run_store.state(run) == "queued"
    run_store.Events(run.folder).add("note", text="after")
    assert names(run) == ["created", "note"]
    assert json.loads((run.folder / "events.jsonl").read_text().splitlines()[-1])["text"] == "after"

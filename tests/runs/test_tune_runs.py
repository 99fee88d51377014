"""`mu tune`: searches on development data, tests once, leaves a recipe that repeats its merge."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from run_files import config_file, made_run, only_run, steps

from merginguriel.runs import run_store, worker

pytestmark = [pytest.mark.slow, pytest.mark.lab]

SEARCH = {
    "kind": "tune",
    "method": "task_arithmetic",
    "sources": ["de-DE", "en-US"],
    "similarity": None,
    "k": None,
    "tune": {"evaluations": 10},
}


def tuned(lab, *more):
    sources = ["--source", "de-DE", "--source", "en-US"]
    given = ["--target", "sv-SE", *sources, "--evaluations", "10", *more, *lab.study]
    return lab.mu("tune", *given)


def test_a_search_is_tested_once_beside_the_merge_before_it(trained):
    ran = tuned(trained, "--json")
    assert ran.code == 0, ran
    found, run = ran.data, only_run(trained)
    assert found["saw"] == "labels" and found["params"].keys() == {"scale"}
    assert found["tuned"]["evaluations"] == 10 and found["tuned"]["tuned_on"] == "sv-SE dev"
    assert found["tuned"]["dev_accuracy_after"] >= found["tuned"]["dev_accuracy_before"]
    assert {"best_single_source", "untuned_merge", "target_alone"} <= set(found["baselines"])
    with (run.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["saw"] for row in rows} == {"labels"}
    assert all("tuned=weights,scale" in row["params"] for row in rows)
    before = next(row for row in rows if row["baseline_kind"] == "untuned_merge")
    items = np.load(run.folder / "items.npz")
    assert items["merge"].mean() == found["accuracy"]
    assert items["untuned_merge"].mean() == pytest.approx(float(before["baseline"]), abs=1e-6)

    out = trained.space / "again"
    assert trained.mu("merge", run.folder / "recipe.yaml", "--out", out).code == 0
    again = trained.mu("eval", out, "--locale", "sv-SE", "--json").data[0]
    assert again["accuracy"] == pytest.approx(found["accuracy"], abs=0.02)
    assert "labels of 20 sentences (sv-SE dev)" in again["saw"]

    shown = tuned(trained)
    assert shown.code == 0 and "tuned    weights, scale:" in shown.out and "untuned merge" in shown.out


def test_an_interrupted_search_goes_on_from_its_journal(trained):
    run = made_run(trained, **SEARCH)
    assert worker.execute(run) == "finished"
    whole = (run.folder / "evaluations.jsonl").read_text().splitlines()
    result = run_store.result(run)
    assert len(whole) == 11

    other = made_run(
        trained, **{**SEARCH, "report_to": [], "seed": 0, "tune": {"evaluations": 10, "knots": 3}}
    )
    half = "\n".join(whole[:6]) + "\n" + whole[6][:9]  # killed while it wrote
    (other.folder / "evaluations.jsonl").write_text(half)
    assert worker.execute(other) == "finished"
    assert run_store.result(other)["accuracy"] == result["accuracy"]
    assert run_store.result(other)["weights"] == result["weights"]


def test_a_plan_counts_the_merges_of_the_search(trained):
    planned = tuned(trained, "--dry-run", "--json")
    assert planned.code == 0 and planned.data["plan"]["merges"] == 13
    assert planned.data["state"] == "new" and planned.data["run"].startswith("tune-sv-SE-task_arithmetic-")


def test_a_range_that_is_none_is_a_usage_error(trained):
    ran = trained.mu("tune", "--target", "sv-SE", "--source", "de-DE", "--source", "en-US", "--range", "scale=2",
                     *trained.study)  # fmt: skip
    assert ran.code == 2 and "LOW..HIGH" in ran.err, ran


def test_a_yaml_of_kind_tune_is_a_run(trained):
    path = config_file(trained, **SEARCH)
    ran = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert ran.code == 0 and ran.data["kind"] == "tune", ran
    assert any(
        text.startswith("search weights, scale of task_arithmetic") for text in steps(only_run(trained))
    )
    assert json.loads((only_run(trained).folder / "evaluations.jsonl").read_text().splitlines()[1])["point"]

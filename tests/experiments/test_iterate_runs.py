"""Does a run of the kind iterate put its results where those of merges lie, for a sweep over many targets?"""

from __future__ import annotations

import csv

import numpy as np
import pytest
from run_files import QUICK, config_file, names, only_run

from merginguriel.experiments import runs

pytestmark = pytest.mark.lab


def test_an_iterate_run_is_scored_against_every_baseline_and_against_merging_once(trained):
    rounds = {"epochs": 2, "anchor": "pretrained"}
    path = config_file(
        trained,
        kind="iterate",
        sources=["de-DE", "en-US"],
        similarity=None,
        k=None,
        iterate=rounds,
        training=QUICK,
    )
    ran = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert ran.code == 0, ran
    found, run = ran.data, only_run(trained)
    assert runs.state(run) == "finished" and names(run)[-1] == "finished"
    assert run.id.startswith("iterate-sv-SE-ties-")
    assert found["method"] == "iterate_ties" and len(found["rounds"]) == 2 and found["failed"] == {}
    assert found["params"] == {"anchor": "pretrained", "epochs": "2"}
    assert set(found["baselines"]) >= {"best_single_source", "source_mean", "target_alone", "average_merge",
                                       "majority_class", "pretrained_base"}  # fmt: skip
    with (run.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"iterate_ties"} and {row["run"] for row in rows} == {run.id}
    items = np.load(run.folder / "items.npz")
    assert items["merge"].mean() == found["accuracy"] and items["merged_once"].mean() == found["merged_once"]


def test_sources_are_chosen_from_the_candidates(trained):
    path = config_file(
        trained, kind="iterate", similarity="URIEL", candidates=["de-DE", "en-US"], k=1, method="average",
        iterate={"epochs": 1}, training=QUICK,
    )  # fmt: skip
    ran = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert ran.code == 0, ran
    assert len(ran.data["sources"]) == 1 and ran.data["sources"][0] in ("de-DE", "en-US")

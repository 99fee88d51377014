"""Runs of kind `iterate`: results, baselines, choice of sources."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from run_files import QUICK, config_file, names, only_run

from merginguriel import workspace
from merginguriel.config import run_config as configs
from merginguriel.runs import resolve, run_store
from merginguriel.runs.kinds.iterate import settings_from
from merginguriel.study import iterate_study

pytestmark = [pytest.mark.slow, pytest.mark.lab]


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
    assert run_store.state(run) == "finished" and names(run)[-1] == "finished"
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


def test_merging_once_weighs_as_the_rounds_do(trained):
    path = config_file(
        trained, kind="iterate", sources=["de-DE", "en-US"], similarity="URIEL", k=None, method="similarity",
        iterate={"epochs": 1}, training=QUICK,
    )  # fmt: skip
    ran = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert ran.code == 0, ran
    once = ran.data["merged_once_weights"]
    assert list(once.values()) == pytest.approx(ran.data["weights"], abs=1e-6)
    assert once["de-DE"] > once["en-US"] + 0.01  # Swedish is nearer to German in no equal shares


def test_with_real_similarity_merging_once_weighs_by_the_single_models(trained):
    path = config_file(
        trained, kind="iterate", sources=["de-DE", "en-US"], similarity="REAL", k=None, method="similarity",
        iterate={"epochs": 1}, training=QUICK,
    )  # fmt: skip
    ran = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert ran.code == 0, ran
    ensemble = trained.mu("nxn", "--split", "dev", "--locale", "sv-SE", *trained.study, "--json").data
    column = {row: values["sv-SE"] for row, values in ensemble["accuracy"].items()}
    total = column["de-DE"] + column["en-US"]
    wanted = {name: column[name] / total if total else 0.5 for name in ("de-DE", "en-US")}
    assert ran.data["merged_once_weights"] == pytest.approx(wanted, abs=1e-6)


def test_a_later_matrix_makes_another_run_and_leaves_this_one_its_sources(trained):
    """Sources that REAL chose are part of what the run is."""
    path = config_file(
        trained,
        kind="iterate",
        similarity="REAL",
        k=1,
        method="average",
        iterate={"epochs": 1},
        candidates=["de-DE", "en-US"],
    )
    space = workspace.find(explicit=trained.space)
    matrix = next((trained.space / "results").glob("nxn-*-dev.csv"))
    before = matrix.read_text(encoding="utf-8")
    made = run_store.create(space, configs.load(path))
    (first,) = made.config.candidates
    (second,) = {"de-DE", "en-US"} - {first}
    turned = [
        re.sub(
            rf"^({first}|{second}),sv-SE,[^,]*",
            lambda m: f"{m[1]},sv-SE,{0.9 if m[1] == second else 0.0}",
            line,
        )
        for line in before.splitlines()
    ]
    matrix.write_text("\n".join(turned) + "\n", encoding="utf-8")
    other = run_store.create(space, configs.load(path))
    assert other.id != made.id and other.config.candidates != (first,)
    settled = iterate_study.settled(resolve.study_of(made.config, space), settings_from(made.config))[0]
    assert settled.sources == (first,)
    matrix.unlink()
    assert (
        iterate_study.settled(resolve.study_of(made.config, space), settings_from(made.config))[0] == settled
    )

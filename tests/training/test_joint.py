"""Joint models: training data, and comparison with merges of the same sources."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1] / "runs"))

from lab_fixtures import FAST
from run_files import config_file, only_run

from merginguriel.study import joint
from merginguriel.study.study import Study
from merginguriel.workspace import find

pytestmark = [pytest.mark.slow, pytest.mark.lab]


def study_of(lab):
    return Study(find(lab.space), "rooms", str(lab.encoder), lab.sentences)


def test_a_joint_model_leaves_a_locale_out_and_is_a_baseline_of_its_merges(trained):
    ran = trained.mu("train", "--joint", "all", "--leave-out", "sv-SE", *FAST, "--json")
    assert ran.code == 0, ran
    path = Path(ran.data["path"])
    assert ran.data["locales"] == ["de-DE", "en-US"] and ran.data["train_items"] == 96
    assert path.name.startswith("joint-2-without-sv-SE-")
    record = yaml.safe_load((path / "training.yaml").read_text())
    assert record["locale"] == "joint"
    assert record["joint"] == {"locales": ["de-DE", "en-US"], "left_out": ["sv-SE"], "budget": "epochs"}
    assert "joint" not in study_of(trained).trained() and len(study_of(trained).trained()) == 3
    before = (path / "model.safetensors").stat().st_mtime_ns
    assert trained.mu("train", "--joint", "all", "--leave-out", "sv-SE", *FAST).code == 0
    assert (path / "model.safetensors").stat().st_mtime_ns == before  # it was there

    scored = trained.mu("eval", path.name, "--locale", "sv-SE", "--json")
    row = trained.mu("eval", path.name, "--locale", "sv-SE", "--row").out
    assert (
        "method=joint" in row
        and "mode=ExcTar" in row
        and "sources='de-DE en-US'" in row
        and "saw=nothing" in row
    )
    table = trained.mu("nxn", "--joint", "--json")
    assert table.code == 0, table
    assert table.data["accuracy"][path.name]["sv-SE"] == scored.data[0]["accuracy"]
    assert table.data["csv"].endswith("-test-joint.csv")

    merged = config_file(trained, sources=["de-DE", "en-US"], similarity=None, k=None, ensembles=False)
    done = trained.mu("run", merged, "--workspace", trained.space, "--json")
    assert done.code == 0, done
    found = done.data["baselines"]["joint"]
    assert found["model"] == path.name and found["value"] == scored.data[0]["accuracy"]
    assert found["note"] == "trained on 2 locales without sv-SE, equal epochs"
    with (only_run(trained).folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        assert "joint" in {row["baseline_kind"] for row in csv.DictReader(file)}
    out = trained.space / "report"
    report = trained.mu("report", only_run(trained).id, "--out", out, "--workspace", trained.space)
    assert report.code == 0, report
    assert "one model trained on many locales" in (out / "report.html").read_text()


def test_equal_examples_draw_the_same_number_of_each_locale(trained):
    study = study_of(trained)
    data = [study.data(locale) for locale in ("de-DE", "en-US", "sv-SE")]
    found = joint.chosen(data, "examples", 0)
    assert len(found) == 48 and found == joint.chosen(data, "examples", 0)
    assert {one.locale: sum(item in one.train for item in found) for one in data} == dict.fromkeys(
        ("de-DE", "en-US", "sv-SE"), 16
    )
    assert len(joint.chosen(data, "epochs", 0)) == 144


def test_a_joint_model_with_the_target_is_no_baseline_of_a_merge_without_it(trained):
    assert trained.mu("train", "--joint", "all", *FAST).code == 0
    study = study_of(trained)
    assert joint.fitting(study, ["de-DE", "en-US"], "sv-SE") is None
    fitting = joint.fitting(study, ["de-DE", "sv-SE"], "sv-SE")
    assert fitting is not None and fitting.locales == ("de-DE", "en-US", "sv-SE")


def test_what_cannot_be_trained_jointly_is_a_usage_error(trained):
    for given, message in (
        (["--joint", "sv-SE"], "two locales or more"),
        (["--joint", "sv-SE,de-DE", "--leave-out", "en-US"], "en-US is not among"),
        (["--joint", "all", "--locale", "sv-SE"], "names the locales itself"),
        (["--locale", "sv-SE", "--leave-out", "sv-SE"], "belongs to --joint"),
    ):
        ran = trained.mu("train", *given)
        assert ran.code == 2 and message in ran.err, ran
    planned = trained.mu("train", "--joint", "all", "--budget", "examples", "--dry-run", "--json")
    assert planned.data["train"] == 48 and planned.data["done"] is False

"""Commands about runs: what they show, and paired comparison."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from conftest import KNOWLEDGE
from lab_fixtures import Lab
from run_files import config_file, space_of

from merginguriel.config import run_config as configs
from merginguriel.report.run_comparison import compared
from merginguriel.runs import run_store, worker

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def made_two(tmp_path_factory, made, sentences, encoder):
    """A workspace with two finished runs, and their ids; copied, not used."""
    lab = Lab(tmp_path_factory.mktemp("two") / "space", sentences, encoder, None)
    shutil.copytree(made, lab.space)
    files = [
        config_file(lab, f"{method}.yaml", training=None, method=method) for method in ("average", "ties")
    ]
    return lab.space, [worker.carry_out(space_of(lab), configs.load(file)).id for file in files]


@pytest.fixture
def two(tmp_path, made_two, sentences, encoder, capsys):
    """Two finished runs that differ in their method."""
    shutil.copytree(made_two[0], tmp_path / "space")
    lab = Lab(tmp_path / "space", sentences, encoder, capsys)
    return lab, [run_store.get(space_of(lab), name) for name in made_two[1]]


def test_runs_are_compared_item_by_item_and_shown_with_what_tells_them_apart(two):
    lab, found = two
    output = lab.mu("runs", "compare", *(run.id for run in found), "--workspace", lab.space, "--json").data
    assert [one["settings"] for one in output] == [{"method": "average"}, {"method": "ties"}]
    seen = output[1]["comparison"]
    assert output[0]["comparison"] is None and seen["n"] == 28
    assert seen["difference"] == pytest.approx(100 * (output[1]["accuracy"] - output[0]["accuracy"]))
    beside = run_store.result(found[1])["baselines"]["average_merge"]["comparison"]
    assert (seen["wins"], seen["losses"]) == (
        beside["wins"],
        beside["losses"],
    )  # the same average, as a baseline
    shown = lab.mu("runs", "compare", *(run.id for run in found), "--workspace", lab.space).out
    assert "method" in shown and "ties" in shown and "pp" in shown


def test_a_run_on_other_items_is_shown_and_not_compared(two):
    lab, found = two
    path = config_file(lab, training=None, method="average", target="de-DE")
    assert lab.mu("run", path, "--workspace", lab.space).code == 0
    other = next(run for run in run_store.listed(found[0].space) if run.config.target == "de-DE")
    output = compared([found[0], other])
    assert (
        output[1].found is None
        and output[1].why == "other target, test sentences"
        and output[1].settings == {"target": "de-DE"}
    )


@pytest.mark.parametrize(
    ("key", "other", "word"),
    [
        ("data", "another", "test sentences"),
        ("metric", "macro_f1", "metric"),
        ("context", "another", "context"),
    ],
)
def test_runs_whose_items_only_have_the_same_names_are_not_paired(two, key, other, word):
    _, found = two
    path = found[1].folder / "result.json"
    path.write_text(json.dumps({**run_store.result(found[1]), key: other}))
    output = compared(found)
    assert output[1].found is None and output[1].why == f"other {word}"


def test_show_and_logs_say_what_was_done(two):
    lab, (run, _) = two
    shown = lab.mu("runs", "show", run.id, "--workspace", lab.space)
    assert (
        shown.code == 0
        and run.id in shown.out
        and "finished" in shown.out
        and "best single source" in shown.out
    )
    whole = lab.mu("runs", "show", run.id, "--workspace", lab.space, "--json").data
    assert whole["config"]["method"] == "average" and whole["result"]["run"] == run.id
    assert whole["events"][0]["event"] == "created"
    logged = lab.mu("runs", "logs", run.id, "--tail", "2", "--workspace", lab.space, "--json").data
    assert len(logged["lines"]) == 2
    watched = lab.mu("runs", "watch", run.id, "--workspace", lab.space)
    assert watched.code == 0 and "is finished" in watched.err


def test_a_result_that_is_damaged_is_named(two):
    lab, (run, other) = two
    (run.folder / "result.json").write_text("{")
    (other.folder / "items.npz").write_bytes(b"no")
    assert lab.mu("runs", "show", run.id, "--workspace", lab.space).code == 1
    (run.folder / "result.json").write_text('{"accuracy": 0.5}')
    output = lab.mu("runs", "compare", run.id, other.id, "--workspace", lab.space)
    assert output.code == 1 and "items.npz" in output.err


def test_the_rows_of_runs_land_in_the_log_as_they_are(two, tmp_path):
    lab, found = two
    words = [
        "--title",
        "Two ways",
        "--type",
        "Retrospective",
        "--summary",
        "Two merges.",
        "--workspace",
        lab.space,
    ]
    flags = [flag for run in found for flag in ("--run", run.id)]
    planned = lab.mu("log", "add", *flags, *words, "--dry-run", "--json")
    assert planned.data["path"] is None and planned.data["rows"] > 4
    entry = lab.mu("log", "add", *flags, *words, "--json").data
    assert len(entry["rows"]) == planned.data["rows"]
    values = {(row["method"], row["baseline_kind"]): row["value"] for row in entry["rows"]}
    for run, method in zip(found, ("average", "ties"), strict=True):
        assert values[method, "best_single_source"] == pytest.approx(
            run_store.result(run)["accuracy"], abs=1e-6
        )
    (beside,) = (lab.space / "experiment_log").glob("*/*.csv")
    assert beside.stem == entry["id"]
    some = lab.mu("log", "add", *flags, *words, "--only", "method=ties", "--only", "baseline_kind=source_mean,target_alone",
                  "--again", "--dry-run", "--json")  # fmt: skip
    assert some.data["rows"] == 2
    wrong = lab.mu("log", "add", *flags, *words, "--only", "method=tiess")
    assert wrong.code == 2 and "ties" in wrong.err
    nothing = lab.mu("log", "add", "--run", "merge-none", *words)
    assert nothing.code == 2 and "merge-none" in nothing.err


def test_rows_of_a_run_that_are_in_the_log_are_not_taken_twice(two):
    lab, found = two
    skill = KNOWLEDGE / "skills" / "merging-when-constructive" / "SKILL.md"
    (lab.space / "skills" / "merging-when-constructive").mkdir(parents=True)
    shutil.copy(skill, lab.space / "skills" / "merging-when-constructive")
    words = ["--type", "Retrospective", "--summary", "A merge.", "--workspace", lab.space, "--json"]
    runs_of = [flag for run in found for flag in ("--run", run.id)]
    first = lab.mu("log", "add", "--title", "One", *runs_of, "--only", "method=ties", *words).data["id"]
    for more in ([], ["--dry-run"]):
        again = lab.mu("log", "add", "--title", "Two", *runs_of, *more, *words)
        assert again.code == 2 and first in again.err and found[1].id in again.err and "--again" in again.err
    assert len(list((lab.space / "experiment_log").glob("2*/*.md"))) == 1
    other = lab.mu("log", "add", "--title", "Two", *runs_of, "--only", "method=average", *words)
    corrected = lab.mu("log", "add", "--title", "Three", "--run", found[1].id, "--supersedes", first, *words)
    asked = lab.mu("log", "add", "--title", "Four", *runs_of, "--again", *words)
    assert (other.code, corrected.code, asked.code) == (0, 0, 0)


def test_a_file_cannot_permit_code_of_model_folders_without_the_flag(lab):
    path = config_file(lab, trust_remote_code=True, candidates=["de-DE", "en-US"])
    ran = lab.mu("run", path, "--dry-run", "--workspace", lab.space)
    assert ran.code == 2 and "trust_remote_code in a file needs the flag as well" in ran.err
    assert "run.yaml" in ran.err and "--trust-remote-code" in ran.err
    (lab.space / "sweep.yaml").write_text(
        yaml.safe_dump({"base": yaml.safe_load(path.read_text()), "grid": {"k": [1, 2]}})
    )
    swept = lab.mu("sweep", "run", lab.space / "sweep.yaml", "--dry-run", "--workspace", lab.space)
    assert swept.code == 2 and "--trust-remote-code" in swept.err
    path = config_file(lab)
    shown = lab.mu("run", path, "--dry-run", "--trust-remote-code", "--json", "--workspace", lab.space)
    assert shown.code == 0 and shown.data["config"]["trust_remote_code"] is True

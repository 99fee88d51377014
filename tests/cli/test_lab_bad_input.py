"""Errors of the commands of the doing wing: what, where, and a hint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

pytestmark = pytest.mark.lab


def result(ran, code, *words):
    """The command ended with `code`, said all of `words`, and printed no data."""
    assert ran.code == code, ran
    for word in words:
        assert word in ran.err, ran.err
    assert ran.out == ""


@pytest.fixture
def own(lab, tmp_path):
    """The lab with a copy of the sentences that may be spoilt."""
    shutil.copytree(lab.sentences, tmp_path / "mine")
    lab.sentences = tmp_path / "mine"
    return lab


# --- names ---


def test_an_unknown_task_is_answered_with_the_nearest(lab):
    result(lab.mu("tasks", "hoome"), 2, "unknown task 'hoome'", "Did you mean home?")


def test_an_unknown_locale_is_answered_with_the_nearest(lab):
    result(lab.mu("train", "--locale", "de-DDE"), 2, "de-DDE", "de-DE")
    result(lab.mu("train", "--locale", "de-AT"), 2, "no data for de-AT", "de-DE")
    assert not (lab.space / "models").exists()


def test_an_unknown_command_method_or_model_is_answered_with_what_there_is(trained):
    result(trained.mu("trian"), 2, "Did you mean train")
    result(trained.mu("methods", "tise"), 2, "tise", "ties")
    result(trained.mu("eval", "fr-FR", "--locale", "de-DE"), 2, "fr-FR", "de-DE, en-US, sv-SE")


@pytest.mark.parametrize(
    "command",
    [
        ("train", "--locale", "de-DE"),
        ("train", "--joint", "all"),
        ("iterate", "--target", "de-DE", "--method", "average", "--source", "en-US", "--source", "sv-SE"),
        ("embed", "compose", "--locale", "ko-KR", "--locale", "en-US"),
    ],
)
def test_a_dry_run_refuses_a_base_that_is_nowhere_as_the_run_does(mu, lab, tmp_path, command):
    nowhere = tmp_path / "nowhere"
    task = () if command[0] == "embed" else ("--task", "rooms", "--data", lab.sentences)
    ran = mu(*command, *task, "--workspace", lab.space, "--base", nowhere, "--dry-run")
    result(ran, 3, f"{nowhere}: no such model folder")


def test_an_embedder_that_is_nowhere_is_refused_before_texts_are_read(mu, tmp_path):
    ran = mu("embed", "nxn", tmp_path / "nowhere", "--locale", "ko-KR", "--locale", "en-US")
    result(ran, 3, "no such model folder")


def test_models_given_without_source_are_answered_with_the_command_that_merges_them(mu, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    ran = mu("merge", "--method", "average", tmp_path / "a", tmp_path / "b")
    result(ran, 2, "--source", f"mu merge --method average --source {tmp_path}/a --source {tmp_path}/b --out")
    result(
        mu("merge", "--method", "ties", "sv-SE", "nb-NO"), 2, "--method ties --source sv-SE --source nb-NO"
    )
    result(mu("merge", "one.yaml", "two.yaml"), 2, "one recipe file at a time")


def test_models_that_are_not_trained_are_named_with_the_command_that_trains_them(lab):
    result(lab.mu("nxn"), 2, "no trained model", "mu train", "--task rooms", str(lab.sentences))
    result(
        lab.mu("nxn", "--source", "de-DE"), 3, "no model of de-DE", "mu train --locale de-DE", "--task rooms"
    )
    flags = ("--method", "average", "--source", "de-DE", "--source", "en-US")
    result(lab.mu("merge", *flags), 3, "no model of de-DE, en-US", "--locale de-DE --locale en-US")
    result(lab.mu("merge", "--method", "similarity", "--target", "de-DE"), 3, "no trained model", "mu train")


def test_errors_are_json_too(lab):
    ran = lab.mu("train", "--locale", "de-AT", "--json")
    assert ran.code == ran.data["exit_code"] == 2
    assert "de-AT" in ran.data["error"] and "de-DE" in ran.data["hint"]


# --- the user's own data ---


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("text,label", "text,intent", ["de-DE.csv:2", "missing column 'label'", "text, intent, split"]),
        (",train\n", ",trian\n", ["de-DE.csv:2", "'trian' is not a split", "train, dev or test"]),
        (None, "", ["de-DE.csv", "empty", "columns"]),
        (None, "text,label,split\n", ["no train sentences", "de-DE", "mine"]),
    ],
    ids=["a missing column", "an unknown split", "an empty file", "no rows"],
)
def test_what_is_wrong_in_a_file_of_sentences_is_named_with_its_line(own, old, new, words):
    path = own.sentences / "de-DE.csv"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(old, new, 1) if old else new, encoding="utf-8")
    result(own.mu("train", "--locale", "de-DE"), 1, *words)


def test_a_task_option_that_is_unknown_or_malformed_is_named(lab):
    result(lab.mu("base", "--option", "txt=a"), 2, "unknown option 'txt'", "text, label, split")
    result(lab.mu("base", "--option", "text"), 2, "'text' is not KEY=VALUE")


def test_labels_that_a_model_does_not_know_are_an_error_and_not_wrong_answers(trained, tmp_path):
    (tmp_path / "other").mkdir()
    rows = [f"satz {i},{label},{split}" for i, (label, split) in enumerate(
        (label, split) for split in ("train", "dev", "test") for label in ("neg", "pos") for _ in range(9))]  # fmt: skip
    (tmp_path / "other" / "de-DE.csv").write_text("text,label,split\n" + "\n".join(rows), encoding="utf-8")
    trained.sentences = tmp_path / "other"
    known = "the model knows HassGetWeather, HassLightSet, HassTurnOff, HassTurnOn; the data have neg, pos"
    result(trained.mu("eval", "en-US", "--locale", "de-DE"), 1, known, "--task", "en-US")
    result(trained.mu("nxn", "--locale", "de-DE"), 1, known)
    assert not list(trained.space.glob("results/*test.csv"))


def test_a_model_scored_on_other_data_than_it_was_trained_on_is_noticed(trained, tmp_path):
    trained.sentences = shutil.copytree(trained.sentences, tmp_path / "mine")
    assert "trained on other" not in trained.mu("eval", "de-DE", "--locale", "de-DE").err
    path = trained.sentences / "de-DE.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines.remove(next(line for line in lines if line.endswith(",train")))
    path.write_text("\n".join(lines), encoding="utf-8")
    ran = trained.mu("eval", "de-DE", "--locale", "de-DE")
    assert ran.code == 0 and "the model of de-DE was trained on other sentences" in ran.err
    assert "trained on other" not in trained.mu("eval", "de-DE", "--locale", "en-US").err


def test_a_missing_data_folder_is_told_without_loading_torch(lab):
    program = (
        "import sys; from merginguriel.cli.main import run; run(sys.argv[1:]); print('torch' in sys.modules)"
    )
    words = ["base", "--task", "rooms", "--workspace", str(lab.space)]
    ran = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n" and "--data" in ran.stderr


@pytest.mark.slow
def test_without_a_hub_it_names_what_works_without_one(lab, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for words, hint in (
        (["--task", "massive", "--locale", "en-US"], "--data"),
        (["--task", "home", "--locale", "sv-SE"], "--base FOLDER"),
    ):
        arguments = ["train", *words, "--base", "xlm-roberta-base", "--workspace", str(lab.space)]
        program = "import sys; from merginguriel.cli.main import main; main()"
        ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
        assert ran.returncode == 3 and hint in ran.stderr and "Traceback" not in ran.stderr, ran.stderr


# --- models ---


@pytest.mark.parametrize("command", ["eval", "nxn", "merge", "train"])
def test_a_truncated_safetensors_file_is_named(trained, command):
    name = "base" if command == "train" else "de-DE"
    weights = trained.root / name / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    flags = {
        "eval": ["de-DE", "--locale", "de-DE"],
        "nxn": [],
        "merge": ["--method", "average", "--source", "de-DE", "--source", "en-US"],
        "train": ["--locale", "de-DE"],
    }[command]
    if command == "train":
        shutil.rmtree(trained.root / "de-DE")
    ran = trained.mu(command, *flags)
    result(ran, 1, f"tiny-bert/{name}")
    assert "safetensors" in ran.err or "truncated" in ran.err or "incomplete" in ran.err
    assert trained.litter() == []
    assert not (trained.root / "merged").exists()


def test_mismatching_labels_are_named(trained):
    path = trained.root / "en-US" / "config.json"
    path.write_text(path.read_text(encoding="utf-8").replace("HassTurnOff", "HassTurnAway"), encoding="utf-8")
    flags = ("--method", "average", "--source", "de-DE", "--source", "en-US")
    result(trained.mu("merge", *flags), 1, "de-DE", "en-US", "HassTurnOff", "HassTurnAway")
    assert not (trained.root / "merged").exists()


def test_a_base_without_a_head_will_do_and_the_heads_get_their_mean(trained):
    flags = ("--method", "ties", "--source", "de-DE", "--source", "en-US", "--pretrained", trained.encoder)
    planned = trained.mu("merge", *flags, "--dry-run")
    assert "2 by the weighted mean, because the base has none" in planned.err
    merged = trained.mu("merge", *flags, "--json").data["path"]
    assert 0 < trained.mu("eval", merged, "--locale", "de-DE", "--json").data[0]["accuracy"] <= 1


def test_a_model_without_a_head_cannot_be_scored_and_is_named(trained):
    result(trained.mu("eval", trained.encoder, "--locale", "de-DE"), 1, str(trained.encoder))


def test_a_damaged_cache_of_predictions_is_computed_again(trained):
    before = trained.mu("nxn", "--split", "dev", "--json").data
    cached = sorted((trained.root / "predictions").iterdir())
    sizes = [path.stat().st_size for path in cached]
    cached[0].write_bytes(b"")
    cached[1].write_bytes(cached[1].read_bytes()[:200])
    cached[2].write_bytes(bytes(sizes[2]))
    spoilt = bytearray(cached[3].read_bytes())
    spoilt[sizes[3] // 2] ^= 0xFF
    cached[3].write_bytes(bytes(spoilt))
    after = trained.mu("nxn", "--split", "dev", "--json")
    assert after.code == 0 and after.data == before
    assert after.err.count("is computed again") == 4  # told in a pipe too
    assert [path.stat().st_size for path in cached] == sizes


# --- recipes ---


RECIPES = {
    "bad YAML": ("method: [ties\n", 1, ["recipe.yaml:2", "not valid YAML"]),
    "no table": ("ties\n", 1, ["recipe.yaml:1", "table"]),
    "unknown key": ("method: ties\nsource: []\n", 1, ["recipe.yaml:2", "unknown key 'source'", "sources"]),
    "no sources": ("method: ties\n", 1, ["recipe.yaml:1", "'sources' is missing"]),
    "unknown method": ("method: tise\nsources: SOURCES\n", 2, ["tise", "ties"]),
    "unknown parameter": (
        "method: ties\nparams: {densty: 0.3}\nbase: BASE\nsources: SOURCES\n",
        2,
        ["densty", "density"],
    ),
    "parameter out of range": (
        "method: ties\nparams: {density: 1.5}\nbase: BASE\nsources: SOURCES\n",
        2,
        ["density", "1.5", "1"],
    ),
    "no base": (
        "method: ties\nsources: SOURCES\n",
        2,
        ["needs the pretrained base", "--pretrained", "mu base"],
    ),
    "weights of sum 0": (
        "method: linear\nsources:\n- {name: a, path: A, weight: 0}\n- {name: b, path: B, weight: 0}\n",
        2,
        ["all weights are 0", "above 0"],
    ),
    "a negative weight": (
        "method: linear\nsources:\n- {name: a, path: A, weight: -1}\n- {name: b, path: B, weight: 2}\n",
        2,
        ["the weight of a is -1"],
    ),
    "no such folder": (
        "method: average\nsources:\n- {name: a, path: nowhere}\n- {name: b, path: B}\n",
        1,
        ["nowhere"],
    ),
}


@pytest.mark.parametrize("wrong", RECIPES)
def test_a_recipe_that_cannot_be_carried_out_says_why(trained, wrong):
    text, code, words = RECIPES[wrong]
    folders = {"A": trained.root / "de-DE", "B": trained.root / "en-US", "BASE": trained.root / "base"}
    text = text.replace("SOURCES", "[{name: a, path: A}, {name: b, path: B}]")
    for name, folder in folders.items():
        text = text.replace(f"path: {name}", f"path: {folder}").replace(
            f"base: {name}\n", f"base: {folder}\n"
        )
    path = trained.space / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    result(trained.mu("merge", path), code, *words)
    assert not (trained.root / "merged").exists()


def test_weights_of_another_sum_are_brought_to_one_and_shown(trained):
    flags = ["--method", "linear", "--source", "de-DE", "--source", "en-US", "--weight", "1", "--weight", "3"]
    recipe = yaml.safe_load(trained.mu("merge", *flags, "--dry-run").out)
    assert [source["weight"] for source in recipe["sources"]] == [0.25, 0.75]
    result(trained.mu("merge", *flags[:-2]), 2, "2 sources, but 1 weights", "one weight per source")


def test_there_is_no_such_recipe(lab):
    result(lab.mu("merge", lab.space / "recipe.yaml"), 2, "recipe.yaml", "no such recipe")


# --- surroundings ---


def test_without_a_workspace_it_says_how_to_make_one(lab, tmp_path, monkeypatch):
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    lab.space = tmp_path / "bare"
    result(lab.mu("train", "--locale", "de-DE"), 2, "not a workspace", "mu init")
    from merginguriel.cli.main import run

    lab.capture.readouterr()
    assert run(["train", "--locale", "de-DE"]) == 2
    assert "no workspace to write into" in lab.capture.readouterr().err
    assert list(lab.space.iterdir()) == []


def test_without_torch_it_says_what_to_install(trained):
    """The packages are hidden, not the program's: as after `pip install merginguriel` alone."""
    program = """
import json, sys
for name in ("torch", "transformers", "safetensors"):
    sys.modules[name] = None
from merginguriel.cli.main import run
print(json.dumps([run([*words, *sys.argv[2:]]) for words in json.loads(sys.argv[1])]))
"""
    shutil.rmtree(trained.root / "base")
    commands = [
        ["base"],
        ["train", "--locale", "de-DE"],
        ["eval", "de-DE", "--locale", "de-DE", "--split", "train"],
    ]
    ran = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands), *trained.study],
        capture_output=True, text=True, env=dict(os.environ), check=True,
    )  # fmt: skip
    assert json.loads(ran.stdout.splitlines()[-1]) == [3, 3, 3]
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("pip install 'merginguriel[lab]'") == 3

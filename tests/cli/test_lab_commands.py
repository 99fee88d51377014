"""Commands of the doing wing, from a base model to a merge that is compared."""

from __future__ import annotations

import csv
import json

import pytest
import yaml

pytestmark = pytest.mark.lab

METHODS = ("average", "linear", "task_arithmetic", "ties")


def test_tasks_lists_tasks_and_their_locales(lab):
    assert {task["task"] for task in lab.mu("tasks", "--json").data} >= {"home", "files"}
    assert "files" in lab.mu("tasks").out
    sizes = lab.mu("tasks", "files", "--data", lab.sentences, "--json").data
    assert sizes[0] == {"locale": "de-DE", "train": 48, "dev": 20, "test": 28} and len(sizes) == 3
    assert "28 test sentences" in lab.mu("tasks", "files", "--data", lab.sentences).err
    home = {row["locale"]: row["templates"] for row in lab.mu("tasks", "home", "--json").data}
    assert len(home) > 40 and home["de-DE"] > 100


def test_base_is_made_once_with_the_tasks_labels(lab):
    first = lab.mu("base", "--json")
    assert first.code == 0 and first.data["context"] == "rooms/tiny-bert"
    path = lab.root / "base"
    labels = json.loads((path / "config.json").read_text(encoding="utf-8"))["label2id"]
    assert sorted(labels) == ["HassGetWeather", "HassLightSet", "HassTurnOff", "HassTurnOn"]
    made = (path / "model.safetensors").stat().st_mtime_ns
    assert lab.mu("base").out.strip() == str(path)
    assert (path / "model.safetensors").stat().st_mtime_ns == made
    assert lab.litter() == []


def test_training_again_takes_what_is_there(trained):
    from lab_fixtures import FAST

    weights = trained.root / "de-DE" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = trained.mu("train", "--locale", "de-DE", *FAST, "--json")
    assert again.code == 0
    assert again.data[0]["locale"] == "de-DE" and again.data[0]["dev_accuracy"] > 0.5
    assert weights.stat().st_mtime_ns == before


def test_training_with_other_settings_says_which_differ_and_keeps_the_model(trained):
    before = (trained.root / "de-DE" / "training.yaml").read_bytes()
    ran = trained.mu("train", "--locale", "de-DE", "--epochs", "3")
    assert ran.code == 1
    assert "de-DE" in ran.err and "epochs was 8, is 3" in ran.err and "remove that folder" in ran.err
    assert (trained.root / "de-DE" / "training.yaml").read_bytes() == before


def test_nxn_writes_matrix_and_picture_and_computes_only_once(trained):
    first = trained.mu("nxn")
    assert first.code == 0 and "de-DE" in first.out and "own model" in first.out
    table = trained.space / "results" / "nxn-rooms-tiny-bert-test.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 and {row["n"] for row in rows} == {"28"}
    assert table.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    cached = {path: path.stat().st_mtime_ns for path in (trained.root / "predictions").iterdir()}
    second = trained.mu("nxn", "--json")
    assert cached == {path: path.stat().st_mtime_ns for path in (trained.root / "predictions").iterdir()}
    for row in rows:
        assert second.data["accuracy"][row["source"]][row["target"]] == float(row["accuracy"])


@pytest.mark.slow
def test_answers_in_bfloat16_are_kept_and_tabled_apart_from_those_in_float32(trained):
    whole = trained.mu("nxn", "--json").data
    table = trained.space / "results" / "nxn-rooms-tiny-bert-test.csv"
    before = table.read_bytes(), sorted((trained.root / "predictions").iterdir())
    half = trained.mu("nxn", "--bf16", "--source", "de-DE", "--source", "sv-SE", "--json").data
    assert (whole["precision"], half["precision"]) == ("float32", "bfloat16")
    assert half["csv"].endswith("nxn-rooms-tiny-bert-test-bf16.csv")
    assert table.read_bytes() == before[0]
    kept = sorted((trained.root / "predictions").iterdir())
    assert len(kept) == len(before[1]) + 4 and set(before[1]) < set(kept)
    # One more model adds its row to what was measured so, and to nothing else.
    trained.mu("nxn", "--bf16", "--source", "en-US", "--locale", "de-DE", "--locale", "sv-SE")
    from merginguriel.evaluation.nxn import load

    both, apart = load(table), load(table.with_name("nxn-rooms-tiny-bert-test-bf16.csv"))
    assert apart.sources == ("de-DE", "en-US", "sv-SE") and apart.targets == ("de-DE", "sv-SE")
    pairs = [(s, t) for s in apart.sources for t in apart.targets]
    assert all(apart.origin[pair][0] != both.origin[pair][0] for pair in pairs)
    assert all(apart.origin[pair][1] == both.origin[pair][1] for pair in pairs)
    assert max(abs(apart.value(*pair) - both.value(*pair)) for pair in pairs) <= 2 / 28


@pytest.mark.parametrize("method", METHODS)
def test_a_merge_from_flags_and_one_from_its_recipe_are_the_same_bytes(trained, method):
    flags = ["--method", method, "--source", "de-DE", "--source", "en-US", "--target", "sv-SE"]
    if method == "linear":
        flags += ["--weight", "0.25", "--weight", "0.75"]
    dry = trained.mu("merge", *flags, "--dry-run")
    assert dry.code == 0 and not (trained.root / "merged").exists()
    assert "would write" in dry.err
    assert trained.mu("merge", *flags, "--dry-run", "--json").data["bytes"] > 80_000
    done = trained.mu("merge", *flags, "--json")
    assert done.code == 0 and done.data["method"] == method
    recipe = trained.space / "recipe.yaml"
    recipe.write_text(dry.out, encoding="utf-8")
    again = trained.mu("merge", recipe, "--out", trained.space / "again")
    assert again.code == 0 and again.out.strip() == str(trained.space / "again")
    one, two = (
        (folder / "model.safetensors").read_bytes()
        for folder in (
            trained.root / "merged" / done.data["path"].rpartition("/")[2],
            trained.space / "again",
        )
    )
    assert one == two
    assert trained.litter() == []


def test_sources_are_chosen_and_weighted_by_similarity(trained):
    dry = trained.mu("merge", "--method", "similarity", "--target", "sv-SE", "--k", "2", "--dry-run")
    recipe = yaml.safe_load(dry.out)
    assert recipe["method"] == "linear" and recipe["similarity"] == "REAL" and recipe["mode"] == "ExcTar"
    matrix = trained.mu("nxn", "--split", "dev", "--json").data["accuracy"]
    column = {source: matrix[source]["sv-SE"] for source in ("de-DE", "en-US")}
    for source in recipe["sources"]:
        assert source["weight"] == pytest.approx(column[source["name"]] / sum(column.values()))


def test_a_merge_loads_with_transformers_and_answers_what_eval_says(trained, merged):
    """Against transformers' own loading and scikit-learn's own accuracy."""
    import torch
    from sklearn.metrics import accuracy_score
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    output = trained.mu("eval", merged, "--locale", "sv-SE", "--json").data[0]
    with (trained.sentences / "sv-SE.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    model = AutoModelForSequenceClassification.from_pretrained(merged).eval()
    tokenizer = AutoTokenizer.from_pretrained(merged)
    with torch.inference_mode():
        logits = model(**tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")).logits
    chosen = [model.config.id2label[int(i)] for i in logits.argmax(-1)]
    assert len(set(chosen)) > 1
    assert output["n"] == len(rows) == 28
    assert output["accuracy"] == pytest.approx(accuracy_score([row["label"] for row in rows], chosen))
    low, high = output["ci95"]
    assert low < output["accuracy"] < high


def test_eval_against_another_model_gives_a_paired_interval_and_mcnemar(trained, merged):
    from scipy.stats import binomtest

    ran = trained.mu("eval", merged.name, "--locale", "sv-SE", "--against", "sv-SE", "--json")
    found = ran.data[0]["comparison"]
    share = ran.data[0]["accuracy"] - ran.data[0]["against"]
    assert found["difference"] == pytest.approx(100 * share)
    assert (found["wins"] - found["losses"]) / found["n"] == pytest.approx(share)
    assert found["p"] == pytest.approx(binomtest(found["wins"], found["wins"] + found["losses"]).pvalue)
    assert found["interval"]["low"] <= found["difference"] <= found["interval"]["high"]
    result = trained.mu("eval", merged.name, "--locale", "sv-SE", "--against", "sv-SE").out
    assert "pp" in result and "p = " in result and "noise" in result
    alike = trained.mu("eval", "sv-SE", "--locale", "sv-SE", "--against", "sv-SE").out
    assert "no difference" in alike


def test_methods_are_listed_and_explained(lab):
    assert {row["name"] for row in lab.mu("methods", "--json").data} >= set(METHODS)
    ties = lab.mu("methods", "ties")
    assert "density" in ties.out and "arXiv:2306.01708" in ties.out
    assert lab.mu("methods", "ties", "--json").data["needs_base"] is True


def test_wins_losses_and_standard_error_are_told_as_in_json(trained, merged):
    words = ("eval", merged.name, "--locale", "sv-SE", "--against", "sv-SE")
    found = trained.mu(*words, "--json").data[0]["comparison"]
    text = trained.mu(*words).out
    assert f"wins {found['wins']}, losses {found['losses']}, standard error {found['se']:.2f} pp" in text


def test_a_row_of_eval_goes_into_the_log_as_it_is(trained, merged):
    assert trained.mu("init", trained.space, "--restore", "--empty").code == 0
    words = ("eval", merged.name, "--locale", "sv-SE", "--against")
    for against, kind in (("sv-SE", "target_alone"), ("en-US", "best_single_source")):
        row = trained.mu(*words, against, "--row").out.strip()
        flags = (
            "--title",
            f"Against {against}",
            "--type",
            "Retrospective",
            "--summary",
            "A merge was scored.",
        )
        added = trained.mu("log", "add", *flags, "--row", row, "--workspace", trained.space)
        assert added.code == 0, added.err
        logged = trained.mu(
            "log", "show", added.out.strip() + "#r1", "--workspace", trained.space, "--json"
        ).data
        scored = trained.mu(*words, against, "--json").data[0]
        assert logged.get("baseline_kind") == kind, logged
        assert logged["method"] == "linear" and logged["n"] == 28
        assert logged["sources"] == ["de-DE", "en-US"] and logged["context"] == "rooms/tiny-bert"
        assert (logged["wins"], logged["losses"]) == tuple(
            scored["comparison"][k] for k in ("wins", "losses")
        )
        assert logged["value"] == pytest.approx(scored["accuracy"], abs=1e-6)
    single = trained.mu("eval", "en-US", "--locale", "sv-SE", "--row").out
    assert "method=single" in single and "sources=en-US" in single


def test_the_workspace_says_which_task_and_base_are_meant(trained):
    """No --task and no --base: the context in mu.toml is rooms/tiny-bert."""
    from merginguriel.cli.main import run

    trained.capture.readouterr()
    words = [
        "de-DE",
        "--locale",
        "de-DE",
        "--data",
        str(trained.sentences),
        "--workspace",
        str(trained.space),
    ]
    assert run(["eval", *words]) == 0
    assert trained.capture.readouterr().out == trained.mu("eval", "de-DE", "--locale", "de-DE").out


@pytest.mark.slow
def test_another_seed_makes_models_of_its_own_beside_the_first(trained):
    from lab_fixtures import FAST

    first = (trained.root / "de-DE" / "training.yaml").read_bytes()
    ran = trained.mu("train", "--locale", "de-DE", "--seed", "1", *FAST, "--json")
    assert ran.code == 0 and ran.data[0]["path"] == str(trained.root / "de-DE-s1")
    assert (trained.root / "de-DE" / "training.yaml").read_bytes() == first
    assert set(trained.mu("nxn", "--split", "dev", "--json").data["accuracy"]) == {"de-DE", "en-US", "sv-SE"}
    other = trained.mu("nxn", "--split", "dev", "--seed", "1", "--json").data
    assert set(other["accuracy"]) == {"de-DE"} and other["csv"].endswith("nxn-rooms-tiny-bert-s1-dev.csv")
    assert trained.mu("eval", "de-DE-s1", "--locale", "de-DE").code == 0


def test_results_of_training_are_data_and_a_dry_run_trains_nothing(trained):
    from lab_fixtures import FAST

    dry = trained.mu("train", "--locale", "de-DE", "--locale", "sv-SE", "--seed", "2", "--dry-run")
    assert dry.code == 0 and "to train" in dry.out and not (trained.root / "de-DE-s2").exists()
    assert [p["done"] for p in trained.mu("train", "--locale", "de-DE", "--dry-run", "--json").data] == [True]
    assert "% on development data" in trained.mu("train", "--locale", "de-DE", *FAST).out


def test_a_matrix_keeps_what_still_holds_of_the_one_before(trained):
    table = trained.space / "results" / "nxn-rooms-tiny-bert-dev.csv"

    def pairs():
        with table.open(encoding="utf-8", newline="") as file:
            return {(row["source"], row["target"]): row["accuracy"] for row in csv.DictReader(file)}

    before = pairs()
    assert len(before) == 9
    assert trained.mu("nxn", "--split", "dev", "--locale", "sv-SE", "--source", "de-DE").code == 0
    assert pairs() == before
    weights = trained.root / "de-DE" / "model.safetensors"
    weights.write_bytes((trained.root / "en-US" / "model.safetensors").read_bytes())
    assert trained.mu("nxn", "--split", "dev", "--locale", "sv-SE", "--source", "en-US").code == 0
    assert set(pairs()) == {pair for pair in before if pair[0] != "de-DE"}


def test_a_merge_of_models_that_were_trained_anew_is_made_anew(trained):
    from merginguriel import workspace
    from merginguriel.merging.recipe import Recipe, Source, check
    from merginguriel.study.merge_store import merge_once
    from merginguriel.study.study import Study

    study = Study(workspace.find(explicit=trained.space), "rooms", str(trained.encoder), trained.sentences)
    sources = tuple(Source(locale, study.model(locale)) for locale in ("de-DE", "en-US"))
    recipe = check(Recipe("average", sources, target="sv-SE", mode="ExcTar"))
    out = merge_once(recipe, study.merged(recipe))
    first = (out / "model.safetensors").read_bytes()
    made = (out / "model.safetensors").stat().st_mtime_ns
    assert merge_once(recipe, out) == out and (out / "model.safetensors").stat().st_mtime_ns == made
    (study.model("de-DE") / "model.safetensors").write_bytes(
        (study.model("sv-SE") / "model.safetensors").read_bytes()
    )
    assert (merge_once(recipe, out) / "model.safetensors").read_bytes() != first


@pytest.fixture
def merged(trained):
    """A merge for sv-SE from the two others."""
    flags = ["--source", "de-DE", "--source", "en-US", "--target", "sv-SE"]
    ran = trained.mu("merge", "--method", "linear", *flags, "--out", trained.root / "merged" / "mine")
    assert ran.code == 0
    return trained.root / "merged" / "mine"


@pytest.mark.slow
def test_all_locales_are_trained_and_one_that_fails_is_named(lab):
    from lab_fixtures import FAST

    (lab.root / "en-US").mkdir(parents=True)  # a folder of somebody else's
    ran = lab.mu("train", "--locales", "all", *FAST)
    assert ran.code == 1 and "1 of 3 locales were not trained: en-US" in ran.err
    assert [line.split()[0] for line in ran.out.splitlines()] == ["de-DE", "sv-SE"]
    (lab.root / "en-US").rmdir()
    again = lab.mu("train", "--locales", "de-DE,en-US, sv-SE", *FAST, "--json")
    assert again.code == 0 and [row["locale"] for row in again.data] == ["de-DE", "en-US", "sv-SE"]
    assert lab.mu("train", *FAST).code == 2 and lab.mu("train", "--locales", "xx-YY", *FAST).code == 2


@pytest.mark.slow
def test_lora_and_early_stopping_by_flags_give_a_model_that_can_be_scored(lab):
    pytest.importorskip("peft")
    from lab_fixtures import FAST

    flags = ("--lora-rank", "4", "--patience", "2", "--freeze-layers", "1", "--max-tokens", "32")
    ran = lab.mu("train", "--locale", "de-DE", *FAST, *flags)
    assert ran.code == 0 and "Warning" not in ran.err
    record = yaml.safe_load((lab.root / "de-DE" / "training.yaml").read_text(encoding="utf-8"))
    assert record["made"]["settings"]["lora_rank"] == 4 and record["epochs"] <= 8
    assert (lab.root / "de-DE" / "adapter" / "adapter_model.safetensors").is_file()
    assert lab.mu("eval", "de-DE", "--locale", "de-DE").code == 0
    assert lab.litter() == []


def test_nxn_and_base_say_what_they_would_do_and_do_nothing(trained):
    before = sorted(trained.space.rglob("*"))
    names = ("de-DE", "en-US", "sv-SE")
    result = trained.mu("nxn", "--split", "dev", "--dry-run", "--json")
    assert result.data == {"to_score": {name: [] for name in names}, "known": 9}
    result = trained.mu("nxn", "--split", "test", "--locale", "sv-SE", "--dry-run", "--json")
    assert result.data == {"to_score": {name: ["sv-SE"] for name in names}, "known": 0}
    assert trained.mu("base", "--dry-run", "--json").data["there"] is True
    assert sorted(trained.space.rglob("*")) == before


def test_a_base_that_is_not_there_would_be_written(lab):
    result = lab.mu("base", "--dry-run")
    assert result.code == 0 and "would be written" in result.out and not lab.root.exists()

"""Configuration of runs: one reading, and errors with key and line."""

from __future__ import annotations

from dataclasses import fields

import jsonschema
import pytest
import yaml
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.config import run_config as configs
from merginguriel.config.schema import Finetuning, json_schema
from merginguriel.errors import MuError, UsageError
from merginguriel.runs import run_store
from merginguriel.training import settings

GOOD = """\
kind: merge
target: sv-SE
method: ties
params: {density: 0.3}
similarity: REAL
candidates: [de-DE, nb-NO]
k: 2
training:
  epochs: 2
  bf16: false
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("k: 2", "k: two", 7, "k must be a whole number, got 'two'"),
        ("k: 2", "k: 0", 7, "k must be 1 or more, got 0"),
        ("k: 2", "kk: 2", 7, "unknown key 'kk'"),
        ("  epochs: 2", "  epochs: 2.5", 9, "training.epochs must be a whole number"),
        ("  epochs: 2", "  epoch: 2", 9, "unknown key 'training.epoch'"),
        ("  bf16: false", "  bf16: maybe", 10, "true or false"),
        ("sv-SE", "xx-YY", 2, "unknown locale"),
        ("REAL", "FAKE", 5, "one of URIEL, REAL"),
        ("density: 0.3", "densty: 0.3", 4, "has no parameter 'densty'"),
        ("density: 0.3", "density: 7", 4, "out of range"),
        ("ties", "tied", 3, "is not a merging method"),
        ("kind: merge", "kind: train", 2, "no meaning for a run of kind train"),
        ("similarity: REAL\ncandidates: [de-DE, nb-NO]", "", 1, "no sources, and no similarity"),
        ("k: 2", "locales: [de-DE]", 7, "no meaning for a run of kind merge"),
        ("k: 2", "k: 2\nk: 3", 8, "appears twice"),
        ("training:\n  epochs: 2\n  bf16: false", "training: 3", 8, "training must be a table"),
        ("k: 2", "k: [2]", 7, "k must be a whole number"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_key_file_and_line(file, old, new, line, says):
    assert old in GOOD
    path = file(GOOD.replace(old, new))
    with pytest.raises(MuError) as error:
        configs.load(path)
    assert says in error.value.what and error.value.where == f"{path}:{line}"


def test_overrides_win_and_are_checked_like_the_file(file):
    path = file(GOOD)
    found = configs.load(path, ["k=3", "training.epochs=5", "params.density=0.5", "candidates=de-DE,sv-SE"])
    assert (found.k, found.training.epochs, found.training.bf16) == (3, 5, False)
    assert found.params == {"density": 0.5} and found.candidates == ("de-DE", "sv-SE")
    for text, says in (
        ("kay=3", "unknown key"),
        ("k=x", "whole number"),
        ("k", "KEY=VALUE"),
        ("training=1", "one key"),
    ):
        with pytest.raises(UsageError if text != "k=x" else MuError, match=says):
            configs.load(path, [text])


def test_what_is_written_is_read_back_as_the_same_run(file):
    found = configs.load(file(GOOD))
    again = configs.load(file(configs.dump(found)))
    assert again == found and configs.digest(again) == configs.digest(found)
    assert configs.from_table(configs.as_table(found)) == found


def test_the_digest_is_of_what_decides_the_result_however_it_is_written(file):
    plain = configs.digest(configs.load(file(GOOD)))
    dotted = GOOD.replace("params: {density: 0.3}", "params.density: '0.30'").replace("training:\n  epochs: 2\n  bf16: false",
                          "training.bf16: no\ntraining.epochs: 2\nmode: exctar\nheads: ~")  # fmt: skip
    assert configs.digest(configs.load(file(dotted))) == plain
    assert configs.digest(configs.load(file(GOOD), ["keep=true"])) == plain
    assert configs.digest(configs.load(file(GOOD), ["seed=1"])) != plain


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("kind: train\ntask: home\nlocales: [de-DE, sv-SE]\n", "train-home-fe6ac23d"),
        ("kind: nxn\nsources: de-DE sv-SE\nlocales: [nb-NO]\nsplits: [test]\n", "nxn-71266048"),
        (
            "kind: iterate\ntarget: sv-SE\nsimilarity: REAL\ncandidates: [de-DE, nb-NO]\nk: 2\n"
            "iterate: {epochs: 3, schedule: Gain, min_gain_pp: 1, keep_checkpoints: yes}\n",
            "iterate-sv-SE-a6343b62",
        ),
        (
            "target: sv-SE\nmethod: ties\nparams: {density: 0.3}\nsources: [de-DE, nb-NO]\n"
            "options: {a: 1, b: 'x', c: true, d: 1e-3}\nheads: source:de-DE\ninclude: ['*.bias', x]\n"
            "training: {learning_rate: 1, warmup: 0.1, bf16: no, epochs: 2.0}\n",
            "merge-sv-SE-ties-e918a4fd",
        ),
    ],
)
def test_the_id_of_a_run_that_is_on_disk_already_stays_the_same(file, text, id):
    assert run_store.run_id(configs.load(file(text))) == id


def test_similarity_is_another_name_for_linear_with_its_weights(file):
    named = configs.load(file(GOOD.replace("ties", "similarity").replace("params: {density: 0.3}\n", "")))
    assert (named.method, named.similarity) == ("linear", "REAL")
    assert run_store.run_id(named).startswith("merge-sv-SE-similarity-")


def test_a_language_code_that_yaml_takes_for_no_stays_a_language(file):
    found = configs.load(file(GOOD.replace("[de-DE, nb-NO]", "[no, nb-NO]").replace("no, ", "")))
    assert found.candidates == ("nb-NO",)


def test_paths_start_at_the_folder_of_the_file(file, tmp_path):
    (tmp_path / "encoder").mkdir()
    found = configs.load(file(GOOD + "data: mine\nbase: ./encoder\ntext: sentences.txt\n"))
    assert (found.data, found.base) == (str(tmp_path / "mine"), str(tmp_path / "encoder"))
    assert found.text == str(tmp_path / "sentences.txt")
    assert configs.load(file(GOOD + "base: e5-small\ntext: sources\n")).base == "e5-small"


def test_a_base_of_one_word_is_a_name_whatever_folder_lies_there(tmp_path, file):
    (tmp_path / "e5-small").mkdir()
    assert configs.load(file(GOOD + "base: e5-small\n")).base == "e5-small"
    assert configs.load(file(GOOD + "base: ./e5-small\n")).base == str(tmp_path / "e5-small")
    assert (
        configs.load(file(GOOD + "base: FacebookAI/xlm-roberta-base\n")).base == "FacebookAI/xlm-roberta-base"
    )


def test_the_schema_takes_what_the_reader_takes(file):
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(GOOD), schema)
    jsonschema.validate(configs.as_table(configs.load(file(GOOD)), every=True), schema)
    for wrong in ({"k": 0}, {"kk": 1}, {"training": {"epochs": "two"}}, {"mode": "none"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**yaml.safe_load(GOOD), **wrong}, schema)


def test_every_setting_of_a_training_and_an_iteration_is_a_key():
    rounds = set(Finetuning.model_fields)
    for section, of, elsewhere in (
        ("training", settings.FinetuneSettings, {"seed"}),
        ("iterate", settings.IterateSettings, set(vars(configs.Config()))),
    ):
        keys = {name.partition(".")[2] for name in configs.KEYS if name.startswith(f"{section}.")}
        assert {f.name for f in fields(of)} - elsewhere <= keys
        assert keys <= {f.name for f in fields(of)} | rounds


def test_config_show_says_where_each_value_comes_from(bench, mu, file):
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    path = file(GOOD)
    output = mu("config", "show", path, "--set", "k=1", "--workspace", bench.root, "--json").json["keys"]
    assert output["k"] == {"value": 1, "from": "--set", "doc": output["k"]["doc"]}
    assert output["task"]["from"] == "mu.toml" and output["target"]["from"] == f"{path}:2"
    assert output["training.epochs"]["from"] == f"{path}:9" and "mode" not in output
    every = mu("config", "show", path, "--all", "--workspace", bench.root, "--json").json["keys"]
    assert every["mode"]["from"] == "default" and set(every) == set(configs.KEYS)


NAMED = "sources: [de-DE, nb-NO]"


@pytest.mark.parametrize(
    ("changes", "line", "says"),
    [
        ({"k: 2": "k: 30"}, 7, "k is 30, but there are 2 models to choose from: de-DE, nb-NO"),
        ({"k: 2": "k: 4\nmode: IncTar"}, 7, "beside the target's own"),
        ({"ties": "slerp", "params: {density: 0.3}\n": "", "k: 2": "k: 1"}, 6, "slerp merges exactly 2 sources, and k is 1"),
        ({"ties": "slerp", "params: {density: 0.3}\n": "", "k: 2": "k: 2\nmode: IncTar\nsources: [de-DE, nb-NO]",
          "similarity: REAL\n": ""}, 5, "k is 2, but the sources are named, and with mode IncTar they are 3"),
        ({"ties": "slerp", "params: {density: 0.3}\n": "", "k: 2": "", "nb-NO]": "nb-NO, fi-FI]"}, 3,
         "without k, 3 are chosen"),
        ({"ties": "slerp", "params: {density: 0.3}\n": "", "k: 2": "sources: [de-DE, nb-NO, fi-FI]",
          "similarity: REAL\n": ""}, 5, "slerp merges exactly 2 sources, and the sources are 3"),
        ({"k: 2": "k: 3\nsources: [de-DE, nb-NO]", "similarity: REAL\n": ""}, 6, "k is 3, but the sources are named"),
        ({"k: 2": NAMED}, 5, "similarity REAL has no effect: the sources are named, and ties weighs them alike"),
        ({"k: 2": f"{NAMED}\npreweight: uriel"}, 5, "and preweight is uriel"),
        ({"kind: merge": "kind: iterate", "k: 2": NAMED}, 5, "no effect"),
    ],
)  # fmt: skip
def test_keys_that_ask_for_sources_that_cannot_be_had_are_named_before_the_run(
    bench, mu, file, changes, line, says
):
    text = GOOD
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = file(text)
    for command in (("run", path, "--dry-run"), ("config", "show", path)):
        ran = mu(*command, "--workspace", bench.root)
        assert ran.code == 1 and says in ran.err and f"{path}:{line}:" in ran.err
    sweep = path.with_name("sweep.yaml")
    sweep.write_text("base:\n" + "".join(f"  {one}\n" for one in text.splitlines()), encoding="utf-8")
    ran = mu("sweep", "run", sweep, "--dry-run", "--workspace", bench.root)
    assert ran.code == 1 and says in ran.err and f"{sweep}:{line + 1}:" in ran.err
    assert not (bench.root / "runs").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"k: 2": NAMED, "ties": "linear", "params: {density: 0.3}\n": ""},  # weighs them
        {"k: 2": f"{NAMED}\npreweight: real"},
        {"REAL": "REAL×cosine", "k: 2": NAMED},
        {"similarity: REAL\n": "", "k: 2": f"k: 2\n{NAMED}"},  # says no more than the list does
        {"k: 2": "k: 3\nmode: IncTar"},
    ],
)
def test_keys_that_name_sources_and_weigh_them_are_taken(bench, mu, file, changes):
    text = GOOD
    for old, new in changes.items():
        text = text.replace(old, new)
    assert mu("config", "show", file(text), "--workspace", bench.root).code == 0


@pytest.mark.slow
@given(st.text(max_size=40))
def test_no_text_makes_anything_but_a_configuration_or_an_error(text):
    try:
        configs.overrides([text])
        configs.from_table({"kind": text, "k": text, "candidates": text, "params": {"density": text}})
    except MuError as error:
        assert error.what


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_config_show_of_a_sweep_is_what_the_sweep_would_run(bench, mu, path):
    shown = mu("config", "show", path, "--workspace", bench.root, "--json").json
    planned = mu("sweep", path, "--dry-run", "--workspace", bench.root, "--json").json
    assert list(shown["runs"]) == [one["run"] for one in planned["runs"]]
    assert shown["keys"]["base"]["value"] == "e5-small" and next(
        iter(shown["runs"].values())
    ).keys().isdisjoint(shown["keys"])


def test_a_sweep_is_not_one_run_and_is_named(bench, mu):
    path = REPOSITORY / "examples" / "dare.yaml"
    for words in (("run", path, "--dry-run"), ("config", "show", path, "--set", "k=3")):
        result = mu(*words, "--workspace", bench.root)
        assert result.code == 2 and "sweep" in result.err and "Did you mean" not in result.err
    assert f"mu sweep {path} --dry-run" in mu("run", path, "--workspace", bench.root).err


def test_a_method_that_merges_other_numbers_is_told_before_its_parameters(bench, mu, file):
    result = mu(
        "run", file(GOOD), "--dry-run", "--set", "method=slerp", "--set", "k=3", "--workspace", bench.root
    )
    assert result.code == 1 and "--set: slerp merges exactly 2 sources, and k is 3" in result.err

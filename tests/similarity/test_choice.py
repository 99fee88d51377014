"""All commands choose the same sources and weights; a new similarity is found by all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.similarity import choice, registry, select, uriel
from merginguriel.similarity.choice import Options, choose
from merginguriel.similarity.registry import Inputs

ACCURACY = {"de-DE": 0.6, "en-US": 0.5, "nb-NO": 0.8, "sv-SE": 0.7, "da-DK": 0.1}
FOREIGN = [name for name in ACCURACY if name != "da-DK"]
REAL = Inputs(accuracy=lambda targets: {s: {targets[0]: v} for s, v in ACCURACY.items()})


def test_the_own_model_is_one_of_k_in_inctar_wherever_it_ranks_and_never_a_source_in_exctar():
    inside = choose("da-DK", "IncTar", 2, "REAL", candidates=list(ACCURACY), inputs=REAL, weigh="REAL")
    assert inside.names == ["nb-NO", "da-DK"]
    assert inside.weights == pytest.approx({"nb-NO": 0.8 / 0.9, "da-DK": 0.1 / 0.9})
    assert [one.reason for one in inside.sources] == ["REAL 0.800, rank 1 of 4", "the target's own model"]
    outside = choose("da-DK", "ExcTar", None, "REAL", candidates=list(ACCURACY), inputs=REAL)
    assert outside.names == ["nb-NO", "sv-SE", "de-DE", "en-US"] and set(outside.weights.values()) == {0.25}
    assert choose("da-DK", "IncTar", 1, "REAL", candidates=[]).names == ["da-DK"]


def test_named_sources_stay_in_their_order_and_the_mode_decides_about_the_own_model():
    def named(mode):
        return choose("da-DK", mode, None, None, candidates=["sv-SE", "da-DK", "de-DE"], named=True)

    assert named("IncTar").names == named(None).names == ["sv-SE", "da-DK", "de-DE"]
    assert named("ExcTar").names == ["sv-SE", "de-DE"] and "left out" in named("ExcTar").notes[0]
    added = choose("da-DK", "IncTar", None, None, candidates=["sv-SE"], named=True)
    assert added.names == ["sv-SE", "da-DK"] and "added" in added.notes[0]


def test_too_few_candidates_and_unknown_names_are_errors():
    with pytest.raises(UsageError, match="k is 9, but there are 4 sources to choose from for da-DK: nb-NO, "):
        choose("da-DK", "ExcTar", 9, "REAL", candidates=list(ACCURACY), inputs=REAL)
    with pytest.raises(UnavailableError, match="no trained model"):
        choose("da-DK", "ExcTar", 2, "REAL", candidates=["da-DK"], inputs=REAL)
    with pytest.raises(UnavailableError, match="no REAL similarity of fi-FI to da-DK"):
        choose("da-DK", None, None, None, candidates=["fi-FI"], named=True, weigh="REAL", inputs=REAL)
    with pytest.raises(UsageError, match="'mine' is not one"):
        choose("da-DK", None, None, None, candidates=["mine"], named=True, weigh="URIEL")
    with pytest.raises(UsageError, match="unknown similarity 'URAL'"):
        choose("da-DK", None, 2, "URAL", candidates=FOREIGN)


def test_filter_balance_features_and_table_change_a_choice_as_they_change_the_matrix(tmp_path):
    def chosen(**options):
        return choose("da-DK", None, 2, "URIEL", candidates=FOREIGN, weigh="URIEL", options=Options(**options),
                      inputs=Inputs(options.get("features", ())))  # fmt: skip

    plain = uriel.column("da-DK", FOREIGN)
    assert chosen().names == choice.top_k(plain, 2)
    family = uriel.column("da-DK", FOREIGN, ["family"])
    assert chosen(features=("family",)).weights == pytest.approx(
        choice.shares(family, chosen(features=("family",)).names)
    )
    every = ["da-DK", *FOREIGN]
    values = np.where(np.eye(5, dtype=bool)[1:], 0, uriel.matrix(FOREIGN, every))
    scaled = select.sinkhorn(values).values[:, 0]
    balanced = chosen(sinkhorn=True)
    assert "Sinkhorn converged" in balanced.notes[0]
    best = choice.top_k(dict(zip(FOREIGN, scaled, strict=True)), 2)
    assert balanced.names == best
    with pytest.raises(UsageError, match="there are 1 sources"):
        chosen(nearest=1)
    for form in ("dense", "sparse"):
        path = tmp_path / f"{form}.csv"
        turned = 1 - uriel.matrix(FOREIGN, ["da-DK"])
        write = {"dense": select.dense_csv, "sparse": lambda *a: select.sparse_csv(*a, 3)}[form]
        path.write_text(write(turned, FOREIGN, ["da-DK"]), encoding="utf-8")
        assert chosen(table=path).names == choice.top_k({n: -v for n, v in plain.items()}, 2)
    path.write_text("source,target,similarity,rank\nde-DE,da-DK,near,1\n", encoding="utf-8")
    with pytest.raises(MuError, match="expected 4 cells") as error:
        chosen(table=path)
    assert error.value.where == f"{path}:2"


def test_models_are_compared_with_the_targets_own_and_a_product_with_each_other():
    def fit(measure, names):
        assert measure == "cosine"
        return np.array(
            [[1.0 if a == b else (len(a + b) + ord(a[0]) + ord(b[0])) / 400 for b in names] for a in names]
        )

    inputs = Inputs(accuracy=REAL.accuracy, fit=fit)
    found = choose("da-DK", None, 2, "cosine", candidates=FOREIGN, inputs=inputs, weigh="cosine")
    assert found.names == ["sv-SE", "nb-NO"] and registry.sees_labels("cosine")
    product = choose("da-DK", None, 3, "REAL", candidates=FOREIGN, inputs=inputs, weigh="REAL×cosine")
    square = fit("cosine", product.names)
    by_hand = [ACCURACY[a] * (square[i].sum() - 1) / 2 for i, a in enumerate(product.names)]
    assert list(product.weights.values()) == pytest.approx([value / sum(by_hand) for value in by_hand])


NEW = '''"""Similarity by the letters that two tags share."""
import numpy as np
from merginguriel.similarity.registry import similarity

@similarity("LETTERS", doc="letters that the tags share")
def letters(sources, targets, inputs):
    return np.array([[len(set(s) & set(t)) / 6 for t in targets] for s in sources])
'''
CALL = """
import sys
import merginguriel.similarity as package
package.__path__.append(sys.argv[1])
from merginguriel.cli.main import run
from merginguriel.config.schema import KEYS
print("key", *KEYS["similarity"].choices, *KEYS["preweight"].choices)
for command in ("merge", "ensemble score", "iterate", "similarity"):
    print("==", command)
    run([*command.split(), "--help"])
run(["similarity", "--target", "da-DK", "--source", "sv-SE", "--source", "nb-NO", "--source", "de-DE", "--json",
     "--workspace", sys.argv[2]])
"""


def test_a_new_file_with_a_similarity_is_found_by_every_command(tmp_path):
    folder, space = tmp_path / "more", tmp_path / "space"
    folder.mkdir(), space.mkdir()
    (folder / "letters.py").write_text(NEW, encoding="utf-8")
    (space / "mu.toml").write_text('context = "home/e5-small"\n', encoding="utf-8")
    words = [sys.executable, "-c", CALL, str(folder), str(space)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    keys, *helps = ran.stdout.split("== ")
    assert "LETTERS" in keys and "LETTERS×cosine" in keys and " letters" in keys
    assert len(helps) == 4 and all("LETTERS" in text for text in helps)
    ranked = json.loads(ran.stdout[ran.stdout.index("\n{") :])["similarity"]
    assert list(ranked) == ["LETTERS", "URIEL"] and len(ranked["LETTERS"]) == 3


@pytest.fixture(scope="module")
def poor(made, sentences, encoder, tmp_path_factory):
    """A workspace in which the target's own model, that of sv-SE, is the worst on its own data."""
    from lab_fixtures import Lab

    from merginguriel.cli.main import run

    space = tmp_path_factory.mktemp("poor") / "space"
    shutil.copytree(made, space)
    one = Lab(space, sentences, encoder, None)
    shutil.rmtree(one.root / "sv-SE")
    slow = ("--epochs", "1", "--learning-rate", "1e-9", "--head-learning-rate", "1e-9", "--no-bf16")
    assert run(["train", "--locale", "sv-SE", *slow, *one.study]) == 0
    assert run(["nxn", "--split", "dev", *one.study]) == 0
    return space


@pytest.fixture
def last(poor, sentences, encoder, capsys):
    """`mu` in that workspace."""
    from lab_fixtures import Lab

    return Lab(poor, sentences, encoder, capsys)


def by_merge(lab, flags, method):
    ran = lab.mu("merge", "--method", method, "--target", "sv-SE", *flags, "--dry-run")
    assert ran.code == 0, ran.err
    recipe = yaml.safe_load(ran.out)
    return {one["name"]: one["weight"] for one in recipe["sources"]}


def by_run(lab, flags, method):
    """The same flags as keys of a configuration."""
    names = {"steps": "sinkhorn_steps", "table": "similarity_table"}
    words = [f"--set={names.get(flag[2:], flag[2:])}={value}" for flag, value in pairs(flags)]
    study = {"task": "rooms", "data": lab.sentences, "base": lab.encoder, "method": method}
    words += [f"--set={key}={value}" for key, value in study.items()]
    path = lab.space / "run.yaml"
    path.write_text("kind: merge\nensembles: false\ntarget: sv-SE\n", encoding="utf-8")
    ran = lab.mu("run", path, *words, "--workspace", lab.space, "--json")
    assert ran.code == 0, ran.err
    return dict(zip(ran.data["sources"], ran.data["weights"], strict=True))


def pairs(flags):
    words = list(flags)
    if "--sinkhorn" in words:
        words.insert(words.index("--sinkhorn") + 1, "true")
    return zip(words[::2], words[1::2], strict=True)


def by_ensemble(lab, flags, method):
    ran = lab.mu("ensemble", "--target", "sv-SE", *flags, "--method", "soft", "--json")
    assert ran.code == 0, ran.err
    return ran.data[0]["weights"]


def by_iterate(lab, flags, method):
    """Sources, with their weights where those do not follow what each model scores at a merge."""
    from merginguriel.config.run_config import from_table
    from merginguriel.runs import resolve
    from merginguriel.runs.kinds.iterate import settings_from
    from merginguriel.study import iterate_study
    from merginguriel.workspace import find

    words = ("--target", "sv-SE", *flags, "--method", method, *lab.study, "--dry-run", "--json")
    ran = lab.mu("iterate", *words)
    assert ran.code == 0, ran.err
    config = from_table(ran.data[0]["config"])
    study = resolve.study_of(config, find(lab.space))
    settled = iterate_study.settled(study, settings_from(config), resolve.options_of(config))[0]
    return dict(settled.weights or iterate_study.shares(study, settled) or dict.fromkeys(settled.sources))


CASES = {
    "REAL, own model last": ("--mode", "IncTar", "--similarity", "REAL", "--k", "2"),
    "REAL, ExcTar": ("--mode", "ExcTar", "--similarity", "REAL", "--k", "1"),
    "URIEL": ("--mode", "IncTar", "--similarity", "URIEL", "--k", "2"),
    "URIEL by features": ("--mode", "ExcTar", "--similarity", "URIEL", "--features", "family", "--k", "2"),
    "nearest": ("--mode", "IncTar", "--similarity", "URIEL", "--nearest", "1", "--k", "2"),
    "balanced": ("--mode", "ExcTar", "--similarity", "URIEL", "--sinkhorn", "--k", "2"),
    "balanced REAL": ("--mode", "ExcTar", "--similarity", "REAL", "--sinkhorn", "--k", "2"),
}


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.parametrize("flags", CASES.values(), ids=CASES)
def test_four_commands_choose_the_same_sources_and_weights_by_the_same_flags(last, flags):
    merge = by_merge(last, flags, "linear")
    assert ("sv-SE" in merge) == ("IncTar" in flags) and len(merge) == int(flags[flags.index("--k") + 1])
    for other in (by_run(last, flags, "linear"), by_ensemble(last, flags, "linear")):
        assert list(other) == list(merge) and other == pytest.approx(merge)
    iterate = by_iterate(last, flags, "linear")
    assert set(iterate) == set(merge)
    assert None in iterate.values() or iterate == pytest.approx(merge)


@pytest.mark.slow
@pytest.mark.lab
def test_a_table_and_models_choose_in_every_command(last, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("source,sv-SE\nen-US,0.9\nde-DE,0.3\nsv-SE,1\n", encoding="utf-8")
    flags = ("--mode", "IncTar", "--similarity", "URIEL", "--table", str(table), "--k", "2")
    merge = by_merge(last, flags, "linear")
    assert merge == pytest.approx({"en-US": 0.9 / 1.9, "sv-SE": 1 / 1.9})
    assert by_run(last, flags, "linear") == by_ensemble(last, flags, "linear") == pytest.approx(merge)
    flags = ("--mode", "ExcTar", "--similarity", "cosine", "--k", "2")
    merge = by_merge(last, flags, "linear")
    assert by_run(last, flags, "linear") == pytest.approx(merge)
    assert by_ensemble(last, flags, "linear") == pytest.approx(merge)


@pytest.mark.slow
@pytest.mark.lab
def test_a_prepared_choice_is_marked_in_the_recipe_and_in_the_rows_of_runs(last):
    flags = ("--mode", "ExcTar", "--similarity", "URIEL", "--sinkhorn", "--k", "2")
    ran = last.mu("merge", "--method", "linear", "--target", "sv-SE", *flags, "--dry-run")
    assert yaml.safe_load(ran.out)["similarity"] == "URIEL+sinkhorn"
    by_run(last, flags, "linear")
    from merginguriel.runs import run_index
    from merginguriel.workspace import find

    query = "select distinct similarity from rows where method = 'similarity'"
    assert ("URIEL+sinkhorn",) in run_index.query(find(last.space), query)[1]

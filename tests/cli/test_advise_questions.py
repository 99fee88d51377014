"""Questions to `mu advise` are read as meant, or rejected with the nearest valid value."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
from conftest import row

from merginguriel.cli.common import true_minus
from merginguriel.merging.registry import all_methods
from merginguriel.study import capabilities


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["--method", "adamergin"], "adamerging"),
        (["--method", "tie"], "ties"),
        (["--context", "home/e5-smal"], "home/e5-small"),
        (["--context", "massive/xlm-roberta"], "massive/xlm-roberta-base"),
    ],
)
def test_a_misspelt_question_exits_2_with_the_nearest(mu, study, arguments, near):
    asked = ("advise", "--target", "sw-KE", *arguments, "--workspace", study.root)
    result = mu(*asked)
    assert result.code == 2 and result.out == "" and f"Did you mean {near}" in result.err
    assert near in mu(*asked, "--json").json["hint"]


def test_a_context_may_be_asked_about_once_the_workspace_has_its_base(mu, bench):
    asked = ("advise", "--target", "da-DK", "--context", "rooms/tiny", "--workspace", bench.root)
    assert mu(*asked).code == 2
    (bench.root / "models" / "rooms" / "tiny" / "base").mkdir(parents=True)
    assert mu(*asked).code == 4


@pytest.mark.slow
def test_methods_of_log_and_program_may_be_asked_about(mu, study):
    for method in (*all_methods(), "similarity"):
        result = mu("advise", "--target", "sw-KE", "--method", method, "--json", "--workspace", study.root)
        recipe = result.json["recipe"]
        # A recipe that was measured with a parameter that the method does not have, or no longer has, cannot be run.
        known = capabilities.methods()[recipe["method"]]
        assert result.code in (0, 4) and recipe["runnable"] is (set(recipe["params"]) <= known)


def test_what_can_be_run_is_what_the_registry_has():
    methods = dict(capabilities.methods())
    assert methods.pop("similarity") == methods["linear"]
    assert methods == {name: frozenset(method.params) for name, method in all_methods().items()}


def test_similarity_is_read_in_any_case(mu, study):
    result = mu("advise", "--target", "sw-KE", "--similarity", "real", "--json", "--workspace", study.root)
    assert result.code == 0 and result.json["recipe"]["similarity"] == "REAL"


def test_of_several_locales_the_one_in_the_log_is_suggested_first(mu, study):
    assert "Did you mean sw-KE," in mu("advise", "--target", "sw", "--workspace", study.root).err


def test_a_locale_that_the_task_lacks_is_not_sent_to_it(mu, study):
    result = mu("advise", "--target", "xh-ZA", "--json", "--workspace", study.root)
    commands = [step["command"] for step in result.json["next"]]
    assert (result.code, result.json["verdict"], result.json["pilot"]["arms"]) == (4, "unknown", [])
    assert not any("nxn" in command or "pilot" in command for command in commands)
    result = mu("advise", "--target", "de-DE", "--json", "--workspace", study.root)
    assert any("nxn" in step["command"] or "pilot" in step["command"] for step in result.json["next"])


@pytest.mark.parametrize("target", ["sw-KE", "ja-JP"])
def test_a_locale_with_too_little_text_to_score_is_not_sent_to_the_matrix(mu, study, target):
    asked = ("advise", "--context", "home/e5-small", "--json", "--workspace", study.root)
    result = mu(*asked, "--target", target)
    assert result.code == 0 and "too few sentences" in result.json["unknowns"][0]
    assert not any("nxn" in step["command"] or "train" in step["command"] for step in result.json["next"])
    assert any("nxn" in step["command"] for step in mu(*asked, "--target", "de-CH").json["next"])


def test_more_sources_than_there_are_locales_are_refused(mu, study):
    asked = ("advise", "--target", "sw-KE", "--workspace", study.root)
    result = mu(*asked, "--k", "400")
    assert (
        result.code == 2
        and result.out == ""
        and "--k must be at most 52" in result.err
        and "got 400" in result.err
    )
    assert mu(*asked, "--k", "52").code != 2


def test_models_of_the_workspace_are_not_trained_again_and_the_next_step_means_the_context(mu, bench):
    asked = ("advise", "--target", "da-DK", "--context", "home/e5-small", "--json", "--workspace", bench.root)
    for locale in ("de-DE", "en-US", "nb-NO", "sv-SE", "da-DK", "fr-FR"):
        folder = bench.root / "models" / "home" / "e5-small" / locale
        folder.mkdir(parents=True)
        (folder / "training.yaml").write_text("")
    matrix, remark = "mu nxn --split dev --locale da-DK", "an N×N matrix names the sources"
    elsewhere = f"{matrix} --task home --base e5-small"  # without the flags it means mu.toml's context
    for context, command in (("home/e5-small", matrix), ("massive/xlm-roberta-base", elsewhere)):
        (bench.root / "mu.toml").write_text(f'context = "{context}"\n')
        assert mu(*asked).json["next"] == [{"command": command, "remark": remark}]


def test_advice_in_a_pipe_is_80_columns_wide(mu, study):
    for target in ("sw-KE", "cy-GB", "de-DE"):
        out = mu("advise", "--target", target, "--workspace", study.root).out
        assert [line for line in out.splitlines() if len(line) > 80 and "  mu " not in line] == []


def test_explain_adds_a_key(mu, study):
    bare = mu("advise", "--target", "sw-KE", "--workspace", study.root).out
    result = mu("advise", "--target", "sw-KE", "--explain", "--workspace", study.root).out
    assert result.startswith(bare.rstrip()) and "value of the merge" in result


@pytest.mark.slow
def test_the_next_commands_of_every_shipped_target_run_as_printed(mu, study):
    """Parsed by click from the words of the shell: nothing is cut off, and no remark is part of a command."""
    from test_docs import refused

    rows = mu("log", "list", "--rows", "--json", "--workspace", study.root).json
    questions = {(r["context"], r["target"], r["mode"]) for r in rows if r["mode"] in ("ExcTar", "IncTar")}
    for context, target, mode in sorted(questions):
        asked = ("--target", target, "--context", context, "--mode", mode, "--json")
        for step in mu("advise", *asked, "--workspace", study.root).json["next"]:
            assert step["command"] or step["remark"]
            if step["command"]:
                assert shlex.split(step["command"], comments=False)[0] == "mu"
                assert refused(step["command"]) is None, step


def test_every_field_of_the_schema_is_described(mu):
    schema = mu("schema", "advice").json
    kinds = {"advice": schema, **schema["$defs"]}
    undescribed = [
        f"{name}.{field}"
        for name, kind in kinds.items()
        for field, about in kind["properties"].items()
        if not about.get("description") and "$ref" not in about
    ]
    assert undescribed == [] and all(kind["description"] for kind in kinds.values())


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["--k", "0"], ["--similarity", "cosine"], ["--target", "xx"]]
)
def test_an_error_as_json_says_how_to_mend_it(mu, arguments):
    result = mu("advise", "--target", "sw-KE", "--json", *arguments)
    assert result.code == 2 and result.json["hint"]


def test_a_skill_shows_its_reasons_with_true_minus_signs(mu, study):
    out = mu("skills", "show", "merging-when-constructive", "--claims", "--workspace", study.root).out
    assert "−" in out and not re.search(r"(?<![\w-])-\d", out)
    assert true_minus("-1.6 pp 2026-01-20 sw-KE p-2") == "−1.6 pp 2026-01-20 sw-KE p-2"


@pytest.mark.slow
def test_a_matrix_that_the_log_does_not_know_is_named_with_the_command_that_logs_it(mu, study, tmp_path):
    root = tmp_path / "own"
    shutil.copytree(study.root, root)
    asked = ("advise", "--target", "sw-KE", "--workspace", root)
    assert "matrix" not in mu(*asked).err
    results = root / "results"
    results.mkdir()
    (results / "nxn-massive-xlm-roberta-base-test.csv").write_text(
        "source,target,accuracy,n\nde-DE,sw-KE,0.42,2974\nid-ID,sw-KE,0.41,2974\nde-DE,fi-FI,0.6,2974\n"
    )
    for other in ("nxn-massive-xlm-roberta-base-dev.csv", "nxn-home-e5-small-test.csv"):
        (results / other).write_text("source,target,accuracy,n\nde-DE,sw-KE,0.42,2974\n")
    result = mu(*asked)
    (line,) = [one for one in result.err.splitlines() if "results/" in one]
    assert "scores of 2 models on sw-KE" in line and result.out == mu(*asked).out
    assert "matrix" not in mu("advise", "--target", "cy-GB", "--workspace", root).err
    words = shlex.split(line.partition("add them: mu ")[2])
    words[words.index("--matrix") + 1] = str(root / words[words.index("--matrix") + 1])
    added = mu(*words, "--workspace", root, "--json")
    assert added.code == 0 and [row["method"] for row in added.json["rows"]] == 3 * ["single"]
    assert "results/" not in mu(*asked).err
    twice = mu(*words, "--workspace", root)
    assert twice.code == 2 and added.json["id"] in twice.err
    wrong = mu(*words[:2], "--matrix", results / "nxn-massive-xlm-roberta-base-dev.csv", *words[4:],
               "--workspace", root)  # fmt: skip
    assert wrong.code == 2 and "--split test" in wrong.err


@pytest.mark.slow
def test_several_targets_are_answered_one_after_the_other(mu, study):
    def asked(*targets, more=()):
        named = [word for target in targets for word in ("--target", target)]
        return mu("advise", *named, *more, "--workspace", study.root)

    one, other = (asked(target, more=["--json"]).json for target in ("sw-KE", "cy-GB"))
    assert asked("sw-KE", "cy-GB", more=["--json"]).json == [one, other]
    assert asked("sw-KE", "cy-GB").out == asked("sw-KE").out + "\n" + asked("cy-GB").out
    assert asked("sw-KE", "sw-KE", more=["--json"]).json == [one]
    assert asked("sw-KE", "sw-KE").out == asked("sw-KE").out


def test_of_several_targets_only_all_unknown_is_unknown(mu, study):
    asked = ("advise", "--target", "de-DE", "--target", "sw-KE", "--workspace", study.root)
    assert mu(*asked).code == 0
    assert mu(*asked, "--context", "home/e5-small", "--mode", "IncTar").code == 4


def test_mode_is_read_in_any_case(mu, study):
    result = mu("advise", "--target", "sw-KE", "--mode", "inctar", "--json", "--workspace", study.root)
    assert result.code == 0 and result.json["mode"] == "IncTar"


def test_a_day_to_come_is_refused_unless_the_log_has_reached_it(mu, bench):
    bench.entry(row("sw-KE"))
    asked = ("advise", "--target", "sw-KE", "--as-of", "2999-01-01", "--workspace", bench.root)
    result = mu(*asked)
    assert result.code == 2 and result.out == "" and "2999-01-01 is in the future" in result.err
    bench.entry(row("sw-KE", 0.47), entry="2999-01-01-ahead-00000002")
    assert mu(*asked).code != 2


def test_only_what_is_near_is_proposed_for_a_locale(mu, study):
    assert "Did you mean" not in mu("advise", "--target", "xx-YY", "--workspace", study.root).err
    assert "Did you mean sw-KE" in mu("advise", "--target", "sw-KX", "--workspace", study.root).err


def test_a_merge_that_should_lose_is_refused_for_that(mu, study):
    asked = ("--method", "ties", "--similarity", "REAL", "--k", "5")
    result = mu("advise", "--target", "sw-KE", *asked, "--json", "--workspace", study.root).json
    assert result["verdict"] == "no-merge" and result["gain"]["mean_pp"] < 0
    assert result["why"].startswith("the expected gain is negative, −")

"""Sources, and the best of them, are named only where the log names them."""

from __future__ import annotations

from conftest import HEAD, row

from merginguriel.decision.advice import Lab, Question, advise
from merginguriel.decision.question import Ability
from merginguriel.text.advice import render

SINGLE_HEAD = HEAD.replace("| k |", "| sources |")


def singles(target: str, **scores: float) -> str:
    named = [(name.replace("_", "-"), value) for name, value in scores.items()]
    return SINGLE_HEAD + "\n".join(f"| {target} | - | single | - | {s} | {v} | - | - |" for s, v in named)


def ask(bench, target: str = "sw-KE", **more):
    return advise(bench.load(), Question(target, **more))


def test_one_measured_model_is_not_called_the_best(study):
    told = ask(study, "th-TH")
    assert told.baseline.value is None and told.baseline.model is None
    assert told.baseline.how == "at least 44.00% (1 model measured)"
    assert told.mde_pp is None and "what the best single source reaches on th-TH" in told.unknowns
    assert len(told.recipe.sources) == 5
    assert told.pilot.cost.trainings == told.recipe.sources_missing >= 4


def test_as_many_models_as_a_merge_needs_have_a_best(bench):
    bench.entry(table=singles("sw-KE", sq_AL=0.46, en_US=0.47, az_AZ=0.41))
    assert ask(bench, k=4, similarity="REAL").baseline.value is None
    told = ask(bench, k=3, similarity="REAL")
    assert (told.baseline.value, told.baseline.model) == (0.47, "en-US")
    assert told.mde_pp is not None and told.pilot.cost.trainings == 0


def test_a_run_scored_every_model_it_had(bench):
    table = singles("sw-KE", sq_AL=0.46, en_US=0.47).replace("baseline |\n", "baseline | run |\n", 1)
    table = table.replace("|---|\n", "|---|---|\n", 1).replace("| - | - |", "| - | - | a-run |")
    bench.entry(table=table)
    assert ask(bench).baseline.value == 0.47


def test_sources_that_the_recorded_mean_rules_out_are_not_named(study):
    recipe = ask(study, method="similarity", k=5).recipe
    assert [s.locale for s in recipe.sources][:2] == ["en-US", "sq-AL"] and recipe.sources_missing == 3
    assert "measured" in recipe.sources[0].reason and "near by URIEL" in recipe.sources[4].reason
    assert "best known: en-US, sq-AL 46.70%" in recipe.note
    assert "not among the 5: az-AZ, th-TH (their mean was 46.02%)" in recipe.note


def test_models_that_tie_at_the_top_are_all_named(study):
    told = ask(study)
    assert (told.baseline.model, told.baseline.tied) == ("en-US", ("sq-AL",))
    assert "(en-US, sq-AL)" in render(told)


LAB = Lab({"similarity": Ability(), "average": Ability()}, frozenset({"REAL"}))


def test_the_next_commands_train_what_is_missing_then_try_the_advice(study):
    train, trial = (
        step.command for step in ask(study, lab=LAB, method="similarity", k=5, min_gain_pp=0.1).next
    )
    assert train.startswith("mu train --locale en-US --locale sq-AL --locale ")
    assert "--task massive --base xlm-roberta-base" in train and "az-AZ" not in train and "sw-KE" not in train
    assert trial == "mu pilot --target sw-KE --context massive/xlm-roberta-base"
    there = frozenset({"en-US", "sq-AL", "de-DE", "fr-FR", "it-IT"})
    have_all = Lab(LAB.methods, LAB.similarities, trained=there)
    assert [
        step.command.split()[1]
        for step in ask(study, lab=have_all, method="similarity", k=5, min_gain_pp=0.1).next
    ] == ["pilot"]


def test_named_sources_that_have_no_model_here_are_trained_first(bench):
    bench.entry(table=singles("sw-KE", sq_AL=0.46, en_US=0.47))
    bench.entry(row("sw-KE", 0.60, 0.47, k=2), entry="2026-01-21-merge-00000002")
    lab = Lab(LAB.methods, LAB.similarities, trained=frozenset({"en-US"}))
    train, merge = (step.command for step in ask(bench, lab=lab).next)
    assert train == "mu train --locale sq-AL --task massive --base xlm-roberta-base"
    assert merge.startswith("mu merge --method similarity --target sw-KE --source en-US --source sq-AL")

"""Sentences of an answer agree with its figures, with each other, and with what can be run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import row

from merginguriel.decision.advice import Lab, Question, advise
from merginguriel.decision.advice_diff import changes
from merginguriel.decision.question import Ability
from merginguriel.text.advice import render

METHODS = {"average": Ability(), "similarity": Ability(), "ties": Ability({"density", "scale"})}
LAB = Lab(METHODS, frozenset({"REAL"}))
NO_SENTENCES = replace(LAB, offers_target=False)
SINGLES = {"sq-AL": 0.56, "en-US": 0.55, "az-AZ": 0.54, "th-TH": 0.53, "fr-FR": 0.52}
OTHERS = ["cy-GB", "vi-VN", "th-TH", "ka-GE", "tr-TR", "sq-AL", "hi-IN", "af-ZA"]


def ask(bench, target="sw-KE", **more):
    return advise(bench.load(), Question(target, **more))


def test_a_target_without_test_items_is_not_told_what_its_test_set_detects(bench):
    for number, target in enumerate(OTHERS):
        bench.entry(row(target, 0.52 + number % 2 / 100, 0.50), n=200, entry=f"2026-01-20-test-{number:08x}")
    told = ask(bench, lab=NO_SENTENCES)
    assert ask(bench).why.startswith("likely, but this test set")
    assert told.verdict == "unknown" and "test set" not in told.why
    assert "massive has too few labelled sentences of sw-KE, or none, for a pilot" in told.why


def test_a_merge_that_no_item_can_check_says_so(bench):
    for number, target in enumerate(OTHERS):
        bench.entry(row(target, 0.60, 0.50), n=3000, entry=f"2026-01-20-test-{number:08x}")
    told = ask(bench, lab=NO_SENTENCES)
    assert told.verdict == "merge"
    assert told.why.endswith("massive has too few labelled sentences of sw-KE, or none, to check it")


def test_a_gain_that_rounds_to_zero_is_not_called_negative(bench):
    for number, target in enumerate(OTHERS):
        bench.entry(row(target, 0.4999, 0.5), n=300, entry=f"2026-01-20-test-{number:08x}")
    told = ask(bench)
    assert -0.05 < told.gain.mean_pp < 0
    assert "the expected gain is about 0 pp" in told.why and "negative" not in told.why


def test_value_and_baseline_of_a_row_differ_by_its_gain_also_over_a_better_single_model(bench):
    before = ask(bench)
    lines = row("sw-KE", 0.71, 0.62, k=3) + "\n" + row("sw-KE", 0.70, 0.67, k=5)
    bench.entry(lines, n=500)
    after = ask(bench)
    for shown in after.rows:
        assert 100 * (shown.value - shown.baseline) == pytest.approx(shown.gain_pp, abs=0.01)
        assert shown.baseline == pytest.approx(0.67)
    assert sum(" over 67.0%" in line for line in changes(before, after)) == 2


def test_a_claim_that_no_row_tests_is_not_said_to_be_noise(study):
    told = ask(study, "vi-VN")
    untested = [one for one in told.rules if one.reason.startswith("not tested")]
    assert untested and all(one.standing == "under noise: not tested by rows" for one in untested)
    assert "[under noise: not tested by rows; " in " ".join(render(told, every=True).split())


def test_with_the_own_model_among_the_sources_it_is_trained_first_and_is_the_figure_to_beat(study):
    methods = METHODS | {"adamerging": Ability({"iterations", "lr"})}
    told = ask(study, "hi-IN", mode="IncTar", lab=replace(LAB, methods=methods))
    assert told.next[0].command.startswith("mu train --locale hi-IN ")
    assert "that of the target's own model" in told.would_change[0]


def test_a_context_whose_task_is_not_here_is_not_answered_with_a_command_that_fails(bench):
    told = ask(bench, context="sts-b/xlm-roberta-base", lab=replace(LAB, knows_task=False))
    assert told.next[0].command == "mu tasks" and "sts-b is not among them" in told.next[0].remark


def test_the_reason_for_one_source_is_not_said_of_all(bench):
    singles = "".join(f"| sw-KE | - | single | {name} | {value} |\n" for name, value in SINGLES.items())
    bench.entry(table="| target | mode | method | sources | value |\n|---|---|---|---|---|\n" + singles)
    bench.entry(row("cy-GB", 0.60, 0.50), entry="2026-01-21-test-00000002")
    (line,) = [one for one in render(ask(bench), width=200).splitlines() if one.startswith("  sources")]
    assert "sq-AL 0.56" not in line and ": sq-AL 56.00% on sw-KE, rank 1 of 5 measured" in line


def test_a_joint_model_is_not_called_a_merge_of_weights(bench):
    for number, target in enumerate(OTHERS):
        line = row(target, 0.60, 0.50, method="joint", similarity="-", k=8)
        bench.entry(line, n=3000, entry=f"2026-01-20-test-{number:08x}")
    told = ask(bench, method="joint")
    assert told.verdict == "merge" and told.summary.startswith(
        "Train one model on all sentences: joint, 8 sources"
    )
    text = " ".join(render(told).split())
    assert "no merge of weights" in text and "all other locales; measured with 8" in text

"""Advice asked for in a workspace is kept once, scored when its arm is measured, and never in the way of the answer."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest
from conftest import row

from merginguriel.decision.advice import Question
from merginguriel.loop import ledger

ASK = Question("sw-KE", context="massive/xlm-roberta-base")


def elsewhere(bench):
    """Rows of other targets, on which the advice for sw-KE rests."""
    rows = [
        row(target, 0.48 + i / 200, 0.46) for i, target in enumerate(("cy-GB", "vi-VN", "th-TH", "hi-IN"))
    ]
    bench.entry(*rows, entry="2026-01-20-elsewhere-00000001")


def test_an_advice_is_kept_once_for_the_same_question_and_knowledge(bench):
    elsewhere(bench)
    for _ in range(3):
        told = ledger.answered(bench.load(), ASK)
    kept = ledger.entries(bench.load_space())
    assert len(kept) == 1 and (kept[0].mean_pp, kept[0].verdict) == (told.gain.mean_pp, told.verdict)
    bench.entry(row("af-ZA", 0.50, 0.46), entry="2026-01-21-more-00000002")
    ledger.answered(bench.load(), ASK)
    assert len(ledger.entries(bench.load_space())) == 2


def test_a_measured_arm_scores_the_advice_that_came_before_it(bench):
    elsewhere(bench)
    before = ledger.answered(bench.load(), ASK)
    assert ledger.scores(bench.load()) == []
    bench.entry(row("sw-KE", 0.50, 0.46), entry="2026-01-22-measured-00000003")
    after = ledger.answered(bench.load(), ASK)
    (found,) = ledger.scores(bench.load())
    assert found.gain_pp == pytest.approx(4.0) and found.asked.mean_pp == before.gain.mean_pp
    assert found.inside90 and after.knowledge_hash != before.knowledge_hash
    (only,) = ledger.buckets([found])
    assert only.brier == pytest.approx((1 - before.gain.p_positive) ** 2) and only.gained == 1.0


def test_a_row_of_another_arm_scores_nothing(bench):
    elsewhere(bench)
    ledger.answered(bench.load(), ASK)
    bench.entry(row("sw-KE", 0.40, 0.46, method="ties"), entry="2026-01-22-other-00000003")
    assert ledger.scores(bench.load()) == []


def test_a_day_that_was_given_and_a_folder_that_cannot_be_written_keep_nothing(bench, monkeypatch):
    elsewhere(bench)
    ledger.answered(bench.load(as_of="2026-01-20"), Question(ASK.target, as_of="2026-01-20"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert ledger.answered(bench.load(), ASK).verdict
    assert not (bench.root / ledger.NAME).exists()


def ask(root, target):
    from merginguriel import workspace
    from merginguriel.knowledge.base import load

    ledger.answered(load(workspace.find(explicit=root)), Question(target))


@pytest.mark.slow
def test_processes_that_ask_at_once_tear_no_line(bench):
    elsewhere(bench)
    targets = ("sw-KE", "de-DE", "fr-FR", "nl-NL")
    context = multiprocessing.get_context("spawn")
    each = [context.Process(target=ask, args=(bench.root, target)) for target in targets]
    for one in each:
        one.start()
    for one in each:
        one.join(120)
    lines = (bench.root / ledger.NAME).read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["question"]["target"] for line in lines) == sorted(targets)


def test_score_next_and_since_say_what_was_learnt(bench, mu):
    elsewhere(bench)
    where = ("--workspace", bench.root)
    assert "nothing to score" in mu("advise", "score", *where).out
    mu("advise", "--target", "sw-KE", *where)
    bench.entry(row("sw-KE", 0.50, 0.46), entry="2026-01-22-measured-00000003")
    scored = mu("advise", "score", *where)
    assert scored.code == 0 and "sw-KE" in scored.out and "Brier" in scored.out
    assert mu("advise", "score", "--json", *where).json["scored"] == 1
    since = mu("advise", "--target", "sw-KE", "--since", "2026-01-22-measured", *where)
    assert "because similarity, REAL, 5 sources measured +4.0 pp" in since.out
    ranked = mu("advise", "next", "--json", *where).json
    assert {one["target"] for one in ranked} >= {"sw-KE", "cy-GB"}
    worth = [one["value_pp"] - one["cost_pp"] for one in ranked]
    assert worth == sorted(worth, reverse=True)
    assert mu("advise", "--target", "sw-KE", "--since", "nothing", *where).code == 2


def test_the_reliability_figure_is_drawn(bench, mu, tmp_path):
    pytest.importorskip("matplotlib")
    elsewhere(bench)
    mu("advise", "--target", "sw-KE", "--workspace", bench.root)
    bench.entry(row("sw-KE", 0.50, 0.46), entry="2026-01-22-measured-00000003")
    drawn = mu("advise", "score", "--figure", tmp_path / "r.png", "--workspace", bench.root)
    assert drawn.code == 0 and (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")

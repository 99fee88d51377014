"""Advice asked for in a workspace is kept once, scored when its arm is measured, and never in the way of the answer."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest
from conftest import row
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.decision.advice import Question
from merginguriel.knowledge.log.append import Draft, add
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.loop import interval_width, ledger

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
    assert found.gain_pp == pytest.approx(4.0) and found.entry.mean_pp == before.gain.mean_pp
    assert found.inside90 and after.knowledge_hash != before.knowledge_hash
    (only,) = ledger.buckets([found])
    assert only.brier == pytest.approx((1 - before.gain.p_positive) ** 2) and only.gained == 1.0


def test_advice_about_a_joint_model_is_scored_by_joint_models_and_other_advice_is_not(bench):
    def joint(target, value):
        return row(target, value, 0.46, method="joint", similarity="-")

    elsewhere(bench)
    bench.entry(*(joint(t, 0.52) for t in ("cy-GB", "vi-VN", "th-TH")), entry="2026-01-21-joint-00000002")
    ledger.answered(bench.load(), Question("sw-KE", context=ASK.context, method="joint"))
    ledger.answered(bench.load(), ASK)
    bench.entry(joint("sw-KE", 0.54), row("sw-KE", 0.50, 0.46), entry="2026-01-22-measured-00000003")
    scored = {one.entry.arm["method"]: one for one in ledger.scores(bench.load())}
    assert scored["joint"].gain_pp == pytest.approx(8.0)
    assert scored["similarity"].gain_pp == pytest.approx(4.0)


def test_sources_that_the_similarity_chose_score_the_advice_that_predicted_others(bench):
    elsewhere(bench)
    ledger.answered(bench.load(), ASK)
    path = bench.root / ledger.NAME
    line = json.loads(path.read_text(encoding="utf-8"))
    line["arm"]["sources"] = ["de-DE", "es-ES", "fr-FR", "it-IT", "nl-NL"]
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    measured = ResultRow(
        ASK.context, ASK.target, "ExcTar", "similarity", "accuracy", 0.5, 2974, similarity="REAL", k=5,
        sources=("af-ZA", "de-DE", "en-US", "fr-FR", "it-IT"), baseline_kind="best_single_source", baseline=0.46,
    )  # fmt: skip
    add(
        bench.root / "experiment_log",
        Draft("Measured", "Retrospective", "2026-01-22", "Sources by scores.", rows=(measured,)),
    )
    assert len(ledger.scores(bench.load())) == 1


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


def scored(error_pp: float, number: int, *, sd_pp: float = 2.0, width: float = 1.0) -> ledger.ScoredAdvice:
    """An advice whose arm gained `error_pp` more than expected, measured without noise."""
    half = 1.6449 * sd_pp
    asked = ledger.LedgerEntry(
        f"a{number}", "", {"target": "sw-KE", "context": "home/e5-small", "width": width}, "", {}, 0.0, (-half, half),
        0.5, "pilot", (),
    )  # fmt: skip
    return ledger.ScoredAdvice(
        asked, error_pp, 0.0, inside90=abs(error_pp) <= half, regret_pp=None, refs=(f"r{number}",)
    )


def width(*errors_in_sd: float) -> float:
    found = [scored(2.0 * error, i) for i, error in enumerate(errors_in_sd)]
    return interval_width.learned(found)["home/e5-small"].factor


@given(
    st.lists(st.floats(1.2, 9), min_size=1, max_size=60),
    st.lists(st.floats(-0.8, 0.8), min_size=1, max_size=60),
)
def test_advice_that_was_too_sure_widens_intervals_and_the_opposite_narrows_them(large, small):
    assert width(*large) > 1 > width(*small)
    assert width(*large, *large) >= width(*large) and width(*small, *small) <= width(*small)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_few_scores_change_nearly_nothing_and_one_measurement_counts_once(one, two):
    assert 0.93 < width(one, two) < 1.36
    assert width(0.0) > 0.97
    found = [scored(2.0 * one, 1)] * 9
    assert interval_width.learned(found)["home/e5-small"].measurements == 1


@given(st.floats(1, 2))
def test_what_was_learned_is_not_learned_again_from_wider_intervals(factor):
    errors = [2.0 * one for one in (3.0, -2.0, 1.5, 2.5)]
    plain = [scored(one, i) for i, one in enumerate(errors)]
    wider = [scored(one, i, sd_pp=2.0 * factor, width=factor) for i, one in enumerate(errors)]
    assert interval_width.learned(wider) == interval_width.learned(plain)


def test_scores_widen_the_next_advice_of_their_context(bench, mu):
    elsewhere(bench)
    where = ("--workspace", bench.root)
    targets = ("af-ZA", "az-AZ", "fi-FI", "nl-NL")
    for target in targets:
        mu("advise", "--target", target, *where)
    bench.entry(*[row(target, 0.2, 0.46) for target in targets], entry="2026-01-22-measured-00000003")
    before = mu("advise", "--target", "sw-KE", "--json", *where).json
    told = mu("advise", "score", "--json", *where).json["width"]["massive/xlm-roberta-base"]
    after = mu("advise", "--target", "sw-KE", "--json", *where).json
    assert told["factor"] > 1.1 and after["width"] == told["factor"]
    assert before["width"] == 1 and after["gain"]["mean_pp"] == before["gain"]["mean_pp"]
    wide, narrow = after["gain"]["ci90_pp"], before["gain"]["ci90_pp"]
    assert wide[0] < narrow[0] and wide[1] > narrow[1]
    assert "earlier advice here was too sure" in mu("advise", "--target", "sw-KE", *where).out

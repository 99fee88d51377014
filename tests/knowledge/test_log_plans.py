"""Are plans scored against what came, and is what was tried already found before it is tried again?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import HEAD, row
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.lint import runner
from merginguriel.knowledge.log import acceptance, append, plan_scores
from merginguriel.knowledge.log.prior_attempts import TriedAlready, Wanted, tried
from merginguriel.knowledge.parse.expectations import Expectation

PLAN = "2026-01-19-a-plan-0000000a"
PLAN_TEXT = """\
---
title: "A plan"
type: "Plan"
date: "2026-01-19"
summary: "S."
context: "massive/xlm-roberta-base"
---

## Expected

| target | method | similarity | k | low | high | p_positive |
|---|---|---|---|---|---|---|
| sw-KE | ties | REAL | 5 | +1 pp | +3 pp | 0.9 |
| cy-GB | ties | REAL | 5 | - | -1 pp | - |
"""


def plan(bench, text=PLAN_TEXT, name=PLAN):
    path = bench.root / "experiment_log" / "2026" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def ties(target, value, baseline):
    return row(target, value, baseline, method="ties")


def test_an_expectation_is_scored_against_the_retrospective_that_answers_its_plan(bench):
    plan(bench)
    bench.entry(ties("sw-KE", 0.48, 0.46), ties("cy-GB", 0.40, 0.40), more=f'answers: "{PLAN}"\n')
    held, missed = plan_scores.scores(bench.load())
    assert (
        held.inside is True and held.actual_pp == pytest.approx(2.0) and held.error_pp == pytest.approx(0.0)
    )
    assert held.brier == pytest.approx(0.01) and not held.restated
    assert missed.inside is False and missed.error_pp == pytest.approx(1.0)
    told = plan_scores.summary([held, missed])
    assert (told.inside, told.of, told.measured, told.stated) == (1, 2, 2, 2)
    assert told.mean_error_pp == pytest.approx(0.0) and told.brier == pytest.approx(0.01)


def test_a_row_against_another_baseline_or_of_another_merge_scores_nothing(bench):
    plan(bench)
    other = [row("sw-KE", 0.48, 0.46, method="ties", kind="source_mean"), row("sw-KE", method="average")]
    bench.entry(*other, row("sw-KE", method="ties", k=3), more=f'links: "{PLAN}"\n')
    assert [score.actual_pp for score in plan_scores.scores(bench.load())] == [None, None]
    (state,) = plan_scores.plans(bench.load(), "2026-01-29")
    assert state.state == "partly answered" and state.age_days == 10 and len(state.waits_for) == 2


def test_a_plan_is_answered_by_the_same_sources_in_any_order_and_by_no_others(bench):
    columns = "| target | method | similarity | k | sources | low | high |\n|---|---|---|---|---|---|---|\n"
    expected = columns + "| sw-KE | ties | REAL | 2 | de-DE fr-FR | +1 pp | +3 pp |\n"
    plan(bench, PLAN_TEXT.partition("| target")[0] + expected)
    head = HEAD.replace("| value |", "| sources | value |").replace("|\n|---", "|\n|---|---")
    for sources, inside in (("fr-FR de-DE", True), ("fr-FR it-IT", None)):
        cells = f"| sw-KE | ExcTar | ties | REAL | 2 | {sources} | 0.48 | best_single_source | 0.46 |"
        bench.entry(table=head + cells, more=f'answers: "{PLAN}"\n')
        (score,) = plan_scores.scores(bench.load())
        assert score.inside is inside


def test_rows_on_the_same_items_do_not_make_a_score_surer(bench):
    plan(bench)
    bench.entry(ties("sw-KE", 0.48, 0.46), more=f'answers: "{PLAN}"\n')
    (one, _) = plan_scores.scores(bench.load())
    twice = [ties("sw-KE", 0.48, 0.46), ties("sw-KE", 0.4804, 0.4604)]
    bench.entry(*twice, more=f'answers: "{PLAN}"\n')
    (two, _) = plan_scores.scores(bench.load())
    assert len(two.rows) == 2 and two.se_pp == pytest.approx(one.se_pp, rel=0.01)


def test_a_plan_is_open_until_a_retrospective_names_it_and_replaced_once_superseded(bench):
    plan(bench)
    assert [p.state for p in plan_scores.plans(bench.load(), "2026-01-19")] == ["open"]
    bench.entry(ties("sw-KE", 0.48, 0.46), ties("cy-GB", 0.40, 0.40), more=f'links: "{PLAN}"\n')
    assert [p.state for p in plan_scores.plans(bench.load(), "2026-01-19")] == ["answered"]
    bench.entry(entry="2026-01-21-other-00000002", more=f'supersedes: "{PLAN}"\n', table="")
    knowledge = bench.load()
    assert [p.state for p in plan_scores.plans(knowledge, "2026-01-19")] == ["replaced"]
    assert plan_scores.scores(knowledge) == []


def test_a_score_that_is_lost_to_a_correction_is_told_and_asked_back(bench, mu):
    plan(bench)
    bench.entry(ties("sw-KE", 0.48, 0.46), ties("cy-GB", 0.40, 0.40), more=f'answers: "{PLAN}"\n')
    first, second, third = (
        "2026-01-20-test-00000001",
        "2026-01-21-other-00000002",
        "2026-01-22-third-00000003",
    )
    bench.entry(ties("sw-KE", 0.47, 0.46), entry=second, more=f'supersedes: "{first}"\n')
    (state,) = plan_scores.plans(bench.load(), "2026-01-29")
    assert state.lost == ((first, second),) and state.state == "partly answered"
    told = mu("log", "plans", "--workspace", bench.root).out
    assert f"answered by {first}\n        superseded by {second}, which does not answer it" in told
    (problem,) = runner.problems(bench.load_space())
    assert second in problem.where and f"supersedes {first}" in problem.what
    assert f'answers: "{PLAN}"' in problem.hint
    # Mended by an entry that comes after, or by the correction itself.
    bench.entry(ties("sw-KE", 0.47, 0.46), entry=third, more=f'supersedes: "{second}"\nanswers: "{PLAN}"\n')
    assert runner.problems(bench.load_space()) == [] and plan_scores.scores(bench.load())[0].inside
    (bench.root / "experiment_log" / "2026" / f"{third}.md").unlink()
    bench.entry(ties("sw-KE", 0.47, 0.46), entry=second, more=f'supersedes: "{first}"\nanswers: "{PLAN}"\n')
    assert runner.problems(bench.load_space()) == []
    assert plan_scores.plans(bench.load(), "2026-01-29")[0].lost == ()


@pytest.mark.parametrize(("day", "wrong"), [("2026-11-21", True), ("2026-11-20", False)])
def test_a_plan_written_by_hand_without_an_expectation_is_a_problem_from_a_day_on(bench, day, wrong):
    text = PLAN_TEXT.replace("2026-01-19", day)
    name = f"{day}-a-plan-0000000a"
    plan(bench, text.partition("## Expected")[0], name)
    found = [problem.what for problem in runner.problems(bench.load_space())]
    assert found == ["this plan states no expectation that can be scored."] * wrong
    plan(bench, text, name)
    assert runner.problems(bench.load_space()) == []


def test_rows_older_than_the_plan_mark_its_score_as_restated(bench):
    plan(bench, PLAN_TEXT.replace("01-19", "01-25"), "2026-01-25-a-plan-0000000a")
    bench.entry(ties("sw-KE", 0.48, 0.46), more='answers: "2026-01-25-a-plan-0000000a"\n')
    first, _ = plan_scores.scores(bench.load())
    assert first.restated and first.inside


def test_the_neuromerging_plan_expected_three_to_five_points_and_lost_one(study):
    first = plan_scores.scores(study.load())[0]
    assert (first.expected.target, first.expected.low_pp, first.expected.high_pp) == ("sw-KE", 3.0, 5.0)
    assert round(first.actual_pp, 1) == -1.2 and first.inside is False and first.restated


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("+1 pp | +3 pp", "1% | 3%", "no unit"),
        ("+1 pp | +3 pp | 0.9", "- | - | -", "no expectation that can be scored"),
        ("+1 pp | +3 pp", "+3 pp | +1 pp", "must not be above high"),
        ("| p_positive |", "| chance |", "unknown column 'chance'"),
        ("| 0.9 |", "| 90 |", "fraction or percent"),
        ("| sw-KE |", "| xx-YY |", "xx-YY"),
        ("| REAL |", "| SURREAL |", "SURREAL"),
    ],
)
def test_an_expectation_that_cannot_be_scored_is_refused_with_its_line(bench, old, new, says):
    plan(bench, PLAN_TEXT.replace(old, new, 1))
    with pytest.raises(KnowledgeError, match=says) as told:
        bench.load_all()
    assert f"{PLAN}.md:1" in (told.value.where or "")


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(*[st.none() | st.floats(-50, 50)] * 2, st.none() | st.floats(-99, 99)),
        min_size=1,
        max_size=5,
    )
)
def test_a_picture_has_one_line_of_its_width_for_every_score_and_the_outcome_in_each(found):
    one = Expectation("a/b", "sw-KE", "ExcTar", "ties", "best_single_source")
    made = [
        plan_scores.ExpectationScore(
            "e", "p", replace(one, low_pp=low, high_pp=max(low, high) if low is not None and high is not None else high),
            actual_pp=actual,
        )
        for low, high, actual in found
    ]  # fmt: skip
    lines = plan_scores.picture(made, 30)
    assert [len(line) for line in lines] == [30] * len(made)
    assert [line.count("●") for line in lines] == [int(score.actual_pp is not None) for score in made]


# already tried?


def test_the_same_merge_and_close_ones_are_told_apart(bench):
    bench.entry(
        ties("sw-KE", 0.43, 0.46), row(method="ties", k=3), row(method="ties", similarity="URIEL"),
        row(method="average"), row(method="ties", k=9), row(method="ties", k=8), row("cy-GB", method="ties"),
        row(method="ties", similarity="URIEL", k=3), row(method="ties", mode="IncTar", kind="target_alone"),
    )  # fmt: skip
    found = tried(bench.load(), Wanted("sw-KE", "ties", "REAL", 5, "ExcTar"))
    assert {(m.degree, m.why) for m in found} == {
        ("same", ""),
        ("close", "number of sources 3"),
        ("close", "similarity URIEL"),
        ("close", "mode IncTar"),
    }
    assert found[0].degree == "same"


def test_what_is_left_open_matches_anything_and_another_locale_of_the_language_is_close(bench):
    bench.entry(row("es-ES"), row("pt-PT"))
    assert [m.degree for m in tried(bench.load(), Wanted("es-ES"))] == ["same"]
    (near,) = tried(bench.load(), Wanted("pt-BR"))
    assert (near.degree, near.why) == ("close", "target pt-PT")


def test_rows_that_do_not_count_any_more_answer_nothing(bench):
    bench.entry(row(method="ties"))
    bench.entry(entry="2026-01-21-other-00000002", more='supersedes: "2026-01-20-test-00000001"\n', table="")
    assert tried(bench.load(), Wanted("sw-KE", "ties")) == []


def test_a_plan_for_what_was_measured_lands_only_anyway(bench):
    bench.entry(ties("sw-KE", 0.43, 0.46))
    space = bench.load_space()
    with pytest.raises(TriedAlready) as told:
        acceptance.accept(space, PLAN_TEXT)
    (match,) = told.value.as_dict()["matches"]
    assert match["degree"] == "same" and match["difference_pp"] == -3.0
    assert "−3.00 pp" in str(told.value) and "--anyway" in str(told.value)
    (draft,) = (space.log / ".draft").glob("*.md")
    assert draft.read_text() == PLAN_TEXT
    assert acceptance.accept(space, PLAN_TEXT, anyway=True).type == "Plan"


def test_a_plan_without_an_expectation_is_refused_with_the_table_to_write(bench):
    text = PLAN_TEXT.partition("## Expected")[0]
    with pytest.raises(KnowledgeError, match="no expectation") as told:
        acceptance.accept(bench.load_space(), text)
    shown = acceptance.EXPECTED.partition("## Expected")[2]
    assert shown.strip().splitlines()[0] in (told.value.hint or "").replace("    ", "")
    acceptance.accept(bench.load_space(), text + acceptance.EXPECTED, anyway=True)


def test_a_file_that_somebody_else_left_broken_does_not_stop_a_plan(bench):
    bench.entry(ties("sw-KE", 0.43, 0.46))
    broken = bench.root / "experiment_log" / "2026" / "2026-01-20-broken-00000009.md"
    broken.write_text("---\n")
    with pytest.raises(TriedAlready):
        acceptance.accept(bench.load_space(), PLAN_TEXT)


def test_a_retrospective_may_answer_plans_only(bench):
    bench.entry(row())
    text = PLAN_TEXT.replace('"Plan"', '"Retrospective"').replace(
        "context:", 'answers: "2026-01-20-test-00000001"\ncontext:'
    )
    with pytest.raises(KnowledgeError, match="not a plan"):
        acceptance.accept(bench.load_space(), text)
    assert append.check_text(bench.root / "experiment_log", text).answers == ("2026-01-20-test-00000001",)

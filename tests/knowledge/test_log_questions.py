"""Can a later entry narrow or close another one's question, and does lint see one that leads nowhere?"""

from __future__ import annotations

import json

import pytest

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.lint.runner import problems
from merginguriel.knowledge.log.entry_json import read
from merginguriel.knowledge.log.question_history import threads, touched_by
from merginguriel.knowledge.parse.entries import parse_entry

E1, E2, E3 = "2026-01-20-test-00000001", "2026-01-21-other-00000002", "2026-01-22-third-00000003"


def asked(bench, *items, entry=E1):
    return bench.entry(entry=entry, table="## Open questions\n\n" + "\n".join(f"- {item}" for item in items))


def test_a_question_is_opened_narrowed_and_closed_by_three_entries(bench):
    asked(bench, "[open] Why?", "[open] How?")
    asked(bench, f"[narrows {E1}#q2] Not by chance.", "[open] When?", entry=E2)
    asked(bench, f"[closes {E1}#q2] By merging.", entry=E3)
    why, how, when = threads(bench.load().entries)
    assert (why.state, how.state, when.state) == ("open", "closed", "open")
    assert [(s.state, s.by, s.text) for s in how.steps] == [
        ("narrowed", E2, "Not by chance."),
        ("closed", E3, "By merging."),
    ]
    assert how.opened_by == E1 and when.ref == f"{E2}#q1"
    assert problems(bench.load_space()) == []


def test_a_question_closed_where_it_was_asked_names_who_closed_it(study):
    found = {thread.text: thread for thread in threads(study.load().entries)}
    thread = found["Are three sources better than five for sw-KE?"]
    assert thread.state == "closed" and thread.steps[0].by.startswith("2026-01-20-constructive-targets")


@pytest.mark.parametrize("ref", [f"{E1}#q2", f"{E1}#q0", "2025-01-01-none-00000000#q1"])
def test_a_question_that_nobody_asked_is_a_problem(bench, ref):
    asked(bench, "[open] Why?")
    asked(bench, f"[closes {ref}] So.", entry=E2)
    found = [problem for problem in problems(bench.load_space()) if "question" in problem.what]
    assert len(found) == 1 and E2 in found[0].where


def test_an_entry_cannot_close_what_was_asked_after_it(bench):
    asked(bench, "[open] Why?", entry=E3)
    asked(bench, f"[closes {E3}#q1] So.", entry=E2)
    (found,) = problems(bench.load_space())
    assert "after this entry" in found.what


@pytest.mark.parametrize("item", ["[closes] So.", f"[closes {E1}] So.", "[shut] Why?"])
def test_a_settled_question_needs_its_name(bench, item):
    asked(bench, item)
    with pytest.raises(KnowledgeError, match=r"must name a question|starts with its state") as told:
        bench.load_all()
    assert "#q1" in (told.value.hint or "")


def test_answers_that_name_no_plan_and_expectations_of_none_are_problems(bench):
    bench.entry(table="", entry=E1)
    bench.entry(table="", entry=E2, more=f'answers: "{E1}"\n')
    expected = (
        "## Expected\n\n| target | method | low | high |\n|---|---|---|---|\n| sw-KE | ties | +1 pp | - |\n"
    )
    bench.entry(table=expected, entry=E3)
    first, second = problems(bench.load_space())
    assert E2 in first.where and "not a plan" in first.what
    assert E3 in second.where and "this entry, which is not a plan" in second.what


def test_a_plan_touches_questions_of_its_target_its_method_and_its_words_and_no_other_language(bench):
    texts = ["Does TIES help Swahili?", "Does it hold for sw-KE?", "Does TIES help Welsh?", "Would a larger density trim less?",
             "Who wrote the matrix?", "Does TIES need a base?"]  # fmt: skip
    asked(bench, *(f"[open] {one}" for one in texts))
    text, _ = read(
        json.dumps({
            "title": "A larger density", "type": "Plan", "summary": "It would trim less of what sources share.",
            "expected": [{"target": "sw-KE", "method": "ties", "p_positive": 0.5}],
        }),
        today="2026-01-20", context="massive/xlm-roberta-base",
    )  # fmt: skip
    plan = parse_entry(text, bench.root / "2026-01-20-a-00000001.md")
    found = {one.text: common for one, common in touched_by(plan, threads(bench.load().entries))}
    assert found == {
        texts[0]: ("target sw-KE", "method ties"),
        texts[1]: ("target sw-KE",),
        texts[3]: ("words of the plan",),
        texts[5]: ("method ties",),
    }
    assert next(iter(found)) == texts[0]

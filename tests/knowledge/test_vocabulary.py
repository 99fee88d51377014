"""Is a slip in a name, a day or a selector refused before it lands, and is a really new name let in and named?"""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from conftest import OBSERVATION, row

from merginguriel.knowledge.lint.runner import problems

E1 = "2026-01-20-test-00000001"
PLAN = """\
---
title: "A plan"
type: "Plan"
date: "2026-01-21"
summary: "S."
context: "massive/xlm-roberta-base"
---

## Expected

| target | method | k | low | high |
|---|---|---|---|---|
| cy-GB | ties | 3 | -1 pp | +3 pp |
"""
MARK = """\
---
title: "A bug"
type: "Observation"
date: "2026-01-21"
summary: "S."
{more}---

## {kind}

A bug.

- {selector}
"""


@pytest.fixture
def add(bench, mu):
    """`mu log add` of one row, with the cells that it is given."""
    bench.entry(row(method="ties"), row("cy-GB", method="similarity"))

    def call(cells="", *more):
        usual = {"target": "sw-KE", "mode": "ExcTar", "method": "average", "value": "0.4"}
        usual |= dict(cell.split("=", 1) for cell in cells.split())
        text = " ".join(f"{key}={value}" for key, value in usual.items())
        flags = ("--title", "T", "--type", "Observation", "--summary", "S.", "--row", text)
        return mu("log", "add", *flags, *more, "--workspace", bench.root)

    return call


@pytest.mark.parametrize(
    ("cells", "meant"),
    [
        ("method=tiess", "ties"),
        ("method=TIES", "ties"),
        ("method=task-arithmetic", "task_arithmetic"),
        ("method=ties params=densty=0.2", "density"),
        ("context=massive/xlm-roberta-bsae", "massive/xlm-roberta-base"),
    ],
)
def test_a_slip_is_refused_with_what_was_meant_and_lands_anyway(add, bench, cells, meant):
    told = add(cells)
    assert told.code == 1 and f"Did you mean {meant}?" in told.err and "--anyway" in told.err
    assert len(bench.load().entries) == 1
    assert add(cells, "--anyway").code == 0
    assert len(bench.load().entries) == 2


@pytest.mark.parametrize("cells", ["method=frobnicate", "params=warmth=3", "context=news/gpt-9"])
def test_a_really_new_name_lands_and_is_said_to_be_new(add, cells):
    told = add(cells)
    assert told.code == 0 and "it is new in this log" in told.err
    again = add(f"{cells} value=0.41")
    assert again.code == 0 and "new to this log" not in again.err


def test_what_the_program_has_is_known_although_no_row_has_it(add):
    told = add("method=iso_cts params=common=0.5")
    assert told.code == 0 and "new to" not in told.err


def test_a_slip_that_was_superseded_is_no_name(add, bench):
    bench.entry(row(method="tiess"), entry="2026-01-21-slip-00000002")
    bench.entry(row(method="ties"), entry="2026-01-22-mended-00000003",
                more='supersedes: "2026-01-21-slip-00000002"\n')  # fmt: skip
    assert "Did you mean ties?" in add("method=tiess").err


def test_the_method_of_an_expectation_is_checked_too(add, bench, mu):
    file = bench.root / "plan.md"
    file.write_text(PLAN.replace("| ties |", "| teis |"))
    told = mu("log", "add", file, "--workspace", bench.root)
    assert told.code == 1 and "Did you mean ties?" in told.err and ".md:13:" in told.err


def test_a_day_that_has_not_come_is_refused_whatever_is_said(add):
    late = (date.today() + timedelta(days=40)).isoformat()
    for told in (add("", "--date", late, "--anyway"), add(f"measured={late}", "--anyway")):
        assert told.code == 1 and late in told.err and "is in the future" in told.err


# already tried


def tried(mu, bench, *words):
    return mu("log", "tried", "--target", "sw-KE", *words, "--workspace", bench.root)


def test_asking_for_a_misspelt_method_is_a_usage_error_and_for_a_new_one_is_said(add, bench, mu):
    told = tried(mu, bench, "--method", "tiess")
    assert told.code == 2 and "Did you mean ties?" in told.err
    told = tried(mu, bench, "--method", "frobnicate")
    assert told.code == 0 and "unknown to the log and the program" in told.err and told.out.strip() == ""


def test_a_row_of_another_context_is_close_and_every_line_names_its_own(bench, mu):
    table = "| context | target | mode | method | value |\n|---|---|---|---|---|\n"
    rows = [
        f"| {context} | sw-KE | ExcTar | ties | 0.4 |"
        for context in ("home/e5-small", "massive/xlm-roberta-base")
    ]
    bench.entry(table=table + "\n".join(rows))
    here, other = tried(mu, bench, "--method", "ties").out.splitlines()
    assert here.startswith("same: ") and "on massive/xlm-roberta-base" in here
    assert other.startswith("close: ") and "on home/e5-small" in other


def test_plans_that_wait_and_rows_that_count_no_more_are_told_and_labelled(bench, mu):
    bench.entry(row(method="ties"))
    (bench.root / "experiment_log/2026/2026-01-21-a-plan-0000000a.md").write_text(
        PLAN.replace("cy-GB", "sw-KE")
    )
    bench.entry(entry="2026-01-22-o-00000002", more=f'supersedes: "{E1}"\n', table="")
    told = tried(mu, bench, "--method", "ties")
    plan, gone = told.out.splitlines()
    assert plan.startswith("planned: 2026-01-21-a-plan-0000000a sw-KE")
    assert gone.startswith(f"same: {E1}#r1") and "(superseded)" in gone
    assert "1 expectation  of open plans; 1 superseded or invalidated" in told.err
    found = tried(mu, bench, "--method", "ties", "--json").json
    assert (len(found["matches"]), len(found["fallen"]), len(found["planned"])) == (0, 1, 1)


# selectors that lead nowhere


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        (f"rows={E1}#r3", "That entry has 2 rows"),
        ("entries=2026-01-20-tset-00000001", f"Did you mean {E1}?"),
        ("method=tiess", "Did you mean ties?"),
        ("mode=IncTar", "Did you mean ExcTar?"),
        ("context=massive/xlm-roberta-bas", "Did you mean massive/xlm-roberta-base?"),
    ],
)
@pytest.mark.parametrize("kind", ["Invalidates", "Contests"])
def test_a_selector_that_names_what_the_log_has_not_is_refused(add, bench, mu, kind, selector, says):
    file = bench.root / "mark.md"
    file.write_text(MARK.format(kind=kind, selector=selector, more=""))
    told = mu("log", "add", file, "--workspace", bench.root)
    assert told.code == 1 and says in told.err and ".md:12:" in told.err
    assert len(bench.load().entries) == 1


def test_a_lift_of_what_marks_nothing_is_refused_and_of_a_mark_lands(add, bench, mu):
    file = bench.root / "mark.md"
    file.write_text(MARK.format(kind="Lifts", selector=E1, more=""))
    told = mu("log", "add", file, "--workspace", bench.root)
    assert told.code == 1 and "has no mark to lift" in told.err
    file.write_text(MARK.format(kind="Contests", selector="method=ties", more=""))
    contesting = mu("log", "add", file, "--workspace", bench.root).out.strip()
    file.write_text(MARK.format(kind="Lifts", selector=contesting, more=""))
    assert mu("log", "add", file, "--workspace", bench.root).code == 0


@pytest.mark.parametrize(("kind", "selector"), [("Invalidates", "method=tiess"), ("Lifts", E1)])
def test_superseding_a_mark_that_reaches_nothing_clears_the_complaint(bench, kind, selector):
    bench.entry(row())
    bad = bench.root / "experiment_log" / "2026" / "2026-01-21-a-bug-0000000b.md"
    bad.write_text(MARK.format(kind=kind, selector=selector, more=""))
    assert len(problems(bench.load_space())) == 1
    bench.entry(entry="2026-01-22-mended-0000000c", more=f'supersedes: "{bad.stem}"\n', table="")
    assert problems(bench.load_space()) == []


# drafts


def test_each_draft_says_why_the_log_refused_it(add, bench, mu):
    add("method=tiess")
    file = bench.root / "plan.md"
    file.write_text(PLAN.partition("## Expected")[0])
    mu("log", "add", file, "--workspace", bench.root)
    told = mu("log", "drafts", "--workspace", bench.root)
    assert "the method 'tiess' is unknown" in told.out and "no expectation that can be scored" in told.out
    found = {
        one["problem"]: one["hint"] for one in mu("log", "drafts", "--json", "--workspace", bench.root).json
    }
    assert "Did you mean ties?" in found["the method 'tiess' is unknown."]


# lists and cells


def test_filters_that_match_nothing_say_so_and_what_may_be_meant(add, bench, mu):
    told = mu("log", "list", "--method", "tiess", "--workspace", bench.root)
    assert told.code == 0 and told.out == "" and "No entry matches." in told.err
    assert "Did you mean ties?" in told.err
    told = mu("log", "list", "--since", "2026-01-21", "--workspace", bench.root)
    assert told.err.strip() == "No entry matches."


@pytest.mark.parametrize("flag", ["--row", "--expect"])
def test_a_cell_that_no_column_has_is_named(bench, mu, flag):
    told = mu(
        "log",
        "add",
        *OBSERVATION,
        flag,
        "targt=sw-KE method=ties low_pp=1 value=1",
        "--workspace",
        bench.root,
    )
    assert told.code == 2 and f"{flag} has an unknown column 'targt'" in told.err
    assert "Did you mean target?" in told.err

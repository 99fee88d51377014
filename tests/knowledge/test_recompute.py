"""Are the numbers of a Results Summary held to the rows, in the unit they are written in?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import head, of_other_rules, row
from test_contradictions import RESEARCH

from merginguriel.knowledge.claims import recompute
from merginguriel.knowledge.lint import runner
from merginguriel.knowledge.parse import markdown, prose_numbers

E1 = "2026-01-20-test-00000001"
E2 = "2026-01-21-test-00000002"
CLAIM = f'- id: a-claim\n  text: "It is so."\n  scope: {{target: sw-KE}}\n  predicate: beats\n  over: best_single_source\n  evidence: ["{E1}#r1"]\n  since: "2026-01-20"\n'


def told(bench, summary: str, *, refs: str = E1, status: str = "-") -> list[str]:
    """What lint says of a summary whose skill rests on sw-KE 48.32% against 46.70%, and cy-GB 41.66% against 44.45%."""
    top = head("status")
    rows = [f"{row('sw-KE', 0.4832, 0.4670)} {status} |", f"{row('cy-GB', 0.4166, 0.4445)} - |"]
    bench.entry(table=top + "\n".join(rows))
    bench.entry(row("fi-FI", 0.6, 0.5), entry=E2)
    text = RESEARCH.format(name="a-skill", practice="Do it.", config="mode: ExcTar")
    text = text.replace("## Results Summary\n\nNone.", f"## Results Summary\n\n{summary}")
    bench.skill(text=text.replace("## References\n\nNone.", f"## References\n\n- {refs}"), claims=CLAIM)
    return of_other_rules(problem.what for problem in runner.problems(bench.load_space()))


def table(cell: str) -> str:
    return f"| target | result |\n|---|---|\n| sw-KE | {cell} |"


@pytest.mark.parametrize(
    "summary",
    [
        table("48.32% against 46.70%, +1.62 pp (48 items)"),
        table("48.3%"),
        table("1.6 pp above"),
        table("+3.47 rel_pct"),
        table("+3.5% relative"),
        "sw-KE: 48.32%, and cy-GB 41.66%, 2.79 pp below its best source.",
        "Five sources were 90% of the items of sw-KE.",  # a share, not a result
        "About 4% more work for sw-KE.",  # not of the form of a result
        "fi-FI has 61.00%.",  # nothing in this skill's evidence speaks of it
        "2,974 items were scored for sw-KE.",
        f"It gained 1.62 pp [{E1}#r1].",
        "It gained 1.62 pp [a-claim].",
        f"Both together are 2 rows [{E1}].",
        "sw-KE gains 1.62 pp, and cy-GB loses 2.79 pp.",
        "sw-KE does not gain 1.70 points.",
        f"sw-KE gained 1.62 percentage points, to 48.32 percent [{E1}].",
        "The accuracy of sw-KE is 0.4832, and cy-GB has an accuracy of 0.417.",
        "| target | accuracy, % | gain (pp) | accuracy |\n|---|---|---|---|\n| cy-GB | 41.66 | −2.79 | 0.4166 |",
        "| target | k | accuracy |\n|---|---|---|\n| sw-KE | 5 | 48.32% |",
        "`+3.4%` was written here before, for sw-KE.",
        "Swahili has 48.32%, Welsh 41.66%.",
        "The best merge has 48.32%, the worst 41.66%.",
        "About 4.5% more work, and a share of 12.50% of the items.",
        "Welsh loses 2.8 pp, from 44.5%.",
        "The seed was 1.25 and the temperature 3.75.",
        "About 3 items went either way.",
        f"As the [log](../../experiment_log/2026/{E1}.md) of sw-KE says, 48.32%.",
    ],
)
def test_numbers_that_follow_from_the_rows_pass(bench, summary):
    assert told(bench, summary) == []


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (table("48.42%"), "says 48.42%, but its rows give 48.32% and 46.70%."),
        (table("48.32%, +1.72 pp"), "says +1.72 pp, but its rows give +1.62 pp."),
        (table("48.32%, +1.65 pp"), "says +1.65 pp, but its rows give +1.62 pp."),
        (f"- sw-KE reaches 41.66% [{E1}].", "says 41.66%, but its rows give 46.70% and 48.32%."),
        (f"- sw-KE reaches 41.66% [{E1}#r2].", "says 41.66%, but its rows give 46.70% and 48.32%."),
        ("- cy-GB gains 2.79 pp.", "says 2.79 pp, but its rows give −2.79 pp."),
        (f"It loses 1.62 pp for sw-KE [{E1}].", "says 1.62 pp, but its rows give +1.62 pp."),
        ("sw-KE is 1.62 pp below its best source.", "says 1.62 pp, but its rows give +1.62 pp."),
        (f"sw-KE gained 8.5 percentage points [{E1}].", "says 8.5 percentage points, but its rows give +1.62 pp."),
        (f"sw-KE reached 77.7 percent [{E1}].", "says 77.7 percent, but its rows give"),
        ("On sw-KE the merge has an accuracy of 0.9999.", "says 0.9999, but its rows give 48.32% and 46.70%."),
        ("| target | accuracy, % |\n|---|---|\n| sw-KE | 88.88 |", "says 88.88 %, but its rows give"),
        ("| target | gain, pp |\n|---|---|\n| sw-KE | +9.99 |", "says +9.99 pp, but its rows give +1.62 pp."),
        ("| target | accuracy |\n|---|---|\n| sw-KE | 0.8888 |", "says 0.8888, but its rows give"),
        (table("48.32%, −1.62 pp"), "says −1.62 pp, but its rows give +1.62 pp."),
        (table("48.32%, 47 items"), "says 47 items, but no difference is that large."),
        (table("+3.4%"), f"says +3.4%, but {E1}#r1 gives +1.62 pp, +3.47 rel_pct: 48.32% against 46.70%."),
        (table("+1.62%"), f"says +1.62%, but {E1}#r1 gives +1.62 pp"),
        (table("+3.47 pp"), f"says +3.47 pp, but {E1}#r1 gives +1.62 pp, +3.47 rel_pct"),
        (table("+1.62 rel_pct"), f"says +1.62 rel_pct, but {E1}#r1 gives +1.62 pp, +3.47 rel_pct"),
        ("sw-KE reached 48.42%.", "says 48.42%"),
        ("- cy-GB: −6.3%", f"says −6.3%, but {E1}#r2 gives −2.79 pp, −6.28 rel_pct"),
        ("sw-KE reached 48.4%.", "says 48.4%, but its rows give 48.32% and 46.70%."),
        ("Swahili has 41.66%.", "says 41.66%, but its rows give 46.70% and 48.32%."),
        ("Welsh gains 2.79 pp.", "says 2.79 pp, but its rows give −2.79 pp."),
        ("The best merge has 49.32%.", "says 49.32%, but its rows give 48.32% and 46.70%."),
        ("Merges gain 9.99 pp.", "says 9.99 pp, but its rows give +1.62 pp and −2.79 pp."),
        ("All is from 2,975 items.", "says 2,975 items, but no"),
        (f"It gained 3 pp [{E1}#r1].", "says 3 pp, but its rows give +1.62 pp."),
        ("It gained 3 pp [a-claim].", "says 3 pp, but its rows give +1.62 pp."),
        (f"These are 24 runs [{E1}].", "says 24 runs, but the evidence holds 2 rows."),
    ],
)  # fmt: skip
def test_numbers_that_do_not_are_named_with_what_the_rows_give(bench, summary, said):
    assert any(said in what for what in told(bench, summary)), told(bench, summary)


SCORES = """\
| context | target | mode | method | metric | value | n |
|---|---|---|---|---|---|---|
| bele/base | - | - | tuned | ndcg@10 | 0.8664 | - |
| bele/base | - | - | untuned | ndcg@10 | 0.8706 | - |
"""


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        ("| method | score |\n|---|---|\n| tuned | 86.64 |", None),
        ("| method | score |\n|---|---|\n| tuned | 86.74 |", "says 86.74 pt"),
        ("It has 87.06 points, 0.42 points more.", None),
        ("It has 87.16 points.", "says 87.16 points"),
        ("It is about 2 points better.", None),
    ],
)
def test_scores_are_looked_up_in_points(bench, summary, said):
    bench.entry(table=SCORES)
    text = RESEARCH.format(name="a-skill", practice="Do it.", config="mode: ExcTar")
    text = text.replace("## Results Summary\n\nNone.", f"## Results Summary\n\n{summary}")
    bench.skill(text=text.replace("## References\n\nNone.", f"## References\n\n- {E1}"))
    found = of_other_rules(problem.what for problem in runner.problems(bench.load_space()))
    assert (found == []) if said is None else any(said in what for what in found), found


def test_a_number_of_contested_rows_has_to_be_called_so(bench):
    (what,) = told(bench, table("48.32%"), status="contested")
    assert f"only rows bear out that are contested or invalidated: {E1}#r1" in what
    assert told(bench, table("48.32% (contested)"), status="contested") == []


def test_a_bare_percent_is_refused_in_all_of_a_skill(bench):
    (what,) = told(bench, "Merges lost by 5%.")
    assert what == "says 'lost by 5%': percent of the baseline, or percentage points?"


def test_the_line_is_that_of_the_number(bench):
    told(bench, f"Text.\n\n- sw-KE has 46.70%,\n  and 48.32%.\n\n{table('48.42%')}")
    (problem,) = (p for p in runner.problems(bench.load_space()) if of_other_rules([p.what]))
    path, _, line = problem.where.rpartition(":")
    assert "48.42%" in Path(path).read_text(encoding="utf-8").split("\n")[int(line) - 1]


@pytest.mark.slow
@pytest.mark.parametrize(("table", "fewest"), [(True, 100), (False, 25)])
def test_nine_of_ten_numbers_of_the_shipped_summaries_cannot_be_changed_unnoticed(study, table, fewest):
    """Each number of each summary is put wrong in turn. What goes unseen is small counts."""
    known = study.load()
    tried = seen = 0
    for skill in known.skills:
        sections = {section.title: section for section in markdown.sections(skill.body)}
        text = sections["Results Summary"].text if "Results Summary" in sections else ""
        assert recompute.check_skill(skill, known) == []
        for match in prose_numbers.NUMBER.finditer(text):
            if ("|" in text[: match.start()].rpartition("\n")[2]) != table:
                continue
            digits = match["digits"]
            wrong = match[0].replace(
                digits, f"{float(digits.replace(',', '')) + 3.37:.{len(digits.partition('.')[2])}f}"
            )
            body = skill.body.replace(text, text[: match.start()] + wrong + text[match.end() :])
            tried += 1
            seen += bool(recompute.check_skill(replace(skill, body=body), known))
    assert tried > fewest and seen / tried > 0.9, (seen, tried)

"""Is a claim held to the rows that it cites: scope, numbers in its text, the sign of its value, its dates, its successor?"""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from conftest import SKILL, claim, row

from merginguriel.knowledge.lint.runner import problems

LATE = (date.today() + timedelta(days=40)).isoformat()
CLAIM = claim(
    text="Merging scored 2.00 pp above the best single source for Swahili: 48.00% against 46.00%.",
    scope='{target: sw-KE, mode: ExcTar, method: similarity, similarity: REAL, k: "5"}',
    evidence="2026-01-20-test-00000001#r1",
    more="  value: 2.00\n  unit: pp\n",
)


@pytest.fixture
def told(bench):
    """What lint says of the claims, of a log with one row, +2.00 pp."""

    def call(claims, *rows):
        bench.entry(*rows or (row(),))
        bench.skill(claims=claims)
        return [problem.what for problem in problems(bench.load_space())]

    return call


def test_a_claim_that_its_rows_bear_out_is_let_pass(told):
    assert told(CLAIM) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("target: sw-KE", "target: cy-GB", "its scope says target cy-GB, they have sw-KE"),
        ("mode: ExcTar", "mode: IncTar", "its scope says mode IncTar, they have ExcTar"),
        ("method: similarity", "method: ties", "its scope says method ties, they have similarity"),
        ('k: "5"', 'k: "3"', "its scope says k 3, they have 5"),
        (
            "over: best_single",
            "over: target_alone #",
            "over target_alone, they are compared with best_single_source",
        ),
    ],
)
def test_a_claim_outside_the_scope_of_its_rows_is_a_problem_that_names_the_key(told, old, new, says):
    assert any("no cited row compares" in what and says in what for what in told(CLAIM.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("2.00 pp above", "7.31 pp above", "says 7.31 pp, but its rows give +2.00 pp"),
        ("2.00 pp above", "−2.00 pp above", "says −2.00 pp"),
        ("2.00 pp above", "9.9 rel_pct above", "says 9.9 rel_pct"),
        ("48.00%", "51.23%", "says 51.23%, but its rows give 48.00%"),
    ],
)
def test_a_number_in_a_claims_text_that_no_row_gives_is_a_problem(told, old, new, says):
    assert any(says in what for what in told(CLAIM.replace(old, new)))


def test_the_pooled_difference_and_percent_of_the_baseline_are_right_too(told):
    text = CLAIM.replace("target: sw-KE", "target: [sw-KE, cy-GB]").replace("2.00", "3.00").replace("#r1", "")
    text = text.replace(": 48.00% against 46.00%", ", +4.35 rel_pct for Swahili")
    assert told(text, row(), row("cy-GB", 0.50, 0.46)) == []


def test_a_value_that_points_against_the_predicate_is_a_problem(told):
    assert any(
        "beats, but its value is -2 pp" in what for what in told(CLAIM.replace("value: 2", "value: -2"))
    )


@pytest.mark.parametrize("length", [1, 3])
def test_replacements_that_lead_in_a_circle_are_a_problem(told, length):
    names = ["a-claim", *(f"claim-{n}" for n in range(length - 1))]
    claims = "".join(
        CLAIM.replace("a-claim", name) + f"  superseded_by: {names[(i + 1) % length]}\n"
        for i, name in enumerate(names)
    )
    found = [what for what in told(claims) if "leads back to the claim itself" in what]
    assert len(found) == length and found[0].count("→") == length


def test_a_replacement_that_ends_somewhere_is_no_circle(told):
    old = CLAIM.replace("a-claim", "old-claim") + "  superseded_by: a-claim\n"
    assert told(CLAIM + old) == []


def test_days_that_have_not_come_are_problems_wherever_they_stand(bench, told):
    bench.skill(text=SKILL.format(name="a-skill").replace('updated: "2026-01-20"', f'updated: "{LATE}"'))
    bench.skill("other", claims=CLAIM.replace('since: "2026-01-20"', f'since: "{LATE}"'))
    bench.entry(row(), entry=f"{LATE}-late-0000000f")
    bench.entry(row())
    found = [p for p in problems(bench.load_space()) if "is in the future" in p.what]
    assert sorted(p.what.split(" says ")[0].split(" ")[0] for p in found) == ["a-claim:", "its", "updated"]


def test_a_clock_that_is_behind_does_not_make_the_shipped_log_a_thing_of_the_future(monkeypatch):
    from merginguriel.knowledge.parse import row_parser

    class Behind(row_parser.datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(2020, 1, 1, tzinfo=zone)

    monkeypatch.setattr(row_parser, "datetime", Behind)
    assert not row_parser.is_future(row_parser.RELEASED) and row_parser.is_future("2999-01-01")

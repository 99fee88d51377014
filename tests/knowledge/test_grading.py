"""Does a grade go down for what makes evidence weak, say so, and for nothing else?"""

from __future__ import annotations

import pytest

from merginguriel.knowledge.claims.grading import LEVELS, NONE, grade

E1 = "2026-01-20-test-00000001"
E2 = "2026-01-21-test-00000002"
OLD = "2024-01-20-test-00000003"
TABLE = """\
| context | target | mode | method | value | baseline_kind | baseline | n | seed | wins | losses |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def cells(
    target: str = "sw-KE", value: float = 0.60, baseline: float = 0.50, *, seed: object = 0, n: object = 2974,
    context: str = "massive/xlm-roberta-base", kind: str = "best_single_source", paired: str = "- | -",
) -> str:  # fmt: skip
    return (
        f"| {context} | {target} | ExcTar | ties | {value} | {kind} | {baseline} | {n} | {seed} | {paired} |"
    )


def claim(
    scope: str = "{context: massive/xlm-roberta-base, target: sw-KE, method: ties}", **more: str
) -> str:
    said = {"predicate": "beats", "over": "best_single_source", "evidence": f"[{E1}]", **more}
    lines = "".join(f"  {key}: {value}\n" for key, value in said.items())
    return f'- id: a-claim\n  text: "It is so."\n  scope: {scope}\n{lines}  since: "2026-01-20"\n'


def graded(bench, *rows: str, entry: str = E1, text: str | None = None, context: str | None = None):
    bench.entry(table=TABLE + "\n".join(rows), entry=entry)
    bench.skill(claims=text or claim())
    known = bench.load()
    found = grade(known.claims[0], known, context=context)
    return found.level, {reason.about: reason.text for reason in found.reasons}


ANY = claim("{method: ties}")
FOUR = claim("{context: massive/xlm-roberta-base, target: [sw-KE, cy-GB, vi-VN, sq-AL], method: ties}")


def test_a_clear_difference_with_two_seeds_where_it_is_claimed_is_high(bench):
    assert graded(bench, cells(seed=0), cells(seed=1, value=0.61)) == ("high", {})


def test_three_targets_stand_for_seeds(bench):
    rows = [cells(target, value) for target, value in (("sw-KE", 0.6), ("cy-GB", 0.61), ("vi-VN", 0.59))]
    text = claim("{context: massive/xlm-roberta-base, target: [sw-KE, cy-GB, vi-VN], method: ties}")
    assert graded(bench, *rows, text=text) == ("high", {})


@pytest.mark.parametrize(
    ("rows", "text", "level", "about", "said"),
    [
        ([cells(value=0.51), cells(value=0.511, seed=1)], None, "low", "precision", "within noise: p = 0.4"),
        ([cells(value=0.51, n="-"), cells(value=0.51, n="-", seed=1)], None, "low", "precision", "no row gives n"),
        ([cells(value=0.53), cells(value=0.53, seed=1)], None, "moderate", "precision", "barely outside noise"),
        ([cells()], None, "moderate", "replication", "one seed, 0"),
        ([cells(seed="-")], None, "moderate", "replication", "the seed was not recorded"),
        ([cells(), cells(seed=1)], claim("{context: massive/xlm-roberta-base, method: ties}"), "moderate",
         "replication", "measured on sw-KE alone, claimed of any target"),
        ([cells(), cells(seed=1), cells("cy-GB"), cells("vi-VN", 0.49)], FOUR.replace(", sq-AL", ""), None,
         "consistency", "not on every target: vi-VN −1.00 pp"),
        ([cells(value=0.9), cells("cy-GB", 0.55), cells("vi-VN", 0.56), cells("sq-AL", 0.85)], FOUR, None,
         "consistency", "targets differ by ±"),
        ([cells(), cells("cy-GB"), cells("vi-VN")], FOUR, "moderate", "directness", "no row for sq-AL"),
        ([cells(), cells("cy-GB"), cells("vi-VN")], ANY, "moderate", "directness", "claimed of any context"),
    ],
)  # fmt: skip
def test_each_weakness_is_a_step_down_with_its_reason(bench, rows, text, level, about, said):
    found, reasons = graded(bench, *rows, text=text)
    assert said in reasons[about], reasons
    assert found != "high" and level in (None, found), reasons


def test_pairing_can_lift_the_same_difference_out_of_noise(bench):
    # 100 items more of 2,974: unpaired p = 0.009, with 120 wins and 20 losses far beyond it.
    rows = [cells(value=0.5336, baseline=0.5, seed=s) for s in (0, 1)]
    assert graded(bench, *rows)[1].get("precision", "") == ""
    rows = [cells(value=0.5101, baseline=0.5, seed=s) for s in (0, 1)]
    assert "unpaired" in graded(bench, *rows)[1]["precision"]
    rows = [cells(value=0.5101, baseline=0.5, seed=s, paired="40 | 10") for s in (0, 1)]
    assert graded(bench, *rows) == ("high", {})


def test_evidence_from_another_context_is_indirect(bench):
    rows = [cells(seed=0), cells(seed=1, value=0.61)]
    assert graded(bench, *rows, context="home/e5-small")[1]["directness"].endswith("not on home/e5-small")


def test_a_baseline_that_came_out_otherwise_in_a_later_round_counts_less(bench):
    bench.entry(table=TABLE + cells(value=0.9, baseline=0.55, kind="target_alone", seed=5), entry=E2)
    rows = [cells(kind="target_alone", seed=s) for s in (0, 1)]
    found = graded(bench, *rows, text=claim(over="target_alone"))
    assert "had 50.00% then, and 55.00% in " + E2 in found[1]["baseline"]


SOURCES = TABLE.replace("losses |", "losses | sources |").replace("|\n|---", "|\n|---|---", 1)


@pytest.mark.parametrize(
    ("kind", "then", "now", "drifted"),
    [
        ("best_zero_shot", "de-DE fr-FR", "ru-RU fi-FI", True),  # of which no source is part
        ("pretrained_base", "de-DE fr-FR", "ru-RU fi-FI", True),
        ("target_alone", "de-DE fr-FR", "ru-RU fi-FI", True),
        ("best_single_source", "de-DE fr-FR", "fr-FR de-DE", True),
        (
            "best_single_source",
            "de-DE fr-FR",
            "ru-RU fi-FI",
            False,
        ),  # another best source, not the same one otherwise
        ("best_single_source", "-", "-", False),
    ],
)
def test_a_baseline_drifts_with_its_own_models_only(bench, kind, then, now, drifted):
    bench.entry(table=SOURCES + f"{cells(value=0.9, baseline=0.55, kind=kind, seed=5)} {now} |", entry=E2)
    rows = "\n".join(f"{cells(kind=kind, seed=s)} {then} |" for s in (0, 1))
    bench.entry(table=SOURCES + rows)
    bench.skill(claims=claim(over=kind))
    known = bench.load()
    reasons = [reason.about for reason in grade(known.claims[0], known).reasons]
    assert ("baseline" in reasons) is drifted


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("sw-KE", 0), ("cy-GB", 1)], "not repeated: one seed, 0, 1, on cy-GB and on sw-KE"),
        ([("sw-KE", 0), ("sw-KE", "-")], "not repeated: one seed, 0"),
        ([("sw-KE", 0), ("sw-KE", 1), ("cy-GB", 0)], "not repeated: one seed, 0, on cy-GB"),
        ([("sw-KE", 0), ("sw-KE", 1), ("cy-GB", 0), ("cy-GB", 1)], None),
    ],
)
def test_a_seed_repeats_its_own_target_and_only_if_it_was_recorded(bench, rows, said):
    text = FOUR.replace("[sw-KE, cy-GB, vi-VN, sq-AL]", "[sw-KE, cy-GB]")
    _, reasons = graded(bench, *(cells(target, seed=seed) for target, seed in rows), text=text)
    assert reasons.get("replication") == said


def test_an_old_baseline_counts_less(bench):
    bench.entry(table=TABLE + cells("fi-FI", seed=5), entry=E2)
    text = claim(evidence=f"[{OLD}]")
    level, reasons = graded(bench, cells(seed=0), cells(seed=1), entry=OLD, text=text)
    assert level == "moderate" and "732 days older" in reasons["baseline"]


def test_what_fell_has_no_grade_and_what_is_contested_the_lowest(bench):
    assert graded(bench, cells(value=0.4))[0] == NONE
    assert graded(bench, cells(value=0.499))[0] == LEVELS[0]
    assert graded(bench, cells(), text=claim(superseded_by="a-claim"))[0] == NONE


def test_a_claim_that_no_row_tests_is_low_at_best(bench):
    text = claim(predicate="requires", condition="{base: pretrained}")
    assert graded(bench, cells(), text=text) == (
        "low",
        {"precision": "no comparison in the log tests it; it is read from its entries"},
    )


def test_skills_show_prints_the_grade(bench, mu):
    graded(bench, cells())
    told = mu("skills", "show", "a-skill", "--claims", "--workspace", bench.root)
    assert "a-claim  [supported; grade moderate]" in told.out
    found = mu("skills", "show", "a-skill", "--json", "--workspace", bench.root).json["claims"][0]["grade"]
    assert found["level"] == "moderate" and found["reasons"][0]["about"] == "replication"

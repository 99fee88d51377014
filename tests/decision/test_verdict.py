"""Every verdict follows from a rule that is shown, and its proposals can be done."""

from __future__ import annotations

import re
from dataclasses import replace
from math import sqrt

import jsonschema
import pytest
from conftest import HEAD, head, row

from merginguriel import stats
from merginguriel.decision.advice import Lab, Question, advise
from merginguriel.decision.advice_diff import changes
from merginguriel.decision.advice_types import PredictedArm, schema
from merginguriel.decision.baseline import pairing
from merginguriel.decision.pilot import planned
from merginguriel.decision.question import Ability
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.loop import run_entry_text
from merginguriel.text.advice import LEGEND, render

LAB = Lab(
    {"average": Ability(), "similarity": Ability(), "ties": Ability({"density", "scale"}, heads="average")},
    frozenset({"REAL"}),
)
SCHEMA = schema()
PAIRED = head("wins", "losses")
WITH_SE = head("wins", "losses", "se")
FORBIDS = """\
- id: no-dare
  text: "Do not drop."
  scope: {SCOPE}
  predicate: forbids
  over: best_single_source
  evidence: [2026-01-20-test-00000001]
  since: "2026-01-20"
"""
TARGETS = ["sw-KE", "cy-GB", "vi-VN", "th-TH", "ka-GE", "tr-TR", "sq-AL", "hi-IN", "af-ZA"]


def ask(bench, target: str = "sw-KE", **more):
    return advise(bench.load(more.get("as_of")), Question(target, **more))


# The rule


@pytest.mark.parametrize("target", TARGETS)
def test_a_pilot_is_worth_its_cost(study, target):
    told = ask(study, target)
    worth = told.pilot.value_pp >= told.pilot.cost_pp
    assert told.verdict == ("pilot" if worth else "no-merge")


def test_a_gain_that_is_likely_but_not_proven_is_worth_a_trial(bench):
    """Not merging is what a trial is compared with, as long as the verdict is not to merge."""
    bench.skill()
    bench.entry(row(value=0.49, baseline=0.46), n=900)
    told = ask(bench)
    assert told.gain.mean_pp > 1 and 0.6 < told.gain.p_positive < 0.95
    assert 0 < told.pilot.value_pp < told.gain.mean_pp and told.verdict == "pilot"


def test_a_gain_is_over_the_best_single_model_on_the_same_items(bench):
    bench.skill()
    bench.entry(row(value=0.49, baseline=0.46))
    before = ask(bench)
    table = "| target | mode | method | sources | value |\n|---|---|---|---|---|\n"
    bench.entry(table=table + "| sw-KE | - | single | sq-AL | 0.5600 |", entry="2026-01-21-test-00000002")
    told = ask(bench)
    assert (told.baseline.value, told.baseline.model) == (0.56, "sq-AL")
    assert before.rows[0].gain_pp == 3.0 and told.rows[0].gain_pp == -7.0
    assert told.gain.mean_pp < 0 and "(sq-AL), 56.00%" in render(told)


@pytest.mark.parametrize("target", [*TARGETS, "de-DE"])
def test_the_screen_says_why_with_the_smallest_gain_and_its_probability(study, target):
    told = ask(study, target)
    text = render(told, width=200)
    assert f"P(gain > 1 pp) {told.gain.p_worth:.2f}" in text
    if told.verdict != "unknown":
        assert told.why in " ".join(render(told, every=True).split())
        assert ("0.95" if told.gain.mean_pp >= 0 else "gain is negative") in told.why
    assert told.gain.p_worth < told.gain.p_positive


def test_a_likely_gain_that_few_items_cannot_prove_is_said_to_be_one(bench):
    bench.skill()
    bench.entry(row(value=0.60, baseline=0.54), n=300)
    told = ask(bench)
    assert 0.8 <= told.gain.p_positive < 0.95 and told.mde_pp > told.gain.ci90_pp[1]
    assert told.verdict == "pilot" and "likely, but this test set cannot prove it" in told.why


def test_a_verdict_within_a_hair_of_its_threshold_is_borderline(bench):
    bench.skill()
    told = {}
    for value in range(4800, 5400, 10):
        bench.entry(row(value=value / 1e4, baseline=0.46))
        one = ask(bench)
        told[value] = (one.verdict, one.borderline)
    verdicts = [verdict for verdict, _ in told.values()]
    at = verdicts.index("merge")
    assert verdicts[:at].count("pilot") == at and set(verdicts[at:]) == {"merge"}
    marks = [mark for _, mark in told.values()]
    assert marks[at - 1] and marks[at] and not marks[0] and not marks[-1]


def test_what_would_change_a_pilot_can_be_done_and_names_both_thresholds(study):
    (said, *_) = ask(study).would_change
    assert "development data" in said and "other seeds" in said and "other items" not in said
    assert "1 pp or more" in said and "0.95 or more" in said


# What can be run


def test_where_nothing_was_measured_a_recipe_is_proposed_that_can_be_run(study):
    told = ask(study, "de-DE", lab=LAB)
    assert told.recipe.method in LAB.methods and told.recipe.runnable
    assert "selection" not in told.recipe.params
    answer = ask(study, lab=LAB)
    others = {a.arm.method: a.runnable for a in answer.alternatives if isinstance(a, PredictedArm)}
    assert others["similarity"] and not {**others, answer.recipe.method: answer.recipe.runnable}["adamerging"]


def test_a_method_that_the_program_lacks_is_tagged_and_has_a_way_on(study):
    told = ask(study, "de-DE", method="adamerging", lab=LAB)
    assert not told.recipe.runnable
    assert "(not in this program)" in " ".join(render(told).split())
    assert not any(
        "adamerging" in step.text.partition("(")[0] or "mu train" in step.text for step in told.next
    )


def test_next_gives_a_method_only_parameters_that_it_has(bench):
    table = head("params", "sources")
    ties = row("sw-KE", 0.60, 0.50, method="ties", k=2)
    bench.entry(table=table + ties + " density=0.2 selection=sinkhorn | en-US sq-AL |")
    merge = ask(bench, lab=LAB).next[-1].command
    assert merge.startswith("mu merge --method ties") and "density=0.2" in merge and "selection" not in merge


def test_a_target_without_sentences_is_sent_to_the_tasks(study):
    lab = Lab(LAB.methods, LAB.similarities, offers_target=False)
    told = ask(study, "xh-ZA", lab=lab)
    assert told.next[0].command == "mu tasks massive" and "too few sentences" in told.unknowns[0]


# The evidence


def test_a_row_is_judged_by_its_standard_error_where_it_has_one(bench):
    line = row("sw-KE", 0.52, 0.50)
    bench.entry(table=WITH_SE + line + " 50 | 30 | 1.70 pp |", n=1000)
    clustered = ask(bench).evidence[0]
    assert clustered.within_noise and clustered.p_value == pytest.approx(stats.exact_mcnemar(13, 8), abs=1e-4)
    bench.entry(table=PAIRED + line + " 50 | 30 |", n=1000)
    exact = ask(bench).evidence[0]
    assert exact.p_value == pytest.approx(stats.exact_mcnemar(50, 30), abs=1e-4)
    assert not exact.within_noise


def test_a_row_is_within_noise_in_the_advice_where_its_entry_says_so(bench):
    bench.entry(table=WITH_SE + row("vi-VN", 0.76, 0.685714) + " 18 | 5 | 3.688 pp |", n=175)
    shown = ask(bench, "vi-VN").evidence[0]
    assert shown.within_noise and shown.p_value == pytest.approx(0.065, abs=1e-3)
    assert run_entry_text.sentence(bench.load().rows[0]).endswith("p = 0.065, within noise.")


def test_what_a_trial_sees_is_paired_by_what_rows_with_wins_and_losses_show(bench):
    bench.entry(row("sw-KE", 0.52, 0.50))
    bound = 280 * sqrt(stats.unpaired_variance(0.52, 0.50, 2974))
    told = ask(bench)
    assert told.mde_pp == pytest.approx(bound, rel=0.01) and "unpaired bound" in told.pilot.sees_how
    bench.entry(table=PAIRED + row("cy-GB", 0.52, 0.50) + " 80 | 60 |", n=1000, entry="2026-01-21-p-00000002")
    ratio, how = pairing(bench.load().rows, "massive/xlm-roberta-base")
    expected = stats.paired_variance(80, 60, 1000) / stats.unpaired_variance(0.52, 0.50, 1000)
    assert ratio == pytest.approx(expected) and "paired" in how
    assert ask(bench).mde_pp == pytest.approx(bound * sqrt(ratio), rel=0.01)


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        ("{mode: IncTar, method: ties_dare}", False),
        ("{target: cy-GB, method: ties_dare}", False),
        ("{context: sts-b/xlm-roberta-base, method: ties_dare}", False),
        ("{target: [cy-GB, sw-KE], mode: ExcTar, method: ties_dare}", True),
        ("{method: ties_dare}", True),
    ],
)
def test_a_veto_is_shown_only_where_it_holds(bench, scope, shown):
    rows = [row(t, 0.10, 0.50, method="ties_dare", mode=m, kind=kind)
            for t in ("sw-KE", "cy-GB") for m, kind in (("ExcTar", "best_single_source"),)]  # fmt: skip
    table = HEAD.replace("| target |", "| context | target |").replace("|---|\n", "|---|---|\n")
    mode = row("sw-KE", 0.10, 0.50, method="ties_dare", mode="IncTar", kind="best_single_source")
    lines = [f"| massive/xlm-roberta-base {line}" for line in [*rows, mode]]
    lines += [f"| sts-b/xlm-roberta-base {rows[0]}"]
    bench.entry(table=table + "\n".join(lines))
    bench.skill(claims=FORBIDS.replace("{SCOPE}", scope))
    assert bench.load().standings["no-dare"].status == "supported"
    assert ("no-dare" in [r.claim for r in ask(bench).rules]) == shown


def test_the_hash_as_of_a_day_is_not_of_todays_texts(bench):
    bench.entry(row("sw-KE", 0.60, 0.50))
    first = ask(bench, as_of="2026-01-20").knowledge_hash, ask(bench).knowledge_hash
    path = bench.skill(
        claims=FORBIDS.replace("{SCOPE}", "{method: ties}").replace(
            'since: "2026-01-20"', 'since: "2026-02-01"'
        )
    )
    path.write_text(path.read_text().replace("Do it.", "Do it well."))
    then = ask(bench, as_of="2026-01-20").knowledge_hash, ask(bench).knowledge_hash
    assert then[0] == first[0] and then[1] != first[1]
    bench.entry(row("sw-KE", 0.61, 0.50))
    assert ask(bench, as_of="2026-01-20").knowledge_hash != first[0]


# How it reads


@pytest.mark.parametrize("target", TARGETS)
def test_only_a_gain_that_is_shown_below_zero_is_called_negative(study, target):
    told = ask(study, target, mode="IncTar", similarity="URIEL")
    assert abs(told.gain.mean_pp) < 0.05 and "negative" not in told.why
    assert " 0 other target" not in told.why


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("target", [*TARGETS, "de-DE"])
def test_no_line_is_wider_than_the_page_but_a_command(study, target, width):
    text = render(ask(study, target, lab=LAB), every=True, width=width, explain=True)
    rows = re.compile(r"  mu |\d{4}-\d\d-\d\d-")
    assert [line for line in text.splitlines() if len(line) > width and not rows.search(line)] == []
    if width >= 80:
        assert [line for line in text.splitlines() if len(line) > width and "  mu " not in line] == []


def test_the_key_explains_every_label_of_a_row(study):
    text = render(ask(study), explain=True)
    for word, _ in LEGEND:
        assert f"\n  {word}" in text
    assert render(ask(study)) in text


def test_an_interval_that_did_not_hold_is_warned_of_at_the_top(study):
    told = ask(study)
    good, poor = (
        replace(told, calibration=replace(told.calibration, inside90=share)) for share in (0.9, 0.77)
    )
    assert "careful" not in render(good)
    head = " ".join(render(poor).partition("unknown")[0].split())
    assert "such 90% intervals contained 77% of the rows" in head


def test_one_other_row_has_no_spread_and_is_one_row(bench):
    bench.entry(row("cy-GB", 0.48, 0.50))
    told = ask(bench)
    assert told.evidence[0].se_pp is None
    assert "1 row on 1 other target: mean −2.0 pp, spread unknown" in render(told, every=True)


def test_a_figure_from_other_languages_says_that_it_is_not_of_this_one(study):
    for target in ("kn-IN", "te-IN"):
        assert any(f"anything specific to {target}" in said for said in ask(study, target).unknowns)
    assert not any("anything specific" in said for said in ask(study).unknowns)


@pytest.mark.parametrize("target", TARGETS)
def test_a_minus_is_a_minus_everywhere(study, target):
    told = ask(study, target)
    said = [
        told.summary,
        told.why,
        *told.would_change,
        *changes(ask(study, as_of="2026-01-20"), told),
    ]
    assert [s for s in said if re.search(r"(?<![\w-])-\d", s)] == []


@pytest.mark.parametrize("state", ["contested", "invalidated"])
def test_a_row_that_is_not_counted_says_in_whole_words_why(bench, state):
    table = head("status")
    bench.entry(table=table + row("sw-KE", 0.90, 0.50) + f" {state} |")
    assert f"{state}, not counted" in render(ask(bench), every=True)


def test_one_paired_row_of_another_method_does_not_say_what_a_trial_can_see(study):
    rows = list(study.load().rows)
    near_copy = ResultRow(
        "massive/xlm-roberta-base", "sw-KE", "ExcTar", "karcher", "accuracy", 0.4613, n=2974,
        baseline_kind="best_single_source", baseline=0.4670, wins=40, losses=57,
    )  # fmt: skip
    context = near_copy.context
    assert pairing([*rows, near_copy], context)[0] == pytest.approx(pairing(rows, context)[0], abs=0.01)


def test_a_recorded_standard_error_is_not_made_smaller_by_what_pairing_saved_elsewhere(bench):
    head = "| target | mode | method | similarity | k | value | baseline_kind | baseline | wins | losses | se |\n"
    line = "|---|---|---|---|---|---|---|---|---|---|---|\n"
    told = "| sw-KE | ExcTar | similarity | REAL | 5 | 0.4700 | best_single_source | 0.4600 | - | - | 1.00 pp |\n"
    near = [
        f"| {t} | ExcTar | similarity | REAL | 5 | 0.5100 | best_single_source | 0.5000 | 20 | 10 | - |"
        for t in ("cy-GB", "vi-VN", "th-TH", "ka-GE", "de-DE")
    ]
    bench.entry(table=head + line + told + "\n".join(near), n=1000)
    assert ask(bench).mde_pp == pytest.approx(2.80, abs=0.01)


# The budget


BUDGETS = [*range(16), 1000]
FAST = ("sw-KE", "th-TH", "de-DE")  # a pilot, a choice of verdicts, a target without evidence


@pytest.mark.parametrize(
    "target",
    [pytest.param(t, marks=() if t in FAST else pytest.mark.slow) for t in (*TARGETS, "de-DE")],
)
@pytest.mark.slow
def test_a_budget_is_never_exceeded_and_only_takes_pilots_away(study, target):
    free = ask(study, target)
    for budget in BUDGETS:
        told = ask(study, target, budget=budget)
        jsonschema.validate(told.as_dict(), SCHEMA)
        pieces = told.pilot.cost.pieces
        if told.verdict == "pilot":
            assert free.verdict == "pilot" and pieces <= budget
        elif free.verdict == "pilot":
            assert told.verdict == "no-merge"
            assert f"would take {pieces} pieces of work, more than the budget of {budget}" in told.why
            assert told.why in " ".join(render(told, width=400).split())
        else:
            assert told.verdict == free.verdict
    assert replace(told, budget=None) == replace(free, budget=None)  # the last budget is no limit


@pytest.mark.parametrize("target", ["sw-KE", "de-DE"])
def test_the_budget_that_is_said_to_be_enough_is_enough_and_one_less_is_not(study, target):
    free = ask(study, target)
    (enough,) = re.findall(r"a budget of (\d+) pieces", " ".join(ask(study, target, budget=0).would_change))
    told, less = (ask(study, target, budget=int(enough) - by) for by in (0, 1))
    assert told.verdict == free.verdict
    assert told.pilot.arms == free.pilot.arms[:1]  # the recipe, without the average beside it
    assert not any("a budget of" in line for line in told.would_change)
    assert any("a budget of" in line for line in less.would_change) and "more than the budget" in less.why
    assert less.why in " ".join(render(less, width=400).split())


def test_a_pilot_that_is_cut_to_the_budget_says_so_and_costs_less(study):
    whole = ask(study)
    told = ask(study, budget=whole.pilot.cost.pieces - 1)
    assert told.verdict == "pilot" and f"{whole.pilot.arms[0].label} alone" in told.why
    assert told.pilot.cost_pp < whole.pilot.cost_pp
    assert told.pilot.value_pp == whole.pilot.value_pp


def test_a_pilot_that_is_not_worth_all_its_work_is_not_cut_to_one_that_is():
    """With the recipe alone it costs 0.02 pp, less than it is worth: a budget would have made a pilot of no pilot."""
    whole = planned(["a", "b"], 0, 1.0, 2, wanted_pp=0.03)
    assert whole.arms == ("a", "b") and whole.price_pp == pytest.approx(0.04)
    assert planned(["a", "b"], 0, 1.0, 2, wanted_pp=0.05).arms == ("a",)


@pytest.mark.parametrize("target", ["sw-KE", "cy-GB", "vi-VN", "th-TH", "ka-GE", "de-DE"])
def test_an_answer_fits_on_one_screen_and_names_the_option_that_shows_the_rest(study, target):
    lines = render(ask(study, target)).splitlines()
    assert len(lines) <= 25 and "--all" in lines[-1]


def test_the_best_of_several_arms_needs_items_that_did_not_choose_it(bench):
    bench.skill()
    several = [row(value=0.60, baseline=0.46), row(value=0.45, baseline=0.46, method="ties")]
    bench.entry(several[0])
    assert ask(bench).verdict == "merge"
    bench.entry(*several)
    told = ask(bench)
    assert (
        told.verdict == "pilot"
        and "it was not confirmed on other items" in told.why
        and told.gain.p_positive > 0.95
    )
    top = head("run")
    confirmed = top + "\n".join(
        f"{one} {run} |" for one, run in zip(several, ("pilot-sw-KE-1", "-"), strict=True)
    )
    bench.entry(table=confirmed)
    assert ask(bench).verdict == "merge"

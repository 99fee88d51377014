"""Rules that turn an estimate into a verdict."""

from __future__ import annotations

from typing import NamedTuple

from merginguriel.text.numbers import count, pp

from . import claim_rules
from .advice_types import Verdict
from .baseline import ExtraMeasurement, detectable
from .estimate import Estimate
from .pilot import MERGE_AT, PilotPlan
from .question import Question

LIKELY = 0.8  # P(gain > 0) of a gain that is worth a trial even where the test set alone could not prove it
HAIR_P, HAIR_PP = 0.01, 0.1  # so near a threshold, a verdict is borderline


class Grounds(NamedTuple):
    """What an estimate rests on.

    Attributes:
        confirmed: Whether it was measured there on items that did not choose it among others.
        targets: Other targets of the context that measured its recipe.
        calibrated: Whether intervals held on the targets of the context.
    """

    known: bool
    measured: bool
    confirmed: bool
    targets: int
    calibrated: bool
    passes: int

    def proven(self, estimate: Estimate, question: Question) -> bool:
        """Return True if the gain is sure enough and large enough to act without a trial.

        The arm must have been confirmed on the target, or the intervals must have held on other targets.
        """
        sure = estimate.p_above(0) >= MERGE_AT and estimate.mean_pp >= question.min_gain_pp
        return sure and (self.confirmed or self.calibrated)


class Decision(NamedTuple):
    """A verdict and the rule that gave it.

    Attributes:
        verdict: What to do.
        why: The rule, with its figures.
        enough: Smallest budget, in pieces of work, with which a pilot would be proposed; None where the budget is not
            the reason.
        borderline: Whether P or the expected gain is within a hair of its threshold.
    """

    verdict: Verdict
    why: str
    enough: int | None = None
    borderline: bool = False


def over(plan: PilotPlan, question: Question) -> str | None:
    """Say that the pilot takes more work than the budget allows; None where it does not."""
    pieces = plan.cost.pieces
    if question.budget is None or pieces <= question.budget:
        return None
    return f"a pilot would take {count(pieces, 'piece')} of work, more than the budget of {question.budget}"


def decide(
    estimate: Estimate,
    question: Question,
    trial: ExtraMeasurement,
    grounds: Grounds,
    *,
    worth_pp: float,
    plan: PilotPlan,
    veto: claim_rules.Rule | None,
) -> Decision:
    """Return the verdict.

    A trial is proposed where it is expected to pay for itself, and where the budget allows its work.
    """
    if veto:
        return Decision("no-merge", f"the claim {veto.claim.id} forbids it, with evidence outside noise")
    dear, price_pp = over(plan, question), plan.price_pp
    enough_work = plan.cost.pieces if dear else None
    task = question.context.partition("/")[0]
    few = f"the task {task} has too few labelled sentences of {question.target}, or none,"
    lacking = "" if question.measurable else f"; and {few} for a pilot"
    if not grounds.known:
        also = f"; and {dear}" if dear and not lacking else ""
        what = f"nothing was measured in {question.context} ({question.mode})"
        if question.method is not None:
            what += f" by {question.method}"
        return Decision("unknown", f"{what}{also or lacking}", enough_work)
    found = _decide(estimate, question, trial, grounds, worth_pp=worth_pp, plan=plan)
    if found.verdict == "pilot" and lacking:
        return Decision("unknown", _short_of(estimate, question, grounds) + lacking)
    if found.verdict in ("merge", "ensemble") and lacking:
        found = found._replace(why=f"{found.why}; {few} to check it")
    if found.verdict == "pilot" and dear:
        short = found.why.partition(";")[0]
        found = Decision(
            "no-merge",
            f"{short}; and {dear} (a trial is worth {worth_pp:.2f} {question.points})",
            enough_work,
        )
    near_p = (
        abs(estimate.p_above(0) - MERGE_AT) <= HAIR_P and estimate.mean_pp >= question.min_gain_pp - HAIR_PP
    )
    near_pp = (
        abs(estimate.mean_pp - question.min_gain_pp) <= HAIR_PP and estimate.p_above(0) >= MERGE_AT - HAIR_P
    )
    near_trial = found.verdict in ("pilot", "no-merge") and abs(worth_pp - price_pp) <= price_pp / 10
    if near_p or near_pp or near_trial:
        return found._replace(why=f"borderline: {found.why}", borderline=True)
    return found


def _decide(
    estimate: Estimate,
    question: Question,
    trial: ExtraMeasurement,
    grounds: Grounds,
    *,
    worth_pp: float,
    plan: PilotPlan,
) -> Decision:
    """Return the verdict where neither a claim nor the budget stands against it."""
    enough, price_pp, unit = question.min_gain_pp, plan.price_pp, question.points
    least, most = detectable(trial), round(estimate.interval(0.9)[1], 2)
    if grounds.proven(estimate, question):
        why = f"P(gain > 0) is at least {MERGE_AT:g}, and the expected gain at least the {enough:g} {unit} asked for"
        if grounds.passes > 1:
            why += f"; {grounds.passes} forward passes for each input"
        return Decision("ensemble" if grounds.passes > 1 else "merge", why + _basis(grounds))
    short = _short_of(estimate, question, grounds)
    if worth_pp < price_pp:
        return Decision(
            "no-merge",
            f"{short}; and a trial is worth {worth_pp:.2f} {unit} in expectation, less than its cost, {price_pp:.2f} {unit}",
        )
    if least > most and estimate.p_above(0) >= LIKELY and estimate.mean_pp >= enough:
        return Decision(
            "pilot",
            f"likely, but this test set cannot prove it: it detects {least:.1f} {unit} or more, and a gain above {pp(most, unit=unit)} "
            f"is implausible; about {_items(trial, estimate.mean_pp):,} test items would",
        )
    alone = f"; with the budget of {question.budget} it merges {plan.arms[0].label} alone" if plan.cut else ""
    return Decision(
        "pilot",
        f"{short}; a trial is worth {worth_pp:.2f} {unit} in expectation, its cost is {price_pp:.2f} {unit}, and up to "
        f"{pp(most, unit=unit)} is plausible{alone}",
    )


def _short_of(estimate: Estimate, question: Question, grounds: Grounds) -> str:
    """Return what the estimate lacks for acting without a trial."""
    enough, unit, shown = question.min_gain_pp, question.points, round(round(estimate.mean_pp, 2), 1)
    if shown < 0:
        short = f"the expected gain is negative, {pp(round(estimate.mean_pp, 2), unit=unit)}"
    elif estimate.mean_pp < 0:
        short = f"the expected gain is about 0 {unit}"
    elif estimate.p_above(0) < MERGE_AT:
        short = f"P(gain > 0) is below the {MERGE_AT:g} that merging needs"
    elif estimate.mean_pp < enough:
        short = f"the expected gain is below the {enough:g} {unit} asked for"
    else:
        short = "it was not confirmed on other items than those that chose it, and intervals in this context did not hold or were not checked"
    return short + _basis(grounds)


def _basis(grounds: Grounds) -> str:
    others = count(grounds.targets, "other target") if grounds.targets else "no other target"
    return "" if grounds.measured else f" (from {others})"


def _items(trial: ExtraMeasurement, gain_pp: float) -> int:
    """Return the number of test items at which the expected gain is detected with 80% power."""
    return int(trial.n * (detectable(trial) / gain_pp) ** 2 + 1)

"""Rules that turn an estimate into a verdict."""

from __future__ import annotations

from typing import NamedTuple

from merginguriel.text.numbers import count, pp

from . import claim_rules
from .advice_types import Verdict
from .baseline import Trial, detectable
from .estimate import Estimate
from .pilot import Plan
from .question import MERGE_AT, Question


class Decision(NamedTuple):
    """A verdict and the rule that gave it.

    Attributes:
        verdict: What to do.
        why: The rule, with its figures.
        enough: Smallest budget, in pieces of work, with which a pilot would be proposed; None where the budget is not
            the reason.
    """

    verdict: Verdict
    why: str
    enough: int | None = None


def proven(estimate: Estimate, question: Question) -> bool:
    """Return True if the gain is sure enough and large enough to merge without a trial."""
    return estimate.p_above(0) >= MERGE_AT and estimate.mean_pp >= question.min_gain_pp


def over(plan: Plan, question: Question) -> str | None:
    """Say that the pilot takes more work than the budget allows; None where it does not."""
    pieces = plan.cost.pieces
    if question.budget is None or pieces <= question.budget:
        return None
    return f"a pilot would take {count(pieces, 'piece')} of work, more than the budget of {question.budget}"


def decide(
    estimate: Estimate,
    question: Question,
    trial: Trial,
    *,
    known: bool,
    worth_pp: float,
    plan: Plan,
    veto: claim_rules.Rule | None,
) -> Decision:
    """Return the verdict.

    A trial is proposed where it is expected to pay for itself, where the smallest gain that it detects with 80% power
    is inside the 90% interval, and where the budget allows its work.

    Args:
        estimate: Expected gain of the recipe.
        question: The question.
        trial: Size and variance of one more measurement.
        known: Whether something was measured on this target.
        worth_pp: Value of the trial, pp.
        plan: The trial.
        veto: The claim that excludes the recipe.
    """
    enough = question.min_gain_pp
    p = estimate.p_above(0)
    least, most = detectable(trial), round(estimate.interval(0.9)[1], 2)
    if veto:
        return Decision("no-merge", f"the claim {veto.claim.id} forbids it, with evidence outside noise")
    dear, price_pp = over(plan, question), plan.price_pp
    enough_work = plan.cost.pieces if dear else None
    if not known:
        also = f"; and {dear}" if dear else ""
        why = f"no merge for {question.target} was measured in {question.context}{also}"
        return Decision("unknown", why, enough_work)
    if proven(estimate, question):
        return Decision(
            "merge",
            f"P(gain > 0) is at least {MERGE_AT:g}, and the expected gain at least the {enough:g} pp asked for",
        )
    if estimate.mean_pp < 0:
        short = f"the expected gain is negative, {pp(estimate.mean_pp)}"
    elif p < MERGE_AT:
        short = f"P(gain > 0) is below the {MERGE_AT:g} that merging needs"
    else:
        short = f"the expected gain is below the {enough:g} pp asked for"
    if least > most:
        return Decision(
            "no-merge",
            f"{short}; and a trial could not settle it: it detects {least:.1f} pp or more, and a gain above "
            f"{pp(most)} is implausible (1 in 20)",
        )
    if worth_pp < price_pp:
        return Decision(
            "no-merge",
            f"{short}; and a trial is worth {worth_pp:.2f} pp in expectation, less than its cost, {price_pp:.2f} pp",
        )
    if dear:
        return Decision("no-merge", f"{short}; and {dear}", enough_work)
    alone = f"; with the budget of {question.budget} it merges {plan.arms[0].label} alone" if plan.cut else ""
    return Decision(
        "pilot",
        f"{short}; a trial is worth {worth_pp:.2f} pp in expectation, its cost is {price_pp:.2f} pp, and it detects "
        f"{least:.1f} pp or more, where up to {pp(most)} is plausible{alone}",
    )

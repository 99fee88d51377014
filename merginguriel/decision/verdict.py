"""Which verdict follows from the estimate, and by which rule?"""

from __future__ import annotations

from typing import NamedTuple

from merginguriel.text.numbers import count, pp

from . import claim_rules
from .baseline import Trial, detectable
from .estimate import Estimate
from .pilot import Plan
from .question import MERGE_AT, Question


class Decision(NamedTuple):
    """enough: the budget, in pieces of work, from which a pilot would be proposed; None where no budget stands in its way."""

    verdict: str
    why: str
    enough: int | None = None


def proven(estimate: Estimate, question: Question) -> bool:
    """Is the gain sure enough and large enough to merge without a trial?"""
    return estimate.p_above(0) >= MERGE_AT and estimate.mean_pp >= question.min_gain_pp


def over(plan: Plan, question: Question) -> str | None:
    """That the pilot takes more work than the budget has, in words; None where it does not."""
    if question.budget is None or plan.pieces <= question.budget:
        return None
    return (
        f"a pilot would take {count(plan.pieces, 'piece')} of work, more than the budget of {question.budget}"
    )


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
    """`known`: something was measured on this target. `worth_pp`: of one trial, which is `plan`.

    A trial is proposed where it can be expected to pay for itself, and where it could see a gain that is still
    plausible: the smallest gain that it finds with 80% power lies inside the 90% interval; and where the budget has
    the work that it takes.
    """
    enough = question.min_gain_pp
    p = estimate.p_above(0)
    sees, most = detectable(trial), round(estimate.interval(0.9)[1], 2)
    if veto:
        return Decision("no-merge", f"the claim {veto.claim.id} forbids it, with evidence outside noise")
    dear, price_pp = over(plan, question), plan.price_pp
    enough_work = plan.pieces if dear else None
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
    if sees > most:
        return Decision(
            "no-merge",
            f"{short}; and a trial could not settle it: it sees {sees:.1f} pp or more, and a gain above "
            f"{pp(most)} is implausible (1 in 20)",
        )
    if worth_pp < price_pp:
        return Decision(
            "no-merge",
            f"{short}; and a trial is worth {worth_pp:.2f} pp in expectation, less than its cost, {price_pp:.2f} pp",
        )
    if dear:
        return Decision("no-merge", f"{short}; and {dear}", enough_work)
    alone = f"; with the budget of {question.budget} it merges {plan.arms[0]} alone" if plan.cut else ""
    return Decision(
        "pilot",
        f"{short}; a trial is worth {worth_pp:.2f} pp in expectation, its cost is {price_pp:.2f} pp, and it sees "
        f"{sees:.1f} pp, where up to {pp(most)} is plausible{alone}",
    )

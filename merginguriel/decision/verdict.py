"""Which verdict follows from the estimate, and by which rule?"""

from __future__ import annotations

from . import rules
from .baseline import Trial, detectable
from .estimate import Estimate
from .question import MERGE_AT, Question
from .words import pp


def proven(estimate: Estimate, question: Question) -> bool:
    """Is the gain sure enough and large enough to merge without a trial?"""
    return estimate.p_above(0) >= MERGE_AT and estimate.mean_pp >= question.min_gain_pp


def decide(
    estimate: Estimate,
    question: Question,
    trial: Trial,
    *,
    known: bool,
    worth_pp: float,
    price_pp: float,
    veto: rules.Rule | None,
) -> tuple[str, str]:
    """(verdict, why). `known`: something was measured on this target. `worth_pp`, `price_pp`: of one trial.

    A trial is proposed where it can be expected to pay for itself, and where it could see a gain that is still
    plausible: the smallest gain that it finds with 80% power lies inside the 90% interval.
    """
    enough = question.min_gain_pp
    p = estimate.p_above(0)
    sees, most = detectable(trial), round(estimate.interval(0.9)[1], 2)
    if veto:
        return "no-merge", f"the claim {veto.claim.id} forbids it, with evidence outside noise"
    if not known:
        return "unknown", f"no merge for {question.target} was measured in {question.context}"
    if proven(estimate, question):
        return "merge", (
            f"P(gain > 0) is at least {MERGE_AT:g}, and the expected gain at least the {enough:g} pp asked for"
        )
    if estimate.mean_pp < 0:
        short = f"the expected gain is negative, {pp(estimate.mean_pp)}"
    elif p < MERGE_AT:
        short = f"P(gain > 0) is below the {MERGE_AT:g} that merging needs"
    else:
        short = f"the expected gain is below the {enough:g} pp asked for"
    if sees > most:
        return "no-merge", (
            f"{short}; and a trial could not settle it: it sees {sees:.1f} pp or more, and a gain above "
            f"{pp(most)} is implausible (1 in 20)"
        )
    if worth_pp < price_pp:
        return "no-merge", (
            f"{short}; and a trial is worth {worth_pp:.2f} pp in expectation, less than its cost, {price_pp:.2f} pp"
        )
    return "pilot", (
        f"{short}; a trial is worth {worth_pp:.2f} pp in expectation, its cost is {price_pp:.2f} pp, and it sees "
        f"{sees:.1f} pp, where up to {pp(most)} is plausible"
    )

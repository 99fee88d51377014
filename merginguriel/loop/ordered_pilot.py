"""Whether a planned merge is the pilot that the advice asks for, which no earlier attempt makes needless."""

from __future__ import annotations

from merginguriel.errors import MuError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.expectations import Expectation

from . import advise_request


def ordered_pilot(knowledge: Knowledge, expected: Expectation) -> bool:
    """Return whether the advice on the target is a pilot of this arm."""
    try:
        about = advise_request.question(
            knowledge, expected.target, mode=expected.mode, context=expected.context
        )
        advice = advise_request.advise(knowledge, about)
    except MuError:
        return False
    return advice.verdict == "pilot" and any(
        arm.method == expected.method
        and expected.similarity in (None, "", arm.similarity)
        and expected.k in (None, arm.k)
        and set(expected.params) <= set(arm.params.items())
        for arm in advice.pilot.arms
    )

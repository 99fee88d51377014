"""Does a claim's text name numbers that its evidence bears out, and does its value point where its predicate does?"""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.contradictions import wanted
from merginguriel.knowledge.claims.recompute import check_claim
from merginguriel.knowledge.lint.problem import Problem


def check(knowledge: Knowledge) -> list[Problem]:
    found: list[Problem] = []
    for claim in knowledge.claims:
        if claim.superseded_by:
            continue
        found += [
            Problem(claim.where, f"{claim.id} {what}.", "Correct it, or cite the row that it comes from.")
            for what in check_claim(claim, knowledge)
        ]
        # A size may be written without its sign, as the predicate says the direction; a minus says one by itself.
        if (
            claim.value is not None
            and claim.value < 0 < wanted(claim)
            and claim.predicate in ("beats", "prefers")
        ):
            found.append(
                Problem(
                    claim.where,
                    f"{claim.id} {claim.predicate}, but its value is {claim.value:g} {claim.unit}.",
                    "What scores below is: predicate: fails. A size above needs no sign.",
                )
            )
    return found

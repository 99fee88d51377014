"""Numbers of skills and claims: their units, and whether the result rows support them."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.contradictions import wanted
from merginguriel.knowledge.claims.recompute import check_claim, check_skill
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.knowledge.parse.prose_numbers import NAME_THE_UNIT, bare_differences
from merginguriel.knowledge.parse.yaml_lines import read_text


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the numbers of each claim, then those of each skill's text."""
    problems: list[Problem] = []
    for claim in knowledge.claims:
        if not claim.superseded_by:
            problems += _check_claim(claim, knowledge)
    for skill in knowledge.skills:
        mismatches = [
            Problem(f"{skill.path}:{item.line}", item.what, item.hint)
            for item in check_skill(skill, knowledge)
        ]
        reported = {problem.where for problem in mismatches}
        passages = [
            (f"{skill.path}:{line}", words) for line, words in bare_differences(read_text(skill.path))
        ]
        # Where the rows decide the unit, the recomputation has already reported it.
        passages = [(where, words) for where, words in passages if where not in reported]
        passages += [
            (claim.where, words) for claim in skill.claims for _, words in bare_differences(claim.text)
        ]
        problems += mismatches
        problems += [
            Problem(where, f"says {words!r}: percent of the baseline, or percentage points?", NAME_THE_UNIT)
            for where, words in passages
        ]
    return problems


def _check_claim(claim: Claim, knowledge: Knowledge) -> list[Problem]:
    result = [
        Problem(claim.where, f"{claim.id} {problem}.", "Correct it, or cite the row that it comes from.")
        for problem in check_claim(claim, knowledge)
    ]
    # A size may be written without its sign, as the predicate gives the direction; a minus is a sign.
    if (
        claim.value is not None
        and claim.value < 0 < wanted(claim)
        and claim.predicate in ("beats", "prefers")
    ):
        result.append(
            Problem(
                claim.where,
                f"{claim.id} {claim.predicate}, but its value is {claim.value:g} {claim.unit}.",
                "What scores below is: predicate: fails. A size above needs no sign.",
            )
        )
    return result

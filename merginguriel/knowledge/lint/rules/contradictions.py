"""Rule: claims do not contradict each other or the rows in their scope."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.contradictions import (
    active_claims,
    between_claims,
    effects_without_gain,
    in_any,
    overreaching,
    uncited,
)
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.rows import ResultRow


def check(knowledge: Knowledge) -> list[Problem]:
    """Report contradictions, exhaustive words and merging effects taken for gains."""
    result = [
        Problem(c.claim.where, f"{c.claim.id} {c.what}.", "Narrow the scope of one, or supersede the one that is wrong.")
        for c in between_claims(knowledge)
    ]  # fmt: skip
    result += [
        Problem(
            c.claim.where, f"{c.claim.id} {c.what}.", "Cite these rows, and narrow the claim or supersede it."
        )
        for c in uncited(knowledge)
    ]
    result += [
        Problem(c.claim.where, f"{c.claim.id} {c.what}.", "Say how many of how many, or narrow the scope.")
        for c in overreaching(knowledge)
    ]
    return result + _effect_for_gain(knowledge)


def _effect_for_gain(knowledge: Knowledge) -> list[Problem]:
    """Report claims that take a merging effect above zero as a reason to merge, against the rows."""
    result = []
    for claim in active_claims(knowledge):
        if claim.predicate != "requires" or "merging_effect" not in claim.condition:
            continue
        for effect, gain in effects_without_gain(in_any(knowledge.rows, claim.scope)):
            result.append(
                Problem(claim.where, f"{claim.id} treats a positive merging effect as a reason to merge, but {above(effect, gain)}.",
                        "Judge a merge by its gain over best_single_source; report the effect as a description.")
            )  # fmt: skip
            break
    return result


def above(effect: ResultRow, gain: ResultRow) -> str:
    """Return `tr-TR has +4.07 pp over the mean of its sources, and 72.90% is below its best source, 73.10%`."""
    size = effect.value if effect.metric == "merging_effect" else effect.difference_pp
    return (
        f"{gain.target} has {size:+.2f} pp over the mean of its sources ({effect.ref}), and {100 * gain.value:.2f}% is "
        f"below its best source, {100 * (gain.baseline or 0.0):.2f}% ({gain.ref})"
    )

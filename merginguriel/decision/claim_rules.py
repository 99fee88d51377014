"""Claims that exclude, prefer or describe arms of a question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from merginguriel.knowledge.claims.claim_status import ClaimStanding
from merginguriel.knowledge.parse.claims import Claim, in_scope

from .advice_types import AppliedClaim
from .evidence import Arm

ACTIVE = ("supported", "under noise")


class Rule(NamedTuple):
    """A claim that bears on a question, with its status."""

    claim: Claim
    standing: ClaimStanding

    def applied(self) -> AppliedClaim:
        """Return the claim as the advice names it."""
        claim, status = self.claim, self.standing
        return AppliedClaim(claim.id, claim.skill, claim.predicate, claim.text, status.status, status.reason)


def vetoes(claims: Iterable[Claim], standings: Mapping[str, ClaimStanding]) -> list[Rule]:
    """Return the claims that exclude something, with evidence outside noise."""
    found = (Rule(claim, standings[claim.id]) for claim in claims if claim.predicate == "forbids")
    return [rule for rule in found if rule.standing.status == "supported"]


def veto_of(arm: Arm, vetoes: Iterable[Rule]) -> Rule | None:
    """Return the first claim that excludes `arm`, if any."""
    return next((rule for rule in vetoes if in_scope(arm, rule.claim.scope)), None)


def excludes(vetoes: Iterable[Rule]) -> Callable[[Arm], bool]:
    """Return a test for arms whose rows are left out of the estimate: those of excluded methods."""
    ruinous = [veto for veto in vetoes if names_a_method(veto)]
    return lambda arm: veto_of(arm, ruinous) is not None


def concerns(rule: Rule, arm: Arm) -> bool:
    """Return True if a rule applies to this context, target and mode, whatever the method."""
    where = {key: rule.claim.scope[key] for key in ("context", "target", "mode") if key in rule.claim.scope}
    return in_scope(arm, where)


def names_a_method(rule: Rule) -> bool:
    """Return True if an exclusion is about a way to merge, not about a target, mode or context as a whole.

    The rows of an excluded method say nothing about other methods and are left out of the estimate. The rows behind an
    exclusion of a whole target are the evidence on that target and are used.
    """
    return not {"method", "similarity", "k", "params"}.isdisjoint(rule.claim.scope)


def dispreferred(
    arm: Arm, others: Iterable[Arm], claims: Iterable[Claim], standings: Mapping[str, ClaimStanding]
) -> Rule | None:
    """Return the active claim that prefers one of `others` to `arm`, if any."""
    choice = list(others)
    for claim in claims:
        if claim.predicate != "prefers" or standings[claim.id].status not in ACTIVE:
            continue
        scope = claim.scope
        if not (in_scope(arm, scope) and in_scope(arm, claim.over_scope)):
            continue
        named = {*claim.prefer, *claim.over_scope}
        for other in choice:
            if not in_scope(other, scope, claim.prefer):
                continue
            if all(
                getattr(arm, f) == getattr(other, f) for f in ("method", "similarity", "k") if f not in named
            ):
                return Rule(claim, standings[claim.id])
    return None


def bearing(
    claims: Iterable[Claim], standings: Mapping[str, ClaimStanding], arm: Arm, predicates: tuple[str, ...]
) -> list[Rule]:
    """Return the claims of these predicates whose scope contains `arm`, without refuted and superseded ones."""
    found = []
    for claim in claims:
        status = standings[claim.id].status
        if claim.predicate not in predicates or status in ("superseded", "refuted"):
            continue
        if in_scope(arm, claim.scope):
            found.append(Rule(claim, standings[claim.id]))
    return found

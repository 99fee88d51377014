"""What do the claims forbid, prefer and require for a question?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from merginguriel.knowledge.claims.claim_status import Standing
from merginguriel.knowledge.parse.claims import Claim, in_scope

from .evidence import Arm

ACTIVE = ("supported", "under noise")


class Rule(NamedTuple):
    """A claim that bears on a question, with its status."""

    claim: Claim
    standing: Standing

    def as_dict(self) -> dict[str, object]:
        return {
            "claim": self.claim.id,
            "skill": self.claim.skill,
            "predicate": self.claim.predicate,
            "text": self.claim.text,
            "status": self.standing.status,
            "reason": self.standing.reason,
        }


def vetoes(claims: Iterable[Claim], standings: Mapping[str, Standing]) -> list[Rule]:
    """Claims that forbid something, with evidence outside noise."""
    found = (Rule(claim, standings[claim.id]) for claim in claims if claim.predicate == "forbids")
    return [rule for rule in found if rule.standing.status == "supported"]


def veto_of(arm: Arm, vetoes: Iterable[Rule]) -> Rule | None:
    """The first veto that `arm` falls under, if any."""
    return next((rule for rule in vetoes if in_scope(arm, rule.claim.scope)), None)


def concerns(rule: Rule, arm: Arm) -> bool:
    """Does a rule speak of this context, target and mode, whatever the method?"""
    where = {key: rule.claim.scope[key] for key in ("context", "target", "mode") if key in rule.claim.scope}
    return in_scope(arm, where)


def names_a_method(rule: Rule) -> bool:
    """Does a veto speak of a way to merge, rather than of a target, a mode or a context as a whole?

    What destroyed a merge says nothing about other methods, so its rows are kept out of the estimate. The rows
    behind a veto on a target as a whole are what is known of that target, and stay in.
    """
    return not {"method", "similarity", "k", "params"}.isdisjoint(rule.claim.scope)


def dispreferred(
    arm: Arm, others: Iterable[Arm], claims: Iterable[Claim], standings: Mapping[str, Standing]
) -> Rule | None:
    """The standing preference that sets `arm` aside for one of `others`, if there is one."""
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
    claims: Iterable[Claim], standings: Mapping[str, Standing], arm: Arm, predicates: tuple[str, ...]
) -> list[Rule]:
    """Claims of these predicates whose scope an arm on this target lies in, refuted and superseded ones left out."""
    found = []
    for claim in claims:
        status = standings[claim.id].status
        if claim.predicate not in predicates or status in ("superseded", "refuted"):
            continue
        if in_scope(arm, claim.scope):
            found.append(Rule(claim, standings[claim.id]))
    return found


def for_target(arm: Arm, target: str, context: str, mode: str) -> Arm:
    return replace(arm, target=target, context=context, mode=mode)

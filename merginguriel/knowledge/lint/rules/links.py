"""Rule: references between entries and claims exist, and every id is unique."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.knowledge.parse.entries import Entry


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the ids and references of entries and claims."""
    problems: list[Problem] = []
    ids = set(knowledge.by_entry)
    seen: dict[str, Claim] = {}
    first: dict[str, Entry] = {}
    for entry in knowledge.entries:
        if first.setdefault(entry.id, entry) is not entry:
            problems.append(
                Problem(f"{entry.path}:1", f"the entry's id is also used in {first[entry.id].path}.")
            )
        for kind, refs in (("supersedes", entry.supersedes), ("links", entry.links)):
            problems += [
                Problem(f"{entry.path}:1", f"{kind} names {ref}, which is not in the log.")
                for ref in refs
                if ref not in ids
            ]
        for question in entry.questions:
            if question.by and question.by not in ids:
                problems.append(
                    Problem(
                        f"{entry.path}:{question.line}",
                        f"[{question.state}] names {question.by}, which is not in the log.",
                    )
                )
    claim_ids = {claim.id for claim in knowledge.claims}
    for claim in knowledge.claims:
        if claim.id in seen:
            problems.append(
                Problem(claim.where, f"the claim {claim.id} is also defined in {seen[claim.id].where}.")
            )
        seen[claim.id] = claim
        for ref in claim.evidence:
            if ref not in ids and ref not in knowledge.by_row:
                problems.append(Problem(claim.where, f"evidence names {ref}, which is not in the log."))
        if claim.superseded_by and claim.superseded_by not in claim_ids:
            problems.append(
                Problem(claim.where, f"superseded_by names {claim.superseded_by}, which is not a claim.")
            )
        elif claim.superseded_by and (circle := _circle(claim, knowledge)):
            problems.append(
                Problem(
                    claim.where,
                    f"superseded_by leads back to the claim itself: {' → '.join(circle)}.",
                    "Remove the superseded_by of one of them.",
                )
            )
    return problems


def _circle(claim: Claim, knowledge: Knowledge) -> list[str]:
    """Return the claims from this one back to itself by superseded_by; empty if the chain ends elsewhere."""
    after = {c.id: c.superseded_by for c in knowledge.claims}
    path = [claim.id]
    while (following := after.get(path[-1])) is not None:
        if following == claim.id:
            return [*path, following]
        if following in path:
            return []
        path.append(following)
    return []

"""Rule: the rows that a claim cites are in its scope and compare what it states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.claim_status import NOTHING_COMPARED
from merginguriel.knowledge.claims.pooling import differences
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.claims import Claim, in_scope
from merginguriel.knowledge.parse.rows import ResultRow


def check(knowledge: Knowledge) -> list[Problem]:
    """Report claims whose evidence contains no comparison."""
    problems: list[Problem] = []
    for claim in knowledge.claims:
        if knowledge.standings[claim.id].reason == NOTHING_COMPARED:
            cited = [row for ref in claim.evidence for row in knowledge.evidence_rows(ref)]
            problems.append(
                Problem(
                    claim.where,
                    f"{claim.id}: {NOTHING_COMPARED}: {why(claim, cited)}.",
                    "Cite rows of its scope, or claim what these rows compare.",
                )
            )
    return problems


def why(claim: Claim, cited: Sequence[ResultRow]) -> str:
    """Return why no cited row is compared: a key of the scope, their status, or their baseline."""
    if not cited:
        return "its evidence holds no rows"
    rows = [row for row in cited if row.status == "current"]
    if not rows:
        return f"they are {', '.join(sorted({row.status for row in cited}))}"
    keys = [key for key in claim.scope if not any(in_scope(row, {key: claim.scope[key]}) for row in rows)]
    if not keys:
        keys = [k for k in claim.scope if differences(replace(claim, scope=_without(claim, k)), rows)]
    if keys:
        return "; ".join(
            f"its scope says {k} {' '.join(claim.scope[k])}, they have {_have(rows, k)}" for k in keys
        )
    if not any(in_scope(row, claim.scope) for row in rows):
        return "no row has all of its scope"
    if claim.predicate == "prefers":
        return "none has a partner on the other side that is alike in all else"
    kinds = sorted({row.baseline_kind or "nothing" for row in rows if in_scope(row, claim.scope)})
    return f"it says over {claim.over}, they are compared with {', '.join(kinds)}"


def _without(claim: Claim, key: str) -> dict[str, tuple[str, ...]]:
    return {name: values for name, values in claim.scope.items() if name != key}


def _have(rows: Sequence[ResultRow], key: str) -> str:
    if key == "params":
        values = {" ".join(f"{k}={v}" for k, v in row.params) or "none" for row in rows}
    else:
        values = {str(getattr(row, key) or "none") for row in rows}
    return ", ".join(sorted(values)[:5])

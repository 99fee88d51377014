"""Candidates of claims: comparisons that the rows of one context could support."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from merginguriel.knowledge.claims.pooling import Pool
from merginguriel.knowledge.parse.claims import Claim, Scope
from merginguriel.knowledge.parse.rows import ResultRow

GOALS = ("best_single_source", "best_zero_shot", "target_alone")
_NAMES = {
    "best_single_source": "the best single source",
    "best_zero_shot": "the best model of another locale",
    "target_alone": "the target's own model",
}


def candidates(rows: Sequence[ResultRow], day: str) -> Iterator[Claim]:
    """Yield claims that the rows of one context could support: gains over a baseline, and pairs of choices."""
    groups: dict[tuple[str, str, str | None], set[str]] = {}
    kinds: dict[tuple[str, str, str | None], set[str]] = {}
    for row in rows:
        key = (row.mode, row.method, row.similarity)
        groups.setdefault(key, set()).add(row.target)
        if row.baseline_kind in GOALS:
            kinds.setdefault(key, set()).add(row.baseline_kind)
    context = rows[0].context
    for (mode, method, similarity), named in sorted(kinds.items(), key=str):
        scope: dict[str, tuple[str, ...]] = {"context": (context,), "mode": (mode,), "method": (method,)}
        scope |= {"similarity": (similarity,)} if similarity else {}
        for kind in sorted(named):
            yield _claim(day, scope, over=kind)
    for mode in sorted({key[0] for key in groups}):
        here = {key[1:]: targets for key, targets in groups.items() if key[0] == mode}
        scope = {"context": (context,), "mode": (mode,)}
        for method in sorted({m for m, _ in here}):
            for pair in combinations(sorted(s for m, s in here if m == method and s), 2):
                yield _claim(day, {**scope, "method": (method,)}, "similarity", pair)
        for similarity in sorted({s for _, s in here if s}):
            for pair in combinations(sorted(m for m, s in here if s == similarity), 2):
                yield _claim(day, {**scope, "similarity": (similarity,)}, "method", pair)


def _claim(day: str, scope: Scope, key: str = "", pair: Sequence[str] = (), over: str = "") -> Claim:
    first, second = ({key: (value,)} for value in pair) if pair else ({}, {})
    predicate = "prefers" if pair else "beats"
    return Claim("", "", "", predicate, scope, over or None, second, first, {}, None, "pp", (), day, None, "")


def directed(claim: Claim, pool: Pool, refs: tuple[str, ...]) -> Claim:
    """Return the candidate with the direction of its difference, id, text, value and evidence."""
    size, below = abs(pool.mean), pool.mean < 0
    scope = {key: " ".join(values) for key, values in claim.scope.items()}
    head = f"{scope['context']}, {scope['mode']}"
    if claim.predicate == "prefers":
        better, worse = (claim.over_scope, claim.prefer) if below else (claim.prefer, claim.over_scope)
        (key,) = better
        shared = scope.get("method") or f"sources by {scope.get('similarity')}"
        text = f"In {head} with {shared}, {key} {better[key][0]} scores {size:.1f} pp above {worse[key][0]}: mean over {pool.targets} targets."
        words = [better[key][0], "over", worse[key][0], shared]
        claim = replace(claim, prefer=better, over_scope=worse)
    else:
        recipe = " ".join(filter(None, [scope["method"], scope.get("similarity")]))
        side = "below" if below else "above"
        text = f"In {head}, {recipe} scores {size:.1f} pp {side} {_NAMES[claim.over or '']}: mean over {pool.targets} targets."
        words = [recipe, side, claim.over or ""]
        claim = replace(claim, predicate="fails" if below else "beats")
    name = re.sub(r"[^a-z0-9]+", "-", " ".join([*words, scope["context"], scope["mode"]]).lower()).strip("-")
    return replace(
        claim,
        id=name,
        text=text,
        value=round(-size if below and not claim.prefer else size, 2),
        evidence=refs,
    )


def states(claim: Claim, wanted: Claim) -> bool:
    """Return whether a claim says the same as a candidate, about at least its rows."""
    predicate = "fails" if claim.predicate == "forbids" else claim.predicate
    if (predicate, claim.over, claim.prefer, claim.over_scope) != (
        wanted.predicate, wanted.over, wanted.prefer, wanted.over_scope,
    ):  # fmt: skip
        return False
    scope = {key: set(values) for key, values in claim.scope.items() if key != "params"}
    return all(values & set(wanted.scope.get(key, ())) for key, values in scope.items())

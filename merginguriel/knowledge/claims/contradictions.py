"""Which statements cannot both hold? Claims against claims, and claims against rows, by the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from merginguriel import locales
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.claims import Claim, Scope, both, in_scope
from merginguriel.knowledge.parse.rows import ResultRow

from .pooling import Difference, differences, pooled

DOWN = ("fails", "forbids")
EXHAUSTIVE = re.compile(
    r"\b(?:all|every|each|both)\b(?:\s+[\w-]+){0,2}?\s+"
    r"(?:targets?|pairs?|locales?|languages?|merges?|settings?|runs?|methods?)\b|\b(?:always|never)\b",
    re.IGNORECASE,
)
ONLY = (
    re.compile(r"\bonly\s+(?:for\s+|on\s+)?(?P<what>[\w-]+)", re.IGNORECASE),
    re.compile(r"\b(?P<what>[\w-]+)\s+alone\b", re.IGNORECASE),
    re.compile(
        r"\b(?:nowhere(?:\s+else)?|(?:no|any|every)\s?(?:other\s+)?(?:thing|one|targets?|locales?|languages?))\s+"
        r"(?:but|except|than|save)\s+(?:for\s+|on\s+|in\s+|at\s+)?(?P<what>[\w-]+)",
        re.IGNORECASE,
    ),
)
NO_OTHER = re.compile(r"\bno\s+other\s+(?:target|locale|language)s?\b|\bnowhere\s+else\b", re.IGNORECASE)


@dataclass(frozen=True)
class Conflict:
    """`claim` says one thing, and `others` (rows, or another claim and rows) another."""

    claim: Claim
    what: str
    other: Claim | None = None


def wanted(claim: Claim) -> int:
    """The sign of the difference that a claim speaks of."""
    return 1 if claim.predicate in ("beats", "prefers") else -1


def standing_claims(knowledge: Knowledge) -> list[Claim]:
    """Claims that still assert something: not superseded, not refuted."""
    return [c for c in knowledge.claims if knowledge.standings[c.id].status not in ("superseded", "refuted")]


def between_claims(knowledge: Knowledge) -> list[Conflict]:
    """Pairs of standing claims that cannot both hold: they say opposite things of rows which lie in the scope of both,
    or of one scope two sizes, or that a merge beats a better model and not a worse one."""
    groups: dict[object, list[Claim]] = {}
    for claim in standing_claims(knowledge):
        if claim.predicate in ("beats", *DOWN):
            groups.setdefault(claim.over, []).append(claim)
        elif claim.predicate == "prefers":
            groups.setdefault(frozenset(claim.prefer), []).append(claim)
    found: list[Conflict] = []
    for group in groups.values():
        for one, other in combinations(group, 2):
            common = both(one.scope, other.scope) if _opposed(one, other) else None
            if common is not None:
                found += _settled(knowledge, one, other, common)
            elif one.predicate == other.predicate and dict(one.scope) == dict(other.scope):
                found += _two_sizes(knowledge, one, other)
    return found + _better_not_worse(groups)


def _better_not_worse(groups: dict[object, list[Claim]]) -> list[Conflict]:
    """The best zero-shot model is the best of all, and so at least as good as the best of the sources."""
    return [
        Conflict(one, f"cannot hold beside {other.id}: of {told(one.scope)}, what beats best_zero_shot beats "
                 "best_single_source too, which is no better", other)
        for one in groups.get("best_zero_shot", ())
        for other in groups.get("best_single_source", ())
        if one.predicate == "beats" and other.predicate in DOWN
        and dict(both(one.scope, other.scope) or {"-": ()}) == dict(one.scope)
    ]  # fmt: skip


def _two_sizes(knowledge: Knowledge, one: Claim, other: Claim) -> list[Conflict]:
    """Two sizes of the same thing, further apart than the noise of their rows. Where that is unknown, nobody can say."""
    if one.value is None or other.value is None or one.unit != other.unit:
        return []
    if (dict(one.prefer), dict(one.over_scope)) != (dict(other.prefer), dict(other.over_scope)):
        return []
    noise = [_noise(knowledge, claim) for claim in (one, other)]
    apart = abs(abs(one.value) - abs(other.value))
    if None in noise or apart <= 1.96 * sum((n or 0.0) ** 2 for n in noise) ** 0.5 + (
        0.0006 if one.unit == "accuracy" else 0.06
    ):
        return []
    return [Conflict(other, f"says {other.value:g} {other.unit}, and {one.id} says {one.value:g} of the same scope, "
                     "further apart than their noise", one)]  # fmt: skip


def _noise(knowledge: Knowledge, claim: Claim) -> float | None:
    """Standard error of what a claim's rows give, in the unit of its value."""
    now = knowledge.standings[claim.id]
    if now.se_pp is None or claim.unit == "pp":
        return now.se_pp
    if claim.unit == "accuracy":
        return now.se_pp / 100
    baselines = [row.baseline for row in now.rows if row.baseline]
    return now.se_pp * len(baselines) / sum(baselines) if baselines else None


def _opposed(one: Claim, other: Claim) -> bool:
    if one.predicate == other.predicate == "prefers":
        crossed = ((one.prefer, other.over_scope), (one.over_scope, other.prefer))
        return all(set(a) == set(b) and both(a, b) is not None for a, b in crossed)
    return wanted(one) != wanted(other)


def _settled(knowledge: Knowledge, one: Claim, other: Claim, common: Scope) -> list[Conflict]:
    """Who is wrong where both apply, as the rows there say; without rows, only like scopes are a contradiction."""
    narrowed = replace(one, scope=common)
    there = differences(narrowed, knowledge.near(narrowed))
    if not there:
        if dict(common) not in (dict(one.scope), dict(other.scope)):
            return []
        return [Conflict(one, f"and {other.id} say opposite things of {told(common)}, and no row tells who is right", other)]  # fmt: skip
    mean = pooled(there).mean
    wrong, right = (other, one) if mean * wanted(one) > 0 else (one, other)
    return [Conflict(wrong, f"cannot hold beside {right.id}: of {told(common)}, where both apply, rows give "
                     f"{listed(there)}", right)]  # fmt: skip


def uncited(knowledge: Knowledge) -> list[Conflict]:
    """Standing claims against rows in their scope that they do not cite and that say the opposite, outside noise."""
    found: list[Conflict] = []
    for claim in standing_claims(knowledge):
        if claim.predicate not in ("beats", "prefers", *DOWN):
            continue
        cited = {row.measurement() for ref in claim.evidence for row in knowledge.evidence_rows(ref)}
        by_target: dict[tuple[str, str], list[Difference]] = {}
        for difference in differences(claim, knowledge.near(claim)):
            if not any(row.measurement() in cited for row in difference[2]):
                row = difference[2][0]
                by_target.setdefault((row.context, row.target), []).append(difference)
        for group in by_target.values():
            pool = pooled(group)
            outside = pool.p is not None and pool.p < 0.05
            if outside and pool.mean * wanted(claim) < 0:
                found.append(
                    Conflict(claim, f"says that this {said(claim)}, and does not cite what says the opposite, outside "
                             f"noise: {listed(group)}")
                )  # fmt: skip
    return found


def overreaching(knowledge: Knowledge) -> list[Conflict]:
    """Claims that say all, both or never where a row in scope disagrees, or only where another target does too."""
    found: list[Conflict] = []
    for claim in standing_claims(knowledge):
        if claim.predicate not in ("beats", "prefers", *DOWN):
            continue
        word = EXHAUSTIVE.search(claim.text)
        if word:
            rest = [d for d in differences(claim, knowledge.near(claim)) if d[0] * wanted(claim) <= 0]
            if rest:
                found.append(Conflict(claim, f"says {word[0]!r}, but {listed(rest)}"))
        only = next(
            (m for words in ONLY for m in words.finditer(claim.text) if _is_target(m["what"], claim)), None
        )
        only = only or (NO_OTHER.search(claim.text) if "target" in claim.scope else None)
        if only:
            found += _not_only(knowledge, claim, only[0])
    return found


def _is_target(word: str, claim: Claim) -> bool:
    names = {name.lower() for tag in claim.scope.get("target", ()) for name in (tag, locales.get(tag).name)}
    return word.lower() in names


def _not_only(knowledge: Knowledge, claim: Claim, word: str) -> list[Conflict]:
    wide = replace(claim, scope={key: v for key, v in claim.scope.items() if key != "target"})
    others = [
        d
        for d in differences(wide, knowledge.rows)
        if d[0] * wanted(claim) > 0 and d[2][0].target not in claim.scope["target"]
    ]
    return [Conflict(claim, f"says {word!r}, but so do others: {listed(others)}")] if others else []


def effects_without_gain(rows: Iterable[ResultRow]) -> Iterator[tuple[ResultRow, ResultRow]]:
    """(row against the mean of its sources, row of the same merge against the best of them), above one, below the other.

    Being above the mean is no reason to merge: the best single source is there already.
    """
    gains: dict[object, list[ResultRow]] = {}
    effects = []
    for row in rows:
        if row.status != "current":
            continue
        sources = tuple(sorted(row.sources))
        key = (
            row.context, row.target, row.mode, row.method, row.params, row.similarity, row.k, sources, row.seed
        )  # fmt: skip
        if row.baseline_kind == "best_single_source" and (row.difference_pp or 0) < 0:
            gains.setdefault(key, []).append(row)
        effect = row.difference_pp if row.baseline_kind == "source_mean" else None
        effect = row.value if row.metric == "merging_effect" else effect
        if effect is not None and effect > 0:
            effects.append((key, row))
    for key, row in effects:
        if key in gains:
            yield row, gains[key][-1]


def in_any(rows: Iterable[ResultRow], scope: Scope) -> list[ResultRow]:
    return [row for row in rows if in_scope(row, scope)]


def said(claim: Claim) -> str:
    """`beats best_single_source`, `is worth preferring to similarity=URIEL`."""
    if claim.predicate == "prefers":
        return f"is preferred: {told(claim.prefer)} over {told(claim.over_scope)}"
    return f"{claim.predicate} {claim.over}"


def told(scope: Scope) -> str:
    return " ".join(f"{key}={','.join(values)}" for key, values in scope.items()) or "anything"


def listed(found: Iterable[Difference], most: int = 3) -> str:
    """`sq-AL +0.10 pp (2026-…#r2), vi-VN +0.14 pp (…)`, the largest first."""
    ranked = sorted(found, key=lambda d: (-abs(d[0]), d[2][0].ref))
    parts = []
    for difference, _, rows in ranked[:most]:
        unit = "pp" if rows[0].is_share else "points"
        size = f"{difference:+.2f} {unit}".replace("-", "−") if abs(difference) >= 0.005 else "a tie"
        parts.append(f"{rows[0].target} {size} ({' against '.join(row.ref for row in rows)})")
    rest = len(ranked) - most
    return ", ".join(parts) + (f" and {rest} more" if rest > 0 else "")

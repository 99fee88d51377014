"""Contradictions between claims, and between claims and result rows."""

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
    """A claim that contradicts rows, or another claim and its rows."""

    claim: Claim
    what: str
    other: Claim | None = None


def wanted(claim: Claim) -> int:
    """Return the sign of the difference that a claim states."""
    return 1 if claim.predicate in ("beats", "prefers") else -1


def active_claims(knowledge: Knowledge) -> list[Claim]:
    """Return the claims that are neither superseded nor refuted."""
    return [c for c in knowledge.claims if knowledge.standings[c.id].status not in ("superseded", "refuted")]


def between_claims(knowledge: Knowledge) -> list[Conflict]:
    """Return pairs of claims that cannot both hold.

    They state opposite signs for rows in the scope of both, two sizes for one scope, or a merge that beats a better
    model and not a worse one.
    """
    groups: dict[object, list[Claim]] = {}
    for claim in active_claims(knowledge):
        if claim.predicate in ("beats", *DOWN):
            groups.setdefault(claim.over, []).append(claim)
        elif claim.predicate == "prefers":
            groups.setdefault(frozenset(claim.prefer), []).append(claim)
    conflicts: list[Conflict] = []
    for group in groups.values():
        for item, other in combinations(group, 2):
            common = both(item.scope, other.scope) if _opposed(item, other) else None
            if common is not None:
                conflicts += _settled(knowledge, item, other, common)
            elif item.predicate == other.predicate and dict(item.scope) == dict(other.scope):
                conflicts += _two_sizes(knowledge, item, other)
    return conflicts + _better_not_worse(groups)


def _better_not_worse(groups: dict[object, list[Claim]]) -> list[Conflict]:
    """Return claims that beat best_zero_shot, which is at least as good as best_single_source, but not that."""
    return [
        Conflict(item, f"contradicts {other.id}: of {scope_text(item.scope)}, what beats best_zero_shot beats "
                 "best_single_source too, which is no better", other)
        for item in groups.get("best_zero_shot", ())
        for other in groups.get("best_single_source", ())
        if item.predicate == "beats" and other.predicate in DOWN
        and dict(both(item.scope, other.scope) or {"-": ()}) == dict(item.scope)
    ]  # fmt: skip


def _two_sizes(knowledge: Knowledge, item: Claim, other: Claim) -> list[Conflict]:
    """Return a conflict where two claims state sizes of one scope further apart than their known noise."""
    if item.value is None or other.value is None or item.unit != other.unit:
        return []
    if (dict(item.prefer), dict(item.over_scope)) != (dict(other.prefer), dict(other.over_scope)):
        return []
    noise = [_noise(knowledge, claim) for claim in (item, other)]
    apart = abs(abs(item.value) - abs(other.value))
    if None in noise or apart <= 1.96 * sum((n or 0.0) ** 2 for n in noise) ** 0.5 + (
        0.0006 if item.unit == "accuracy" else 0.06
    ):
        return []
    return [Conflict(other, f"says {other.value:g} {other.unit}, and {item.id} says {item.value:g} of the same scope, "
                     "further apart than their noise", item)]  # fmt: skip


def _noise(knowledge: Knowledge, claim: Claim) -> float | None:
    """Return the standard error of a claim's pooled difference, in the unit of its value."""
    now = knowledge.standings[claim.id]
    if now.se_pp is None or claim.unit == "pp":
        return now.se_pp
    if claim.unit == "accuracy":
        return now.se_pp / 100
    baselines = [row.baseline for row in now.rows if row.baseline]
    return now.se_pp * len(baselines) / sum(baselines) if baselines else None


def _opposed(claim: Claim, other: Claim) -> bool:
    if claim.predicate == other.predicate == "prefers":
        crossed = ((claim.prefer, other.over_scope), (claim.over_scope, other.prefer))
        return all(set(a) == set(b) and both(a, b) is not None for a, b in crossed)
    return wanted(claim) != wanted(other)


def _settled(knowledge: Knowledge, claim: Claim, other: Claim, common: Scope) -> list[Conflict]:
    """Return the conflict of two opposed claims, settled by the rows where both apply.

    Without such rows, only claims of which one scope contains the other contradict each other.
    """
    narrowed = replace(claim, scope=common)
    shared = differences(narrowed, knowledge.near(narrowed))
    if not shared:
        if dict(common) not in (dict(claim.scope), dict(other.scope)):
            return []
        return [Conflict(claim, f"and {other.id} make opposite statements about {scope_text(common)}, and no row decides between them", other)]  # fmt: skip
    mean = pooled(shared).mean
    loser, winner = (other, claim) if mean * wanted(claim) > 0 else (claim, other)
    return [Conflict(loser, f"contradicts {winner.id}: of {scope_text(common)}, where both apply, rows give "
                     f"{listed(shared)}", winner)]  # fmt: skip


def uncited(knowledge: Knowledge) -> list[Conflict]:
    """Return claims with uncited rows in scope, no newer than their skill, that show the opposite outside noise.

    Newer rows are proposed as evidence by `mu skills propose`: adding an entry makes no skill wrong.
    """
    conflicts: list[Conflict] = []
    for claim in active_claims(knowledge):
        if claim.predicate not in ("beats", "prefers", *DOWN):
            continue
        updated = knowledge.skill(claim.skill).updated or "9999"
        cited = {row.measurement() for ref in claim.evidence for row in knowledge.evidence_rows(ref)}
        by_target: dict[tuple[str, str], list[Difference]] = {}
        for difference in differences(claim, knowledge.near(claim)):
            newer = all(
                row.ref[:10] > updated for row in difference[2]
            )  # the id of an entry begins with its day
            if not newer and not any(row.measurement() in cited for row in difference[2]):
                row = difference[2][0]
                by_target.setdefault((row.context, row.target), []).append(difference)
        for group in by_target.values():
            pool = pooled(group)
            outside = pool.p is not None and pool.p < 0.05
            if outside and pool.mean * wanted(claim) < 0:
                conflicts.append(
                    Conflict(claim, f"says that this {statement(claim)}, and does not cite what says the opposite, outside "
                             f"noise: {listed(group)}")
                )  # fmt: skip
    return conflicts


def overreaching(knowledge: Knowledge) -> list[Conflict]:
    """Return claims that say "all", "both" or "never" against a row in scope, or "only" against another target."""
    conflicts: list[Conflict] = []
    for claim in active_claims(knowledge):
        if claim.predicate not in ("beats", "prefers", *DOWN):
            continue
        word = EXHAUSTIVE.search(claim.text)
        if word:
            rest = [d for d in differences(claim, knowledge.near(claim)) if d[0] * wanted(claim) <= 0]
            if rest:
                conflicts.append(Conflict(claim, f"says {word[0]!r}, but {listed(rest)}"))
        only = next(
            (m for words in ONLY for m in words.finditer(claim.text) if _is_target(m["what"], claim)), None
        )
        only = only or (NO_OTHER.search(claim.text) if "target" in claim.scope else None)
        if only:
            conflicts += _not_only(knowledge, claim, only[0])
    return conflicts


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
    """Yield pairs of rows of one merge: above the mean of its sources, and below the best of them.

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
    """Return the rows that lie in a scope."""
    return [row for row in rows if in_scope(row, scope)]


def statement(claim: Claim) -> str:
    """Return what a claim states, as `beats best_single_source`."""
    if claim.predicate == "prefers":
        return f"is preferred: {scope_text(claim.prefer)} over {scope_text(claim.over_scope)}"
    return f"{claim.predicate} {claim.over}"


def scope_text(scope: Scope) -> str:
    """Return a scope as text: `target=sw-KE method=ties`."""
    return " ".join(f"{key}={','.join(values)}" for key, values in scope.items()) or "anything"


def listed(found: Iterable[Difference], most: int = 3) -> str:
    """Return differences as text, largest first: `sq-AL +0.10 pp (2026-…#r2), vi-VN +0.14 pp (…)`."""
    ranked = sorted(found, key=lambda d: (-abs(d[0]), d[2][0].ref))
    parts = []
    for difference, _, rows in ranked[:most]:
        unit = "pp" if rows[0].is_share else "points"
        size = f"{difference:+.2f} {unit}".replace("-", "−") if abs(difference) >= 0.005 else "a tie"
        parts.append(f"{rows[0].target} {size} ({' against '.join(row.ref for row in rows)})")
    rest = len(ranked) - most
    return ", ".join(parts) + (f" and {rest} more" if rest > 0 else "")

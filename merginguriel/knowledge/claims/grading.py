"""Grade of the evidence behind a claim: it starts high and drops a step for each stated reason.

After GRADE (Guyatt et al. 2008, BMJ 336:924): a reader sees not only a letter but what would have to change. The
status of a claim says whether its rows bear it out; its grade says how much that is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from merginguriel import stats
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.knowledge.parse.rows import ResultRow

from . import conditional_claims
from .claim_status import NOT_TESTED, ClaimStanding
from .pooling import Difference, differences, pooled

LEVELS = ("very low", "low", "moderate", "high")
NONE = "none"  # a refuted or superseded claim has no grade
# Kinds of baseline that the sources of a merge have no part in; of the others, only rows of the same sources share one.
SOURCELESS = ("target_alone", "majority_class", "pretrained_base", "best_zero_shot")
OLD_DAYS = 365  # a baseline older than this beside the newest row of its context may have drifted
ENOUGH_TARGETS = 3  # on which a finding repeats itself without a second seed
INCONSISTENT = (
    0.75  # share of the variance between targets that is not noise (I²), from which it is called large
)


@dataclass(frozen=True)
class Reason:
    """A reason to lower a grade by `steps`. `about` is the domain, such as `precision`."""

    about: str
    text: str
    steps: int = 1

    def as_dict(self) -> dict[str, object]:
        """Return the reason as JSON-ready data."""
        return {"about": self.about, "reason": self.text, "steps": self.steps}


@dataclass(frozen=True)
class Grade:
    """A grade: `level` is one of LEVELS, or NONE; `reasons` explain why it is not `high`."""

    level: str
    reasons: tuple[Reason, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the grade as JSON-ready data."""
        return {"level": self.level, "reasons": [reason.as_dict() for reason in self.reasons]}


def grade(claim: Claim, knowledge: Knowledge, *, context: str | None = None) -> Grade:
    """Grade the evidence of a claim.

    `context` is where it is to be used, if other than where it was measured.
    """
    now = knowledge.standings[claim.id]
    if now.status in ("superseded", "refuted"):
        return Grade(NONE, (Reason("status", f"{now.status}: {now.reason}", len(LEVELS)),))
    if now.status == "contested":
        return Grade(LEVELS[0], (Reason("status", f"contested: {now.reason}", len(LEVELS) - 1),))
    cited = [row for ref in claim.evidence for row in knowledge.evidence_rows(ref)]
    conditional = claim.predicate in ("requires", "no_signal")
    result = (conditional_claims.compared if conditional else differences)(claim, cited)
    reasons: list[Reason] = []
    if claim.predicate == "no_signal" and not now.reason.startswith(NOT_TESTED):
        # Agreement with nothing is what it claims: how surely is in its status, over how many targets in its rows.
        if now.status == "under noise":
            reasons.append(Reason("precision", now.reason, 2))
        if result:
            reasons += _replication(claim, result)
    elif result:
        reasons += _precision(now, result)
        reasons += _replication(claim, result)
        reasons += _consistency(claim, now, result)
    else:
        reasons.append(
            Reason("precision", "no comparison in the log tests it; it is read from its entries", 2)
        )
        reasons += _replication_of_rows(cited)
    rows = [row for _, _, pair in result for row in pair] or now.rows or cited
    reasons += _directness(claim, rows, context)
    reasons += _baseline(rows, knowledge)
    steps = sum(reason.steps for reason in reasons)
    return Grade(LEVELS[max(0, len(LEVELS) - 1 - steps)], tuple(reasons))


def _precision(now: ClaimStanding, result: Sequence[Difference]) -> list[Reason]:
    """Lower the grade for weak significance, from n and pairing."""
    if now.mean_pp is None or not now.se_pp:
        return [Reason("precision", "no row gives n, so its noise is unknown", 2)]
    p = pooled(result).p or 0.0
    sizes = sorted({row.n for _, _, pair in result for row in pair if row.n})
    n = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}" if sizes else "unknown"
    paired = all(row.paired or row.se_pp is not None for _, _, pair in result for row in pair)
    how = "paired" if paired and all(len(pair) == 1 for _, _, pair in result) else "unpaired"
    if now.status == "under noise":
        return [Reason("precision", f"within noise: {stats.p_text(p)} at n = {n}, {how}", 2)]
    if p > 0.01:
        return [Reason("precision", f"barely outside noise: {stats.p_text(p)} at n = {n}, {how}")]
    return []


def _replication(claim: Claim, result: Sequence[Difference]) -> list[Reason]:
    """Lower the grade for missing replication: a claim on one target needs seeds, one on many needs targets."""
    firsts = [pair[0] for _, _, pair in result]
    targets = {(row.context, row.target) for row in firsts}
    # A seed that was not recorded may be the one that was: it repeats nothing. Nor does another target's.
    seeds = {
        at: {r.seed for r in firsts if (r.context, r.target) == at and r.seed is not None} for at in targets
    }
    once = sorted(at for at in targets if len(seeds[at]) < 2)
    reasons = []
    if once and len(targets) < ENOUGH_TARGETS:
        known = {seed for at in once for seed in seeds[at] if seed is not None}
        which = (
            "the seed was not recorded" if not known else f"one seed, {', '.join(map(str, sorted(known)))}"
        )
        if len(targets) > 1:
            which += f", on {' and on '.join(target for _, target in once)}"
        reasons.append(Reason("replication", f"not repeated: {which}"))
    if len(targets) == 1 and firsts[0].target != "-" and "target" not in claim.scope:
        reasons.append(Reason("replication", f"measured on {firsts[0].target} alone, claimed of any target"))
    return reasons


def _replication_of_rows(rows: Sequence[ResultRow]) -> list[Reason]:
    return [] if rows else [Reason("replication", "its entries have no rows")]


def _consistency(claim: Claim, now: ClaimStanding, result: Sequence[Difference]) -> list[Reason]:
    """Lower the grade where targets differ in sign, or in size beyond their noise."""
    by_target: dict[tuple[str, str], list[Difference]] = {}
    for difference in result:
        row = difference[2][0]
        by_target.setdefault((row.context, row.target), []).append(difference)
    direction = 1 if claim.predicate in ("beats", "prefers", "requires") else -1
    means = {target: pooled(group).mean for (_, target), group in by_target.items()}
    against = [
        f"{target} {f'{mean:+.2f}'.replace('-', '−')} pp" if mean else f"{target} a tie"
        for target, mean in means.items()
        if mean * direction <= 0
    ]
    if against:
        return [Reason("consistency", f"not on every target: {', '.join(against[:3])}")]
    spread = pooled(result).spread
    noise = sum(pooled(group).se or 0.0 for group in by_target.values()) / len(by_target)
    if spread and spread**2 / (spread**2 + noise**2) > INCONSISTENT:
        return [Reason("consistency", f"targets differ by ± {spread:.2f} pp, far beyond their noise")]
    return []


def _directness(claim: Claim, rows: Sequence[ResultRow], context: str | None) -> list[Reason]:
    """Lower the grade where rows were measured elsewhere than the claim states or is to be used."""
    measured = {row.context for row in rows}
    if context is not None and measured and context not in measured:
        return [Reason("directness", f"measured on {', '.join(sorted(measured))}, not on {context}")]
    named = claim.scope.get("context")
    if named is None and len(measured) == 1:
        return [Reason("directness", f"measured on {next(iter(measured))} alone, claimed of any context")]
    reasons = []
    for key, seen in (("context", measured), ("target", {row.target for row in rows})):
        missing = [value for value in claim.scope.get(key, ()) if rows and value not in seen]
        if missing:
            reasons.append(Reason("directness", f"no row for {', '.join(missing)}, which it speaks of"))
    return reasons


def _baseline(rows: Sequence[ResultRow], knowledge: Knowledge) -> list[Reason]:
    """Lower the grade where the baseline has a newer value, or is old."""
    for row in rows:
        later = knowledge.baselines.get((row.context, row.target, row.baseline_kind, row.n), ())
        newer = [r for r in later if r.day > row.day and r.baseline != row.baseline and _one_baseline(r, row)]
        if row.baseline is not None and newer:
            return [Reason("baseline", f"{row.target}: {row.baseline_kind} had {100 * row.baseline:.2f}% then, "
                           f"and {100 * (newer[-1].baseline or 0):.2f}% in {newer[-1].ref}")]  # fmt: skip
    for row in rows:
        newest = knowledge.newest.get(row.context, row.day)
        days = (date.fromisoformat(newest) - date.fromisoformat(row.day)).days
        if days > OLD_DAYS:
            return [
                Reason("baseline", f"its baseline is {days} days older than the newest row of {row.context}")
            ]
    return []


def _one_baseline(row: ResultRow, other: ResultRow) -> bool:
    """Return whether two baselines of one kind are the same model; unrecorded sources count as different."""
    if row.baseline_kind in SOURCELESS:
        return True
    return bool(row.sources) and sorted(row.sources) == sorted(other.sources)

"""Status of a claim, derived from result rows on every load and never stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from merginguriel import stats
from merginguriel.knowledge.parse.claims import Claim, in_scope
from merginguriel.knowledge.parse.rows import ResultRow

from .pooling import Pool, differences, pooled

STATUSES = ("supported", "under noise", "contested", "superseded", "refuted")
NOTHING_COMPARED = "no cited row compares what it claims"
VETO_PP = 1.0  # a loss smaller than this forbids nothing
NOT_TESTED = "not tested by rows"
UNTESTED = {
    "requires": f"{NOT_TESTED}: none that it cites has a partner that is alike but for the condition",
    "no_signal": f"{NOT_TESTED}: none that it cites gives a correlation of the feature, or a comparison that the claim names",
}
DOUBTFUL = ("contested", "invalidated")  # a row's status: as it was written, or as a later entry marks it


@dataclass(frozen=True)
class ClaimStanding:
    """A claim's derived status, and why.

    `mean_pp` and `se_pp` are the pooled difference of its rows, where there is one.
    """

    status: str
    reason: str
    mean_pp: float | None = None
    se_pp: float | None = None
    rows: tuple[ResultRow, ...] = ()


def standing(
    claim: Claim, cited: Sequence[ResultRow], every: Sequence[ResultRow], corrected: Mapping[str, str]
) -> ClaimStanding:
    """Derive the status of a claim.

    Args:
        claim: The claim.
        cited: Rows that its evidence names.
        every: All rows of the log, for what the claim does not cite.
        corrected: Cited entries that a later entry supersedes without being cited → that entry's id.
    """
    from . import conditional_claims  # statuses from the cache need none of it

    if claim.superseded_by:
        return ClaimStanding("superseded", f"replaced by {claim.superseded_by}")
    doubtful = [row for row in cited if row.status in DOUBTFUL and in_scope(row, claim.scope)]
    if doubtful:
        refs = ", ".join(row.ref for row in doubtful[:3])
        return ClaimStanding("contested", f"rests on {doubtful[0].status} rows: {refs}", rows=tuple(doubtful))
    if corrected:
        old, new = next(iter(corrected.items()))
        return ClaimStanding("contested", f"{old} was corrected by {new}, which the claim does not cite")
    if (
        claim.predicate == "no_signal"
        and (correlation_status := conditional_claims.correlation(claim, cited)) is not None
    ):
        status, summary = conditional_claims.no_correlation(correlation_status)
        return ClaimStanding(status, summary, rows=correlation_status.rows)
    conditional = claim.predicate in ("requires", "no_signal")
    compare = conditional_claims.compared if conditional else differences
    result = compare(claim, cited)
    if not result and conditional:
        return ClaimStanding("under noise", UNTESTED[claim.predicate], rows=tuple(cited))
    if not result:
        return ClaimStanding("contested", NOTHING_COMPARED)
    pool = pooled(result)
    rows = tuple({row.ref: row for _, _, pair in result for row in pair}.values())
    direction = 1 if claim.predicate in ("beats", "prefers", "requires") else -1
    with_all = compare(claim, every)
    contradicted = bool(with_all) and pooled(with_all).mean * direction < 0
    summary = _said(pool, len(result), "pp" if rows[0].is_share else "points")
    p = pool.p
    if claim.predicate == "no_signal":
        status, more = conditional_claims.no_difference(result)
        if status == "supported" and conditional_claims.no_difference(with_all)[0] == "refuted":
            status, more = "contested", "uncited rows show a difference"
        summary = f"{summary}; {more}"
    elif claim.predicate == "forbids" and -VETO_PP < pool.mean < 0 and not contradicted:
        status, summary = "contested", f"{summary}; a loss below {VETO_PP:g} pp does not justify a veto"
    elif pool.mean * direction > 0 and contradicted:
        status, summary = "contested", f"{summary}; uncited rows show the opposite"
    elif pool.mean * direction > 0:
        status = "supported" if p is not None and p < 0.05 else "under noise"
    else:
        status = "refuted" if p is not None and p < 0.05 else "contested"
    return ClaimStanding(status, summary, pool.mean, pool.se, rows)


def _said(pool: Pool, comparisons: int, unit: str) -> str:
    over = f"over {comparisons} comparison{'s' * (comparisons > 1)}"
    if pool.se is None:
        text = f"{pool.mean:+.2f} {unit} {over}, but no n is given: not testable"
    else:
        p = stats.p_text(pool.p or 0.0)
        text = f"{pool.mean:+.2f} {unit} ± {pool.se:.2f} {over}, {p}"
    if pool.spread >= 0.005:
        text += f"; targets differ by ± {pool.spread:.2f} {unit}"
    return text.replace("-", "−")

"""Which rows test a claim that something is required, or tells nothing? With and without it, or its correlation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import atanh, copysign, sqrt, tanh

from .. import stats
from .claims import Claim, in_scope
from .pooling import Difference, Pool, differences, pooled
from .rows import ResultRow

FIELDS = (
    "mode",
    "method",
    "similarity",
    "k",
)  # of a row that a condition can name; anything else is a parameter
NO_DIFFERENCE_PP = 1.0  # a difference that lies within this, for sure, is none that anybody would act on
NO_CORRELATION = 0.5  # likewise a correlation
CHOOSES_SOURCES = ("mode", "similarity", "k")  # another of these is another choice of sources


def with_and_without(claim: Claim, rows: Iterable[ResultRow]) -> list[Difference]:
    """Rows that meet a claim's condition against rows that say they do not, alike in all else; of what is required.

    A row that does not say how it was made is on neither side. Of a condition in several parts, the comparisons of the
    part that stands least: all are required only if each is (intersection–union test, Berger 1982). None where a part
    has none.
    """
    inside = [row for row in rows if row.status == "current" and in_scope(row, claim.scope)]
    parts = [_without(claim, key, inside) for key in claim.condition]
    return min(parts, key=_stands) if parts and all(parts) else []


def _without(claim: Claim, key: str, inside: Sequence[ResultRow]) -> list[Difference]:
    """Rows that meet the whole condition against rows that miss this part of it alone."""
    wanted = claim.condition[key]
    found: list[Difference] = []
    for other in sorted({said for row in inside if (said := _said(row, key)) is not None} - {wanted}):
        sides = replace(
            claim,
            predicate="prefers",
            over=None,
            prefer=_scope(key, wanted),
            over_scope=_scope(key, other),
        )
        found += [
            one for one in differences(sides, inside) if _meets(claim, one[2][0]) and _alike(one[2], key)
        ]
    return found


def _meets(claim: Claim, row: ResultRow) -> bool:
    return all(_said(row, key) == wanted for key, wanted in claim.condition.items())


def _stands(found: Sequence[Difference]) -> tuple[float, float]:
    """How surely these differences are above 0, −1 … 1 (0 where their noise is not known), and their mean."""
    pool = pooled(found)
    return copysign(1 - (1.0 if pool.p is None else pool.p), pool.mean), pool.mean


def _said(row: ResultRow, key: str) -> str | None:
    if key in FIELDS:
        value = getattr(row, key)
        return None if value in (None, "-") else str(value)
    return dict(row.params).get(key)


def _scope(key: str, value: str) -> dict[str, tuple[str, ...]]:
    return {key: (value,)} if key in FIELDS else {"params": (f"{key}={value}",)}


def _alike(rows: Sequence[ResultRow], key: str) -> bool:
    """In parameters, and in sources: where a similarity chose them, other modes, similarities and k mean others."""
    one, other = rows
    chosen = key in CHOOSES_SOURCES and None not in (one.similarity, other.similarity)
    if not chosen and sorted(one.sources) != sorted(other.sources):
        return False
    mine, its = ([pair for pair in row.params if pair[0] != key] for row in rows)
    return mine == its


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ of a feature with the outcome, over `n` pairs in `rows`; low, high: its 95% interval."""

    value: float
    low: float
    high: float
    n: int
    p: float
    rows: tuple[ResultRow, ...]


def correlation(claim: Claim, rows: Iterable[ResultRow]) -> Correlation | None:
    """The correlation that the rows give of a claim's feature: metric `spearman`, and the feature as the method or as the
    parameter `feature`. Several are pooled as Fisher's z, with the variance 1.06/(n − 3) of Fieller, Hartley and Pearson
    (1957). None where no such row says how many pairs it is over.
    """
    feature = claim.condition.get("feature")
    without_method = {key: values for key, values in claim.scope.items() if key not in ("method", "target")}
    found: dict[object, ResultRow] = {}
    for row in rows:
        named = row.method == feature or dict(row.params).get("feature") == feature
        scope = without_method if row.method == feature or row.target == "-" else claim.scope
        if (
            named
            and row.metric == "spearman"
            and row.status == "current"
            and (row.n or 0) > 3
            and in_scope(row, scope)
        ):
            found.setdefault(row.measurement(), row)
    if not found:
        return None
    weights = [((row.n or 0) - 3) / 1.06 for row in found.values()]
    # A correlation of 1 has no z; half a step below it has.
    each = [atanh(max(-0.9999, min(0.9999, row.value))) for row in found.values()]
    z = sum(w * one for w, one in zip(weights, each, strict=True)) / sum(weights)
    se = 1 / sqrt(sum(weights))
    half = stats.NORMAL.inv_cdf(0.975) * se
    n = sum(row.n or 0 for row in found.values())
    return Correlation(
        tanh(z), tanh(z - half), tanh(z + half), n, stats.two_sided_p(z / se), tuple(found.values())
    )


def compared(claim: Claim, rows: Iterable[ResultRow]) -> list[Difference]:
    """The comparisons that test a claim which names a condition: of what is required, those with it and without; of a
    feature that tells nothing, what the claim says it is compared `over`, where it does."""
    if claim.predicate == "requires":
        return with_and_without(claim, rows)
    if claim.predicate == "no_signal" and (claim.over or (claim.prefer and claim.over_scope)):
        return differences(replace(claim, predicate="beats" if claim.over else "prefers"), rows)
    return []


def interval(pool: Pool) -> tuple[float, float] | None:
    """The 95% interval of a pooled difference, in pp; None where its noise is not known."""
    if not pool.se:
        return None
    # Where the spread between a few targets is part of the noise, as in `Pool.p`.
    t = (
        stats.student_inv_cdf(0.975, pool.targets - 1)
        if pool.spread and pool.targets > 1
        else stats.NORMAL.inv_cdf(0.975)
    )
    return pool.mean - t * pool.se, pool.mean + t * pool.se


def no_difference(found: Sequence[Difference]) -> tuple[str, str]:
    """How a claim stands that these comparisons show nothing: status, and what the interval says of it."""
    pool = pooled(found)
    ends = interval(pool)
    if ends is None:
        return "under noise", "no n is given, so that no difference can be excluded"
    said = f"95% {ends[0]:+.2f} … {ends[1]:+.2f} pp".replace("-", "−")
    if pool.p is not None and pool.p < 0.05:
        return "refuted", f"{said}: there is a difference"
    if max(map(abs, ends)) <= NO_DIFFERENCE_PP:
        return "supported", f"{said}: no difference of more than {NO_DIFFERENCE_PP:g} pp"
    return "under noise", f"{said}: a difference of more than {NO_DIFFERENCE_PP:g} pp is not excluded"


def no_correlation(found: Correlation) -> tuple[str, str]:
    """How a claim stands that a feature tells nothing, beside this correlation: status and reason."""
    said = f"ρ {found.value:+.2f} over {found.n} pairs, 95% {found.low:+.2f} … {found.high:+.2f}, {stats.p_text(found.p)}"
    said = said.replace("-", "−")
    if found.p < 0.05:
        return "refuted", f"{said}: it does tell something"
    if max(abs(found.low), abs(found.high)) <= NO_CORRELATION:
        return "supported", said
    return "under noise", f"{said}: one of {NO_CORRELATION:g} is not excluded"

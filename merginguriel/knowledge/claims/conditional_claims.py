"""Which rows test a claim that something is required, or tells nothing? With and without it, or its correlation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import atanh, copysign, inf, tanh

from merginguriel import stats
from merginguriel.knowledge.parse.claims import Claim, in_scope
from merginguriel.knowledge.parse.rows import ResultRow

from .pooling import Difference, Pool, differences, pooled

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
    """In all other parameters, and in sources as far as the condition does not say them."""
    mine, its = ([pair for pair in row.params if pair[0] != key] for row in rows)
    if mine != its:
        return False
    one, other = rows
    if key not in CHOOSES_SOURCES:
        return sorted(one.sources) == sorted(other.sources)
    if one.similarity and other.similarity:
        return True
    # Chosen by hand: more of the same, or the target for one of them, but not others altogether.
    a, b = ({*row.sources} - {row.target} for row in rows)
    return a <= b or b <= a


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ of a feature with the outcome, over `n` pairs of `targets`; low, high: its 95% interval.

    farthest  of all rows' own 95% intervals the one that reaches farthest from 0, with its target
    """

    value: float
    low: float
    high: float
    n: int
    p: float
    targets: int
    farthest: tuple[str, float, float]
    rows: tuple[ResultRow, ...]


def correlation(claim: Claim, rows: Iterable[ResultRow]) -> Correlation | None:
    """The correlation that the rows give of a claim's feature: metric `spearman`, and the feature as the method or as the
    parameter `feature`. Several are pooled as differences are, by target and with the spread between targets as noise, on
    the scale of Fisher's z, with the variance 1.06/(n − 3) of Fieller, Hartley and Pearson (1957): a target's own, as
    with several seeds, are of the same pairs and count once. None where no such row says how many pairs it is over.
    """
    found: dict[object, ResultRow] = {}
    for row in rows:
        if (
            row.metric == "spearman"
            and row.status == "current"
            and (row.n or 0) > 3
            and _of_feature(claim, row)
        ):
            found.setdefault(row.measurement(), row)
    if not found:
        return None
    # A correlation of 1 has no z; half a step below it has.
    each: list[Difference] = [
        (atanh(max(-0.9999, min(0.9999, row.value))), 1.06 / ((row.n or 0) - 3), (row,))
        for row in found.values()
    ]
    pool = pooled(each)
    own = [(one[2][0].target, *_ends(pooled([one]))) for one in each]
    pairs: dict[tuple[str, str], int] = {}
    for row in found.values():
        pairs[row.context, row.target] = max(row.n or 0, pairs.get((row.context, row.target), 0))
    return Correlation(
        tanh(pool.mean),
        *_ends(pool),
        n=sum(pairs.values()),
        p=1.0 if pool.p is None else pool.p,
        targets=pool.targets,
        farthest=max(own, key=lambda one: max(-one[1], one[2])),
        rows=tuple(found.values()),
    )


def _of_feature(claim: Claim, row: ResultRow) -> bool:
    """Is it of the claim's feature, and in scope? A method that is the feature, and a target that is all, have no other."""
    feature = claim.condition.get("feature")
    if row.method != feature and dict(row.params).get("feature") != feature:
        return False
    open_keys = {
        key for key, said in (("method", row.method == feature), ("target", row.target == "-")) if said
    }
    return in_scope(row, {key: values for key, values in claim.scope.items() if key not in open_keys})


def _ends(pool: Pool) -> tuple[float, float]:
    """The 95% interval of a pooled z, as correlations."""
    low, high = interval(pool) or (-inf, inf)
    return tanh(low), tanh(high)


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
    said = _minus(f"95% {ends[0]:+.2f} … {ends[1]:+.2f} pp")
    if pool.p is not None and pool.p < 0.05:
        if ends[0] <= 0 <= ends[1]:  # the mean's, which did not decide: see `Pool.p`
            return "refuted", f"each of {pool.targets} targets shows a difference beyond its own noise"
        return "refuted", f"{said}: there is a difference"
    if max(map(abs, ends)) <= NO_DIFFERENCE_PP:
        return "supported", f"{said}: no difference of more than {NO_DIFFERENCE_PP:g} pp"
    return "under noise", f"{said}: a difference of more than {NO_DIFFERENCE_PP:g} pp is not excluded"


def no_correlation(found: Correlation) -> tuple[str, str]:
    """How a claim stands that a feature tells nothing, beside this correlation: status and reason."""
    ends, p = f"95% {found.low:+.2f} … {found.high:+.2f}", stats.p_text(found.p)
    said = f"ρ {found.value:+.2f} over {found.n} pairs"
    target, low, high = found.farthest
    if found.p < 0.05 and found.low <= 0 <= found.high:
        status, said = (
            "refuted",
            f"{said}, {p}: each of {found.targets} targets shows it beyond its own noise",
        )
    elif found.p < 0.05:
        status, said = "refuted", f"{said}, {ends}, {p}: it does tell something"
    elif max(-found.low, found.high) > NO_CORRELATION:
        status, said = "under noise", f"{said}, {ends}, {p}: one of {NO_CORRELATION:g} is not excluded"
    elif max(-low, high) > NO_CORRELATION:
        status = "under noise"
        said = f"{said}, {ends}, {p}; of {target} alone {low:+.2f} … {high:+.2f}: {NO_CORRELATION:g} is not excluded"
    else:
        status, said = "supported", f"{said}, {ends}, {p}"
    return status, _minus(said)


def _minus(text: str) -> str:
    """With a true minus before numbers. A hyphen within a word, such as a target's, stays."""
    return re.sub(r"-(?=\d)", "−", text)

"""Tests of claims with a condition (`requires`, `no_signal`): comparisons with and without it, or its correlation."""

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
NO_DIFFERENCE_PP = 1.0  # a difference whose interval is within this is negligible
NO_CORRELATION = 0.5  # likewise a correlation
CHOOSES_SOURCES = ("mode", "similarity", "k")  # another of these is another choice of sources


def with_and_without(claim: Claim, rows: Iterable[ResultRow]) -> list[Difference]:
    """Compare rows that meet a claim's condition with rows that state otherwise and are alike in all else.

    A row that does not say how it was made is on neither side. Of a condition in several parts, the comparisons of the
    part that stands least: all are required only if each is (intersection–union test, Berger 1982). None where a part
    has none.
    """
    inside = [row for row in rows if row.status == "current" and in_scope(row, claim.scope)]
    parts = [_without(claim, key, inside) for key in claim.condition]
    return min(parts, key=_confidence) if parts and all(parts) else []


def _without(claim: Claim, key: str, inside: Sequence[ResultRow]) -> list[Difference]:
    """Compare rows that meet the whole condition with rows that miss this part of it alone."""
    required = claim.condition[key]
    result: list[Difference] = []
    for other in sorted({said for row in inside if (said := _value(row, key)) is not None} - {required}):
        sides = replace(
            claim, predicate="prefers", over=None, prefer=_scope(key, required), over_scope=_scope(key, other)
        )
        result += [
            difference
            for difference in differences(sides, inside)
            if _meets(claim, difference[2][0]) and _alike(difference[2], key)
        ]
    return result


def _meets(claim: Claim, row: ResultRow) -> bool:
    return all(_value(row, key) == required for key, required in claim.condition.items())


def _confidence(result: Sequence[Difference]) -> tuple[float, float]:
    """Return how sure it is that these differences are above 0 (−1 to 1; 0 without noise), and their mean."""
    pool = pooled(result)
    return copysign(1 - (1.0 if pool.p is None else pool.p), pool.mean), pool.mean


def _value(row: ResultRow, key: str) -> str | None:
    if key in FIELDS:
        value = getattr(row, key)
        return None if value in (None, "-") else str(value)
    return dict(row.params).get(key)


def _scope(key: str, value: str) -> dict[str, tuple[str, ...]]:
    return {key: (value,)} if key in FIELDS else {"params": (f"{key}={value}",)}


def _alike(rows: Sequence[ResultRow], key: str) -> bool:
    """Return whether two rows agree in all other parameters, and in sources unless the condition chooses them."""
    mine, its = ([pair for pair in row.params if pair[0] != key] for row in rows)
    if mine != its:
        return False
    item, other = rows
    if key not in CHOOSES_SOURCES:
        return sorted(item.sources) == sorted(other.sources)
    if item.similarity and other.similarity:
        return True
    # Chosen by hand: more of the same, or the target for one of them, but not others altogether.
    a, b = ({*row.sources} - {row.target} for row in rows)
    return a <= b or b <= a


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ of a feature with the outcome over `n` pairs of `targets`, with its 95% interval.

    Attributes:
        farthest: Of all rows' own 95% intervals the one that reaches farthest from 0, with its target.
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
    """Pool the correlations that the rows give of a claim's feature; None without a row that gives its n.

    Such a row has the metric `spearman` and the feature as its method or as its parameter `feature`. Rows are pooled
    as differences are, by target and with the spread between targets as noise, on the scale of Fisher's z, with the
    variance 1.06/(n − 3) of Fieller, Hartley and Pearson (1957). Several rows of one target, such as those of several
    seeds, are of the same pairs and count once.
    """
    result: dict[object, ResultRow] = {}
    for row in rows:
        if (
            row.metric == "spearman"
            and row.status == "current"
            and (row.n or 0) > 3
            and _of_feature(claim, row)
        ):
            result.setdefault(row.measurement(), row)
    if not result:
        return None
    # A correlation of 1 has no z; half a step below it has.
    each: list[Difference] = [
        (atanh(max(-0.9999, min(0.9999, row.value))), 1.06 / ((row.n or 0) - 3), (row,))
        for row in result.values()
    ]
    pool = pooled(each)
    own = [(item[2][0].target, *_ends(pooled([item]))) for item in each]
    pairs: dict[tuple[str, str], int] = {}
    for row in result.values():
        pairs[row.context, row.target] = max(row.n or 0, pairs.get((row.context, row.target), 0))
    return Correlation(
        tanh(pool.mean),
        *_ends(pool),
        n=sum(pairs.values()),
        p=1.0 if pool.p is None else pool.p,
        targets=pool.targets,
        farthest=max(own, key=lambda item: max(-item[1], item[2])),
        rows=tuple(result.values()),
    )


def _of_feature(claim: Claim, row: ResultRow) -> bool:
    """Return whether a row is about the claim's feature and in scope.

    The scope's method is not compared where the method is the feature, nor its target where the row is over all.
    """
    feature = claim.condition.get("feature")
    if row.method != feature and dict(row.params).get("feature") != feature:
        return False
    open_keys = {
        key for key, said in (("method", row.method == feature), ("target", row.target == "-")) if said
    }
    return in_scope(row, {key: values for key, values in claim.scope.items() if key not in open_keys})


def _ends(pool: Pool) -> tuple[float, float]:
    """Return the 95% interval of a pooled z, as correlations."""
    low, high = interval(pool) or (-inf, inf)
    return tanh(low), tanh(high)


def compared(claim: Claim, rows: Iterable[ResultRow]) -> list[Difference]:
    """Return the comparisons that test a claim with a condition.

    For `requires`, rows with and without it; for `no_signal`, what the claim is compared `over`, if anything.
    """
    if claim.predicate == "requires":
        return with_and_without(claim, rows)
    if claim.predicate == "no_signal" and (claim.over or (claim.prefer and claim.over_scope)):
        return differences(replace(claim, predicate="beats" if claim.over else "prefers"), rows)
    return []


def interval(pool: Pool) -> tuple[float, float] | None:
    """Return the 95% interval of a pooled difference in pp; None where its noise is unknown."""
    if not pool.se:
        return None
    # Where the spread between a few targets is part of the noise, as in `Pool.p`.
    t = (
        stats.student_inv_cdf(0.975, pool.targets - 1)
        if pool.spread and pool.targets > 1
        else stats.NORMAL.inv_cdf(0.975)
    )
    return pool.mean - t * pool.se, pool.mean + t * pool.se


def no_difference(result: Sequence[Difference]) -> tuple[str, str]:
    """Return (status, reason) of a claim that there is no difference, given these comparisons."""
    pool = pooled(result)
    ends = interval(pool)
    if ends is None:
        return "under noise", "no n is given, so that no difference can be excluded"
    text = _minus(f"95% {ends[0]:+.2f} … {ends[1]:+.2f} pp")
    if pool.p is not None and pool.p < 0.05:
        if ends[0] <= 0 <= ends[1]:  # the mean's, which did not decide: see `Pool.p`
            return "refuted", f"each of {pool.targets} targets shows a difference beyond its own noise"
        return "refuted", f"{text}: there is a difference"
    if max(map(abs, ends)) <= NO_DIFFERENCE_PP:
        return "supported", f"{text}: no difference of more than {NO_DIFFERENCE_PP:g} pp"
    return "under noise", f"{text}: a difference of more than {NO_DIFFERENCE_PP:g} pp is not excluded"


def no_correlation(result: Correlation) -> tuple[str, str]:
    """Return (status, reason) of a claim that a feature carries no signal, given this correlation."""
    ends, p = f"95% {result.low:+.2f} … {result.high:+.2f}", stats.p_text(result.p)
    text = f"ρ {result.value:+.2f} over {result.n} pairs"
    target, low, high = result.farthest
    if result.p < 0.05 and result.low <= 0 <= result.high:
        status, text = (
            "refuted",
            f"{text}, {p}: each of {result.targets} targets shows it beyond its own noise",
        )
    elif result.p < 0.05:
        status, text = "refuted", f"{text}, {ends}, {p}: it carries a signal"
    elif max(-result.low, result.high) > NO_CORRELATION:
        status, text = "under noise", f"{text}, {ends}, {p}: one of {NO_CORRELATION:g} is not excluded"
    elif max(-low, high) > NO_CORRELATION:
        status = "under noise"
        text = f"{text}, {ends}, {p}; of {target} alone {low:+.2f} … {high:+.2f}: {NO_CORRELATION:g} is not excluded"
    else:
        status, text = "supported", f"{text}, {ends}, {p}"
    return status, _minus(text)


def _minus(text: str) -> str:
    """Replace the hyphen before numbers by a minus sign; hyphens within words stay."""
    return re.sub(r"-(?=\d)", "−", text)

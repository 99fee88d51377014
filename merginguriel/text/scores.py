"""Format the scores of earlier advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import sqrt
from typing import TYPE_CHECKING, Any

from .numbers import count, interval, pp, signed
from .tables import columns

if TYPE_CHECKING:
    from merginguriel.loop.interval_width import Width
    from merginguriel.loop.ledger import Bucket, LedgerEntry, ScoredAdvice

FEW = 20  # pieces of advice below which the scores say little


def as_dict(
    asked: Sequence[LedgerEntry],
    found: Sequence[ScoredAdvice],
    buckets: Sequence[Bucket],
    every: Bucket | None,
    widths: Mapping[str, Width],
) -> dict[str, Any]:
    """Return the scores as JSON data."""
    regrets = [one.regret_pp for one in found if one.regret_pp is not None]
    return {
        "asked": len(asked),
        "scored": len(found),
        "inside90": sum(one.inside90 for one in found) / len(found) if found else None,
        "regret_pp": sum(regrets) if regrets else None,
        "decisions": len(regrets),
        "error_sd": sqrt(sum(one.z**2 for one in found) / len(found)) if found else None,
        "width": {context: one._asdict() for context, one in widths.items()},
        "all": asdict(every) if every else None,
        "buckets": [asdict(one) for one in buckets],
        "advice": [
            {
                "id": one.entry.id, "time": one.entry.time, "target": one.entry.question["target"],
                "verdict": one.entry.verdict, "mean_pp": one.entry.mean_pp, "ci90_pp": one.entry.ci90_pp,
                "p_positive": one.entry.p_positive, "gain_pp": one.gain_pp, "se_pp": one.se_pp,
                "inside90": one.inside90, "regret_pp": one.regret_pp, "refs": list(one.refs),
            }
            for one in found
        ],
    }  # fmt: skip


def render(
    asked: Sequence[LedgerEntry],
    found: Sequence[ScoredAdvice],
    buckets: Sequence[Bucket],
    every: Bucket | None,
    widths: Mapping[str, Width],
) -> str:
    """Return the scores as text: each advice, the buckets, and the sums."""
    head = f"{count(len(asked), 'advice', 'pieces of advice')} asked here, {len(found)} measured afterwards"
    if every is None:
        return f"{head}: nothing to score yet. Measure one with: mu pilot --target LOCALE --log"
    table = [["advice", "target", "verdict", "expected", "90%", "P", "measured", "in 90%", "regret"]]
    for one in found:
        a = one.entry
        regret = "-" if one.regret_pp is None else f"{one.regret_pp:.1f}"
        table.append(
            [
                a.id, a.question["target"], a.verdict, pp(a.mean_pp), interval(*a.ci90_pp), f"{a.p_positive:.2f}",
                f"{signed(one.gain_pp)} ± {one.se_pp:.1f}", "yes" if one.inside90 else "no", regret,
            ]
        )  # fmt: skip
    rows = [["P(gain > 0)", "advice", "mean P", "gained", "Brier", "log score"]]
    rows += [_cells(f"{one.low:g}–{one.high:g}", one) for one in buckets]
    rows.append(_cells("all", every))
    regrets = [one.regret_pp for one in found if one.regret_pp is not None]
    error = sqrt(sum(one.z**2 for one in found) / len(found))
    lines = [
        head,
        "",
        columns(table),
        "",
        columns(rows),
        "",
        f"90% intervals contained {sum(one.inside90 for one in found)} of {len(found)} gains; "
        f"errors are {error:.2f} of what the intervals say (1: right, above: too narrow)",
    ]
    if regrets:
        lines.append(f"regret so far {sum(regrets):.1f} pp in {count(len(regrets), 'decision')}")
    lines += [
        f"{context}: later priors are {one.factor:.2f} times as wide, from {count(one.measurements, 'measurement')}"
        for context, one in widths.items()
    ]
    if len(found) < FEW:
        lines.append(f"so few ({len(found)}) say little about calibration")
    return "\n".join(lines)


def _cells(name: str, one: Bucket) -> list[str]:
    return [
        name,
        str(one.count),
        f"{one.stated:.2f}",
        f"{one.gained:.2f}",
        f"{one.brier:.3f}",
        f"{one.log_score:.3f}",
    ]

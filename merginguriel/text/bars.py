"""What the backtest has to reach: the figure of each context, and whether it reaches the bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .numbers import signed

if TYPE_CHECKING:
    from merginguriel.decision.backtest import Backtest

COVERED = {"all": (86, 96), "similarity REAL": (85, 97), "methods that collapse": (80, 97)}
SKILL = {"other methods": 0.1, "other methods, lead unknown": 0.0}
SOURCES = {"llama3": (0.85, 0.4), "bloomz_560m": (4.5, 2.0)}  # nested settings: regret at 1, best of 3, pp
Bar = tuple[str, str, bool]  # name, figure, whether it is reached


def with_interval(found: Sequence[float]) -> str:
    """Format a figure in pp and its 95% interval."""
    return f"{signed(found[0], 2)} [{signed(found[1], 1)} … {signed(found[2], 1)}]"


def reached(done: Backtest) -> list[Bar]:
    """Return the bars of a context; none where no target was predicted."""
    policy, groups = {p.name: p for p in done.policies}, {c.name: c for c in done.left_out}
    acts = policy.get("engine: acts only where proven")
    if acts is None:
        return []
    if done.context.startswith("massive/"):
        return [("never acts without a pilot", signed(acts.gain_pp, 2), acts.gain_pp == acts.low_pp == 0)]
    found: list[Bar] = []
    if best := policy.get("best on the other targets, with ensembles"):
        ahead = best.ahead_pp
        found.append(
            (
                "first choice: 0.5 pp above the best policy on other targets",
                with_interval(ahead),
                ahead[0] >= 0.5,
            )
        )
    one = policy.get("engine: first choice, one model")
    if one and done.context == "home/e5-small":
        figure = with_interval((one.gain_pp, one.low_pp, one.high_pp))
        found.append(("first choice, one model: 4.5 pp", figure, one.gain_pp >= 4.5))
    for f in done.fission:
        name = f"{f.kind}, shared noise {'measured' if f.shared is None else f.shared}"
        more, above, stated = f.claimed_pp - f.fresh_pp, 100 * f.fresh_above, 100 * f.expected_above
        figure = with_interval((more, f.low_pp, f.high_pp))
        found.append((f"claimed − fresh within 1 pp: {name}", figure, abs(more) <= 1))
        share = f"{above:.0f}% / {stated:.0f}%"
        found.append((f"fresh gains > 0 within 4 points of P: {name}", share, abs(above - stated) <= 4))
    for name, (low, high) in COVERED.items():
        if name in groups:
            inside = 100 * groups[name].coverage[2]
            found.append((f"90% intervals, {name}: {low}–{high}%", f"{inside:.0f}%", low <= inside <= high))
    for name, least in SKILL.items():
        skill = groups[name].brier_skill if name in groups else None
        if skill is not None:
            found.append((f"Brier skill of {name}: {least:g}", signed(skill, 2), skill >= least))
    skill = done.permuted.brier_skill
    found += [("permuted outcomes: no skill", signed(skill, 2), skill <= 0)] if skill is not None else []
    for p in done.pilots:
        before, after = p.regret_pp
        less = 100 * p.more_pp[0] / before if before > 0 else 0.0
        figure = f"{signed(less, 0)}% ({before:.2f} → {after:.2f} pp)"
        found.append((f"pilots, at most {p.labels} labels: 15% less regret", figure, less >= 15))
        figure = f"{with_interval(p.more_pp)}; {100 * p.surely_harmed:.0f}%"
        found.append((f"pilots, at most {p.labels} labels: no harm in the mean, sure harm on no target", figure,
                      p.more_pp[0] >= 0 == p.surely_harmed))  # fmt: skip
    return found


def table(contexts: Sequence[Backtest]) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    """Return title, heads and rows: a bar a row, a context a column."""
    found = [
        {name: f"{figure}: {'met' if met else 'MISSED'}" for name, figure, met in reached(one)}
        for one in contexts
    ]
    names = dict.fromkeys(name for one in found for name in one)
    rows = [(name, *(one.get(name, "–") for one in found)) for name in names]
    return "Bars", ("bar", *(one.context for one in contexts)), rows

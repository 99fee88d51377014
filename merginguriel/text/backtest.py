"""Tables of a backtest, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .numbers import signed

if TYPE_CHECKING:
    from merginguriel.decision.backtest import Backtest, Backtests

FIRST = "engine: first choice, with ensembles"
Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # title, heads, rows


def tables(done: Backtest) -> list[Table]:
    """Return the tables of one context."""
    policies = [
        (p.name, str(p.targets), f"{signed(p.gain_pp, 2)} [{signed(p.low_pp, 1)} … {signed(p.high_pp, 1)}]",
         f"{p.regret_pp:.2f}", f"{p.p90_regret_pp:.1f}",
         "" if p.name == FIRST else f"{signed(p.ahead_pp[0], 2)} [{signed(p.ahead_pp[1], 1)} … {signed(p.ahead_pp[2], 1)}]")
        for p in sorted(done.policies, key=lambda p: -p.gain_pp)
    ]  # fmt: skip
    groups = [*done.left_out, *(c for c in (done.other_contexts, done.in_time, done.permuted) if c)]
    calibrated = [
        (c.name, str(c.predictions), str(c.targets), " / ".join(f"{100 * x:.0f}" for x in c.coverage),
         "–" if c.brier_skill is None else signed(c.brier_skill, 2), f"{c.mean_error_pp:.1f}")
        for c in groups
    ]  # fmt: skip
    pilots = [
        (str(p.labels), str(p.targets), signed(p.before_pp, 2),
         f"{signed(p.more_pp[0], 2)} [{signed(p.more_pp[1], 1)} … {signed(p.more_pp[2], 1)}]",
         f"{p.regret_pp[0]:.2f} / {p.regret_pp[1]:.2f}", f"{p.hindsight_pp:.2f}", f"{100 * p.harmed:.0f}% / {100 * p.surely_harmed:.0f}%")
        for p in done.pilots
    ]  # fmt: skip
    fission = [
        (f.kind, "measured" if f.shared is None else f"{f.shared:g}", str(f.verdicts), f"{f.claimed_pp:.2f}", f"{f.fresh_pp:.2f}",
         f"{signed(f.claimed_pp - f.fresh_pp, 2)} [{signed(f.low_pp, 1)} … {signed(f.high_pp, 1)}]",
         f"{100 * f.fresh_above:.0f}% / {100 * f.expected_above:.0f}%")
        for f in done.fission
        if f.verdicts
    ]  # fmt: skip
    return [
        (
            "Realised gain, each target left out as target and as source",
            ("policy", "targets", "gain pp [95%]", "regret", "P90 regret", "first choice − policy"),
            policies,
        ),
        (
            "Intervals and P(gain > 0)",
            ("predictions", "gains", "targets", "inside 50/80/90%", "Brier skill", "mean error pp"),
            calibrated,
        ),
        (
            "Verdicts on measured targets, judged by fresh halves of the information",
            ("arms", "shared noise", "verdicts", "claimed pp", "fresh pp", "difference [95%]", "fresh > 0 / expected"),
            fission,
        ),
        (
            "Pilots on kept items of targets left out, judged by the other items",
            ("labels at most", "targets", "first choice, pp", "more after the pilot [95%]", "regret before / after", "before, in hindsight", "less / surely less"),
            pilots,
        ),
    ]  # fmt: skip


def heading(done: Backtest) -> str:
    """Return the context, its size, and what was left out."""
    less = f", without {', '.join(done.without)}" if done.without else ""
    return f"{done.context}{less}: {done.gains} gains, policies compared on {len(done.targets)} targets"


def of_sources(done: Backtests) -> Table:
    """Return the table of ways to rank sources."""
    rows = [
        (score.model, score.how, f"{score.regret_pp:.2f}", f"{score.best_of_three_pp:.2f}")
        for score in done.sources
    ]
    return "Sources without a measured column", ("model", "ranked by", "regret@1 pp", "best of 3 pp"), rows


def render(done: Backtests) -> str:
    """Return all tables as text."""
    blocks = []
    for one in done.contexts:
        blocks.append(heading(one))
        blocks += [_text(table) for table in tables(one) if table[2]]
    if done.sources:
        blocks.append(_text(of_sources(done)))
    return "\n\n".join(blocks)


def _text(table: Table) -> str:
    title, heads, rows = table
    widths = [max(len(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in (heads, *rows)
    ]
    return "\n".join([title, *(line.rstrip() for line in lines)])


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    _, heads, rows = table
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

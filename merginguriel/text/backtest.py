"""Tables of a backtest, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import bars
from .bars import with_interval
from .numbers import signed

if TYPE_CHECKING:
    from merginguriel.decision.backtest import Backtest, Backtests

FIRST = "engine: first choice, with ensembles"
Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # title, heads, rows


def tables(done: Backtest) -> list[Table]:
    """Return the tables of one context."""
    policies = [
        (p.name, str(p.targets), with_interval((p.gain_pp, p.low_pp, p.high_pp)), f"{p.regret_pp:.2f}",
         f"{p.p90_regret_pp:.1f}", "" if p.name == FIRST else with_interval(p.ahead_pp))
        for p in sorted(done.policies, key=lambda p: -p.gain_pp)
    ]  # fmt: skip
    groups = [*done.left_out, *(c for c in (done.other_contexts, done.in_time, done.permuted) if c)]
    calibrated = [
        (c.name, str(c.predictions), str(c.targets), " / ".join(f"{100 * x:.0f}" for x in c.coverage),
         "–" if c.brier_skill is None else signed(c.brier_skill, 2), f"{c.mean_error_pp:.1f}")
        for c in groups
    ]  # fmt: skip
    pilots = [
        (str(p.labels), str(p.targets), signed(p.before_pp, 2), with_interval(p.more_pp),
         f"{p.regret_pp[0]:.2f} / {p.regret_pp[1]:.2f}", f"{p.hindsight_pp:.2f}", f"{100 * p.harmed:.0f}% / {100 * p.surely_harmed:.0f}%")
        for p in done.pilots
    ]  # fmt: skip
    fission = [
        (f.kind, "measured" if f.shared is None else f"{f.shared:g}", str(f.verdicts), f"{f.claimed_pp:.2f}", f"{f.fresh_pp:.2f}",
         with_interval((f.claimed_pp - f.fresh_pp, f.low_pp, f.high_pp)),
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
    """Return the table of ways to rank sources, with their bars where those are stated."""
    rows = []
    for score in done.sources:
        reached = (score.regret_pp, score.best_of_three_pp)
        least = bars.SOURCES.get(score.model, reached) if "nested" in score.how else reached
        figures = (
            f"{x:.2f}{'' if x <= bar else f' (bar {bar:.2f}: MISSED)'}"
            for x, bar in zip(reached, least, strict=True)
        )
        rows.append((score.model, score.how, *figures))
    return "Sources without a measured column", ("model", "ranked by", "regret@1 pp", "best of 3 pp"), rows


def render(done: Backtests) -> str:
    """Return all tables as text."""
    blocks = []
    for one in done.contexts:
        blocks.append(heading(one))
        blocks += [_text(table) for table in tables(one) if table[2]]
    if done.sources:
        blocks.append(_text(of_sources(done)))
    return "\n\n".join([*blocks, _text(bars.table(done.contexts))])


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

"""Comparison of runs as text: differing settings, paired intervals, bars per locale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from merginguriel.metrics.registry import find
from merginguriel.text.runs import setting
from merginguriel.text.tables import plain, true_minus

from .plots import bar, span

if TYPE_CHECKING:
    from merginguriel.report.flipped import Flips, RankChange
    from merginguriel.report.run_comparison import Against, LocaleScore, Seeds

MOST = 40  # sentences and labels shown
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letter(number: int) -> str:
    """Return a short name for a run: A, B, C ..."""
    return LETTERS[number] if number < len(LETTERS) else str(number + 1)


def heading(text: str) -> Text:
    """Return a heading with an empty line above."""
    return Text("\n").append(f"{text}\n", "bold underline")


def differing(result: Sequence[Against]) -> Text:
    """List the runs with their letters, and the settings that differ."""
    out = Text()
    for number, one in enumerate(result):
        out.append(f" {letter(number)}  ", "bold")
        out.append(plain(one.name))
        recipe = one.file is not None and ":" not in one.file
        out.append(f"  recipe of {one.run}\n" if recipe else "\n", "dim")
    out.append_text(heading("What differs"))
    keys = sorted({key for one in result for key in one.settings})
    if not keys:
        return out.append(" no settings\n", "dim")
    table = [["", *(letter(i) for i in range(len(result)))]]
    table += [[key, *(plain(setting(one.settings.get(key))) for one in result)] for key in keys]
    return out.append_text(aligned(table))


def aligned(table: Sequence[Sequence[str]], most: int = 36) -> Text:
    """Align columns, the first row as heading; cut cells longer than `most`."""
    cut = [[cell if len(cell) <= most else cell[: most - 1] + "…" for cell in row] for row in table]
    widths = [max(len(row[i]) for row in cut) for i in range(len(cut[0]))]
    out = Text()
    for number, row in enumerate(cut):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.append(f" {line.rstrip()}\n", "bold" if number == 0 else "")
    return out


def paired(result: Sequence[Against], width: int) -> Text:
    """Show each run against the first: difference and 95% interval, p value, and the interval on a shared scale."""
    from merginguriel.text.differences import number as signed
    from merginguriel.text.differences import p_number

    known = [one.found for one in result if one.found is not None]
    points = known[0].points if known else "pp"
    out = heading(f"Against {letter(0)}, item by item ({points}, 95%)")
    ends = [end for c in known if c.se is not None for end in (c.interval.low, c.interval.high)]
    least, most = min([0.0, *ends]), max([0.0, *ends])
    for place, one in enumerate(result):
        value = "–" if one.value is None else one.show(one.value)
        out.append(f" {letter(place)}  ", "bold")
        out.append(f"{value:>7}  ")
        c = one.found
        if c is None:
            reason = one.why or "the first"
            out.append(plain(f"{reason}: {one.command}\n" if one.missing else f"{reason}\n"), "dim")
            continue
        p = c.trusted_p
        verdict = ("▲ above" if c.difference > 0 else "▼ below") if c.significant else "≈ within noise"
        out.append(f"{signed(c.difference):>6}  {signed(c.interval.low):>6} … {signed(c.interval.high):<6} ")
        out.append(f"p {p_number(p):<8} n {c.n:<6}")
        out.append(f"{verdict:<15}", "bold" if c.significant else "")
        if width > 86 and c.se is not None:
            cells = min(width - 78, 50)
            out.append(span(c.interval.low, c.difference, c.interval.high, least, most, cells))
        out.append("\n")
    if width > 86 and ends:
        # The ends of the scale.
        cells, high = min(width - 78, 50), f"{signed(most)} {points}"
        out.append(" " * 71 + f"{signed(least)} ┊ 0".ljust(cells - len(high)) + f"{high}\n", "dim")
    return out


def locales(result: Sequence[Against], width: int) -> Text:
    """Draw a bar for every run on every locale, with the 95% interval of its value."""
    of_pairs = any(each.found or one.metric == "ndcg_at_10" for one in result for each in one.bars)
    out = heading(
        "NDCG@10 by direction of search: language of the queries, of the documents"
        if of_pairs
        else "By locale"
    )
    from merginguriel.text.differences import number as signed

    by: dict[str, list[tuple[int, LocaleScore]]] = {}
    for place, one in enumerate(result):
        for each in one.bars:
            by.setdefault(each.locale, []).append((place, each))
    if not by:
        return out.append(" no scores\n", "dim")
    cells = min(max(width - 48, 10), 60)
    for locale in sorted(by):
        for first, (place, each) in enumerate(by[locale]):
            out.append(f" {plain(locale) if not first else '':<7} ")
            out.append(f"{letter(place)} ", "bold")
            value, low, high, n = each.value, each.low, each.high, each.n
            out.append(bar(value, cells), "cyan")
            unit = find(result[place].metric).unit
            out.append(f"▏{unit.show(value):>7}")
            if low is not None and high is not None:
                out.append(f"  {unit.span(low, high)}", "dim")
            out.append(f"  n {n:,}" if n else "", "dim")
            if c := each.found:
                sign = ("▲" if c.difference > 0 else "▼") if c.significant else "≈"
                low_high = f"{signed(c.interval.low)} … {signed(c.interval.high)}"
                out.append(f"  {sign} {signed(c.difference)} {c.points}, {low_high}")
            out.append("\n")
    return out


def over_seeds(result: Sequence[Against], groups: Sequence[Seeds]) -> Text:
    """Show runs that differ by their seed alone as one group; empty if there are none."""
    if not groups:
        return Text()
    from merginguriel.text.differences import difference_words

    names = {one.run: letter(place) for place, one in enumerate(result)}
    out = heading("Seeds together")
    for place, one in enumerate(groups):
        out.append(f" {' '.join(names[run] for run in one.runs)}  ", "bold")
        if one.mean is not None and one.low is not None and one.high is not None:
            unit = find(one.metric).unit
            out.append(f"mean {unit.show(one.mean)}  {unit.span(one.low, one.high, 2)}  ")
        text = (
            difference_words(one.found)
            if one.found
            else "fewer than two seeds in common"
            if place
            else "the first"
        )
        out.append(f"{text}\n")
    return out


def ranked(changes: Sequence[RankChange], queries: int, width: int) -> Text:
    """List the queries whose document changes its rank most between the first two models."""
    gained = sum(one.change > 0 for one in changes)
    out = heading(
        f"Queries: B ranks the document of {gained} higher, A that of {len(changes) - gained}, of {queries:,}"
    )
    for one in changes[:MOST]:
        first, second = (f"{rank:.3g}" if rank <= 10 else ">10" for rank in (one.first, one.second))
        out.append(" + " if one.change > 0 else " − ", "bold").append(f"rank {first:>4} → {second:<4} ")
        out.append(f"{plain(one.direction):<6} ", "dim").append(f"{plain(one.text)[: max(width - 30, 20)]}\n")
    return out


def flipped(found: Flips, width: int) -> Text:
    """List the labels that change most, and the sentences that only one of the first two merges answers correctly."""
    if found.queries:
        return ranked(found.ranks, found.queries, width)
    flips, counts = found.items, found.labels
    changed = [count for count in counts if count.change]
    out = heading(f"By label, B − A: {len(changed)} of {len(counts)} change")
    table = [["label", "n", "A", "B", "B − A"]]
    table += [
        [c.label, str(c.n), str(c.first), str(c.second), true_minus(f"{c.change:+d}")] for c in changed[:MOST]
    ]
    out.append_text(aligned(table))
    gained = sum(flip.gained for flip in flips)
    out.append_text(
        heading(f"Sentences: {gained} that only B answers correctly, {len(flips) - gained} that only A does")
    )
    room = max(width - 26, 20)
    for sign, one in (("+", True), ("−", False)):
        for flip in [flip for flip in flips if flip.gained == one][: MOST // 2]:
            text = plain(flip.text or flip.id)
            text = text if len(text) <= room else text[: room - 1] + "…"
            out.append(f" {sign} ", "bold").append(f"{plain(flip.label):<20.20} ", "dim").append(
                f"{text}\n", "not dim not bold"
            )
    return out

"""Comparison of runs as text: differing settings, paired intervals, bars per locale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from merginguriel.text.runs import setting
from merginguriel.text.tables import plain

from .plots import bar, span

if TYPE_CHECKING:
    from merginguriel.report.run_comparison import Against, Bar, Seeds

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
    for number, item in enumerate(result):
        out.append(f" {letter(number)}  ", "bold")
        out.append(plain(item.name))
        out.append("\n" if item.file is None else f"  recipe of {item.run}\n", "dim")
    out.append_text(heading("What differs"))
    keys = sorted({key for item in result for key in item.settings})
    if not keys:
        return out.append(" no settings\n", "dim")
    table = [["", *(letter(i) for i in range(len(result)))]]
    table += [[key, *(plain(setting(item.settings.get(key))) for item in result)] for key in keys]
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
    """Show each run against the first: difference and 95% interval in pp, p value, and the interval on a shared scale."""
    from merginguriel.text.differences import number as signed
    from merginguriel.text.differences import p_number

    out = heading(f"Against {letter(0)}, item by item (pp, 95%)")
    known = [item.found for item in result if item.found is not None]
    ends = [end for c in known if c.se is not None for end in (c.interval.low, c.interval.high)]
    least, most = min([0.0, *ends]), max([0.0, *ends])
    for index, item in enumerate(result):
        value = "–" if item.accuracy is None else f"{100 * item.accuracy:.2f}%"
        out.append(f" {letter(index)}  ", "bold")
        out.append(f"{value:>7}  ")
        c = item.found
        if c is None:
            reason = item.why or "the first"
            out.append(plain(f"{reason}: {item.command}\n" if item.missing else f"{reason}\n"), "dim")
            continue
        p = c.p if c.p_groups is None else c.p_groups
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
        cells, high = min(width - 78, 50), f"{signed(most)} pp"
        out.append(" " * 71 + f"{signed(least)} ┊ 0".ljust(cells - len(high)) + f"{high}\n", "dim")
    return out


def locales(result: Sequence[Against], width: int) -> Text:
    """Draw a bar for every run on every locale, with the 95% interval of its accuracy."""
    out = heading("By locale")
    by: dict[str, list[tuple[int, Bar]]] = {}
    for index, item in enumerate(result):
        for each in item.bars:
            by.setdefault(each.locale, []).append((index, each))
    if not by:
        return out.append(" no scores\n", "dim")
    cells = min(max(width - 48, 10), 60)
    for locale in sorted(by):
        for first, (index, each) in enumerate(by[locale]):
            out.append(f" {plain(locale) if not first else '':<7} ")
            out.append(f"{letter(index)} ", "bold")
            value, low, high, n = each.value, each.low, each.high, each.n
            out.append(bar(value, cells), "cyan")
            out.append(f"▏{100 * value:6.2f}%")
            if low is not None and high is not None:
                out.append(f"  {100 * low:.1f} … {100 * high:.1f}", "dim")
            out.append(f"  n {n:,}\n" if n else "\n", "dim")
    return out


def over_seeds(result: Sequence[Against], groups: Sequence[Seeds]) -> Text:
    """Show runs that differ by their seed alone as one group; empty if there are none."""
    if not groups:
        return Text()
    from merginguriel.text.differences import difference_words

    names = {item.run: letter(index) for index, item in enumerate(result)}
    out = heading("Seeds together")
    for index, group in enumerate(groups):
        out.append(f" {' '.join(names[run] for run in group.runs)}  ", "bold")
        if group.mean is not None and group.low is not None and group.high is not None:
            out.append(f"mean {100 * group.mean:.2f}%  {100 * group.low:.2f} … {100 * group.high:.2f}  ")
        text = (
            difference_words(group.found)
            if group.found
            else "fewer than two seeds in common"
            if index
            else "the first"
        )
        out.append(f"{text}\n")
    return out

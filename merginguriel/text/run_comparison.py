"""How is a comparison of runs and recipes laid out? Tables of text, whose first row is the heading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .runs import setting

if TYPE_CHECKING:
    from merginguriel.report.run_comparison import Against, Seeds


def against_table(found: Sequence[Against]) -> list[list[str]]:
    """Runs with what tells them apart, and against the first; the first row is the heading."""
    from merginguriel.study.results import words

    keys = sorted({key for one in found for key in one.settings})
    table = [["run", *keys, "accuracy", "against the first"]]
    for number, one in enumerate(found):
        said = words(one.found) if one.found else one.why if number else ""
        value = "" if one.accuracy is None else f"{100 * one.accuracy:.2f}%"
        if one.missing:
            value, said = one.missing, one.command or ""
        table.append([one.name, *(setting(one.settings.get(key)) for key in keys), value, said])
    return table


def seeds_table(seeds: Sequence[Seeds]) -> list[list[str]]:
    """Runs that differ by their seed alone, together; the first row is the heading."""
    from .differences import difference_words

    keys = sorted({key for one in seeds for key in one.settings})
    table = [["seeds", *keys, "mean", "lowest … highest", "against the first, over seeds"]]
    for number, one in enumerate(seeds):
        known = one.mean is not None and one.low is not None and one.high is not None
        mean = f"{100 * one.mean:.2f}%" if one.mean is not None else ""
        span = f"{100 * (one.low or 0):.2f} … {100 * (one.high or 0):.2f}" if known else ""
        said = (
            difference_words(one.found) if one.found else "fewer than two seeds in common" if number else ""
        )
        row = [str(len(one.runs)), *(setting(one.settings.get(key)) for key in keys), mean, span, said]
        table.append(row)
    return table

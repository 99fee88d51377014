"""Format numbers: signs, units, percentages, p values, intervals, counts and lists of names."""

from __future__ import annotations

from collections.abc import Sequence


def signed(x: float, digits: int = 1) -> str:
    """Format a number with its sign and a true minus: `−1.6`. Never `−0.0`."""
    text = f"{x:+.{digits}f}"
    return (text.replace("-", "+") if float(text) == 0 else text).replace("-", "−")


def pp(x: float, digits: int = 1, unit: str = "pp") -> str:
    """Format a difference, in percentage points or in the metric's own points: `−1.6 pp`, `−1.6 pt`."""
    return f"{signed(x, digits)} {unit}"


def percent(x: float, digits: int = 2) -> str:
    """Format a fraction as percent: `46.70%` for 0.467."""
    return f"{100 * x:.{digits}f}%"


def p_value(p: float) -> str:
    """Format a p value: `p 0.140`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def interval(low: float, high: float, digits: int = 1) -> str:
    """Format an interval by its ends: `−0.4 … +2.8`."""
    return f"{signed(low, digits)} … {signed(high, digits)}"


def count(n: int, word: str, many: str = "") -> str:
    """Format a number of things: `1 row`, `3 rows`, `1,048 entries`.

    Args:
        many: The plural, where it is not formed like that of `row`, `entry` or `class`.
    """
    if word[-1] == "y" and word[-2] not in "aeiou":
        usual = f"{word[:-1]}ies"
    else:
        usual = f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"
    return f"{n:,} {word if n == 1 else many or usual}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Join names: `a, b and c`; beyond `most`, the first ones and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 2 else names)

"""How is a number of the advice written? With a sign, a true minus and its unit."""

from __future__ import annotations


def signed(x: float, digits: int = 1) -> str:
    """`−1.6`"""
    return f"{x:+.{digits}f}".replace("-", "−")


def pp(x: float, digits: int = 1) -> str:
    """`−1.6 pp`"""
    return f"{signed(x, digits)} pp"


def count(n: int, name: str) -> str:
    """`1 row`, `3 rows`"""
    return f"{n:,} {name}{'s' * (n != 1)}"


def percent(x: float) -> str:
    """`46.70%` for 0.467"""
    return f"{100 * x:.2f}%"

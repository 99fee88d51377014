"""Suggest known names for one that is misspelled."""

from __future__ import annotations

from collections.abc import Iterable


def close(word: str, choices: Iterable[str], *, n: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return up to `n` of `choices` that resemble `word`, most similar first; case is ignored.

    Args:
        cutoff: Least similarity, from 0 (anything) to 1 (equal but for case), as `difflib` measures it.
    """
    from difflib import get_close_matches

    folded: dict[str, str] = {}
    for choice in sorted(choices):
        folded.setdefault(choice.casefold(), choice)
    return [folded[name] for name in get_close_matches(word.casefold(), folded, n=n, cutoff=cutoff)]


def suggest(word: str, choices: Iterable[str], *, n: int = 3, cutoff: float = 0.6) -> str:
    """Return "Did you mean A or B?" for the closest of `choices`; "" if none resembles `word`."""
    return did_you_mean(close(word, choices, n=n, cutoff=cutoff))


def did_you_mean(names: Iterable[str]) -> str:
    """Return the question for names that were chosen already; "" for none."""
    joined = " or ".join(names)
    return f"Did you mean {joined}?" if joined else ""

"""Match a pasted error against the patterns of Troubleshooting entries."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.troubleshooting import LONGEST, Pattern

ENOUGH = 0.6  # share of a pattern's words (weighted by rarity) that must match

_WORD = re.compile(r"[A-Za-z_][\w.]+")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:[.,_]\d+)*")


def match_error(text: str, knowledge: Knowledge) -> list[tuple[Entry, float]]:
    """Return (entry, score from 0 to 1) of the Troubleshooting entries whose error `text` shows, best first.

    A pattern that stands in the text scores 0.9 and more, the longer the more; one that stands there with other paths
    and numbers 0.85; one of whose words most are there, in proportion to them (rare words count for more) and at most
    0.8. What is superseded is left out.
    """
    known = {
        e.id: e.trouble.patterns for e in knowledge.entries if e.trouble and e.id not in knowledge.superseders
    }
    return [(knowledge.by_entry[name], score) for name, score in match(text, known)]


def match(text: str, known: Mapping[str, Sequence[Pattern]]) -> list[tuple[str, float]]:
    """Return (name, score) of the known errors that `text` shows, scored as by `match_error`."""
    if not known or not text.strip():
        return []
    lines = [line[: 4 * LONGEST] for line in text.splitlines()]
    flat = _flat(" ".join(lines))
    pasted = _Pasted(lines, flat, _general(flat), frozenset(_words(_general(flat))))
    spread = Counter(word for patterns in known.values() for word in _vocabulary(patterns))
    result = []
    for name, patterns in known.items():
        score = max((_score(p, pasted, spread, len(known)) for p in patterns), default=0.0)
        if score > 0:
            result.append((name, round(score, 3)))
    return sorted(result, key=lambda pair: (-pair[1], pair[0]))


@dataclass(frozen=True)
class _Pasted:
    """A pasted text: by line, on one line, without paths and numbers, and as words."""

    lines: Sequence[str]
    flat: str
    general: str
    words: frozenset[str]


def _vocabulary(patterns: Iterable[Pattern]) -> set[str]:
    return {word for pattern in patterns for word in _words(_general(_flat(pattern.text)))}


def _score(pattern: Pattern, pasted: _Pasted, spread: Counter[str], entries: int) -> float:
    if pattern.regex:
        compiled = _compiled(pattern.text)
        hit = any(compiled.search(line) for line in pasted.lines)
    else:
        hit = _flat(pattern.text) in pasted.flat
    if hit:
        return 0.9 + 0.1 * min(1.0, len(pattern.text) / 80)
    general = _general(_flat(pattern.text))
    own = set(_words(general))
    if pattern.regex or len(own) < 3:
        return 0.0
    if general in pasted.general:
        return 0.85
    weight = {word: log(1 + entries / spread[word]) for word in own}
    share = sum(weight[word] for word in own & pasted.words) / sum(weight.values())
    return 0.8 * share if share >= ENOUGH else 0.0


def _general(flat: str) -> str:
    """Replace paths and numbers: `/home/ann/a.bin has 60 rows` → `/ has # rows`."""
    return " ".join("/" if "/" in w or "\\" in w else _NUMBER.sub("#", w) for w in flat.split())


def _flat(text: str) -> str:
    return " ".join(text.lower().split())


def _words(text: str) -> list[str]:
    return [word.strip(".") for word in _WORD.findall(text.lower())]


@lru_cache(maxsize=512)
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)

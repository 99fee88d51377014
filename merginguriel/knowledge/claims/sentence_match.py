"""Recognise a sentence that repeats a claim, by its words in order without their endings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from merginguriel import locales
from merginguriel.knowledge.parse.claims import Claim

ALIKE = 0.8  # share of a claim's words that the sentence has in the same order
FEWEST = 4  # words below which a likeness is chance

_WORD = re.compile(r"[a-z]{2,3}-(?:[A-Z][a-z]{3}-)?[A-Z]{2}\b|[^\W\d_]+|\d+(?:\.\d+)?")
_ENDINGS = ("ing", "ed", "es", "s")
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "a an the of on in for to and or is are was were be by as at it its that this than with from which any has have "
        "if do does did one s",
    )
)
_NAMES = ["two", "three", "four", "five", "six", "seven", "eight", "ten"]
NUMBERS = dict(zip(_NAMES, ["2", "3", "4", "5", "6", "7", "8", "10"], strict=True))
# A sentence that withdraws or denies a statement may repeat it.
_DENIAL = re.compile(
    r"\b(?:withdr[ae]wn?|superseded|refuted|disproved?|wrong|false|untrue|no longer|not|never|no|cannot|nor|earlier|"
    r"instead|contested|invalid(?:ated)?|used to|was thought|old rule|in place of)\b|n't\b",
    re.IGNORECASE,
)
_STRONG = frozenset(("only", "alway", "never", "must", "all", "every", "each", "both"))
_CITED = re.compile(r"`[^`\n]*`|\"[^\"\n]{0,300}\"|“[^”]{0,300}”")


@cache
def words(text: str) -> tuple[str, ...]:
    """Return stemmed words: `Merges gain on sw-KE` → ('merg', 'gain', 'swahili')."""
    known = locales.table()
    result = []
    for word in _WORD.findall(text):
        if word in known:
            word = known[word].name
        word = word.lower()
        if word in _SMALL:
            continue
        word = NUMBERS.get(word, word)
        ending = next((e for e in _ENDINGS if word.endswith(e) and len(word) - len(e) >= 3), "")
        result.append(word[: len(word) - len(ending)].rstrip("e") or word)
    return tuple(result)


def without_quotes(text: str) -> str:
    """Return the text without quotations and code."""
    return _CITED.sub(" ", text)


def takes_back(text: str) -> bool:
    """Return whether a sentence denies or withdraws a statement."""
    return bool(_DENIAL.search(text))


class Index:
    """Claims indexed by their words, to be compared with many sentences.

    A sentence that says ALIKE of a claim's words again leaves out the rest at most, so it has one of any that are one more
    than the rest: a claim stands under as many of its words, those that fewest claims have (Chaudhuri et al. 2006, the
    prefix filter). Sentences that share none of these are never compared.
    """

    def __init__(self, claims: Iterable[Claim]) -> None:
        self.claims = [(claim, words(claim.text)) for claim in claims]
        self.own = [frozenset(text) for _, text in self.claims]
        languages = {name for locale in locales.table().values() for name in words(locale.name)}
        # A sentence about another language, or without the strong word, is another statement.
        self.needed = [languages.union(_STRONG).intersection(text) for _, text in self.claims]
        frequency = Counter(word for own in self.own for word in own)
        self.by_word: dict[str, list[int]] = {}
        for i, (_, text) in enumerate(self.claims):
            if len(text) < FEWEST:
                continue
            rarest = sorted(self.own[i], key=lambda word: (frequency[word], word))
            for word in rarest[: len(rarest) - _enough(len(rarest)) + 1]:
                self.by_word.setdefault(word, []).append(i)

    def alike(self, text: str) -> list[tuple[float, Claim]]:
        """Return (likeness from ALIKE to 1, claim) of the claims that `text` repeats, most similar first."""
        terms = words(text)
        every = frozenset(terms)
        possible = {i for word in every for i in self.by_word.get(word, ())}
        result = []
        for i in possible:
            claim, own = self.claims[i]
            shared = len(self.own[i] & every)
            if shared >= _enough(len(self.own[i])) and self.needed[i] <= every:
                likeness = _in_order(own, terms) / len(own)
                if likeness >= ALIKE:
                    result.append((likeness, claim))
        return sorted(result, key=lambda pair: (-pair[0], pair[1].id))


def _enough(words: int) -> int:
    """Return the least number of shared words for a claim of this many different words."""
    return next(count for count in range(words + 1) if count >= ALIKE * words)


def _in_order(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    before = [0] * (len(b) + 1)
    for x in a:
        now = [0]
        for j, y in enumerate(b):
            now.append(before[j] + 1 if x == y else max(before[j + 1], now[-1]))
        before = now
    return before[-1]

"""Are the claims that a sentence says again those that comparing it with every claim finds?"""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.knowledge.claims.sentence_match import _STRONG, ALIKE, FEWEST, Index, words
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.locales import table

FEW = [
    "merges",
    "gain",
    "only",
    "sw-KE",
    "cy-GB",
    "ties",
    "lose",
    "three",
    "sources",
    "never",
    "the",
    "noise",
    "2.5",
]
TEXTS = st.lists(st.sampled_from(FEW), min_size=1, max_size=9).map(" ".join)
LANGUAGES = {name for locale in table().values() for name in words(locale.name)}


def claim(number: int, text: str) -> Claim:
    return Claim(
        f"claim-{number}", "skill", text, "beats", {}, "best_single_source", {}, {}, {}, None, None, (), "2026-01-01",
        None, "claims.yaml",
    )  # fmt: skip


@cache
def longest_in_order(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """By the definition: both first words, or without one of them."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest_in_order(a[1:], b[1:])
    return max(longest_in_order(a[1:], b), longest_in_order(a, b[1:]))


def compared_with_every(claims: list[Claim], text: str) -> list[tuple[float, str]]:
    said = words(text)
    found = []
    for one in claims:
        own = words(one.text)
        needed = {word for word in own if word in LANGUAGES or word in _STRONG}
        shared = sum(1 for word in Counter(own) if word in said)
        if len(own) >= FEWEST and needed <= set(said) and shared >= ALIKE * len(set(own)):
            likeness = longest_in_order(own, said) / len(own)
            if likeness >= ALIKE:
                found.append((likeness, one.id))
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))


@pytest.mark.slow
@given(st.lists(TEXTS, min_size=1, max_size=12), TEXTS, st.data())
def test_the_prefix_filter_loses_no_claim_and_adds_none(texts, other, data):
    claims = [claim(i, text) for i, text in enumerate(texts)]
    index = Index(claims)
    for sentence in (
        other,
        data.draw(st.sampled_from(texts)),
        data.draw(st.permutations(texts))[0] + " " + other,
    ):
        assert [(likeness, c.id) for likeness, c in index.alike(sentence)] == compared_with_every(
            claims, sentence
        )


def test_a_claim_of_one_word_too_many_is_still_found():
    index = Index(
        [claim(1, "Similarity merges gain over average on Welsh"), claim(2, "Ties gains nothing here at all")]
    )
    assert [c.id for _, c in index.alike("Similarity merges gain over the mean on Welsh")] == ["claim-1"]

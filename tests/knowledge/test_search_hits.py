"""Questions in other words than the documents', and in other languages, find what answers them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from conftest import KNOWLEDGE, REPOSITORY, row

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from search_hits import asked, rates

from merginguriel.knowledge.base import load
from merginguriel.knowledge.search import meaning
from merginguriel.knowledge.search.query import search
from merginguriel.workspace import find


def answerable(**which):
    """Search the frozen knowledge for the questions that a document in it answers."""
    known = load(find(explicit=KNOWLEDGE))
    names = {one.name for one in known.skills} | {one.id for one in (*known.entries, *known.claims)}
    return [one for one in asked(KNOWLEDGE, **which) if names & set(one.answers)]


def test_questions_of_the_test_half_in_three_languages_are_answered_by_words_alone():
    found = answerable(rerank=False, half="test")
    english = [one for one in found if one.language == "en"]
    assert len(found) >= 30 and len(english) >= 20 and {one.language for one in found} == {"en", "de", "es"}
    for part in (found, english):
        first, third = rates(part)
        assert first >= 0.85 and third >= 0.95


@pytest.mark.parametrize("query", ["¿Qué fuentes?", "quelle", "FUENTE"])
def test_a_german_or_spanish_word_finds_its_english_one(bench, query):
    bench.entry(row("sw-KE"), entry="2026-01-20-one-00000001", title="About the source of it")
    assert [hit.name for hit in search(bench.load_space(), query)] == ["2026-01-20-one-00000001"]


def test_a_word_of_a_document_counts_whatever_else_it_means(bench):
    bench.entry(row("sw-KE"), entry="2026-01-20-one-00000001", title="Fuentes, a name")
    assert [hit.name for hit in search(bench.load_space(), "Fuentes")] == ["2026-01-20-one-00000001"]


@pytest.mark.lab
@pytest.mark.slow
def test_questions_of_the_test_half_in_three_languages_are_answered_with_rerank():
    found = answerable(rerank=True, half="test")
    first, third = rates(found)
    assert {one.language for one in found} == {"en", "de", "es"}
    assert len(found) >= 30 and first >= 0.85 and third >= 0.95


@pytest.mark.lab
@pytest.mark.slow
def test_rerank_finds_what_shares_no_word_with_the_question_and_is_limited_like_any_search(bench, mu):
    bench.entry(row("sw-KE"), entry="2026-01-20-one-00000001", title="Which cats purr at night")
    bench.entry(row("cy-GB"), entry="2026-01-20-two-00000002", title="Compiling kernels for a graphics card")
    query = "Welche Katzen schnurren nachts?"
    assert search(bench.load_space(), query) == []
    found = mu("search", "--rerank", query, "--json", "--workspace", bench.root).json
    assert found[0]["name"] == "2026-01-20-one-00000001"
    limited = search(bench.load_space(), query, target="cy-GB", rerank=True)
    assert "2026-01-20-one-00000001" not in [hit.name for hit in limited]


@pytest.mark.lab
@pytest.mark.slow
def test_vectors_are_cached_by_their_text_and_a_damaged_cache_is_made_anew(tmp_path):
    first = meaning.cosines(tmp_path, "cats", ["cats purr", "a graphics card"])
    place = meaning.cache.of_folder("search-vectors", tmp_path, ".npz")
    stamp = place.stat().st_mtime_ns
    again = meaning.cosines(tmp_path, "cats", ["a graphics card", "cats purr"])
    assert place.stat().st_mtime_ns == stamp and np.allclose(first, again[::-1], atol=2e-3)
    place.write_bytes(b"no archive")
    assert np.allclose(meaning.cosines(tmp_path, "cats", ["cats purr"]), first[:1], atol=2e-3)

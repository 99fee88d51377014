"""Cached answers of `mu advise`: which changes they notice, and what they never load."""

from __future__ import annotations

import pickle
import shutil
import time

import pytest
from conftest import copy_knowledge

from merginguriel import cache, workspace
from merginguriel.knowledge.parse.file_stamps import UNSETTLED
from merginguriel.loop import context_cache
from merginguriel.loop.advice_cache import Adviser


@pytest.fixture
def space(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = copy_knowledge(tmp_path / "work")
    settled(root)
    return workspace.find(explicit=root)


def settled(root):
    """Wait until no file changed so recently that its next change could have the same stamp."""
    newest = max(path.stat().st_ctime for path in root.rglob("*"))
    while time.time() < newest + UNSETTLED + 0.1:
        time.sleep(0.1)


def read_log(space, target="sw-KE", **options):
    """Return the answer, and whether the log was read for it."""
    adviser = Adviser(space)
    answer = adviser.answer(target, **options)
    return answer, adviser._knowledge is not None


@pytest.mark.slow
def test_a_question_is_answered_from_the_cache_until_something_changes(space):
    first, read = read_log(space)
    assert read
    again, read = read_log(space)
    assert not read and again == first
    assert not read_log(space, min_gain=1.0, ensembles=True)[1]  # as mu.toml says: the same question
    assert read_log(space, min_gain=2.0)[1]
    assert read_log(space, "cy-GB")[1]
    model = space.models / "massive" / "xlm-roberta-base" / "sw-KE" / "training.yaml"
    model.parent.mkdir(parents=True)
    model.write_text("seed: 0\n", encoding="utf-8")
    assert read_log(space)[1]
    shutil.rmtree(space.models)
    assert not read_log(space)[1]
    (space.root / "tasks.yaml").write_text("{}\n", encoding="utf-8")
    assert read_log(space)[1]
    (space.root / "tasks.yaml").unlink()
    entry = next(space.log.glob("*/*.md"))
    entry.write_text(entry.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert read_log(space)[1]
    # Files that were written just now are not trusted to stay: nothing was cached.
    assert read_log(space)[1]


@pytest.mark.slow
def test_a_damaged_or_foreign_file_in_the_cache_is_not_loaded(space):
    first, _ = read_log(space)
    (stored,) = cache.folder("advice").glob("*.pickle")
    for content in (b"", b"no pickle", pickle.dumps((space, None)), pickle.dumps(print)):
        stored.write_bytes(content)
        answer, read = read_log(space)
        assert read and answer == first


@pytest.mark.slow
def test_the_rows_of_one_context_give_the_same_answer_as_the_whole_log(space, monkeypatch):
    questions = [
        {"target": target, "context": context, "mode": mode}
        for target in ("sw-KE", "cy-GB", "da-DK")
        for context in ("massive/xlm-roberta-base", "home/e5-small")
        for mode in ("ExcTar", "IncTar")
    ]
    monkeypatch.setattr(context_cache, "LARGE", 10**9)
    whole = [read_log(space, **one)[0] for one in questions]
    monkeypatch.setattr(context_cache, "LARGE", 0)
    for again in (False, True):  # computed, then from the cache
        shutil.rmtree(cache.folder("advice"))
        found = [read_log(space, **one) for one in questions]
        assert [answer for answer, _ in found] == whole
        if again:
            assert not all(read for _, read in found)
    (stored, *_) = cache.folder("contexts").glob("*.pickle")
    stored.write_bytes(pickle.dumps(print))
    assert context_cache.recall(space, stored.stem) is None

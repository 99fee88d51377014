"""Do ensembles of kept logits vote as scikit-learn does, whatever the order of heads, items and models?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merginguriel.errors import CheckpointError, IncompatibleError, UnavailableError, UsageError
from merginguriel.evaluation import predictions as stored
from merginguriel.evaluation.ensemble import METHODS, combine, read, softmax
from merginguriel.evaluation.predictions import Predictions, scored
from merginguriel.tasks.registry import Item

LABELS = ("off", "on", "weather")
WEIGHTS = {"de-DE": 0.5, "en-US": 0.2, "sw-KE": 0.3}


def answers(seed=0, n=40, k=3):
    rng = np.random.default_rng(seed)
    ids = tuple(f"t/{i}" for i in range(n))
    names = (*WEIGHTS, "fr-FR", "it-IT")[:k]
    return {name: Predictions(ids, LABELS, 2 * rng.normal(size=(n, 3)).astype(np.float32)) for name in names}


class Fixed:
    """What scikit-learn's VotingClassifier asks of a fitted classifier; the answers are given."""

    def __init__(self, logits):
        self.logits = logits.astype(float)

    def predict(self, X):
        return self.logits[X].argmax(axis=1)

    def predict_proba(self, X):
        return softmax(self.logits[X])


def voting(given, how, weights=None):
    """The labels that VotingClassifier chooses for the same answers."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    voter = ensemble.VotingClassifier([(n, None) for n in given], voting=how, weights=weights)
    voter.estimators_ = [Fixed(p.logits) for p in given.values()]
    voter.estimators = list(zip(given, voter.estimators_, strict=True))
    voter.le_ = preprocessing.LabelEncoder().fit(np.arange(3))
    voter.classes_ = voter.le_.classes_
    n = len(next(iter(given.values())).ids)
    return [LABELS[i] for i in voter.predict(np.arange(n))]


@pytest.mark.parametrize("seed", range(5))
def test_votes_and_probabilities_are_those_of_scikit_learn(seed):
    given = answers(seed, k=2 + seed % 2)  # with two voters, ties abound
    weights = [WEIGHTS[name] for name in given]
    assert combine(given, "majority").chosen() == voting(given, "hard")
    assert combine(given, "weighted_majority", WEIGHTS).chosen() == voting(given, "hard", weights)
    assert combine(given, "soft").chosen() == voting(given, "soft")


def test_logits_are_their_weighted_mean():
    given = answers()
    expected = sum(WEIGHTS[name] * p.logits.astype(float) for name, p in given.items())
    for method in ("uriel_logits", "real_logits"):
        found = combine(given, method, {name: 7 * w for name, w in WEIGHTS.items()})
        np.testing.assert_allclose(found.logits, expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20)
@given(seed=st.integers(0, 99), k=st.integers(1, 3), data=st.data())
def test_order_of_heads_items_and_models_changes_nothing(method, seed, k, data):
    given = answers(seed, n=12, k=k)
    expected = combine(given, method, WEIGHTS)
    shuffled = {}
    for name in data.draw(st.permutations(list(given))):
        p = given[name]
        rows, columns = data.draw(st.permutations(range(12))), data.draw(st.permutations(range(3)))
        shuffled[name] = Predictions(
            tuple(p.ids[i] for i in rows), tuple(LABELS[j] for j in columns), p.logits[np.ix_(rows, columns)]
        )
    found = combine(shuffled, method, WEIGHTS)
    assert dict(zip(found.ids, found.chosen(), strict=True)) == dict(
        zip(expected.ids, expected.chosen(), strict=True)
    )


def test_of_equal_votes_the_alphabetically_first_wins():
    ids = ("t/1",)
    given = {
        str(i): Predictions(ids, ("b", "a"), np.array([row], dtype=np.float32))
        for i, row in enumerate([[5, 0], [0, 1]])
    }
    assert combine(given, "majority").chosen() == ["a"]
    # 0.1 + 0.2 against 0.3: equal on paper.
    given = {
        str(i): Predictions(ids, ("b", "a"), np.array([row], dtype=np.float32))
        for i, row in enumerate([[5, 0], [5, 0], [0, 1]])
    }
    assert combine(given, "weighted_majority", {"0": 0.1, "1": 0.2, "2": 0.3}).chosen() == ["a"]


def test_an_ensemble_of_one_is_that_model():
    given = answers(k=1)
    for method in METHODS:
        assert combine(given, method, WEIGHTS).chosen() == given["de-DE"].chosen()


def test_correct_takes_an_ensemble_like_a_model():
    given = answers(n=10)
    items = [Item(f"t/{i}", "text", LABELS[i % 3]) for i in range(10)]
    found = combine(given, "soft")
    expected = [label == item.label for label, item in zip(found.chosen(), items, strict=True)]
    assert scored(found, items).tolist() == expected


def test_what_cannot_vote_together_is_refused():
    given = answers()
    p = given["en-US"]
    with pytest.raises(IncompatibleError, match="only one of them has off, stop"):
        combine({**given, "en-US": Predictions(p.ids, ("stop", "on", "weather"), p.logits)}, "soft")
    with pytest.raises(IncompatibleError, match="different items"):
        combine({**given, "en-US": Predictions(p.ids[:-1], LABELS, p.logits[:-1])}, "soft")
    with pytest.raises(UsageError, match="Methods are: majority"):
        combine(given, "hard")
    with pytest.raises(UsageError, match="missing weight for sw-KE"):
        combine(given, "real_logits", {"de-DE": 1, "en-US": 1})
    with pytest.raises(UsageError, match="needs a weight"):
        combine(given, "real_logits")
    for bad in ({**WEIGHTS, "de-DE": -1}, dict.fromkeys(WEIGHTS, 0.0), {**WEIGHTS, "de-DE": float("nan")}):
        with pytest.raises(UsageError, match="0 or more"):
            combine(given, "weighted_majority", bad)


def test_kept_answers_are_read_and_missing_ones_named(tmp_path):
    items = [Item(f"t/{i}", "text", "on") for i in range(40)]
    models = {}
    for name, p in answers().items():
        models[name] = tmp_path / name
        models[name].mkdir()
        (models[name] / "model.safetensors").write_bytes(name.encode())
        (models[name] / "vocab.txt").write_text("text")
        if name != "sw-KE":
            print_ = stored.fingerprint(models[name])
            stored.save(stored.cache_path(tmp_path / "cache", print_, items), p, print_)
    with pytest.raises(UnavailableError, match="no cached predictions of sw-KE"):
        read(models, items, tmp_path / "cache")
    del models["sw-KE"]
    assert read(models, items, tmp_path / "cache")["de-DE"].ids == tuple(item.id for item in items)
    path = sorted((tmp_path / "cache").iterdir())[0]
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(CheckpointError, match="damaged"):
        read(models, items, tmp_path / "cache")

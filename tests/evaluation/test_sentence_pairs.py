"""Is the proxy on sentence pairs that of scipy and of sentence-transformers' evaluator, and called a proxy?"""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial
from scipy import stats as scipy_stats

from merginguriel import stats
from merginguriel.errors import MuError, UsageError
from merginguriel.evaluation import sentence_pairs
from merginguriel.evaluation.sentence_pairs import SentencePair

from .conftest import TEXTS


@given(st.integers(0, 2**32 - 1), st.integers(4, 60))
def test_the_correlation_is_that_of_scipy_ties_included(seed, n):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-3, 3, n), rng.random(n).round(1)
    assert stats.midranks(a.tolist()) == pytest.approx(scipy_stats.rankdata(a))
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert stats.spearman(a.tolist(), b.tolist()) == pytest.approx(
            scipy_stats.spearmanr(a, b).statistic, abs=1e-9
        )
    else:
        assert np.isnan(stats.spearman(a.tolist(), b.tolist()))


def test_cosines_are_those_of_scipy():
    a, b = np.random.default_rng(0).normal(size=(2, 20, 8))
    expected = [1 - spatial.distance.cosine(x, y) for x, y in zip(a, b, strict=True)]
    assert sentence_pairs.cosines(a, b) == pytest.approx(expected)
    assert sentence_pairs.cosines(np.zeros((1, 3)), np.ones((1, 3))) == [0]


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Normal pairs with correlation r have a Spearman correlation of 6/π · arcsin(r/2)."""
    truth, held = 6 / np.pi * np.arcsin(0.6 / 2), 0
    for seed in range(400):
        x, y = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 80).T
        found = sentence_pairs.correlate(x, y)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.lab
def test_the_arithmetic_is_that_of_sentence_transformers(model_folders):
    """EmbeddingSimilarityEvaluator: mean-pooled vectors of both sides, paired cosine, spearmanr with the scores."""
    torch = pytest.importorskip("torch")
    from merginguriel.models import classifier

    model, tokenizer = classifier.load(model_folders["sw-KE"])

    def mean_pooled(texts):  # as sentence_transformers.models.Pooling has it
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            hidden = model.base_model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        return ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)).numpy()

    rows = [SentencePair(TEXTS[i], TEXTS[(3 * i + 1) % 10], float(i % 5)) for i in range(10)]
    first, second = mean_pooled([r.first for r in rows]), mean_pooled([r.second for r in rows])
    cosine = [1 - spatial.distance.cosine(x, y) for x, y in zip(first, second, strict=True)]
    expected = scipy_stats.spearmanr([r.score for r in rows], cosine).statistic
    found = sentence_pairs.proxy(model_folders["sw-KE"], rows)
    assert found.spearman == pytest.approx(expected) and found.n == 10
    assert sentence_pairs.proxy(model_folders["sw-KE"], rows, prefix="lamp ").spearman != found.spearman


HEAD = "sentence1{0}sentence2{0}score\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", HEAD.format(",") + '"one, two",b,1\nc,d,2\ne,f,3\ng,h,4\n'),
        ("a.tsv", HEAD.format("\t") + "one, two\tb\t1\nc\td\t2\ne\tf\t3\ng\th\t4\n"),
        ("a.jsonl", "".join(json.dumps({"score": i + 1, "sentence2": b, "sentence1": a, "x": 0}) + "\n"
                            for i, (a, b) in enumerate([("one, two", "b"), ("c", "d"), ("e", "f"), ("g", "h")]))),
    ],
)  # fmt: skip
def test_three_forms_of_file_hold_the_same_pairs(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = sentence_pairs.read(tmp_path / name)
    assert found == (
        SentencePair("one, two", "b", 1),
        SentencePair("c", "d", 2),
        SentencePair("e", "f", 3),
        SentencePair("g", "h", 4),
    )


def test_a_quotation_mark_in_a_tsv_is_a_character(tmp_path):
    path = tmp_path / "sts.tsv"
    path.write_text(HEAD.format("\t") + '"hi\tb\t1\nc\td\t2\ne\tf\t3\ng\th\t4\n', encoding="utf-8")
    assert sentence_pairs.read(path)[0].first == '"hi'


@pytest.mark.parametrize(
    ("line", "message", "where"),
    [("a,b,", "score missing", ":3"), ("a,b,high", "not a number", ":3"), ("a,b,nan", "not a number", ":3")],
)
def test_a_mistake_is_named_with_its_line(tmp_path, line, message, where):
    path = tmp_path / "a.csv"
    path.write_text(HEAD.format(",") + f"a,b,1\n{line}\n", encoding="utf-8")
    with pytest.raises(MuError, match=message) as caught:
        sentence_pairs.read(path)
    assert caught.value.where == f"{path}{where}"


def test_too_few_pairs_say_nothing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEAD.format(",") + "a,b,1\nc,d,1\ne,f,1\ng,h,1\n", encoding="utf-8")
    with pytest.raises(MuError, match="1 different scores"):
        sentence_pairs.read(path)
    with pytest.raises(UsageError, match="too few"):
        sentence_pairs.correlate(np.arange(3), np.arange(3))


@pytest.mark.lab
@pytest.mark.slow
def test_the_command_calls_it_a_proxy(trained):
    path = trained.space / "pairs.csv"
    lines = ["turn on the light", "turn off the light", "what is the weather", "weather please"]
    rows = [f"{a},{b},{i + j}" for i, a in enumerate(lines) for j, b in enumerate(lines)]
    path.write_text(HEAD.format(",") + "\n".join(rows) + "\n", encoding="utf-8")
    told = trained.mu("proxy", "en-US", path)
    assert told.code == 0 and "proxy: spearman" in told.out and "not the accuracy" in told.err
    (found,) = trained.mu("proxy", trained.root / "pretrained", path, "--json").data
    assert found["proxy"] is True and -1 <= found["value"] <= 1 and found["n"] == 16
    assert trained.mu("proxy", "xx-XX", path).code == 2

"""Does the fast way on a processor give the answers of the plain one, and leave the model as it was?"""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from merginguriel.evaluation import nxn as grid
from merginguriel.tasks.registry import TaskData

from .conftest import LABELS

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
kernels = pytest.importorskip("merginguriel.evaluation.packed_inference")
predicting = pytest.importorskip("merginguriel.evaluation.predict")
pytestmark = pytest.mark.lab


def plain(model, tokenizer, items):
    with torch.inference_mode():
        return np.array([model(**tokenizer(i.text, return_tensors="pt")).logits[0].numpy() for i in items])


def test_packed_layers_answer_as_plain_ones_and_leave_no_trace(make_model, tokenizer, items):
    model = make_model()
    expected = plain(model, tokenizer, items)
    before = {name: list(vars(m)) for name, m in model.named_modules()}
    with torch.inference_mode(), kernels.packed(model):
        dense = model.roberta.encoder.layer[0].intermediate
        if kernels.works():
            assert "forward" in vars(dense.dense) and "forward" in vars(dense.intermediate_act_fn)
        np.testing.assert_allclose(plain(model, tokenizer, items), expected, atol=2e-5)
    assert {name: list(vars(m)) for name, m in model.named_modules()} == before
    np.testing.assert_array_equal(plain(model, tokenizer, items), expected)


def test_a_model_is_whole_again_after_an_error(make_model, tokenizer, items):
    model = make_model()
    with pytest.raises(KeyError), torch.inference_mode(), kernels.packed(model):
        raise KeyError
    assert not any("forward" in vars(m) for m in model.modules())
    model.train()
    ids = tokenizer(items[0].text, return_tensors="pt")
    model(**ids).logits.sum().backward()
    assert model.classifier.out_proj.weight.grad is not None


def test_a_packed_model_is_packed_once(make_model):
    model = make_model()
    dense = model.roberta.encoder.layer[0].intermediate.dense
    with kernels.packed(model):
        first = vars(dense)["forward"]
        with kernels.packed(model):
            assert vars(dense)["forward"] is first
        assert vars(dense)["forward"] is first


def test_another_gelu_is_not_taken_for_the_exact_one(make_model, tokenizer, items):
    model = make_model()
    for layer in model.roberta.encoder.layer:
        layer.intermediate.intermediate_act_fn = torch.nn.GELU(approximate="tanh")
    expected = plain(model, tokenizer, items)
    with torch.inference_mode(), kernels.packed(model):
        np.testing.assert_allclose(plain(model, tokenizer, items), expected, atol=2e-5)


@pytest.fixture
def tried_anew():
    kernels.works.cache_clear()
    yield
    kernels.works.cache_clear()


def wrong(*_):
    return torch.zeros(3, 32)


@pytest.mark.parametrize(
    "operators",
    [
        {},
        {"_reorder_linear_weight": lambda weight, tokens: weight, "_linear_pointwise": wrong},
    ],
    ids=["missing", "wrong"],
)
def test_a_pytorch_without_the_private_operators_leaves_the_model_as_it_is(
    make_model, tokenizer, items, monkeypatch, tried_anew, operators
):
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(**operators))
    model = make_model()
    expected = plain(model, tokenizer, items)
    with torch.inference_mode(), kernels.packed(model):
        assert not kernels.packable(model) and not any("forward" in vars(m) for m in model.modules())
    whole = predicting.predict_with(model, tokenizer, LABELS, items)
    np.testing.assert_allclose(whole.logits, expected, atol=2e-5)
    half = predicting.predict_with(model, tokenizer, LABELS, items, bf16=True)
    assert 0 < np.abs(half.logits - expected).max() < 0.15  # by autocast


@pytest.mark.slow
def test_a_processor_without_bfloat16_answers_in_it_by_autocast():
    """oneDNN held to AVX2 refuses to pack bfloat16, as an older processor does."""
    code = """if True:
        import torch
        from torch import nn
        from merginguriel.evaluation import packed_inference as kernels
        model = nn.Sequential(nn.Linear(64, 32))
        with kernels.packed(model, bf16=True):
            assert "forward" not in vars(model[0])
        with torch.autocast("cpu", torch.bfloat16, enabled=not kernels.packable(model, bf16=True)):
            assert model(torch.ones(2, 64)).dtype == torch.bfloat16
        print(kernels.works(False), kernels.works(True))
    """
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[1] == "False"


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_bit_and_their_number_comes_back(make_model, tokenizer, items, threads):
    model = make_model()
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = predicting.predict_with(model, tokenizer, LABELS, items, batch_tokens=16)
        torch.set_num_threads(threads)
        found = predicting.predict_with(model, tokenizer, LABELS, items, batch_tokens=16)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)
    np.testing.assert_array_equal(found.logits, one.logits)


def test_bf16_answers_are_near_and_kept_apart(model_folders, items, tmp_path):
    data = {"sw-KE": TaskData("t", "sw-KE", LABELS, items, items[:4], items)}
    whole = predicting.predict(model_folders["sw-KE"], items)
    half = predicting.predict(model_folders["sw-KE"], items, bf16=True)
    assert 0 < np.abs(whole.logits - half.logits).max() < 0.15
    grid.nxn(model_folders, data, cache=tmp_path)
    grid.nxn(model_folders, data, cache=tmp_path, bf16=True)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_locale_is_cut_into_tokens_once_for_all_models(model_folders, items, monkeypatch):
    calls = []
    real = predicting.tokens_of
    monkeypatch.setattr(predicting, "tokens_of", lambda *a: calls.append(a) or real(*a))
    data = {t: TaskData("t", t, LABELS, items, items[:4], items) for t in ("sw-KE", "de-DE")}
    grid.nxn(model_folders, data)
    assert len(calls) == 2  # locales, not pairs

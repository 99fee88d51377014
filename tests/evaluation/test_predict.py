"""Are a model's answers the same however they are batched, cached and matched to the items?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import CheckpointError, IncompatibleError
from merginguriel.evaluation import predictions as stored
from merginguriel.evaluation.predictions import Predictions, scored
from merginguriel.tasks.registry import Item

from .conftest import LABELS

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
predicting = pytest.importorskip("merginguriel.evaluation.predict")
batches, predict, predict_with = predicting.batches, predicting.predict, predicting.predict_with

pytestmark = pytest.mark.lab


def test_batches_of_any_size_give_the_answers_of_one_by_one(make_model, tokenizer, items):
    model = make_model()
    expected = []
    for item in items:  # by transformers alone: no padding, no order to restore
        with torch.inference_mode():
            expected.append(model(**tokenizer(item.text, return_tensors="pt")).logits[0].numpy())
    for batch_tokens in (1, 13, 4096):
        found = predict_with(model, tokenizer, LABELS, items, batch_tokens=batch_tokens)
        assert found.ids == tuple(item.id for item in items) and found.logits.dtype == np.float32
        np.testing.assert_allclose(found.logits, np.array(expected), atol=1e-5)


def test_dropout_is_off_and_the_training_mode_comes_back(make_model, tokenizer, items):
    model = make_model().train()
    one, two = (predict_with(model, tokenizer, LABELS, items).logits for _ in range(2))
    assert np.array_equal(one, two) and model.training


def test_progress_ends_with_all_sentences(make_model, tokenizer, items):
    seen = []
    predict_with(
        make_model(), tokenizer, LABELS, items, batch_tokens=16, on_progress=lambda *a: seen.append(a)
    )
    assert seen[-1] == (len(items), len(items), "sentences") and len(seen) > 1


def test_a_model_that_answers_nan_is_refused(make_model, tokenizer, items):
    model = make_model()
    model.classifier.out_proj.weight.data[:] = float("nan")
    with pytest.raises(CheckpointError, match="10 of 10 sentences are not numbers"):
        predict_with(model, tokenizer, LABELS, items)


def test_no_items_give_no_answers(make_model, tokenizer):
    assert predict_with(make_model(), tokenizer, LABELS, []).logits.shape == (0, 3)


def test_a_very_long_sentence_is_cut_to_what_the_model_takes(make_model, tokenizer):
    long = Item("t/long", "lamp " * 500, "on")
    assert predict_with(make_model(), tokenizer, LABELS, [long]).logits.shape == (1, 3)


def test_a_folder_is_predicted_like_its_model_in_memory(model_folders, make_model, tokenizer, items):
    from_disk = predict(model_folders["sw-KE"], items, device="cpu")
    np.testing.assert_allclose(
        from_disk.logits, predict_with(make_model(0), tokenizer, LABELS, items).logits, atol=1e-5
    )
    assert from_disk.labels == LABELS


@given(st.lists(st.integers(1, 60), max_size=80), st.integers(1, 200))
def test_batches_hold_every_sentence_once_within_the_bound(lengths, batch_tokens):
    found = list(batches(lengths, batch_tokens))
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= batch_tokens for b in found)


def predictions_of(chosen, labels):
    logits = np.zeros((len(chosen), len(labels)), dtype=np.float32)
    for i, label in enumerate(chosen):
        logits[i, labels.index(label)] = 3
    return Predictions(tuple(f"t/{i}" for i in range(len(chosen))), tuple(labels), logits)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1), st.permutations("abc")
)
def test_labels_are_matched_by_name_whatever_the_order_of_head_and_items(pairs, order):
    items = [Item(f"t/{i}", "x", gold) for i, (_, gold) in enumerate(pairs)]
    found = predictions_of([chosen for chosen, _ in pairs], order)
    expected = [chosen == gold for chosen, gold in pairs]
    assert scored(found, items).tolist() == expected
    assert scored(found, items[::-1]).tolist() == expected[::-1]


def test_a_label_that_the_model_does_not_know_is_an_error_and_not_a_wrong_answer():
    with pytest.raises(
        IncompatibleError, match="the model knows neg, pos; the data have positive, neg"
    ) as told:
        scored(
            predictions_of(["pos"], ["pos", "neg"]), [Item("t/0", "x", "neg"), Item("t/1", "y", "positive")]
        )
    assert "--task" in told.value.hint


def test_answers_to_other_items_are_refused():
    with pytest.raises(IncompatibleError, match="1 of 1"):
        scored(predictions_of("a", "ab"), [Item("t/9", "x", "a")])


def test_saved_answers_come_back_as_rounded_and_name_their_model(tmp_path, items):
    rng = np.random.default_rng(0)
    fresh = Predictions(tuple(i.id for i in items), LABELS, rng.normal(size=(10, 3)).astype(np.float32) * 1e5)
    stored.save(tmp_path / "p.npz", fresh, "f" * 64)
    back = stored.load(tmp_path / "p.npz", "f" * 64)
    assert (back.ids, back.labels) == (fresh.ids, fresh.labels)
    assert np.array_equal(back.logits, stored.rounded(fresh).logits) and np.isfinite(back.logits).all()
    with pytest.raises(CheckpointError, match="another model"):
        stored.load(tmp_path / "p.npz", "0" * 64)


@pytest.mark.parametrize("damage", [lambda data: data[:200], lambda _: b"", lambda data: b"\x00" * len(data)])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "p.npz"
    stored.save(path, predictions_of("ab", "ab"), "f" * 64)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="damaged"):
        stored.load(path)


def test_a_model_is_known_by_its_weights_not_by_its_card(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = stored.fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("a card")
    assert stored.fingerprint(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert stored.fingerprint(tmp_path) != before
    with pytest.raises(CheckpointError, match="no weights"):
        stored.fingerprint(tmp_path / "nowhere")


@given(st.integers(0, 2**32 - 1))
def test_rounding_never_changes_the_label(seed):
    """float16 has 11 bits: logits that are near each other become equal, and argmax would take the first."""
    rng = np.random.default_rng(seed)
    logits = (20 + 0.01 * rng.normal(size=(30, 4))).astype(np.float32)
    before = Predictions(tuple(map(str, range(30))), ("a", "b", "c", "d"), logits)
    after = stored.rounded(before)
    assert after.chosen() == before.chosen()
    assert np.abs(after.logits - logits).max() < 0.04
    np.testing.assert_array_equal(stored.rounded(after).logits, after.logits)

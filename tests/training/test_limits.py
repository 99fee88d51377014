"""Trainings are limited by memory, time and number of sentences, and say in their record what that came to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_classifier import QUICK, sentences, small_base, torch, training, weights

from merginguriel.errors import UnavailableError
from merginguriel.models.build_record import read

pytestmark = pytest.mark.slow
SETTINGS = replace(QUICK, epochs=2, dropout=0.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def rows_that_fit():
    """A function that lets no more sentences at a time into the memory: more ask torch for 2⁵⁰ bytes."""
    handles = []

    def limit(rows):
        def ask(module, given):
            if isinstance(module, torch.nn.Embedding) and given[0].shape[0] > rows and module.training:
                torch.empty(2**50, dtype=torch.uint8)

        handles.append(torch.nn.modules.module.register_module_forward_pre_hook(ask))

    yield limit
    for handle in handles:
        handle.remove()


def trained(base, out, **changes):
    training.finetune(base, sentences(48), sentences(8, 60), out, replace(SETTINGS, **changes))
    return read(out / "training.yaml"), weights(out)


def largest_difference(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_a_batch_that_does_not_fit_is_computed_in_parts_to_the_same_weights(base, tmp_path, rows_that_fit):
    _, whole = trained(base, tmp_path / "whole")
    rows_that_fit(3)
    record, parts = trained(base, tmp_path / "parts")
    assert record["batch_parts"] == 4
    assert largest_difference(whole, parts) < 1e-4


def test_a_memory_that_holds_no_sentence_is_an_error_and_leaves_nothing(base, tmp_path, rows_that_fit):
    rows_that_fit(0)
    with pytest.raises(UnavailableError, match="one sentence at a time"):
        trained(base, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_accumulated_batches_are_one_large_batch(base, tmp_path):
    one_epoch = {"epochs": 1, "batch_size": 48}
    _, large = trained(base, tmp_path / "large", **one_epoch)
    record, small = trained(base, tmp_path / "small", **{**one_epoch, "batch_size": 16}, accumulate=3)
    assert record["made"]["settings"]["accumulate"] == 3
    # The first step of Adam has the size of the learning rate, whatever the gradient: where that is only rounding, so is
    # the sign of the step.
    apart = torch.cat([(large[name] - small[name]).abs().flatten() for name in large]) > 1e-4
    assert float(apart.float().mean()) < 0.01


def test_a_part_of_the_sentences_is_the_same_part_each_time(base, tmp_path):
    record, one = trained(base, tmp_path / "one", max_train_samples=16)
    _, other = trained(base, tmp_path / "other", max_train_samples=16)
    assert record["train_items"] == 16
    assert largest_difference(one, other) == 0


def test_a_training_stops_when_its_time_is_over(base, tmp_path):
    record, _ = trained(base, tmp_path / "short", epochs=50, max_minutes=1e-6)
    assert record["stopped_after_epochs"] == pytest.approx(1 / 6, abs=0.01)
    assert (tmp_path / "short" / "model.safetensors").is_file()

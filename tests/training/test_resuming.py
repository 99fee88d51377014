"""Resumed trainings give the same weights; early stopping; LoRA."""

import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import yaml
from small_classifier import QUICK, Sentence, classifier, sentences, small_base, torch, training, weights

from merginguriel.errors import UnavailableError, UsageError
from merginguriel.models.adapters import open_adapter
from merginguriel.models.checkpoint import open_checkpoint, read

pytestmark = [pytest.mark.slow, pytest.mark.lab]
DROPPING = replace(QUICK, dropout=0.1)  # so that random numbers have to go on too


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_base(tmp_path_factory.mktemp("base"))


def killed_at(step, base, out, settings):
    """Train in a process that gets SIGKILL in this step; a checkpoint is due after every step."""

    def kill(now, *_):
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def work():
        torch.set_num_threads(1)
        training.finetune(base, sentences(48), sentences(16), out, settings, keep_every=0.0, on_progress=kill)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL and not out.exists()


@pytest.fixture(scope="module")
def straight(base, tmp_path_factory):
    """The weights of a training that nobody disturbed."""
    out = tmp_path_factory.mktemp("straight") / "out"
    return (
        training.finetune(base, sentences(48), sentences(16), out, DROPPING) / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("step", [1, 8, 13])  # six steps an epoch
def test_what_was_killed_goes_on_to_the_same_weights(base, straight, tmp_path, step):
    killed_at(step, base, tmp_path / "out", DROPPING)
    steps = []
    out = training.finetune(
        base,
        sentences(48),
        sentences(16),
        tmp_path / "out",
        DROPPING,
        on_progress=lambda n, *_: steps.append(n),
    )
    assert steps[0] == step  # the one in which it was killed; those before it are in the checkpoint
    assert (out / "model.safetensors").read_bytes() == straight
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(base, tmp_path):
    killed_at(8, base, tmp_path / "out", DROPPING)
    steps = []
    training.finetune(
        base, sentences(48), sentences(16), tmp_path / "out", QUICK, on_progress=lambda n, *_: steps.append(n)
    )
    assert steps == list(range(1, 37))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_half_a_checkpoint_is_not_gone_on_from(base, tmp_path):
    killed_at(8, base, tmp_path / "out", DROPPING)
    (kept,) = tmp_path.glob("out-checkpoints-*")
    half = kept / "checkpoint-99"
    half.mkdir()
    (half / "trainer_state.json").write_text("{}")
    training.finetune(base, sentences(48), sentences(16), tmp_path / "out", DROPPING)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_early_stopping_keeps_the_best_epoch_and_says_so(base, tmp_path):
    # Development data whose labels are turned round: the more is learnt, the worse.
    wrong = [Sentence(s.id, s.text, {"on": "off", "off": "on"}[s.label]) for s in sentences(16)]
    settings = replace(QUICK, epochs=20, patience=2)
    out = training.finetune(base, sentences(48), wrong, tmp_path / "out", settings)
    report = yaml.safe_load((out / "training.yaml").read_text())
    assert report["epochs"] < 20 and report["dev_accuracy"] == report["best_dev_accuracy"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(UsageError, match="development"):
        training.finetune(base, sentences(48), [], tmp_path / "none", settings)


def test_lora_changes_the_encoder_by_low_rank_and_is_a_whole_model(base, tmp_path):
    pytest.importorskip("peft")
    settings = replace(QUICK, epochs=12, lora_rank=2, freeze_layers=1)
    out = training.finetune(base, sentences(48), sentences(16), tmp_path / "out", settings)
    assert yaml.safe_load((out / "training.yaml").read_text())["dev_accuracy"] == 1.0
    before, after = weights(base), weights(out)
    assert list(before) == list(after)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    encoder = {name for name in moved if name.startswith("encoder.")}
    assert encoder and all(".layer.1." in name and name.endswith("weight") for name in encoder)
    ranks = {int(torch.linalg.matrix_rank(after[n] - before[n], rtol=1e-4)) for n in encoder}
    assert ranks == {2}
    model, tokenizer = classifier.load(out)
    logits = model(**tokenizer(["the door in the hall off"], return_tensors="pt")).logits[0]
    assert model.config.id2label[int(logits.argmax())] == "off"


def test_the_adapter_beside_a_lora_model_gives_the_same_weights(base, tmp_path):
    pytest.importorskip("peft")
    settings = replace(QUICK, epochs=2, lora_rank=4, lora_alpha=4)
    out = training.finetune(base, sentences(48), [], tmp_path / "out", settings)
    adapter, model = open_adapter(out / "adapter", open_checkpoint(base)), open_checkpoint(out)
    whole = weights(out)
    from merginguriel.merging.engine import merge_tensors
    from merginguriel.merging.recipe import Recipe, Source

    found = merge_tensors(Recipe("average", (Source("a", adapter.path),), base=base))
    assert set(found) == set(model.tensors)
    for name, values in found.items():
        np.testing.assert_allclose(values, whole[name].numpy(), rtol=0, atol=1e-6)
    assert read(model, "classifier.weight").any()


def test_lora_that_was_killed_goes_on_to_the_same_weights(base, tmp_path):
    pytest.importorskip("peft")
    settings = replace(DROPPING, lora_rank=2, epochs=3)
    straight = training.finetune(base, sentences(48), sentences(16), tmp_path / "straight", settings)
    killed_at(9, base, tmp_path / "out", settings)
    out = training.finetune(base, sentences(48), sentences(16), tmp_path / "out", settings)
    assert (out / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_a_tracker_that_is_not_there_is_named(base, tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        training.finetune(base, sentences(8), [], tmp_path / "out", QUICK, report_to=["nowhere"])
    with pytest.raises(UnavailableError, match="comet_ml"):
        training.finetune(base, sentences(8), [], tmp_path / "out", QUICK, report_to=["comet_ml"])
    assert not list(tmp_path.iterdir())

"""Fine-tuning: learns, is repeatable, leaves nothing when it fails."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from small_classifier import QUICK, Sentence, classifier, sentences, small_base, torch, training, weights

from merginguriel.errors import MuError, UsageError

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return small_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory) -> Path:
    return training.finetune(
        base, sentences(48), sentences(16), tmp_path_factory.mktemp("tuned") / "en-US", QUICK, locale="en-US"
    )


def test_it_learns(tuned):
    report = yaml.safe_load((tuned / "training.yaml").read_text())
    assert report["dev_accuracy"] == 1.0
    assert report["made"]["settings"]["seed"] == 0
    assert set(report["made"]["base"]) >= {"config.json", "model.safetensors", "tokenizer.json"}
    model, tokenizer = classifier.load(tuned)
    logits = model(**tokenizer(["the door in the hall off"], return_tensors="pt")).logits[0]
    assert model.config.id2label[int(logits.argmax())] == "off"


def test_it_leaves_a_model_and_no_litter(tuned):
    expected = {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.yaml",
    }
    assert {path.name for path in tuned.iterdir()} == expected
    assert [path.name for path in tuned.parent.iterdir()] == ["en-US"]


@pytest.mark.slow
def test_the_same_again_is_the_same_weights(base, tuned, tmp_path):
    torch.rand(3)
    again = training.finetune(base, sentences(48), sentences(16), tmp_path / "again", QUICK)
    assert (again / "model.safetensors").read_bytes() == (tuned / "model.safetensors").read_bytes()


def test_what_is_there_already_is_not_trained_again(base, tuned):
    def never(*_):
        raise AssertionError("trained")

    assert training.finetune(base, sentences(48), sentences(16), tuned, QUICK, on_progress=never) == tuned


@pytest.mark.parametrize(
    ("count", "settings", "differs"), [(48, replace(QUICK, seed=1), "settings"), (47, QUICK, "data")]
)
def test_what_was_trained_otherwise_is_not_replaced(base, tuned, count, settings, differs):
    before = (tuned / "model.safetensors").read_bytes()
    with pytest.raises(MuError, match=f"{differs} differs"):
        training.finetune(base, sentences(count), sentences(16), tuned, settings)
    assert (tuned / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_embeddings_and_frozen_layers_stay_and_the_rest_moves(base, tmp_path):
    settings = replace(QUICK, epochs=1, freeze_layers=1)
    before, after = (
        weights(base),
        weights(training.finetune(base, sentences(16), [], tmp_path / "out", settings)),
    )
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith(("encoder.embeddings", "encoder.encoder.layer.0")) for name in moved)
    assert any(name.startswith("encoder.encoder.layer.1") for name in moved)
    assert "classifier.weight" in moved


@pytest.mark.slow
def test_an_interrupt_leaves_nothing(base, tmp_path):
    def interrupt(step, *_):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.finetune(base, sentences(48), [], tmp_path / "out", QUICK, on_progress=interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_it_and_leaves_nothing(base, tmp_path):
    with pytest.raises(MuError, match="smaller learning rate"):
        training.finetune(
            base,
            sentences(48),
            [],
            tmp_path / "out",
            replace(QUICK, learning_rate=1e38, head_learning_rate=1e38),
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_progress_counts_every_step_and_stdout_stays_clean(base, tmp_path, capsys):
    seen = []

    def note(step, total, text):
        seen.append((step, total, float(text.removeprefix("loss "))))

    short = replace(QUICK, epochs=2)
    training.finetune(base, sentences(20), sentences(4), tmp_path / "out", short, on_progress=note)
    assert [(step, total) for step, total, _ in seen] == [(i, 6) for i in range(1, 7)]
    assert seen[0][2] == pytest.approx(0.6931, abs=1e-2)
    assert capsys.readouterr().out == ""


def test_labels_that_the_base_lacks_are_named(base, tmp_path):
    with pytest.raises(UsageError, match="dim"):
        training.finetune(
            base,
            [*sentences(4), Sentence("x", "the light in the hall dim", "dim")],
            [],
            tmp_path / "out",
            QUICK,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": -1}, {"warmup": 1.0}, {"freeze_layers": 3}])
def test_settings_that_make_no_sense_are_refused(base, tmp_path, wrong):
    with pytest.raises(UsageError):
        training.finetune(base, sentences(8), [], tmp_path / "out", replace(QUICK, **wrong))
    assert not list(tmp_path.iterdir())


@given(st.lists(st.integers(1, 40), min_size=1, max_size=200), st.integers(1, 40), st.integers(0, 9))
def test_every_sentence_is_in_exactly_one_batch_of_an_epoch(lengths, size, seed):
    buckets = training.Buckets(lengths, size, seed)
    for _ in range(2):
        batches = list(buckets)
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        assert len(batches) == len(buckets)
        assert all(len(batch) <= size for batch in batches)

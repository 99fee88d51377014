"""Iterative training: merges, schedules, kills, failing locales."""

import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from small_classifier import QUICK, Sentence, sentences, small_base, tagged, torch, training, weights

from merginguriel.errors import MuError, UsageError
from merginguriel.evaluation.nxn import nxn
from merginguriel.merging import registry
from merginguriel.merging.engine import merge_arrays
from merginguriel.merging.recipe import Recipe, Source
from merginguriel.tasks.registry import TaskData
from merginguriel.training import locale_turn
from merginguriel.training import round_store as rounds
from merginguriel.training.iterate import train_and_merge
from merginguriel.training.settings import IterateSettings

pytestmark = [pytest.mark.slow, pytest.mark.lab]
THREE = ("de-DE", "en-US", "sv-SE")
PLAIN = IterateSettings(epochs=3)
FAST = replace(QUICK, dropout=0.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_base(tmp_path_factory.mktemp("base"))


def data_of(*locales, count=24):
    """Each locale has sentences of its own."""
    return {
        locale: TaskData(
            "t", locale, ("off", "on"), tuple(sentences(count, 7 * i)), tuple(sentences(8, 100 + i)), ()
        )
        for i, locale in enumerate(locales)
    }


def iterated(base, out, settings=PLAIN, data=None, finetune=FAST, **more):
    return train_and_merge(base, data or data_of(*THREE), out, settings, finetune, **more)


def record_of(out):
    return yaml.safe_load((out / "iterate.yaml").read_text(encoding="utf-8"))


def taken(out):
    return [outcome["merge"]["taken"] for outcome in record_of(out)["rounds"]]


def bytes_of(out):
    return (out / "model.safetensors").read_bytes()


# what is computed


def test_one_locale_without_merges_becomes_what_the_trainer_makes_of_it(base, tmp_path):
    data = data_of("de-DE", count=40)
    settings = IterateSettings(epochs=3, merge_every=1, schedule="gain", min_gain_pp=100)
    out = iterated(base, tmp_path / "out", settings, data)
    trainer = training.finetune(base, data["de-DE"].train, [], tmp_path / "trainer", replace(FAST, epochs=3))
    one, other = weights(out), weights(trainer)
    assert taken(out) == [False, False, True]
    for name, tensor in other.items():
        assert torch.equal(one[name], tensor), name


WORD_TAGS = ("B-room", "B-state", "B-thing", "O")


@pytest.fixture(scope="module")
def tag_base(tmp_path_factory):
    return small_base(tmp_path_factory.mktemp("tags"), WORD_TAGS, tokens=True)


def tagged_data(*locales):
    return {
        name: TaskData("t", name, WORD_TAGS, tuple(tagged(24, 7 * i)), tuple(tagged(8, 100 + i)), (), metric="span_f1")
        for i, name in enumerate(locales)
    }  # fmt: skip


def test_one_locale_of_labelled_words_becomes_what_the_trainer_makes_of_it(tag_base, tmp_path):
    data = tagged_data("de-DE")
    out = iterated(tag_base, tmp_path / "out", replace(PLAIN, epochs=2, merge_every=2), data)
    trainer = training.finetune(
        tag_base, data["de-DE"].train, [], tmp_path / "trainer", replace(FAST, epochs=2)
    )
    one, other = weights(out), weights(trainer)
    for name, tensor in other.items():
        assert torch.allclose(one[name], tensor, atol=1e-6), name


def test_merges_of_labelled_words_are_judged_by_span_f1(tag_base, tmp_path):
    data, target = tagged_data("de-DE", "en-US"), tagged_data("sv-SE")["sv-SE"]
    settings = IterateSettings(epochs=3, method="linear", similarity="REAL", target="sv-SE", judge="target",
                               schedule="gain", min_gain_pp=-100, patience=2)  # fmt: skip
    told = []
    out = iterated(tag_base, tmp_path / "out", settings, data, target=target,
                   on_progress=lambda done, total, text: told.append(text))  # fmt: skip
    rounds = record_of(out)["rounds"]
    assert all(0 <= one["locales"]["de-DE"]["dev_span_f1"] <= 1 for one in rounds)
    best = max(one["merge"]["score"] for one in rounds)
    found = nxn({"merge": out}, {"sv-SE": target}, split="dev")
    assert found.metric == "span_f1" and found.value("merge", "sv-SE") == pytest.approx(best, abs=1e-6)
    assert any(f"merged, {100 * best:.1f}%" in text for text in told)


def part(path, kind="weights"):
    return {k.partition("/")[2]: v for k, v in load_file(path).items() if k.startswith(f"{kind}/")}


@pytest.mark.parametrize("method", ["average", "ties"])
def test_each_round_begins_at_the_merge_of_what_was_checkpointed_before_it(base, tmp_path, method):
    settings = replace(PLAIN, method=method, keep_checkpoints=True)
    out = iterated(base, tmp_path / "out", settings)
    anchor = {name: tensor.numpy() for name, tensor in weights(base).items()}
    recipe = Recipe(method, tuple(Source(name, tmp_path) for name in THREE), base=tmp_path)
    for number in (1, 2, 3):
        folder = tmp_path / "out-rounds" / f"round-000{number}"
        states = {name: part(folder / f"{name}.safetensors") for name in THREE}
        merge = load_file(folder / "merge.safetensors")
        anchor = merge_arrays(recipe, states, anchor)
        for name, values in anchor.items():
            np.testing.assert_array_equal(merge[name], values)
        if number < 3:  # the next turn, taken by hand
            state = rounds.read_state(folder / "de-DE.safetensors")
            state.weights = {name: torch.from_numpy(values) for name, values in merge.items()}
            own = replace(FAST, epochs=3)
            items = data_of(*THREE)["de-DE"].train
            turned = locale_turn.turn(
                locale_turn.room(base, own), state, items, "de-DE", range(number, number + 1), lambda _: None
            )
            after = part(tmp_path / "out-rounds" / f"round-000{number + 1}" / "de-DE.safetensors")
            assert all(np.array_equal(turned.weights[name].numpy(), after[name]) for name in after)
    for name, tensor in weights(out).items():
        np.testing.assert_array_equal(tensor.numpy(), anchor[name])


@pytest.mark.parametrize("method", sorted(registry.all_methods()))
def test_any_method_of_the_registry_merges(base, tmp_path, method):
    params = {"iterations": 2} if "iterations" in registry.get(method).params else {}
    target = "en-US" if method == "localise" else "sv-SE"  # which needs the target's own model
    settings = IterateSettings(epochs=2, method=method, params=params, target=target)
    out = iterated(
        base, tmp_path / "out", settings, data_of("de-DE", "en-US"), target=data_of(target)[target]
    )
    assert taken(out) == [True, True] and all(torch.isfinite(t).all() for t in weights(out).values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_same_seeds_are_the_same_weights_and_others_are_others(base, tmp_path):
    dropping = replace(FAST, dropout=0.1)
    one = iterated(base, tmp_path / "one", finetune=dropping)
    torch.rand(7)
    assert bytes_of(iterated(base, tmp_path / "two", finetune=dropping)) == bytes_of(one)
    assert bytes_of(
        iterated(base, tmp_path / "three", replace(PLAIN, seed=1), finetune=dropping)
    ) != bytes_of(one)


def test_real_weights_are_measured_anew_at_each_merge(base, tmp_path):
    settings = replace(PLAIN, method="linear", similarity="REAL", target="sv-SE")
    wrong = [Sentence(s.id, s.text, {"on": "off", "off": "on"}[s.label]) for s in sentences(24)]
    data = data_of("de-DE", "en-US")
    data["en-US"] = replace(data["en-US"], train=tuple(wrong))
    out = iterated(base, tmp_path / "out", settings, data, target=data_of("sv-SE")["sv-SE"])
    shares = [outcome["merge"]["weights"]["de-DE"] for outcome in record_of(out)["rounds"]]
    assert len(set(shares)) > 1 and shares[-1] > 0.5


# the schedule


def test_merging_only_for_a_gain_says_what_it_compared(base, tmp_path):
    never = iterated(base, tmp_path / "never", replace(PLAIN, schedule="gain", min_gain_pp=100.5))
    always = iterated(base, tmp_path / "always", replace(PLAIN, schedule="gain", min_gain_pp=-100))
    assert taken(never) == [False, False, True] and taken(always) == [True] * 3
    merge = record_of(never)["rounds"][0]["merge"]
    assert 0 <= merge["score"] <= 1 and 0 <= merge["before"] <= 1
    assert bytes_of(always) == bytes_of(iterated(base, tmp_path / "fixed"))


def test_merging_on_convergence_waits_until_no_loss_falls(base, tmp_path):
    settings = IterateSettings(epochs=12, schedule="converged", tolerance=0.5)
    out = iterated(base, tmp_path / "out", settings)
    rounds = record_of(out)["rounds"]
    assert not rounds[0]["merge"]["taken"] and any(taken(out)[:-1]) and not all(taken(out))
    at = taken(out).index(True)
    falls = [
        1 - now["dev_loss"] / rounds[at - 1]["locales"][name]["dev_loss"]
        for name, now in rounds[at]["locales"].items()
    ]
    assert max(falls) < 0.5


def test_rounds_of_several_epochs_share_them_out(base, tmp_path):
    out = iterated(base, tmp_path / "out", IterateSettings(epochs=5, merge_every=2))
    assert [outcome["epochs"] for outcome in record_of(out)["rounds"]] == [2, 4, 5]


def test_patience_stops_and_keeps_the_best_merge(base, tmp_path):
    settings = IterateSettings(epochs=30, patience=2, target="sv-SE", judge="target")
    judge = data_of("sv-SE")["sv-SE"]
    out = iterated(base, tmp_path / "out", settings, data_of("de-DE", "en-US"), target=judge)
    scores = [outcome["merge"]["score"] for outcome in record_of(out)["rounds"]]
    assert len(scores) < 30 and max(scores[-2:]) <= max(scores[:-2])


# what goes wrong


def test_a_locale_that_fails_is_named_and_the_others_go_on(base, tmp_path):
    data = data_of(*THREE)
    endless = Sentence("x", " ".join(["light"] * 700), "on")  # more than the model has positions for
    data["en-US"] = replace(data["en-US"], train=(*data["en-US"].train, endless))
    said = []
    long = replace(FAST, max_tokens=1000)
    out = iterated(base, tmp_path / "out", PLAIN, data, long, on_progress=lambda *told: said.append(told[2]))
    assert "size of the tensor (702)" in record_of(out)["failed"]["en-US"]
    assert any(text.startswith("en-US is left out from round 1") for text in said)
    assert list(record_of(out)["rounds"][-1]["locales"]) == ["de-DE", "sv-SE"]
    assert "en-US" in (out / "README.md").read_text(encoding="utf-8")


def test_too_few_locales_left_end_the_run_and_say_why(base, tmp_path):
    data = data_of("de-DE", "en-US")
    endless = Sentence("x", " ".join(["light"] * 700), "on")
    data["en-US"] = replace(data["en-US"], train=(endless,))
    with pytest.raises(MuError, match="too few locales are left to merge, 1;") as caught:
        iterated(base, tmp_path / "out", PLAIN, data, replace(FAST, max_tokens=1000))
    assert "size of the tensor (702)" in caught.value.what and not (tmp_path / "out").exists()


class Killer:
    """Sends SIGKILL to its own process at the n-th event of its kind."""

    def __init__(self, when, count):
        self.when, self.left = when, count

    def hook(self, event, arguments):
        if event == "os.rename" and str(arguments[1]).endswith(self.when):
            self.count()

    def progress(self, done, total, text):
        if total and self.when in text:
            self.count()

    def count(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(base, out, settings, when, count, finetune):
    def work():
        import sys

        torch.set_num_threads(1)
        killer = Killer(when, count)
        sys.addaudithook(killer.hook)
        iterated(base, out, settings, finetune=finetune, on_progress=killer.progress)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL and not out.exists()


# In a turn, before a locale's checkpoint is there, before a merge is, before a round is written down, at the very end.
MOMENTS = [("round 1, en-US", 2), ("round 2, sv-SE", 1), ("en-US.safetensors", 2), ("merge.safetensors", 1),
           ("merge.safetensors", 3), ("round.yaml", 2), ("iterate.yaml", 1), ("made.yaml", 1)]  # fmt: skip


DROPPING = replace(FAST, dropout=0.1)
TIES = replace(PLAIN, method="ties")


@pytest.fixture(scope="module")
def straight(base, tmp_path_factory):
    """An iterative training that nobody disturbed."""
    return iterated(base, tmp_path_factory.mktemp("straight") / "out", TIES, finetune=DROPPING)


@pytest.mark.parametrize(("when", "count"), MOMENTS)
def test_what_was_killed_at_any_moment_goes_on_to_the_same_weights(base, straight, tmp_path, when, count):
    killed(base, tmp_path / "out", TIES, when, count, DROPPING)
    steps = []
    out = iterated(
        base, tmp_path / "out", TIES, finetune=DROPPING, on_progress=lambda n, t, _: t and steps.append(n)
    )
    assert bytes_of(out) == bytes_of(straight)
    assert taken(out) == taken(straight)
    assert steps == sorted(steps) and (not steps or steps[-1] == 27) and len(steps) <= 27
    if (when, count) in (("merge.safetensors", 3), ("iterate.yaml", 1)):
        assert steps == []  # all turns were done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_round_without_a_merge_is_gone_on_from_too(base, tmp_path):
    settings = IterateSettings(epochs=4, schedule="gain", min_gain_pp=100.5, method="ties")
    straight = iterated(base, tmp_path / "straight", settings)
    killed(base, tmp_path / "out", settings, "round 3, en-US", 1, FAST)
    assert bytes_of(iterated(base, tmp_path / "out", settings)) == bytes_of(straight)


def test_rounds_of_other_data_are_not_gone_on_from(base, tmp_path):
    killed(base, tmp_path / "out", PLAIN, "round 3, de-DE", 1, FAST)
    other = data_of(*THREE, count=32)
    out = iterated(base, tmp_path / "out", PLAIN, other)
    assert bytes_of(out) == bytes_of(iterated(base, tmp_path / "fresh", PLAIN, other))


def test_what_is_there_is_not_made_again(base, tmp_path):
    out = iterated(base, tmp_path / "out")

    def never(*_):
        raise AssertionError("trained")

    assert iterated(base, tmp_path / "out", on_progress=never) == out
    with pytest.raises(MuError, match="settings"):
        iterated(base, out, replace(PLAIN, epochs=2))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"epochs": 0}, "epochs"),
        ({"schedule": "often"}, "schedule"),
        ({"judge": "target"}, "target"),
        ({"method": "tiess"}, "ties"),
        ({"params": {"densty": 1}}, "densty"),
        ({"training": {"lora_rank": 4}}, "lora_rank"),
        ({"similarity": "REAL", "method": "linear"}, "REAL"),
        ({"weights": {"de-DE": 1.0}}, "en-US"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_the_work(base, tmp_path, wrong, says):
    with pytest.raises(UsageError) as caught:
        iterated(base, tmp_path / "out", replace(PLAIN, **wrong))
    assert says in str(caught.value) and not list(tmp_path.iterdir())

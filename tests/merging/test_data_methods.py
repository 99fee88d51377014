"""Do the methods that read text compute what their papers say, and is their merge repeatable without the text?"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import bert
from transformers import (
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from merginguriel.errors import IncompatibleError, MuError, UsageError
from merginguriel.merging import registry, statistics
from merginguriel.merging.engine import merge, merge_arrays, merge_tensors
from merginguriel.merging.inplace import apply, merge_into
from merginguriel.merging.layerwise_inputs import grams_in_order, units_of, write_in_order
from merginguriel.merging.recipe import Recipe, Source, load_recipe, seen_of_target
from merginguriel.training.adamerging_coefficients import learn

ROWS = [[2, 5, 7, 9, 3], [2, 11, 3], [2, 30, 31, 3], [2, 8, 8, 8, 8, 8, 3], [2, 17, 3], [2, 5, 6, 3]]
TEXTS = [" ".join(f"w{i}" for i in row) for row in ROWS]
NAMES = ("cy-GB", "fr-FR", "vi-VN")
LAYERS = {"num_hidden_layers": 2, "initializer_range": 0.2}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base and three models near it, as fine-tuning leaves them, with a tokenizer of forty words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = tmp_path_factory.mktemp("models")
    made = Tokenizer(WordLevel({f"w{i}": i for i in range(40)}, unk_token="w39"))
    made.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="w0", unk_token="w39")
    for seed, name in enumerate(("base", *NAMES)):
        model = opened(bert(folder / name, 0, **LAYERS))
        torch.manual_seed(seed)
        if name != "base":
            for parameter in model.parameters():
                parameter.data += 0.1 * torch.randn_like(parameter)
        model.save_pretrained(folder / name)
        (folder / name / "vocab.txt").unlink()
        tokenizer.save_pretrained(folder / name)
    return {path.name: path for path in folder.iterdir()}


def opened(path: Path) -> BertForSequenceClassification:
    return AutoModelForSequenceClassification.from_pretrained(path, attn_implementation="eager").eval()


def recipe(models: dict[str, Path], method: str, **changes: object) -> Recipe:
    sources = tuple(
        Source(name, models[name], weight) for name, weight in zip(NAMES, (0.2, 0.3, 0.5), strict=True)
    )
    return replace(Recipe(method, sources, base=models["base"]), **changes)


def with_statistics(found: Recipe, kind: str, folder: Path, **settings: int) -> Recipe:
    sources = tuple(
        replace(s, statistics=statistics.write_statistics(kind, s.path, TEXTS, folder / s.name, **settings))
        for s in found.sources
    )
    return replace(found, sources=sources)


def states(models: dict[str, Path]) -> list[dict[str, torch.Tensor]]:
    return [opened(models[name]).state_dict() for name in NAMES]


# --- Fisher ---


@pytest.mark.parametrize("large_vocabulary", [False, True])
def test_the_fisher_is_the_mean_square_of_gradients_expected_over_labels(
    tmp_path: Path, large_vocabulary: bool
) -> None:
    # A table of more than a thousand words has sparse gradients inside; the numbers must be the same.
    model = opened(bert(tmp_path, 3, **LAYERS, vocab_size=1500 if large_vocabulary else 40))
    found = statistics.fisher(model, ROWS, samples=0)
    expected = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for row in ROWS:
        p = model(input_ids=torch.tensor([row])).logits.softmax(-1)[0]
        for label in range(len(p)):
            model.zero_grad()
            model(input_ids=torch.tensor([row])).logits.log_softmax(-1)[0, label].backward()
            for name, parameter in model.named_parameters():
                expected[name] += p[label].item() * parameter.grad.square() / len(ROWS)
    mean = torch.cat([value.flatten() for value in expected.values()]).mean()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value / mean, rtol=1e-4, atol=1e-5)
    assert all(p.grad is None or not p.grad.is_sparse for p in model.parameters())


@pytest.mark.slow
def test_labels_are_drawn_from_the_models_own_answer_and_approach_the_expectation(
    models: dict[str, Path],
) -> None:
    model = opened(models["fr-FR"])
    exact = statistics.fisher(model, ROWS, samples=0)["classifier.weight"]
    few, again, many = (
        statistics.fisher(model, ROWS, samples=count, seed=seed)["classifier.weight"]
        for count, seed in ((2, 1), (2, 1), (400, 1))
    )
    torch.testing.assert_close(few, again, rtol=0, atol=0)
    assert (many - exact).norm() < 0.15 * exact.norm()
    assert (many - exact).norm() < (few - exact).norm()


@pytest.mark.slow
def test_fisher_dataset_is_the_mean_by_importance(models: dict[str, Path], tmp_path: Path) -> None:
    found = with_statistics(recipe(models, "fisher_dataset"), "importance", tmp_path, samples=0)
    merged = merge_tensors(found)
    importance = [statistics.fisher(opened(models[name]), ROWS, samples=0) for name in NAMES]
    for name, array in merged.items():
        f = torch.stack([own[name].double() for own in importance]).clamp(min=1e-6)
        f *= torch.tensor([0.2, 0.3, 0.5]).double().reshape(-1, *[1] * (f.ndim - 1))
        theta = torch.stack([state[name].double() for state in states(models)])
        np.testing.assert_allclose(array, ((f * theta).sum(0) / f.sum(0)).numpy(), rtol=2e-4, atol=1e-6)


def test_words_that_the_text_lacks_get_the_weighted_mean(models: dict[str, Path], tmp_path: Path) -> None:
    found = with_statistics(recipe(models, "fisher_dataset"), "importance", tmp_path)
    name = "bert.embeddings.word_embeddings.weight"
    plain = merge_tensors(recipe(models, "linear"))[name]
    merged = merge_tensors(found)[name]
    np.testing.assert_allclose(merged[20], plain[20], rtol=1e-5, atol=1e-6)
    assert np.abs(merged[5] - plain[5]).max() > 1e-3


MEMORY = """
import resource, torch
from transformers import BertConfig, BertForSequenceClassification
from merginguriel.merging.statistics import fisher
torch.set_num_threads(1)
model = BertForSequenceClassification(BertConfig(
    vocab_size=60_000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024))
bytes_of_model = 4 * sum(p.numel() for p in model.parameters())
model.eval()(input_ids=torch.tensor([[1, 2, 3]]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fisher(model, [[1, 2, 3, i] for i in range(4, 12)], samples=2)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024 / bytes_of_model)
"""


@pytest.mark.slow
def test_the_fisher_needs_the_memory_of_one_model_and_its_sums() -> None:
    # Holding all gradients beside the sums would be twice the model, gradients per sentence many times.
    ran = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(ran.stdout) < 1.5


# --- RegMean ---


def test_gram_matrices_are_those_of_padding_free_inputs(models: dict[str, Path]) -> None:
    model = opened(models["cy-GB"])
    inputs = []
    handle = model.bert.encoder.layer[1].output.dense.register_forward_pre_hook(
        lambda module, args: inputs.append(args[0][0])
    )
    for row in ROWS:
        model(input_ids=torch.tensor([row]))
    handle.remove()
    x = torch.cat(inputs).detach()
    found = statistics.grams(model, ROWS)["bert.encoder.layer.1.output.dense.weight"]
    torch.testing.assert_close(found, x.T @ x / len(x), rtol=1e-4, atol=1e-5)


def test_regmean_with_all_of_the_gram_matrix_is_joint_least_squares() -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) for _ in range(3)]
    weights = rng.normal(size=(3, 4, 6)).astype(np.float32)
    merged = by_regmean(weights, inputs, alpha=1.0, ridge=1e-9)
    targets = np.concatenate([x @ w.T for x, w in zip(inputs, weights, strict=True)])
    expected = np.linalg.lstsq(np.concatenate(inputs), targets, rcond=None)[0].T
    np.testing.assert_allclose(merged, expected, rtol=1e-3, atol=1e-4)


def test_regmean_is_what_its_paper_writes_with_scaled_off_diagonals() -> None:
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(20, 5)) for _ in range(2)]
    weights = rng.normal(size=(2, 3, 5)).astype(np.float32)
    left, right = np.zeros((5, 5)), np.zeros((5, 3))
    for x, w in zip(inputs, weights, strict=True):
        gram = x.T @ x
        gram = 0.7 * gram + 0.3 * np.diag(np.diag(gram))
        left, right = left + gram, right + gram @ w.T
    merged = by_regmean(weights, inputs, alpha=0.7, ridge=0.0)
    np.testing.assert_allclose(merged, np.linalg.solve(left, right).T, rtol=1e-4, atol=1e-4)
    # With nothing off the diagonal and equal inputs it is the mean.
    same = by_regmean(weights, [inputs[0]] * 2, alpha=0.0)
    np.testing.assert_allclose(same, weights.mean(0), rtol=1e-4, atol=1e-5)


def by_regmean(weights: np.ndarray, inputs: list[np.ndarray], **params: float) -> np.ndarray:
    names = [f"s{i}" for i in range(len(weights))]
    sources = {name: {"w": array} for name, array in zip(names, weights, strict=True)}
    grams = {
        name: {"w": (x.T @ x / len(x)).astype(np.float32)} for name, x in zip(names, inputs, strict=True)
    }
    listed = tuple(Source(name, Path()) for name in names)
    return merge_arrays(Recipe("regmean", listed, params), sources, statistics=grams)["w"]


def test_regmean_answers_more_like_its_sources_than_the_mean_does(
    models: dict[str, Path], tmp_path: Path
) -> None:
    found = with_statistics(recipe(models, "regmean", params={"alpha": 1.0}), "grams", tmp_path)
    wanted = torch.stack([opened(models[name])(**padded()).logits for name in NAMES])
    distances = []
    for one in (found, recipe(models, "linear")):
        model = opened(models["cy-GB"])
        apply(model, merge_tensors(one))
        distances.append(float((model(**padded()).logits - wanted).square().mean().detach()))
    assert distances[0] < distances[1]
    plain = merge_tensors(recipe(models, "linear"))
    merged = merge_tensors(found)
    for name, array in merged.items():
        if not name.endswith("weight") or "LayerNorm" in name or "embeddings" in name:
            np.testing.assert_array_equal(array, plain[name])
        else:
            assert not np.allclose(array, plain[name])


def padded() -> dict[str, torch.Tensor]:
    width = max(map(len, ROWS))
    return {
        "input_ids": torch.tensor([[*row, *[0] * (width - len(row))] for row in ROWS]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ROWS]),
    }


def test_regmean_plus_plus_reads_the_inputs_that_the_merged_layers_below_give(
    models: dict[str, Path], tmp_path: Path
) -> None:
    found = recipe(models, "regmean++")
    files = write_in_order(found, dict.fromkeys(NAMES, TEXTS), tmp_path / "grams")
    found = replace(found, sources=tuple(replace(s, statistics=files[s.name]) for s in found.sources))
    merged = merge_tensors(found)
    # A plain reading: a model whose embeddings and first layer are merged and whose second is one source's own.
    model = opened(models["fr-FR"])
    own = {name: value.clone() for name, value in model.state_dict().items() if ".layer.1." in name}
    apply(model, merged)
    model.load_state_dict(own, strict=False)
    expected = statistics.grams(model, ROWS)
    from safetensors.torch import load_file

    written = load_file(files["fr-FR"])
    assert len(written) == 6 * 2 + 2
    for name in own:
        if name in expected:
            torch.testing.assert_close(written[name], expected[name], rtol=1e-4, atol=1e-5)
    # The head's inputs are those of the whole merged encoder.
    apply(model, merged)
    head = statistics.grams(model, ROWS)["bert.pooler.dense.weight"]
    torch.testing.assert_close(written["bert.pooler.dense.weight"], head, rtol=1e-4, atol=1e-5)


def test_the_first_layer_of_regmean_plus_plus_differs_only_by_merged_embeddings(
    models: dict[str, Path],
) -> None:
    model = opened(models["cy-GB"])
    assert units_of(model, ROWS[:1]) == [
        "bert.encoder.layer.0", "bert.encoder.layer.1", "bert.pooler.dense", "classifier"
    ]  # fmt: skip
    found = grams_in_order(model, recipe(models, "regmean++"), dict.fromkeys(NAMES, ROWS))
    name = "bert.encoder.layer.0.attention.self.query.weight"
    np.testing.assert_allclose(found["cy-GB"][name], found["vi-VN"][name], rtol=1e-4)


# --- AdaMerging ---


def test_no_iterations_are_task_arithmetic(models: dict[str, Path]) -> None:
    for per in ("task", "layer", "tensor"):
        start = recipe(models, "adamerging", params={"iterations": 0, "scale": 0.6, "per": per})
        learnt, trace = learn(start, TEXTS)
        expected = merge_tensors(recipe(models, "task_arithmetic", params={"scale": 0.6}))
        assert trace == []
        for name, array in merge_tensors(learnt).items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)


def test_no_iterations_of_plus_plus_trim_as_ties_does(models: dict[str, Path]) -> None:
    # With all sources agreeing on a sign, ties divides by the weights that agree; one source shows the trim alone.
    one = replace(recipe(models, "adamerging++", params={"iterations": 0, "density": 0.3}))
    one = replace(one, sources=one.sources[:1])
    ties = replace(one, method="ties", params={"density": 0.3}, heads="merge")
    expected = merge_tensors(ties)
    for name, array in merge_tensors(learn(one, TEXTS)[0]).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adamerging", "adamerging++"])
@pytest.mark.parametrize("per", ["task", "layer", "tensor"])
def test_the_search_makes_the_model_surer_and_the_merge_repeats_without_text(
    models: dict[str, Path], tmp_path: Path, method: str, per: str
) -> None:
    params = {"iterations": 30, "lr": 0.03, "batch": 4, "per": per}
    learnt, trace = learn(recipe(models, method, params=params), TEXTS)
    again, _ = learn(recipe(models, method, params=params), TEXTS)
    assert again == learnt
    assert len(trace) == 30
    assert learnt.learnt["entropy_after"] < learnt.learnt["entropy_before"]
    folder = merge(learnt, tmp_path / "out")
    read = load_recipe(folder / "recipe.yaml")
    assert [s.coefficients for s in read.sources] == [s.coefficients for s in learnt.sources]
    assert read.learnt == learnt.learnt
    second = merge(read, tmp_path / "again")
    assert (second / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    # What the search saw at its end is what the merge wrote.
    log_p = opened(folder)(**padded()).logits.log_softmax(-1)
    entropy = float(-(log_p.exp() * log_p).sum(-1).mean().detach())
    assert entropy == pytest.approx(learnt.learnt["entropy_after"], abs=1e-4)


def test_the_gradient_of_a_coefficient_is_that_of_the_entropy(models: dict[str, Path]) -> None:
    # One step of Adam moves each coefficient by the learning rate against the sign of its gradient.
    params = {"iterations": 1, "lr": 1e-3, "batch": len(TEXTS), "per": "task"}
    learnt, _ = learn(recipe(models, "adamerging", params=params), TEXTS)
    for source in learnt.sources:
        around = []
        for step in (-1e-2, 1e-2):
            sources = tuple(
                replace(s, coefficients={"all": s.weight + (step if s.name == source.name else 0)})
                for s in learnt.sources
            )
            model = opened(models["cy-GB"])
            merge_into(model, replace(learnt, sources=sources))
            log_p = model(**padded()).logits.log_softmax(-1)
            around.append(float(-(log_p.exp() * log_p).sum(-1).mean().detach()))
        slope = around[1] - around[0]
        assert source.coefficients["all"] - source.weight == pytest.approx(-1e-3 * np.sign(slope), rel=1e-2)


def test_coefficients_can_be_named_by_tensor_layer_or_all(models: dict[str, Path]) -> None:
    table = {"all": 0.1, "layer 1": 0.2, "embeddings": 0.3, "classifier.bias": 0.4}
    found = recipe(models, "adamerging")
    found = replace(found, sources=(replace(found.sources[0], coefficients=table),))
    base = opened(models["base"]).state_dict()
    delta = {name: value - base[name] for name, value in states(models)[0].items()}
    merged = merge_tensors(found)
    for name, factor in {
        "bert.encoder.layer.0.output.dense.weight": 0.1,
        "bert.encoder.layer.1.output.dense.weight": 0.2,
        "bert.embeddings.word_embeddings.weight": 0.3,
        "classifier.weight": 0.1,
        "classifier.bias": 0.4,
    }.items():
        np.testing.assert_allclose(merged[name], base[name] + factor * delta[name], rtol=1e-5, atol=1e-6)


# --- all ---


def test_a_method_that_has_not_read_its_text_says_how_it_can(models: dict[str, Path]) -> None:
    for name, chosen in registry.all_methods().items():
        if chosen.needs:
            with pytest.raises(UsageError, match="must first read text") as caught:
                merge_tensors(recipe(models, name))
            assert f"--method {name} --target" in caught.value.render()


def test_what_was_seen_of_the_target_is_told(models: dict[str, Path]) -> None:
    assert seen_of_target(recipe(models, "linear")) == "nothing"
    assert seen_of_target(recipe(models, "regmean")) == "unlabelled text"
    assert seen_of_target(recipe(models, "regmean", learnt={"text": "sources"})) == "nothing"
    assert seen_of_target(recipe(models, "linear", similarity="REAL")) == "labels"


def test_statistics_of_another_model_or_kind_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    found = with_statistics(recipe(models, "fisher_dataset"), "grams", tmp_path)
    with pytest.raises(IncompatibleError, match="statistics of"):
        merge_tensors(found)
    with pytest.raises(MuError, match="made in another way"):
        statistics.write_statistics("grams", models["cy-GB"], TEXTS[1:], tmp_path / "cy-GB")


def test_changed_statistics_are_noticed_when_a_merge_is_repeated(
    models: dict[str, Path], tmp_path: Path
) -> None:
    found = with_statistics(recipe(models, "fisher_dataset"), "importance", tmp_path / "s")
    folder = merge(found, tmp_path / "out")
    merge(load_recipe(folder / "recipe.yaml"), tmp_path / "again")
    file = found.sources[0].statistics
    assert file is not None
    save_file({"classifier.bias": torch.ones(3)}, file)
    with pytest.raises(MuError, match="not the file that this recipe was written for"):
        merge(load_recipe(folder / "recipe.yaml"), tmp_path / "third")


def test_statistics_of_a_head_follow_its_labels(models: dict[str, Path], tmp_path: Path) -> None:
    # The same model with its labels in another order must give the same merge, however its head is laid out.
    turned = opened(models["vi-VN"])
    order = [2, 0, 1]
    with torch.no_grad():
        turned.classifier.weight.copy_(turned.classifier.weight[order].clone())
        turned.classifier.bias.copy_(turned.classifier.bias[order].clone())
    labels = [turned.config.id2label[i] for i in order]
    turned.config.id2label = dict(enumerate(labels))
    turned.config.label2id = {label: i for i, label in enumerate(labels)}
    turned.save_pretrained(tmp_path / "turned")
    for file in models["vi-VN"].glob("tokenizer*"):
        (tmp_path / "turned" / file.name).write_bytes(file.read_bytes())
    changed = {**models, "vi-VN": tmp_path / "turned"}
    one, two = (
        merge_tensors(with_statistics(recipe(m, "fisher_dataset"), "importance", tmp_path / name, samples=0))
        for name, m in (("a", models), ("b", changed))
    )
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-3, atol=1e-5)


def test_a_merge_goes_straight_into_a_model_many_times(models: dict[str, Path]) -> None:
    model, kept = opened(models["cy-GB"]), {}
    for method in ("linear", "ties", "task_arithmetic"):
        merge_into(model, recipe(models, method), kept)
        expected = merge_tensors(recipe(models, method))
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), expected[name])
    with pytest.raises(IncompatibleError, match="same tensors"):
        merge_into(model.bert, recipe(models, "linear"), kept)


def test_sentences_are_drawn_by_the_seed() -> None:
    texts = [f"sentence {i}" for i in range(50)] + ["", " sentence 3 "]
    few = statistics.drawn(texts, 10, 0)
    assert few == statistics.drawn(texts, 10, 0)
    assert few != statistics.drawn(texts, 10, 1)
    assert len(set(few)) == 10
    assert len(statistics.drawn(texts, 1000, 0)) == 50
    with pytest.raises(UsageError, match="empty"):
        statistics.drawn(["", " "], 3, 0)

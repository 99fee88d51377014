"""Is a LoRA adapter read as peft merges it, and are adapters merged without a copy of the model?"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from one_tensor import apply
from safetensors.torch import load_file
from tiny_models import LABELS, adapter, bert, recipe, whole, with_words

from merginguriel.errors import CheckpointError
from merginguriel.merging import registry
from merginguriel.merging.engine import merge, merge_tensors
from merginguriel.merging.recipe import Recipe, Source

TARGETS = ["query", "value", "dense"]
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"r": 2, "lora_alpha": 8, "target_modules": TARGETS},
    "rank-stabilised": {"r": 4, "lora_alpha": 3, "use_rslora": True, "target_modules": TARGETS},
    "patterns": {"r": 2, "lora_alpha": 8, "target_modules": TARGETS,
                 "rank_pattern": {"layer.0.attention.self.query": 3, "value": 1},
                 "alpha_pattern": {r"layer\.\d\.output\.dense": 5, "query": 2}},
    "biases and embeddings": {"r": 2, "target_modules": [*TARGETS, "word_embeddings"], "bias": "lora_only"},
    "every bias": {"r": 2, "target_modules": TARGETS, "bias": "all"},
    "all linear": {"r": 3, "target_modules": "all-linear", "modules_to_save": ["classifier", "LayerNorm"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("base") / "base", 0, num_hidden_layers=2)


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_adapter_is_what_peft_merges(base: Path, tmp_path: Path, kind: str) -> None:
    one = adapter(base, tmp_path / "a", 1, **SETTINGS[kind])
    merged = merge_tensors(recipe("linear", one, base=base))
    expected = load_file(whole(one) / "model.safetensors")
    assert merged.keys() == expected.keys()
    changed = 0
    for name, tensor in expected.items():
        np.testing.assert_allclose(merged[name], tensor.numpy(), atol=1e-6, err_msg=name)
        changed += not torch.equal(tensor, load_file(base / "model.safetensors")[name])
    assert changed > 4


@pytest.mark.parametrize("method", ["linear", "task_arithmetic", "ties", "knots_ties"])
def test_adapters_merge_as_their_whole_models_do(base: Path, tmp_path: Path, method: str) -> None:
    adapters = [adapter(base, tmp_path / str(seed), seed, **SETTINGS["patterns"]) for seed in (1, 2)]
    sources = [tuple(Source(f.name, at(f)) for f in adapters) for at in (Path, whole)]
    narrow = merge(Recipe(method, sources[0], base=base), tmp_path / "out")
    for name, array in merge_tensors(Recipe(method, sources[1], base=base)).items():
        found = load_file(narrow / "model.safetensors")[name].numpy()
        # Rounding in B·A may tip an entry over a threshold; hardly any may.
        assert np.mean(np.abs(found - array) > 1e-5) < 0.01, name
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        narrow, output_loading_info=True
    )
    assert not any(info.values())
    assert model.config.id2label == dict(enumerate(LABELS))
    written = (narrow / "recipe.yaml").read_text()
    assert "adapter_model.safetensors" in written and "adapter_config.json" in written


def test_weights_that_are_stored_turned_round_are_found_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=12, bos_token_id=1,
                                     eos_token_id=2)  # fmt: skip
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    with_words(tmp_path / "base")
    one = adapter(
        tmp_path / "base", tmp_path / "a", 1, transformers.AutoModelForCausalLM, r=2, task_type="CAUSAL_LM",
        target_modules=["c_attn", "c_proj"], fan_in_fan_out=True,
    )  # fmt: skip
    merged = merge_tensors(recipe("linear", one, base=tmp_path / "base"))
    for name, tensor in load_file(whole(one) / "model.safetensors").items():
        np.testing.assert_allclose(merged[name], tensor.numpy(), atol=1e-6, err_msg=name)


def test_an_adapter_and_a_whole_model_merge(base: Path, tmp_path: Path) -> None:
    one = adapter(base, tmp_path / "a", 1, **SETTINGS["plain"])
    two = adapter(base, tmp_path / "b", 2, **SETTINGS["plain"])
    mixed = merge_tensors(Recipe("linear", (Source("a", one), Source("b", whole(two))), base=base))
    for name, array in mixed.items():
        mean = sum(load_file(whole(f) / "model.safetensors")[name].numpy() for f in (one, two)) / 2
        np.testing.assert_allclose(array, mean, atol=1e-6)


def test_a_half_precision_base_is_not_rounded_before_the_merge(base: Path, tmp_path: Path) -> None:
    half = transformers.AutoModelForSequenceClassification.from_pretrained(base).to(torch.bfloat16)
    half.save_pretrained(tmp_path / "half")
    half.float().save_pretrained(tmp_path / "wide")
    for name in ("half", "wide"):
        with_words(tmp_path / name)
    one = adapter(tmp_path / "wide", tmp_path / "a", 1, **SETTINGS["plain"])
    recipe = Recipe(
        "task_arithmetic", (Source("a", one),), {"scale": 1.0}, base=tmp_path / "half", dtype="float32"
    )
    expected = load_file(whole(one) / "model.safetensors")
    for name, array in merge_tensors(recipe).items():
        np.testing.assert_allclose(array, expected[name].numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"peft_type": "IA3"}, "kind IA3"),
        ({"use_dora": True}, "use_dora"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa"),
        ({"alpha_pattern": {"(": 3}}, "not a pattern"),
    ],
)
def test_what_is_not_base_plus_a_product_is_refused(
    base: Path, tmp_path: Path, change: dict[str, Any], fault: str
) -> None:
    one = adapter(base, tmp_path / "a", 1, **SETTINGS["plain"])
    config = json.loads((one / "adapter_config.json").read_text())
    (one / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(CheckpointError, match=re.escape(fault)):
        merge_tensors(recipe("linear", one, base=base))


def test_an_adapter_without_weights_or_cut_off_is_named(base: Path, tmp_path: Path) -> None:
    one = adapter(base, tmp_path / "a", 1, **SETTINGS["plain"])
    shutil.copytree(one, tmp_path / "b")
    weights = one / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    (tmp_path / "b" / "adapter_model.safetensors").unlink()
    for folder, fault in ((one, "ends at byte"), (tmp_path / "b", "is missing")):
        with pytest.raises(CheckpointError, match=fault):
            merge_tensors(Recipe("linear", (Source("x", folder),), base=base))


# --- KnOTS ---


@pytest.fixture
def task_vectors() -> np.ndarray:
    random = np.random.default_rng(3)
    factors = random.standard_normal((3, 12, 2)) @ random.standard_normal((3, 2, 9))
    return factors.astype(np.float32)


def test_knots_is_ties_on_the_singular_vectors_that_torch_finds(task_vectors: np.ndarray) -> None:
    base = np.ones((12, 9), np.float32)
    weights, density = [0.5, 0.25, 0.25], 0.4
    left, sizes, right = torch.linalg.svd(
        torch.cat([torch.from_numpy(d).double() for d in task_vectors], 1), full_matrices=False
    )
    kept = sizes > 1e-5
    parts = (sizes[kept, None] * right[kept]).split(9, dim=1)
    expected = torch.zeros_like(parts[0])
    trimmed = []
    for part in parts:
        threshold = part.abs().flatten().sort().values[part.numel() - int(density * part.numel())]
        trimmed.append(torch.where(part.abs() >= threshold, part, 0.0))
    share = torch.tensor(weights).double()[:, None, None]
    stacked = torch.stack(trimmed)
    elected = (share * stacked).sum(0).sign()
    agree = (stacked.sign() == elected) & (stacked != 0)
    expected = (share * stacked * agree).sum(0) / (share * agree).sum(0).clamp(min=1e-12)
    merged = apply("knots_ties", base, base + task_vectors, weights, density=density)
    np.testing.assert_allclose(merged, base + (left[:, kept] @ expected).numpy(), atol=1e-4)


def test_knots_of_one_task_vector_at_density_one_is_that_model(task_vectors: np.ndarray) -> None:
    base = np.zeros((12, 9), np.float32)
    merged = apply("knots_ties", base, task_vectors[:1], [1.0], density=1.0)
    np.testing.assert_allclose(merged, task_vectors[0], atol=1e-5)


def test_knots_declares_that_it_is_for_matrices() -> None:
    assert registry.get("knots_ties").matrices
    assert registry.get("knots_ties").needs_base

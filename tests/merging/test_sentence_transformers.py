"""Folders of sentence-transformers: every module is merged, and the result is what SentenceTransformer makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file
from tiny_models import recipe

from merginguriel.errors import CheckpointError, IncompatibleError, MuWarning
from merginguriel.evaluation import embedding, sentence_pairs
from merginguriel.merging.engine import merge, merge_tensors, plan
from merginguriel.merging.recipe import Recipe, Source, load_recipe
from merginguriel.models.base_models import base_model, pooling_of

st = pytest.importorskip("sentence_transformers")
modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
evaluation = pytest.importorskip("sentence_transformers.sentence_transformer.evaluation")

SENTENCES = ["w1 w2 w3", "w4 w5", "w9 w1 w22 w23 w4 w5 w6", "w30"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(35))]
SHAPE = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 32}  # fmt: skip


def body(folder: Path, seed: int) -> Path:
    """A small BERT with a tokenizer, saved by transformers."""
    torch.manual_seed(seed)
    model = transformers.BertModel(transformers.BertConfig(**SHAPE))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def sentence_model(folder: Path, seed: int, pooling: Any = "mean", *, dense: bool = True) -> Path:
    """Transformer, Pooling, with `dense` also Dense and LayerNorm, and Normalize, saved by sentence-transformers."""
    parts = [modules.Transformer(str(body(folder.with_name(f"{folder.name}-body"), seed)))]
    parts.append(modules.Pooling(16, pooling_mode=pooling))
    if dense:
        parts += [modules.Dense(parts[1].pooling_output_dimension, 8), modules.LayerNorm(8)]
        torch.nn.init.normal_(parts[-1].norm.weight)
        torch.nn.init.normal_(parts[-1].norm.bias)
    st.SentenceTransformer(modules=[*parts, modules.Normalize()]).save(str(folder))
    return folder


def old_layout(folder: Path, source: Path) -> Path:
    """The same model in the layout and notation of sentence-transformers 2: 0_Transformer, pooling_mode_*."""
    shutil.copytree(source, folder)
    (folder / "0_Transformer").mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in (
            "modules.json",
            "README.md",
            "config_sentence_transformers.json",
        ):
            path.rename(folder / "0_Transformer" / path.name)
    (folder / "0_Transformer" / "sentence_bert_config.json").write_text(
        '{"max_seq_length": 32, "do_lower_case": false}'
    )
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["path"] = "0_Transformer"
    for one in listed:
        one["type"] = f"sentence_transformers.models.{one['type'].rpartition('.')[2]}"
    (folder / "modules.json").write_text(json.dumps(listed))
    path = folder / "1_Pooling" / "config.json"
    now = json.loads(path.read_text())
    modes = {f"pooling_mode_{name}": False for name in ("cls_token", "mean_tokens", "max_tokens")}
    for mode in [now["pooling_mode"]] if isinstance(now["pooling_mode"], str) else now["pooling_mode"]:
        modes[f"pooling_mode_{mode}_{'token' if mode == 'cls' else 'tokens'}"] = True
    path.write_text(json.dumps({"word_embedding_dimension": 16, **modes}))
    (folder / "4_Normalize" / "config.json").unlink(missing_ok=True)
    return folder


def by_hand(folder: Path, template: Path, tensors: Any) -> Path:
    """A copy of `template` in which `tensors(file)` replaces the tensors of every weight file."""
    shutil.copytree(template, folder)
    for path in folder.rglob("model.safetensors"):
        name = path.relative_to(folder)
        path.unlink()
        save_file(tensors(name), path, metadata={"format": "pt"})
    return folder


def vectors(folder: Path) -> np.ndarray:
    return st.SentenceTransformer(str(folder)).encode(SENTENCES)


def slerp(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Shoemake 1985, half way."""
    one, two = (x.astype(np.float64).reshape(-1) for x in (a, b))
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    angle = np.arccos(np.clip(cosine, -1, 1))
    mixed = (one + two) / 2 if np.sin(angle) < 1e-6 else (one + two) * np.sin(angle / 2) / np.sin(angle)
    return mixed.reshape(a.shape).astype(np.float32)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return sentence_model(folder / "a", 1), sentence_model(folder / "b", 2)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_sentence_vectors_are_those_of_a_merge_by_hand(sources, tmp_path: Path, method: str) -> None:
    a, b = sources
    out = merge(recipe(method, a, b), tmp_path / "out")

    def merged(name: Path) -> dict[str, np.ndarray]:
        one, two = load_file(a / name), load_file(b / name)
        return {
            key: (one[key] + two[key]) / 2 if method == "linear" else slerp(one[key], two[key]) for key in one
        }

    expected = vectors(by_hand(tmp_path / "hand", a, merged))
    found = vectors(out)
    assert found.shape == (len(SENTENCES), 8)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - vectors(a)).max() > 0.01
    np.testing.assert_allclose(embedding.vectors(out, SENTENCES), found, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("method", ["task_arithmetic", "ties"])
def test_the_base_may_have_the_modules_or_not(sources, tmp_path: Path, method: str, dense: bool) -> None:
    a, b = sources
    base = sentence_model(tmp_path / "base", 3) if dense else body(tmp_path / "base", 3)
    params = {"density": 1.0, "scale": 1.0} if method == "ties" else {"scale": 1.0}
    out = merge(recipe(method, a, b, base=base, params=params), tmp_path / "out")

    def merged(name: Path) -> dict[str, np.ndarray]:
        one, two = load_file(a / name), load_file(b / name)
        if not (base / name).is_file():
            return {key: (one[key] + two[key]) / 2 for key in one}
        start = load_file(base / name)
        if method == "task_arithmetic":
            return {key: start[key] + (one[key] - start[key] + two[key] - start[key]) / 2 for key in one}
        return {key: start[key] + disjoint_mean(one[key] - start[key], two[key] - start[key]) for key in one}

    np.testing.assert_allclose(
        vectors(out), vectors(by_hand(tmp_path / "hand", a, merged)), atol=1e-5 if method == "ties" else 1e-6
    )


def disjoint_mean(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """TIES of two task vectors without a trim: the mean of the entries that have the sign of the sum."""
    stacked = np.stack([one, two])
    agree = (np.sign(stacked) == np.sign(stacked.sum(0))) & (stacked != 0)
    return (stacked * agree).sum(0) / np.maximum(agree.sum(0), 1)


@pytest.mark.slow
def test_every_file_of_the_model_is_written_and_the_card_has_its_metadata(sources, tmp_path: Path) -> None:
    out = merge(recipe("linear", *sources), tmp_path / "out")
    own = {p.relative_to(sources[0]) for p in sources[0].rglob("*") if p.is_file()}
    assert own <= {p.relative_to(out) for p in out.rglob("*") if p.is_file()}
    for name in own - {Path("README.md"), Path("config.json")}:
        if name.suffix == ".json":
            assert (out / name).read_bytes() == (sources[0] / name).read_bytes()
    card = (out / "README.md").read_text()
    assert "library_name: sentence-transformers" in card and "pipeline_tag: sentence-similarity" in card
    assert "- sentence-similarity" in card and "- merge" in card
    written = (out / "recipe.yaml").read_text()
    assert "2_Dense/model.safetensors" in written and "1_Pooling/config.json" in written


def test_the_plan_counts_the_modules_and_a_pattern_may_name_them(sources) -> None:
    planned = plan(recipe("linear", *sources))
    only = plan(recipe("linear", *sources, include=("2_Dense/*",)))
    assert planned["tensors"] == len(load_file(sources[0] / "model.safetensors")) + 4
    assert only["how"]["merged by linear"] == 2


@pytest.mark.slow
def test_a_model_of_an_old_layout_merges_with_itself_and_with_a_new_one(sources, tmp_path: Path) -> None:
    old = old_layout(tmp_path / "old", sources[0])
    np.testing.assert_allclose(vectors(old), vectors(sources[0]), atol=1e-6)
    expected = vectors(merge(recipe("linear", *sources), tmp_path / "new"))
    mixed = Recipe("linear", (Source("a", old), Source("b", sources[1])))
    out = merge(mixed, tmp_path / "mixed")
    assert (out / "0_Transformer" / "model.safetensors").is_file() and not (out / "config.json").exists()
    assert (out / "0_Transformer" / "tokenizer.json").is_file()
    np.testing.assert_allclose(vectors(out), expected, atol=1e-6)
    np.testing.assert_allclose(embedding.vectors(out, SENTENCES), expected, atol=1e-5)


@pytest.mark.slow
def test_different_pooling_is_refused_in_any_notation(sources, tmp_path: Path) -> None:
    cls = sentence_model(tmp_path / "c", 4, "cls")
    for other in (cls, old_layout(tmp_path / "d", cls)):
        with pytest.raises(IncompatibleError, match=r"pooling is mean in a, cls in [cd]"):
            plan(recipe("linear", sources[0], other))
    assert pooling_of(cls) == "cls"
    plan(Recipe("linear", (Source("c", cls), Source("d", tmp_path / "d"))))


@pytest.mark.slow
def test_other_modules_or_settings_are_refused(sources, tmp_path: Path) -> None:
    bare = sentence_model(tmp_path / "bare", 4, dense=False)
    with pytest.raises(IncompatibleError, match="their modules differ") as caught:
        plan(recipe("linear", sources[0], bare))
    assert "Dense + LayerNorm" in str(caught.value.hint)
    with pytest.raises(IncompatibleError, match="their modules differ"):
        plan(recipe("linear", sources[0], body(tmp_path / "plain", 5)))
    relu = shutil.copytree(sources[1], tmp_path / "relu")
    config = json.loads((relu / "2_Dense" / "config.json").read_text())
    config["activation_function"] = "torch.nn.modules.activation.ReLU"
    (relu / "2_Dense" / "config.json").write_text(json.dumps(config))
    with pytest.raises(IncompatibleError, match="activation_function of Dense"):
        plan(recipe("linear", sources[0], relu))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"type": "custom_st.Dense"}, "custom type custom_st.Dense"),
        ({"type": "sentence_transformers.models.Router"}, "is a Router"),
        ({"path": "../elsewhere"}, "not a folder inside"),
        ({"path": 3}, "lacks a path"),
    ],
)
def test_a_module_that_cannot_be_merged_is_named(sources, tmp_path: Path, change: Any, fault: str) -> None:
    odd = shutil.copytree(sources[1], tmp_path / "odd")
    listed = json.loads((odd / "modules.json").read_text())
    listed[2] |= change
    (odd / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match=fault):
        plan(recipe("linear", sources[0], odd))


def test_a_module_without_safetensors_is_named(sources, tmp_path: Path) -> None:
    odd = shutil.copytree(sources[1], tmp_path / "odd")
    (odd / "2_Dense" / "model.safetensors").rename(odd / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled") as caught:
        plan(recipe("linear", sources[0], odd))
    assert "SentenceTransformer(" in str(caught.value.hint)


def test_equal_models_give_the_model_and_a_changed_module_is_noticed(sources, tmp_path: Path) -> None:
    twin = shutil.copytree(sources[0], tmp_path / "twin")
    out = merge(recipe("linear", sources[0], twin), tmp_path / "out")
    for name, array in load_file(sources[0] / "2_Dense" / "model.safetensors").items():
        np.testing.assert_array_equal(load_file(out / "2_Dense" / "model.safetensors")[name], array)
    again = load_recipe(out / "recipe.yaml")
    changed = load_file(twin / "2_Dense" / "model.safetensors")
    (twin / "2_Dense" / "model.safetensors").unlink()
    save_file({k: v + 1 for k, v in changed.items()}, twin / "2_Dense" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"2_Dense/model.safetensors of twin is not the file"):
        merge(again, tmp_path / "again")


@pytest.mark.slow
def test_other_settings_of_use_are_a_note_with_both_values(tmp_path: Path) -> None:
    one, two = (sentence_model(tmp_path / name, seed) for seed, name in enumerate("ab"))
    model = st.SentenceTransformer(str(two), prompts={"query": "query: "}, default_prompt_name="query")
    model.similarity_fn_name = "dot"
    model.save(str(tmp_path / "c"))
    with pytest.warns(MuWarning) as found:
        merge(recipe("average", one, tmp_path / "c"), tmp_path / "out")
    notes = " ".join(str(one.message) for one in found)
    for key in ("default_prompt_name is None in a, 'query' in c", "similarity_fn_name", "prompts"):
        assert key in notes
    assert st.SentenceTransformer(str(tmp_path / "out")).default_prompt_name is None


@pytest.mark.parametrize(
    "pooling", ["cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ("cls", "mean", "max")]
)
def test_scores_use_the_pooling_that_the_folder_declares(tmp_path: Path, pooling: Any) -> None:
    folder = sentence_model(tmp_path / "m", 6, pooling)
    np.testing.assert_allclose(embedding.vectors(folder, SENTENCES), vectors(folder), atol=1e-5)
    pairs = [
        sentence_pairs.SentencePair(a, b, i + j / 7)
        for i, a in enumerate(SENTENCES)
        for j, b in enumerate(SENTENCES)
        if i < j
    ]
    judge = evaluation.EmbeddingSimilarityEvaluator(
        [p.first for p in pairs],
        [p.second for p in pairs],
        [p.score for p in pairs],
        main_similarity="cosine",
    )
    expected = judge(st.SentenceTransformer(str(folder)))["spearman_cosine"]
    assert sentence_pairs.proxy(folder, pairs).spearman == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_prompt_and_longest_length_apply_to_scores(tmp_path: Path) -> None:
    folder = sentence_model(tmp_path / "m", 7)
    top = folder / "config_sentence_transformers.json"
    settings = json.loads(top.read_text()) | {"prompts": {"query": "w7 w8 "}, "default_prompt_name": "query"}
    top.write_text(json.dumps(settings))
    model = st.SentenceTransformer(str(folder))
    model.max_seq_length = 5
    model.save(str(tmp_path / "short"))
    for one in (folder, tmp_path / "short"):
        np.testing.assert_allclose(embedding.vectors(one, SENTENCES), vectors(one), atol=1e-5)


@pytest.mark.slow
def test_a_base_model_is_copied_with_its_modules(tmp_path: Path) -> None:
    folder = sentence_model(tmp_path / "m", 8, "cls")
    copied = base_model(str(folder), tmp_path / "base")
    assert pooling_of(copied) == "cls"
    np.testing.assert_array_equal(vectors(copied), vectors(folder))


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True])
def test_an_adapter_saved_by_sentence_transformers_has_its_modules(tmp_path: Path, old: bool) -> None:
    new = sentence_model(tmp_path / "new", 3)
    base = old_layout(tmp_path / "base", new) if old else new
    model = st.SentenceTransformer(str(new))
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False))
    model.save(str(tmp_path / "a"))
    out = merge(recipe("linear", tmp_path / "a", base=base), tmp_path / "out")
    np.testing.assert_allclose(vectors(out), model.encode(SENTENCES), atol=1e-6)
    assert np.abs(vectors(out) - vectors(new)).max() > 0.01


@pytest.mark.slow
def test_vocabularies_of_sentence_models_are_aligned_by_token(sources, tmp_path: Path) -> None:
    wide = st.SentenceTransformer(str(sources[1]))
    wide.tokenizer.add_tokens(["<x>"])
    wide[0].auto_model.resize_token_embeddings(41, mean_resizing=False)
    wide.save(str(tmp_path / "wide"))
    out = merge(recipe("linear", sources[0], tmp_path / "wide", vocab="common"), tmp_path / "out")
    expected = merge(recipe("linear", *sources), tmp_path / "expected")
    np.testing.assert_allclose(vectors(out), vectors(expected), atol=1e-6)


def test_merges_in_memory_name_the_tensors_of_modules(sources) -> None:
    merged = merge_tensors(recipe("linear", *sources))
    assert merged["2_Dense/linear.weight"].shape == (8, 16)

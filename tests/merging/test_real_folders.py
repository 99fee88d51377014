"""Folders as transformers, sentencepiece and the Trainer write them: merged right, or refused with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from real_folders import (
    OTHER_TEXT,
    TEXT,
    bert,
    byte_pairs,
    causal,
    deberta,
    logits,
    mean_by_hand,
    modernbert,
    save,
    word_tokenizer,
    xlm_r,
)
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import prune_linear_layer

from merginguriel.errors import MuError, MuWarning
from merginguriel.merging.engine import merge
from merginguriel.merging.recipe import Recipe, Source, recipe_from_flags

pytestmark = pytest.mark.lab


def averaged(one: Path, two: Path, out: Path, base: Path | None = None) -> Path:
    return merge(Recipe("average", (Source("fr-FR", one), Source("vi-VN", two)), base=base), out)


def refused(one: Path, two: Path, out: Path, base: Path | None = None) -> str:
    with pytest.raises(MuError) as caught:
        averaged(one, two, out, base)
    assert not out.exists()
    return caught.value.render()


def edited(folder: Path, **changes: Any) -> Path:
    """Change keys of config.json; None removes one."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def renamed(folder: Path, rename: Callable[[str], str | None]) -> Path:
    """Rename the tensors in a folder; None drops one."""
    tensors = load_file(folder / "model.safetensors")
    pairs = {rename(name): tensor.clone() for name, tensor in tensors.items()}
    pairs.pop(None, None)
    save_file(pairs, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def same_as_by_hand(out: Path, one: Path, two: Path, tmp_path: Path, auto: Any = None) -> None:
    by_hand = mean_by_hand(one, two, tmp_path / "by-hand", auto)
    torch.testing.assert_close(logits(out, auto=auto), logits(by_hand, auto=auto), atol=1e-4, rtol=1e-4)


# --- tokenizers ---


def without_tokenizer(folder: Path) -> Path:
    for path in folder.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    return folder


def test_models_without_a_tokenizer_are_not_merged(tmp_path: Path) -> None:
    one, two = (without_tokenizer(bert(tmp_path / name, seed)) for seed, name in enumerate("ab"))
    text = refused(one, two, tmp_path / "out")
    assert "no tokenizer" in text
    assert "processing_class" in text


def test_models_without_a_tokenizer_get_that_of_the_pretrained_base(tmp_path: Path) -> None:
    one, two = (bert(tmp_path / name, seed) for seed, name in enumerate("ab"))
    base = bert(tmp_path / "base", 3)
    expected = averaged(one, two, tmp_path / "expected")
    with pytest.warns(MuWarning, match="fr-FR has no tokenizer: that of the base is used"):
        out = averaged(without_tokenizer(one), without_tokenizer(two), tmp_path / "out", base)
    torch.testing.assert_close(logits(out), logits(expected))


def test_a_settings_file_alone_is_no_tokenizer(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    (one / "tokenizer.json").unlink()
    assert "no tokenizer" in refused(one, two, tmp_path / "out")


def test_a_vocabulary_larger_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    one, two = (bert(tmp_path / name, seed, vocab_size=20) for seed, name in enumerate("ab"))
    assert "but the model has embeddings for 20" in refused(one, two, tmp_path / "out")


def test_a_vocabulary_of_sentence_pieces_larger_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    one, two = (deberta(tmp_path / name, seed, vocab_size=20) for seed, name in enumerate("ab"))
    assert "but the model has embeddings for 20" in refused(one, two, tmp_path / "out")


def test_debertas_with_spm_model_alone_merge_with_their_tokenizer(tmp_path: Path) -> None:
    one, two = deberta(tmp_path / "a", 1), deberta(tmp_path / "b", 2)
    out = averaged(one, two, tmp_path / "out")
    assert (out / "spm.model").read_bytes() == (one / "spm.model").read_bytes()
    same_as_by_hand(out, one, two, tmp_path)


def test_two_vocabularies_in_spm_model_are_not_merged(tmp_path: Path) -> None:
    one, two = deberta(tmp_path / "a", 1), deberta(tmp_path / "b", 2, OTHER_TEXT)
    text = refused(one, two, tmp_path / "out")
    assert "tokenizers differ" in text
    assert "missing in vi-VN" in text


def test_a_sentencepiece_model_and_the_tokenizer_json_made_of_it_are_one_tokenizer(tmp_path: Path) -> None:
    one, two = deberta(tmp_path / "a", 1), deberta(tmp_path / "b", 2)
    transformers.AutoTokenizer.from_pretrained(two).save_pretrained(two)
    (two / "spm.model").unlink()
    out = averaged(one, two, tmp_path / "out")
    same_as_by_hand(out, one, two, tmp_path)


def test_xlm_rs_with_a_sentencepiece_model_alone_and_with_a_tokenizer_json_merge(tmp_path: Path) -> None:
    one, two = xlm_r(tmp_path / "a", 1), xlm_r(tmp_path / "b", 2)
    assert not (one / "tokenizer.json").exists()
    transformers.AutoTokenizer.from_pretrained(two).save_pretrained(two)
    assert (two / "tokenizer.json").exists()
    out = averaged(one, two, tmp_path / "out")
    assert (out / "sentencepiece.bpe.model").is_file()
    same_as_by_hand(out, one, two, tmp_path)
    larger = xlm_r(tmp_path / "c", 3, TEXT + OTHER_TEXT)
    assert "tokenizers differ" in refused(one, larger, tmp_path / "no")


def edit_tokenizer(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def test_merges_as_text_and_as_pairs_are_one_tokenizer(tmp_path: Path) -> None:
    one, two = causal(tmp_path / "a", 1), causal(tmp_path / "b", 2)

    def as_text(content: dict[str, Any]) -> None:
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]

    edit_tokenizer(two, as_text)
    same_as_by_hand(
        averaged(one, two, tmp_path / "out"), one, two, tmp_path, transformers.AutoModelForCausalLM
    )


def test_an_old_metaspace_is_the_new_one(tmp_path: Path) -> None:
    one, two = deberta(tmp_path / "a", 1), deberta(tmp_path / "b", 2)
    for folder in (one, two):
        transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
        (folder / "spm.model").unlink()

    def old(content: dict[str, Any]) -> None:
        content["pre_tokenizer"] = {
            "type": "Metaspace", "replacement": "▁", "add_prefix_space": True, "str_rep": "▁",
        }  # fmt: skip

    edit_tokenizer(two, old)
    assert averaged(one, two, tmp_path / "out")


def test_another_flag_of_an_added_token_is_a_note(tmp_path: Path) -> None:
    one, two = causal(tmp_path / "a", 1), causal(tmp_path / "b", 2)

    def strip(content: dict[str, Any]) -> None:
        content["added_tokens"][0]["lstrip"] = True

    edit_tokenizer(two, strip)
    with pytest.warns(MuWarning, match="another lstrip in fr-FR than in vi-VN"):
        assert averaged(one, two, tmp_path / "out")


def test_another_split_with_the_same_tokens_is_a_note_with_an_example(tmp_path: Path) -> None:
    one = bert(tmp_path / "a", 1, tokenizer=word_tokenizer(lower=True))
    two = bert(tmp_path / "b", 2, tokenizer=word_tokenizer(lower=True))
    content = json.loads((two / "tokenizer_config.json").read_text())
    (two / "tokenizer_config.json").write_text(json.dumps({**content, "do_lower_case": False}))
    edit_tokenizer(two, lambda table: table["normalizer"].update(lowercase=False))
    with pytest.warns(MuWarning, match="same tokens but split 'Turn on the light, please!' differently"):
        assert averaged(one, two, tmp_path / "out")


def test_the_chat_template_comes_along(tmp_path: Path) -> None:
    one, two = causal(tmp_path / "a", 1), causal(tmp_path / "b", 2)
    tokenizer = byte_pairs()
    tokenizer.chat_template = {"default": "{{ messages }}", "tools": "{{ tools }}"}
    tokenizer.save_pretrained(one)
    out = averaged(one, two, tmp_path / "out")
    assert (out / "chat_template.jinja").read_text() == "{{ messages }}"
    assert (out / "additional_chat_templates" / "tools.jinja").read_text() == "{{ tools }}"


# --- names of tensors ---


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "base_model.model.", "model."])
def test_names_from_wrappers_are_stripped(tmp_path: Path, prefix: str) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    expected = averaged(one, two, tmp_path / "expected")
    renamed(one, lambda name: prefix + name)
    out = averaged(one, two, tmp_path / "out")
    torch.testing.assert_close(logits(out), logits(expected))
    both = averaged(one, renamed(two, lambda name: prefix + name), tmp_path / "both")
    torch.testing.assert_close(logits(both), logits(expected))


@pytest.mark.slow
def test_a_state_dict_of_a_really_compiled_and_wrapped_model_is_that_of_the_model(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    expected = averaged(one, two, tmp_path / "expected")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(one)
    model.bert.encoder = torch.compile(model.bert.encoder)
    wrapped = torch.nn.DataParallel(torch.compile(model))
    save_file(
        {name: tensor.clone() for name, tensor in wrapped.state_dict().items()},
        one / "model.safetensors",
        metadata={"format": "pt"},
    )
    torch.testing.assert_close(logits(averaged(one, two, tmp_path / "out")), logits(expected))


def old_names(name: str) -> str:
    """The name in checkpoints that TensorFlow wrote, such as bert-base-uncased."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def test_gamma_and_beta_are_weight_and_bias(tmp_path: Path) -> None:
    one, two = renamed(bert(tmp_path / "a", 1), old_names), bert(tmp_path / "b", 2)
    same_as_by_hand(averaged(one, two, tmp_path / "out"), one, two, tmp_path)


def test_a_base_with_gamma_and_beta_gives_the_task_vectors_of_the_new_names(tmp_path: Path) -> None:
    sources = (Source("fr-FR", bert(tmp_path / "a", 1)), Source("vi-VN", bert(tmp_path / "b", 2)))
    base = bert(tmp_path / "base", 3, kind=transformers.BertForMaskedLM)
    new = merge(Recipe("ties", sources, base=base), tmp_path / "new")
    old = merge(Recipe("ties", sources, base=renamed(base, old_names)), tmp_path / "old")
    assert (old / "model.safetensors").read_bytes() == (new / "model.safetensors").read_bytes()


def test_positions_that_one_file_stores_are_left_out(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    expected = averaged(one, two, tmp_path / "expected")
    tensors = load_file(one / "model.safetensors")
    tensors["bert.embeddings.position_ids"] = torch.arange(64)[None]
    save_file(tensors, one / "model.safetensors", metadata={"format": "pt"})
    for first, second in ((one, two), (two, one)):
        out = averaged(first, second, tmp_path / first.name / "out")
        torch.testing.assert_close(logits(out), logits(expected))
    out = averaged(bert(tmp_path / "c", 1), two, tmp_path / "base-out", one)
    torch.testing.assert_close(logits(out), logits(expected))


def test_tied_and_untied_output_layers_merge_into_one_of_its_own(tmp_path: Path) -> None:
    auto = transformers.AutoModelForCausalLM
    tied = causal(tmp_path / "a", 1, tie_word_embeddings=True)
    free = causal(tmp_path / "b", 2, tie_word_embeddings=False)
    with pytest.warns(MuWarning, match="tied to the embeddings in fr-FR, but not in vi-VN"):
        out = averaged(tied, free, tmp_path / "out")
    one, two = load_file(tied / "model.safetensors"), load_file(free / "model.safetensors")
    assert "lm_head.weight" not in one
    merged = auto.from_pretrained(out).state_dict()
    words = "model.embed_tokens.weight"
    torch.testing.assert_close(merged["lm_head.weight"], (one[words] + two["lm_head.weight"]) / 2)
    torch.testing.assert_close(merged[words], (one[words] + two[words]) / 2)
    apart = auto.from_pretrained(tied)
    apart.config.tie_word_embeddings = False
    apart.lm_head.weight = torch.nn.Parameter(apart.lm_head.weight.detach().clone())
    apart.save_pretrained(tmp_path / "apart")
    shutil.copy(tied / "tokenizer.json", tmp_path / "apart")
    by_hand = mean_by_hand(tmp_path / "apart", free, tmp_path / "by-hand", auto)
    torch.testing.assert_close(logits(out, auto=auto), logits(by_hand, auto=auto), atol=1e-4, rtol=1e-4)


def test_a_stored_copy_of_a_tied_layer_is_left_out(tmp_path: Path) -> None:
    auto = transformers.AutoModelForCausalLM
    one, two = (causal(tmp_path / name, seed, tie_word_embeddings=True) for seed, name in enumerate("ab"))
    tensors = load_file(two / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, two / "model.safetensors", metadata={"format": "pt"})
    out = averaged(one, two, tmp_path / "out")
    assert "lm_head.weight" not in load_file(out / "model.safetensors")
    same_as_by_hand(out, one, two, tmp_path, auto)


def test_task_vectors_of_an_untied_layer_start_at_the_tied_base(tmp_path: Path) -> None:
    free = [causal(tmp_path / name, seed, tie_word_embeddings=False) for seed, name in enumerate("ab")]
    base = causal(tmp_path / "base", 5, tie_word_embeddings=True)
    sources = (Source("fr-FR", free[0]), Source("vi-VN", free[1]))
    out = merge(Recipe("task_arithmetic", sources, {"scale": 0.5}, base=base), tmp_path / "out")
    states = [load_file(folder / "model.safetensors") for folder in (*free, base, out)]
    mean = (states[0]["lm_head.weight"] + states[1]["lm_head.weight"]) / 2
    expected = (mean + states[2]["model.embed_tokens.weight"]) / 2
    torch.testing.assert_close(states[3]["lm_head.weight"], expected, atol=1e-5, rtol=1e-5)


def test_masked_models_with_and_without_the_copied_decoder_merge(tmp_path: Path) -> None:
    kind = transformers.BertForMaskedLM
    one, two = (bert(tmp_path / name, seed, kind=kind) for seed, name in enumerate("ab"))
    tensors = load_file(one / "model.safetensors")
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
    save_file(tensors, one / "model.safetensors", metadata={"format": "pt"})
    out = averaged(one, two, tmp_path / "out")
    same_as_by_hand(out, one, two, tmp_path, transformers.AutoModelForMaskedLM)


# --- configs ---


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"classifier_pooling": "mean"}, "classifier_pooling is 'cls' in fr-FR, 'mean' in vi-VN"),
        ({"local_attention": 32}, "local_attention is 8 in fr-FR, 32 in vi-VN"),
        (
            {"rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 5000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            }},
            "rope_parameters.full_attention.rope_theta is 160000.0 in fr-FR, 5000.0 in vi-VN",
        ),
    ],
)  # fmt: skip
def test_settings_of_modernbert_that_change_no_shape_are_refused(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    one, two = modernbert(tmp_path / "a", 1), modernbert(tmp_path / "b", 2, **changes)
    assert named in refused(one, two, tmp_path / "out")


def test_settings_of_deberta_that_change_no_shape_are_refused(tmp_path: Path) -> None:
    one, two = deberta(tmp_path / "a", 1), deberta(tmp_path / "b", 2, pos_att_type=["c2p"])
    assert "pos_att_type is ['p2c', 'c2p'] in fr-FR, ['c2p'] in vi-VN" in refused(one, two, tmp_path / "out")


def test_settings_of_use_and_training_may_differ(tmp_path: Path) -> None:
    one = bert(tmp_path / "a", 1)
    two = bert(tmp_path / "b", 2, hidden_dropout_prob=0.4, classifier_dropout=0.2, initializer_range=0.5)
    edited(
        two, transformers_version="4.30.0", _name_or_path="bert-base", torch_dtype="float32", use_cache=False,
        gradient_checkpointing=True, problem_type="single_label_classification",
    )  # fmt: skip
    same_as_by_hand(averaged(one, two, tmp_path / "out"), one, two, tmp_path)


def test_another_reading_of_the_scores_is_a_note(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1, problem_type="multi_label_classification"), bert(tmp_path / "b", 2)
    with pytest.warns(MuWarning, match="problem_type is 'multi_label_classification' in fr-FR, not set"):
        averaged(one, two, tmp_path / "out")


def test_a_key_at_its_default_equals_a_missing_one(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    edited(two, layer_norm_eps=None, hidden_act=None, type_vocab_size=None)
    assert averaged(one, two, tmp_path / "out")
    edited(one, hidden_act="relu")
    assert "hidden_act is 'relu' in fr-FR, 'gelu' in vi-VN" in refused(one, two, tmp_path / "o")


def test_a_config_of_transformers_4_equals_that_of_5(tmp_path: Path) -> None:
    one, two = modernbert(tmp_path / "a", 1), modernbert(tmp_path / "b", 2)
    edited(
        two, rope_parameters=None, layer_types=None, global_rope_theta=160000.0, local_rope_theta=10000.0,
        dtype=None, torch_dtype="float32", transformers_version="4.48.0",
    )  # fmt: skip
    assert averaged(one, two, tmp_path / "out")


def test_ids_of_special_tokens_of_generators_may_differ_with_a_note(tmp_path: Path) -> None:
    one, two = causal(tmp_path / "a", 1), causal(tmp_path / "b", 2, pad_token_id=0, eos_token_id=[0, 1])
    with pytest.warns(MuWarning) as caught:
        averaged(one, two, tmp_path / "out")
    text = " ".join(str(one.message) for one in caught)
    assert "eos_token_id is 0 in fr-FR, [0, 1] in vi-VN" in text
    assert "pad_token_id is not set in fr-FR, 0 in vi-VN" in text
    pads = [bert(tmp_path / f"bert-{pad}", pad, pad_token_id=pad) for pad in (0, 1)]
    assert "pad_token_id is 0 in fr-FR, 1 in vi-VN" in refused(*pads, tmp_path / "no")


def test_a_base_may_pool_differently_than_the_models_trained_from_it(tmp_path: Path) -> None:
    sources = tuple(
        Source(name, modernbert(tmp_path / name, seed, classifier_pooling="mean"))
        for seed, name in enumerate("ab")
    )
    base = tmp_path / "base"
    settings = json.loads((sources[0].path / "config.json").read_text())
    settings.pop("classifier_pooling")
    save(transformers.ModernBertForMaskedLM, transformers.ModernBertConfig(**settings), base, 7)
    word_tokenizer().save_pretrained(base)
    assert merge(Recipe("ties", sources, base=base), tmp_path / "out")


# --- labels ---


def pruned(folder: Path, seed: int, head: int) -> Path:
    """A BERT without one head of its first layer, as prune_heads of transformers 4 leaves and saves it."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert(folder, seed))
    attention = model.bert.encoder.layer[0].attention
    stays = torch.arange(16).reshape(2, 8)[1 - head]
    for name in ("query", "key", "value"):
        setattr(attention.self, name, prune_linear_layer(getattr(attention.self, name), stays))
    attention.output.dense = prune_linear_layer(attention.output.dense, stays, dim=1)
    model.save_pretrained(folder)
    return edited(folder, pruned_heads={"0": [head]})


def test_models_without_the_same_heads_are_refused(tmp_path: Path) -> None:
    one, whole = pruned(tmp_path / "a", 1, 0), bert(tmp_path / "c", 3)
    for other in (pruned(tmp_path / "b", 2, 1), whole):
        assert "pruned_heads" in refused(one, other, tmp_path / "no")
    out = averaged(one, pruned(tmp_path / "d", 4, 0), tmp_path / "out")
    assert json.loads((out / "config.json").read_text())["pruned_heads"] == {"0": [0]}
    averaged(edited(bert(tmp_path / "e", 5), pruned_heads={}), whole, tmp_path / "none")


def test_labels_without_names_are_merged_with_a_note(tmp_path: Path) -> None:
    numbers = {i: f"LABEL_{i}" for i in range(3)}
    nameless = {"id2label": numbers, "label2id": {label: i for i, label in numbers.items()}}
    one, two = (bert(tmp_path / name, seed, **nameless) for seed, name in enumerate("ab"))
    with pytest.warns(MuWarning, match="labels have no names"):
        averaged(one, two, tmp_path / "out")
    text = refused(one, bert(tmp_path / "c", 3), tmp_path / "no")
    assert "heads disagree" in text
    assert "name them in id2label" in text


# --- what belongs to a model beside weights and tokenizer ---


def test_generation_settings_come_along(tmp_path: Path) -> None:
    auto = transformers.AutoModelForCausalLM
    one, two = (
        causal(tmp_path / "a", 1, kind="GPT2", n_embd=16, n_layer=2, n_head=2),
        causal(tmp_path / "b", 2, kind="GPT2", n_embd=16, n_layer=2, n_head=2),
    )
    settings = transformers.GenerationConfig(
        max_new_tokens=7, do_sample=True, temperature=0.3, eos_token_id=0
    )
    settings.save_pretrained(one)
    out = averaged(one, two, tmp_path / "out")
    assert auto.from_pretrained(out).generation_config.max_new_tokens == 7
    assert (out / "generation_config.json").read_bytes() == (one / "generation_config.json").read_bytes()
    same_as_by_hand(out, one, two, tmp_path, auto)


CUSTOM = """
from transformers import BertConfig, BertForSequenceClassification
from pathlib import Path
from .custom_config import CustomConfig

Path(__file__).with_name("ran").write_text("")
(Path.home() / "custom-code-ran").write_text("")


class CustomModel(BertForSequenceClassification):
    config_class = CustomConfig
"""
CUSTOM_CONFIG = """
from transformers import BertConfig


class CustomConfig(BertConfig):
    model_type = "custom-bert"
"""


def custom(folder: Path, seed: int) -> Path:
    """A model whose class is Python code in its folder."""
    bert(folder, seed)
    (folder / "custom_model.py").write_text(CUSTOM)
    (folder / "custom_config.py").write_text(CUSTOM_CONFIG)
    (folder / "unrelated.py").write_text("")
    auto_map = {
        "AutoConfig": "custom_config.CustomConfig",
        "AutoModelForSequenceClassification": "custom_model.CustomModel",
    }
    return edited(folder, auto_map=auto_map, model_type="custom-bert", architectures=["CustomModel"])


def test_custom_code_is_copied_with_a_note_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    one, two = custom(tmp_path / "a", 1), custom(tmp_path / "b", 2)
    with pytest.warns(MuWarning, match=r"custom_config\.py, custom_model\.py"):
        out = averaged(one, two, tmp_path / "out")
    assert (out / "custom_model.py").read_text() == CUSTOM
    assert (out / "custom_config.py").read_text() == CUSTOM_CONFIG
    assert not (out / "unrelated.py").exists()
    assert not (tmp_path / "home" / "custom-code-ran").exists()


def test_custom_code_that_is_missing_is_named(tmp_path: Path) -> None:
    one, two = custom(tmp_path / "a", 1), custom(tmp_path / "b", 2)
    (one / "custom_model.py").unlink()
    with pytest.warns(MuWarning, match=r"names custom code that its folder lacks: custom_model\.py"):
        averaged(one, two, tmp_path / "out")


def test_custom_code_that_differs_is_named(tmp_path: Path) -> None:
    one, two = custom(tmp_path / "a", 1), custom(tmp_path / "b", 2)
    (two / "custom_model.py").write_text(f"{CUSTOM}\n# another version\n")
    with pytest.warns(MuWarning, match=r"custom_model\.py of vi-VN differs from that of fr-FR"):
        averaged(one, two, tmp_path / "out")


# --- folders that are no models ---


@pytest.mark.parametrize("part", ["", "snapshots"])
def test_a_repository_of_the_hub_cache_names_its_snapshot(tmp_path: Path, part: str) -> None:
    root = tmp_path / "hub" / "models--org--name"
    made = bert(tmp_path / "made", 1)
    (root / "blobs").mkdir(parents=True)
    (root / "snapshots" / "abc123").mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("abc123")
    for path in made.iterdir():
        shutil.copy(path, root / "blobs" / f"blob-{path.name}")
        (root / "snapshots" / "abc123" / path.name).symlink_to(f"../../blobs/blob-{path.name}")
    text = refused(root / part, made, tmp_path / "out")
    assert str(root / "snapshots" / "abc123") in text
    two = bert(tmp_path / "two", 2)
    out = averaged(root / "snapshots" / "abc123", two, tmp_path / "out")
    torch.testing.assert_close(logits(out), logits(averaged(made, two, tmp_path / "plain")))


def test_a_trainer_folder_with_checkpoints_alone_names_the_best(tmp_path: Path) -> None:
    two = bert(tmp_path / "two", 2)
    for step in (500, 1000):
        bert(tmp_path / "run" / f"checkpoint-{step}", step)
    text = refused(tmp_path / "run", two, tmp_path / "out")
    assert f"Name the last one: {tmp_path / 'run' / 'checkpoint-1000'}" in text
    state = {"best_model_checkpoint": "./elsewhere/run/checkpoint-500"}
    (tmp_path / "run" / "checkpoint-1000" / "trainer_state.json").write_text(json.dumps(state))
    text = refused(tmp_path / "run", two, tmp_path / "out")
    assert f"Name the best one: {tmp_path / 'run' / 'checkpoint-500'}" in text


def test_eight_bit_weights_of_bitsandbytes_are_refused_with_the_cause(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    tensors = load_file(one / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    tensors[name.replace("weight", "SCB")] = tensors[name].abs().amax(1)
    tensors[name] = tensors[name].to(torch.int8)
    save_file(tensors, one / "model.safetensors", metadata={"format": "pt"})
    text = refused(one, two, tmp_path / "out")
    assert "quantised" in text
    assert "dequantize()" in text
    edited(one, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert "the weights are quantised (bitsandbytes)" in refused(one, two, tmp_path / "out")


def test_eight_bit_floats_are_refused_with_the_cause(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    tensors = load_file(one / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    save_file(
        {**tensors, name: tensors[name].to(torch.float8_e4m3fn)},
        one / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert "the weights are quantised (dtype F8_E4M3)" in refused(one, two, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "cause", "remedy"),
    [
        ("model.fp16.safetensors", "variant", "variant=NAME"),
        ("model.fp16-00001-of-00002.safetensors", "variant", "variant=NAME"),
        ("pytorch_model.bin", "pickled", "If you trust it"),
        ("tf_model.h5", "another format", "save_pretrained"),
        ("model-q4.gguf", "another format", "save_pretrained"),
    ],
)
def test_weights_in_another_form_are_refused_with_cause_and_remedy(
    tmp_path: Path, name: str, cause: str, remedy: str
) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    (one / "model.safetensors").rename(one / name)
    text = refused(one, two, tmp_path / "out")
    assert cause in text and name in text and remedy in text


def test_a_pointer_of_git_lfs_says_how_to_download_the_weights(tmp_path: Path) -> None:
    one = bert(tmp_path / "a", 1)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 17098108\n"
    (one / "model.safetensors").write_text(pointer)
    assert "lfs pull" in refused(one, bert(tmp_path / "b", 2), tmp_path / "out")


def test_a_model_saved_with_its_adapter_beside_the_weights_is_refused(tmp_path: Path) -> None:
    one = bert(tmp_path / "a", 1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(one)
    wrapped = peft.get_peft_model(model, peft.LoraConfig("SEQ_CLS", target_modules=["query"]))
    state = {name.removeprefix("base_model.model."): t for name, t in wrapped.state_dict().items()}
    save_file(state, one / "model.safetensors", metadata={"format": "pt"})
    assert "merge_and_unload" in refused(one, bert(tmp_path / "b", 2), tmp_path / "out")


def test_a_complete_model_beside_an_adapter_is_refused(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(one)
    peft.get_peft_model(model, peft.LoraConfig("SEQ_CLS", target_modules=["query"])).save_pretrained(one)
    assert "a complete model and an adapter" in refused(one, two, tmp_path / "out")


def test_a_folder_of_adapters_names_them(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(one)
    config = peft.LoraConfig("SEQ_CLS", target_modules=["query"])
    peft.get_peft_model(model, config, adapter_name="mine").save_pretrained(tmp_path / "many")
    assert str(tmp_path / "many" / "mine") in refused(tmp_path / "many", two, tmp_path / "out")


def test_a_head_outside_the_model_is_reported(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "a", 1), bert(tmp_path / "b", 2)
    for name in (
        "model_head.pkl",
        "sparse_linear.pt",
        "optimizer.pt",
        "training_args.bin",
        "pytorch_model.bin",
    ):
        (one / name).write_bytes(b"")
    with pytest.warns(MuWarning, match="copied: model_head.pkl, sparse_linear.pt."):
        averaged(one, two, tmp_path / "out")


def test_a_folder_with_an_equals_sign_or_a_foreign_letter_is_a_folder(tmp_path: Path) -> None:
    one, two = bert(tmp_path / "lr=2e-5", 1), bert(tmp_path / "mô hình", 2)
    recipe = recipe_from_flags("average", [str(one), f"vi-VN={two}"])
    assert [source.name for source in recipe.sources] == ["lr-2e-5", "vi-VN"]
    same_as_by_hand(merge(recipe, tmp_path / "o=ü"), one, two, tmp_path)

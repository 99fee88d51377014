"""Embeddings are merged by token, whatever row a token has in each model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.numpy import load_file
from tiny_models import recipe

from merginguriel.errors import CheckpointError, IncompatibleError, MuWarning, UsageError
from merginguriel.merging.engine import merge, merge_tensors
from merginguriel.merging.recipe import Recipe, Source, load_recipe

pytestmark = pytest.mark.filterwarnings("ignore::merginguriel.errors.MuWarning")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(27))]
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
         "max_position_embeddings": 12}  # fmt: skip
TABLE = "bert.embeddings.word_embeddings.weight"


def model(
    folder: Path,
    seed: int,
    added: tuple[str, ...] = (),
    *,
    words: list[str] = WORDS,
    multiple: int | None = None,
    tied: bool = True,
    **flags: Any,
) -> Path:
    """A BERT with a head over its vocabulary; `added` tokens, rows rounded up to a multiple, saved by transformers."""
    torch.manual_seed(seed)
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    tokenizer.add_tokens(list(added), **flags)
    (folder / "vocab.txt").unlink()
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(vocab_size=len(words), tie_word_embeddings=tied, **SHAPE)
    net = transformers.BertForMaskedLM(config)
    if added or multiple:
        net.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=multiple, mean_resizing=False)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    net.save_pretrained(folder)
    return folder


def ids(folder: Path) -> dict[str, int]:
    return transformers.AutoTokenizer.from_pretrained(folder).get_vocab()


def vocabulary_tensors(folder: Path) -> dict[str, np.ndarray]:
    """The tensors with a row per token, output layer and bias included."""
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    return {
        name: array
        for name, array in load_file(folder / "model.safetensors").items()
        if array.shape[0] == size and "position" not in name
    }


def check_by_token(out: Path, folders: list[Path], expected: Any) -> dict[str, int]:
    """Compare every token's row in every vocabulary tensor with `expected(rows by folder)`."""
    tables = {folder: ids(folder) for folder in folders}
    tensors = {folder: vocabulary_tensors(folder) for folder in folders}
    merged = ids(out)
    found = vocabulary_tensors(out)
    assert found.keys() == tensors[folders[0]].keys() and len(found) >= 2
    for name, array in found.items():
        for token, row in merged.items():
            rows = {f: tensors[f][name][tables[f][token]] if token in tables[f] else None for f in folders}
            np.testing.assert_allclose(array[row], expected(rows), atol=1e-6, err_msg=f"{name} {token}")
    loaded, info = transformers.AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    _, usual = transformers.AutoModelForMaskedLM.from_pretrained(folders[0], output_loading_info=True)
    assert info == usual  # of an untied layer transformers 5 reports the bias that it saved once
    assert loaded.config.vocab_size == len(loaded.get_input_embeddings().weight) >= len(merged)
    encoded = transformers.AutoTokenizer.from_pretrained(out)("w1 <x> w2 <z>")["input_ids"]
    assert max(encoded) < loaded.config.vocab_size
    return merged


def mean_of_those_present(rows: dict[Path, Any]) -> np.ndarray:
    return np.mean([row for row in rows.values() if row is not None], axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("policy", ["common", "union"])
def test_rows_are_averaged_by_token(tmp_path: Path, policy: str, tied: bool) -> None:
    a = model(tmp_path / "a", 1, ("<x>", "<y>"), tied=tied)
    b = model(tmp_path / "b", 2, ("<y>", "<z>"), tied=tied, multiple=8)
    out = merge(recipe("linear", a, b, vocab=policy), tmp_path / "out")
    merged = check_by_token(out, [a, b], mean_of_those_present)
    wanted = set(ids(a)) & set(ids(b)) if policy == "common" else set(ids(a)) | set(ids(b))
    assert set(merged) == wanted
    assert sorted(merged.values()) == list(range(len(merged)))
    again = merge(load_recipe(out / "recipe.yaml"), tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_task_vectors_use_the_bases_row_of_the_token(tmp_path: Path) -> None:
    base = model(tmp_path / "base", 0, ("<b>",))
    a = model(tmp_path / "a", 1, ("<x>", "<b>"))
    b = model(tmp_path / "b", 2, ("<z>",), multiple=64)

    def expected(rows: dict[Path, Any]) -> np.ndarray:
        start, one, two = rows[base], rows[a], rows[b]
        if start is None:  # no task vector: the mean of the sources that have the token
            return mean_of_those_present({a: one, b: two})
        return start + sum((row - start for row in (one, two) if row is not None), np.zeros(())) / 2

    for policy in ("base", "union"):
        chosen = recipe("task_arithmetic", a, b, base=base, vocab=policy, params={"scale": 1.0})
        out = merge(chosen, tmp_path / f"by-{policy}")
        merged = check_by_token(out, [a, b, base], expected)
        assert set(merged) == (set(ids(base)) if policy == "base" else set(ids(a)) | set(ids(b)))


@pytest.mark.slow
def test_the_base_policy_takes_any_vocabulary(tmp_path: Path) -> None:
    base = model(tmp_path / "base", 0, multiple=64)
    a = model(
        tmp_path / "a", 1, words=[*WORDS[:20], "other", *WORDS[20:]]
    )  # other ids, as of a trimmed table
    b = model(tmp_path / "b", 2, words=[*WORDS[:25], "another"])

    def expected(rows: dict[Path, Any]) -> np.ndarray:
        return np.mean([rows[base] if rows[f] is None else rows[f] for f in (a, b)], axis=0)

    out = merge(recipe("linear", a, b, base=base, vocab="base"), tmp_path / "out")
    assert check_by_token(out, [a, b, base], expected) == ids(base)
    assert (out / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    with pytest.raises(IncompatibleError, match="differ in more than added tokens") as caught:
        merge_tensors(recipe("linear", a, b, vocab="common"))
    assert "--vocab base" in str(caught.value.hint)
    with pytest.raises(UsageError, match="vocab: base"):
        merge_tensors(Recipe("linear", (Source("a", a), Source("b", b)), vocab="base"))


@pytest.mark.slow
def test_a_source_with_exactly_the_wanted_tokens_gives_its_tokenizer_unchanged(tmp_path: Path) -> None:
    a, b = model(tmp_path / "a", 1, ("<x>",)), model(tmp_path / "b", 2)
    for policy, owner in (("common", b), ("union", a)):
        out = merge(recipe("linear", a, b, vocab=policy), tmp_path / policy)
        check_by_token(out, [a, b], mean_of_those_present)
        assert (out / "tokenizer.json").read_bytes() == (owner / "tokenizer.json").read_bytes()


@pytest.mark.slow
def test_padding_alone_needs_no_flag(tmp_path: Path) -> None:
    base = model(tmp_path / "base", 0, multiple=64)
    a, b = model(tmp_path / "a", 1), model(tmp_path / "b", 2, multiple=8)
    assert [len(vocabulary_tensors(f)[TABLE]) for f in (base, a, b)] == [64, 32, 32]
    out = merge(recipe("linear", base, a, b), tmp_path / "out")
    check_by_token(out, [base, a, b], mean_of_those_present)
    vectors = recipe("task_arithmetic", a, b, base=base, params={"scale": 1.0})
    for name, array in merge_tensors(vectors).items():
        assert array.shape == load_file(a / "model.safetensors")[name].shape


def test_other_tokens_in_other_rows_are_refused_without_the_flag(tmp_path: Path) -> None:
    a, b = model(tmp_path / "a", 1, ("<x>",)), model(tmp_path / "b", 2, ("<y>", "<z>"))
    with pytest.raises(IncompatibleError, match="their vocabularies differ") as caught:
        merge_tensors(recipe("linear", a, b))
    assert "--vocab common" in str(caught.value.hint) and "<x>" in str(caught.value.hint)


def test_what_is_left_out_is_reported(tmp_path: Path) -> None:
    a, b = model(tmp_path / "a", 1, ("<x>",)), model(tmp_path / "b", 2, ("<y>",))
    with pytest.warns(MuWarning, match="leaves out 2 tokens: <x>, <y>"):
        merge_tensors(recipe("linear", a, b, vocab="common"))


def test_a_model_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    a, b = model(tmp_path / "a", 1), model(tmp_path / "b", 2, ("<y>",))
    for path in b.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(CheckpointError, match="no tokenizer"):
        merge_tensors(recipe("linear", a, b, vocab="union"))
    with pytest.raises(IncompatibleError, match="the base has none"):
        merge_tensors(recipe("linear", a, base=b, vocab="base"))


@pytest.mark.slow
def test_many_merges_in_memory_keep_the_orders_apart(tmp_path: Path) -> None:
    a, b = model(tmp_path / "a", 1, ("<x>",)), model(tmp_path / "b", 2, ("<y>",))
    kept: Any = {}
    for policy in ("common", "union", "common"):
        chosen = recipe("linear", a, b, vocab=policy)
        direct = merge_tensors(chosen)
        for name, array in merge_tensors(chosen, kept).items():
            np.testing.assert_array_equal(array, direct[name])


@pytest.mark.slow
def test_special_tokens_after_the_vocabulary_keep_their_meaning(tmp_path: Path) -> None:
    """A causal model whose end token is an added one: its id moves, and the config follows."""
    folders = []
    for name, added in (("a", ["<x>", "<end>"]), ("b", ["<end>", "<y>"])):
        folder = model(tmp_path / name, len(name), tuple(added))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokenizer.add_special_tokens({"eos_token": "<end>"})
        tokenizer.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        config["eos_token_id"] = tokenizer.convert_tokens_to_ids("<end>")
        (folder / "config.json").write_text(json.dumps(config))
        folders.append(folder)
    out = merge(recipe("linear", *folders, vocab="common"), tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    config = transformers.AutoConfig.from_pretrained(out)
    assert tokenizer.eos_token == "<end>" and config.eos_token_id == tokenizer.eos_token_id == 32
    assert "<x>" not in tokenizer.get_vocab()


@pytest.mark.slow
def test_a_tokenizer_without_tokenizer_json_is_read_by_transformers(tmp_path: Path) -> None:
    a, b = model(tmp_path / "a", 1), model(tmp_path / "b", 2, ("<y>",))
    for path in a.glob("tokenizer*"):
        path.unlink()
    (a / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    (a / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    out = merge(recipe("linear", a, b, vocab="union"), tmp_path / "out")
    check_by_token(out, [a, b], mean_of_those_present)


@pytest.mark.slow
def test_unigram_vocabularies_and_their_mask_token_are_aligned(tmp_path: Path) -> None:
    """XLM-R: SentencePiece pieces with scores, and a mask token after them."""
    folders = [xlm_roberta(tmp_path / name, i, added) for i, (name, added) in enumerate(
        (("a", ["<sw>", "<x>"]), ("b", ["<z>", "<sw>"])))]  # fmt: skip
    for policy, size in (("common", 37), ("union", 39)):
        out = merge(recipe("linear", *folders, vocab=policy), tmp_path / policy)
        tables = [ids(folder) for folder in (*folders, out)]
        assert len(tables[2]) == size
        name = "embeddings.word_embeddings.weight"
        a, b, merged = (load_file(folder / "model.safetensors")[name] for folder in (*folders, out))
        for token, row in tables[2].items():
            rows = [t[ids_[token]] for t, ids_ in ((a, tables[0]), (b, tables[1])) if token in ids_]
            np.testing.assert_allclose(merged[row], np.mean(rows, axis=0), atol=1e-6)
        tokenizer = transformers.AutoTokenizer.from_pretrained(out)
        assert tokenizer.convert_ids_to_tokens(tokenizer("w1 <sw> w2")["input_ids"]) == [
            "<s>", "▁w1", "<sw>", "▁w2", "</s>",
        ]  # fmt: skip


def xlm_roberta(folder: Path, seed: int, added: list[str]) -> Path:
    """A small XLM-R encoder with a SentencePiece-like tokenizer and added tokens."""
    torch.manual_seed(seed)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *(f"▁w{i}" for i in range(30))]
    scored = [(piece, -float(i)) for i, piece in enumerate(pieces)]
    tokenizer = transformers.XLMRobertaTokenizerFast(vocab=scored)
    tokenizer.add_tokens(added)
    net = transformers.XLMRobertaModel(transformers.XLMRobertaConfig(vocab_size=len(tokenizer), **SHAPE))
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_adapters_merge_by_token_too(tmp_path: Path) -> None:
    base = model(tmp_path / "base", 0)
    net = transformers.AutoModelForMaskedLM.from_pretrained(base)
    config = peft.LoraConfig(r=2, target_modules=["query", "word_embeddings"], init_lora_weights=False)
    wrapped = peft.get_peft_model(net, config)
    wrapped.save_pretrained(tmp_path / "a")
    wrapped.merge_and_unload().save_pretrained(tmp_path / "whole")
    for name in ("a", "whole"):
        transformers.AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / name)
    b = model(tmp_path / "b", 2, ("<y>",))
    narrow, wide = (
        merge_tensors(
            Recipe("linear", (Source("a", tmp_path / name), Source("b", b)), base=base, vocab="union")
        )
        for name in ("a", "whole")
    )
    assert narrow[TABLE].shape == (33, 16)
    for name, array in narrow.items():
        np.testing.assert_allclose(array, wide[name], atol=1e-6, err_msg=name)

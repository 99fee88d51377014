"""Adapters are merged on the base that they were trained on, and on no other one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import transformers
from safetensors.torch import load_file
from tiny_models import SHAPE, recipe, whole, with_words

from merginguriel.errors import CheckpointError, IncompatibleError, MuWarning, UsageError
from merginguriel.merging.engine import merge, merge_tensors

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"r": 2, "lora_alpha": 8, "target_modules": ["query", "value"]},
    "rank-stabilised": {"r": 4, "use_rslora": True, "target_modules": ["query", "key", "value", "dense"]},
    "patterns": {"r": 2, "target_modules": ["query", "value"], "rank_pattern": {"query": 5}},
}


def base(folder: Path, seed: int, kind: Any = transformers.BertModel, **changes: Any) -> Path:
    torch.manual_seed(seed)
    model = kind(transformers.BertConfig(**{**SHAPE, "num_hidden_layers": 2, **changes}))
    model.save_pretrained(folder)
    return with_words(folder)


def adapter(of: Path, folder: Path, seed: int, **settings: Any) -> Path:
    return tiny_models.adapter(of, folder, seed, **{**KINDS["plain"], **settings})


def rename(folder: Path, name: str, revision: str | None = None) -> Path:
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": name, "revision": revision}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def logits(model: transformers.PreTrainedModel) -> torch.Tensor:
    ids = torch.tensor([[2, 5, 9, 3], [2, 30, 31, 3]])
    with torch.inference_mode():
        return model.eval()(input_ids=ids).logits


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_head_on_a_bare_base_gives_the_logits_of_merge_and_unload(tmp_path: Path, kind: str) -> None:
    bare = base(tmp_path / "bare", 0)
    one = adapter(bare, tmp_path / "a", 1, **KINDS[kind])
    with pytest.warns(MuWarning, match="which the adapter a names"):
        out = merge(recipe("linear", one), tmp_path / "out")
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        out, output_loading_info=True
    )
    assert not any(info.values())
    expected = transformers.AutoModelForSequenceClassification.from_pretrained(whole(one))
    torch.testing.assert_close(logits(model), logits(expected), atol=1e-6, rtol=0)
    assert f"base: {'../bare'}" in (out / "recipe.yaml").read_text()


@pytest.mark.slow
def test_adapters_with_different_ranks_and_targets_merge_as_their_whole_models(tmp_path: Path) -> None:
    bare = base(tmp_path / "bare", 0)
    folders = [adapter(bare, tmp_path / kind, i, **KINDS[kind]) for i, kind in enumerate(KINDS)]
    merged = merge_tensors(recipe("linear", *folders, base=bare))
    states = [load_file(whole(folder) / "model.safetensors") for folder in folders]
    assert merged.keys() == states[0].keys()
    for name, array in merged.items():
        mean = sum(state[name].numpy() for state in states) / len(states)
        np.testing.assert_allclose(array, mean, atol=1e-6, err_msg=name)
    kept: Any = {}
    for name, array in merge_tensors(recipe("linear", *folders, base=bare), kept).items():
        np.testing.assert_array_equal(array, merged[name], err_msg=name)


@pytest.mark.slow
def test_task_vectors_of_adapters_start_at_the_bare_base(tmp_path: Path) -> None:
    bare = base(tmp_path / "bare", 0)
    folders = [adapter(bare, tmp_path / name, i) for i, name in enumerate("ab")]
    narrow = merge_tensors(recipe("ties", *folders, base=bare, params={"density": 1.0}))
    wide = merge_tensors(recipe("ties", *map(whole, folders), base=bare, params={"density": 1.0}))
    for name, array in narrow.items():
        np.testing.assert_allclose(array, wide[name], atol=1e-5, err_msg=name)


def test_adapters_of_different_bases_are_refused(tmp_path: Path) -> None:
    one = adapter(base(tmp_path / "first", 0), tmp_path / "a", 1)
    two = adapter(base(tmp_path / "second", 1), tmp_path / "b", 2)
    for given in (None, tmp_path / "first"):
        with pytest.raises(IncompatibleError, match="a and b cannot be merged") as caught:
            merge_tensors(recipe("linear", one, two, base=given))
        assert "second" in str(caught.value.hint)


def test_a_copy_of_the_base_is_the_same_base(tmp_path: Path) -> None:
    bare = base(tmp_path / "bare", 0)
    copy = shutil.copytree(bare, tmp_path / "copy")
    one, two = adapter(bare, tmp_path / "a", 1), adapter(copy, tmp_path / "b", 2)
    half = transformers.AutoModel.from_pretrained(bare).to(torch.bfloat16)
    half.save_pretrained(tmp_path / "half")
    shutil.copy(bare / "vocab.txt", tmp_path / "half")
    merge_tensors(recipe("linear", one, two, base=copy))
    merge_tensors(recipe("linear", one, base=tmp_path / "half"))


@pytest.mark.parametrize(
    ("names", "revisions", "same"),
    [
        (("org/base", "org/base"), (None, None), True),
        (("xlm-roberta-base", "FacebookAI/xlm-roberta-base"), (None, None), True),
        (("org/base", "org/other"), (None, None), False),
        (("org/base", "else/base"), (None, None), False),
        (("org/base", "org/base"), ("v1", "v2"), False),
        (("/gone/base", "/elsewhere/base"), (None, None), False),
    ],
)
def test_names_and_revisions_decide_where_the_bases_are_not_available(
    tmp_path: Path, names: tuple[str, str], revisions: tuple[Any, Any], same: bool
) -> None:
    bare = base(tmp_path / "bare", 0)
    folders = [adapter(bare, tmp_path / name, 1) for name in "ab"]
    for folder, name, revision in zip(folders, names, revisions, strict=True):
        rename(folder, name, revision)
    if same:
        with pytest.warns(MuWarning, match="without a comparison of their weights"):
            merge_tensors(recipe("linear", *folders, base=bare))
    else:
        with pytest.raises(IncompatibleError, match="trained on different bases"):
            merge_tensors(recipe("linear", *folders, base=bare))


def test_another_base_than_the_adapter_names_is_refused(tmp_path: Path) -> None:
    one = adapter(base(tmp_path / "first", 0), tmp_path / "a", 1)
    second = base(tmp_path / "second", 1)
    with pytest.raises(IncompatibleError, match="the given base is another model") as caught:
        merge_tensors(recipe("linear", one, base=second))
    assert "Leave --pretrained out" in str(caught.value.hint)
    rename(one, "org/trained-on")
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps(config | {"_name_or_path": "org/another"}))
    with pytest.raises(IncompatibleError, match="was trained on org/trained-on"):
        merge_tensors(recipe("linear", one, base=second))


def test_a_base_that_is_not_available_must_be_given(tmp_path: Path) -> None:
    one = rename(adapter(base(tmp_path / "bare", 0), tmp_path / "a", 1), "org/not-here")
    with pytest.raises(UsageError, match="org/not-here, which is not available here") as caught:
        merge_tensors(recipe("linear", one))
    assert "--pretrained" in (caught.value.hint or "")


def test_a_tensor_that_neither_base_nor_adapter_has_is_named(tmp_path: Path) -> None:
    masked = base(tmp_path / "masked", 0, transformers.BertForMaskedLM)  # no pooler
    one = adapter(masked, tmp_path / "a", 1)
    with pytest.raises(CheckpointError, match=r"has bert.pooler.dense.(weight|bias)"):
        merge_tensors(recipe("linear", one, base=masked))


def test_an_adapter_that_peft_made_with_dora_is_refused(tmp_path: Path) -> None:
    one = adapter(base(tmp_path / "bare", 0), tmp_path / "a", 1, use_dora=True)
    with pytest.raises(CheckpointError, match="use_dora"):
        merge_tensors(recipe("linear", one, base=tmp_path / "bare"))

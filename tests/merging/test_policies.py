"""Do heads, embeddings and named tensors become what the recipe says, and does transformers load the result?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import LABELS, bert, with_words
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForSequenceClassification

from merginguriel.errors import IncompatibleError, MuError, UsageError
from merginguriel.merging.engine import merge, merge_arrays, merge_tensors, plan
from merginguriel.merging.recipe import Recipe, Source, check, load_recipe

MANY = (*(f"intent {i}" for i in range(57)), *reversed(LABELS))  # 60 labels, the shared ones turned round
HEAD, WORDS = "classifier.weight", "bert.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    made = {name: bert(root / name, seed) for seed, name in enumerate(["base", "cy-GB", "fr-FR"])}
    made["many"] = bert(root / "many", 7, MANY)
    made["turned"] = bert(root / "turned", 8, LABELS[::-1])
    return made


def recipe(folders: dict[str, Path], *names: str, method: str = "linear", **changes: Any) -> Recipe:
    sources = tuple(Source(name, folders[name]) for name in names or ("cy-GB", "fr-FR"))
    return replace(Recipe(method, sources, base=folders["base"]), **changes)


def state(folder: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in load_file(folder / "model.safetensors").items()}


def loaded(folder: Path) -> Any:
    """The model as transformers loads it, with nothing missing and nothing left over."""
    model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    return model


# --- tensors left out ---

LAYER = "bert.encoder.layer.0.output.dense.weight"


@pytest.mark.parametrize("excluded", ["base", "mean", "best", "source:cy-GB"])
def test_left_out_layers_come_from_where_the_recipe_says(folders: dict[str, Path], excluded: str) -> None:
    sources = (Source("cy-GB", folders["cy-GB"], 1.0), Source("fr-FR", folders["fr-FR"], 3.0))
    made = Recipe("ties", sources, base=folders["base"], exclude=("*.layer.0.*",), excluded=excluded)
    one, two = state(folders["cy-GB"])[LAYER], state(folders["fr-FR"])[LAYER]
    expected = {
        "base": state(folders["base"])[LAYER],
        "mean": 0.25 * one + 0.75 * two,
        "best": two,
        "source:cy-GB": one,
    }
    np.testing.assert_allclose(merge_tensors(made)[LAYER], expected[excluded], atol=1e-6)


def test_of_sources_with_equal_weights_the_first_is_the_best(folders: dict[str, Path]) -> None:
    made = recipe(folders, "fr-FR", "cy-GB", exclude=("*.layer.0.*",), excluded="best", base=None)
    np.testing.assert_array_equal(merge_tensors(made)[LAYER], state(folders["fr-FR"])[LAYER])


def test_an_unknown_policy_for_left_out_tensors_names_the_valid_ones(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="excluded is 'worst'") as caught:
        check(recipe(folders, excluded="worst"))
    assert "best" in caught.value.render()


# --- heads ---


def test_heads_can_be_averaged_whatever_the_method(folders: dict[str, Path]) -> None:
    made = recipe(folders, "cy-GB", "fr-FR", method="ties", params={"density": 0.1}, heads="average")
    averaged = merge_tensors(made)
    expected = (state(folders["cy-GB"])[HEAD] + state(folders["fr-FR"])[HEAD]) / 2
    np.testing.assert_allclose(averaged[HEAD], expected, atol=1e-6)
    trimmed = merge_tensors(replace(made, heads="merge"))
    assert not np.allclose(trimmed[HEAD], expected, atol=1e-4)
    others = [name for name in averaged if not name.startswith("classifier")]
    assert others and all(np.array_equal(averaged[name], trimmed[name]) for name in others)


@pytest.mark.parametrize("heads", ["average", "base", "fresh", "source:fr-FR"])
def test_heads_of_models_in_memory_become_what_those_on_disk_become(
    folders: dict[str, Path], heads: str
) -> None:
    made = recipe(folders, "cy-GB", "fr-FR", method="ties", heads=heads)
    sources = {name: state(folders[name]) for name in ("cy-GB", "fr-FR")}
    head = {name for name in sources["cy-GB"] if name.startswith("classifier")}
    stored = merge_tensors(made)
    for given in (head, None):
        held = merge_arrays(made, sources, state(folders["base"]), head=given)
        assert all(np.array_equal(held[name], stored[name]) for name in stored)
    if heads != "average":
        with pytest.raises(UsageError, match="which tensors are the head"):
            merge_arrays(made, sources, state(folders["base"]), head=())


@pytest.mark.parametrize("method", ["linear", "task_arithmetic", "ties"])
def test_common_labels_of_60_and_of_3_give_a_head_of_3_rows_aligned_by_name(
    folders: dict[str, Path], tmp_path: Path, method: str
) -> None:
    out = merge(recipe(folders, "cy-GB", "many", method=method, heads="common"), tmp_path / "out")
    model = loaded(out)
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.label2id == {label: i for i, label in enumerate(LABELS)}
    if method != "ties":
        rows = [MANY.index(label) for label in LABELS]
        expected = (state(folders["cy-GB"])[HEAD] + state(folders["many"])[HEAD][rows]) / 2
        np.testing.assert_allclose(model.classifier.weight.detach().numpy(), expected, atol=1e-6)


def test_sixty_labels_against_three_are_refused_without_a_policy(folders: dict[str, Path]) -> None:
    for heads in ("merge", "fresh"):
        with pytest.raises(IncompatibleError, match="heads disagree") as caught:
            merge_tensors(recipe(folders, "cy-GB", "many", heads=heads))
        assert "has 3 labels, many has 60" in caught.value.render()
        assert "--heads common" in caught.value.render()


@pytest.mark.parametrize("chosen", ["cy-GB", "many"])
@pytest.mark.parametrize("method", ["linear", "ties"])
def test_the_head_of_one_source_comes_with_its_labels(
    folders: dict[str, Path], tmp_path: Path, chosen: str, method: str
) -> None:
    heads = f"source:{chosen}"
    out = merge(recipe(folders, "cy-GB", "many", method=method, heads=heads), tmp_path / "out")
    model = loaded(out)
    assert tuple(model.config.id2label.values()) == (MANY if chosen == "many" else LABELS)
    np.testing.assert_array_equal(model.classifier.weight.detach().numpy(), state(folders[chosen])[HEAD])
    np.testing.assert_array_equal(
        model.classifier.bias.detach().numpy(), state(folders[chosen])["classifier.bias"]
    )


def test_the_head_of_the_base_comes_with_its_labels(folders: dict[str, Path], tmp_path: Path) -> None:
    based = recipe(folders, "cy-GB", "fr-FR", heads="base", base=folders["many"])
    model = loaded(merge(based, tmp_path / "out"))
    assert tuple(model.config.id2label.values()) == MANY
    np.testing.assert_array_equal(model.classifier.weight.detach().numpy(), state(folders["many"])[HEAD])
    pooler = "bert.pooler.dense.weight"
    mean = (state(folders["cy-GB"])[pooler] + state(folders["fr-FR"])[pooler]) / 2
    np.testing.assert_allclose(state(tmp_path / "out")[pooler], mean, atol=1e-6)


def test_a_fresh_head_is_random_by_the_seed(folders: dict[str, Path], tmp_path: Path) -> None:
    one, two, other = (merge_tensors(recipe(folders, heads="fresh", seed=seed))[HEAD] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert 0.01 < one.std() < 0.04
    model = loaded(merge(recipe(folders, heads="fresh"), tmp_path / "out"))
    assert not model.classifier.bias.any()


def test_turned_labels_are_aligned_in_every_policy(folders: dict[str, Path]) -> None:
    one, two = state(folders["cy-GB"])[HEAD], state(folders["turned"])[HEAD]
    mean = (one + two[::-1]) / 2
    for heads in ("merge", "common"):
        merged = merge_tensors(recipe(folders, "cy-GB", "turned", heads=heads))[HEAD]
        np.testing.assert_allclose(merged, mean, atol=1e-6)
    # Another source's head is in that source's order of labels, whoever is the first.
    merged = merge_tensors(recipe(folders, "cy-GB", "turned", heads="source:turned"))[HEAD]
    np.testing.assert_array_equal(merged, two)


def test_a_head_that_nobody_has_is_not_promised(folders: dict[str, Path], tmp_path: Path) -> None:
    from tiny_models import SHAPE
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**SHAPE)).save_pretrained(tmp_path / "bare")
    with pytest.raises(UsageError, match="the base has no classifier"):
        merge_tensors(recipe(folders, heads="base", base=tmp_path / "bare"))
    with pytest.raises(UsageError, match="there is none"):
        check(recipe(folders, heads="base", base=None))
    with pytest.raises(UsageError, match="heads is 'source:xx'"):
        check(recipe(folders, heads="source:xx"))
    bare = {"a": tmp_path / "bare", "b": tmp_path / "bare", "base": folders["base"]}
    with pytest.raises(IncompatibleError, match="recognised as its head"):
        merge_tensors(recipe(bare, "a", "b", heads="fresh"))


# --- embeddings ---


@pytest.fixture
def worded(tmp_path: Path) -> dict[str, Path]:
    """Three models whose tokenizer knows the words w0 … w39."""
    made = Tokenizer(models.WordLevel({f"w{i}": i for i in range(40)}, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["w1"])
    folders = {name: bert(tmp_path / name, seed) for seed, name in enumerate(["base", "cy-GB", "fr-FR"])}
    for folder in folders.values():
        (folder / "vocab.txt").unlink()
        made.save(str(folder / "tokenizer.json"))
    (tmp_path / "text.txt").write_text("w3 w5\n\nw5 w7 unheard\n", encoding="utf-8")
    return folders


@pytest.mark.parametrize("method", ["average", "linear", "task_arithmetic", "ties"])
def test_only_the_rows_of_the_texts_tokens_are_merged(
    worded: dict[str, Path], tmp_path: Path, method: str
) -> None:
    whole = merge_tensors(recipe(worded, method=method))
    text = tmp_path / "text.txt"
    used = merge_tensors(recipe(worded, method=method, embeddings="used", text=text))
    rows = np.isin(np.arange(40), [0, 1, 3, 5, 7])  # the unknown word and the special one count
    np.testing.assert_array_equal(used[WORDS][rows], whole[WORDS][rows])
    np.testing.assert_array_equal(used[WORDS][~rows], state(worded["base"])[WORDS][~rows])
    for name, array in whole.items():
        if name != WORDS:
            np.testing.assert_array_equal(used[name], array)


@pytest.mark.parametrize("method", ["linear", "ties"])
def test_embeddings_can_be_kept_from_the_base(folders: dict[str, Path], method: str) -> None:
    merged = merge_tensors(recipe(folders, method=method, embeddings="base"))
    base = state(folders["base"])
    np.testing.assert_array_equal(merged[WORDS], base[WORDS])
    positions = "bert.embeddings.position_embeddings.weight"
    assert not np.array_equal(merged[positions], base[positions])


def test_a_text_or_a_tokenizer_that_does_not_fit_is_named(worded: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs the target's text"):
        check(recipe(worded, embeddings="used"))
    with pytest.raises(UsageError, match="cannot be read"):
        merge_tensors(recipe(worded, embeddings="used", text=tmp_path / "nowhere"))
    larger = Tokenizer.from_file(str(worded["base"] / "tokenizer.json"))
    larger.add_tokens(["w99"])
    for folder in worded.values():
        larger.save(str(folder / "tokenizer.json"))
    (tmp_path / "text.txt").write_text("w99\n")
    with pytest.raises(MuError, match="has 41 tokens, but the model has embeddings for 40"):
        merge_tensors(recipe(worded, embeddings="used", text=tmp_path / "text.txt"))


# --- tensors by name ---


def test_patterns_choose_what_is_merged(folders: dict[str, Path]) -> None:
    base, mean = state(folders["base"]), merge_tensors(recipe(folders))
    only = merge_tensors(recipe(folders, include=("*.attention.*",), exclude=("*.bias",)))
    for name, array in only.items():
        chosen = ".attention." in name and not name.endswith(".bias")
        np.testing.assert_array_equal(array, mean[name] if chosen else base[name])
    without = merge_tensors(recipe(folders, method="linear", base=None, exclude=("*.bias",)))
    np.testing.assert_allclose(without["classifier.bias"], mean["classifier.bias"], atol=1e-7)


def test_a_pattern_that_meets_nothing_is_an_error(folders: dict[str, Path]) -> None:
    for key in ("include", "exclude"):
        with pytest.raises(UsageError, match=r"'layers\.3\.\*' matches no tensor") as caught:
            merge_tensors(recipe(folders, **{key: ("*.bias", "layers.3.*")}))
        assert "the first tensors are" in (caught.value.hint or "")


def test_a_share_of_the_whole_model_is_another_than_one_of_each_tensor(folders: dict[str, Path]) -> None:
    kept = {}
    for scope in ("tensor", "model"):
        merged = merge_tensors(
            recipe(folders, "cy-GB", method="ties", params={"density": 0.1}, trim_scope=scope, heads="merge")
        )
        base = state(folders["base"])
        kept[scope] = {name: np.count_nonzero(array != base[name]) for name, array in merged.items()}
        sizes = {name: array.size for name, array in merged.items()}
    # Norms are the same in all of these models, so no task vector has entries there.
    deltas = np.concatenate([
        np.abs(array - state(folders["base"])[name]).ravel() for name, array in state(folders["cy-GB"]).items()
        if not np.array_equal(array, state(folders["base"])[name])
    ])  # fmt: skip
    assert sum(kept["model"].values()) == pytest.approx(0.1 * deltas.size, abs=2)
    assert kept["tensor"][WORDS] == int(0.1 * sizes[WORDS])
    assert kept["model"] != kept["tensor"]


# --- files ---


def test_shards_come_in_and_go_out(folders: dict[str, Path], tmp_path: Path) -> None:
    cut = {**folders}
    for name in ("cy-GB", "base"):
        cut[name] = tmp_path / name
        model = AutoModelForSequenceClassification.from_pretrained(folders[name])
        model.save_pretrained(cut[name], max_shard_size="6KB")
        (cut[name] / "vocab.txt").write_bytes((folders[name] / "vocab.txt").read_bytes())
        assert (cut[name] / "model.safetensors.index.json").is_file()
    whole = merge(recipe(folders, method="ties"), tmp_path / "whole")
    out = merge(recipe(cut, method="ties", shard_size=6000), tmp_path / "out")
    files = sorted(path.name for path in out.glob("*.safetensors"))
    assert len(files) > 2
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(files)
    merged = loaded(out).state_dict()
    for name, array in state(whole).items():
        np.testing.assert_array_equal(merged[name].numpy(), array)
    again = merge(load_recipe(out / "recipe.yaml"), tmp_path / "again")
    assert [(again / file).read_bytes() for file in files] == [(out / file).read_bytes() for file in files]


@pytest.mark.parametrize("wanted", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("method", ["linear", "ties"])
def test_mixed_precisions_are_merged_in_float32_and_rounded_once(
    folders: dict[str, Path], tmp_path: Path, wanted: str, method: str
) -> None:
    mixed, wide = {**folders}, {}
    for name, kind in (("base", torch.bfloat16), ("cy-GB", torch.float16), ("fr-FR", torch.float32)):
        model = AutoModelForSequenceClassification.from_pretrained(folders[name]).to(kind)
        model.save_pretrained(tmp_path / "in" / name)
        model.float().save_pretrained(tmp_path / "wide" / name)
        for kept in ("in", "wide"):
            with_words(tmp_path / kept / name)
        mixed[name], wide[name] = tmp_path / "in" / name, tmp_path / "wide" / name
    out = merge(recipe(mixed, method=method, dtype=wanted), tmp_path / "out")
    model = loaded(out)
    assert model.dtype == getattr(torch, wanted)
    assert json.loads((out / "config.json").read_text())["dtype"] == wanted
    for name, array in merge_tensors(recipe(wide, method=method)).items():
        expected = torch.from_numpy(array).to(model.dtype)
        torch.testing.assert_close(model.state_dict()[name], expected, rtol=0, atol=0)
    default = merge(recipe(mixed, method=method), tmp_path / "default")
    assert loaded(default).dtype == torch.float32


def test_a_plan_says_how_each_tensor_comes_about(worded: dict[str, Path], tmp_path: Path) -> None:
    planned = plan(
        recipe(worded, method="ties", embeddings="used", text=tmp_path / "text.txt", heads="fresh",
               exclude=("*.bias",))
    )  # fmt: skip
    how = planned["how"]
    assert how["new, random"] == 2
    assert how["merged by ties, in 5 of 40 rows, the others from the base"] == 1
    assert how["kept from the base"] + how["merged by ties"] + 3 == planned["tensors"]
    assert planned["seconds"] > 0
    assert planned["bytes"] == 4 * planned["parameters"]


def test_the_card_says_what_was_seen_of_the_target(worded: dict[str, Path], tmp_path: Path) -> None:
    def card(name: str, **changes: Any) -> str:
        return (merge(recipe(worded, **changes), tmp_path / name) / "README.md").read_text(encoding="utf-8")

    assert "- Seen of the target: nothing\n" in card("one")
    text = card("two", embeddings="used", text=tmp_path / "text.txt", heads="fresh", similarity="REAL")
    assert (
        "- Seen of the target: 2 unlabelled sentences (text.txt), by the choice of embeddings; labels" in text
    )
    assert "- Heads: fresh" in text

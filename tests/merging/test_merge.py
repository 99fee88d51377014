"""Does a merge give what its recipe says, whole and always the same, or nothing at all?"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import LABELS, bert, plain, with_words
from transformers import (
    AutoModelForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from merginguriel.errors import CheckpointError, IncompatibleError, MuError
from merginguriel.files import sha256
from merginguriel.merging import executor as step
from merginguriel.merging.engine import merge, merge_tensors
from merginguriel.merging.recipe import Recipe, Source, dump_recipe, load_recipe

METHODS = ["average", "linear", "task_arithmetic", "ties"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: bert(folder / name, seed) for seed, name in enumerate(["base", "cy-GB", "fr-FR", "vi-VN"])}


def recipe(models: dict[str, Path], method: str = "linear", **changes: object) -> Recipe:
    weights = {"cy-GB": 1.0, "fr-FR": 1.0, "vi-VN": 1.0 if method == "average" else 2.0}
    sources = tuple(Source(name, models[name], weight) for name, weight in weights.items())
    return replace(Recipe(method, sources, base=models["base"]), **changes)


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("method", METHODS)
def test_a_merge_loads_in_transformers_and_holds_what_the_recipe_says(
    models: dict[str, Path], tmp_path: Path, method: str
) -> None:
    out = merge(recipe(models, method), tmp_path / "out")
    merged = AutoModelForSequenceClassification.from_pretrained(out).state_dict()
    assert {p.name for p in out.iterdir()} == {
        "config.json", "model.safetensors", "vocab.txt", "recipe.yaml", "README.md"
    }  # fmt: skip
    for name, array in merge_tensors(recipe(models, method)).items():
        np.testing.assert_array_equal(merged[name].numpy(), array)


def test_linear_and_task_arithmetic_are_what_torch_computes(models: dict[str, Path]) -> None:
    states = [load_file(models[name] / "model.safetensors") for name in ("base", "cy-GB", "fr-FR", "vi-VN")]
    linear = merge_tensors(recipe(models))
    task = merge_tensors(recipe(models, "task_arithmetic", params={"scale": 0.4}))
    for name, base in states[0].items():
        mean = sum(w * state[name] for w, state in zip((0.25, 0.25, 0.5), states[1:], strict=True))
        np.testing.assert_allclose(linear[name], mean.numpy(), atol=1e-6)
        np.testing.assert_allclose(task[name], (base + 0.4 * (mean - base)).numpy(), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_source_counts(models: dict[str, Path], tmp_path: Path, method: str) -> None:
    # Merges that silently left out the first of k sources once spoiled months of results.
    whole = merge_tensors(recipe(models, method))
    for name in ("cy-GB", "fr-FR", "vi-VN"):
        changed = {**models, name: bert(tmp_path / f"{method}-{name}", seed=77)}
        other = merge_tensors(recipe(changed, method))
        assert not np.array_equal(whole["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize("method", METHODS)
def test_the_same_recipe_gives_the_same_bytes_in_any_order_of_sources(
    models: dict[str, Path], tmp_path: Path, method: str
) -> None:
    one, turned = recipe(models, method), recipe(models, method)
    turned = replace(turned, sources=turned.sources[::-1])
    a, b, c = merge(one, tmp_path / "a"), merge(one, tmp_path / "b"), merge(turned, tmp_path / "c")
    for file in ("model.safetensors", "config.json", "recipe.yaml", "README.md"):
        assert (a / file).read_bytes() == (b / file).read_bytes()
    assert sha256(a / "model.safetensors") == sha256(c / "model.safetensors")


def test_the_size_of_a_block_changes_nothing(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in METHODS:
        whole = merge_tensors(recipe(models, method))
        with monkeypatch.context() as patch:
            patch.setattr(step, "BLOCK", 8)
            pieces = merge_tensors(recipe(models, method))
        for name, array in whole.items():
            np.testing.assert_array_equal(array, pieces[name])


def test_the_recipe_beside_a_merge_repeats_it_and_notices_a_changed_source(
    models: dict[str, Path], tmp_path: Path
) -> None:
    copies = {name: Path(shutil.copytree(path, tmp_path / name)) for name, path in models.items()}
    out = merge(recipe(copies, "ties", target="sw-KE", mode="ExcTar"), tmp_path / "out")
    again = load_recipe(out / "recipe.yaml")
    assert again.sources[0].sha256["model.safetensors"] == sha256(models["cy-GB"] / "model.safetensors")
    assert sha256(merge(again, tmp_path / "again") / "model.safetensors") == sha256(out / "model.safetensors")
    bert(copies["fr-FR"], seed=99)
    with pytest.raises(CheckpointError, match=r"model\.safetensors of fr-FR is not the file"):
        merge(again, tmp_path / "third")
    assert not (tmp_path / "third").exists()
    card = (out / "README.md").read_text()
    assert "sw-KE" in card
    assert "arXiv:2306.01708" in card


def test_permuted_labels_are_put_back_by_name(models: dict[str, Path], tmp_path: Path) -> None:
    turned = bert(tmp_path / "turned", seed=2)  # the weights of fr-FR
    order = [2, 0, 1]
    model = AutoModelForSequenceClassification.from_pretrained(turned)
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight[order].clone())
        model.classifier.bias.copy_(model.classifier.bias[order].clone())
    model.config.id2label = {i: LABELS[j] for i, j in enumerate(order)}
    model.config.label2id = {label: i for i, label in model.config.id2label.items()}
    model.save_pretrained(turned)
    for method in METHODS:
        straight, back = (
            merge_tensors(recipe(models, method)),
            merge_tensors(recipe({**models, "fr-FR": turned}, method)),
        )
        for name, array in straight.items():
            np.testing.assert_array_equal(array, back[name])


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_comes_out_as_it_went_in(tmp_path: Path, kind: str) -> None:
    dtype = getattr(torch, kind)
    models = {}
    for seed, name in enumerate(["base", "cy-GB", "fr-FR", "vi-VN"]):
        models[name] = bert(tmp_path / name, seed)
        AutoModelForSequenceClassification.from_pretrained(models[name]).to(dtype).save_pretrained(
            models[name]
        )
    out = merge(recipe(models), tmp_path / "out")
    states = [load_file(models[name] / "model.safetensors") for name in ("cy-GB", "fr-FR", "vi-VN")]
    for name, tensor in load_file(out / "model.safetensors").items():
        assert tensor.dtype == dtype
        mean = sum(w * state[name].float() for w, state in zip((0.25, 0.25, 0.5), states, strict=True))
        torch.testing.assert_close(tensor, mean.to(dtype), rtol=0.01, atol=1e-6)
    wide = merge(recipe(models, dtype="float32"), tmp_path / "wide")
    assert AutoModelForSequenceClassification.from_pretrained(wide).dtype == torch.float32


def test_an_xlm_roberta_merges_as_well(tmp_path: Path) -> None:
    table = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    shape = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    for seed, name in enumerate(["base", "cy-GB", "fr-FR", "vi-VN"]):
        torch.manual_seed(seed)
        config = XLMRobertaConfig(**shape, **table, intermediate_size=24, max_position_embeddings=16)
        XLMRobertaForSequenceClassification(config).save_pretrained(tmp_path / name)
        with_words(tmp_path / name)
    models = {name: tmp_path / name for name in ("base", "cy-GB", "fr-FR", "vi-VN")}
    out = merge(recipe(models, "ties"), tmp_path / "out")
    assert AutoModelForSequenceClassification.from_pretrained(out).config.id2label == table["id2label"]


def test_whole_numbers_are_copied_and_refused_if_they_differ(tmp_path: Path) -> None:
    a = plain(tmp_path / "a", {"w": np.ones((2, 2), np.float32), "ids": np.arange(3)})
    b = plain(tmp_path / "b", {"w": np.zeros((2, 2), np.float32), "ids": np.arange(3)})
    c = plain(tmp_path / "c", {"w": np.zeros((2, 2), np.float32), "ids": np.arange(3) + 1})
    merged = merge_tensors(Recipe("average", (Source("a", a), Source("b", b))))
    np.testing.assert_array_equal(merged["ids"], [0, 1, 2])
    np.testing.assert_array_equal(merged["w"], np.full((2, 2), 0.5))
    with pytest.raises(IncompatibleError, match="ids holds whole numbers"):
        merge_tensors(Recipe("average", (Source("a", a), Source("c", c))))


def test_scalars_and_empty_tensors_are_merged_too(tmp_path: Path) -> None:
    shapes = {"scalar": np.float32(1), "empty": np.zeros((0, 3), np.float32), "w": np.ones(2, np.float32)}
    models = [
        plain(tmp_path / str(i), {name: np.asarray(value * i, np.float32) for name, value in shapes.items()})
        for i in range(3)
    ]
    for method in METHODS:
        merged = merge_tensors(
            Recipe(method, tuple(Source(p.name, p) for p in models[1:]), {}, base=models[0]),
        )
        assert merged["scalar"].shape == ()
        assert merged["empty"].shape == (0, 3)
        assert merged["scalar"] == pytest.approx(1.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", METHODS)
def test_a_nan_is_named_and_nothing_is_left(tmp_path: Path, method: str, bad: float) -> None:
    good = np.arange(6, dtype=np.float32)
    models = [
        plain(tmp_path / "m" / name, {"w": good * i, "z": good}) for i, name in enumerate(["base", "a"])
    ]
    models.append(
        plain(tmp_path / "m" / "b", {"w": np.where(good == 3, bad, good).astype(np.float32), "z": good})
    )
    with pytest.raises(CheckpointError, match="tensor w of b holds NaN or infinity"):
        merge(
            Recipe(method, (Source("a", models[1]), Source("b", models[2])), base=models[0]),
            tmp_path / "o" / "out",
        )
    assert left_over(tmp_path / "o") == []


def test_large_finite_weights_are_not_taken_for_infinite(tmp_path: Path) -> None:
    a = plain(tmp_path / "a", {"w": np.full(4, 3e38, np.float32)})
    b = plain(tmp_path / "b", {"w": np.full(4, 2e38, np.float32)})
    sources = (Source("a", a), Source("b", b))
    np.testing.assert_allclose(merge_tensors(Recipe("average", sources))["w"], 2.5e38, rtol=1e-6)
    with pytest.raises(MuError, match="too large for F16"):
        merge_tensors(Recipe("average", sources, dtype="float16"))


def test_a_folder_that_is_there_is_not_touched(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(MuError, match="already there"):
        merge(recipe(models), tmp_path / "out")
    assert left_over(tmp_path) == ["out"]


def test_a_disk_without_room_is_noticed_before_the_work(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(MuError, match="MB are free"):
        merge(recipe(models), tmp_path / "out")
    assert left_over(tmp_path) == []


def test_a_file_that_cannot_grow_ends_in_a_message_and_leaves_nothing(
    models: dict[str, Path], tmp_path: Path
) -> None:
    # A limit on file size fails in the same calls as a full disk, and needs no disk of its own.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(MuError, match="cannot write") as caught:
            merge(recipe(models), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(tmp_path / "out") in caught.value.render()
    assert left_over(tmp_path) == []


def test_progress_counts_every_parameter_once(models: dict[str, Path]) -> None:
    seen: list[tuple[int, int, str]] = []
    merged = merge_tensors(recipe(models), on_progress=lambda *step: seen.append(step))
    total = sum(array.size for array in merged.values())
    assert [name for _, _, name in seen] == list(merged)
    assert seen[-1][:2] == (total, total)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


CHILD = """
import sys
from pathlib import Path
from merginguriel.merging.engine import merge
from merginguriel.merging.recipe import load_recipe

STOP, seen = sys.argv[3:] == ["stop"], []

def tell(done, total, name):
    seen.append(name)
    print(name, flush=True)
    if STOP and len(seen) == 2:
        sys.stdin.read()  # in the middle of the merge, until it is ended

try:
    merge(load_recipe(Path(sys.argv[1])), Path(sys.argv[2]), on_progress=tell)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_merge_that_is_killed_leaves_no_folder(
    models: dict[str, Path], tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe(models, "ties"), tmp_path))
    out = tmp_path / "o" / "out"
    command = [sys.executable, "-c", CHILD, str(tmp_path / "recipe.yaml"), str(out), "stop"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() and child.stdout.readline()
        child.send_signal(sent)
        assert child.wait(120) == code
    assert not out.exists()
    if sent == signal.SIGINT:
        assert left_over(tmp_path / "o") == []


@pytest.mark.slow
def test_merging_needs_neither_torch_nor_safetensors(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe(models, "ties"), tmp_path))
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'safetensors', 'transformers']));"
        f"sys.argv[1:] = [{str(tmp_path / 'recipe.yaml')!r}, {str(tmp_path / 'out')!r}]\n"
    )
    subprocess.run([sys.executable, "-c", script + CHILD], check=True, capture_output=True)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["id2label"] == dict(
        zip("012", LABELS, strict=True)
    )

"""mergekit configurations are read as recipes, or refused with the line of what the engine cannot express."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from merginguriel.config.mergekit_file import load_mergekit
from merginguriel.errors import MuError, UnavailableError
from merginguriel.merging.engine import merge_tensors

LAYERS = 3
NAMES = [
    "embeddings.word.weight",
    *(f"encoder.layer.{i}.{part}.weight" for i in range(LAYERS) for part in ("self_attn", "mlp")),
    "norm.weight",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pretrained model and three fine-tunes of it."""
    root = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(0)
    base = {name: random.normal(size=(4, 3)).astype(np.float32) for name in NAMES}
    for model in ("base", "a", "b", "c"):
        (root / model).mkdir()
        tensors = base if model == "base" else {
            name: base[name] + random.normal(size=(4, 3)).astype(np.float32) / 10 for name in NAMES
        }  # fmt: skip
        save_file(tensors, root / model / "model.safetensors")
        text = f'{{"architectures": ["Plain"], "model_type": "plain", "num_hidden_layers": {LAYERS}}}'
        (root / model / "config.json").write_text(text, encoding="utf-8")
    return root


def offline(name):
    raise UnavailableError(f"no hub: {name}")


def read(folder, text):
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load_mergekit(path, offline)


def merged(folder, text):
    return merge_tensors(read(folder, text).recipe)


def tensors(folder):
    return {model: load_file(folder / model / "model.safetensors") for model in ("base", "a", "b", "c")}


def depth(name):
    """How deep a tensor lies, as mergekit counts: 0 for the embeddings, 1 for what follows the last layer."""
    layer = next((int(part) for part in name.split(".") if part.isdigit()), None)
    return layer / (LAYERS - 1) if layer is not None else float(name == "norm.weight")


def gradient(values, t):
    """mergekit's interpolation between the values of a list."""
    return float(np.interp(t * (len(values) - 1), range(len(values)), values))


# The form of mergekit's examples/gradient-slerp.yml, with folders of three layers.
GRADIENT_SLERP = """\
slices:
  - sources:
      - model: a
        layer_range: [0, 3]
      - model: b
        layer_range: [0, 3]
merge_method: slerp
base_model: a
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 0.3, 0.7, 1]
    - filter: mlp
      value: [1, 0.5, 0.7, 0.3, 0]
    - value: 0.5
dtype: float32
"""


def slerp(t, first, second):
    """Shoemake's formula, as mergekit applies it to a flat tensor."""
    angle = np.arccos((first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second))
    return (np.sin((1 - t) * angle) * first + np.sin(t * angle) * second) / np.sin(angle)


@pytest.mark.parametrize("base", ["a", "b"])
def test_a_slerp_with_gradients_and_filters_goes_from_the_base_model_to_the_other(folder, base):
    found, of = (
        merged(folder, GRADIENT_SLERP.replace("base_model: a", f"base_model: {base}")),
        tensors(folder),
    )
    other = "b" if base == "a" else "a"
    for name in NAMES:
        attention, mlp = [0, 0.5, 0.3, 0.7, 1], [1, 0.5, 0.7, 0.3, 0]
        values = attention if "self_attn" in name else mlp if "mlp" in name else [0.5]
        wanted = slerp(gradient(values, depth(name)), of[base][name], of[other][name])
        np.testing.assert_allclose(found[name], wanted, atol=2e-6, err_msg=name)


def models(method, each, whole="", base=True):
    lines = [
        f"  - model: {name}\n    parameters: {{{text}}}" for name, text in zip("abc", each, strict=False)
    ]
    parameters = f"parameters: {{{whole}}}\n" if whole else ""
    first = "  - model: base\n" if base else ""
    named = "base_model: base\n" if base else ""
    return (
        f"models:\n{first}"
        + "\n".join(lines)
        + f"\nmerge_method: {method}\n{named}{parameters}dtype: float32\n"
    )


def test_linear_divides_by_the_sum_of_weights_that_change_with_the_layer(folder):
    found, of = (
        merged(folder, models("linear", ["weight: 1", "weight: [0.5, 0.1, 2]"], base=False)),
        tensors(folder),
    )
    for name in NAMES:
        b = gradient([0.5, 0.1, 2], depth(name))
        wanted = (of["a"][name] + b * of["b"][name]) / (1 + b)
        np.testing.assert_allclose(found[name], wanted, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("method", ["task_arithmetic", "dare_linear", "della_linear", "breadcrumbs"])
@pytest.mark.parametrize(("whole", "factor"), [("", 1.0), ("lambda: 0.5", 0.5), ("normalize: true", 1 / 1.3)])
def test_whole_task_vectors_are_added_unless_they_are_normalized(folder, method, whole, factor):
    text = models(method, ["weight: 0.8", "weight: 0.5"], whole)
    found, of = merged(folder, text), tensors(folder)
    for name in NAMES:
        base = of["base"][name]
        wanted = base + factor * (0.8 * (of["a"][name] - base) + 0.5 * (of["b"][name] - base))
        np.testing.assert_allclose(found[name], wanted, atol=1e-6)


def elected(deltas, weights, density, divide):
    """mergekit's TIES of one tensor: magnitude trim, sign of the weighted sum, weighted sum of what agrees."""
    kept = []
    for delta in deltas:
        flat = delta.reshape(-1)
        mask = np.zeros(flat.size, bool)
        mask[np.argsort(np.abs(flat))[::-1][: int(density * flat.size)]] = True
        kept.append((flat * mask).reshape(delta.shape))
    weighted = np.stack([w * d for w, d in zip(weights, kept, strict=True)])
    agrees = np.sign(weighted) == np.where(weighted.sum(axis=0) >= 0, 1, -1)
    mass = (np.array(weights)[:, None, None] * agrees).sum(axis=0)
    total = (weighted * agrees).sum(axis=0)
    return total / np.where(mass == 0, 1, mass) if divide else total


def test_della_divides_by_the_weights_that_agree(folder):
    found, of = merged(folder, models("della", ["weight: 0.4", "weight: 0.3"])), tensors(folder)
    for name in NAMES:
        deltas = [of[model][name] - of["base"][name] for model in "ab"]
        wanted = of["base"][name] + elected(deltas, [0.4, 0.3], 1, divide=True)
        np.testing.assert_allclose(found[name], wanted, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("divide", [True, False])
def test_ties_elects_trims_and_divides_as_mergekit_does(folder, divide):
    each = ["weight: 0.4, density: 0.5", "weight: 0.3, density: 0.5", "weight: 0.6, density: 0.5"]
    found = merged(folder, models("ties", each, f"normalize: {str(divide).lower()}, int8_mask: true"))
    of = tensors(folder)
    for name in NAMES:
        deltas = [of[model][name] - of["base"][name] for model in "abc"]
        wanted = of["base"][name] + elected(deltas, [0.4, 0.3, 0.6], 0.5, divide)
        np.testing.assert_allclose(found[name], wanted, atol=1e-6, err_msg=name)


def test_dare_ties_adds_up_what_agrees_by_default(folder):
    each = ["weight: 0.4, density: 1", "weight: 0.3, density: 1", "weight: 0.3, density: 1"]
    found, of = merged(folder, models("dare_ties", each, "int8_mask: true")), tensors(folder)
    for name in NAMES:
        deltas = [of[model][name] - of["base"][name] for model in "abc"]
        wanted = of["base"][name] + elected(deltas, [0.4, 0.3, 0.3], 1, divide=False)
        np.testing.assert_allclose(found[name], wanted, atol=1e-6, err_msg=name)


def test_what_has_no_effect_is_listed(folder):
    text = models("ties", ["weight: 1, density: 0.5"] * 2, "int8_mask: true") + "tokenizer_source: union\n"
    notes = read(folder, text).notes
    assert [note.split()[0] for note in notes] == ["tokenizer_source", "int8_mask"]


TIES = models("ties", ["weight: 0.5, density: 0.5", "weight: 0.5, density: 0.5"])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("merge_method: tiess\n" + TIES.replace("merge_method: ties\n", ""), 1, "Did you mean ties"),
        (TIES.replace("density: 0.5", "density: 0.7", 1), 6, "density differs between models"),
        (TIES.replace("density: 0.5", "density: [0.1, 0.5]"), 6, "density differs"),
        (TIES.replace("base_model: base\n", ""), 7, "ties needs base_model"),
        (TIES.replace("weight: 0.5", "weight: -1", 1), 4, "weight must be 0 or more"),
        (TIES.replace("density", "densty", 1), 4, "Did you mean density"),
        (TIES.replace("model: a", "model: nowhere"), 3, "no hub: nowhere"),
        (TIES.replace("model: a", "model: c+b"), 3, "on another model than base_model"),
        (TIES + "modules: {}\nslices: [{sources: []}]\n", 11, "models or slices"),
        (TIES.replace("float32", "int4"), 9, "unknown dtype 'int4'"),
        (GRADIENT_SLERP.replace("[0, 3]", "[0, 2]", 1), 4, "not the whole model: a has 3 layers"),
        (GRADIENT_SLERP.replace("filter: mlp", "pattern: mlp"), 13, "may have a `filter`"),
        (GRADIENT_SLERP.replace("  - value: 0.5", "  - value: 1.5"), 15, "t must be from 0 to 1"),
        (models("task_arithmetic", ["weight: [0, 1]", "weight: 1"]), 7, "whose sum differs between layers"),
        (models("passthrough", ["weight: 1"]), 5, "both programs have"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused_with_its_line(folder, text, line, words):
    with pytest.raises(MuError) as caught:
        read(folder, text)
    assert words in caught.value.render(), caught.value.render()
    assert (caught.value.where or "").rpartition(":")[2] == str(line), caught.value.render()

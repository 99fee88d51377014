"""Every merging method on embedders: with heads of both kinds, as LoRA adapters, and with vocabularies that differ."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import transformers

pytest.importorskip("sentence_transformers")
from real_folders import TEXT

from merginguriel.embedding import architecture, training
from merginguriel.embedding.architecture import Shape
from merginguriel.embedding.training import Settings
from merginguriel.evaluation import embedding
from merginguriel.merging import registry

pytestmark = pytest.mark.slow
SHAPES = {
    "linear head": Shape(head="linear", out=8),
    "attention pooling, experts": Shape(pooling="attention", head="experts", out=8),
    "LoRA": Shape(rank=2),
}
METHODS = registry.all_methods()
OF_CLASSIFIERS = {"adamerging", "adamerging++", "fisher_dataset", "regmean++"}


@pytest.fixture(scope="module")
def embedders(base, examples, tmp_path_factory):
    """Kind → two embedders that were trained alike on other seeds; `LoRA` also as adapters."""
    root, found = tmp_path_factory.mktemp("embedders"), {}
    for number, (name, shape) in enumerate(SHAPES.items()):
        settings = [Settings(steps=2, batch=4, seed=seed, learning_rate=1e-3) for seed in (1, 2)]
        found[name] = [
            training.train(base, examples, root / f"{number}-{s.seed}", shape, s).folder for s in settings
        ]
    found["adapters"] = [folder / "adapter" for folder in found["LoRA"]]
    (root / "text.txt").write_text("\n".join(TEXT * 4))
    return {**found, "text": root / "text.txt"}


@pytest.mark.parametrize("kind", ["linear head", "attention pooling, experts", "adapters"])
def test_every_method_merges_embedders_into_one_that_encodes(mu, base, embedders, tmp_path, kind):
    for name, method in METHODS.items():
        out = tmp_path / name
        words = ["merge", "--method", name, "--pretrained", base, "--out", out, "--target", "de-DE"]
        for locale, folder in zip(("de-DE", "en-US"), embedders[kind], strict=True):
            words += ["--source", f"{locale}={folder}"]
        found = mu(*words, *(["--text", embedders["text"]] if method.needs else []))
        if method.needs and (kind == "adapters" or name in OF_CLASSIFIERS):
            assert found.code == 1 and ("is an embedder" in found.err or "is an adapter" in found.err), name
            continue
        assert found.code == 0, (name, found.err)
        vectors = architecture.load(out).encode(TEXT)
        if (
            name == "linear" and kind == "linear head"
        ):  # the loader of mu proxy, which needs no sentence-transformers
            assert np.allclose(embedding.vectors(out, TEXT), vectors, atol=1e-5)
        assert np.isfinite(vectors).all() and vectors.shape == (len(TEXT), 16 if kind == "adapters" else 8), (
            name
        )


def trimmed(folder, out, lost):
    """Copy an embedder without the tokens of these ids; the later ones move up."""
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("adapter"))
    table = json.loads((out / "tokenizer.json").read_text())
    whole = sorted(table["model"]["vocab"].items(), key=lambda one: one[1])
    kept = [(word, at) for word, at in whole if at not in lost]
    table["model"]["vocab"] = {word: new for new, (word, _) in enumerate(kept)}
    (out / "tokenizer.json").write_text(json.dumps(table))
    model = transformers.BertModel.from_pretrained(out, add_pooling_layer=False)
    rows = model.get_input_embeddings().weight[[at for _, at in kept]].detach()
    model.resize_token_embeddings(len(kept), mean_resizing=False)
    model.get_input_embeddings().weight.data = rows
    model.save_pretrained(out)
    return out


@pytest.mark.parametrize("kind", ["linear head", "LoRA"])
def test_every_method_merges_embedders_whose_vocabularies_were_trimmed_in_two_ways(
    mu, base, embedders, tmp_path, kind
):
    one, two = embedders[kind]
    pair = trimmed(one, tmp_path / "one", {70, 75, 80}), trimmed(two, tmp_path / "two", {72, 76})
    words = [
        "--source",
        f"de-DE={pair[0]}",
        "--source",
        f"en-US={pair[1]}",
        "--pretrained",
        base,
        "--target",
        "de-DE",
    ]
    refused = mu("merge", "--method", "linear", *words, "--out", tmp_path / "refused")
    assert refused.code == 1 and "--vocab" in refused.err and not (tmp_path / "refused").exists()
    for name, method in METHODS.items():
        out, text = tmp_path / name, ["--text", embedders["text"]] if method.needs else []
        found = mu("merge", "--method", name, *words, "--vocab", "base", *text, "--out", out)
        if name in OF_CLASSIFIERS:
            assert found.code == 1 and "is an embedder" in found.err and not out.exists(), name
            continue
        assert found.code == 0, (name, found.err)
        vectors = architecture.load(out).encode(TEXT)
        assert np.isfinite(vectors).all() and vectors.shape == (len(TEXT), 8 if "head" in kind else 16), name
    known = mu("merge", "--method", "linear", *words[:4], "--vocab", "common", "--out", tmp_path / "common")
    assert known.code == 1 and "--vocab base" in known.err


def test_shared_tokens_have_the_mean_of_their_rows(mu, embedders, tmp_path):
    whole, other = embedders["linear head"]
    pair = whole, trimmed(other, tmp_path / "b", {70, 75, 80})
    words = [
        word for name, folder in zip("ab", pair, strict=True) for word in ("--source", f"{name}={folder}")
    ]
    assert mu("merge", "--method", "linear", *words, "--vocab", "common", "--out", tmp_path / "out").code == 0
    tables = []
    for model in map(architecture.load, (*pair, tmp_path / "out")):
        rows = model[0].auto_model.get_input_embeddings().weight.detach().numpy()
        tables.append({token: rows[at] for token, at in model.tokenizer.get_vocab().items()})
    assert tables[2].keys() == tables[1].keys()
    for token, row in tables[2].items():
        assert np.allclose(row, (tables[0][token] + tables[1][token]) / 2, atol=1e-6), token


def test_family_heads_of_other_vocabularies_are_refused(mu, base, tmp_path):
    shape = Shape(head="family", families=("latin", "cyrillic"))
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        architecture.save(architecture.build(base, shape), folder, "")
    words = ["--source", f"a={folders[0]}", "--source", f"b={trimmed(folders[1], tmp_path / 'c', {70})}"]
    found = mu("merge", "--method", "linear", *words, "--vocab", "common", "--out", tmp_path / "out")
    assert found.code == 1 and "family heads" in found.err and not (tmp_path / "out").exists()


def test_a_method_with_a_base_asks_for_it_where_the_workspace_has_none(mu, embedders, tmp_path):
    assert mu("init", tmp_path / "space").code == 0
    sources = [
        word
        for name, folder in zip("ab", embedders["linear head"], strict=True)
        for word in ("--source", f"{name}={folder}")
    ]
    found = mu(
        "merge", "--method", "ties", *sources, "--out", tmp_path / "o", "--workspace", tmp_path / "space"
    )
    assert found.code == 2 and "ties needs a base" in found.err and "--pretrained FOLDER" in found.err

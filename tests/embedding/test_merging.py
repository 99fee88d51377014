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


def test_embedders_with_trimmed_vocabularies_merge_by_the_tokens_that_they_share(mu, embedders, tmp_path):
    whole, other = embedders["linear head"]
    trimmed = shutil.copytree(other, tmp_path / "trimmed")
    table = json.loads((trimmed / "tokenizer.json").read_text())
    kept = len(table["model"]["vocab"]) - 5
    table["model"]["vocab"] = {word: at for word, at in table["model"]["vocab"].items() if at < kept}
    (trimmed / "tokenizer.json").write_text(json.dumps(table))
    model = transformers.BertModel.from_pretrained(trimmed, add_pooling_layer=False)
    model.resize_token_embeddings(kept, mean_resizing=False)
    model.save_pretrained(trimmed)
    words = ["--source", f"a={whole}", "--source", f"b={tmp_path / 'trimmed'}", "--out", tmp_path / "out"]
    assert mu("merge", "--method", "linear", *words).code == 1
    found = mu("merge", "--method", "linear", *words, "--vocab", "common")
    assert found.code == 0, found.err
    merged = architecture.load(tmp_path / "out")
    assert merged[0].auto_model.get_input_embeddings().num_embeddings <= kept
    assert np.isfinite(merged.encode(TEXT)).all()

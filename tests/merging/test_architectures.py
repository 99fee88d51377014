"""Does any architecture merge without a description of it, whatever class the models and the base are?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tiny_models import with_words

from merginguriel.errors import IncompatibleError
from merginguriel.merging.engine import merge, merge_tensors
from merginguriel.merging.recipe import Recipe, Source

SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 20, "pad_token_id": 0,
}  # fmt: skip
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Bert": SIZES,
    "XLMRoberta": SIZES,
    "Roberta": SIZES,
    "DistilBert": {"vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24,
                   "max_position_embeddings": 20},
    "DebertaV2": {**SIZES, "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"],
                  "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False},
    "ModernBert": {**SIZES, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
    "Llama": {**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": True},
    "Qwen2": {**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": False},
}  # fmt: skip
KINDS = {
    "classifier": ("ForSequenceClassification", transformers.AutoModelForSequenceClassification),
    "tagger": ("ForTokenClassification", transformers.AutoModelForTokenClassification),
    "masked": ("ForMaskedLM", transformers.AutoModelForMaskedLM),
    "causal": ("ForCausalLM", transformers.AutoModelForCausalLM),
    "bare": ("Model", transformers.AutoModel),
}
DECODERS = ("Llama", "Qwen2")
LABELS = {"id2label": dict(enumerate("xyz")), "label2id": {label: i for i, label in enumerate("xyz")}}
CASES = [
    (name, kind) for name in ARCHITECTURES for kind in KINDS
    if kind != ("masked" if name in DECODERS else "causal")
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("models")

    def make(name: str, kind: str, seed: int) -> Path:
        """A small random model of the class, written once."""
        folder = root / f"{name}-{kind}-{seed}"
        if not folder.exists():
            torch.manual_seed(seed)
            labels = LABELS if kind in ("classifier", "tagger") else {}
            config = getattr(transformers, f"{name}Config")(**ARCHITECTURES[name], **labels)
            getattr(transformers, name + KINDS[kind][0])(config).save_pretrained(folder)
            with_words(folder)
        return folder

    return make


def tail(name: str) -> str:
    """A tensor's name without the prefix of the encoder, which a bare model lacks."""
    first, _, rest = name.partition(".")
    return rest if first in ("bert", "roberta", "distilbert", "deberta", "model") else name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_merge_loads_with_its_own_class_and_is_what_numpy_computes(
    made: Any, tmp_path: Path, name: str, kind: str
) -> None:
    one, two = made(name, kind, 1), made(name, kind, 2)
    sources = (Source("a", one, 1.0), Source("b", two, 3.0))
    states = [load_file(folder / "model.safetensors") for folder in (one, two)]
    for base_kind in {kind, "bare", "causal" if name in DECODERS else "masked"}:
        base = made(name, base_kind, 0)
        recipe = Recipe("task_arithmetic", sources, {"scale": 0.5}, base=base, heads="merge")
        out = merge(recipe, tmp_path / base_kind)
        model, info = KINDS[kind][1].from_pretrained(out, output_loading_info=True)
        assert not any(info.values()), info
        assert type(model).__name__ == name + KINDS[kind][0]
        assert (out / "vocab.txt").read_bytes() == (one / "vocab.txt").read_bytes()
        stored = load_file(base / "model.safetensors")
        known = {tail(tensor): values for tensor, values in stored.items()}
        found = model.state_dict()
        for tensor, first in states[0].items():
            expected = 0.25 * first + 0.75 * states[1][tensor]
            if tail(tensor) in known:
                expected = 0.5 * known[tail(tensor)] + 0.5 * expected
            torch.testing.assert_close(found[tensor], expected, atol=1e-6, rtol=1e-5)
        lacking = {tail(tensor) for tensor in states[0]} - known.keys()
        if base_kind == kind:
            assert not lacking


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_merged_model_computes(made: Any, tmp_path: Path, name: str) -> None:
    sources = tuple(Source(str(seed), made(name, "classifier", seed)) for seed in (1, 2))
    out = merge(Recipe("ties", sources, base=made(name, "bare", 0)), tmp_path / "out")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(out).eval()
    with torch.no_grad():
        logits = model(torch.tensor([[1, 5, 7, 2]])).logits
    assert logits.shape == (1, 3)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("Bert", "masked", "bert.embeddings.word_embeddings.weight"),
        ("Llama", "causal", "model.embed_tokens.weight"),
    ],
)
def test_tied_weights_that_a_file_leaves_out_stay_tied(
    made: Any, tmp_path: Path, name: str, kind: str, words: str
) -> None:
    sources = tuple(Source(str(seed), made(name, kind, seed)) for seed in (1, 2))
    model = KINDS[kind][1].from_pretrained(merge(Recipe("linear", sources), tmp_path / "out"))
    table, answers = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert table.data_ptr() == answers.data_ptr()
    one, two = (load_file(source.path / "model.safetensors")[words] for source in sources)
    torch.testing.assert_close(table.detach(), (one + two) / 2)


def test_a_base_that_lacks_a_layer_is_refused(made: Any, tmp_path: Path) -> None:
    shallow = transformers.BertConfig(**{**SIZES, "num_hidden_layers": 1})
    transformers.BertModel(shallow).save_pretrained(tmp_path / "shallow")
    config = tmp_path / "shallow" / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 2'))
    for kind in ("classifier", "bare"):
        sources = (Source("a", made("Bert", kind, 1)), Source("b", made("Bert", kind, 2)))
        with pytest.raises(IncompatibleError, match=r"the base lacks .*layer\.1\."):
            merge_tensors(Recipe("ties", sources, base=tmp_path / "shallow"))


def test_layers_are_found_in_every_architecture(made: Any) -> None:
    from merginguriel.merging.policies import is_embedding, is_matrix, layer_of
    from merginguriel.models.checkpoint import open_checkpoint

    for name in ARCHITECTURES:
        tensors = open_checkpoint(made(name, "classifier", 1)).tensors
        numbers = {layer_of(tensor, tensors) for tensor in tensors}
        assert {number for number, _ in numbers} == {-1, 0, 1, 2}, name
        tables = [t for t, info in tensors.items() if is_embedding(t, info.shape, 40)]
        assert len(tables) == 1, name
        assert not is_matrix(tables[0], tensors[tables[0]].shape)
        dense = [
            t for t, info in tensors.items() if is_matrix(t, info.shape) and layer_of(t, tensors)[0] == 1
        ]
        assert len(dense) >= 4, name

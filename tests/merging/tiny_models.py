"""Small real checkpoints for the tests of merging, written by transformers and by safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from merginguriel.merging.recipe import Recipe, Source

LABELS = ("weather", "music", "light")
SHAPE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}


def bert(folder: Path, seed: int, labels: tuple[str, ...] = LABELS, **changes: object) -> Path:
    """A tiny BertForSequenceClassification with random weights, saved by transformers."""
    torch.manual_seed(seed)
    table = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    BertForSequenceClassification(BertConfig(**{**SHAPE, **table, **changes})).save_pretrained(folder)
    return with_words(folder)


def recipe(method: str, *folders: Path, base: Path | None = None, **rest: Any) -> Recipe:
    """The recipe over folders, each called by its name."""
    return Recipe(method, tuple(Source(f.name, f) for f in folders), base=base, **rest)


def adapter(base: Path, folder: Path, seed: int, auto: Any = None, **settings: Any) -> Path:
    """An adapter with random factors, saved by peft; beside it in `whole` what merge_and_unload makes of it."""
    import peft

    torch.manual_seed(seed)
    model = (auto or AutoModelForSequenceClassification).from_pretrained(base, num_labels=len(LABELS))
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**{"task_type": "SEQ_CLS", **settings}))
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    wrapped.save_pretrained(folder)
    wrapped.merge_and_unload().save_pretrained(whole(folder))
    with_words(whole(folder))
    return folder


def whole(folder: Path) -> Path:
    """The folder of what an adapter gives with its base."""
    return folder.with_name(f"{folder.name}-whole")


def with_words(folder: Path) -> Path:
    """Add a vocabulary of 40 words to a model folder."""
    (folder / "vocab.txt").write_text("\n".join(f"w{i}" for i in range(40)), encoding="utf-8")
    return folder


def plain(folder: Path, tensors: dict[str, np.ndarray], labels: tuple[str, ...] | None = None) -> Path:
    """A folder with a minimal config and the given tensors, written by the safetensors package."""
    folder.mkdir(parents=True)
    config: dict[str, object] = {"architectures": ["Plain"], "model_type": "plain"}
    if labels:
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder

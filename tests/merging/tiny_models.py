"""Small real checkpoints for the tests of merging, written by transformers and by safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import BertConfig, BertForSequenceClassification

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

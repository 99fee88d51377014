"""Small random models for the comparisons with mergekit."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.utils import logging

logging.disable_progress_bar()
logging.set_verbosity_error()

MOVED = 0.02  # deviation of a fine-tune's own part from the base
SIZES = {
    "vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 40,
}  # fmt: skip
ARCHITECTURES = {
    "XLM-R": ("xlm-roberta", {}),
    "BERT": ("bert", {}),
    "RoBERTa": ("roberta", {}),
    "DistilBERT": ("distilbert", {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}),
    "mDeBERTa": ("deberta-v2", {"pos_att_type": ["p2c", "c2p"], "relative_attention": True}),
    "ModernBERT": ("modernbert", {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1,
                                  "eos_token_id": 2, "global_attn_every_n_layers": 2}),
}  # fmt: skip
HEADS = {
    "sequence classifier": AutoModelForSequenceClassification,
    "token classifier": AutoModelForTokenClassification,
    "masked LM": AutoModelForMaskedLM,
    "bare": AutoModel,
}
LABELS = ("weather", "music", "light", "alarm")
State = dict[str, torch.Tensor]


def make(folder: Path, architecture: str, head: str, seed: int, labels: tuple[str, ...] = LABELS) -> Path:
    """A small random model with transformers' own initial weights."""
    kind, more = ARCHITECTURES[architecture]
    table = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    torch.manual_seed(seed)
    model = HEADS[head].from_config(AutoConfig.for_model(kind, **{**SIZES, **more, **table}))
    model.save_pretrained(folder)
    words = (f"w{i}" for i in range(SIZES["vocab_size"]))  # mu merges no model without a tokenizer
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return folder


def moved(base: Path, folder: Path, seed: int) -> Path:
    """A fine-tune: the base, a step that all fine-tunes share, and one of its own."""
    shutil.copytree(base, folder)
    shared, own = torch.Generator().manual_seed(1), torch.Generator().manual_seed(seed)
    state = load_file(base / "model.safetensors")
    for name, tensor in sorted(state.items()):
        if tensor.is_floating_point():
            steps = (torch.randn(tensor.shape, generator=generator) for generator in (shared, own))
            state[name] = tensor + MOVED * sum(steps)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def weights(folder: Path) -> State:
    """Every tensor of a model, whichever files it lies in."""
    state: State = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= load_file(file)
    return state

"""Preparation of a training, by the Trainer or by rounds: labels, frozen parts, optimizer, batches and precision."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from merginguriel.errors import UsageError
from merginguriel.models.classifier import encode_words
from merginguriel.tasks.registry import Item

from . import lora
from .settings import FinetuneSettings

POOL = 16  # batches whose sentences are sorted by length together before they are cut


def check_labels(model: PreTrainedModel, items: Sequence[Item], base: Path) -> None:
    """Raise UsageError if the data have labels that the base lacks."""
    unknown = sorted({label for item in items for label in item.labels} - set(label_index(model)))
    if unknown:
        shown = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
        raise UsageError(
            f"the data has labels that the base does not have: {shown}.",
            where=str(base),
            hint="Remove that folder: the next mu train writes it anew, with the labels of all locales.",
        )


def label_index(model: PreTrainedModel) -> dict[str, int]:
    """Return label → row of the head."""
    return {label: int(i) for label, i in (model.config.label2id or {}).items()}


def label_names(model: PreTrainedModel) -> list[str]:
    """Return the labels in the order of the head."""
    return sorted(index := label_index(model), key=index.__getitem__)


def resolved(settings: FinetuneSettings) -> FinetuneSettings:
    """Return the settings with `bf16` decided, so that equal settings are equal arithmetic."""
    return settings if settings.bf16 is not None else replace(settings, bf16=has_bf16())


def has_bf16(processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether bfloat16 is faster here, by hardware flags; a timing would differ between runs.

    On a CPU only matrix units (AMX) count: with vector instructions alone (avx512_bf16) training was not faster.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    try:
        text = processor.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False  # not Linux: no promise
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return "amx_bf16" in flags.partition(":")[2].split()


def set_dropout(model: PreTrainedModel, settings: FinetuneSettings) -> None:
    """Set the dropout of every layer, if the settings have one."""
    if settings.dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = settings.dropout


def freeze(model: PreTrainedModel, settings: FinetuneSettings) -> None:
    """Exclude the embeddings and the first layers from training."""
    encoder: Any = model.base_model
    frozen: list[torch.nn.Module] = []
    if settings.freeze_embeddings:
        frozen.append(getattr(encoder, "embeddings", encoder.get_input_embeddings()))
    if settings.freeze_layers:
        layers = getattr(getattr(encoder, "encoder", encoder), "layer", None)
        if layers is None or settings.freeze_layers > len(layers):
            raise UsageError(
                f"freeze_layers is {settings.freeze_layers}; this encoder has {len(layers or ())} layers."
            )
        frozen += layers[: settings.freeze_layers]
    for module in frozen:
        module.requires_grad_(False)


def optimizer(
    model: PreTrainedModel, settings: FinetuneSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Build AdamW (Loshchilov & Hutter 2019) with two learning rates, without decay of biases and norms."""
    inside = {id(p) for p in lora.unwrapped(model).base_model.parameters()}
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for p in model.parameters():
        if p.requires_grad:
            groups.setdefault((id(p) in inside, p.ndim > 1), []).append(p)
    rates = {True: settings.learning_rate, False: settings.head_learning_rate}
    adam = torch.optim.AdamW(
        [
            {"params": ps, "lr": rates[encoder], "weight_decay": settings.weight_decay if decays else 0.0}
            for (encoder, decays), ps in groups.items()
        ],
        fused=True,
    )
    rising = max(1, round(settings.warmup * steps))

    def factor(step: int) -> float:
        return min((step + 1) / rising, (steps - step) / max(1, steps - rising), 1.0)

    return adam, torch.optim.lr_scheduler.LambdaLR(adam, factor)


def encoded(
    tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], model: PreTrainedModel, max_tokens: int
) -> list[dict[str, Any]]:
    """Return token ids, mask and label index per item.

    For words, return an index per token, −100 for tokens that do not begin a word.
    """
    if not items:
        return []
    index = label_index(model)
    if items[0].tokens:
        ids, firsts = encode_words(tokenizer, [item.tokens for item in items], max_tokens)
        found = []
        for row, item, places in zip(ids, items, firsts, strict=True):
            at = {place: index[label] for place, label in zip(places, item.labels, strict=True) if place >= 0}
            found.append(
                {
                    "input_ids": row,
                    "attention_mask": [1] * len(row),
                    "labels": [at.get(i, -100) for i in range(len(row))],
                }
            )
        return found
    rows = tokenizer([item.text for item in items], truncation=True, max_length=max_tokens)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": index[item.label]}
        for ids, mask, item in zip(rows["input_ids"], rows["attention_mask"], items, strict=True)
    ]


class Buckets(Sampler[list[int]]):
    """Batches of sentences of similar length, in an order that depends on seed and epoch only."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the Trainer calls it, also when it resumes within an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self.seed}/{self.epoch}")
        self.epoch += 1
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        pool = self.batch_size * POOL
        order = [
            i
            for at in range(0, len(order), pool)
            for i in sorted(order[at : at + pool], key=self.lengths.__getitem__)
        ]
        batches = [order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size)]
        rng.shuffle(batches)
        return iter(batches)


class BucketLoader(DataLoader):
    """Data loader that forwards the epoch set by the Trainer to its batches."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the Trainer calls it, also when it resumes within an epoch."""
        buckets: Any = self.batch_sampler
        buckets.set_epoch(epoch)

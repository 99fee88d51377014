"""Predictions of a classifier for sentences. This file and `packed_inference` need torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from merginguriel.errors import CheckpointError, IncompatibleError
from merginguriel.files import Progress
from merginguriel.models.checkpoint import open_checkpoint
from merginguriel.tasks.registry import Item

from . import packed_inference
from .predictions import BATCH_TOKENS, DEVICE_TOKENS, Predictions, padding_is_masked

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def predict(
    model_dir: Path,
    items: Sequence[Item],
    *,
    batch_tokens: int | None = None,
    bf16: bool = False,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> Predictions:
    """Compute the logits of the classifier in `model_dir` for every item.

    Args:
        batch_tokens: Padded tokens per batch, a bound on memory; None: a fast value for the device.
        bf16: Matrix products in bfloat16: faster where the hardware supports it, with logits correct to two or three
            digits.

    Raises:
        CheckpointError: Not a classifier, damaged, or logits that are not finite.
    """
    model, tokenizer, labels = open_model(model_dir, device)
    try:
        return predict_with(
            model, tokenizer, labels, items, batch_tokens=batch_tokens, bf16=bf16, on_progress=on_progress
        )
    except CheckpointError as error:
        raise CheckpointError(error.what, where=str(model_dir), hint=error.hint) from error


def open_model(
    model_dir: Path, device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, tuple[str, ...]]:
    """Load the model, its tokenizer and its label names in the order of the head."""
    from merginguriel.models import classifier

    labels = open_checkpoint(model_dir).labels
    if labels is None:
        raise CheckpointError("this model does not name its labels.", where=str(model_dir / "config.json"))
    model, tokenizer = classifier.load(
        model_dir, device=device or ("cuda" if torch.cuda.is_available() else "cpu")
    )
    return model, tokenizer, labels


def predict_with(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    items: Sequence[Item],
    *,
    batch_tokens: int | None = None,
    bf16: bool = False,
    tokens: Encoded | None = None,
    on_progress: Progress | None = None,
) -> Predictions:
    """Compute the result of `predict` for a model in memory, on its device. Its training mode is restored.

    tokens  of the items, if already computed by `tokens_of` for a model with the same tokenizer
    """
    from merginguriel.models.classifier import labels_tokens, padding

    rows, firsts = tokens_of(model, tokenizer, items) if tokens is None else tokens
    if items and labels_tokens(model) != (firsts is not None):
        what = ("words", "sentences") if firsts is None else ("sentences", "words")
        raise IncompatibleError(f"the model labels {what[0]}, and the data label {what[1]}.")
    sizes = None if firsts is None else tuple(len(item.tokens) for item in items)
    starts = np.concatenate([[0], np.cumsum(sizes or [1] * len(items))]).astype(int)
    logits = np.zeros((int(starts[-1]), len(labels)), dtype=np.float32)
    if firsts is not None and "O" in labels:
        logits[:, labels.index("O")] = 1  # of words that were cut off
    was_training = model.training
    on_cpu = model.device.type == "cpu"
    by_autocast = bf16 and not (on_cpu and packed_inference.packable(model, bf16=True))
    size = batch_tokens or (BATCH_TOKENS if on_cpu else DEVICE_TOKENS)
    pad = padding(model, tokenizer)
    done = 0

    def answer(chosen: list[int]) -> tuple[list[int], np.ndarray]:
        ids, mask = padded([rows[i] for i in chosen], pad or 0)
        autocast = torch.autocast(model.device.type, torch.bfloat16, enabled=by_autocast)
        with torch.inference_mode(), autocast:
            out = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
        if out.shape[-1] != len(labels):
            raise CheckpointError(f"the head has {out.shape[-1]} rows for {len(labels)} labels.")
        return chosen, out.float().cpu().numpy()

    model.eval()
    try:
        if pad is None or padding_changes(model, rows, pad, 0.03 if bf16 else 1e-3):
            size = 1  # one sentence a batch
        with (
            torch.inference_mode(),
            packed_inference.packed(model, bf16=bf16),
            packed_inference.side_by_side(torch.get_num_threads() if on_cpu else 1) as each,
        ):
            for chosen, found in each(answer, list(batches([len(row) for row in rows], size))):
                if firsts is None:
                    logits[chosen] = found
                else:
                    for row, i in enumerate(chosen):
                        read = np.array(firsts[i])
                        logits[starts[i] + np.flatnonzero(read >= 0)] = found[row, read[read >= 0]]
                done += len(chosen)
                if on_progress:
                    on_progress(done, len(items), "sentences")
    finally:
        model.train(was_training)
    broken = int((~np.isfinite(logits).all(axis=1)).sum())
    if broken:
        raise CheckpointError(
            f"the model's answers to {broken} of {len(items)} sentences are not numbers (NaN or infinite).",
            hint="Its training or its merge diverged: look at the learning rate or the scale.",
        )
    return Predictions(tuple(item.id for item in items), tuple(labels), logits, sizes)


class Encoded(NamedTuple):
    """Token ids of every item; firsts: position of each word's first token, where words are labelled (−1: none)."""

    ids: list[list[int]]
    firsts: list[list[int]] | None


def tokens_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, items: Sequence[Item]) -> Encoded:
    """Return the token ids of every item, truncated to the model's maximum length."""
    from merginguriel.models.classifier import encode_words, longest

    if not items:
        return Encoded([], None)
    if items[0].tokens:
        return Encoded(*encode_words(tokenizer, [item.tokens for item in items], longest(model)))
    encoded = tokenizer([item.text for item in items], truncation=True, max_length=longest(model))
    return Encoded(encoded["input_ids"], None)


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Split indices into batches of similar length, each of at most `batch_tokens` padded tokens or one sentence."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        # Longest first: the first of a batch sets its width, and a lack of memory shows at once.
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask, both int64 [b, longest]."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def padding_changes(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], pad: int, tolerance: float
) -> bool:
    """Return whether the shortest row has other logits beside a longer one, as in XLNet and FNet; False for MASKED types."""
    if not rows or padding_is_masked(model.config.to_dict()):
        return False
    short = min(rows, key=len)

    def first(batch: list[Sequence[int]]) -> torch.Tensor:
        ids, mask = (part.to(model.device) for part in padded(batch, pad))
        with torch.inference_mode():
            found: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits[0].float()
        return found

    alone, beside = first([short]), first([short, max(rows, key=len)])
    bound = tolerance * max(1.0, float(alone.abs().max()))
    return not torch.allclose(alone, beside[: len(alone)], atol=bound, rtol=0)

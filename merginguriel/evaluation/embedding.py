"""Pooled sentence vectors of an encoder, for a folder with or without a head. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from merginguriel.files import Progress
from merginguriel.models import classifier
from merginguriel.models.base import pooling_of
from merginguriel.models.checkpoint import open_checkpoint

from . import packed_inference
from .predict import batches, longest, padded
from .predictions import BATCH_TOKENS, DEVICE_TOKENS


def vectors(
    folder: Path, texts: Sequence[str], *, device: str | None = None, on_progress: Progress | None = None
) -> np.ndarray:
    """Compute sentence vectors float32 [n, h], pooled as the folder declares, by the mean if it declares nothing.

    Args:
        folder: Of an encoder or a classifier.
        texts: Sentences [n].
        device: Name of a torch device; None: a GPU if available.
        on_progress: Called with the progress.

    Raises:
        CheckpointError: Not an encoder, damaged, or without a tokenizer.
    """
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if open_checkpoint(folder).labels:
        whole, tokenizer = classifier.load(folder, device=place)
        model: Any = whole.base_model
        pooling = getattr(whole.config, "pooling", None) or pooling_of(folder)
    else:
        model = classifier.opened(AutoModel, folder, encoder_kwargs=True).eval()
        torch.nn.Module.to(model, place)
        tokenizer = classifier.load_tokenizer(folder)
        pooling = pooling_of(folder)
    pool = classifier.POOLINGS[pooling or "mean"]
    cut = tokenizer(list(texts), truncation=True, max_length=longest(model)) if texts else {}
    rows: list[list[int]] = cut["input_ids"] if texts else []
    found = np.empty((len(rows), int(model.config.hidden_size)), dtype=np.float32)
    done = 0

    def embed(chosen: list[int]) -> tuple[list[int], np.ndarray]:
        ids, mask = padded([rows[i] for i in chosen], tokenizer.pad_token_id or 0)
        ids, mask = ids.to(place), mask.to(place)
        with torch.inference_mode():
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            return chosen, pool(hidden.float(), mask).cpu().numpy()

    on_cpu = place == "cpu"
    with (
        packed_inference.packed(model),
        packed_inference.side_by_side(torch.get_num_threads() if on_cpu else 1) as each,
    ):
        size = BATCH_TOKENS if on_cpu else DEVICE_TOKENS
        for chosen, part in each(embed, list(batches([len(row) for row in rows], size))):
            found[chosen] = part
            done += len(chosen)
            if on_progress:
                on_progress(done, len(rows), "sentences")
    return found

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
from merginguriel.models.base_models import pooling_of
from merginguriel.models.checkpoint import open_checkpoint
from merginguriel.models.sentence_transformer import body_folder, is_sentence_transformer

from . import packed_inference, sentence_modules
from .predict import batches, padded
from .predictions import BATCH_TOKENS, DEVICE_TOKENS


def vectors(
    folder: Path, texts: Sequence[str], *, device: str | None = None, on_progress: Progress | None = None
) -> np.ndarray:
    """Compute sentence vectors float32 [n, h] as the folder declares, by the mean of the tokens if it declares nothing.

    Args:
        folder: Of an encoder, a classifier or a SentenceTransformer, whose modules, longest length and prompt apply.

    Raises:
        CheckpointError: Not an encoder, damaged, or without a tokenizer.
    """
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    body = body_folder(folder)
    most, prompt = 0, ""
    if not is_sentence_transformer(folder) and open_checkpoint(folder).labels:
        whole, tokenizer = classifier.load(folder, device=place)
        model: Any = whole.base_model
        pool = classifier.POOLINGS[getattr(whole.config, "pooling", None) or pooling_of(folder) or "mean"]
    else:
        model = classifier.opened(AutoModel, body, encoder_kwargs=True).eval()
        torch.nn.Module.to(model, place)
        tokenizer = classifier.load_tokenizer(body)
        if is_sentence_transformer(folder):
            limit, lower, prompt = sentence_modules.text_settings(folder, body)
            most = min(limit or tokenizer.model_max_length, classifier.LONGEST)
            texts = [text.lower() if lower else text for text in texts]
            pool = sentence_modules.head(folder, place)
        else:
            pool = classifier.POOLINGS[pooling_of(folder) or "mean"]
    texts = [prompt + text for text in texts]
    cut = tokenizer(texts, truncation=True, max_length=most or classifier.longest(model)) if texts else {}
    rows: list[list[int]] = cut["input_ids"] if texts else []
    found: np.ndarray | None = None
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
            if found is None:
                found = np.empty((len(rows), part.shape[1]), dtype=np.float32)
            found[chosen] = part
            done += len(chosen)
            if on_progress:
                on_progress(done, len(rows), "sentences")
    return np.empty((0, int(model.config.hidden_size)), dtype=np.float32) if found is None else found

"""Modules of a SentenceTransformer folder after its transformer, and its text settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from merginguriel.errors import CheckpointError
from merginguriel.models.checkpoint import read_json
from merginguriel.models.sentence_transformer import SAVE_AGAIN, TRANSFORMER_FILES, read_modules

COMPUTED = ("Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")


def head(path: Path, place: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the function of hidden [b, t, h] and mask [b, t] that gives the vectors [b, n] of a SentenceTransformer.

    Raises:
        CheckpointError: A module cannot be computed here.
    """
    from sentence_transformers.sentence_transformer import modules as package

    listed, found = read_modules(path)[1:], []
    if not listed or listed[0].kind != "Pooling":
        what = "the module after the transformer is not a Pooling; its vectors cannot be computed here."
        raise CheckpointError(what, where=str(path))
    for one in listed:
        where = str(path / one.path)
        if one.kind not in COMPUTED:
            raise CheckpointError(f"module {one.name} cannot be computed here.", where=where)
        activation = str(one.settings.get("activation_function", "torch."))
        if not activation.startswith("torch."):  # the package would take tanh in its place
            raise CheckpointError(f"the activation {activation} is not one of torch.nn.", where=where)
        try:
            made = getattr(package, one.kind).load(str(path), subfolder=one.path, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
            what = f"module {one.name} cannot be loaded: {error}"
            raise CheckpointError(what, where=where, hint=SAVE_AGAIN) from error
        found.append(made.to(place).eval())

    def vectors(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        features = {"token_embeddings": hidden, "attention_mask": mask}
        for one in found:
            features = one(features)
        return features["sentence_embedding"]

    return vectors


def text_settings(path: Path, body: Path) -> tuple[int | None, bool, str]:
    """Return how sentence-transformers prepares text: longest length in tokens, lower case, prompt before each text."""
    files = sorted(body.glob(TRANSFORMER_FILES))
    table = read_json(files[0], SAVE_AGAIN) if files else {}
    top = path / "config_sentence_transformers.json"
    prompts = read_json(top, SAVE_AGAIN) if top.is_file() else {}
    length, named = table.get("max_seq_length"), prompts.get("default_prompt_name")
    prompt = (prompts.get("prompts") or {}).get(named, "") if named else ""
    return length if isinstance(length, int) else None, bool(table.get("do_lower_case")), str(prompt)

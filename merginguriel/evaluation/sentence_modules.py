"""Sentence vectors from token vectors: pooling and the modules after it, as sentence-transformers computes them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from merginguriel.errors import CheckpointError
from merginguriel.models.checkpoint import WEIGHTS, read_json
from merginguriel.models.sentence_transformer import SAVE_AGAIN, TRANSFORMER_FILES, Module, read_modules

Step = Callable[[torch.Tensor], torch.Tensor]


def pooled(hidden: torch.Tensor, mask: torch.Tensor, mode: str) -> torch.Tensor:
    """Pool hidden [b, t, h] over mask [b, t], padded on the right, to [b, h]."""
    kept = mask.unsqueeze(-1).to(hidden.dtype)
    if mode == "cls":
        return hidden[:, 0]
    if mode == "max":
        return hidden.masked_fill(kept == 0, float("-inf")).max(1).values
    if mode == "lasttoken":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1).long() - 1]
    if mode == "weightedmean":
        kept = kept * torch.arange(1, hidden.shape[1] + 1, device=hidden.device)[:, None]
    total, count = (hidden * kept).sum(1), kept.sum(1).clamp(min=1e-9)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)


def head(path: Path, place: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the function of hidden [b, t, h] and mask [b, t] that gives the vectors [b, n] of a SentenceTransformer.

    Raises:
        CheckpointError: A module cannot be computed here.
    """
    modules = read_modules(path)
    pooling = next((one for one in modules if one.kind == "Pooling"), None)
    if pooling is None or pooling.position != 1:
        raise CheckpointError(
            "the module after the transformer is not a Pooling; its vectors cannot be computed here.",
            where=str(path),
        )
    modes = pooling.settings["pooling_mode"]
    steps = [step(path, module, place) for module in modules[2:]]

    def vectors(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found = torch.cat([pooled(hidden, mask, mode) for mode in modes], dim=-1)
        for one in steps:
            found = one(found)
        return found

    return vectors


def step(path: Path, module: Module, place: str) -> Step:
    """Return one module after the pooling as a function of vectors [b, h]. Raises CheckpointError."""
    if module.kind == "Dropout":
        return lambda x: x
    usual = "module_input_name" not in module.settings and "module_output_name" not in module.settings
    if module.kind == "Normalize" and usual:
        return lambda x: functional.normalize(x, dim=-1)
    if module.kind not in ("Dense", "LayerNorm") or not usual:
        raise CheckpointError(f"module {module.name} cannot be computed here.", where=str(path / module.path))
    weights = {
        name: tensor.to(place, torch.float32)
        for name, tensor in load_file(path / module.path / WEIGHTS).items()
    }
    if module.kind == "LayerNorm":
        norm, shift = weights["norm.weight"], weights["norm.bias"]
        return lambda x: functional.layer_norm(x, norm.shape, norm, shift)
    activation = activation_of(module.settings["activation_function"], path / module.path)
    residual = weights.get("residual.weight")

    def dense(x: torch.Tensor) -> torch.Tensor:
        found = activation(functional.linear(x, weights["linear.weight"], weights.get("linear.bias")))
        if not module.settings["use_residual"]:
            return found
        return found + (x if residual is None else functional.linear(x, residual))

    return dense


def activation_of(name: Any, where: Path) -> Step:
    """Return the activation `torch.nn.modules.activation.Tanh`. Raises CheckpointError for what is not in torch.nn."""
    package, _, kind = str(name).rpartition(".")
    found = getattr(import_module("torch.nn"), kind, None) if package.startswith("torch.nn") else None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise CheckpointError(
            f"the activation {name} is not one of torch.nn.", where=str(where / "config.json")
        )
    function: Step = found()
    return function


def text_settings(path: Path, body: Path) -> tuple[int | None, bool, str]:
    """Return how sentence-transformers prepares text: longest length in tokens, lower case, prompt before each text."""
    files = sorted(body.glob(TRANSFORMER_FILES))
    table = read_json(files[0], SAVE_AGAIN) if files else {}
    top = path / "config_sentence_transformers.json"
    prompts = read_json(top, SAVE_AGAIN) if top.is_file() else {}
    length, named = table.get("max_seq_length"), prompts.get("default_prompt_name")
    prompt = (prompts.get("prompts") or {}).get(named, "") if named else ""
    return length if isinstance(length, int) else None, bool(table.get("do_lower_case")), str(prompt)

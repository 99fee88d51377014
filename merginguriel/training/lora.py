"""Low-rank training (LoRA) of a classifier with peft, and its conversion to whole weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from merginguriel.errors import UsageError, missing_extra
from merginguriel.models.quiet_transformers import quiet

FOLDER = "adapter"  # in the model's folder: the factors alone, as peft writes them


def wrapped(model: PreTrainedModel, rank: int, alpha: int | None) -> Any:
    """Add factors of this rank to every linear layer of the encoder that is not frozen.

    The head is trained whole: it starts from zeros. Raises UsageError if no layer is left.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise missing_extra("peft") from error
    encoder = model.base_model_prefix
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(f"{encoder}.") and module.weight.requires_grad
    ]
    if not linear:
        raise UsageError("freeze_layers leaves no layer to train by LoRA.")
    heads = [
        name
        for name, part in model.named_children()
        if name != encoder and next(part.parameters(), None) is not None
    ]
    config = LoraConfig(
        r=rank, lora_alpha=alpha or 2 * rank, target_modules=linear, modules_to_save=heads, bias="none"
    )
    with warnings.catch_warnings():
        # peft asks transformers by a name that it is about to give up; nothing that a user could change.
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, config)


def unwrapped(model: Any) -> PreTrainedModel:
    """Return the classifier inside peft's model; other models are returned unchanged."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def whole(model: Any, base: Path, out: Path) -> PreTrainedModel:
    """Write the factors into the folder `out`, and return the classifier with them added to its weights."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = base.name  # not where it lies on this machine
    with quiet():
        model.save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)  # a form to fill in; the model's card says what it is
    return model.merge_and_unload()

"""Tensors that some files hold and others leave out: buffers, and output layers that are tied to the embeddings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from merginguriel.errors import warn
from merginguriel.models.checkpoint import INPUT_TABLE, Checkpoint, TensorInfo, map_tensor

Named = tuple[str, Checkpoint]
# Constants that some versions of transformers saved: positions, rotary frequencies, the causal mask of GPT-2.
BUFFER = re.compile(r"(?:^|\.)(?:position_ids|inv_freq|masked_bias)$|\.(?:attn|attention)\.bias$")
# Tensors that can be another tensor under a second name, and that tensor; None: the table of input embeddings.
SHARED = {
    "lm_head.weight": None,
    "lm_head.decoder.weight": None,
    "lm_head.decoder.bias": "lm_head.bias",
    "cls.predictions.decoder.weight": None,
    "cls.predictions.decoder.bias": "cls.predictions.bias",
    "decoder.weight": None,
    "embed_out.weight": None,
    "encoder.embed_tokens.weight": "shared.weight",
    "decoder.embed_tokens.weight": "shared.weight",
    "model.encoder.embed_tokens.weight": "model.shared.weight",
    "model.decoder.embed_tokens.weight": "model.shared.weight",
}


def same_tensors(sources: Sequence[Named], base: Checkpoint | None) -> tuple[list[Named], Checkpoint | None]:
    """Return the models with the same buffers and the same output layer.

    A buffer that one file lacks is left out of all. A tied output layer is left out where every source ties it; where one
    does not, the others get a layer with the values of their embeddings, and the merged model has one of its own.
    """
    everyone = [*sources, *([("base", base)] if base else [])]
    everyone = without_lone_buffers(everyone)
    aligned = everyone[: len(sources)]
    base = everyone[-1][1] if base else None
    for name, owner in SHARED.items():
        aligned = with_one_form(aligned, name, owner)
        # A base of another class lacks the layer altogether.
        if base and base.architecture == aligned[0][1].architecture and name in aligned[0][1].tensors:
            base = filled(base, name, owner or input_table(base, name))
    return aligned, base


def without_lone_buffers(models: Sequence[Named]) -> list[Named]:
    """Leave out the buffers that at least one model lacks."""
    everywhere = set.intersection(*(set(model.tensors) for _, model in models))
    return [
        (
            title,
            replace(
                model,
                tensors={
                    name: info
                    for name, info in model.tensors.items()
                    if name in everywhere or not is_buffer(name, info.shape)
                },
            ),
        )
        for title, model in models
    ]


def is_buffer(name: str, shape: tuple[int, ...]) -> bool:
    """Return whether the tensor is a constant of the architecture; a causal mask has four dimensions, a bias has one."""
    return bool(BUFFER.search(name)) and (not name.endswith(".bias") or len(shape) == 4)


def with_one_form(models: Sequence[Named], name: str, owner: str | None) -> list[Named]:
    """Return the models with tensor `name` in all of them or in none.

    owner  name of the tensor that `name` can be tied to; None: the table of input embeddings
    """
    if not any(name in model.tensors for _, model in models):
        return list(models)
    owners = [owner or input_table(model, name) for _, model in models]
    tied = [is_tied(model, name, own) for (_, model), own in zip(models, owners, strict=True)]
    if all(tied):
        return [(title, without(model, name)) for title, model in models]
    if owner is None and any(tied):
        by_tie: dict[bool, list[str]] = {True: [], False: []}
        for (title, _), one in zip(models, tied, strict=True):
            by_tie[one].append(title)
        warn(
            f"{name} is tied to the embeddings in {', '.join(by_tie[True])}, but not in {', '.join(by_tie[False])}: "
            "the merged model has an output layer of its own."
        )
    separate = [(title, filled(model, name, own)) for (title, model), own in zip(models, owners, strict=True)]
    return separate if owner else [(title, untied(model)) for title, model in separate]


def input_table(model: Checkpoint, name: str) -> str | None:
    """Return the name of the table of input embeddings that the output layer `name` can be tied to."""
    tables = [one for one in model.tensors if INPUT_TABLE.search(one) and one != name]
    if name in model.tensors:
        shape = model.tensors[name].shape
        tables = [one for one in tables if model.tensors[one].shape == shape]
    return min(tables, key=lambda one: ("shared" not in one, one), default=None)


def is_tied(model: Checkpoint, name: str, owner: str | None) -> bool:
    """Return whether tensor `name` is its owner under a second name: left out, or a copy that the config calls tied."""
    if owner is None or owner not in model.tensors:
        return False
    if name not in model.tensors:
        return True
    if model.config.get("tie_word_embeddings") is False:
        return False
    copy, original = model.tensors[name], model.tensors[owner]
    return (
        type(copy) is type(original) is TensorInfo  # an adapter's tensors have no bytes of their own
        and copy.dtype == original.dtype
        and copy.shape == original.shape
        and np.array_equal(map_tensor(copy), map_tensor(original))
    )


def without(model: Checkpoint, name: str) -> Checkpoint:
    """Return the model without tensor `name`."""
    return replace(model, tensors={key: info for key, info in model.tensors.items() if key != name})


def filled(model: Checkpoint, name: str, owner: str | None) -> Checkpoint:
    """Return the model with tensor `name`, that of its owner if it had none."""
    if name in model.tensors or owner not in model.tensors:
        return model
    return replace(model, tensors={**model.tensors, name: model.tensors[owner]})


def untied(model: Checkpoint) -> Checkpoint:
    """Return the model with a config that does not tie the output layer to the embeddings."""
    if model.config.get("tie_word_embeddings") is False:
        return model
    return replace(model, config={**model.config, "tie_word_embeddings": False})

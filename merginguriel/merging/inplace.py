"""Merges straight into a loaded model, many in turn, without writing to disk."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from merginguriel.errors import IncompatibleError
from merginguriel.models.checkpoint import FLOATS, to_float32

from .blocks import Progress, carry_out
from .engine import Kept, in_memory, work_from
from .recipe import Recipe
from .tensor_plan import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


def merge_into(
    model: torch.nn.Module,
    recipe: Recipe,
    kept: Kept | None = None,
    *,
    on_progress: Progress | None = None,
) -> None:
    """Merge straight into the weights of `model`, which has the sources' architecture; on the CPU without a copy.

    kept  as for engine.merge_tensors

    Raises as engine.merge_tensors does, and IncompatibleError if the model has other tensors; the check comes before
    the first weight is written, but an error in a later one (NaN in a source) leaves the model half merged.
    """
    import torch

    with work_from(recipe, kept) as work:
        state = matching(
            model, {name: shape for name, (dtype, shape) in work.layout.items() if dtype in FLOATS}
        )
        direct = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in state.values())
        if direct and all(t.is_contiguous() for t in state.values()):
            carry_out(work, into_memory(work.layout, state), on_progress, None)
            return
        apply(model, in_memory(work, on_progress))


def into_memory(layout: Layout, state: Mapping[str, torch.Tensor]) -> Any:
    """Return a sink that writes blocks into float32 tensors."""
    flat = {name: tensor.detach().view(-1).numpy() for name, tensor in state.items()}

    def keep(name: str, start: int, block: np.ndarray) -> None:
        dtype = layout[name][0]
        if name in flat:
            flat[name][start : start + block.size] = to_float32(block, dtype) if dtype in FLOATS else block

    return keep


def apply(model: torch.nn.Module, tensors: Mapping[str, np.ndarray]) -> None:
    """Put merged tensors into the weights of `model`, on its device and in its dtype.

    Raises IncompatibleError, before anything is written, if the model has other tensors.
    """
    import torch

    state = matching(model, {name: array.shape for name, array in tensors.items() if array.dtype.kind == "f"})
    with torch.no_grad():
        for name, target in state.items():
            target.copy_(torch.from_numpy(np.ascontiguousarray(tensors[name])))


def matching(model: torch.nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Return the model's own tensors for these names. Raises IncompatibleError if one is missing on either side."""
    state = model.state_dict()
    trained = {name for name, _ in model.named_parameters()}
    lacking = sorted(trained - set(shapes)) or sorted(set(shapes) - set(state))
    if lacking:
        raise IncompatibleError(f"the merge and the loaded model do not have the same tensors: {lacking[0]}.")
    for name, shape in shapes.items():
        if tuple(state[name].shape) != tuple(shape):
            raise IncompatibleError(
                f"{name} is {list(shape)} in the merge, {list(state[name].shape)} in the loaded model.",
                hint="Load the model from one of the sources, with the labels of the output.",
            )
    return {name: state[name] for name in shapes if prod(shapes[name])}

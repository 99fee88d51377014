"""Faster CPU inference with the same predictions: packed weights, and batches in parallel.

On a CPU, PyTorch passes float32 matrix products to MKL, which on AMD reaches less than half the speed of oneDNN
with weights packed once (98 against 225 GFLOP/s on one core of an EPYC). Small batches stay in the cache, and one
thread per batch never waits, whereas threads that share each product synchronise at every layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import torch
from torch import nn

TOKENS = 512  # what the packed layout is made for; any other number works too


def packable(model: nn.Module, *, bf16: bool = False) -> bool:
    """Can the model's linear layers be packed: on a processor, in float32, and `works` there?"""
    here = all(p.device.type == "cpu" and p.dtype == torch.float32 for p in model.parameters())
    return here and works(bf16)


@cache
def works(bf16: bool = False) -> bool:
    """Return whether a small packed product is correct here. Cached; the operators are private to PyTorch.

    A CPU without AVX-512 or similar rejects bfloat16, which oneDNN reports only when packing.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    with (
        torch.inference_mode(False),
        torch.no_grad(),
    ):  # a layer made in inference mode would be of another kind
        draw = torch.Generator().manual_seed(0)
        layer = nn.utils.skip_init(
            nn.Linear, 64, 32
        )  # drawing its weights would move the caller's random numbers
        layer.weight.copy_(torch.randn(32, 64, generator=draw) / 8)
        layer.bias.copy_(torch.randn(32, generator=draw))
        x = torch.randn(3, 64, generator=draw)
        expected = nn.functional.linear(x, layer.weight, layer.bias)
        near = 0.1 if bf16 else 1e-4
        try:
            found = product(layer, bf16, "none")(x), product(layer, bf16, "gelu")(x)
        except (AttributeError, RuntimeError, NotImplementedError):
            return False
        wanted = expected, nn.functional.gelu(expected)
        return all(
            torch.allclose(a.float(), b, atol=near, rtol=near) for a, b in zip(found, wanted, strict=True)
        )


@contextlib.contextmanager
def packed(model: nn.Module, *, bf16: bool = False) -> Iterator[nn.Module]:
    """Pack the linear layers of the model for oneDNN inside the block; restore them afterwards.

    For inference: a weight that changes inside the block has no effect, and gets no gradient. A model that is not
    `packable` with this bf16, or is packed already, is left unchanged. Packed weights take as much memory again (half
    with bf16).

    Args:
        model: Changed in place.
        bf16: Matrix products in bfloat16, sums and norms in float32; logits differ in the third digit.
    """
    # Exactly nn.Linear: a subclass (a quantised or adapted layer) does more than a product.
    layers = {
        id(layer) for layer in model.modules() if type(layer) is nn.Linear and "forward" not in vars(layer)
    }
    if not layers or not packable(model, bf16=bf16):
        yield model
        return
    changed: list[nn.Module] = []
    fused: dict[int, Any] = {
        id(parent.dense): parent.intermediate_act_fn
        for parent in model.modules()
        if id(getattr(parent, "dense", None)) in layers and exact_gelu(getattr(parent, "intermediate_act_fn", None))
    }  # fmt: skip
    try:
        for layer in model.modules():
            if id(layer) in layers:
                replace(layer, product(layer, bf16, "gelu" if id(layer) in fused else "none"), changed)
        for activation in fused.values():
            replace(activation, unchanged, changed)
        yield model
    finally:
        for module in changed:
            module.__dict__.pop("forward", None)


def product(layer: Any, bf16: bool, after: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function of a linear layer, x [*, in] → [*, out], followed by GELU if `after` names it."""
    kind = torch.bfloat16 if bf16 else torch.float32
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach().to(kind), TOKENS)
    bias = None if layer.bias is None else layer.bias.detach().to(kind)
    algorithm = "none" if after == "gelu" else ""  # "none": the exact GELU, not its tanh form
    run = torch.ops.mkldnn._linear_pointwise
    return lambda x: run(x.to(kind), weight, bias, after, [], algorithm)


def exact_gelu(activation: Any) -> bool:
    """Return whether the activation is GELU with erf, in one of its forms in transformers and PyTorch."""
    if isinstance(activation, nn.GELU):
        return activation.approximate == "none"
    inner = getattr(activation, "act", None)
    return type(activation).__name__ == "GELUActivation" and inner is nn.functional.gelu


def unchanged(x: torch.Tensor) -> torch.Tensor:
    """Return x."""
    return x


def replace(module: nn.Module, forward: Callable[..., Any], changed: list[nn.Module]) -> None:
    """Replace the module's forward function and record the module in `changed`."""
    module.__dict__["forward"] = forward  # found before the class's own, and removed without a trace
    changed.append(module)


@contextlib.contextmanager
def side_by_side(threads: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Provide a `map` over `threads` threads, each with one PyTorch thread; results are in order.

    The result of one thread does not depend on their number.
    """
    if threads < 2:
        yield map
        return
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # a thread that starts later takes the number that was set last

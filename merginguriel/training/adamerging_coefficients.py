"""AdaMerging: coefficients that minimise the entropy of a merged model on text of the target.

A merge by coefficients c is θ(c) = θ(0) + Σ cᵢ (θ(eᵢ) − θ(0)), where the engine computes θ(0) and each θ(eᵢ): the
search uses the tensors that the merge will write, whatever the recipe's policies and trims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.func import functional_call

from merginguriel.errors import MuError, UsageError
from merginguriel.merging import policies, registry
from merginguriel.merging.engine import Kept, merge_tensors
from merginguriel.merging.inplace import matching
from merginguriel.merging.recipe import Recipe, check
from merginguriel.merging.statistics import token_rows
from merginguriel.models import build_record
from merginguriel.models.classifier import load, padding

Progress = Callable[[int, int, dict[str, float]], None]
MEASURED = 256  # sentences on which the entropy is measured before and after


@dataclass(frozen=True)
class CoefficientSpace:
    """All merges that coefficients can give, in torch.

    start    tensor → θ(0)
    vectors  tensor → [k, *s] what one unit of each source's coefficient adds; only tensors where that is not zero
    row      tensor → its row among the coefficients
    rows     names of the rows: tensors, layers, or `all`
    names    of the sources
    """

    start: dict[str, torch.Tensor]
    vectors: dict[str, torch.Tensor]
    row: dict[str, int]
    rows: tuple[str, ...]
    names: tuple[str, ...]

    def merged(self, coefficients: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return θ(c) for coefficients [rows, k]; differentiable."""
        made = {
            name: self.start[name] + torch.tensordot(coefficients[self.row[name]], vectors, dims=1)
            for name, vectors in self.vectors.items()
        }
        return {**self.start, **made}


def learn(
    recipe: Recipe,
    texts: Sequence[str],
    *,
    device: str | None = None,
    kept: Kept | None = None,
    on_progress: Progress | None = None,
) -> tuple[Recipe, list[dict[str, float]]]:
    """Return the recipe with learnt coefficients, and {"loss", "entropy"} of each step's batch before that step.

    The merged model with its gradients and, for all tensors that differ, the k task vectors are held in memory. `learnt`
    of the recipe has the text's hash, the number of steps, and the mean entropy in nats on the first sentences before and
    after.

    Args:
        recipe: Of a method that needs coefficients (`adamerging`, `adamerging++`).
        texts: Sentences without labels.
        kept: As for inplace.merge_into.
        on_progress: Called with (step, total steps, {"loss": …, "entropy": …}).

    Raises:
        UsageError: Another method, or no text.
        MuError: The loss is not finite, or an error of merging the recipe.
    """
    recipe = check(recipe)
    if registry.get(recipe.method).needs != "coefficients":
        raise UsageError(f"{recipe.method} has no coefficients to learn.")
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    first = min(recipe.sources, key=lambda source: source.name)
    model, tokenizer = load(first.path, device=place)
    rows = token_rows(tokenizer, texts)
    space = space_of(recipe, kept, place)
    if not space.vectors:
        raise UsageError("the sources are the base, or the recipe leaves no tensor to merge.")
    matching(model, {name: tuple(tensor.shape) for name, tensor in space.start.items()})
    pad = padding(model, tokenizer) or 0
    coefficients, trace, around = search(model, space, rows, pad, recipe, on_progress)
    found = {
        source.name: {
            row: round(float(coefficients[i, space.names.index(source.name)]), 8)
            for i, row in enumerate(space.rows)
        }
        for source in recipe.sources
    }
    learnt = {
        **recipe.learnt,
        "text_sha256": build_record.text_hash(texts),
        "sentences": len(texts),
        "iterations": len(trace),
        "entropy_before": round(around[0], 6),
        "entropy_after": round(around[1], 6),
    }
    sources = tuple(replace(source, coefficients=found[source.name]) for source in recipe.sources)
    return check(replace(recipe, sources=sources, learnt=learnt)), trace


def space_of(recipe: Recipe, kept: Kept | None, device: str) -> CoefficientSpace:
    """Compute the merges that coefficients can give, by the engine: all coefficients 0, and each alone at 1."""
    names = tuple(sorted(source.name for source in recipe.sources))

    def with_one(chosen: str | None) -> dict[str, np.ndarray]:
        sources = tuple(
            replace(s, coefficients={"all": 1.0 if s.name == chosen else 0.0}) for s in recipe.sources
        )
        merged = merge_tensors(replace(recipe, sources=sources, dtype="float32"), kept)
        return {name: array for name, array in merged.items() if array.dtype == np.float32}

    zero = with_one(None)
    vectors: dict[str, np.ndarray] = {}
    for i, name in enumerate(names):
        for tensor, array in with_one(name).items():
            array -= zero[tensor]
            if array.any():
                if tensor not in vectors:
                    vectors[tensor] = np.zeros((len(names), *array.shape), np.float32)
                vectors[tensor][i] = array
    per = str(recipe.params["per"])
    keys = {tensor: key_of(tensor, per, zero) for tensor in vectors}
    # A row for every layer, also for those that nothing moves: the merge asks for each tensor's coefficient.
    ordered = sorted(zero, key=lambda tensor: policies.layer_of(tensor, zero)[0])
    rows = tuple(dict.fromkeys(key_of(tensor, per, zero) for tensor in ordered))
    return CoefficientSpace(
        {name: torch.from_numpy(array).to(device) for name, array in zero.items()},
        {name: torch.from_numpy(array).to(device) for name, array in vectors.items()},
        {tensor: rows.index(key) for tensor, key in keys.items()},
        rows,
        names,
    )


def key_of(tensor: str, per: str, tensors: Mapping[str, Any]) -> str:
    """Return the name of the tensor's coefficient in a recipe."""
    if per == "task":
        return "all"
    return tensor if per == "tensor" else policies.layer_name(*policies.layer_of(tensor, tensors))


def search(
    model: torch.nn.Module,
    space: CoefficientSpace,
    rows: Sequence[Sequence[int]],
    pad: int,
    recipe: Recipe,
    on_progress: Progress | None,
) -> tuple[torch.Tensor, list[dict[str, float]], tuple[float, float]]:
    """Optimise coefficients [rows, k] by Adam; return them, loss and entropy per step, and entropy before and after."""
    params: Mapping[str, Any] = recipe.params
    weight = {source.name: source.weight for source in recipe.sources}
    device = next(iter(space.start.values())).device
    one = torch.tensor([params["scale"] * weight[name] for name in space.names], dtype=torch.float32)
    coefficients = one.repeat(len(space.rows), 1).to(device).requires_grad_(True)
    adam = torch.optim.Adam([coefficients], lr=params["lr"])
    generator = torch.Generator().manual_seed(recipe.seed)
    trace: list[dict[str, float]] = []
    order: list[int] = []
    model.eval()
    sample = list(range(min(MEASURED, len(rows))))
    before = measured(model, space, coefficients, rows, pad, sample)
    for step in range(int(params["iterations"])):
        while len(order) < min(params["batch"], len(rows)):
            order += torch.randperm(len(rows), generator=generator).tolist()
        batch, order = order[: params["batch"]], order[params["batch"] :]
        log_p = answers(model, space.merged(coefficients), [rows[i] for i in batch], pad)
        entropy = entropy_of(log_p).mean()
        mean = torch.logsumexp(log_p, 0) - np.log(len(log_p))
        loss = params["entropy_weight"] * entropy - params["diversity"] * entropy_of(mean)
        if not torch.isfinite(loss):
            raise MuError(
                f"the entropy became {float(loss)} in step {step + 1}.",
                hint="Take a smaller learning rate: --param lr=0.0003",
            )
        adam.zero_grad()
        loss.backward()
        adam.step()
        trace.append({"loss": float(loss.detach()), "entropy": float(entropy.detach())})
        if on_progress:
            on_progress(step + 1, int(params["iterations"]), trace[-1])
    after = measured(model, space, coefficients, rows, pad, sample) if trace else before
    return coefficients.detach().cpu(), trace, (before, after)


def measured(
    model: torch.nn.Module,
    space: CoefficientSpace,
    coefficients: torch.Tensor,
    rows: Sequence[Sequence[int]],
    pad: int,
    sample: list[int],
) -> float:
    """Return the mean entropy, in nats, of the merged model's predictions for the sample."""
    with torch.no_grad():
        merged = space.merged(coefficients)
        total = 0.0
        for at in range(0, len(sample), 32):
            log_p = answers(model, merged, [rows[i] for i in sample[at : at + 32]], pad)
            total += float(entropy_of(log_p).sum())
    return total / len(sample)


def answers(
    model: torch.nn.Module, tensors: dict[str, torch.Tensor], rows: Sequence[Sequence[int]], pad: int
) -> torch.Tensor:
    """Return log p(y|x) [b, labels] of the model with these tensors as its weights."""
    device = next(iter(tensors.values())).device
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    out = functional_call(model, tensors, (), {"input_ids": ids, "attention_mask": mask})
    return torch.log_softmax(out.logits.float(), -1)


def entropy_of(log_p: torch.Tensor) -> torch.Tensor:
    """Return the entropy in nats of log probabilities […, labels] → […]."""
    return -(log_p.exp() * log_p).sum(-1)

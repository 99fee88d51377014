"""Training of one locale for some epochs on its own sentences, in the model shared by all locales."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from transformers import (
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from merginguriel.errors import MuError
from merginguriel.evaluation.predict import predict_with
from merginguriel.evaluation.predictions import scored
from merginguriel.metrics.registry import find
from merginguriel.models.classifier import load
from merginguriel.tasks.registry import Item, digest

from .preparation import BucketLoader, Buckets, encoded, freeze, label_names, optimizer, set_dropout
from .round_store import ModelState, Tensors
from .settings import FinetuneSettings

CLIP = 1.0  # the Trainer's


@dataclass(frozen=True)
class Room:
    """The model in memory, into which the weights of the current locale are loaded.

    settings  of the fine-tuning, with the epochs of the whole training
    labels    in the order of the head
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    settings: FinetuneSettings
    labels: tuple[str, ...]


def room(base: Path, settings: FinetuneSettings) -> Room:
    """Load the classifier folder `base` for training."""
    model, tokenizer = load(base, device="cuda" if torch.cuda.is_available() else "cpu")
    set_dropout(model, settings)
    freeze(model, settings)
    return Room(model, tokenizer, settings, tuple(label_names(model)))


def weights_of(model: PreTrainedModel) -> Tensors:
    """Copy every floating-point tensor to the CPU."""
    return {
        name: tensor.detach().to("cpu", torch.float32, copy=True)
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }


def enter(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> None:
    """Load these weights into the model."""
    state = model.state_dict()
    with torch.no_grad():
        for name, tensor in weights.items():
            state[name].copy_(tensor)


def turn(
    room: Room,
    state: ModelState,
    items: Sequence[Item],
    locale: str,
    epochs: range,
    tell: Callable[[float], None],
) -> ModelState:
    """Train from the state for these epochs (counted from 0) on the items; return the new state.

    Random numbers depend on seed, locale and epoch only, so that a turn can be repeated.

    Raises:
        MuError: The loss is not finite.
    """
    settings, model = room.settings, room.model
    rows: Any = encoded(room.tokenizer, items, model, settings.max_tokens)
    buckets = Buckets([len(row["input_ids"]) for row in rows], settings.batch_size, settings.seed)
    collator = DataCollatorForTokenClassification if items[0].tokens else DataCollatorWithPadding
    loader = BucketLoader(rows, batch_sampler=buckets, collate_fn=collator(room.tokenizer))
    enter(model, state.weights)
    adam, rates = optimizer(model, settings, len(buckets) * settings.epochs)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    resume(adam, rates, named, state)
    losses: list[float] = []
    model.train()
    for epoch in epochs:
        torch.manual_seed(int(digest(str(settings.seed), locale, str(epoch)), 16))
        loader.set_epoch(epoch)
        for batch in loader:
            with torch.autocast(model.device.type, torch.bfloat16, enabled=bool(settings.bf16)):
                loss = model(**batch.to(model.device)).loss
            losses.append(float(loss.detach()))
            if not np.isfinite(losses[-1]):
                raise MuError(
                    f"the loss became {losses[-1]} in epoch {epoch + 1}.", hint="Try a smaller learning rate."
                )
            loss.backward()
            clip_grad_norm_(named.values(), CLIP)
            adam.step()
            rates.step()
            adam.zero_grad()
            tell(losses[-1])
    model.eval()
    moments = {
        name: (
            adam.state[p]["exp_avg"].to("cpu", copy=True),
            adam.state[p]["exp_avg_sq"].to("cpu", copy=True),
        )
        for name, p in named.items()
        if p in adam.state
    }
    last = losses[-len(buckets) :]
    figures: dict[str, float | None] = {"loss": round(sum(last) / len(last), 6)}
    return ModelState(weights_of(model), moments, state.step + len(losses), figures)


def resume(
    adam: torch.optim.Optimizer,
    rates: torch.optim.lr_scheduler.LambdaLR,
    named: Mapping[str, torch.nn.Parameter],
    state: ModelState,
) -> None:
    """Restore the optimizer and the learning rates from the state."""
    for name, pair in state.moments.items():
        first, second = (moment.to(named[name].device, copy=True) for moment in pair)
        step = torch.tensor(float(state.step), device=named[name].device)
        adam.state[named[name]] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
    rates.last_epoch = state.step
    for group, rate, factor in zip(adam.param_groups, rates.base_lrs, rates.lr_lambdas, strict=True):
        group["lr"] = rate * factor(state.step)


def score(room: Room, items: Sequence[Item], metric: str) -> dict[str, float]:
    """Return the metric and the mean loss per label, in nats, of the weights in the room; {} without items."""
    if not items:
        return {}
    found = predict_with(room.model, room.tokenizer, room.labels, items)
    logits = found.logits.astype(np.float64)
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    gold = [room.labels.index(label) for item in items for label in item.labels]
    loss = float((log_sum - logits[np.arange(len(gold)), gold]).mean())
    return {metric: find(metric).value(scored(found, items, metric)), "loss": loss}


def arrays(weights: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """View the tensors as numpy arrays, without a copy."""
    found: dict[str, Any] = {name: tensor.numpy() for name, tensor in weights.items()}
    return found

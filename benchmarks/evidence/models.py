"""The locales and regimes of the evidence, their models in memory, and a scorer that computes frozen layers once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from merginguriel.evaluation import packed_inference
from merginguriel.evaluation.predict import batches, open_model, padded, tokens_of
from merginguriel.evaluation.predictions import (
    BATCH_TOKENS,
    fingerprint,
)
from merginguriel.models.checkpoint import open_checkpoint, read
from merginguriel.study.study import Study
from merginguriel.tasks.registry import Item, digest
from merginguriel.workspace import find

SOURCES = ("en-US", "de-DE", "sv-SE", "es-ES", "it-IT", "cs-CZ", "ru-RU", "fi-FI")
TARGETS = (
    "hu-HU", "en-US", "el-GR", "da-DK", "ar-SA", "fi-FI", "bg-BG", "de-DE", "zh-CN", "eu-ES", "th-TH", "sl-SI",
    "pl-PL", "es-ES", "ca-ES", "ru-RU", "ro-RO", "cs-CZ", "nb-NO", "it-IT", "pt-PT", "fr-FR", "nl-NL", "sv-SE",
)  # fmt: skip
TEST, DEV = 150, 60  # items of each locale, chosen by a hash


@dataclass(frozen=True)
class Regime:
    """How the models of a regime are trained: its part of the context, and the settings that differ from the lab's."""

    context: str
    settings: Mapping[str, Any]
    about: str


REGIMES = {
    "few": Regime("home-few", {"max_train_samples": 100}, "100 sentences, 3 epochs at 1e-4"),
    "today": Regime("home", {}, "600 sentences, 3 epochs at 1e-4, the defaults of the lab"),
    "far": Regime(
        "home-far",
        {"max_train_samples": 100, "epochs": 12, "learning_rate": 5e-4},
        "100 sentences, 12 epochs at 5e-4",
    ),
}
SETS = ("REAL-3", "REAL-5", "URIEL-3", "random-3")  # how the sources of a merge are chosen
CORE = (
    ("average", "REAL-3"),
    ("ties", "REAL-3"),
    ("average", "random-3"),
)  # beside linear, which is merged of every set
EVERYWHERE = ("average", "ties")  # methods for every set of sources, and with the target's own model
REAL3 = ("slerp", "model_stock", "fisher_simple", "dare_ties")  # for the set REAL-3 too


@dataclass(frozen=True)
class Arm:
    """A merge: method, mode, how its sources were chosen, and these."""

    method: str
    mode: str
    chosen_by: str
    sources: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name of the arm in the file of results."""
        return "|".join([self.method, self.mode, self.chosen_by, "+".join(self.sources)])


@dataclass(frozen=True)
class Cell:
    """A target in a regime, with the seed of the training."""

    regime: str
    target: str
    seed: int = 0

    @property
    def name(self) -> str:
        """`few/da-DK/0`."""
        return f"{self.regime}/{self.target}/{self.seed}"


def tensors(folder: Path) -> dict[str, np.ndarray]:
    """Return all tensors of a model."""
    checkpoint = open_checkpoint(folder)
    return {name: np.array(read(checkpoint, name)) for name in checkpoint.tensors}


class Lab:
    """The studies of the regimes in one folder: one workspace each, with the same base."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cache  # noqa: B019  one lab per process
    def study(self, regime: str, seed: int = 0) -> Study:
        """Return the study of a regime."""
        return Study(find(explicit=self.root / regime), seed=seed)

    @cache  # noqa: B019  one lab per process
    def items(self, target: str) -> tuple[list[Item], list[Item]]:
        """Return the development and the test items of a target, the same in every regime."""
        data = self.study("today").data(target)
        return tuple(
            sorted(
                sorted(found, key=lambda item: digest(item.id, length=16))[:most], key=lambda item: item.id
            )
            for found, most in ((data.dev, DEV), (data.test, TEST))
        )

    @cache  # noqa: B019  one lab per process
    def tensors(self, path: Path) -> dict[str, np.ndarray]:
        """Return the tensors of a model that can differ from the base. Raises ValueError if another one does."""
        found = tensors(path)
        base = self.base(path.parent)
        if path.name != "base" and any(not np.array_equal(found[n], base[n]) for n in base if not upper(n)):
            raise ValueError(f"{path} differs from its base in the embeddings or the first layers")
        return {name: array for name, array in found.items() if upper(name)}

    @cache  # noqa: B019  one lab per process
    def fingerprint(self, path: Path) -> str:
        """Return the fingerprint of a model folder."""
        return fingerprint(path)

    @cache  # noqa: B019  one lab per process
    def base(self, root: Path) -> dict[str, np.ndarray]:
        """Return all tensors of the base."""
        return tensors(root / "base")


FROZEN = 6  # layers of the encoder that the lab leaves as they are


def upper(name: str) -> bool:
    """Return whether a tensor is in a layer that the lab trains."""
    parts = name.split(".")
    return "classifier" in name or ("layer" in parts and int(parts[parts.index("layer") + 1]) >= FROZEN)


class Feeder(torch.nn.Module):
    """Layer that returns what the frozen layers gave for the batch."""

    now: torch.Tensor

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        """Return the stored hidden states."""
        return self.now


class Scorer:
    """One model in memory that takes merged weights and answers the items of a target."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer, self.labels = open_model(folder)
        self.model.eval()
        self.state = dict(self.model.named_parameters())
        self.body = self.model.encoder.encoder
        self.layers = list(self.body.layer)
        self.feeder = Feeder()
        self.batches: dict[str, list[tuple[list[int], torch.Tensor, torch.Tensor, torch.Tensor]]] = {}

    def prepare(self, name: str, items: Sequence[Item]) -> None:
        """Compute the frozen layers for the items."""
        if name in self.batches:
            return
        rows, _ = tokens_of(self.model, self.tokenizer, items)
        self.body.layer = torch.nn.ModuleList(self.layers[:FROZEN])
        found = []
        with torch.inference_mode(), packed_inference.packed(self.model):
            for chosen in batches([len(row) for row in rows], BATCH_TOKENS):
                ids, mask = padded([rows[i] for i in chosen], self.tokenizer.pad_token_id or 0)
                hidden = self.model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
                found.append((chosen, ids, mask, hidden))
        self.body.layer = torch.nn.ModuleList([self.feeder, *self.layers[FROZEN:]])
        self.batches[name] = found

    def logits(self, name: str, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the logits [n, L] of the prepared items, for a model with these weights."""
        with torch.no_grad():
            for tensor, array in weights.items():
                self.state[tensor].copy_(torch.from_numpy(np.ascontiguousarray(array)))
        prepared = self.batches[name]
        answers = np.zeros((sum(len(chosen) for chosen, *_ in prepared), len(self.labels)), np.float32)
        with torch.inference_mode(), packed_inference.packed(self.model):
            for chosen, ids, mask, hidden in prepared:
                self.feeder.now = hidden
                answers[chosen] = self.model(input_ids=ids, attention_mask=mask).logits.numpy()
        return answers

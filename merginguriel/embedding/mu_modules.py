"""Modules that sentence-transformers lacks: attention and weighted pooling, heads per script family, mixture of experts.

A saved model contains a copy of this file, so that SentenceTransformer(FOLDER, trust_remote_code=True) loads it without
MergingUriel. The file therefore imports torch and sentence-transformers only.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from sentence_transformers.base.modules import Module
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn

# Script (first word of a letter's Unicode name) → family. Letters of other scripts have no family.
FAMILIES = {
    "latin": ("LATIN", "FULLWIDTH"),
    "cyrillic": ("CYRILLIC",),
    "cjk": ("CJK", "HANGUL", "HIRAGANA", "KATAKANA", "HALFWIDTH", "BOPOMOFO"),
    "arabic": ("ARABIC", "HEBREW"),
    "indic": ("DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA"),
    "greek": ("GREEK",),
    "other": ("THAI", "LAO", "KHMER", "MYANMAR", "GEORGIAN", "ARMENIAN", "ETHIOPIC"),
}  # fmt: skip
FAMILY_OF = {script: family for family, scripts in FAMILIES.items() for script in scripts}
NEUTRAL, UNKNOWN = -1, -2  # a token without letters; a token whose script has no head


def family_of(text: str) -> str | None:
    """Return the family of most letters of a text; `?` for letters of unknown scripts, None without a letter."""
    counts: dict[str, int] = {}
    for char in text:
        if char.isalpha():
            family = FAMILY_OF.get(unicodedata.name(char, "?").partition(" ")[0], "?")
            counts[family] = counts.get(family, 0) + 1
    return max(counts, key=lambda name: (counts[name], name)) if counts else None


def token_families(tokens: Iterable[str], families: Sequence[str]) -> torch.Tensor:
    """Return int16 [v], the index of each token's family; NEUTRAL without letters, UNKNOWN for another family."""
    known = {family: at for at, family in enumerate(families)}
    found = (family_of(token) for token in tokens)
    return torch.tensor([NEUTRAL if f is None else known.get(f, UNKNOWN) for f in found], dtype=torch.int16)


class Weighted(Module):
    """Module with weights, saved as its settings and a safetensors file."""

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write config.json and model.safetensors."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Read a module from a local folder or the hub."""
        hub: dict[str, Any] = {
            "subfolder": subfolder, "token": token, "cache_folder": cache_folder, "revision": revision,
            "local_files_only": local_files_only,
        }  # fmt: skip
        model = cls(**cls.load_config(model_name_or_path, **hub))
        return cls.load_torch_weights(model_name_or_path, model=model, **hub)


class AttentionPooling(Weighted):
    """Softmax attention of one learned query over the token vectors. It starts as the mean: the query is zero."""

    config_keys = ["embedding_dimension"]  # noqa: RUF012

    def __init__(self, embedding_dimension: int) -> None:
        super().__init__()
        self.embedding_dimension = embedding_dimension
        self.query = nn.Parameter(torch.zeros(embedding_dimension))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Set sentence_embedding [b, h] from token_embeddings [b, t, h]."""
        tokens = features["token_embeddings"]
        scores = tokens @ self.query / self.embedding_dimension**0.5
        scores = scores.masked_fill(features["attention_mask"] == 0, float("-inf"))
        features["sentence_embedding"] = (scores.softmax(-1).unsqueeze(-1) * tokens).sum(1)
        return features

    def get_embedding_dimension(self) -> int:
        """Return the width of the sentence vectors."""
        return self.embedding_dimension


class WeightedPooling(Weighted):
    """Weighted sum of several poolings of sentence-transformers, with given or learned weights.

    learned  the weights are the softmax of parameters that start at the logarithm of `weights`
    """

    config_keys = ["embedding_dimension", "modes", "weights", "learned"]  # noqa: RUF012

    def __init__(
        self, embedding_dimension: int, modes: Sequence[str], weights: Sequence[float], learned: bool = False
    ) -> None:
        super().__init__()
        self.embedding_dimension, self.learned = embedding_dimension, learned
        self.modes, self.weights = list(modes), [float(one) for one in weights]
        self.pooling = Pooling(embedding_dimension, pooling_mode=tuple(modes))
        start = torch.tensor(self.weights) / sum(self.weights)
        if learned:
            self.logits = nn.Parameter(start.log())
        else:
            self.register_buffer("share", start)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Set sentence_embedding [b, h]."""
        parts = self.pooling(features)["sentence_embedding"]
        share = self.logits.softmax(0) if self.learned else self.share
        stacked = parts.view(len(parts), len(self.modes), self.embedding_dimension)
        features["sentence_embedding"] = (stacked * share[:, None]).sum(1)
        return features

    def get_embedding_dimension(self) -> int:
        """Return the width of the sentence vectors."""
        return self.embedding_dimension


class FamilyHeads(Weighted):
    """One linear head per script family; a sentence takes the head of most of its tokens with letters.

    A sentence without letters takes the mean of all heads. One in a script without a head is a ValueError.
    """

    config_keys = ["in_features", "out_features", "families", "vocabulary"]  # noqa: RUF012

    def __init__(self, in_features: int, out_features: int, families: Sequence[str], vocabulary: int) -> None:
        super().__init__()
        self.in_features, self.out_features, self.families = in_features, out_features, list(families)
        self.vocabulary = vocabulary
        self.heads = nn.ModuleList(nn.Linear(in_features, out_features) for _ in families)
        self.register_buffer("family", torch.full((vocabulary,), NEUTRAL, dtype=torch.int16))

    def shares(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return [b, families]: 1 for the chosen head, equal shares for a sentence without letters.

        Raises:
            ValueError: Most letters of a sentence have a script without a head.
        """
        found = self.family[ids].long().masked_fill(mask == 0, NEUTRAL)
        votes = torch.stack([(found == at).sum(1) for at in range(len(self.families))], 1)
        unknown = (found == UNKNOWN).sum(1)
        if bool((unknown > votes.max(1).values).any()):
            raise ValueError(f"no head for the script of a sentence; heads: {', '.join(self.families)}")
        chosen = nn.functional.one_hot(votes.argmax(1), len(self.families)).float()
        none = (votes.sum(1) == 0).unsqueeze(1)
        return torch.where(none, torch.full_like(chosen, 1 / len(self.families)), chosen)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Replace sentence_embedding [b, h] by [b, n]."""
        share = self.shares(features["input_ids"], features["attention_mask"])
        vector = features["sentence_embedding"]
        outputs = torch.stack([head(vector) for head in self.heads], 1)
        features["sentence_embedding"] = (outputs * share.unsqueeze(-1)).sum(1)
        return features

    def get_embedding_dimension(self) -> int:
        """Return the width of the sentence vectors."""
        return self.out_features


class MixtureOfExperts(Weighted):
    """Linear experts mixed by a softmax gate on the sentence vector.

    usage  running mean of the gate [experts] over training batches
    """

    config_keys = ["in_features", "out_features", "experts"]  # noqa: RUF012

    def __init__(self, in_features: int, out_features: int, experts: int = 4) -> None:
        super().__init__()
        self.in_features, self.out_features, self.experts = in_features, out_features, experts
        self.gate = nn.Linear(in_features, experts)
        self.expert = nn.ModuleList(nn.Linear(in_features, out_features) for _ in range(experts))
        self.register_buffer("usage", torch.full((experts,), 1 / experts))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Replace sentence_embedding [b, h] by [b, n]."""
        vector = features["sentence_embedding"]
        share = self.gate(vector).softmax(-1)
        if self.training:
            self.usage.mul_(0.95).add_(0.05 * share.detach().mean(0))
        outputs = torch.stack([one(vector) for one in self.expert], 1)
        features["sentence_embedding"] = (outputs * share.unsqueeze(-1)).sum(1)
        return features

    def get_embedding_dimension(self) -> int:
        """Return the width of the sentence vectors."""
        return self.out_features

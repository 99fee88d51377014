"""Losses of an embedder: those of sentence-transformers by name, and circle loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from torch import nn
from torch.nn import functional

from merginguriel.errors import UsageError

LOSSES = {  # name → description
    "mnrl": "multiple negatives ranking: the positive against the other documents of the batch",
    "cached-mnrl": "mnrl with cached gradients, for batches larger than memory",
    "infonce": "symmetric InfoNCE: query against documents and document against queries",
    "triplet": "triplet loss on cosine distance, with a margin; needs negatives, of which it takes the mean",
    "circle": "circle loss: similarities weighted by their distance from the optimum",
    "distill": "cosine distance to a teacher's vectors; needs a teacher",
    "gist": "GIST: mnrl without the in-batch negatives that a guide finds too similar; needs a teacher",
}
TAUGHT, WITH_NEGATIVES = ("distill", "gist"), ("triplet",)


def find(
    name: str,
    model: SentenceTransformer,
    *,
    teacher: SentenceTransformer | None,
    margin: float | None,
    batch: int,
) -> nn.Module:
    """Return the loss called `name`.

    Args:
        teacher: For `distill` and `gist`.
        margin: Of `triplet` (default 0.3) and `circle` (default 0.25).
        batch: Examples of a forward pass of `cached-mnrl`.

    Raises:
        UsageError: An unknown name.
    """
    if name not in LOSSES:
        raise UsageError(f"unknown loss {name!r}.", hint=f"Losses: {', '.join(LOSSES)}.")
    if name == "cached-mnrl":
        return losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=batch)
    if name == "infonce":
        both: Any = ("query_to_doc", "doc_to_query")
        return losses.MultipleNegativesRankingLoss(model, directions=both, partition_mode="per_direction")
    if name == "triplet":
        cosine, least = losses.TripletDistanceMetric.COSINE, 0.3 if margin is None else margin
        return PerNegative(losses.TripletLoss(model, distance_metric=cosine, triplet_margin=least))
    if name == "circle":
        return CircleLoss(model, 0.25 if margin is None else margin)
    if name == "distill" and teacher is not None:
        width, theirs = model.get_embedding_dimension(), teacher.get_embedding_dimension()
        return losses.EmbedDistillLoss(model, projection_dim=None if width == theirs else theirs)
    if name == "gist" and teacher is not None:
        return PerNegative(losses.GISTEmbedLoss(model, guide=teacher))
    return losses.MultipleNegativesRankingLoss(model)


class PerNegative(nn.Module):
    """Mean over the negatives of a query of a loss that takes one negative."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Any) -> torch.Tensor:
        """Return the mean loss of a batch."""
        query, positive, *negatives = sentence_features
        rows = [[query, positive, one] for one in negatives] or [[query, positive]]
        return torch.stack([self.loss([dict(one) for one in row], labels) for row in rows]).mean()


class CircleLoss(nn.Module):
    """Circle loss (Sun et al. 2020, arXiv:2002.10857, eq. 6) of the cosine of queries with documents.

    The positive of a query is its own document; the negatives are the other documents of the batch and the given ones.

    Args:
        margin: m of the paper.
        scale: γ of the paper; its 256 is for a normalised classifier, 32 for embeddings in small batches.
    """

    def __init__(self, model: SentenceTransformer, margin: float = 0.25, scale: float = 32.0) -> None:
        super().__init__()
        self.model, self.margin, self.scale = model, margin, scale

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Any) -> torch.Tensor:
        """Return the mean loss of a batch."""
        del labels
        vectors = [
            functional.normalize(self.model(one)["sentence_embedding"], dim=-1) for one in sentence_features
        ]
        scores = vectors[0] @ torch.cat(vectors[1:]).T
        own = torch.eye(len(scores), scores.shape[1], dtype=torch.bool, device=scores.device)
        return circle(scores, own, self.margin, self.scale)


def circle(scores: torch.Tensor, own: torch.Tensor, margin: float, scale: float) -> torch.Tensor:
    """Return the mean circle loss of similarities [q, d]; own: bool [q, d], the positives. The weights have no gradient."""
    fixed = scores.detach()
    positive = -scale * (1 + margin - fixed).relu() * (scores - (1 - margin))
    negative = scale * (fixed + margin).relu() * (scores - margin)
    least = float("-inf")
    total = positive.masked_fill(~own, least).logsumexp(1) + negative.masked_fill(own, least).logsumexp(1)
    return functional.softplus(total).mean()

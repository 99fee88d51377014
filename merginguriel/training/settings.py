"""Settings that determine the weights of a trained model, besides its base and its data. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from merginguriel.errors import UsageError
from merginguriel.metrics.registry import metrics
from merginguriel.similarity.choice import parsed
from merginguriel.similarity.registry import names

SCHEDULES = ("fixed", "converged", "gain")
JUDGES = ("sources", "target")
ANCHORS = ("last_merge", "pretrained")


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of a fine-tuning.

    learning_rate       of the encoder; AdamW, linear decay to 0 after a warm-up
    head_learning_rate  of the head, which starts from zeros and has further to go
    warmup              share of the steps
    dropout             in the encoder; None keeps the base's own
    freeze_embeddings   leave word, position and type embeddings at the pretrained values
    freeze_layers       encoder layers, counted from the input, that stay at the pretrained values too
    bf16                matrix products in bfloat16; None: if the processor has instructions for them. What that
                        comes to is part of the record: it changes the weights
    max_tokens          longer sentences are cut
    lora_rank           train low-rank factors of this rank in place of the encoder's matrices (Hu et al. 2022,
                        arXiv:2106.09685), and the head whole; None: all weights
    lora_alpha          their product is scaled by lora_alpha / lora_rank; None: twice the rank
    patience            stop after so many epochs without a better accuracy on development data, and keep the
                        weights of the best; None: all epochs, and the last weights
    accumulate          batches whose gradients are added up before a step; None: 1
    max_train_samples   train on so many sentences, chosen by a hash of the seed; None: all
    max_minutes         stop at the end of the step in which the time runs out, at the learning rate reached by then
    """

    epochs: int = 4
    learning_rate: float = 1e-4
    head_learning_rate: float = 2e-3
    batch_size: int = 32
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float | None = None
    freeze_embeddings: bool = True
    freeze_layers: int = 0
    bf16: bool | None = None
    max_tokens: int = 64
    seed: int = 0
    lora_rank: int | None = None
    lora_alpha: int | None = None
    patience: int | None = None
    accumulate: int | None = None
    max_train_samples: int | None = None
    max_minutes: float | None = None


# Settings that came later: left out of a record where they are not used, so that older models are found again.
LATER = ("lora_rank", "lora_alpha", "patience", "accumulate", "max_train_samples", "max_minutes")

# For e5-small on a few hundred short sentences and two cores: as accurate as training all layers, and faster.
LAB = FinetuneSettings(epochs=3, head_learning_rate=5e-3, freeze_layers=6)
# For models of XLM-RoBERTa-base's size, whole: the usual rates (Conneau et al. 2020, appendix), a fresh head faster.
HUB = FinetuneSettings(
    epochs=5, learning_rate=2e-5, head_learning_rate=1e-4, freeze_embeddings=False, max_tokens=128
)


def preset(base: str) -> FinetuneSettings:
    """Return the default settings for the base model of this name."""
    return LAB if base == "e5-small" else HUB


def as_record(settings: FinetuneSettings) -> dict[str, Any]:
    """Return the settings as stored in a model's record."""
    table = asdict(settings)
    return {key: value for key, value in table.items() if key not in LATER or value is not None}


def dev_score(record: Mapping[str, Any]) -> tuple[str, float | None]:
    """Return metric and value on development data from a model's training record; None if it was not scored."""
    for name in metrics():
        if f"dev_{name}" in record:
            return name, record[f"dev_{name}"]
    return "accuracy", None


def check(settings: FinetuneSettings) -> None:
    """Raise UsageError for invalid settings."""
    for name in ("epochs", "batch_size", "max_tokens", "learning_rate", "head_learning_rate", *LATER):
        value = getattr(settings, name)
        if value is not None and value <= 0:
            raise UsageError(f"{name} must be above 0, not {value}.")
    for name in ("warmup", "dropout"):
        if not 0 <= (getattr(settings, name) or 0) < 1:
            raise UsageError(f"{name} must be at least 0 and below 1, not {getattr(settings, name)}.")
    if settings.lora_alpha and not settings.lora_rank:
        raise UsageError("lora_alpha has no effect without lora_rank.")


@dataclass(frozen=True)
class IterateSettings:
    """Settings of an iterative training.

    Epochs count passes over each locale's own sentences. A round is `merge_every` epochs in every locale. At
    its end the models are merged, if the schedule says so; all locales then continue from the merge.

    sources           locales to train; none: the k best for the target by the similarity, of the candidates
    mode              ExcTar or IncTar; None for ExcTar
    similarity        weighs the sources in the method linear; REAL is their accuracy on the target at each merge
    weights           source → weight, in place of those of the similarity
    include, exclude  merge only tensors of such names; leave tensors of such names as the base has them
    anchor            what task vectors are taken against: last_merge, so that each merge adds up what was learnt
                      since, or pretrained, so that it merges all that was learnt, again in every round
    schedule          fixed: merge every round; converged: once no locale's development loss falls by the share
                      `tolerance` or more; gain: where the merge is better by `min_gain_pp` than what it is made of
    judge             of a gain: the development data of the sources (mean of each model on its own), or of the
                      target (best source)
    patience          stop after so many merges without a better one on the judge's development data
    keep_checkpoints  what was checkpointed before every merge, not only the last
    training          of the fine-tuning: learning_rate, batch_size, freeze_layers, …
    """

    sources: tuple[str, ...] = ()
    target: str | None = None
    mode: str | None = None
    similarity: str | None = None
    candidates: tuple[str, ...] = ()
    k: int | None = None
    method: str = "average"
    params: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    anchor: str = "last_merge"
    epochs: int = 6
    merge_every: int = 1
    schedule: str = "fixed"
    tolerance: float = 0.01
    min_gain_pp: float = 0.0
    judge: str = "sources"
    patience: int | None = None
    keep_checkpoints: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


# What does not change the weights of a finished training.
BESIDE = ("keep_checkpoints",)


def as_table(settings: IterateSettings) -> dict[str, Any]:
    """Return the settings for a record: those that are set, without those that do not change the weights."""
    plain = asdict(settings)
    table = {key: list(v) if isinstance(v, tuple) else v for key, v in plain.items() if key not in BESIDE}
    return {key: value for key, value in table.items() if value not in (None, [], {})}


def check_iterate(settings: IterateSettings) -> None:
    """Raise UsageError for invalid settings."""
    for name in ("epochs", "merge_every", "k", "patience"):
        value = getattr(settings, name)
        if value is not None and value <= 0:
            raise UsageError(f"{name} must be above 0, not {value}.")
    if settings.similarity and "×" in settings.similarity:
        raise UsageError(
            f"similarity is {settings.similarity!r}: iterative training knows no product.",
            hint=f"Known: {', '.join(names(products=False))}.",
        )
    if settings.similarity:
        parsed(settings.similarity)
    for name, allowed in (("schedule", SCHEDULES), ("judge", JUDGES), ("anchor", ANCHORS)):
        if getattr(settings, name) not in allowed:
            raise UsageError(
                f"{name} is {getattr(settings, name)!r}.", hint=f"It is one of: {', '.join(allowed)}."
            )
    if not 0 <= settings.tolerance < 1:
        raise UsageError(f"tolerance must be at least 0 and below 1, not {settings.tolerance}.")
    if settings.judge == "target" and settings.target is None:
        raise UsageError("judge is target, but no target is named.")
    if settings.similarity == "REAL" and settings.target is None:
        raise UsageError("REAL similarity is measured on a target, but none is named.")
    if settings.mode == "ExcTar" and settings.target in settings.sources:
        raise UsageError(f"mode is ExcTar, but {settings.target} is a source.")
    if settings.mode == "IncTar" and settings.sources and settings.target not in settings.sources:
        raise UsageError(f"mode is IncTar, but {settings.target} is not a source.")
    known = {f for f in FinetuneSettings.__dataclass_fields__ if f not in ("epochs", "seed", *LATER)}
    odd = sorted(set(settings.training) - known)
    if odd:
        raise UsageError(
            f"iterative training has no setting {odd[0]}.", hint=f"Known: {', '.join(sorted(known))}."
        )

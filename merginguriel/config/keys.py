"""What does a run need to know? Every key once: its kind, default, range and meaning.

The table KEYS, made from the fields of `Config`, is what validation, `mu config show`, the JSON Schema and the
documentation are made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from merginguriel.merging.recipe import HEADS
from merginguriel.similarity import registry as similarities
from merginguriel.similarity.uriel import SETS as FEATURES

from . import values
from .values import Key

KINDS = ("merge", "train", "nxn", "iterate")

NOT_DECIDING = ("keep", "report_to", "iterate.keep_checkpoints")  # keys that do not change the result


def key(default: Any, kind: str, doc: str, **more: Any) -> Any:
    """A field of a configuration, with what is to be known of it."""
    metadata = {"key": Key(kind, doc, **more)}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Training:
    """How a model is fine-tuned: training/finetune.FinetuneSettings. None: what suits the base."""

    epochs: int | None = key(None, "whole", "passes over the training sentences", low=1)
    learning_rate: float | None = key(None, "number", "of the encoder", low=0)
    head_learning_rate: float | None = key(None, "number", "of the head, which starts from nothing", low=0)
    batch_size: int | None = key(None, "whole", "sentences per step", low=1)
    warmup: float | None = key(None, "number", "share of the steps in which the rate rises", low=0, high=1)
    weight_decay: float | None = key(None, "number", "of AdamW, on matrices only", low=0)
    dropout: float | None = key(None, "number", "in the encoder", low=0, high=1)
    freeze_embeddings: bool | None = key(None, "flag", "leave the embeddings at the pretrained values")
    freeze_layers: int | None = key(
        None, "whole", "first encoder layers that stay at the pretrained values", low=0
    )
    bf16: bool | None = key(None, "flag", "matrix products in bfloat16; unset: where it is faster")
    max_tokens: int | None = key(None, "whole", "longer sentences are cut", low=1)
    lora_rank: int | None = key(
        None, "whole", "train low-rank factors of this rank; unset: all weights", low=1
    )
    lora_alpha: int | None = key(None, "whole", "their product is scaled by lora_alpha / lora_rank", low=1)
    patience: int | None = key(None, "whole", "stop after so many epochs without a better one", low=1)


@dataclass(frozen=True)
class Iterate:
    """How locales are trained and merged in turn: training/settings.IterateSettings."""

    epochs: int | None = key(None, "whole", "passes over each locale's sentences, in all", low=1)
    merge_every: int | None = key(None, "whole", "epochs between two merges", low=1)
    schedule: str | None = key(
        None, "word", "merge every round, once losses converge, or where it gains",
        choices=("fixed", "converged", "gain"),
    )  # fmt: skip
    tolerance: float | None = key(
        None, "number", "converged: a smaller fall of the loss, as a share, counts as none", low=0, high=1
    )
    min_gain_pp: float | None = key(None, "number", "gain: by how much a merge must be better, in pp")
    judge: str | None = key(None, "word", "gain: on whose development data", choices=("sources", "target"))
    patience: int | None = key(None, "whole", "stop after so many merges without a better one", low=1)
    anchor: str | None = key(
        None, "word", "what task vectors are taken against", choices=("last_merge", "pretrained")
    )
    keep_checkpoints: bool | None = key(None, "flag", "keep the checkpoint before every merge")


@dataclass(frozen=True)
class Config:
    """One run. Keys of a section are addressed with a dot: `training.epochs`."""

    kind: str = key("merge", "word", "what the run does", choices=KINDS)
    task: str | None = key(None, "word", "what models are trained and scored on; unset: as mu.toml says")
    base: str | None = key(
        None, "base", "base model: e5-small, a folder, a name on the hub; unset: as mu.toml"
    )
    data: str | None = key(None, "folder", "your own data, for the task files or a copy of massive")
    options: Mapping[str, Any] = key({}, "table", "options of the task")
    seed: int = key(0, "whole", "of the training, and of methods and heads that draw", low=0)
    locales: tuple[str, ...] = key(
        (), "locales", "train: models to make; nxn: test sets; unset: all that are trained",
        only=("train", "nxn"),
    )  # fmt: skip
    splits: tuple[str, ...] = key(
        ("dev", "test"), "words", "which splits are scored", choices=("dev", "test"), only=("nxn",)
    )
    target: str | None = key(None, "locale", "the locale that the merge is for", only=("merge", "iterate"))
    mode: str = key(
        "ExcTar", "word", "is the target's own model among the sources (IncTar) or not (ExcTar)",
        choices=("ExcTar", "IncTar"), only=("merge", "iterate"),
    )  # fmt: skip
    method: str | None = key(None, "method", "how to merge: see mu methods", only=("merge", "iterate"))
    params: Mapping[str, Any] = key({}, "table", "parameters of the method", only=("merge", "iterate"))
    sources: tuple[str, ...] = key(
        (), "locales", "models to merge (nxn: to score); unset: the k most similar of the candidates",
        only=("merge", "nxn", "iterate"),
    )  # fmt: skip
    candidates: tuple[str, ...] = key(
        (),
        "locales",
        "sources to choose from; unset: all that are trained (iterate: all of the task)",
        only=("merge", "iterate"),
    )
    similarity: str | None = key(
        None, "word", "what chooses the sources and weighs them", choices=similarities.names(), only=("merge", "iterate")
    )
    k: int | None = key(
        None, "whole", "sources to choose, the target's own model among them; unset: 5", low=1,
        only=("merge", "iterate"),
    )  # fmt: skip
    features: tuple[str, ...] = key(
        (), "words", "sets of URIEL features; unset: all", choices=FEATURES, only=("merge", "iterate")
    )
    nearest: int | None = key(
        None, "whole", "keep the nearest sources of each target before anything else; unset: all", low=1,
        only=("merge", "iterate"),
    )  # fmt: skip
    sinkhorn: bool = key(
        False, "flag", "balance the similarities: sources near to everything lose weight", only=("merge", "iterate")
    )
    sinkhorn_steps: int = key(100, "whole", "of that, at most", low=1, only=("merge", "iterate"))
    similarity_table: str | None = key(
        None, "folder", "CSV file, dense or sparse, to read the similarity from", only=("merge", "iterate")
    )
    preweight: str | None = key(
        None, "word", "weights of the sources; unset: those of the similarity for linear, else equal",
        choices=similarities.preweights(), only=("merge",),
    )  # fmt: skip
    heads: str = key("auto", "word", f"{', '.join(HEADS)} or source:LOCALE: see mu merge", only=("merge",))
    embeddings: str = key(
        "merge", "word", "used: only the rows of tokens in `text`", choices=("merge", "base", "used"),
        only=("merge",),
    )  # fmt: skip
    text: str | None = key(
        None, "text", "sentences of the target for a method that reads text, or `sources`; unset: its training text",
        only=("merge",),
    )  # fmt: skip
    include: tuple[str, ...] = key((), "words", "merge only tensors of such names", only=("merge", "iterate"))
    exclude: tuple[str, ...] = key(
        (), "words", "leave such tensors as the base has them", only=("merge", "iterate")
    )
    trim_scope: str = key(
        "tensor", "word", "of what a density is a share", choices=("tensor", "model"), only=("merge",)
    )
    dtype: str | None = key(
        None, "word", "of the merged weights; unset: as the sources", choices=("float32", "float16", "bfloat16"),
        only=("merge",),
    )  # fmt: skip
    ensembles: bool = key(
        True, "flag", "score the ensembles of the same sources beside the merge", only=("merge",)
    )
    keep: bool = key(False, "flag", "write the merged model to disk", only=("merge",))
    report_to: tuple[str, ...] = key(
        (), "words", "the Trainer's own integrations that follow a training",
        choices=("trackio", "mlflow", "wandb"),
    )  # fmt: skip
    training: Training = field(default_factory=Training)
    iterate: Iterate = field(default_factory=Iterate)


SECTIONS: dict[str, type] = {"training": Training, "iterate": Iterate}  # tables of keys that belong together


def keys_of(of: type, prefix: str = "") -> Iterator[tuple[str, Key, Any]]:
    for one in fields(of):
        if one.name in SECTIONS:
            yield from keys_of(SECTIONS[one.name], f"{one.name}.")
        else:
            default = {} if one.default is MISSING else one.default
            yield prefix + one.name, one.metadata["key"], default


KEYS: dict[str, Key] = {name: found for name, found, _ in keys_of(Config)}
DEFAULTS: dict[str, Any] = {name: default for name, _, default in keys_of(Config)}


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a run's YAML, for editors."""
    properties: dict[str, Any] = {}
    for name, found in KEYS.items():
        top, _, rest = name.partition(".")
        where = properties
        if rest:
            section = properties.setdefault(
                top, {"type": "object", "properties": {}, "additionalProperties": False}
            )
            where = section["properties"]
        where[rest or top] = values.json_schema(found, DEFAULTS[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of MergingUriel",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }

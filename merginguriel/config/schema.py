"""Schema of a run: every key once, with its type, default, range and meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from merginguriel.config.key_types import (
    KINDS,
    Anchor,
    Base,
    Dtype,
    Embeddings,
    Features,
    Flag,
    Folder,
    Head,
    Judge,
    Kind,
    Locale,
    Locales,
    Loss,
    Method,
    Mode,
    Number,
    PlainLoss,
    Preweight,
    RunKind,
    Schedule,
    Similarity,
    Splits,
    Table,
    TextSource,
    Trackers,
    TrimScope,
    Vocab,
    Weights,
    Whole,
    Word,
    Words,
)
from merginguriel.merging.recipe import EXCLUDED, HEADS

# Keys that do not change the result.
NOT_DECIDING = ("keep", "report_to", "iterate.keep_checkpoints", "embed.checkpoint_minutes", "advice")
SOURCES = ("merge", "iterate", "tune")  # kinds of run that merge sources
MERGES = ("merge", "tune")  # of these, those that merge trained models
TARGET = (*SOURCES, "pilot")  # kinds of run that are for one target
TRAINERS = ("train", "embed")  # kinds of run that train only, and measure nothing for the log
EMBEDDERS = ("compose", "embed")  # kinds of run that train embedders
# Kinds of run that train and score models of a task.
TASKS = tuple(kind for kind in KINDS if kind not in EMBEDDERS)


def key(
    default: Any, doc: str, *, low: float | None = None, high: float | None = None, only: tuple[str, ...] = ()
) -> Any:
    """Declare a key: its default, meaning and range, and the kinds of run that it applies to (none: all)."""
    extra: dict[str, Any] = {"only": list(only)} if only else {}
    return Field(default, description=doc, ge=low, le=high, json_schema_extra=extra)


class ConfigSection(BaseModel):
    """Keys that belong together; an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True, protected_namespaces=()
    )


class Finetuning(ConfigSection):
    """How a model is fine-tuned: training.settings.FinetuneSettings. Unset: the preset of the base."""

    epochs: Whole | None = key(None, "passes over the training sentences", low=1)
    learning_rate: Number | None = key(None, "learning rate of the encoder", low=0)
    head_learning_rate: Number | None = key(
        None, "learning rate of the head, which starts from random weights", low=0
    )
    batch_size: Whole | None = key(None, "sentences per step", low=1)
    warmup: Number | None = key(None, "share of the steps in which the rate rises", low=0, high=1)
    weight_decay: Number | None = key(None, "weight decay of AdamW, on matrices only", low=0)
    dropout: Number | None = key(None, "dropout in the encoder", low=0, high=1)
    freeze_embeddings: Flag | None = key(None, "leave the embeddings at the pretrained values")
    freeze_layers: Whole | None = key(
        None, "number of first encoder layers that stay at the pretrained values", low=0
    )
    bf16: Flag | None = key(None, "matrix products in bfloat16; unset: where it is faster")
    max_tokens: Whole | None = key(None, "longer sentences are cut", low=1)


class Training(Finetuning):
    """How single models are fine-tuned."""

    lora_rank: Whole | None = key(None, "train low-rank factors of this rank; unset: all weights", low=1)
    lora_alpha: Whole | None = key(None, "low-rank updates are scaled by lora_alpha / lora_rank", low=1)
    patience: Whole | None = key(None, "stop after so many epochs without a better one", low=1)
    accumulate: Whole | None = key(
        None, "batches whose gradients are added up before a step; unset: 1", low=1
    )
    max_train_samples: Whole | None = key(None, "train on so many sentences; unset: all", low=1)
    max_minutes: Number | None = key(None, "stop the training of a locale after this time", low=0)


class Iterate(Finetuning):
    """How locales are trained and merged in turn: training.settings.IterateSettings. Fine-tuning keys: unset, as in training."""

    epochs: Whole | None = key(None, "passes over each locale's sentences, in all", low=1)
    merge_every: Whole | None = key(None, "epochs between two merges", low=1)
    schedule: Schedule | None = key(None, "merge every round, once losses converge, or where it gains")
    tolerance: Number | None = key(
        None, "converged: a smaller fall of the loss, as a share, counts as none", low=0, high=1
    )
    min_gain_pp: Number | None = key(None, "gain: by how much a merge must be better, in pp")
    judge: Judge | None = key(None, "gain: on whose development data")
    patience: Whole | None = key(None, "stop after so many merges without a better one", low=1)
    anchor: Anchor | None = key(None, "what task vectors are taken against")
    keep_checkpoints: Flag | None = key(None, "keep the checkpoint before every merge")


class Tune(ConfigSection):
    """How weights and parameters of a merge are searched on development data: merging.tune."""

    search: Words = key(
        (),
        "weights, layers (weights by depth) or parameters of the method; unset: weights, shares and scales of the method",
    )
    ranges: Table = key({}, "parameter: LOW..HIGH, the range that is searched; unset: its bounds")
    evaluations: Whole = key(64, "merges that are scored on development data", low=2)
    knots: Whole = key(4, "layers: depths that have weights of their own, interpolated between", low=2)
    drop: Flag = key(True, "drop a merge that is in the worse half on a part of the data")


class Embedder(ConfigSection):
    """How an embedder is trained: embedding.training.Settings."""

    pooling: Word = key(
        "mean",
        "pooling of the tokens: mean, last, cls, max, sqrt (length-normalised), position, attention, 0.5*mean+0.5*max or learned:mean+max",
    )
    lora_rank: Whole = key(0, "LoRA of this rank on query and value matrices; 0 trains the base", low=0)
    epochs: Number = key(1.0, "passes over the examples", low=0)
    steps: Whole = key(0, "optimizer steps; 0: by epochs", low=0)
    learning_rate: Number = key(5e-5, "learning rate", low=0)
    max_tokens: Whole = key(64, "longer texts are cut", low=2)


class Compose(Embedder):
    """How embedders are trained on compositions of languages, and merged: embedding.compose."""

    size: Whole = key(500, "most queries taken from home", low=20)
    negatives: Whole = key(5, "hard negatives per query", low=1)
    mine_ranks: Word = key("50-300", "ranks of the hard negatives, A-B")
    methods: Words = key(("average",), "merges of the best cross-lingual and mono-lingual model")
    loss: PlainLoss = key("mnrl", "loss of the training")
    batch_size: Whole = key(16, "examples per step", low=2)


class Embed(Embedder):
    """How one embedder is trained on pairs or triples: embedding.training."""

    out: Folder | None = key(None, "new folder of sentence-transformers; unset: models/embed/RUN")
    head: Head = key("none", "head on the pooled vector")
    out_dim: Whole | None = key(None, "width of the vectors; unset: that of the base", low=1)
    hidden: Whole | None = key(None, "width inside an MLP or residual head; unset: half the base's", low=1)
    experts: Whole = key(4, "number of experts, with the head experts", low=2)
    families: Words = key((), "script families with a head of their own; unset: those of the data")
    lora_last: Whole = key(0, "LoRA on the last N layers only; 0: all", low=0)
    lora_families: Flag = key(False, "an adapter per script family of the queries: a model each, OUT/FAMILY")
    freeze: Flag = key(False, "train pooling and head only")
    loss: Loss = key("mnrl", "loss of the training")
    teacher: Folder | None = key(None, "embedder for the losses distill and gist")
    margin: Number | None = key(None, "of the losses triplet and circle; unset: 0.3 and 0.25")
    mine: Whole | None = key(None, "mine so many hard negatives per query with the base; unset: none", low=1)
    mine_ranks: Word = key("50-300", "ranks of the candidates, A-B")
    mine_margin: Number = key(0.05, "a candidate is at most (1 - this) times as similar as the positive")
    mine_highest: Number | None = key(None, "largest similarity of a candidate")
    batch_size: Whole = key(32, "examples per step", low=2)
    head_learning_rate: Number | None = key(
        None, "learning rate of pooling and head; unset: that of the base", low=0
    )
    query_prompt: Word = key("", "text before queries; E5 models expect 'query: '")
    document_prompt: Word = key("", "text before documents; E5 models expect 'passage: '")
    checkpoint_minutes: Number = key(5.0, "minutes between two checkpoints", low=0)


class Config(ConfigSection):
    """Configuration of one run. Keys of a section are addressed with a dot: `training.epochs`."""

    kind: RunKind = key(
        "merge",
        "what the run does; embed trains a sentence embedder, compose studies the languages of its data",
    )
    task: Word | None = key(None, "task that models are trained and scored on; unset: as in mu.toml")
    base: Base | None = key(None, "base model: e5-small, a folder, a name on the hub; unset: as in mu.toml")
    data: Folder | None = key(
        None,
        "your own data, for a task of your own or a copy of massive; compose: parallel text, unset: home; embed: file of pairs",
    )
    options: Table = key({}, "options of the task", only=TASKS)
    trust_remote_code: Flag = key(False, "run Python code that a model folder contains (auto_map)")
    seed: Whole = key(0, "of the training, and of methods and heads that draw", low=0)
    locales: Locales = key(
        (),
        "train: models to make; nxn: test sets; unset: all that are trained; compose: the two languages",
        only=("train", "nxn", "compose"),
    )
    splits: Splits = key(("dev", "test"), "which splits are scored", only=("nxn",))
    target: Locale | None = key(None, "the locale that the merge is for", only=TARGET)
    mode: Mode = key(
        "ExcTar", "whether the target's own model is among the sources (IncTar) or not (ExcTar)", only=TARGET
    )
    method: Method | None = key(None, "how to merge: see mu methods", only=SOURCES)
    params: Table = key({}, "parameters of the method", only=SOURCES)
    sources: Locales = key(
        (),
        "models to merge (nxn: to score); unset: the k most similar of the candidates",
        only=("nxn", *SOURCES),
    )
    weights: Weights = key(
        {}, "source: weight, in a weighted mean; unset: those of the similarity, or equal", only=("iterate",)
    )
    candidates: Locales = key(
        (), "sources to choose from; unset: all that are trained (iterate: all of the task)", only=TARGET
    )
    arms: Words = key((), "what is tried, as mu pilot writes it", only=("pilot",))
    margin_pp: Number = key(1.0, "differences within it count as equivalent", low=0, only=("pilot",))
    unlabelled: Flag = key(
        False, "use no labels of the target: agreement with the vote of the single models", only=("pilot",)
    )
    advice: Word | None = key(None, "id of the advice that asked for the pilot", only=("pilot",))
    similarity: Similarity | None = key(None, "what chooses the sources and weighs them", only=SOURCES)
    k: Whole | None = key(
        None, "sources to choose, the target's own model among them; unset: 5", low=1, only=SOURCES
    )
    features: Features = key((), "sets of URIEL features; unset: all", only=SOURCES)
    nearest: Whole | None = key(
        None,
        "keep so many nearest sources of each target, before anything else; unset: all",
        low=1,
        only=SOURCES,
    )
    sinkhorn: Flag = key(
        False, "balance the similarities: sources near to everything lose weight", only=SOURCES
    )
    sinkhorn_steps: Whole = key(100, "of that, at most", low=1, only=SOURCES)
    similarity_table: Folder | None = key(
        None,
        "CSV file, dense or sparse, to read the similarity from: see mu similarity --matrix",
        only=SOURCES,
    )
    preweight: Preweight | None = key(
        None, "weights of the sources; unset: those of the similarity for linear, else equal", only=MERGES
    )
    heads: Word = key("auto", f"{', '.join(HEADS)} or source:LOCALE: see mu merge", only=MERGES)
    embeddings: Embeddings = key("merge", "used: only the rows of tokens in `text`", only=MERGES)
    text: TextSource | None = key(
        None,
        "sentences of the target for a method that reads text, or `sources`; unset: its training text",
        only=MERGES,
    )
    include: Words = key((), "merge only tensors of such names", only=SOURCES)
    exclude: Words = key((), "leave such tensors as the base has them", only=SOURCES)
    excluded: Word = key("auto", f"what those are: {', '.join(EXCLUDED)} or source:LOCALE", only=MERGES)
    vocab: Vocab | None = key(
        None, "tokens of the output where vocabularies differ; unset: they must be equal", only=MERGES
    )
    trim_scope: TrimScope = key("tensor", "of what a density is a share", only=MERGES)
    dtype: Dtype | None = key(None, "of the merged weights; unset: as the sources", only=MERGES)
    ensembles: Flag = key(True, "score the ensembles of the same sources beside the merge", only=("merge",))
    score: Flag = key(
        True,
        "score it on the target's test data, beside single models that are then trained",
        only=("iterate",),
    )
    keep: Flag = key(False, "write the merged model to disk", only=MERGES)
    report_to: Trackers = key((), "the Trainer's own integrations that follow a training")
    training: Training = Training()
    iterate: Iterate = Iterate()
    tune: Tune = Tune()
    compose: Compose = Compose()
    embed: Embed = Embed()


@dataclass(frozen=True)
class Key:
    """A key as forms and listings need it.

    kind     word, words, locale, locales, whole, number, flag, table, folder, text, base or method
    choices  the words it may be, or its items may be; empty: any
    only     kinds of run that it applies to; empty: all
    low      the least number it may be; None: any
    """

    kind: str
    default: Any
    doc: str
    choices: tuple[str, ...]
    only: tuple[str, ...]
    low: float | None = None


SECTIONS: dict[str, type[ConfigSection]] = {
    "training": Training,
    "iterate": Iterate,
    "tune": Tune,
    "compose": Compose,
    "embed": Embed,
}


def fields(of: type[ConfigSection] = Config, prefix: str = "") -> Iterator[tuple[str, Key]]:
    """Yield every key by its dotted name, in the order of the declaration."""
    for name, field in of.model_fields.items():
        if name in SECTIONS and not prefix:
            yield from fields(SECTIONS[name], f"{name}.")
            continue
        kinds = [kind for part in (*field.metadata, field.annotation) for kind in found_kinds(part)]
        extra = field.json_schema_extra
        listed = extra.get("only") if isinstance(extra, dict) else None
        only = tuple(map(str, listed)) if isinstance(listed, list) else ()
        if prefix:
            only = TASKS if prefix == "training." else (prefix[:-1],)
        choices = next((kind.choices for kind in kinds if kind.choices), ())
        low = next((part.ge for part in field.metadata if hasattr(part, "ge")), None)
        yield (
            f"{prefix}{name}",
            Key(kinds[0].name, field.default, field.description or "", choices, only, low),
        )


def found_kinds(annotation: Any) -> Iterator[Kind]:
    """Yield the Kinds in an annotation, the outermost first."""
    if isinstance(annotation, Kind):
        yield annotation
    for part in (*getattr(annotation, "__metadata__", ()), *get_args(annotation)):
        yield from found_kinds(part)


KEYS: dict[str, Key] = dict(fields())


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a run's YAML."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "A run of MergingUriel",
    }

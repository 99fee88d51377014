"""Predictions of a model per item: their scores under a metric, and their cache. No torch."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.errors import CheckpointError, IncompatibleError
from merginguriel.files import write_bytes
from merginguriel.metrics import registry as metrics
from merginguriel.models import folder_kinds, tokenizer_files
from merginguriel.models.digest_cache import digest
from merginguriel.tasks.registry import Item

# Endings of the files that determine predictions, beside custom code: weights, config, tokenizer.
MODEL_FILES = (".safetensors", ".json", ".model", ".txt", ".bin", ".bpe", ".codes", ".spm", ".tiktoken")
# Padded tokens in a batch. On a processor, what stays in its cache; less, and weights are read too often.
BATCH_TOKENS, DEVICE_TOKENS = 512, 16384
NUMBERS = "The model's labels have no names: write those of its training into id2label of config.json, in their order."
FORMAT = 1  # of the cache; a file of another format is computed again
# Model types whose predictions no padding changes: the attention mask hides it, or (positions of RoBERTa) its id is 1 in
# config and tokenizer. The fingerprint of others holds the rule of padding: a new rule computes them again.
MASKED = frozenset({"bert", "distilbert", "electra", "albert", "deberta", "deberta-v2", "modernbert"})
ROBERTA = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert"})
PADDING = "padding: the config's id, else the tokenizer's; one sentence a batch where it changes logits"


@dataclass(frozen=True)
class Predictions:
    """Predictions: ids [n] of the items, labels [L] in the order of the head, logits float32 [n, L].

    sizes  [n] words of each item, where words are labelled: logits then have one row per word, item after item
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    logits: np.ndarray
    sizes: tuple[int, ...] | None = None

    def chosen(self) -> list[str]:
        """Return the predicted label of each item; for words, their tags separated by spaces."""
        best = [self.labels[i] for i in self.logits.argmax(axis=1)]
        if self.sizes is None:
            return best
        return [
            " ".join(best[start : start + size]) for start, size in zip(self.starts, self.sizes, strict=True)
        ]

    @property
    def starts(self) -> list[int]:
        """Return the first row [n] of each item in `logits`."""
        sizes = self.sizes or (1,) * len(self.ids)
        return [0, *np.cumsum(sizes[:-1]).tolist()] if sizes else []


def scored(predictions: Predictions, items: Sequence[Item], metric: str = "accuracy") -> np.ndarray:
    """Return the metric's statistics [n] or [n, S] in the order of `items`; for accuracy bool [n], is the label right?

    Labels are compared by name, so heads of different order agree.

    Raises:
        UsageError: The metric is unknown.
        IncompatibleError: The predictions lack an item, or the model does not know an item's label, so that it could
            only be wrong there, or the metric does not read such labels.
    """
    used = metrics.find(metric)
    reads = "tags" if items and items[0].tokens else "label"
    if items and used.reads != reads:
        fitting = ", ".join(name for name, one in metrics.metrics().items() if one.reads == reads)
        raise IncompatibleError(
            f"{metric} reads a {used.reads} per item; these items have a {reads}.",
            hint=f"Metrics that fit: {fitting}.",
        )
    check_labels(predictions.labels, items)
    chosen = dict(zip(predictions.ids, predictions.chosen(), strict=True))
    missing = [item.id for item in items if item.id not in chosen]
    if missing:
        raise IncompatibleError(
            f"the predictions are of other items: {len(missing)} of {len(items)} are missing ({missing[0]})."
        )
    return used.statistics([item.label for item in items], [chosen[item.id] for item in items])


def check_labels(known: Sequence[str], items: Iterable[Item], where: Path | None = None) -> None:
    """Raise IncompatibleError if an item has a label that is not among the labels `known` of the model."""
    gold = {label for item in items for label in item.labels}
    missing = gold - set(known)
    if missing:
        raise IncompatibleError(
            f"the model knows {some(known)}; the data have {some(missing, gold)}.",
            where=str(where) if where else None,
            hint=NUMBERS
            if all(label.startswith("LABEL_") for label in known)
            else "Name the data that the model was trained for, with --task and --data, or another model.",
        )


def some(first: Iterable[str], others: Iterable[str] = ()) -> str:
    """Format the first few of these labels; those of `first` before the `others`."""
    begin = sorted(first)
    names = [*begin, *sorted(set(others) - set(begin))]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def fingerprint(model: Path) -> str:
    """Return the sha256 over the files in a model folder that determine its predictions, with their names."""
    code = folder_kinds.custom_code(model)
    files = [
        path
        for path in sorted(model.glob("*"))
        if (path.suffix in MODEL_FILES or path.name in code) and path.is_file()
    ]
    if not any(path.suffix in (".safetensors", ".bin") for path in files):
        raise CheckpointError("this folder has no weights.", where=str(model))
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    rule = () if padding_is_masked(config) else (PADDING,)
    return _sha256(*(part for path in files for part in (path.name, digest(path))), *rule)


def padding_is_masked(config: Mapping[str, Any]) -> bool:
    """Return whether predictions are the same whatever fills a batch, by the model type of the config."""
    encoder = config.get("encoder")  # of a mu-encoder-classifier
    table = encoder if isinstance(encoder, Mapping) else config
    kind = table.get("model_type")
    return kind in MASKED or (kind in ROBERTA and table.get("pad_token_id", 1) == 1)


def in_bf16(model: str) -> str:
    """Return the fingerprint of the model run in bfloat16, whose predictions are cached separately."""
    return _sha256(model, "bf16")


def tokenizer_digest(model: Path) -> str:
    """Return the sha256 over the files that determine how a model folder's tokenizer splits a sentence."""
    files = [model / name for name in tokenizer_files.present(model)]
    return _sha256(*(part for path in files for part in (path.name, digest(path))))


def items_digest(items: Sequence[Item]) -> str:
    """Return the sha256 over ids and texts; labels do not change predictions."""
    return _sha256(*(part for item in items for part in (item.id, item.text)))


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode("utf-8")).hexdigest()


def rounded(predictions: Predictions) -> Predictions:
    """Round the logits to the precision of the cache, so that a first run and a resumed one agree.

    Where rounding makes two labels equal, or swaps them, the chosen one is moved up to the next float16, so that cached
    logits give the same label.
    """
    largest = np.finfo(np.float16).max
    logits = np.clip(predictions.logits, -float(largest), float(largest)).astype(np.float16)
    if not logits.size:
        return replace(predictions, logits=logits.astype(np.float32))
    chosen = predictions.logits.argmax(axis=1)
    lost = np.flatnonzero(logits.argmax(axis=1) != chosen)
    others = np.nextafter(logits[lost].max(axis=1), np.float16(np.inf))
    logits[lost, chosen[lost]] = np.minimum(others, largest)
    return replace(predictions, logits=logits.astype(np.float32))


def save(path: Path, predictions: Predictions, model: str) -> None:
    """Write an .npz (float16 logits) with the fingerprint of its model; atomic."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        format=np.array(FORMAT),
        model=np.array(model),
        ids=np.array(predictions.ids, dtype=np.str_),
        labels=np.array(predictions.labels, dtype=np.str_),
        logits=rounded(predictions).logits.astype(np.float16),
        sizes=np.array(predictions.sizes or (), dtype=np.int64),  # empty where sentences are labelled
    )
    write_bytes(path, buffer.getvalue())


def load(path: Path, model: str | None = None) -> Predictions:
    """Read a file written by `save`. Raises CheckpointError if it is damaged, or of another model than `model`."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            version, owner = int(stored["format"]), str(stored["model"])
            ids = tuple(str(id) for id in stored["ids"])
            labels = tuple(str(label) for label in stored["labels"])
            logits = stored["logits"].astype(np.float32)
            sizes = tuple(stored["sizes"].tolist()) or None if "sizes" in stored.files else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            "these predictions are damaged.", where=str(path), hint="Delete the file."
        ) from error
    if (
        version != FORMAT
        or logits.shape != (sum(sizes) if sizes else len(ids), len(labels))
        or not np.isfinite(logits).all()
    ):
        raise CheckpointError("these predictions are damaged.", where=str(path), hint="Delete the file.")
    if model is not None and owner != model:
        raise CheckpointError(
            "these predictions are of another model.", where=str(path), hint="Delete the file."
        )
    return Predictions(ids, labels, logits, sizes)


def cache_path(cache: Path, model: str, items: Sequence[Item]) -> Path:
    """Return the cache file, named by a digest of its inputs: a changed model or sentence gives another file."""
    return cache / f"{model[:16]}-{items_digest(items)[:16]}.npz"

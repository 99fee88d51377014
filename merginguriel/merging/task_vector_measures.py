"""Measures between models on disk: cosine and sign conflict of task vectors, and CKA.

Task vectors are read once, block by block on all cores; three small matrices of sums per part of the model hold all
that the measures need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merginguriel.errors import CheckpointError, UsageError
from merginguriel.models.checkpoint import FLOATS, open_checkpoint
from merginguriel.models.sentence_transformer import body_folder
from merginguriel.similarity import compat

from . import policies, registry
from .blocks import Progress, stacked
from .executor import Executor, blocks, cores
from .recipe import Recipe, Source, check
from .tensor_plan import TensorJob, prepare
from .tensor_reader import opened

if TYPE_CHECKING:
    import torch

MEASURES = ("cosine", "sign_conflict", "weighted_sign_conflict")
BATCH = 32  # sentences read at once


@dataclass(frozen=True)
class Compatibility:
    """Matrices [N, N] by measure and part of the model; `names` is the order of both axes.

    Parts of task vectors: `model` (all), `body` (without embeddings and head), `embeddings`, `layer 0` …, `other`
    (neither, such as a pooler), `head`. Parts of representations: `model` (the last layer), `embeddings`,
    `layer 0` …
    """

    names: tuple[str, ...]
    matrices: Mapping[str, Mapping[str, np.ndarray]]

    def matrix(self, measure: str, part: str = "model") -> np.ndarray:
        """Return the matrix of a measure and part. Raises UsageError naming the known ones."""
        for what, key, known in (
            ("measure", measure, self.matrices),
            ("part", part, self.matrices.get(measure, {})),
        ):
            if key not in known:
                raise UsageError(f"unknown {what} {key!r}.", hint=f"Known: {', '.join(known)}.")
        return self.matrices[measure][part]


def task_vectors(
    models: Mapping[str, Path],
    base: Path,
    *,
    on_progress: Progress | None = None,
    threads: int | None = None,
) -> Compatibility:
    """Measure cosine and sign conflict of each pair's task vectors against `base`, over the model and by part.

    cosine                  −1 to 1
    sign_conflict           share of the entries that both change, in opposite directions
    weighted_sign_conflict  the same, each entry weighted by the product of the two magnitudes: (1 − c) / 2 with c
                            the cosine if all magnitudes were one
    models  name → folder. Heads are aligned by label name. Raises as a merge of the models does.
    """
    sources = tuple(Source(name, Path(path)) for name, path in models.items())
    recipe = check(Recipe("task_arithmetic", sources, base=Path(base)))
    method = registry.get("task_arithmetic")
    sums: dict[str, np.ndarray] = {}
    with opened() as open_tensor:
        work, aligned = prepare(recipe, open_tensor)
        jobs = [job for job in work.jobs if job.base is not None and job.dtype in FLOATS]
        total, done = sum(prod(job.shape) for job in jobs), 0
        count = cores(threads)
        with ThreadPoolExecutor(count) as pool:
            step = Executor(work, pool, count)
            for job in jobs:

                def block(span: tuple[int, int], job: TensorJob = job) -> np.ndarray:
                    return products(stacked(step, job, method, *span)[: len(sources)])

                found = sum(step.each(block, blocks(job, method)), np.zeros((4, len(sources), len(sources))))
                for part in parts_of(job.name, job.name in aligned.head, work.layout):
                    sums[part] = sums.get(part, 0) + found
                done += prod(job.shape)
                if on_progress:
                    on_progress(done, total, job.name)
    ordered = sorted(sums, key=part_order)
    order = [work.names.index(name) for name in models]
    matrices: dict[str, dict[str, np.ndarray]] = {measure: {} for measure in MEASURES}
    for part in ordered:
        gram, size, signs, both = sums[part][:, order][:, :, order]
        matrices["cosine"][part] = compat.cosines(gram)
        matrices["sign_conflict"][part] = compat.conflict(signs, both)
        matrices["weighted_sign_conflict"][part] = compat.conflict(gram, size)
    return Compatibility(tuple(models), matrices)


def products(deltas: np.ndarray) -> np.ndarray:
    """Return [4, k, k] float64 of task vectors [k, n]: Σ ab, Σ |a||b|, Σ sign a sign b, and how often both are not 0."""
    values = deltas.astype(np.float64)
    # Counts of a block are whole numbers below 2²⁴, which float32 adds without rounding.
    signs = np.sign(deltas)
    sizes, present = np.abs(values), np.abs(signs)
    return np.stack(
        [
            values @ values.T,
            sizes @ sizes.T,
            (signs @ signs.T).astype(float),
            (present @ present.T).astype(float),
        ]
    )


def parts_of(name: str, head: bool, names: Mapping[str, object]) -> list[str]:
    """Return the parts that a tensor belongs to, `model` first."""
    if head:
        return ["model", "head"]
    layer, layers = policies.layer_of(name, names)
    if layer < 0:
        return ["model", "embeddings"]
    return ["model", "body", "other" if layer >= layers else f"layer {layer}"]


def part_order(part: str) -> tuple[int, int]:
    """Return the sort key of a part."""
    known = ("model", "body", "embeddings", "layer", "other", "head")
    word, _, number = part.partition(" ")
    return known.index(word), int(number or 0)


# --- representations ---


def representations(
    models: Mapping[str, Path],
    sentences: Sequence[str],
    *,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> Compatibility:
    """Measure linear CKA between the models' pooled hidden states of the same sentences, by layer and at the end.

    Hidden states are pooled as the model pools (mean over tokens if it does not say). One model is in memory at a
    time. Raises UsageError for fewer than three sentences, CheckpointError for a model that cannot be loaded.
    """
    if len(sentences) < 3:
        raise UsageError(f"CKA compares models on {len(sentences)} sentences.", hint="Give at least three.")
    found = []
    for done, (name, folder) in enumerate(models.items()):
        if on_progress:
            on_progress(done, len(models), f"reading with {name}")
        found.append(hidden_states(folder, sentences, device=device))
    depth = len(found[0])
    if any(len(states) != depth for states in found):
        raise UsageError("the models have different numbers of layers.")
    parts = ["embeddings", *(f"layer {i}" for i in range(depth - 1))]
    by_part = {
        part: np.array([[compat.cka(one[at], two[at]) for two in found] for one in found])
        for at, part in enumerate(parts)
    }
    return Compatibility(tuple(models), {"cka": {"model": by_part[parts[-1]], **by_part}})


def hidden_states(folder: Path, sentences: Sequence[str], *, device: str | None = None) -> list[np.ndarray]:
    """Return pooled hidden states of the encoder: of the embeddings, then of each layer, [n, width] float32.

    device  as torch names it; None: a GPU if there is one
    """
    import torch

    from merginguriel.models import classifier
    from merginguriel.models.base_models import pooling_of

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    body = body_folder(folder)
    if open_checkpoint(body).labels:
        whole, tokenizer = classifier.load(folder, device=place)
        model = whole.base_model
        pooling = getattr(whole.config, "pooling", None) or pooling_of(folder)
    else:
        from transformers import AutoModel

        model = classifier.opened(AutoModel, body, encoder_kwargs=True)
        torch.nn.Module.to(model, place)
        tokenizer = classifier.load_tokenizer(body)
        pooling = pooling_of(folder)
    pool = classifier.POOLINGS.get(pooling or "mean", classifier.mean_pooling)
    model.eval()
    collected: list[list[np.ndarray]] = []
    with torch.inference_mode():
        for start in range(0, len(sentences), BATCH):
            batch = tokenizer(
                list(sentences[start : start + BATCH]),
                truncation=True,
                max_length=classifier.longest(model),
                padding=True,
                return_tensors="pt",
            )
            ids, mask = batch["input_ids"].to(place), batch["attention_mask"].to(place)
            states: tuple[torch.Tensor, ...] = model(
                input_ids=ids, attention_mask=mask, output_hidden_states=True
            ).hidden_states
            collected.append([pool(state.float(), mask).cpu().numpy() for state in states])
    layers = [np.concatenate(parts) for parts in zip(*collected, strict=True)]
    if not all(np.isfinite(states).all() for states in layers):
        raise CheckpointError(
            "the model's hidden states are not numbers (NaN or infinite).", where=str(folder)
        )
    return layers

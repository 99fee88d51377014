"""Merge the models of an iterative training in memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from merginguriel.errors import UsageError
from merginguriel.merging import registry
from merginguriel.merging.engine import merge_arrays, merge_tensors
from merginguriel.merging.layerwise_inputs import write_in_order
from merginguriel.merging.recipe import Recipe, Source, check
from merginguriel.merging.statistics import drawn, file_name, write_statistics
from merginguriel.merging.tensor_plan import wants_base
from merginguriel.models.checkpoint import is_head
from merginguriel.models.classifier import copy_tokenizer, save

from .adamerging_coefficients import learn
from .locale_turn import Room, arrays, enter
from .round_store import ModelState, Tensors
from .settings import IterateSettings

IN_MEMORY = Path("memory")  # where a recipe's models would lie if they were read


def by_similarity(settings: IterateSettings) -> bool:
    """Return whether the sources are weighted by similarity: in a weighted mean without given weights."""
    return bool(settings.similarity) and not settings.weights and settings.method == "linear"


def recipe_of(settings: IterateSettings, weights: Mapping[str, float]) -> Recipe:
    """Return the validated recipe of one merge.

    Args:
        weights: Source → weight; normalised to the sum 1.

    Raises:
        UsageError: An invalid method, parameter or number of sources.
    """
    sources = tuple(Source(name, IN_MEMORY, weight) for name, weight in weights.items())
    method = registry.get(settings.method)
    recipe = Recipe(
        method.name,
        sources,
        dict(settings.params),
        base=IN_MEMORY if method.needs_base or settings.include or settings.exclude else None,
        target=settings.target,
        similarity=settings.similarity,
        seed=settings.seed,
        include=settings.include,
        exclude=settings.exclude,
    )
    return check(recipe)


def merged(
    recipe: Recipe,
    states: Mapping[str, ModelState],
    anchor: Tensors,
    room: Room,
    base: Path,
    texts: Mapping[str, Sequence[str]],
    folder: Path,
) -> Tensors:
    """Merge the states by the recipe.

    anchor  what task vectors are computed against
    base    the folder whose tokenizer and config the models have
    texts   source → sentences, for a method that reads text before it merges. Such a method reads model
            folders, which are written into `folder` for that time
    """
    method = registry.get(recipe.method)
    if method.needs is None:
        labels = len(room.labels)
        found = merge_arrays(
            recipe,
            {name: arrays(state.weights) for name, state in states.items()},
            arrays(anchor) if wants_base(recipe, method) else None,
            vocabulary=getattr(room.model.config, "vocab_size", None),
            head={name for name, t in anchor.items() if is_head(name, tuple(t.shape), labels)},
        )
    else:
        try:
            found = merge_tensors(after_reading(recipe, states, anchor, room, base, texts, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return {name: torch.from_numpy(values) for name, values in found.items() if name in anchor}


def after_reading(
    recipe: Recipe,
    states: Mapping[str, ModelState],
    anchor: Tensors,
    room: Room,
    base: Path,
    texts: Mapping[str, Sequence[str]],
    folder: Path,
) -> Recipe:
    """Return the recipe with the models in folders, and with the statistics that its method computes from text."""
    shutil.rmtree(folder, ignore_errors=True)
    sources = tuple(
        replace(s, path=write_model(folder / s.name, states[s.name].weights, room, base))
        for s in recipe.sources
    )
    recipe = replace(recipe, sources=sources)
    if recipe.base is not None:
        recipe = replace(recipe, base=write_model(folder / "anchor", anchor, room, base))
    missing = [s.name for s in sources if not texts.get(s.name)]
    if missing:
        raise UsageError(f"{recipe.method} reads text before it merges, and {missing[0]} has none.")
    count = int(recipe.params["sentences"])
    chosen = {s.name: drawn(texts[s.name], count, recipe.seed) for s in sources}
    kind = registry.get(recipe.method).needs
    if kind == "coefficients":
        every = [text for name in sorted(chosen) for text in chosen[name]]
        return learn(recipe, list(dict.fromkeys(every)))[0]
    if recipe.method == "regmean++":
        files = write_in_order(recipe, chosen, folder / "statistics")
    else:
        how: dict[str, Any] = {}
        if kind == "importance":
            how = {"samples": int(recipe.params["samples"]), "seed": recipe.seed}
        files = {
            s.name: write_statistics(
                str(kind), s.path, chosen[s.name], folder / f"statistics-{file_name(s.name)}", **how
            )
            for s in sources
        }
    return replace(recipe, sources=tuple(replace(s, statistics=files[s.name]) for s in sources))


def write_model(folder: Path, weights: Tensors, room: Room, base: Path) -> Path:
    """Write a model folder with these weights."""
    enter(room.model, weights)
    folder.mkdir(parents=True)
    save(room.model, folder)
    copy_tokenizer(base, folder)
    return folder

"""Inputs of each linear layer when the layers below it are already merged (RegMean++).

Layers are merged from the first to the last. The output of the merged layers below is the input of each source's own
transformer layer; its Gram matrices are collected there, and the layer is merged by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merginguriel.files import new_folder
from merginguriel.models import build_record
from merginguriel.models.base_models import model_files
from merginguriel.models.digest_cache import digest

from .engine import in_memory, merge_arrays, work_from
from .recipe import Recipe, check
from .statistics import (
    RECORD,
    Progress,
    file_name,
    gathered,
    logits_of,
    means,
    of_one_length,
    prepared,
    token_rows,
)
from .tensor_plan import TensorJob
from .tensor_reader import whole

if TYPE_CHECKING:
    import torch

BLOCK = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.\d+$")
Call = tuple[tuple[Any, ...], dict[str, Any]]  # arguments of a module's call


class Reached(Exception):
    """Ends a forward pass at the module that it was run for."""


def write_in_order(
    recipe: Recipe,
    texts: Mapping[str, Sequence[str]],
    out: Path,
    *,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Path]:
    """Write the Gram matrices of every source of a `regmean++` recipe into the folder `out`.

    texts   source → the sentences that its inputs are taken on; often the same for all
    device  as torch names it; None: a GPU if there is one

    Returns source → safetensors file; at once if `out` was made in the same way before. One model, one layer of each
    source and the inputs of one layer for all tokens of the text are in memory.
    Raises as write_statistics does, and what a merge of the recipe would raise.
    """
    import torch
    from safetensors.numpy import save_file

    from merginguriel.models.classifier import load

    recipe = check(recipe)
    files = {source.name: out / f"{file_name(source.name)}.safetensors" for source in recipe.sources}
    named = sorted(recipe.sources, key=lambda source: source.name)
    made = {
        "kind": "grams in order",
        "models": {s.name: {p.name: digest(p) for p in sorted(model_files(s.path))} for s in named},
        "weights": {s.name: s.weight for s in named},
        "params": {key: recipe.params[key] for key in ("alpha", "ridge")},
        "policies": [list(recipe.include), list(recipe.exclude), recipe.heads, recipe.embeddings],
        "texts": {s.name: build_record.text_hash(texts[s.name]) for s in named},
    }
    if build_record.already(out, RECORD, made):
        return files
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = load(named[0].path, device=place)
    rows = {s.name: token_rows(tokenizer, texts[s.name]) for s in named}
    found = grams_in_order(model, recipe, rows, on_progress=on_progress)
    with new_folder(out) as folder:
        for name, tensors in found.items():
            save_file(tensors, folder / files[name].name)
        build_record.write(folder, RECORD, made, versions=build_record.versions("torch", "transformers"))
    return files


def grams_in_order(
    model: torch.nn.Module,
    recipe: Recipe,
    rows: Mapping[str, Sequence[Sequence[int]]],
    *,
    on_progress: Progress | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Return source → weight of a linear layer → Gram matrix [in, in]; afterwards `model` is the merge.

    model  a loaded source: the first by name, whose label order is that of the output
    rows   token ids of each source's sentences
    """
    import torch

    mean = replace(recipe, method="linear", params={})  # what becomes of all that has no Gram matrix
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in rows}
    with prepared(model), torch.no_grad(), work_from(mean) as work:
        put(model, "", in_memory(work))
        batches = {name: of_one_length(own) for name, own in rows.items()}
        jobs = {job.name: job for job in work.jobs}
        units = units_of(model, batches[work.names[0]][0][:1])
        for number, unit in enumerate(units):
            module = model.get_submodule(unit)
            before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
            inside = [job for name, job in jobs.items() if name.startswith(f"{unit}.")]
            calls: list[tuple[Any, list[Call]]] = []  # sources with the same sentences share them
            for i, name in enumerate(work.names):
                own = next((c for same, c in calls if same == rows[name]), None)
                if own is None:
                    own = [call_of(model, module, batch) for batch in batches[name]]
                    calls.append((rows[name], own))
                put(module, unit, {job.name: of_source(job, i) for job in inside})
                with gathered(module, unit) as sums:
                    for args, kwargs in own:
                        module(*args, **kwargs)
                for weight, gram in means(sums).items():
                    found[name][weight] = gram.cpu().numpy()
            module.load_state_dict(before)
            put(module, unit, merged(recipe, inside, work.names, found))
            if on_progress:
                on_progress(number + 1, len(units), unit)
    return found


def merged(
    recipe: Recipe,
    inside: list[TensorJob],
    names: tuple[str, ...],
    grams: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Merge the weights of one layer that have a Gram matrix, as the engine will do again."""
    chosen = [job for job in inside if job.how == "method" and job.name in grams[names[0]]]
    plain = replace(recipe, include=(), exclude=(), heads="merge", embeddings="merge")
    sources = {name: {job.name: of_source(job, i) for job in chosen} for i, name in enumerate(names)}
    return merge_arrays(plain, sources, statistics=grams) if chosen else {}


def units_of(model: torch.nn.Module, row: Sequence[Sequence[int]]) -> list[str]:
    """Return the names of the transformer layers, and of the linear layers outside them, in the order of their calls."""
    import torch

    blocks = [name for name, _ in model.named_modules() if BLOCK.search(name)]
    outer = [name for name in blocks if not any(name.startswith(f"{other}.") for other in blocks)]
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not any(name.startswith(f"{block}.") for block in outer)
    ]
    order: dict[str, None] = {}
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _module, _inputs, name=name: order.setdefault(name)
        )
        for name in (*outer, *linear)
    ]
    try:
        logits_of(model, row)
    finally:
        for handle in handles:
            handle.remove()
    return list(order)


def call_of(model: torch.nn.Module, module: torch.nn.Module, batch: Sequence[Sequence[int]]) -> Call:
    """Return the arguments that `module` is called with when the model reads the batch."""
    caught: list[Call] = []

    def catch(_module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.append((args, kwargs))
        raise Reached

    handle = module.register_forward_pre_hook(catch, with_kwargs=True)
    with suppress(Reached):
        logits_of(model, batch)
    handle.remove()
    return caught[0]


def of_source(job: TensorJob, i: int) -> np.ndarray:
    """Return tensor of source i in its shape."""
    return whole(job.inputs[i]).reshape(job.shape)


def put(module: torch.nn.Module, prefix: str, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors into the module's weights where the shapes agree (a head may have fewer labels)."""
    import torch

    state = module.state_dict()
    for name, array in tensors.items():
        target = state.get(name.removeprefix(f"{prefix}."))
        if target is not None and tuple(target.shape) == array.shape:
            target.copy_(torch.from_numpy(np.ascontiguousarray(array)))

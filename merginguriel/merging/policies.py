"""Policies: which tensors the method merges, and how the others are made.

Heads, embeddings and tensors named by pattern can be excluded from a merge. A tensor excluded by pattern is what
`excluded` of the recipe says; by default, as excluded embeddings, it comes from the base if the recipe names one, else it
is the weighted mean of the sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np

from merginguriel.errors import CheckpointError, UnavailableError, UsageError
from merginguriel.models.checkpoint import Checkpoint

from .recipe import Recipe, Source
from .registry import Method

LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")


def is_embedding(name: str, shape: tuple[int, ...], vocabulary: int | None) -> bool:
    """Return whether this tensor is the input embedding table: one row per token of the vocabulary."""
    parts = name.split(".")
    at_input = any("embed" in part or part == "wte" for part in parts)
    return len(shape) == 2 and shape[0] == vocabulary and at_input


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Return whether this is the weight of a dense layer inside the encoder: two dimensions, no lookup table."""
    return len(shape) == 2 and min(shape) > 1 and not any("embed" in part for part in name.split("."))


def layer_of(name: str, names: Iterable[str]) -> tuple[int, int]:
    """Return the number of the tensor's transformer layer and the number of layers; −1 before the first, `layers` after the last."""
    return layers_of(tuple(names))[name]


@cache
def layers_of(names: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Return `layer_of` of every tensor; cached, because every block needs it."""
    numbers = {name: int(found[1]) for name in names if (found := LAYER.search(name))}
    layers = max(numbers.values(), default=-1) + 1

    def outside(name: str) -> int:
        return -1 if any("embed" in part or part in ("wte", "wpe") for part in name.split(".")) else layers

    return {name: (numbers[name] if name in numbers else outside(name), layers) for name in names}


def coefficient(source: Source, name: str, layer: tuple[int, int]) -> float:
    """Return the source's coefficient for a tensor: under its name, else that of its layer, else `all`.

    layer  as layer_of gives it. Raises UsageError if there is none.
    """
    for key in (name, layer_name(*layer), "all"):
        if key in source.coefficients:
            return float(source.coefficients[key])
    raise UsageError(
        f"{source.name} has no coefficient for {name}.",
        hint=f"Name one in the recipe's `coefficients`: for the tensor, for {layer_name(*layer)!r}, or for 'all'.",
    )


def layer_name(layer: int, layers: int) -> str:
    """Return the name of a layer: `embeddings`, `layer 0` …, `head`."""
    return "embeddings" if layer < 0 else f"layer {layer}" if layer < layers else "head"


def handling(
    recipe: Recipe,
    method: Method,
    name: str,
    shape: tuple[int, ...],
    *,
    vocabulary: int | None,
    head: bool,
    based: bool,
) -> str:
    """Return how this tensor is made: `method`, `mean`, `base`, `fresh` or `source:NAME`.

    vocabulary  number of tokens, to know the table of embeddings
    head        it has one row per label
    based       the base has it too
    """
    aside = "base" if based else "mean"
    heads = method.heads if recipe.heads in ("auto", "common") else recipe.heads
    if head and heads == "average":
        return "mean"
    if head and heads != "merge":
        if recipe.heads == "base" and not based:
            raise UsageError(
                f"heads: base, but the base has no {name}.",
                hint="Leave heads at merge, or take fresh or source:NAME.",
            )
        return recipe.heads
    if not selected(recipe, name):
        return left_out(recipe) or aside
    if is_embedding(name, shape, vocabulary) and recipe.embeddings == "base":
        return aside
    if method.needs_base and not based:
        # Without a base there is no task vector. The sources' mean is the same for every method.
        return "mean"
    if method.matrices and not is_matrix(name, shape):
        return "mean"
    return "method"


def left_out(recipe: Recipe) -> str:
    """Return how tensors are made that the patterns leave out: `base`, `mean` or `source:NAME`; empty for the default."""
    if recipe.excluded == "best":
        return f"source:{max(recipe.sources, key=lambda source: source.weight).name}"
    return "" if recipe.excluded == "auto" else recipe.excluded


def selected(recipe: Recipe, name: str) -> bool:
    """Return whether the recipe's patterns let the method merge this tensor; `*` matches any part of a name."""
    wanted = not recipe.include or any(fnmatchcase(name, pattern) for pattern in recipe.include)
    return wanted and not any(fnmatchcase(name, pattern) for pattern in recipe.exclude)


def check_patterns(recipe: Recipe, names: Iterable[str]) -> None:
    """Raise UsageError for a pattern that matches no tensor, which would otherwise go unnoticed."""
    known = list(names)
    for pattern in (*recipe.include, *recipe.exclude, *recipe.tensor_weights):
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UsageError(
                f"the pattern {pattern!r} matches no tensor.",
                hint=f"`*` matches any part of a name; the first tensors are: {', '.join(known[:3])}.",
            )


def used_rows(text: Path, checkpoint: Checkpoint) -> np.ndarray:
    """Return which tokens of the vocabulary the text uses: bool [vocabulary]. Special tokens count as used.

    text  a UTF-8 file, one sentence a line. Raises CheckpointError, UsageError, UnavailableError.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UnavailableError(
            "reading a tokenizer needs the package tokenizers.", hint="pip install 'merginguriel[lab]'"
        ) from error
    path = checkpoint.tokenizer_folder / "tokenizer.json"
    if not path.is_file() or checkpoint.vocabulary is None:
        raise CheckpointError(
            "`embeddings: used` needs tokenizer.json and vocab_size.",
            where=str(checkpoint.tokenizer_folder),
            hint="Save the model's fast tokenizer beside it with save_pretrained.",
        )
    try:
        lines = text.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"the text cannot be read: {error}", where=str(text)) from error
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    used = np.zeros(checkpoint.vocabulary, bool)
    for found in tokenizer.encode_batch([line for line in lines if line.strip()]):
        if max(found.ids, default=0) >= used.size:
            raise CheckpointError(
                f"the tokenizer gives token {max(found.ids)}, but the vocabulary has {used.size}.",
                where=str(path),
                hint="This is the tokenizer of another model: put the right one beside the weights.",
            )
        used[found.ids] = True
    used[[i for i in tokenizer.get_added_tokens_decoder() if i < used.size]] = True
    return used

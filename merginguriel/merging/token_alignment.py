"""Alignment of embeddings by token, for models whose vocabularies differ in added tokens, ids or padding.

Each model is replaced by a view whose vocabulary tensors (embeddings, output layer, its bias) have one row per token of
the output. A token that a source lacks has the base's row there, else the weighted mean of the sources that have it, so
that it adds nothing to the merge. A token that the base lacks has that mean in every model: its task vectors are zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from merginguriel.errors import IncompatibleError, UsageError, warn
from merginguriel.models import tokenizer_files
from merginguriel.models.adapters import LowRank
from merginguriel.models.checkpoint import Checkpoint, TensorInfo, map_tensor, to_float32
from merginguriel.models.tokens import Tokens, read_tokens, rebuilt

from .compatibility import listing, name_in_base
from .encoder_checks import BY_TOKEN
from .recipe import Recipe
from .sentence_models import modules_of
from .tensor_reader import Rows

# Parts of the names of tensors with one row per token, beside those that contain `embed`.
OUTPUT_WORDS = frozenset({"lm_head", "predictions", "vocab_projector", "wte", "shared", "generator_lm_head"})
OTHER_TABLES = ("position", "token_type", "rel_embed")  # embeddings of something else


@dataclass(frozen=True)
class Vocabulary:
    """Vocabulary of the output. size: rows of its embeddings; tokens: of its tokenizer."""

    size: int
    tokens: Tokens


@dataclass(frozen=True)
class Models:
    """Models with one vocabulary; vocabulary is None if nothing had to be aligned."""

    sources: list[tuple[str, Checkpoint]]
    base: Checkpoint | None
    vocabulary: Vocabulary | None = None


def align_vocabularies(
    recipe: Recipe, sources: Sequence[tuple[str, Checkpoint]], base: Checkpoint | None
) -> Models:
    """Return the models with one vocabulary, as the recipe's `vocab` says.

    Without `vocab` only padding is aligned: rows of the embeddings after the last token of a shared tokenizer.

    Raises:
        IncompatibleError: The vocabularies differ in more than `vocab` can align.
        UsageError: The recipe uses something that is counted by the rows of one source.
    """
    everyone = [*sources, *([("the base", base)] if base else [])]
    rows = [model.embedding_rows for _, model in everyone]
    if recipe.vocab is None and len(set(rows)) < 2:
        return Models(list(sources), base)
    lacking = [name for name, model in everyone if not model.tokenizer]
    if recipe.vocab is not None and (lacking or None in rows):
        name = (lacking or [name for (name, _), n in zip(everyone, rows, strict=True) if n is None])[0]
        raise IncompatibleError(
            f"--vocab needs the tokenizer and vocab_size of every model, and {name} has none."
        )
    if lacking or None in rows:
        return Models(list(sources), base)  # compared by the checks that follow
    for (_, model), count in zip(everyone, rows, strict=True):
        tokenizer_files.check_rows(
            model.tokenizer_folder, tokenizer_files.token_count(model.tokenizer_folder), count
        )
    tables = [read_tokens(model.tokenizer_folder) for _, model in everyone]
    counts = [int(n) for n in rows if n is not None]
    if recipe.vocab is None:
        at, tokens, size = padding(everyone, tables, counts)
    else:
        at, tokens, size = output_tokens(recipe.vocab, everyone, tables, counts, len(sources))
    counted = recipe.method != "regmean" and any(source.statistics for source in recipe.sources)
    if recipe.embeddings == "used" or counted:
        raise UsageError(
            f"{recipe.method if counted else 'embeddings: used'} counts the rows of one vocabulary, and these models differ.",
            hint="Use another method, and leave --embeddings at merge.",
        )
    for (name, model), table in zip(everyone, tables, strict=True):
        if table.ids != tokens.ids and any(one.kind == "FamilyHeads" for one in modules_of(model)):
            raise IncompatibleError(
                f"{name} has family heads, which know the script of each token of its own vocabulary.",
                hint="Merge models with family heads that have one vocabulary.",
            )
    index = [rows_of(table, count, tokens, size) for table, count in zip(tables, counts, strict=True)]
    views = [view(model, everyone[at][1], tables[at], tokens, size) for _, model in everyone]
    weights = np.array([abs(s.weight) for s in sorted(recipe.sources, key=lambda s: s.name)], np.float32)
    models = with_rows(
        [model for _, model in everyone], views, index, counts, base is not None, weights, size
    )
    named = [(name, model) for (name, _), model in zip(sources, models, strict=False)]
    return Models(named, models[-1] if base else None, Vocabulary(size, tokens))


def of_tokens(name: str) -> bool:
    """Return whether a tensor of this name may have one row per token."""
    parts = name.split(".")
    named = OUTPUT_WORDS.intersection(parts) or any("embed" in part for part in parts)
    return bool(named) and not any(word in part for part in parts for word in OTHER_TABLES)


def padding(
    models: Sequence[tuple[str, Checkpoint]], tables: Sequence[Tokens], counts: Sequence[int]
) -> tuple[int, Tokens, int]:
    """Return the model with the fewest rows, its tokens and its rows, if only padding differs."""
    for (name, _), table in zip(models[1:], tables[1:], strict=True):
        if table.ids != tables[0].ids:
            raise IncompatibleError(
                f"{models[0][0]} and {name} cannot be merged: their vocabularies differ.",
                hint=f"{difference(models[0][0], tables[0], name, table)}\n{BY_TOKEN}",
            )
    at = int(np.argmin(counts))
    return at, tables[at], counts[at]


def output_tokens(
    policy: str,
    models: Sequence[tuple[str, Checkpoint]],
    tables: Sequence[Tokens],
    counts: Sequence[int],
    sources: int,
) -> tuple[int, Tokens, int]:
    """Return which model's tokenizer the output is built on, the output's tokens, and its rows.

    Raises:
        IncompatibleError: No tokenizer can be written for these tokens.
    """
    if policy == "base":
        return len(models) - 1, tables[-1], counts[-1]
    sets = [set(table.ids) for table in tables[:sources]]
    wanted = set.intersection(*sets) if policy == "common" else set.union(*sets)
    left_out = set.union(*sets) - wanted
    if left_out:
        warn(f"--vocab common leaves out {len(left_out)} tokens: {listing(left_out)}.")
    for at, own in enumerate(sets):
        if own == wanted:
            return at, tables[at], counts[at]
    for (name, _), table in zip(models[1:sources], tables[1:], strict=False):
        if table.core.keys() != tables[0].core.keys():
            raise IncompatibleError(
                f"the vocabularies of {models[0][0]} and {name} differ in more than added tokens.",
                hint=f"{difference(models[0][0], tables[0], name, table)}\n"
                "No tokenizer can be written for them; the base's can be taken: --vocab base --pretrained FOLDER",
            )
    built = rebuilt(tables[:sources], wanted)
    return 0, built, max(built.ids.values()) + 1


def difference(name: str, one: Tokens, other: str, two: Tokens) -> str:
    """Describe how two vocabularies differ."""
    parts = [
        f"missing in {holder}: {listing(missing)}"
        for holder, missing in (
            (other, one.ids.keys() - two.ids.keys()),
            (name, two.ids.keys() - one.ids.keys()),
        )
        if missing
    ]
    moved = sum(two.ids.get(token, i) != i for token, i in one.ids.items())
    if moved:
        parts.append(f"tokens with another id: {moved:,}")
    return "; ".join(parts) + "."


def rows_of(table: Tokens, count: int, tokens: Tokens, size: int) -> np.ndarray:
    """Return the row of a model for each row of the output, −1 where it lacks the token: int64 [size].

    Rows without a token (padding) are taken by number from models with the output's tokenizer.
    """
    if count >= size and table.ids == tokens.ids:
        return np.arange(size)
    index = np.full(size, -1)
    for token, row in tokens.ids.items():
        if row < size:
            index[row] = table.ids.get(token, -1)
    return np.where(index < count, index, -1)


def view(model: Checkpoint, template: Checkpoint, old: Tokens, new: Tokens, size: int) -> Checkpoint:
    """Return the model with the output's vocabulary in its config; special tokens have the template's ids, as in `new`."""
    by_id = {i: token for token, i in old.ids.items()}

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(one) for one in value]
        return new.ids.get(by_id.get(value, ""), value) if type(value) is int else value

    def table(own: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for key, value in own.items():
            if key == "vocab_size":
                changed[key] = size
            elif key.endswith("_token_id"):
                changed[key] = moved(theirs.get(key, value))
            elif isinstance(value, dict):
                inner = theirs.get(key)
                changed[key] = table(value, inner if isinstance(inner, dict) else {})
        return {**own, **changed}

    config = table(model.config, template.config)
    return replace(
        model,
        config=config,
        vocabulary=size,
        tokenizer=template.tokenizer,
        tokenizer_folder=template.tokenizer_folder,
    )


def with_rows(
    models: Sequence[Checkpoint],
    views: Sequence[Checkpoint],
    index: Sequence[np.ndarray],
    counts: Sequence[int],
    based: bool,
    weights: np.ndarray,
    size: int,
) -> list[Checkpoint]:
    """Return the views with their vocabulary tensors in the order of the output's tokens.

    Args:
        models: Sources, then the base if `based`.
        views: The same models with the output's config.
        index: Per model, as `rows_of` returns it.
        counts: Per model, rows of its embeddings.
        based: The last model is the base.
        weights: Of the sources [k].
        size: Rows of the output.
    """
    sources = len(models) - based
    tensors = [dict(model.tensors) for model in models]
    for name, info in models[0].tensors.items():
        if not (info.shape and info.shape[0] == counts[0] and of_tokens(name)):
            continue
        names = [name] * sources
        if based and (found := name_in_base(name, models[-1])) is not None:
            names.append(found)
        known = [model.tensors.get(own) for model, own in zip(models, names, strict=False)]
        infos = [one for one, n in zip(known, counts, strict=False) if one and one.shape[:1] == (n,)]
        if len(infos) < len(names):
            continue  # a tensor that some model lacks, which the checks that follow report
        aligned = aligned_rows(name, infos, index, len(names) > sources, weights, size)
        for table, own, rows in zip(tensors, names, aligned, strict=False):
            table[own] = rows
    return [replace(model, tensors=table) for model, table in zip(views, tensors, strict=True)]


def aligned_rows(
    name: str,
    infos: Sequence[TensorInfo],
    index: Sequence[np.ndarray],
    based: bool,
    weights: np.ndarray,
    size: int,
) -> list[TensorInfo]:
    """Return one vocabulary tensor of each model in the order of the output's tokens; see the module's docstring."""
    sources = len(infos) - based
    own = [one.copy() for one in index[: len(infos)]]
    present = np.stack(own[:sources]) >= 0
    in_base = own[-1] >= 0 if based else np.zeros(size, bool)
    by_mean = ~(in_base if based else np.logical_and.reduce(present, axis=0))
    if not present[:, by_mean].any(axis=0).all():
        raise IncompatibleError(
            f"{name} has no row for some tokens of the base, in the base or in any source.",
            hint="Use: --vocab union",
        )
    means = mean_rows(infos[:sources], [one[by_mean] for one in own[:sources]], weights)
    if based:
        for rows in own:
            rows[by_mean] = -1
    width = means.shape[1]
    made: list[TensorInfo] = []
    for info, rows in zip(infos, own, strict=True):
        absent = np.flatnonzero(rows < 0)
        filled = np.empty((absent.size, width), np.float32)
        averaged = by_mean[absent]
        filled[averaged] = means[np.cumsum(by_mean)[absent[averaged]] - 1]
        if not averaged.all():
            filled[~averaged] = rows_from(infos[-1], own[-1][absent[~averaged]])
        made.append(in_order(info, rows, filled, size))
    return made


def mean_rows(infos: Sequence[TensorInfo], rows: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the models that have a row, float32 [n, width].

    Args:
        infos: One tensor of each model.
        rows: Per model, its row for each row of the result, −1 where it has none: [n].
        weights: Of the models [k]; where those that have a row have the weight 0, they count the same.
    """
    width = int(np.prod(infos[0].shape[1:], dtype=np.int64))
    there = np.stack(rows) >= 0
    factors = np.where(np.equal(weights @ there, 0), 1, weights[:, None]) * there
    factors /= factors.sum(axis=0)
    total = np.zeros((there.shape[1], width), np.float32)
    for info, own, has, factor in zip(infos, rows, there, factors, strict=True):
        total[has] += factor[has, None].astype(np.float32) * rows_from(info, own[has])
    return total


def in_order(info: TensorInfo, rows: np.ndarray, filled: np.ndarray, size: int) -> TensorInfo:
    """Return a tensor with these rows; the tensor itself if they are its own in order."""
    if info.shape[0] == size and np.array_equal(rows, np.arange(size)):
        return info
    digest = hashlib.sha256(rows.tobytes() + filled.tobytes()).hexdigest()
    shape = (size, *info.shape[1:])
    return Rows(
        info.dtype, shape, info.file, info.start, info.end,
        under=info, index=rows, absent=np.flatnonzero(rows < 0), filled=filled, key=digest,
    )  # fmt: skip


def rows_from(info: TensorInfo, rows: np.ndarray) -> np.ndarray:
    """Return these rows of a tensor as float32 [len(rows), width]."""
    under = info.under if isinstance(info, LowRank) else info
    width = int(np.prod(info.shape[1:], dtype=np.int64))
    found = to_float32(map_tensor(under).reshape(-1, width)[rows], under.dtype)
    return found + info.left[rows] @ info.right if isinstance(info, LowRank) else found

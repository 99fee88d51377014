"""Checks that models can be merged, and alignment of their heads by label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from merginguriel.errors import IncompatibleError, warn
from merginguriel.models.checkpoint import FLOATS, HEAD_WORDS, Checkpoint, is_head

from .encoder_checks import SAME_BASE, check_encoder, refusal
from .policies import LAYER
from .registry import Method
from .shared_tensors import same_tensors

BASE_HINT = (
    "Write a base with the sources' head with: mu base --task TASK --base MODEL\n"
    "Task vectors need the pretrained base."
)
NAME_THEM = "If LABEL_0, LABEL_1 … are the same classes in this order, name them in id2label of config.json."
UNNAMED = (
    "the labels have no names (LABEL_0, LABEL_1 …): rows of the heads are merged by number. If number 0 is another class "
    "in one of the models, the merged head means nothing. Name the classes in id2label of each config.json."
)
# Tensors that fine-tuning adds: the head, and the pooler in front of it.
ADDED = HEAD_WORDS | {"pooler", "pre_classifier"}


@dataclass(frozen=True)
class Aligned:
    """Compatible models: name and checkpoint of each source, the base if needed, and alignment.

    labels      of the output, by index
    head        names of the tensors with one row per label
    rows        per model (sources, then base): its row for each label of the output, None if in the same order
    dtypes      of the output, by tensor: that of the sources, F32 where they differ
    base_names  what the base calls a tensor; a tensor that the base lacks is missing
    """

    sources: tuple[tuple[str, Checkpoint], ...]
    base: Checkpoint | None
    labels: tuple[str, ...] | None
    head: frozenset[str]
    rows: tuple[np.ndarray | None, ...]
    dtypes: dict[str, str]
    base_names: dict[str, str]

    @property
    def models(self) -> list[tuple[str, Checkpoint]]:
        """Return the sources in order, then the base."""
        return [*self.sources, *([("base", self.base)] if self.base else [])]


def align(
    method: Method,
    sources: Sequence[tuple[str, Checkpoint]],
    base: Checkpoint | None,
    *,
    heads: str = "auto",
) -> Aligned:
    """Check that `method` can merge the models. Raises IncompatibleError saying which two disagree, on what.

    sources  name and checkpoint; the output has the label order of the first
    base     the pretrained model, with the sources' head or without any
    heads    as in a recipe. `common`, `base` and `source:NAME` say which labels the output has; otherwise
             sources with different label sets are refused
    """
    same_labels = heads in ("auto", "merge", "average", "fresh")
    sources, base = same_tensors(sources, base)
    for other in sources[1:]:
        check_pair(sources[0], other, labels=same_labels)
    if method.needs_base and base is None:
        raise IncompatibleError(f"{method.name} needs the pretrained base.", hint=BASE_HINT)
    first = sources[0][1]
    labels = labels_of_output(sources, base, heads)
    head = head_tensors(first)
    by_label = heads in ("auto", "merge", "average", "common")
    if head and len(sources) > 1 and by_label and all(unnamed(model.labels) for _, model in sources):
        warn(UNNAMED)
    if heads not in ("auto", "merge", "average") and not head:
        raise IncompatibleError(
            f"heads: {heads}, but no tensor of {sources[0][0]} can be recognised as its head.",
            where=str(first.path),
            hint="A head has one row per label of the config and is called classifier, out_proj or score.",
        )
    for name, checkpoint in sources[1:]:
        if head_tensors(checkpoint) != head:
            raise IncompatibleError(
                f"the head of {name} has not one row for each of its labels.", where=str(checkpoint.path)
            )
    base_names = check_base(sources, base, head, labels, heads) if base else {}
    with_head = base is not None and bool(head & base_names.keys())
    rows = tuple(row_order(labels, model.labels) for _, model in sources)
    if base:
        rows = (*rows, row_order(labels, base.labels) if with_head else None)
    if not head and any(order is not None for order in rows):
        raise IncompatibleError(
            "the labels are in different orders, and no tensor can be recognised as the head.",
            where=str(first.path),
            hint="Train the sources with one label order, so that nothing must be moved.",
        )
    dtypes = {}
    for name, info in first.tensors.items():
        found = {checkpoint.tensors[name].dtype for _, checkpoint in sources}
        dtypes[name] = info.dtype if len(found) == 1 else "F32"
        if len(found) > 1 and not found <= set(FLOATS):
            kinds = ", ".join(
                f"{checkpoint.tensors[name].dtype} in {source}" for source, checkpoint in sources
            )
            raise IncompatibleError(f"tensor {name} is of different kinds: {kinds}.")
    return Aligned(tuple(sources), base, labels, head, rows, dtypes, base_names)


def head_tensors(checkpoint: Checkpoint) -> frozenset[str]:
    """Return the names of the tensors with one row per label."""
    # A config that names no labels has two: transformers leaves its default out.
    count = len(checkpoint.labels) if checkpoint.labels else 2
    return frozenset(name for name, info in checkpoint.tensors.items() if is_head(name, info.shape, count))


def unnamed(labels: tuple[str, ...] | None) -> bool:
    """Return whether labels are numbers only (LABEL_0, LABEL_1 …), as transformers calls those that nobody named."""
    return labels is None or (
        len(labels) > 1 and all(label == f"LABEL_{i}" for i, label in enumerate(labels))
    )


def labels_of_output(
    sources: Sequence[tuple[str, Checkpoint]], base: Checkpoint | None, heads: str
) -> tuple[str, ...] | None:
    """Return the labels of the output by index, by the recipe's `heads`; None if the models name none."""
    if heads == "common":
        return shared_labels(sources)
    if heads == "base" and base is not None:
        return base.labels
    return dict(sources)[heads.partition(":")[2]].labels if ":" in heads else sources[0][1].labels


def shared_labels(sources: Sequence[tuple[str, Checkpoint]]) -> tuple[str, ...]:
    """Return the labels that all sources have, in the order of the first. Raises IncompatibleError if there are none."""
    unnamed = [name for name, checkpoint in sources if checkpoint.labels is None]
    if unnamed:
        raise IncompatibleError(f"{unnamed[0]} names no labels (id2label), so none can be shared.")
    sets = [set(checkpoint.labels or ()) for _, checkpoint in sources]
    shared = tuple(label for label in sources[0][1].labels or () if all(label in other for other in sets))
    if not shared:
        raise IncompatibleError("the sources have no label in common.", hint="They cannot share a head.")
    return shared


def check_pair(a: tuple[str, Checkpoint], b: tuple[str, Checkpoint], *, labels: bool = True) -> None:
    """Raise IncompatibleError unless architecture, settings, vocabulary, labels, tensor names and shapes agree.

    labels  False: the label sets may differ, and with them the number of rows in a head
    """
    (name, one), (other, two) = a, b
    if one.architecture != two.architecture:
        raise refusal(
            name,
            other,
            "their architectures differ.",
            f"{name} is a {one.architecture}, {other} a {two.architecture}.",
        )
    check_encoder(a, b)
    why = label_difference(name, one.labels, other, two.labels) if labels else None
    if why:
        raise refusal(
            name,
            other,
            "their heads disagree.",
            f"{why}\nTrain both on the same label set, or merge the labels they share: --heads common"
            + (f"\n{NAME_THEM}" if unnamed(one.labels) != unnamed(two.labels) else ""),
        )
    if why := tensor_difference(name, one, other, two, heads=labels):
        raise refusal(name, other, "their tensors differ.", f"{why}\n{SAME_BASE}")


def check_base(
    sources: Sequence[tuple[str, Checkpoint]],
    base: Checkpoint,
    head: frozenset[str],
    labels: tuple[str, ...] | None,
    heads: str,
) -> dict[str, str]:
    """Return the base's name of each tensor; check that the base is none of the sources and has their architecture.

    A bare encoder or a masked language model is accepted as a base: names may lack the prefix of the encoder, and
    the head may be missing. A head that is present and used must have the labels of the output.
    """
    name, first = sources[0]
    for source, checkpoint in sources:
        # Task vectors against a source instead of the base invalidated a whole series of results once.
        if checkpoint.path.resolve() == base.path.resolve():
            raise IncompatibleError(
                f"the base is also the source {source}.", where=str(base.path), hint=BASE_HINT
            )
    check_encoder(sources[0], ("the base", base), head=False)
    names = {tensor: found for tensor in first.tensors if (found := name_in_base(tensor, base))}
    lacking = {t for t in first.tensors if t not in names and not may_be_added(t, names)}
    if lacking:
        raise IncompatibleError(
            f"the base lacks {listing(lacking)}.", where=str(base.path), hint=f"{BASE_HINT}\n{SAME_BASE}"
        )
    if heads == "fresh" or heads.startswith("source:"):
        names = {tensor: found for tensor, found in names.items() if tensor not in head}
    why = label_difference(name, labels, "the base", base.labels)
    if heads == "common" and set(labels or ()) <= set(base.labels or ()):
        why = None
    if head & names.keys() and why:
        raise IncompatibleError(
            "the head of the base has other labels.", where=str(base.path), hint=f"{why}\n{BASE_HINT}"
        )
    for tensor, found in names.items():
        ours, theirs = first.tensors[tensor].shape, base.tensors[found].shape
        if ours != theirs and not (tensor in head and ours[1:] == theirs[1:] and heads in ("base", "common")):
            raise IncompatibleError(
                f"{tensor} is {list(ours)} in {name}, {list(theirs)} in the base.",
                where=str(base.path),
                hint=f"{BASE_HINT}\n{SAME_BASE}",
            )
    return names


def may_be_added(tensor: str, names: Iterable[str]) -> bool:
    """Return whether a base may lack this tensor: training adds a head, a pooler, modules or `lm_head`, but no layer.

    names  the tensors that the base has
    """
    if "/" in tensor:  # of a module of sentence-transformers
        return True
    parts = tensor.split(".")
    if LAYER.search(tensor) or any("embed" in part for part in parts):
        return False
    whole_part = len(parts) > 1 and all(name.partition(".")[0] != parts[0] for name in names)
    return whole_part or bool(ADDED.intersection(parts))


def name_in_base(tensor: str, base: Checkpoint) -> str | None:
    """Return the base's name of a tensor: `bert.encoder.x` may be `encoder.x` there, or the reverse; None if missing."""
    if tensor in base.tensors:
        return tensor
    without = tensor.partition(".")[2]
    if "." in without and without in base.tensors:
        return without
    prefixes = {name.partition(".")[0] for name in base.tensors}
    longer = [f"{prefix}.{tensor}" for prefix in sorted(prefixes) if f"{prefix}.{tensor}" in base.tensors]
    return longer[0] if longer else None


def label_difference(
    name: str, one: tuple[str, ...] | None, other: str, two: tuple[str, ...] | None
) -> str | None:
    """Describe how two label sets differ; None if they hold the same names in any order."""
    if one is None or two is None:
        unnamed, named = (name, other) if one is None else (other, name)
        return None if one == two else f"{named} names its labels (id2label), {unnamed} does not."
    if set(one) == set(two):
        return None
    parts = [f"{name} has {len(one)} labels, {other} has {len(two)}"]
    for holder, missing in ((other, set(one) - set(two)), (name, set(two) - set(one))):
        if missing:
            parts.append(f"missing in {holder}: {listing(missing)}")
    return "; ".join(parts) + "."


def tensor_difference(
    name: str, one: Checkpoint, other: str, two: Checkpoint, *, heads: bool = True
) -> str | None:
    """Describe how the tensors of two checkpoints differ in name or shape; None if they do not.

    heads  False: a tensor with one row per label may have another number of rows
    """
    parts = [
        f"missing in {holder}: {listing(missing)}"
        for holder, missing in (
            (other, set(one.tensors) - set(two.tensors)),
            (name, set(two.tensors) - set(one.tensors)),
        )
        if missing
    ]
    for tensor, info in one.tensors.items():
        shape = two.tensors[tensor].shape if tensor in two.tensors else info.shape
        in_head = not heads and is_head(tensor, info.shape, len(one.labels or ()))
        if shape != info.shape and not (in_head and shape[1:] == info.shape[1:]):
            parts.append(f"{tensor} is {list(info.shape)} in {name}, {list(shape)} in {other}")
            break
    return "; ".join(parts) + "." if parts else None


def row_order(wanted: tuple[str, ...] | None, present: tuple[str, ...] | None) -> np.ndarray | None:
    """Return the index in `present` of each label in `wanted`; None if the order is equal or a label is missing.

    With a missing label this model's head is not read.
    """
    if wanted is None or present is None or wanted == present or not set(wanted) <= set(present):
        return None
    return np.array([present.index(label) for label in wanted])


def listing(names: set[str], most: int = 5) -> str:
    """Return the first few of `names` and the number of the others."""
    ordered = sorted(names)
    rest = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + rest

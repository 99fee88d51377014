"""Base models that LoRA adapters name: where they are, and whether adapters and a given base belong together.

peft records the base by name only (`base_model_name_or_path`, `revision`). Where both folders exist, their weights decide.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from merginguriel.errors import CheckpointError, IncompatibleError, UsageError, warn

from . import build_record
from .adapters import ADAPTER, CONFIG, PREFIX, name_in
from .checkpoint import (
    FLOATS,
    HEAD_WORDS,
    Checkpoint,
    TensorInfo,
    from_float32,
    map_tensor,
    read_header,
    read_json,
    to_float32,
)
from .sentence_transformer import body_of, is_sentence_transformer, open_model

RECORD = "base.yaml"  # written by `mu base` beside the model, see models/base_models.py
# Parts of a name of tensors that two forms of one base may have with different values: its heads.
HEADS = HEAD_WORDS | {"cls", "lm_head", "qa_outputs", "pre_classifier"}
HEADED = {  # task types of peft whose models have a head that the adapter saves
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
}
BLOCK = 1 << 20


@dataclass(frozen=True)
class NamedBase:
    """Base model that an adapter names. folder: where it is on this machine; None if it is not available."""

    name: str
    revision: str | None
    folder: Path | None


def named_base(adapter: Path) -> NamedBase | None:
    """Return the base that the adapter's config names; None if it names none."""
    config = read_json(adapter / CONFIG, "Save the adapter again with save_pretrained.")
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(name, str) or not name:
        return None
    revision = revision if isinstance(revision, str) and revision else None
    return NamedBase(name, revision, available(name, revision))


def available(name: str, revision: str | None) -> Path | None:
    """Return the folder of a base model: a path, or a snapshot in the cache of the hub. Never downloads."""
    folder = Path(name).expanduser()
    try:
        if (folder / "config.json").is_file() or is_sentence_transformer(folder):
            return folder
    except OSError:
        return None
    if not is_hub_id(name):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except (HFValidationError, ValueError):
        return None
    return Path(found).parent if isinstance(found, str) else None


def is_hub_id(name: str) -> bool:
    """Return whether the name may be a model on the hub: `xlm-roberta-base`, `FacebookAI/xlm-roberta-base`."""
    return not name.startswith((".", "/", "~")) and "\\" not in name and name.count("/") < 2


def base_for(adapters: Mapping[str, Path], given: Path | None) -> Path:
    """Return the base of all adapters: `given`, or the one that they name; warn where it cannot be verified.

    Args:
        adapters: Name of a source → its folder.
        given: Base that the recipe names.

    Raises:
        IncompatibleError: Two adapters were trained on different bases, or on another one than `given`.
        UsageError: No base is given, and the one that the adapters name is not available.
    """
    named = {source: base for source, path in adapters.items() if (base := named_base(path))}
    check_one_base(named)
    first = next(iter(adapters))
    folder = next((base.folder for base in named.values() if base.folder), None)
    if given is None:
        if folder is None:
            which = f", {named[first].name}, which is not available here" if first in named else ""
            raise UsageError(
                f"{first} is a LoRA adapter and needs the base that it was trained on{which}.",
                hint="Name it with: --pretrained FOLDER, or as `base` in the recipe",
            )
        announce(first, folder)
        return folder
    for source, base in named.items():
        check_given(source, base, given)
    return given


def announce(source: str, folder: Path) -> None:
    """Report that the base named by an adapter is used."""
    warn(f"the base is {folder}, which the adapter {source} names.")


def check_one_base(named: Mapping[str, NamedBase]) -> None:
    """Raise IncompatibleError unless all adapters were trained on one base."""
    for source, base in list(named.items())[1:]:
        first = next(iter(named))
        if not one_base(named[first], base):
            revisions = [
                f" (revision {one.revision})" if one.revision else "" for one in (named[first], base)
            ]
            raise IncompatibleError(
                f"{first} and {source} cannot be merged: their adapters were trained on different bases.",
                hint=f"{first} names {named[first].name}{revisions[0]}, {source} names {base.name}{revisions[1]}.\n"
                f"If they are the same model, write its path into base_model_name_or_path of both {CONFIG}.",
            )


def one_base(one: NamedBase, two: NamedBase) -> bool:
    """Return whether two names mean one base: equal names and revisions, or folders with equal weights."""
    if one.folder and two.folder:
        return same_weights(one.folder, two.folder)
    names = [
        base.name.rpartition("/")[2] if is_hub_id(base.name) and "/" in base.name else base.name
        for base in (one, two)
    ]
    owners = {base.name.rpartition("/")[0] for base in (one, two) if is_hub_id(base.name)} - {""}
    revisions = {base.revision for base in (one, two)} - {None}
    return (one.name == two.name or (names[0] == names[1] and len(owners) < 2)) and len(revisions) < 2


def check_given(source: str, base: NamedBase, given: Path) -> None:
    """Raise IncompatibleError if `given` is another base than the adapter names; warn if that cannot be decided."""
    if base.folder:
        if same_weights(base.folder, given):
            return
    else:
        known = names_of(given)
        short = base.name.rstrip("/").rpartition("/")[2]
        if any(short == name.rstrip("/").rpartition("/")[2] for name in (given.name, *known)):
            return
        if not (is_hub_id(base.name) and any(map(is_hub_id, known))):
            warn(
                f"the adapter {source} was trained on {base.name}, which is not available here: "
                f"{given} is used without a comparison of their weights."
            )
            return
    raise IncompatibleError(
        f"the adapter {source} was trained on {base.name}, and the given base is another model.",
        where=str(given),
        hint="Leave --pretrained out to use the base that the adapter names."
        if base.folder
        else f"Name the folder of {base.name} with: --pretrained FOLDER",
    )


def names_of(base: Path) -> list[str]:
    """Return what the base model in a folder was called where it came from, by its config and by `mu base`."""
    found = []
    with contextlib.suppress(OSError, ValueError, AttributeError):  # opening the base names the fault
        found.append(json.loads((base / "config.json").read_text(encoding="utf-8")).get("_name_or_path"))
    for folder in (base, base.parent / "pretrained"):
        if (folder / RECORD).is_file():
            made = build_record.read(folder / RECORD).get("made")
            found.append(made.get("source") if isinstance(made, dict) else None)
    return [name for name in found if isinstance(name, str) and name]


def same_weights(one: Path, two: Path) -> bool:
    """Return whether two folders hold one base model: equal values in every tensor of the encoder that both have.

    Heads may differ, and so may the prefix of names and the dtype.
    """
    if one.resolve() == two.resolve():
        return True
    first, second = (body_of(open_model(folder)) for folder in (one, two))
    compared = 0
    for name, info in first.tensors.items():
        found = name_in(second.tensors, name)
        found = found if found in second.tensors else name.partition(".")[2]
        other = second.tensors.get(found)
        if other is None or HEADS.intersection(name.split(".")) or info.dtype not in FLOATS:
            continue
        if other.shape != info.shape or not equal_values(info, other):
            return False
        compared += 1
    return compared > 0


def equal_values(one: TensorInfo, two: TensorInfo) -> bool:
    """Return whether two stored tensors of one shape have equal values, in the narrower of their dtypes."""
    a, b = map_tensor(one), map_tensor(two)
    for start in range(0, one.size, BLOCK):
        x, y = a[start : start + BLOCK], b[start : start + BLOCK]
        if one.dtype != two.dtype:
            narrow = min((one.dtype, two.dtype), key=lambda dtype: (dtype not in ("F16", "BF16"), dtype))
            x, y = (from_float32(to_float32(part, info.dtype), narrow) for part, info in ((x, one), (y, two)))
        if not np.array_equal(x, y):
            return False
    return True


def with_head(path: Path, base: Checkpoint) -> Checkpoint:
    """Return the base as the model with a head that the adapter was trained as; unchanged if it has that head.

    The architecture is the one of transformers for the base's config and the adapter's task; the head's tensors are those
    that the adapter saves.

    Raises:
        CheckpointError: transformers has no such architecture, or a tensor is in neither of the two.
    """
    config = read_json(path / CONFIG, "Save the adapter again with save_pretrained.")
    kind = HEADED.get(str(config.get("task_type")))
    if kind is None or not (path / ADAPTER).is_file():
        return base
    saved = {
        key.removeprefix(PREFIX).replace(".modules_to_save.", "."): info
        for key, info in read_header(path / ADAPTER).items()
        if ".lora_" not in key
    }
    heads = {name: info for name, info in saved.items() if HEAD_WORDS.intersection(name.split("."))}
    rows = [info.shape[0] for name, info in heads.items() if "dense" not in name.split(".") and info.shape]
    if not rows or all(
        base.tensors[n].shape == i.shape if n in base.tensors else False for n, i in heads.items()
    ):
        return base
    architecture, shapes = skeleton(kind, base, rows[-1])
    tensors = {}
    for name, shape in shapes.items():
        under = next(
            (n for n in (name_in(base.tensors, name), name.partition(".")[2]) if n in base.tensors), None
        )
        found = base.tensors[under] if under else None
        found = found if found is not None and found.shape == shape else saved.get(name)
        if found is None or found.shape != shape:
            raise CheckpointError(
                f"neither the adapter nor its base has {name} of shape {list(shape)}.",
                where=f"{path}, on {base.path}",
                hint="Merge the adapter into its base where it was trained: model.merge_and_unload().save_pretrained(FOLDER)",
            )
        tensors[name] = found
    named = base.labels if base.labels and len(base.labels) == rows[-1] else None
    labels = named or tuple(f"LABEL_{i}" for i in range(rows[-1]))
    table = {
        "architectures": [architecture],
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    return replace(
        base, tensors=tensors, architecture=architecture, labels=labels, config={**base.config, **table}
    )


def skeleton(kind: str, base: Checkpoint, labels: int) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Return class and shapes of the tensors of transformers' model with a head for the base's config. Needs torch."""
    import torch
    import transformers

    settings = {key: value for key, value in base.config.items() if key not in ("id2label", "label2id")}
    try:
        config = transformers.AutoConfig.for_model(**settings, num_labels=labels)
        with torch.device("meta"):
            model = getattr(transformers, kind).from_config(config)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the base has no head, and transformers has no {kind} for it.", where=str(base.path)
        ) from error
    shared = set(model.all_tied_weights_keys) if hasattr(model, "all_tied_weights_keys") else set()
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name not in shared}
    return type(model).__name__, shapes

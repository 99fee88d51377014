"""Comparison of the modules of SentenceTransformer sources, and the folder that their merge is written to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from merginguriel.errors import IncompatibleError, warn
from merginguriel.models.checkpoint import Checkpoint, read_json
from merginguriel.models.safetensors_writer import shard
from merginguriel.models.sentence_transformer import (
    OWN_CODE,
    OWN_MODULES,
    SAVE_AGAIN,
    TOP_FILES,
    TRANSFORMER_FILES,
    Module,
    SentenceModel,
    body_of,
    companions,
)

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
Write = Callable[[str, int, np.ndarray], None]  # tensor, first entry, entries in storage dtype
# Metadata of a model card that is true of a merge if it is true of every source.
USE_SETTINGS = ("max_seq_length", "prompts", "default_prompt_name", "similarity_fn_name", "activation_fn")
SHARED = ("language", "license", "library_name", "pipeline_tag", "base_model", "datasets", "tags")


def check_modules(sources: Sequence[tuple[str, Checkpoint]]) -> None:
    """Raise IncompatibleError unless all sources have the same modules and settings; warn about settings of use."""
    name, first = sources[0]
    for other, model in sources[1:]:
        one, two = modules_of(first), modules_of(model)
        if [m.kind for m in one] != [m.kind for m in two]:
            raise IncompatibleError(
                f"{name} and {other} cannot be merged: their modules differ.",
                hint=f"{name} has {listed(one)}, {other} has {listed(two)}.",
            )
        for ours, theirs in zip(one, two, strict=True):
            why = difference(name, ours, other, theirs)
            if why:
                raise IncompatibleError(
                    f"{name} and {other} cannot be merged: {why}",
                    hint="Sentence vectors that are computed in different ways have no common meaning.",
                )
        used, uses = use_settings(first), use_settings(model)
        for key in USE_SETTINGS:
            here, there = used.get(key), uses.get(key)
            if here != there and (key != "max_seq_length" or (here and there)):  # newer files do not have it
                warn(
                    f"{key} is {here!r} in {name}, {there!r} in {other}. The merged model has that of {name}."
                )


def use_settings(model: Checkpoint) -> dict[str, Any]:
    """Return the settings of a SentenceTransformer without the empty ones; none for any other model."""
    if not isinstance(model, SentenceModel):
        return {}
    files = [model.path / TOP_FILES[1], *model.body.path.glob(TRANSFORMER_FILES)]
    found = {k: v for path in files if path.is_file() for k, v in read_json(path, SAVE_AGAIN).items()}
    found["prompts"] = {k: v for k, v in (found.get("prompts") or {}).items() if v}
    return {key: value for key, value in found.items() if value}


def modules_of(model: Checkpoint) -> tuple[Module, ...]:
    """Return the modules of a SentenceTransformer; none for any other model."""
    return model.modules if isinstance(model, SentenceModel) else ()


def listed(modules: Sequence[Module]) -> str:
    """Return the types of the modules in order."""
    return " + ".join(one.kind for one in modules) or "no modules.json"


def difference(name: str, one: Module, other: str, two: Module) -> str | None:
    """Describe the first setting in which two modules of one type differ; None if there is none."""
    for key in sorted(one.settings.keys() | two.settings.keys()):
        ours, theirs = one.settings.get(key), two.settings.get(key)
        if ours != theirs:
            what = "pooling" if key == "pooling_mode" else f"{key} of {one.kind}"
            return f"{what} is {in_words(ours)} in {name}, {in_words(theirs)} in {other}."
    return None


def in_words(value: Any) -> str:
    """Return a setting as text: pooling modes joined by +."""
    return "+".join(value) if isinstance(value, tuple) else repr(value)


@contextmanager
def opened_files(folder: Path, layout: Layout, model: Checkpoint, size: int | None) -> Iterator[Write]:
    """Yield a function that writes blocks of tensors: the transformer's into its folder, each module's into its own.

    Args:
        folder: Of the output.
        layout: Tensor → dtype and shape, under the names of a Checkpoint.
        model: Whose folders the output has.
        size: Bytes after which a new file of the transformer's weights begins; None for one file.
    """
    modules = modules_of(model)
    body = modules[0].path if modules else ""
    paths = {module.name: module.path for module in modules}
    parts: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {body: {}}
    where: dict[str, tuple[str, str]] = {}
    for tensor, described in layout.items():
        module, _, inner = tensor.partition("/")
        where[tensor] = (paths[module], inner) if module in paths else (body, tensor)
        parts.setdefault(where[tensor][0], {})[where[tensor][1]] = described
    with ExitStack() as stack:
        places = {}
        for part, table in parts.items():
            (folder / part).mkdir(parents=True, exist_ok=True)
            places[part] = stack.enter_context(shard(folder / part, table, size if part == body else None))

        def write(tensor: str, start: int, block: np.ndarray) -> None:
            part, inner = where[tensor]
            places[part][inner].write(inner, start, block)

        yield write


def copy_settings(folder: Path, model: Checkpoint) -> Path:
    """Copy modules.json and the settings of every module unchanged; return the transformer's folder in the output."""
    if not isinstance(model, SentenceModel):
        return folder
    settings = [model.path / name for name in companions(model.path) if name.endswith(".json")]
    for path in (*settings, *model.body.path.glob(TRANSFORMER_FILES)):
        place = folder / path.relative_to(model.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    if any(one.kind in OWN_MODULES for one in model.modules):
        shutil.copyfile(OWN_CODE, folder / OWN_CODE.name)
    return folder / body_of(model).path.relative_to(model.path)


def card_metadata(sources: Sequence[Checkpoint]) -> dict[str, Any]:
    """Return the metadata of the model card: for SentenceTransformers, what the cards of all sources share."""
    own = ["merge", "merginguriel"]
    if not all(isinstance(model, SentenceModel) for model in sources):
        return {"library_name": "transformers", "tags": own}
    tables = [front_matter(model.path / "README.md") for model in sources]
    shared: dict[str, Any] = {"library_name": "sentence-transformers"}
    for key in SHARED:
        values = [table.get(key) for table in tables]
        if key == "tags":
            lists = [value if isinstance(value, list) else [] for value in values]
            tags = [tag for tag in lists[0] if all(tag in other for other in lists)]
            shared["tags"] = [*tags, *(tag for tag in own if tag not in tags)]
        elif values[0] is not None and all(value == values[0] for value in values):
            shared[key] = values[0]
    return shared


def front_matter(path: Path) -> dict[str, Any]:
    """Return the metadata at the head of a model card; empty if it has none that can be read."""
    try:
        parts = path.read_text(encoding="utf-8").split("---\n", 2)
        table = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return table if isinstance(table, dict) else {}

"""Modules of a SentenceTransformer folder: their order, settings and weights, read without torch.

modules.json lists the modules in order. The first is the transformer, in the folder itself or in `0_Transformer`; each
other one has a folder of its own. Their tensors have the names `2_Dense/linear.weight`: position, type, name in its file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from merginguriel.errors import CheckpointError

from .checkpoint import WEIGHTS, Checkpoint, TensorInfo, open_checkpoint, read_header, read_json

MODULES = "modules.json"
TOP_FILES = (MODULES, "config_sentence_transformers.json")
TRANSFORMER_FILES = "sentence_*_config.json"  # sentence_bert_config.json, sentence_xlm-roberta_config.json
BODIES = ("Transformer", "MLMTransformer")
WEIGHTED = ("Dense", "LayerNorm", "WeightedLayerPooling", "LSTM", "CNN")  # module types with weights
UNWEIGHTED = ("Pooling", "Normalize", "Dropout", "SpladePooling")
# The program's own modules with weights, and their code, which a saved model has a copy of.
OWN_MODULES = ("AttentionPooling", "WeightedPooling", "FamilyHeads", "MixtureOfExperts")
OWN_CODE = Path(__file__).parents[1] / "embedding" / "mu_modules.py"
# Pooling modes by their key in the notation of sentence-transformers before 5.4, in the order of their vectors.
MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Settings that follow from the weights' shapes, or that change a default and no vector.
IMPLIED = ("word_embedding_dimension", "embedding_dimension", "dropout")
DEFAULTS: dict[str, dict[str, Any]] = {
    "Pooling": {"include_prompt": True},
    "Dense": {"bias": True, "activation_function": "torch.nn.modules.activation.Tanh", "use_residual": False},
}
# The transformer's own settings, and their defaults.
TRANSFORMER = {"do_lower_case": False, "transformer_task": "feature-extraction"}
SAVE_AGAIN = "Save the model again with sentence-transformers: SentenceTransformer(FOLDER).save(NEW)"


@dataclass(frozen=True)
class Module:
    """One module. path: its folder relative to the model's, empty for the model's own; settings: in one notation."""

    position: int
    kind: str
    path: str
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the prefix of its tensors, the same for every folder layout."""
        return f"{self.position}_{self.kind}"


@dataclass(frozen=True)
class SentenceModel(Checkpoint):
    """SentenceTransformer folder. body: the transformer's checkpoint; tensors: its own and those of the modules."""

    body: Checkpoint = field(kw_only=True)
    modules: tuple[Module, ...] = field(kw_only=True)

    @property
    def files(self) -> tuple[Path, ...]:
        """Return every file that decides the result of a merge of this model."""
        settings = sorted(self.body.path.glob(TRANSFORMER_FILES))
        others = [self.path / name for name in companions(self.path)]
        return (*self.body.files, *settings, *others)


def open_model(path: Path) -> Checkpoint:
    """Open a model folder of transformers or of sentence-transformers.

    Raises:
        CheckpointError: As `open_checkpoint`; or a module cannot be read or merged here.
    """
    path = Path(path)
    return with_modules(path, open_checkpoint(body_folder(path)))


def with_modules(path: Path, body: Checkpoint) -> Checkpoint:
    """Return the transformer of the folder `path` with the modules there; `body` itself if it has none."""
    modules = read_modules(path)
    if not modules:
        return body
    tensors = dict(body.tensors)
    for module in modules[1:]:
        tensors |= module_tensors(path, module)
    rest = {f.name: getattr(body, f.name) for f in fields(Checkpoint)}
    return SentenceModel(**{**rest, "path": path, "tensors": tensors}, body=body, modules=modules)


def is_sentence_transformer(path: Path) -> bool:
    """Return whether `path` is a folder of sentence-transformers."""
    return (Path(path) / MODULES).is_file()


def body_of(model: Checkpoint) -> Checkpoint:
    """Return the transformer inside a SentenceTransformer; any other model unchanged."""
    return model.body if isinstance(model, SentenceModel) else model


def body_folder(path: Path) -> Path:
    """Return the folder with the transformer's config, weights and tokenizer: `path`, or `0_Transformer` in it."""
    modules = read_modules(path)
    return path / modules[0].path if modules else path


def read_modules(path: Path) -> tuple[Module, ...]:
    """Return the modules of a folder in order; none without modules.json.

    Raises:
        CheckpointError: modules.json is damaged, or names a module that cannot be merged here.
    """
    return tuple(read_module(path, at, place, kind) for at, (place, kind) in enumerate(entries(path)))


def companions(path: Path) -> list[str]:
    """Return the files of a SentenceTransformer beside those of its transformer, relative to `path`; none for others."""
    parts = [f"{place}/{name}" for place, _ in entries(path)[1:] for name in ("config.json", WEIGHTS)]
    return [name for name in (*TOP_FILES, *parts) if (path / MODULES).is_file() and (path / name).is_file()]


def entries(path: Path) -> list[tuple[str, str]]:
    """Return folder and type of each module in modules.json; empty without the file. Raises CheckpointError."""
    file = path / MODULES
    if not file.is_file():
        return []
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot be read: {error}", where=str(file), hint=SAVE_AGAIN) from error
    if not isinstance(listed, list) or not listed:
        raise CheckpointError("is not a list of modules.", where=str(file), hint=SAVE_AGAIN)
    found = []
    for at, entry in enumerate(listed):
        place, kind = (entry.get("path"), entry.get("type")) if isinstance(entry, dict) else (None, None)
        if not isinstance(place, str) or not isinstance(kind, str):
            raise CheckpointError(f"module {at} lacks a path or a type.", where=str(file), hint=SAVE_AGAIN)
        parts = PurePosixPath(place).parts
        if place.startswith("/") or ".." in parts or "\\" in place or "\0" in place or (at and not parts):
            raise CheckpointError(f"the path {place!r} is not a folder inside this one.", where=str(file))
        found.append(("/".join(parts), kind))
    return found


def read_module(path: Path, at: int, place: str, kind: str) -> Module:
    """Return one module of the list, with its settings. Raises CheckpointError."""
    file = path / MODULES
    if at and kind in [f"{OWN_CODE.stem}.{own}" for own in OWN_MODULES]:
        own_kind = kind.rpartition(".")[2]
        return Module(at, own_kind, place, settings_of(path / place, own_kind))
    if not kind.startswith("sentence_transformers."):
        raise CheckpointError(
            f"module {at} is of the custom type {kind}, whose code is not run here.",
            where=str(file),
            hint="Only the modules of the package sentence-transformers can be merged and scored.",
        )
    name = kind.rpartition(".")[2]
    if name not in ((*WEIGHTED, *UNWEIGHTED) if at else BODIES):
        known = ", ".join((*WEIGHTED, *UNWEIGHTED) if at else BODIES)
        raise CheckpointError(
            f"module {at} is a {name}, which cannot be merged or scored here.",
            where=str(file),
            hint=f"Known at this place: {known}.",
        )
    return Module(at, name, place, settings_of(path / place, name))


def settings_of(folder: Path, kind: str) -> dict[str, Any]:
    """Return the settings of a module that change its vectors, in one notation for all versions of the package."""
    if kind in BODIES:
        files = sorted(folder.glob(TRANSFORMER_FILES))
        table = read_json(files[0], SAVE_AGAIN) if files else {}
        return {key: table.get(key, default) for key, default in TRANSFORMER.items()}
    table = read_json(folder / "config.json", SAVE_AGAIN) if (folder / "config.json").is_file() else {}
    settings = {**DEFAULTS.get(kind, {}), **{k: v for k, v in table.items() if k not in IMPLIED}}
    if settings.get("module_input_name", "sentence_embedding") == "sentence_embedding":
        settings.pop("module_input_name", None)
    if settings.get("module_output_name") in (None, settings.get("module_input_name", "sentence_embedding")):
        settings.pop("module_output_name", None)
    if kind == "Pooling":
        settings["pooling_mode"] = pooling_modes(settings, folder / "config.json")
        return {key: value for key, value in settings.items() if key not in MODES}
    return settings


def pooling_modes(settings: Mapping[str, Any], where: Path) -> tuple[str, ...]:
    """Return the pooling modes whose vectors are joined: `pooling_mode`, or the keys of versions before 5.4."""
    given = settings.get("pooling_mode")
    if given is None:
        return tuple(mode for key, mode in MODES.items() if settings.get(key)) or ("mean",)
    modes = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list) else ()
    if not modes or any(mode not in MODES.values() for mode in modes):
        raise CheckpointError(
            f"unknown pooling {given!r}.", where=str(where), hint=f"Known: {', '.join(MODES.values())}."
        )
    return modes


def module_tensors(path: Path, module: Module) -> dict[str, TensorInfo]:
    """Return the tensors of a module as `<its name>/<tensor>`. Raises CheckpointError if they are missing or pickled."""
    folder = path / module.path
    if (folder / WEIGHTS).is_file():
        return {f"{module.name}/{name}": info for name, info in read_header(folder / WEIGHTS).items()}
    if module.kind not in (*WEIGHTED, *OWN_MODULES):
        return {}
    pickled = next(iter(sorted(folder.glob("*.bin"))), None)
    what = f"its weights are pickled ({pickled.name})" if pickled else f"it has no {WEIGHTS}"
    raise CheckpointError(f"module {module.kind} cannot be read: {what}.", where=str(folder), hint=SAVE_AGAIN)

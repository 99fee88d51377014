"""Models of a mergekit configuration, with its lines for errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merginguriel.errors import CheckpointError, MuError
from merginguriel.knowledge.parse.yaml_lines import Text, read_text, read_yaml
from merginguriel.models.adapters import is_adapter
from merginguriel.text.suggest import suggest
from merginguriel.validation import line_of


@dataclass(frozen=True)
class Model:
    """A model of the configuration: its text, folder and parameters."""

    text: str
    folder: Path
    params: Mapping[str, Any]
    line: int


class MergekitReader:
    """Configuration of one file; `fail` raises with its line."""

    def __init__(self, path: Path, resolve: Callable[[str], Path]) -> None:
        self.path = path
        self.resolve = resolve
        self.table = read_yaml(read_text(path), path)
        self.notes: list[str] = []

    def fail(self, line: int, what: str, hint: str | None = None) -> MuError:
        """Return the error about a line."""
        return MuError(what, where=f"{self.path}:{line}", hint=hint)

    def line(self, table: Mapping[str, Any], key: str) -> int:
        """Return the line of a key's value, or of the table without it."""
        return line_of(table.get(key), getattr(table, "line", 1))

    def folder(self, text: Text) -> Path:
        """Return the folder of a model: as mergekit, from the working directory; else from the file's, or of the hub."""
        for start in (Path.cwd(), self.path.parent):
            if (start / Path(text).expanduser()).is_dir():
                return (start / Path(text).expanduser()).absolute()
        try:
            return self.resolve(str(text))
        except MuError as error:
            raise type(error)(error.what, where=f"{self.path}:{text.line}", hint=error.hint) from error

    def model(self, value: Any, params: Mapping[str, Any], base: Text | None, line: int) -> Model:
        """Return a model; `BASE+ADAPTER` is an adapter if BASE is the base model of the merge."""
        if not isinstance(value, Text) or not value.strip():
            raise self.fail(line, "`model` must be a folder or a name on the hub.", "Write: model: FOLDER")
        first, plus, second = value.partition("+")
        if plus and not Path(value).exists():
            if base is None or first != base:
                raise self.fail(
                    value.line,
                    f"the adapter of {value} is on another model than base_model.",
                    "Merge it into its model first (peft's merge_and_unload), and name that folder.",
                )
            folder = self.folder(Text.at(second, value.line))
            if not is_adapter(folder):
                raise self.fail(value.line, f"{second} is not a LoRA adapter.")
            return Model(str(value), folder, params, value.line)
        return Model(str(value), self.folder(value), params, value.line)


def parameters(reader: MergekitReader, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `parameters` of a table; empty without."""
    found = table.get("parameters")
    if not found:
        return {}
    if not isinstance(found, Mapping):
        raise reader.fail(
            reader.line(table, "parameters"), "parameters must be a table of `key: value` lines."
        )
    return found


def models_of(reader: MergekitReader, base: Text | None) -> list[Model]:
    """Return the models of `models`, or of one slice over all layers."""
    table = reader.table
    entries, key = table.get("models"), "models"
    if table.get("slices"):
        if entries:
            raise reader.fail(reader.line(table, "slices"), "give models or slices, not both.")
        key = "slices"
        entries = one_slice(reader, table["slices"], reader.line(table, "slices"))
    if not isinstance(entries, list) or not entries:
        raise reader.fail(reader.line(table, key), f"{key} must be a list of `model: FOLDER` entries.")
    found = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise reader.fail(reader.line(table, key), f"{key} must be a list of `model: FOLDER` entries.")
        line = getattr(entry, "line", 1)
        for name in entry:
            if name not in ("model", "parameters", "layer_range"):
                raise reader.fail(
                    reader.line(entry, name), f"unknown key {name!r}.", suggest(name, ("model", "parameters"))
                )
        model = reader.model(entry.get("model"), parameters(reader, entry), base, line)
        if "layer_range" in entry:
            check_range(reader, entry["layer_range"], model, reader.line(entry, "layer_range"))
        found.append(model)
    return found


def one_slice(reader: MergekitReader, slices: Any, line: int) -> Any:
    """Return the sources of the only slice. Raises MuError for several, which put a model together from pieces."""
    if not isinstance(slices, list) or not all(isinstance(one, Mapping) for one in slices):
        raise reader.fail(line, "slices must be a list of tables.")
    if len(slices) > 1:
        raise reader.fail(
            getattr(slices[1], "line", line),
            "a model that is put together from several slices is not supported.",
            "Layers can be exchanged between models of the same shape: mu methods layer_swap",
        )
    only = slices[0]
    for key in only:
        if key not in ("sources",):
            raise reader.fail(
                reader.line(only, key), f"{key} of a slice is not supported.", "Write it at the top level."
            )
    return only.get("sources")


def check_range(reader: MergekitReader, given: Any, model: Model, line: int) -> None:
    """Raise MuError unless a layer range is the whole model."""
    try:
        low, high = (int(one) for one in given)
    except (TypeError, ValueError):
        raise reader.fail(line, "layer_range must be two whole numbers.") from None
    path = model.folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the configuration of {model.text} cannot be read: {error}", where=str(path)
        ) from error
    layers = next(
        (config[key] for key in ("num_hidden_layers", "n_layer", "n_layers") if key in config), None
    )
    if (low, high) != (0, layers):
        raise reader.fail(
            line,
            f"layer_range [{low}, {high}] is not the whole model: {model.text} has {layers} layers.",
            "Only whole models are merged.",
        )

"""How is a field of a recipe read from YAML? One reader per kind: node → value, or ValueError saying what it should be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from merginguriel.errors import MuError

from .registry import Value

SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kmgt]?)b?", re.IGNORECASE)


def read_table(
    node: Any, readers: Mapping[str, Callable[[Any, Path], Any]], path: Path, needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Read a YAML mapping whose keys are those of `readers`, each once. Raises MuError with file and line."""
    where = f"{path}:{node.start_mark.line + 1}" if node is not None else f"{path}:1"
    if not isinstance(node, yaml.MappingNode):
        raise MuError("this should be a table of `key: value` lines.", where=where)
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = f"{path}:{key_node.start_mark.line + 1}"
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        if key not in readers:
            raise MuError(f"unknown key {key!r}.", where=line, mend=f"Keys are: {', '.join(readers)}.")
        if key in values:
            raise MuError(f"the key {key!r} is there twice.", where=line)
        try:
            values[key] = readers[key](value_node, path)
        except ValueError as error:
            raise MuError(f"{key} should be {error}.", where=line) from error
    for key in needed:
        if key not in values:
            raise MuError(f"the key {key!r} is missing.", where=where)
    return values


def scalar(node: Any, wanted: str) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(wanted)
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:  # `2026-99-99` looks like a date and is none
        raise ValueError(wanted) from error


def word(node: Any, _: Path) -> str | None:
    value = scalar(node, "a word")
    if value is not None and not isinstance(value, str):
        raise ValueError(f'a word; if {node.value!r} is one, put it in quotes: "{node.value}"')
    return value


def name(node: Any, path: Path) -> str:
    value = word(node, path)
    if not value:
        raise ValueError("a word")
    return value


def whole(node: Any, _: Path) -> int | None:
    value = scalar(node, "a whole number")
    if value is not None and type(value) is not int:
        raise ValueError("a whole number")
    return value


def size(node: Any, _: Path) -> int | None:
    value = scalar(node, "a size such as 2GB")
    if value is None or type(value) is int:
        return value
    return bytes_of(value)


def bytes_of(text: Any) -> int:
    """`2GB`, `500 MB` → bytes, in powers of ten as file sizes are written. Raises ValueError."""
    found = SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError("a size such as 2GB or 500MB")
    return int(float(found[1]) * 1000 ** " KMGT".index(found[2].upper() or " "))


def number(node: Any, _: Path) -> float:
    value = scalar(node, "a number")
    if isinstance(value, str):  # YAML 1.1 takes 1e-3 for a word
        try:
            return float(value)
        except ValueError:
            raise ValueError("a number") from None
    if type(value) not in (int, float):
        raise ValueError("a number")
    return float(value)


def folder(node: Any, path: Path) -> Path | None:
    value = word(node, path)
    return (
        None if value is None else Path(os.path.normpath(path.absolute().parent / Path(value).expanduser()))
    )


def parameters(node: Any, path: Path) -> dict[str, Value]:
    if isinstance(node, yaml.ScalarNode) and scalar(node, "") is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("a table of parameter and value")
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]

    def value(inner: Any, _: Path) -> Value:
        content = scalar(inner, "a number or a word")
        if not isinstance(content, bool | int | float | str):
            raise ValueError("a number or a word")
        return content

    return read_table(node, dict.fromkeys(keys, value), path)


def digests(node: Any, path: Path) -> dict[str, str]:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("a table of file and sha256")
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    return read_table(node, dict.fromkeys(keys, name), path)


def numbers_by_layer(node: Any, path: Path) -> dict[str, float]:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("a table of layer and number")
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    return read_table(node, dict.fromkeys(keys, number), path)


def patterns(node: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise ValueError("a list of patterns of tensor names")
    return tuple(name(item, path) for item in node.value)


def numbers(node: Any, path: Path) -> tuple[float, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise ValueError("a list of numbers")
    return tuple(number(item, path) for item in node.value)


def lists_of_numbers(node: Any, path: Path) -> dict[str, tuple[float, ...]]:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("a table of source and list of weights")
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    return read_table(node, dict.fromkeys(keys, numbers), path)

"""Dotted keys: `params.density: 0.2` for `params: {density: 0.2}`, with the line of every value."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from typing import Any

from merginguriel.errors import MuError
from merginguriel.knowledge.parse.yaml_lines import Mapping, Text
from merginguriel.validation import line_of


def leaves(table: AnyMapping[str, Any], before: str = "") -> Iterator[tuple[str, Any, int]]:
    """Yield every value of nested mappings with its dotted key and line (0: unknown). An empty mapping is a value."""
    for key, value in table.items():
        if isinstance(value, AnyMapping) and value:
            yield from leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value, line_of(value, getattr(table, "line", 0))


def put(table: Mapping, key: str, value: Any, where: str | None) -> None:
    """Set a dotted key in nested mappings. Raises MuError if a part of it has a value already."""
    *outer, last = key.split(".")
    for part in outer:
        if part not in table:
            table[part] = Mapping()
            table[part].line = line_of(value, table.line)
        table = table[part]
        if not isinstance(table, Mapping):
            raise MuError(f"{key} is inside {part}, which is a value here.", where=where)
    table[last] = value


def is_nothing(value: Any) -> bool:
    """Return whether a value is empty, which leaves its key at the default."""
    return value is None or (isinstance(value, Text) and value.bare and value in ("", "null", "~"))

"""Parameter values of a mergekit configuration: numbers, gradients over the layers, and lists by filter."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose, isfinite
from typing import Any

import numpy as np

from .mergekit_models import MergekitReader, Model

Gradient = tuple[float, ...]
Rules = list[
    tuple[str | None, Gradient]
]  # filter (None: every tensor) and values; the first that matches counts


def rules_of(
    reader: MergekitReader, table: Mapping[str, Any], key: str, *, required: int | None = None
) -> Rules:
    """Return a parameter's values by filter; empty if it is not given."""
    if key not in table:
        if required is not None:
            raise reader.fail(required, f"{key} is missing.", f"Write it under parameters: {key}: 0.5")
        return []
    line, value = reader.line(table, key), table[key]
    if isinstance(value, Mapping) or (
        isinstance(value, list) and any(isinstance(one, Mapping) for one in value)
    ):
        entries = [value] if isinstance(value, Mapping) else value
        found: Rules = []
        for entry in entries:
            at = getattr(entry, "line", line)
            wrong = not isinstance(entry, Mapping) or not {"value"} <= set(entry) <= {"value", "filter"}
            if wrong:
                raise reader.fail(at, f"{key}: each entry must have a `value`, and may have a `filter`.")
            pattern = entry.get("filter") or None
            found.append(
                (None if pattern in (None, "*") else str(pattern), gradient(reader, key, entry["value"], at))
            )
            if found[-1][0] is None:
                break
        return found
    return [(None, gradient(reader, key, value, line))]


def gradient(reader: MergekitReader, key: str, value: Any, line: int) -> Gradient:
    """Return one number, or the numbers of a gradient."""
    values = value if isinstance(value, list) else [value]
    try:
        found = tuple(float(one) for one in values)
    except (TypeError, ValueError):
        found = ()
    if not found or not all(isfinite(one) for one in found):
        raise reader.fail(line, f"{key} must be a number or a list of numbers.")
    if any(one < 0 for one in found) or (key == "t" and any(one > 1 for one in found)):
        raise reader.fail(
            line, f"{key} must be {'from 0 to 1' if key == 't' else '0 or more'}, got {list(found)}."
        )
    return found


def weights_of(
    reader: MergekitReader, line: int, names: list[str], rules: dict[str, Rules]
) -> tuple[list[float], dict[str, Gradient], dict[str, dict[str, Gradient]]]:
    """Return the weights as the recipe has them: by source, by source and layer, by pattern of names."""
    if not rules:
        return [1.0] * len(names), {}, {}
    filters = list(dict.fromkeys(pattern for one in rules.values() for pattern, _ in one if pattern))
    for name, one in rules.items():
        order = [pattern for pattern, _ in one if pattern]
        if order and order != filters:
            raise reader.fail(line, f"the weights of {name} have other filters than those of the other models.",
                              "Write the same filters in the same order for each model that has any.")  # fmt: skip

    def at(pattern: str | None) -> dict[str, Gradient]:
        return {
            name: next(values for own, values in one if own == pattern or own is None)
            for name, one in rules.items()
        }

    last = at(None)
    by_name = {f"*{pattern}*": at(pattern) for pattern in filters}
    if all(len(values) == 1 for values in last.values()):
        return [last[name][0] for name in names], {}, by_name
    return [1.0] * len(names), last, by_name


def same_total(
    reader: MergekitReader, line: int, name: str, rules: dict[str, Rules], names: list[str]
) -> float:
    """Return the sum of the models' weights. Raises MuError if it differs between layers or tensors."""
    weights, by_layer, by_name = weights_of(reader, line, names, rules)
    tables = [
        by_layer or {one: (weight,) for one, weight in zip(names, weights, strict=True)},
        *by_name.values(),
    ]
    totals = []
    for table in tables:
        knots = {i / max(len(values) - 1, 1) for values in table.values() for i in range(len(values))}
        for knot in sorted(knots):
            totals.append(
                sum(float(np.interp(knot * (len(v) - 1), range(len(v)), v)) for v in table.values())
            )
    if not all(isclose(one, totals[0], rel_tol=1e-6, abs_tol=1e-9) for one in totals):
        raise reader.fail(
            line,
            f"{name} without `normalize` and with weights whose sum differs between layers is not supported.",
            "Write weights of the same sum everywhere, or: parameters: {normalize: true}",
        )
    return totals[0]


def number(
    reader: MergekitReader, key: str, whole: Mapping[str, Any], models: list[Model], default: Any
) -> Any:
    """Return a parameter's one value. Raises MuError if it differs between models, layers or tensors."""
    values: dict[float, int] = {}
    for model in models:
        table = model.params if key in model.params else whole
        rules = rules_of(reader, table, key)
        line = reader.line(table, key) if key in table else 1
        for _, one in rules:
            values.update(dict.fromkeys(one, line))
        if not rules and default is not None:
            values.setdefault(float(default), line)
    if len(values) > 1:
        line = max(values.values())
        raise reader.fail(
            line,
            f"{key} differs between models, layers or tensors ({', '.join(f'{one:g}' for one in values)}), "
            "which is not supported.",
            f"Write one {key} for all.",
        )
    return next(iter(values), default)


def flag(
    reader: MergekitReader, key: str, whole: Mapping[str, Any], models: list[Model], default: bool | None
) -> bool | None:
    """Return a parameter that is true or false."""
    for table in (*(model.params for model in models), whole):
        if key in table:
            text = str(table[key]).lower()
            if text not in ("true", "false", "1", "0", "1.0", "0.0"):
                raise reader.fail(reader.line(table, key), f"{key} must be true or false.")
            return text in ("true", "1", "1.0")
    return default

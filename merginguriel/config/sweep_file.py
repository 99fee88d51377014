"""Which runs does a sweep's file ask for? `base`, and over it every combination of `grid`, `list` and `random`.

name: number-of-languages
base: {task: home, method: linear}      # a run's configuration
grid:                                   # every combination of these
  target: [cy-GB, fi-FI]
  k: [3, 5]
list:                                   # with each of these
  - {method: linear}
  - {method: ties, params.density: 0.2}
random:                                 # and with each of n draws, the same ones everywhere
  n: 4
  seed: 0
  over:
    params.scale: {uniform: [0.5, 1.5]}
"""

from __future__ import annotations

import copy
import difflib
import itertools
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merginguriel.errors import MuError
from merginguriel.knowledge.parse.yaml_lines import Mapping, Text, read_text, read_yaml

KEYS = ("name", "about", "base", "grid", "list", "random")
RANGES = ("uniform", "loguniform", "choice")
MOST = 100_000  # runs of one sweep; a grid beyond it is a slip


@dataclass(frozen=True)
class Point:
    """One run that is asked for. `table`: its configuration; `varied`: key → value, of what the sweep varies."""

    table: Mapping
    varied: dict[str, Any]

    @property
    def label(self) -> str:
        """`target=cy-GB k=3`: what tells this run from the others."""
        return " ".join(f"{key}={shown(value)}" for key, value in self.varied.items()) or "base"


@dataclass(frozen=True)
class SweepFile:
    """What a sweep's file says. `axes`: one list of alternatives per thing that varies; a run takes one of each."""

    path: Path
    text: str
    name: str
    about: str
    base: Mapping
    axes: tuple[list[dict[str, Any]], ...]

    def points(self) -> Iterator[Point]:
        """Every run, in the order of the file: the last axis turns fastest."""
        for chosen in itertools.product(*self.axes):
            varied = {key: value for part in chosen for key, value in part.items()}
            table = unfolded(self.base, str(self.path))
            for key, value in varied.items():
                put(table, key, copy.deepcopy(value), f"{self.path}:{line_of(value, self.base.line)}")
            yield Point(table, varied)


def is_sweep(table: Any) -> bool:
    """Is this the table of a sweep's file, and not the configuration of one run?"""
    if not isinstance(table, Mapping):
        return False
    return isinstance(table.get("base"), Mapping) or not {"grid", "list", "random"}.isdisjoint(table)


def read(path: Path) -> SweepFile:
    """Read a sweep's file. Raises MuError with file and line for what is no sweep."""
    text = read_text(path)
    table = read_yaml(text, path)
    if not isinstance(table, Mapping):
        raise MuError("a sweep is a mapping.", where=f"{path}:1", mend=f"Its keys are: {', '.join(KEYS)}.")
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            raise MuError(
                f"a sweep has no key {key!r}.",
                where=f"{path}:{line_of(table[key], table.line)}",
                mend=f"Did you mean {near[0]}?" if near else
                f"Its keys are: {', '.join(KEYS)}. What all runs share stands under base.",
            )  # fmt: skip
    base = section(table, "base", path)
    axes = [*grid(section(table, "grid", path), path)]
    if "list" in table:
        axes.append(listed(table["list"], table.line, path))
    if "random" in table:
        axes.append(drawn(section(table, "random", path), path))
    refuse_doubles(axes, path)
    count = math.prod(len(axis) for axis in axes)
    if count > MOST:
        raise MuError(f"this would be {count:,} runs.", where=str(path), mend=f"At most {MOST:,} are made.")
    name = str(table.get("name", path.stem))
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", name):
        raise MuError(
            f"a sweep cannot be called {name!r}.",
            where=f"{path}:{line_of(table.get('name'), 1)}",
            mend="Write name: in small letters, digits and hyphens; it names a folder.",
        )
    return SweepFile(path, text, name, str(table.get("about", "")), base, tuple(axes))


def section(table: Mapping, key: str, path: Path) -> Mapping:
    """The mapping under `key`; an empty one if it is not there."""
    found = table.get(key, Mapping())
    if isinstance(found, Text) and not found:
        found = Mapping()  # `base:` with nothing below it
    if not isinstance(found, Mapping):
        raise MuError(f"{key} must be a mapping of keys.", where=f"{path}:{line_of(found, table.line)}")
    found.line = found.line or table.line
    return found


def grid(table: Mapping, path: Path) -> Iterator[list[dict[str, Any]]]:
    """One axis per key of `grid`."""
    for key, values in table.items():
        if not isinstance(values, list) or not values:
            raise MuError(
                f"grid: {key} must be a list of values.",
                where=f"{path}:{line_of(values, table.line)}",
                mend=f"Write {key}: [one, another]; what does not vary stands under base.",
            )
        yield [{key: value} for value in values]


def listed(items: Any, line: int, path: Path) -> list[dict[str, Any]]:
    """The axis of `list`: each item sets several keys at once."""
    if not isinstance(items, list) or not items:
        raise MuError("list must be a list of mappings.", where=f"{path}:{line_of(items, line)}")
    for item in items:
        if not isinstance(item, Mapping) or not item:
            raise MuError(
                "an item of list must be a mapping of keys.",
                where=f"{path}:{line_of(item, line)}",
                mend="Like: - {method: ties, params.density: 0.2}",
            )
    return [leaves(item) for item in items]


def drawn(table: Mapping, path: Path) -> list[dict[str, Any]]:
    """The axis of `random`: n draws by the seed. The same file gives the same draws everywhere."""
    at = f"{path}:{table.line}"
    for key in table:
        if key not in ("n", "seed", "over"):
            raise MuError(
                f"random has no key {key!r}.",
                where=f"{path}:{line_of(table[key], table.line)}",
                mend="Its keys are: n, seed, and over: what is drawn.",
            )
    n, seed = (whole(table, key, least, path) for key, least in (("n", 1), ("seed", 0)))
    over = section(table, "over", path)
    if not over:
        raise MuError("random draws nothing.", where=at, mend="Name under over: what is drawn, like\n"
                      "params.density: {uniform: [0.1, 0.9]}")  # fmt: skip
    ranges = {key: in_range(key, value, over.line, path) for key, value in over.items()}
    draw = random.Random(seed)
    return [{key: pick(draw, *found) for key, found in ranges.items()} for _ in range(n)]


def whole(table: Mapping, key: str, least: int, path: Path) -> int:
    value = table.get(key, "")
    if not (isinstance(value, str) and re.fullmatch(r"\d{1,9}", value) and int(value) >= least):
        raise MuError(
            f"random: {key} must be a whole number from {least} upwards"
            + (f", not {shown(value)!r}." if value else ": it is missing."),
            where=f"{path}:{line_of(value, table.line)}",
        )
    return int(value)


def in_range(key: str, value: Any, line: int, path: Path) -> tuple[str, list[Any], int]:
    """(kind, its values, line) of one range of `random`."""
    kind = next(iter(value), "") if isinstance(value, Mapping) and len(value) == 1 else ""
    given = value[kind] if kind in RANGES else None
    line = getattr(given[0], "line", line) if isinstance(given, list) and given else line_of(value, line)
    mend = "One of: {uniform: [low, high]}, {loguniform: [low, high]}, {choice: [one, another]}."
    if not isinstance(given, list) or not given:
        raise MuError(f"random: {key} has no range that is known.", where=f"{path}:{line}", mend=mend)
    if kind == "choice":
        return kind, given, line
    try:
        low, high = (float(v) for v in given)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high and (kind == "uniform" or low > 0)):
        above = " above 0" if kind == "loguniform" else ""
        raise MuError(
            f"random: {key} needs two numbers{above}, the smaller one first.",
            where=f"{path}:{line}",
            mend=mend,
        )
    return kind, [low, high], line


def pick(draw: random.Random, kind: str, values: list[Any], line: int) -> Any:
    """One draw; numbers with four digits, which is as much as anyone will want to read."""
    if kind == "choice":
        return draw.choice(values)
    low, high = values
    share = draw.random()
    found = low + share * (high - low) if kind == "uniform" else low * (high / low) ** share
    return Text.at(f"{found:.4g}", line, bare=True)


def refuse_doubles(axes: list[list[dict[str, Any]]], path: Path) -> None:
    """A key may be varied in one place only, and not together with a part of it (`params`, `params.density`)."""
    place: dict[str, int] = {}
    for number, axis in enumerate(axes):
        for point in axis:
            for key, value in point.items():
                for other, where in place.items():
                    one, two = f"{key}.", f"{other}."
                    if where != number and (one.startswith(two) or two.startswith(one)):
                        raise MuError(
                            f"{key} is varied twice"
                            + (
                                f": {other} is, too."
                                if key != other
                                else ", in two of grid, list and random."
                            ),
                            where=f"{path}:{line_of(value, 1)}",
                        )
                place.setdefault(key, number)


def unfolded(table: Mapping, path: str) -> Mapping:
    """A copy in which dotted keys are nested ones."""
    made = Mapping()
    made.line = table.line
    for key, value in leaves(table).items():
        put(made, key, copy.deepcopy(value), f"{path}:{line_of(value, table.line)}")
    return made


def leaves(table: Mapping, before: str = "") -> dict[str, Any]:
    """`{params: {density: 0.2}}` → `{"params.density": 0.2}`."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        inner = leaves(value, f"{before}{key}.") if isinstance(value, Mapping) and value else {}
        found |= inner or {f"{before}{key}": value}
    return found


def put(table: Mapping, key: str, value: Any, where: str) -> None:
    """Set a dotted key. Raises MuError if a part of it is a value already."""
    *outer, last = key.split(".")
    for part in outer:
        if part not in table:
            table[part] = Mapping()
            table[part].line = line_of(value, table.line)
        table = table[part]
        if not isinstance(table, Mapping):
            raise MuError(f"{key} is inside {part}, which is a value here.", where=where)
    table[last] = value


def line_of(value: Any, otherwise: int) -> int:
    """The line of a value as read; of a list, that of its first item."""
    while isinstance(value, list) and value:
        value = value[0]
    return getattr(value, "line", 0) or otherwise


def shown(value: Any) -> str:
    """A value as a label has it: `sv-SE+da-DK` for a list."""
    if isinstance(value, list):
        return "+".join(shown(item) for item in value) or "none"
    if isinstance(value, dict):
        return ",".join(f"{key}:{shown(item)}" for key, item in value.items()) or "none"
    return str(value)

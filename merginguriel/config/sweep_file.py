"""Runs of a sweep's file: `base`, and over it every combination of `grid`, `list` and `random`.

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
import itertools
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    model_validator,
)

from merginguriel.errors import MuError
from merginguriel.knowledge.parse.yaml_lines import Mapping, Text, read_text, read_yaml
from merginguriel.validation import Location, at, did_you_mean, line_of, mu_error

from .dotted import is_nothing, leaves, put
from .schema import KEYS, ConfigSection

MOST = 100_000  # runs of one sweep; a larger grid is a slip


def folder_name(text: str) -> str:
    """Refuse a name that cannot be a folder's everywhere."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", text):
        raise ValueError("lower-case letters, digits and hyphens (it names a folder)")
    return text


Values = Annotated[list[Any], Field(min_length=1)]
Item = Annotated[dict[str, Any], Field(min_length=1)]
Items = Annotated[list[Item], Field(min_length=1)]


class Range(ConfigSection):
    """What one key is drawn from: `uniform` or `loguniform` between two numbers, or a `choice`."""

    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    choice: Values | None = None

    @model_validator(mode="after")
    def one_range(self) -> Range:
        """Check that there is one range and that it has an inside."""
        if len(self.model_fields_set) != 1:
            raise ValueError(
                "one of {uniform: [low, high]}, {loguniform: [low, high]}, {choice: [one, another]}"
            )
        low, high = self.uniform or self.loguniform or (0, 1)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("two numbers, the smaller one first")
        if self.loguniform and low <= 0:
            raise ValueError("two numbers above 0")
        return self

    def draw(self, generator: random.Random) -> Any:
        """Draw a value; a number with four digits, for labels that can be read."""
        if self.choice:
            return generator.choice(self.choice)
        share = generator.random()
        if self.uniform:
            low, high = self.uniform
            return f"{low + share * (high - low):.4g}"
        low, high = self.loguniform or (1, 1)
        return f"{low * (high / low) ** share:.4g}"


class Draws(ConfigSection):
    """The section `random`: n draws by the seed. The same file gives the same draws everywhere."""

    n: int = Field(ge=1)
    seed: int = Field(ge=0)
    over: dict[str, Range] = Field(min_length=1)


class SweepKeys(ConfigSection):
    """The keys of a sweep's file."""

    name: Annotated[str, AfterValidator(folder_name)] = ""
    about: str = ""
    base: dict[str, Any] = Field({})
    grid: dict[str, Values] = Field({})
    list: Items | None = None
    random: Draws | None = None


@dataclass(frozen=True)
class SweepPoint:
    """One run of a sweep. `table`: its configuration; `varied`: key → value, of what the sweep varies."""

    table: Mapping
    varied: dict[str, Any]

    @property
    def label(self) -> str:
        """`target=cy-GB k=3`: the values that distinguish this run from the others."""
        return " ".join(f"{key}={shown(value)}" for key, value in self.varied.items()) or "base"


@dataclass(frozen=True)
class SweepFile:
    """Content of a sweep's file. `axes`: one list of alternatives per thing that varies; a run takes one of each."""

    path: Path
    text: str
    name: str
    about: str
    base: Mapping
    axes: tuple[list[dict[str, Any]], ...]

    def points(self) -> Iterator[SweepPoint]:
        """Yield every run, in the order of the file: the last axis varies fastest."""
        for chosen in itertools.product(*self.axes):
            varied = {key: value for part in chosen for key, value in part.items()}
            table = Mapping()
            table.line = self.base.line
            for key, value in [*((key, value) for key, value, _ in leaves(self.base)), *varied.items()]:
                put(table, key, copy.deepcopy(value), f"{self.path}:{line_of(value, self.base.line)}")
            yield SweepPoint(table, varied)


def is_sweep(table: Any) -> bool:
    """Return whether this is the table of a sweep's file, and not the configuration of one run."""
    if not isinstance(table, Mapping):
        return False
    return isinstance(table.get("base"), Mapping) or not {"grid", "list", "random"}.isdisjoint(table)


def read(path: Path) -> SweepFile:
    """Read a sweep's file. Raises MuError with file and line."""
    text = read_text(path)
    table = read_yaml(text, path)

    def hint(loc: Location) -> str:
        if loc[0] in KEYS:
            return f"Write it under base, or under grid with a list of values: {loc[0]}: [one, another]."
        model = Range if "over" in loc else Draws if loc[0] == "random" else SweepKeys
        return did_you_mean(str(loc[-1]), list(model.model_fields))

    try:
        if isinstance(table, Mapping):
            given = {key: value for key, value in table.items() if not is_nothing(value)}
            content = SweepKeys.model_validate({"name": path.stem, **given})
        else:
            content = SweepKeys.model_validate(table)
    except ValidationError as error:
        raise mu_error(error, lambda loc: f"{path}:{at(table, loc)}", hint) from error
    base = table["base"] if content.base else Mapping()
    axes = [[{key: value} for value in values] for key, values in content.grid.items()]
    if content.list:
        axes.append([{key: value for key, value, _ in leaves(item)} for item in table["list"]])
    if content.random:
        axes.append(drawn(content.random, table["random"]))
    refuse_doubles(axes, path)
    count = math.prod(len(axis) for axis in axes)
    if count > MOST:
        raise MuError(f"{count:,} runs are too many.", where=str(path), hint=f"The limit is {MOST:,}.")
    return SweepFile(path, text, content.name, content.about, base, tuple(axes))


def drawn(draws: Draws, table: Mapping) -> list[dict[str, Any]]:
    """Return the axis of `random`: n draws of every key, each with the line of its range."""
    generator = random.Random(draws.seed)
    axis = []
    for _ in range(draws.n):
        point = {}
        for key, one in draws.over.items():
            value = one.draw(generator)
            line = at(table, ("over", key, *one.model_fields_set))
            point[key] = value if one.choice else Text.at(value, line, bare=True)
        axis.append(point)
    return axis


def refuse_doubles(axes: list[list[dict[str, Any]]], path: Path) -> None:
    """Raise MuError for a key that two axes vary, alone or together with a part of it (`params`, `params.density`)."""
    place: dict[str, int] = {}
    for number, axis in enumerate(axes):
        for point in axis:
            for key, value in point.items():
                for other, where in place.items():
                    one, two = f"{key}.", f"{other}."
                    if where != number and (one.startswith(two) or two.startswith(one)):
                        also = "in two of grid, list and random" if key == other else f"also by {other}"
                        raise MuError(f"{key} is varied twice: {also}.", where=f"{path}:{line_of(value, 1)}")
                place.setdefault(key, number)


def shown(value: Any) -> str:
    """Return a value as a label has it: `sv-SE+da-DK` for a list."""
    if isinstance(value, list):
        return "+".join(shown(item) for item in value) or "none"
    if isinstance(value, dict):
        return ",".join(f"{key}:{shown(item)}" for key, item in value.items()) or "none"
    return str(value)

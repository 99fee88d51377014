"""Read, complete, write and digest the configuration of a run, from YAML, tables and --set."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.parse.yaml_lines import Mapping as Lines
from merginguriel.knowledge.parse.yaml_lines import read_text, read_yaml
from merginguriel.merging import registry
from merginguriel.merging.recipe import HEADS
from merginguriel.validation import did_you_mean, dotted, mu_error

from . import source_checks, sweep_file
from .dotted import is_nothing, leaves, put
from .schema import KEYS, MERGES, NOT_DECIDING, SECTIONS, Config, ConfigSection

__all__ = ["KEYS", "Config"]

Flat = dict[str, tuple[Any, str]]  # dotted key → value as it was written, and where


def load(path: Path, sets: Sequence[str] = ()) -> Config:
    """Return the configuration in a YAML file, with `key=value` overrides. Raises MuError with key, file and line."""
    return read(path, sets)[0]


def read(path: Path | None, sets: Sequence[str] = ()) -> tuple[Config, dict[str, str]]:
    """Read a configuration and where each key was given.

    Args:
        path: The YAML file; None if the overrides give everything.

    Returns:
        The configuration, and the place of each key that was given: `study.yaml:3` or `--set`.

    Raises:
        MuError: For a wrong key or value, with file and line.
    """
    if path is None:
        return built({}, where="", sets=sets, folder=None)
    if not path.is_file():
        raise UsageError("no such configuration.", where=str(path))
    table = read_yaml(read_text(path), path)
    if sweep_file.is_sweep(table):
        raise UsageError(
            "this file describes a sweep, not one run.",
            where=str(path),
            hint=f"See its runs: mu sweep {shlex.quote(str(path))} --dry-run",
        )
    return built(table, where=str(path), sets=sets, folder=path.resolve().parent)


def from_table(table: Mapping[str, Any], *, where: str = "", folder: Path | None = None) -> Config:
    """Return the configuration in a table.

    Args:
        table: Keys, nested or dotted, with values typed or as text.
        where: The name of the table in errors.
        folder: Where relative paths in the table start; None: the working directory.

    Raises:
        MuError: For a wrong key or value.
    """
    return built(table, where=where, sets=(), folder=folder)[0]


def built(
    table: Any, *, where: str, sets: Sequence[str], folder: Path | None
) -> tuple[Config, dict[str, str]]:
    """Return the configuration of a table and overrides, and the place of each key that was given."""
    if not isinstance(table, Mapping):
        raise MuError(
            "a configuration must be a table of `key: value` lines.", where=f"{where}:1" if where else None
        )
    flat: Flat = {}
    for name, value, line in leaves(table):
        place = f"{where}:{line}" if where and line else where
        if name in flat:
            raise MuError(f"the key {name!r} appears twice.", where=place or None)
        flat[name] = (value, place)
    for name, value in overrides(sets):
        for inner in [other for other in flat if other.startswith(f"{name}.")]:
            del flat[inner]
        flat[name] = (value, "--set")
    return checked(validated(flat, folder), flat), {name: place for name, (_, place) in flat.items()}


def overrides(sets: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield key and value of every `--set key=value`."""
    for text in sets:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--set {text!r} is not KEY=VALUE.")
        if name in SECTIONS or (name in KEYS and KEYS[name].kind == "table"):
            raise UsageError(f"--set {name}: name one key of it, like {name}.KEY=VALUE.")
        yield name, read_yaml(value, f"--set {name}") if value.strip() else None


def validated(flat: Flat, folder: Path | None) -> Config:
    """Return the configuration of dotted keys, each value of its type. Raises MuError naming the key and its place."""
    table = Lines()
    for name, (value, _) in flat.items():
        if is_nothing(value):
            continue  # as if it were not given
        if isinstance(value, bool) and name in KEYS:
            value = str(value).lower()  # Python takes True for the number 1
        put(table, name, Lines(value) if isinstance(value, Mapping) else value, place_of(flat, name))
    sets = {name for name, (_, place) in flat.items() if place == "--set"}

    try:
        return Config.model_validate(table, context={"folder": folder, "sets": sets})
    except ValidationError as error:
        found = mu_error(
            error, lambda loc: place_of(flat, dotted(loc)), lambda loc: did_you_mean(dotted(loc), list(KEYS))
        )
        if found.where == "--set":
            raise UsageError(found.what, where=found.where, hint=found.hint) from error
        raise found from error


def place_of(flat: Flat, name: str) -> str | None:
    """Return where a key was given: itself, a key inside it, the table that it is in, or the kind of the run."""
    while name not in flat:
        inner = next((other for other in flat if other.startswith(f"{name}.")), None)
        if inner or "." not in name:
            name = inner or "kind"
            break
        name = name.rpartition(".")[0]
    return flat.get(name, (None, ""))[1] or None


def flat_values(config: Config) -> dict[str, Any]:
    """Return the value of every key by its dotted name."""
    values: dict[str, Any] = {}
    for name in KEYS:
        top, _, rest = name.partition(".")
        values[name] = getattr(getattr(config, top), rest) if rest else getattr(config, top)
    return values


def changed(config: Config, **values: Any) -> Config:
    """Return the configuration with other values of some keys, which are not checked."""
    return config.model_copy(update=values)


def checked(config: Config, flat: Flat) -> Config:
    """Return the configuration with typed parameters. Raises MuError for keys that do not fit together."""
    for name, value in flat_values(config).items():
        only = KEYS[name].only
        if only and config.kind not in only and value != KEYS[name].default:
            raise MuError(
                f"{name} has no meaning for a run of kind {config.kind}.",
                where=place_of(flat, name),
                hint=f"It is a key of: {', '.join(only)}.",
            )
    if config.method == "similarity":
        config = changed(config, method="linear", similarity=config.similarity or "REAL")
    if config.method:
        if config.kind in MERGES and not config.sources and config.method in registry.all_methods():
            # A method that does not merge so many is the wrong one, whatever its parameters.
            source_checks.check_bounds(config, {name: where for name, (_, where) in flat.items()})
        try:
            known = registry.complete(registry.get(config.method), config.params)
        except MuError as error:
            wrong = "params" if config.method in registry.all_methods() else "method"
            raise type(error)(error.what, where=place_of(flat, wrong), hint=error.hint) from error
        config = changed(config, params={name: known[name] for name in sorted(config.params)})
    needed = {
        "merge": ("target", "method"),
        "tune": ("target", "method"),
        "iterate": ("target",) if config.score else (),
        "pilot": ("target", "arms"),
        "compose": ("locales",),
        "embed": ("data",),
    }
    for name in needed.get(config.kind, ()):
        if not getattr(config, name):
            raise MuError(f"a run of kind {config.kind} needs the key {name!r}.", where=place_of(flat, name))
    if config.kind in MERGES:
        if not config.sources and not config.similarity:
            raise MuError(
                "no sources, and no similarity to choose them by.",
                where=place_of(flat, "sources"),
                hint="Name them as `sources: [de-DE, sv-SE]`, or let `similarity: REAL` and `k: 5` choose.",
            )
        if len(config.sources) != len(set(config.sources)):
            raise MuError("a source is named twice.", where=place_of(flat, "sources"))
        if config.heads not in HEADS and not config.heads.startswith("source:"):
            raise MuError(
                f"unknown heads {config.heads!r}.",
                where=place_of(flat, "heads"),
                hint=f"It is one of: {', '.join(HEADS)}, or source:LOCALE.",
            )
    return config


def as_table(config: Config, *, every: bool = False) -> dict[str, Any]:
    """Return nested plain values: the kind and what differs from the defaults, or `every` key."""
    return {"kind": config.kind, **config.model_dump(mode="json", exclude_defaults=not every)}


def dump(config: Config) -> str:
    """Return the whole configuration as YAML that `load` reads back as the same."""
    return dump_table(as_table(config, every=True))


def dump_table(table: Mapping[str, Any]) -> str:
    """Return a table as YAML, its keys in their order."""
    return yaml.safe_dump(dict(table), sort_keys=False, allow_unicode=True)


def digest(config: Config) -> str:
    """Return 12 hex digits over everything that decides the result. A key added later at its default changes nothing."""
    table = {
        name: plain(value)
        for name, value in flat_values(config).items()
        if name not in NOT_DECIDING and (name == "kind" or value != KEYS[name].default)
    }
    text = json.dumps(table, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def plain(value: Any) -> Any:
    """Return a value as JSON and YAML hold it."""
    return list(value) if isinstance(value, tuple) else value


def settings_of(section: ConfigSection) -> dict[str, Any]:
    """Return the keys of a section that are set."""
    return section.model_dump(exclude_none=True)


def training_settings(config: Config) -> dict[str, Any]:
    """Return the keys of `training` that are set, as study.train takes them."""
    return settings_of(config.training)


def problem(name: str, text: str) -> str:
    """Return why a text cannot be the value of one key, for a form that checks while its user types; empty if it can."""
    try:
        validated({name: (text, "")}, None)
    except MuError as error:
        return error.what
    return ""

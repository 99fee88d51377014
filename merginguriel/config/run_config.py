"""How is the configuration of a run read, completed and written? From YAML, tables and --set; keys.py says which there are."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.parse.yaml_lines import Mapping as Lines
from merginguriel.knowledge.parse.yaml_lines import line_of, read_text, read_yaml
from merginguriel.similarity.choice import Options
from merginguriel.similarity.registry import sees_labels
from merginguriel.workspace import Workspace

from . import config_checks, sweep_file, values
from .keys import DEFAULTS, HEADS, KEYS, NOT_DECIDING, SECTIONS, Config, Iterate, Training, schema

__all__ = ["DEFAULTS", "KEYS", "Config", "schema"]

Flat = dict[str, tuple[Any, str]]  # key → value as it was written, and where


def load(path: Path, sets: Sequence[str] = ()) -> Config:
    """The configuration in a YAML file, with `key=value` overrides. Raises MuError with key, file and line."""
    return read(path, sets)[0]


def read(path: Path | None, sets: Sequence[str] = ()) -> tuple[Config, dict[str, str]]:
    """As `load`, and where each key that is not at its default was given: `study.yaml:3`, `--set`.

    path    None: the overrides say everything
    """
    if path is None:
        return built({}, where="", sets=sets, folder=None)
    if not path.is_file():
        raise UsageError("there is no such configuration.", where=str(path))
    table = read_yaml(read_text(path), path)
    if sweep_file.is_sweep(table):
        raise UsageError(
            "this file describes a sweep, not one run.",
            where=str(path),
            mend=f"See its runs: mu sweep {shlex.quote(str(path))} --dry-run",
        )
    return built(table, where=str(path), sets=sets, folder=path.resolve().parent)


def from_table(
    table: Mapping[str, Any], *, where: str = "", sets: Sequence[str] = (), folder: Path | None = None
) -> Config:
    """The configuration that a table means; keys may be nested or dotted, values typed or text.

    where   what errors call the table; folder: where relative paths in it start (None: the working directory)
    """
    return built(table, where=where, sets=sets, folder=folder)[0]


def built(
    table: Any, *, where: str, sets: Sequence[str], folder: Path | None
) -> tuple[Config, dict[str, str]]:
    flat: Flat = {}
    if not isinstance(table, Mapping):
        raise MuError(
            "a configuration is a table of `key: value` lines.", where=f"{where}:1" if where else None
        )
    for name, value, place in flattened(table, where):
        if name in flat:
            raise MuError(f"the key {name!r} is there twice.", where=place or None)
        flat[name] = (value, place)
    for name, value, place in overrides(sets):
        for other in [n for n in flat if n.startswith(f"{name}.")]:
            del flat[other]
        flat[name] = (value, place)
    found: dict[str, Any] = {}
    for name, (value, place) in flat.items():
        top, _, rest = name.partition(".")
        try:
            if values.is_nothing(value):
                continue  # as if it were not there
            if name in KEYS:
                found[name] = values.typed(KEYS[name], value, Path.cwd() if place == "--set" else folder)
            else:
                found[top] = {**found.get(top, {}), rest: values.scalar(value)}
        except ValueError as error:
            raise MuError(f"{name} should be {error}.", where=place or None) from error
        except MuError as error:
            raise type(error)(f"{name}: {error.what}", where=place or None, mend=error.mend) from error
    config = from_flat(found)
    return checked(config, flat), {name: place for name, (_, place) in flat.items()}


def flattened(table: Mapping[str, Any], where: str, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted key, value, place) of every key. Raises MuError for one that is not known."""
    for name, value in table.items():
        dotted = f"{prefix}{name}"
        first = value[0] if isinstance(value, list) and value else value  # a list itself knows no line
        line = getattr(first, "line", None) or (line_of(table, name) if isinstance(table, Lines) else None)
        place = f"{where}:{line}" if where and line else where
        section = dotted in SECTIONS
        open_table = dotted in KEYS and KEYS[dotted].kind == "table"
        if section or open_table:
            if value is None or (isinstance(value, str) and value in ("", "null", "~")):
                continue
            if not isinstance(value, Mapping):
                raise MuError(f"{dotted} should be a table of `key: value` lines.", where=place or None)
        if section:
            yield from flattened(value, where, f"{dotted}.")
        elif open_table:
            for inner, content in value.items():
                at = line_of(value, inner) if isinstance(value, Lines) else None
                yield f"{dotted}.{inner}", content, f"{where}:{at}" if where and at else where
        elif is_key(dotted):
            yield dotted, value, place
        else:
            raise values.unknown(dotted, list(KEYS), place)


def is_key(name: str) -> bool:
    top, _, rest = name.partition(".")
    return name in KEYS or (bool(rest) and top in KEYS and KEYS[top].kind == "table")


def overrides(sets: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    for text in sets:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--set {text!r} is not KEY=VALUE.")
        if name in SECTIONS or (name in KEYS and KEYS[name].kind == "table"):
            raise UsageError(f"--set {name}: name one key of it, like {name}.KEY=VALUE.")
        if not is_key(name):
            raise values.unknown(name, list(KEYS), "--set")
        yield name, read_yaml(value, f"--set {name}") if value.strip() else None, "--set"


def from_flat(found: Mapping[str, Any]) -> Config:
    top = {name: value for name, value in found.items() if "." not in name}
    for section, of in SECTIONS.items():
        inner = {n.partition(".")[2]: v for n, v in found.items() if n.startswith(f"{section}.")}
        top[section] = of(**inner)
    return Config(**top)


def flat_values(config: Config) -> dict[str, Any]:
    """Dotted key → value, of every key."""
    found: dict[str, Any] = {}
    for name in KEYS:
        top, _, rest = name.partition(".")
        found[name] = getattr(getattr(config, top), rest) if rest else getattr(config, top)
    return found


def checked(config: Config, flat: Mapping[str, tuple[Any, str]]) -> Config:
    """The configuration with its parameters typed. Raises MuError for keys that do not go together."""

    def place(name: str) -> str | None:
        exact = flat.get(name) or next((v for n, v in flat.items() if n.startswith(f"{name}.")), None)
        return (exact[1] if exact else flat.get("kind", (None, ""))[1]) or None

    for name, value in flat_values(config).items():
        only = ("iterate",) if name.startswith("iterate.") else KEYS[name].only
        if only and config.kind not in only and value != DEFAULTS[name]:
            raise MuError(
                f"{name} has no meaning for a run of kind {config.kind}.",
                where=place(name),
                mend=f"It is a key of: {', '.join(only)}.",
            )
    if config.method == "similarity":
        config = replace(config, method="linear", similarity=config.similarity or "REAL")
    if config.method:
        from merginguriel.merging import registry

        if config.kind == "merge" and not config.sources and config.method in registry.all_methods():
            # A method that does not merge so many is the wrong one, whatever its parameters.
            config_checks.check_bounds(config, {name: where for name, (_, where) in flat.items()})
        try:
            method = registry.get(config.method)
            known = registry.complete(method, config.params)
        except MuError as error:
            wrong = "params" if config.method in registry.all_methods() else "method"
            raise type(error)(error.what, where=place(wrong), mend=error.mend) from error
        config = replace(config, params={name: known[name] for name in sorted(config.params)})
    for name in {"merge": ("target", "method"), "iterate": ("target",)}.get(config.kind, ()):
        if not getattr(config, name):
            raise MuError(f"a run of kind {config.kind} needs the key {name!r}.", where=place(name))
    if config.kind == "merge":
        if not config.sources and not config.similarity:
            raise MuError(
                "nothing says which sources to merge.",
                where=place("sources"),
                mend="Name them as `sources: [de-DE, sv-SE]`, or let `similarity: REAL` and `k: 5` choose.",
            )
        if config.sources and len(config.sources) != len(set(config.sources)):
            raise MuError("a source is named twice.", where=place("sources"))
        if config.heads not in HEADS and not config.heads.startswith("source:"):
            raise MuError(
                f"heads is {config.heads!r}.", where=place("heads"), mend=f"It is one of: {', '.join(HEADS)}."
            )
    return config


def placed(config: Config, space: Workspace) -> Config:
    """The configuration with the task and the base that mu.toml names, where it names none."""
    from merginguriel.study.study import of_context

    task, base = of_context(space)
    return replace(config, task=config.task or task, base=config.base or base)


def resolved(config: Config, space: Workspace, places: Mapping[str, str] | None = None) -> Config:
    """The configuration with what the workspace says filled in: task, base, and which models there are.

    places  where its keys were given, as `read` tells. Raises MuError naming the key, where the sources that it asks for
            cannot be had: too many, too few for the method, or named and chosen at once
    """
    config = placed(config, space)
    trained = tuple(sorted(study_of(config, space).trained()))
    if config.kind == "iterate" and sees_labels(config.similarity) and not config.sources:
        from merginguriel.study.iterate_study import chosen_now

        now = chosen_now(
            study_of(config, space), config.target, config.mode, config.candidates, config.k,
            str(config.similarity), options_of(config),
        )  # fmt: skip
        config = replace(config, candidates=now)
    if config.kind == "merge" and not config.sources and not config.candidates:
        config = replace(config, candidates=trained)
    if config.kind == "nxn":
        config = replace(config, sources=config.sources or trained, locales=config.locales or trained)
    return config_checks.check(config, places)


def origins(given: Config, found: Config, places: Mapping[str, str]) -> dict[str, str]:
    """Where each key's value came from. given: as `read` built it; found: the same, resolved; places: of `read`."""
    said = {}
    before, after = flat_values(given), flat_values(found)
    for name, value in after.items():
        place = places.get(name) or next((p for n, p in places.items() if n.startswith(f"{name}.")), None)
        if before[name] != value:
            chosen = "chosen by the matrix" if found.kind == "iterate" else "trained here"
            said[name] = "mu.toml" if name in ("task", "base") else chosen
        else:
            said[name] = place or "default"
    return said


def study_of(config: Config, space: Workspace) -> Any:
    """The study (study.study.Study) that the run works in."""
    from merginguriel.study.study import Study

    return Study(
        space,
        config.task or "",
        config.base or "",
        Path(config.data) if config.data else None,
        config.seed,
        dict(config.options),
    )


def as_table(config: Config, *, every: bool = False) -> dict[str, Any]:
    """Nested plain values: the kind and what differs from the defaults, or `every` key."""
    table: dict[str, Any] = {}
    for name, value in flat_values(config).items():
        if every or name == "kind" or value != DEFAULTS[name]:
            top, _, rest = name.partition(".")
            where = table.setdefault(top, {}) if rest else table
            where[rest or top] = values.plain(value)
    return table


def dump(config: Config) -> str:
    """The whole configuration as YAML that `load` reads back as the same."""
    return dump_table(as_table(config, every=True))


def dump_table(table: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(table), sort_keys=False, allow_unicode=True)


def digest(config: Config) -> str:
    """12 hex digits over everything that decides the result. A key added later at its default changes nothing."""
    values_now = flat_values(config).items()
    table = {n: values.plain(v) for n, v in values_now if n == "kind" or v != DEFAULTS[n]}
    table = {name: value for name, value in table.items() if name not in NOT_DECIDING}
    text = json.dumps(table, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def options_of(config: Config) -> Options:
    """Return how the configuration prepares a similarity."""
    table = Path(config.similarity_table) if config.similarity_table else None
    return Options(config.features, config.nearest, config.sinkhorn, config.sinkhorn_steps, table)


def training_settings(config: Config) -> dict[str, Any]:
    """What `study.train` is to be given: the keys of `training` that are set."""
    return settings_of(config.training)


def settings_of(section: Training | Iterate) -> dict[str, Any]:
    """The keys of a section that are set."""
    found = {one.name: getattr(section, one.name) for one in fields(section)}
    return {name: value for name, value in found.items() if value is not None}

"""Fields of the form for a new run, and its plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text
from textual.containers import Horizontal
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Label, Select, Static

from merginguriel.errors import MuError

if TYPE_CHECKING:
    from merginguriel.config.schema import Config, Key

EMBEDDING = (
    "compose.methods", "compose.pooling", "compose.steps", "embed.out", "embed.pooling", "embed.head", "embed.loss",
    "embed.lora_rank", "embed.steps",
)  # fmt: skip
HINTS = {
    "table": "name=value name=value",
    "locales": "de-DE sv-SE …",
    "whole": "a whole number",
    "locale": "sw-KE",
    "method": "ties",
    "base": "e5-small",
}


class Field(NamedTuple):
    """A key of the configuration, and its initial text if the run is based on another."""

    name: str
    key: Key
    given: str

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may be; empty: any text."""
        if self.key.kind == "flag":
            return ("true", "false")
        return self.key.choices if self.key.kind == "word" else ()

    @property
    def initial(self) -> str:
        """Its text before a change; the default if one of a few words must be chosen."""
        return self.given or (set_text(self.key.default) if self.choices else "")


class Checked(NamedTuple):
    """Result of the form: the run, its state and plan, or the error."""

    run: str
    state: str
    lines: list[str]
    config: Config | None
    error: MuError | None


def safe(name: str) -> str:
    """Return the widget id of a key."""
    return "key-" + name.replace(".", "-")


def row_of(field: Field, values: dict[str, list[str]]) -> Horizontal:
    """Return the line of a key: name, field, description. values: kind of a key → known values."""
    key, default = field.key, set_text(field.key.default)
    widget: Widget
    if field.choices:
        widget = Select(
            [(Text(choice), choice) for choice in field.choices], prompt="-", id=safe(field.name), compact=True,
            value=field.initial or Select.NULL, allow_blank=not default,
        )  # fmt: skip
    else:
        known = values.get(key.kind, []) if key.kind != "locales" else []
        widget = Input(
            field.given, placeholder=default or HINTS.get(key.kind, key.kind), id=safe(field.name), compact=True,
            suggester=SuggestFromList(known, case_sensitive=False) if known else None,
        )  # fmt: skip
    doc = Static(
        Text(key.doc, no_wrap=True, overflow="ellipsis"), id=f"{safe(field.name)}-doc", classes="doc"
    )
    return Horizontal(Label(Text(field.name)), widget, doc, id=f"{safe(field.name)}-row", classes="row")


def set_text(value: Any) -> str:
    """Format a value as `--set` takes it."""
    if isinstance(value, dict):
        return " ".join(f"{name}={set_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def tables(value: str, before: str) -> Iterator[str]:
    """Split `density=0.3 scale=1` into single keys; a key that was removed gets an empty value."""
    now = [item if "=" in item else f"{item}=" for item in value.split()]
    names = {item.partition("=")[0] for item in now}
    yield from now
    yield from (f"{name}=" for item in before.split() if (name := item.partition("=")[0]) not in names)


def planned(space: Any, file: Path | None, sets: list[str]) -> Checked:
    """Plan the run as `mu run --dry-run` does.

    Raises:
        MuError: The run cannot be carried out.
    """
    from merginguriel.config import run_config as configs
    from merginguriel.runs import resolve, run_store
    from merginguriel.runs.planning import plan
    from merginguriel.text.runs import plan_lines
    from merginguriel.workspace import writable

    config, locations = configs.read(file, sets)
    configuration = resolve.resolved(config, writable(space), locations)
    name = run_store.run_id(configuration)
    exists = (space.runs / name / "config.yaml").is_file()
    state = run_store.state(run_store.get(space, name)) if exists else "new"
    return Checked(name, state, plan_lines(plan(space, configuration), state), config, None)

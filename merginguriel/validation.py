"""Turn the errors of a pydantic validation into a MuError that names file, line and key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from merginguriel.errors import MuError
from merginguriel.text.suggest import suggest

if TYPE_CHECKING:
    from pydantic import ValidationError

Location = tuple[int | str, ...]
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass
TABLE = "a table of `key: value` lines"
# What a key must be, by the first word of pydantic's error type.
EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "one value, not a list or a table",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "dict": TABLE,
    "mapping": TABLE,
    "model": TABLE,
    "dataclass": TABLE,
    "greater": "{ge} or more",
    "less": "{le} or less",
    "too": "more than nothing",
}


def mu_error(
    error: ValidationError,
    place: Callable[[Location], str | None],
    hint: Callable[[Location], str],
) -> MuError:
    """Return the first problem of a validation as an error for the user.

    Args:
        error: What pydantic raised.
        place: The file and line of a key, by its location in the data.
        hint: What to write instead of an unknown key, by its location.

    Returns:
        A MuError; of a validator that raised a MuError itself, one of the same class.
    """
    # A misspelt key is the reason why another one is missing.
    first = min(error.errors(include_url=False), key=lambda one: one["type"] not in UNKNOWN)
    loc: Location = first["loc"]
    name = dotted(loc)
    where = place(loc)
    raised = first.get("ctx", {}).get("error")
    if isinstance(raised, MuError):
        return type(raised)(f"{name}: {raised.what}", where=where, hint=raised.hint)
    if first["type"] in UNKNOWN:
        return MuError(f"unknown key {name!r}.", where=where, hint=hint(loc))
    if first["type"] == "missing":
        return MuError(f"the key {name!r} is missing.", where=where)
    kind = first["type"].partition("_")[0]
    expected = str(raised) if raised else EXPECTED.get(kind, first["msg"]).format(**first.get("ctx", {}))
    if kind == "string" and not isinstance(first["input"], list | dict):
        return MuError(
            f"{name} must be text, got {first['input']!r}.",
            where=where,
            hint="Put it in quotes if it is text.",
        )
    if isinstance(first["input"], str | int | float | bool):
        expected += f", got {first['input']}" if kind in ("greater", "less") else f", got {first['input']!r}"
    return MuError(f"{name or 'this'} must be {expected}.", where=where)


def dotted(loc: Location) -> str:
    """Return the name of the key at `loc`, without positions in lists: `training.epochs`."""
    return ".".join(part for part in loc if isinstance(part, str))


def did_you_mean(key: str, known: Sequence[str]) -> str:
    """Return a hint for an unknown key: the nearest of the known ones; all of them, if none is near."""
    return suggest(key, known, n=1) or f"Keys are: {', '.join(known)}."


def at(data: Any, loc: Location, otherwise: int = 1) -> int:
    """Return the line of the value at `loc` in data whose parts know their line; of the nearest part that does."""
    line = line_of(data, otherwise)
    for part in loc:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            break
        line = line_of(data, line)
    return line


def line_of(value: Any, otherwise: int) -> int:
    """Return the line of a value as read; of a list, that of its first item."""
    while isinstance(value, list) and value:
        value = value[0]
    return getattr(value, "line", 0) or otherwise

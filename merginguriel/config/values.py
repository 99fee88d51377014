"""How is one value of a configuration read? Kinds of keys, from YAML text or from Python."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merginguriel import locales
from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.parse.yaml_lines import Text

NOTHING = ("", "null", "~")
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")


@dataclass(frozen=True)
class Key:
    """kind: one of `typed`; choices, low, high: what it may be; only: kinds of run that it has a meaning for."""

    kind: str
    doc: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    only: tuple[str, ...] = ()


def unknown(name: str, known: Sequence[str], place: str) -> MuError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?\n" if near else ""
    kind = UsageError if place == "--set" else MuError
    return kind(f"unknown key {name!r}.", where=place or None, mend=f"{hint}Keys are: {', '.join(known)}.")


def typed(key: Key, value: Any, folder: Path | None = None) -> Any:
    """`value` as the key's kind. Raises ValueError that says what it should be, UsageError for no locale."""
    if key.kind in ("locales", "words"):
        found = [checked(key, name) for name in listed(value)]
        return tuple(locales.get(name).tag for name in found) if key.kind == "locales" else tuple(found)
    if isinstance(value, list | tuple | Mapping):
        raise ValueError("one value, not a list or a table")
    if key.kind in ("whole", "number"):
        return number(key, value)
    if key.kind == "flag":
        text = str(value).lower()
        if text not in TRUE + FALSE:
            raise ValueError("true or false")
        return text in TRUE
    text = str(value)
    if key.kind == "locale":
        return locales.get(text).tag
    if key.kind == "folder" or (key.kind == "text" and text != "sources"):
        path = Path(os.path.normpath((folder or Path.cwd()) / Path(text).expanduser()))
        return str(path)
    if key.kind == "base":
        path = Path(os.path.normpath((folder or Path.cwd()) / Path(text).expanduser()))
        # A word is a name, whatever folder happens to lie here; `./word` is that folder.
        return str(path) if path.is_dir() and ("/" in text or os.sep in text) else text
    return checked(key, text)


def is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, Text) and value.bare and value in NOTHING)


def listed(value: Any) -> list[str]:
    """A list, or words with commas or blanks between them, as --set is given them."""
    if isinstance(value, str):
        return value.replace(",", " ").split()
    if not isinstance(value, list | tuple) or any(isinstance(one, list | Mapping) for one in value):
        raise ValueError("a list, like [de-DE, sv-SE]")
    return [str(one) for one in value]


def number(key: Key, value: Any) -> int | float:
    wanted = "a whole number" if key.kind == "whole" else "a number"
    limits = {"at least": key.low, "at most": key.high}
    wanted += "".join(f", {word} {limit:g}" for word, limit in limits.items() if limit is not None)
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{wanted}, not {value!r}") from None
    whole = key.kind == "whole"
    # NaN compares with nothing, and so is refused here.
    inside = (key.low is None or found >= key.low) and (key.high is None or found <= key.high)
    if isinstance(value, bool) or not inside or abs(found) == float("inf") or (whole and found != int(found)):
        raise ValueError(f"{wanted}, not {value!s}")
    return int(found) if whole else found


def checked(key: Key, text: str) -> str:
    if key.choices and text not in key.choices:
        same = [choice for choice in key.choices if choice.lower() == text.lower()]
        if not same:
            raise ValueError(f"one of {', '.join(key.choices)}, not {text!r}")
        return same[0]
    return text


def scalar(value: Any) -> Any:
    """A value of a table whose keys are free (parameters of a method): number, truth or word."""
    if isinstance(value, list | Mapping):
        raise ValueError("a number or a word")
    if not isinstance(value, Text):
        return value
    if not value.bare:
        return str(value)
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return str(value)


def plain(value: Any) -> Any:
    """A value as JSON and YAML hold it."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    return value


def json_schema(key: Key, default: Any) -> dict[str, Any]:
    kinds = {"whole": "integer", "number": "number", "flag": "boolean", "table": "object"}
    found: dict[str, Any] = {"description": key.doc, "default": plain(default)}
    if key.kind in ("locales", "words"):
        items: dict[str, Any] = {"type": "string"} | ({"enum": list(key.choices)} if key.choices else {})
        return {"type": "array", "items": items, **found}
    kind = kinds.get(key.kind, "string")
    if key.choices:
        return {"enum": [*key.choices, *([None] if default is None else [])], **found}
    found = {"type": [kind, "null"] if default is None else kind, **found}
    if key.low is not None:
        found["minimum"] = key.low
    if key.high is not None:
        found["maximum"] = key.high
    return found

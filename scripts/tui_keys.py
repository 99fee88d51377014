"""The tables of keys in docs/tui.md, from the bindings of `mu-tui` themselves.

python scripts/tui_keys.py            # writes them anew between their marks; a test fails where they are out of date
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

import merginguriel_tui
from merginguriel_tui.app import MuApp
from textual.binding import Binding
from textual.screen import ModalScreen

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tui.md"
MARK = re.compile(r"(<!-- keys: (.+?) -->\n).*?(<!-- /keys -->)", re.DOTALL)


def bound() -> dict[str, list[tuple[str, str, str]]]:
    """Class → (keys, what they do, id for mu.toml). Those of dialogs are shown in the dialog."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for module in pkgutil.walk_packages(merginguriel_tui.__path__, "merginguriel_tui."):
        inside: Any = importlib.import_module(module.name)
        for name, cls in inspect.getmembers(inside, inspect.isclass):
            if cls.__module__ != module.name or issubclass(cls, ModalScreen):
                continue
            for one in vars(cls).get("BINDINGS", ()):
                if isinstance(one, Binding) and one.id:
                    found.setdefault(name, []).append((keys(one), one.tooltip or one.description, one.id))
    return found


def keys(binding: Binding) -> str:
    app: Any = MuApp  # how a key is displayed needs no application
    return " ".join(f"`{app.get_key_display(None, Binding(key, '', ''))}`" for key in binding.key.split(","))


def table(classes: str, there: dict[str, list[tuple[str, str, str]]]) -> str:
    lines = [f"| {key} | {does} | `{name}` |" for each in classes.split() for key, does, name in there[each]]
    return "\n".join(["| key | does | id in mu.toml |", "|---|---|---|", *lines]) + "\n"


def renewed(page: str) -> str:
    """The page with its tables as they should be. Raises SystemExit where it has no place for a class."""
    there = bound()
    placed = {name for found in MARK.finditer(page) for name in found[2].split()}
    if missing := set(there) - placed:
        sys.exit(f"docs/tui.md has no place for the keys of {', '.join(sorted(missing))}")
    return MARK.sub(lambda found: found[1] + table(found[2], there) + found[3], page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

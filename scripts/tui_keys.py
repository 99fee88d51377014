"""Write the key tables of docs/tui.md from the bindings of `mu-tui`.

python scripts/tui_keys.py            # writes the tables between their marks; a test fails if they are out of date
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
    """Return class → (keys, description, id for mu.toml). Dialogs show their own keys and are left out."""
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
    """Return the keys of a binding as displayed."""
    app: Any = MuApp  # the class is enough to display a key
    return " ".join(f"`{app.get_key_display(None, Binding(key, '', ''))}`" for key in binding.key.split(","))


def table(classes: str, there: dict[str, list[tuple[str, str, str]]]) -> str:
    """Return the table of these classes as Markdown."""
    lines = [f"| {key} | {does} | `{name}` |" for each in classes.split() for key, does, name in there[each]]
    return "\n".join(["| key | does | id in mu.toml |", "|---|---|---|", *lines]) + "\n"


def renewed(page: str) -> str:
    """Return the page with its tables up to date.

    Raises:
        SystemExit: The page has no place for the keys of a class.
    """
    there = bound()
    placed = {name for found in MARK.finditer(page) for name in found[2].split()}
    if missing := set(there) - placed:
        sys.exit(f"docs/tui.md has no table for the keys of {', '.join(sorted(missing))}")
    return MARK.sub(lambda found: found[1] + table(found[2], there) + found[3], page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

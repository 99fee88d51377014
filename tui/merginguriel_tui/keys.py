"""Which ids may mu.toml give keys to? Those of every binding of every screen."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys

from textual.binding import Binding

from merginguriel.errors import MuError
from merginguriel.workspace import MARKER, Workspace


def ids(screens: list[str]) -> dict[str, str]:
    """Id → what the binding does. screens: modules of screens/, which are imported for it."""
    for name in (*screens, "compose_entry", "launch", "run", "why"):  # these open from the others
        importlib.import_module(f"{__package__}.screens.{name}")
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] != __package__ or module is None:
            continue
        for _, one in inspect.getmembers(module, inspect.isclass):
            for binding in vars(one).get("BINDINGS", ()):
                if isinstance(binding, Binding) and binding.id:
                    found[binding.id] = binding.description
    return found


def unknown(keymap: dict[str, str], screens: list[str], space: Workspace) -> list[MuError]:
    """A note for every id of the keymap that no binding has, naming the nearest."""
    there = ids(screens)
    wrong = []
    for name in keymap:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=3, cutoff=0.4)
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            wrong.append(
                MuError(
                    f"tui.keys.{name}: no binding has this id.",
                    where=str(space.root / MARKER),
                    mend=f"{hint}The help (?) shows the ids.",
                )
            )
    return wrong

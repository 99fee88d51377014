"""Registry of screens, each imported when it is first opened, and of the bindings that mu.toml can change."""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.keys import _normalize_key_list
from textual.screen import ModalScreen, Screen

from merginguriel.errors import MuError

# name → (module of screens/, class, description in the palette)
SCREENS = {
    "home": ("home", "HomeScreen", "What to do next"),
    "advise": ("advise", "AdviseScreen", "Advice: merge or not, how, from which sources, and how sure"),
    "skills": ("skills", "SkillsScreen", "Skills and their claims, with the evidence of each"),
    "log": ("log", "LogScreen", "Experiment log: what was tried and what came out"),
    "runs": ("runs", "RunsScreen", "Runs in progress and finished runs"),
    "compare": ("compare", "CompareScreen", "Two or more runs side by side"),
    "matrix": ("matrix", "MatrixScreen", "Accuracy of every model on every locale"),
}
# Screens that open from one of the six.
INNER = {
    "run": ("run", "RunScreen"),
    "launch": ("launch", "LaunchScreen"),
    "import": ("import_models", "ImportScreen"),
    "compose": ("compose_entry", "ComposeScreen"),
    "pilot": ("pilot", "PilotScreen"),
    "ledger": ("ledger", "LedgerScreen"),
    "evidence": ("evidence", "EvidenceScreen"),
}


def create(name: str, *args: Any, **options: Any) -> Screen[None]:
    """Import the screen `name` and create it with these arguments."""
    module, attribute, *_ = SCREENS.get(name) or INNER[name]
    screen: Screen[None] = getattr(importlib.import_module(f".screens.{module}", __package__), attribute)(
        *args, **options
    )
    return screen


def bindings() -> list[tuple[type, Binding]]:
    """Return (class, binding) of every binding that mu.toml can change. Imports all screens."""
    screens = [entry[0] for entry in (*SCREENS.values(), *INNER.values())]
    for name in ("app", "dialogs", *(f"screens.{name}" for name in (*screens, "landing"))):
        importlib.import_module(f"{__package__}.{name}")
    result = {}
    for name, module in sorted(sys.modules.copy().items()):
        if name.partition(".")[0] != __package__ or module is None:
            continue
        for _, cls in inspect.getmembers(module, inspect.isclass):
            for binding in vars(cls).get("BINDINGS", ()):
                if isinstance(binding, Binding) and binding.id:
                    result[cls, binding.id, binding.key] = cls, binding
    return list(result.values())


def binding_ids() -> dict[str, str]:
    """Return id → description of every binding that mu.toml can change."""
    return {str(binding.id): binding.description for _, binding in bindings()}


def together(one: type, other: type) -> bool:
    """Return True if bindings of both classes can be active at the same time."""
    if issubclass(one, other) or issubclass(other, one):
        return True
    if any(issubclass(cls, ModalScreen) for cls in (one, other)):
        return False  # a dialog has its own keys
    return any(issubclass(cls, App) for cls in (one, other))


def clashes(keymap: dict[str, str], where: str) -> list[MuError]:
    """Return an error for every key of the keymap that another action has too."""
    found = bindings()
    used = [
        (cls, str(binding.id), set(_normalize_key_list(keymap.get(str(binding.id), binding.key)).split(",")))
        for cls, binding in found
    ]
    pairs = {
        (name, *sorted((one, other)))
        for cls, one, keys in used
        if one in keymap
        for other_cls, other, others in used
        if other != one and together(cls, other_cls)
        for name in keys & others
    }
    hint = "Choose another key for one of them in [tui.keys]."
    return [
        MuError(f"tui.keys: the key {key} means both {one} and {other}.", where=where, hint=hint)
        for key, one, other in sorted(pairs)
    ]


def unknown_ids(keymap: dict[str, str], where: str) -> list[MuError]:
    """Return an error for every id of the keymap that no binding has, with the nearest ids."""
    from merginguriel.text.suggest import suggest

    known = binding_ids()
    errors = []
    for name in keymap:
        if name not in known:
            hint = f"{suggest(name, known, cutoff=0.4)} The help (?) lists the ids.".lstrip()
            errors.append(MuError(f"unknown key id tui.keys.{name}.", where=where, hint=hint))
    return errors

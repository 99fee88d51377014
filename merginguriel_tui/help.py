"""Which keys are there? Made from the bindings of the screen that asked, so that it cannot be out of date."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static


def rows(asked: Screen[object]) -> list[tuple[str, str, str]]:
    """(keys, what they do, id for mu.toml) of every binding that is active, those of the screen first."""
    found: dict[tuple[str, str], tuple[list[str], str]] = {}
    for node, binding, _, _ in asked.active_bindings.values():
        if binding.description and not binding.system:
            where = "" if node is asked.app else "screen"
            key = asked.app.get_key_display(binding)
            keys, _ = found.setdefault((where, binding.description), ([], binding.id or ""))
            if key not in keys:
                keys.append(key)
    ordered = sorted(found.items(), key=lambda item: item[0][0] == "")
    return [(" ".join(keys), said, name) for (_, said), (keys, name) in ordered]


class HelpScreen(ModalScreen[None]):
    """The keys of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q,f1", "dismiss", "Close")]

    def __init__(self, asked: Screen[object]) -> None:
        super().__init__()
        self.asked = asked

    def compose(self) -> ComposeResult:
        table = Table("key", "does", "id in mu.toml", box=None, padding=(0, 2))
        for keys, said, name in rows(self.asked):
            table.add_row(keys, said, name)
        with VerticalScroll(id="help"):
            yield Static(table)

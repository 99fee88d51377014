"""Which keys are there? Made from the bindings of the screen that asked, so that it cannot be out of date."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

HEADS = ("here", "on this screen", "everywhere")


def rows(asked: Screen[object]) -> dict[str, list[tuple[str, str, str]]]:
    """(keys, what they do, id for mu.toml) of every active binding: of what has the focus, the screen, everywhere."""
    found: dict[str, dict[str, tuple[list[str], str]]] = {head: {} for head in HEADS}
    for node, binding, _, _ in asked.active_bindings.values():
        if binding.description and not binding.system and not idle(node, binding):
            head = HEADS[2] if node is asked.app else HEADS[1] if node is asked else HEADS[0]
            key = asked.app.get_key_display(binding)
            keys, _ = found[head].setdefault(binding.description, ([], binding.id or ""))
            if key not in keys:
                keys.append(key)
    return {
        head: [(" ".join(keys), said, name) for said, (keys, name) in inside.items()]
        for head, inside in found.items()
        if inside
    }


def idle(node: DOMNode, binding: Binding) -> bool:
    """Is it every widget's own scrolling, of one that is shown as a whole?"""
    name = f"action_{binding.action}"
    if not isinstance(node, Widget) or not name.startswith(("action_scroll_", "action_page_")):
        return False
    if getattr(type(node), name, None) is not getattr(Widget, name):
        return False
    sideways = name.endswith(("left", "right"))
    return not (node.allow_horizontal_scroll if sideways else node.allow_vertical_scroll)


class HelpScreen(ModalScreen[None]):
    """The keys of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1", "dismiss", "Close", id="help.close"),
        Binding("j", "app.simulate_key('down')", "Down", id="down"),
        Binding("k", "app.simulate_key('up')", "Up", id="up"),
    ]

    def __init__(self, asked: Screen[object]) -> None:
        super().__init__()
        self.asked = asked

    def compose(self) -> ComposeResult:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for head, inside in rows(self.asked).items():
            if table.row_count:
                table.add_row()
            table.add_row(Text(head, "bold underline"), "", Text("id in mu.toml", "dim"))
            for keys, said, name in inside:
                table.add_row(Text(keys), Text(said), Text(name, "dim"))
        with VerticalScroll(id="help"):
            yield Static(table, markup=False)

"""Should this be done? What it is stands above, and nothing happens until it is said."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static


class Confirm(ModalScreen[bool]):
    """Gives True for yes. `what`: shown as it is, never read as markup."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes", id="confirm.yes"),
        Binding("escape,n", "dismiss(False)", "No", id="confirm.no"),
    ]

    def __init__(self, title: str, what: str, yes: str) -> None:
        super().__init__()
        self.asked, self.what, self.yes = title, what, yes

    def compose(self) -> ComposeResult:
        with Vertical(id="confirm"):
            yield Static(Text(self.asked, "bold"))
            with VerticalScroll(id="confirmed"):
                yield Static(Text(self.what))
            with Horizontal(id="answers"):
                yield Button(Text(f"{self.yes} (y)"), id="yes", variant="primary", compact=True)
                yield Button(Text("No (n)"), id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#yes").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

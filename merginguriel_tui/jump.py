"""How does one get to any part of a screen in two keys? Every place that can be focused gets a letter."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen, Screen
from textual.widgets import Label

LETTERS = "asdfghlqwertuiopzxcvbnm"


class JumpScreen(ModalScreen[str | None]):
    """Letters over the screen below; one of them goes there. Gives the widget's id."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "Cancel")]

    def __init__(self, asked: Screen[object]) -> None:
        super().__init__()
        places = [w for w in asked.focus_chain if w.id and w.region.height]
        self.places = dict(zip(LETTERS, places, strict=False))

    def compose(self) -> ComposeResult:
        for letter, widget in self.places.items():
            label = Label(f" {letter} ", classes="jump")
            label.styles.offset = (widget.region.x, widget.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        if event.key in self.places:
            event.stop()
            self.dismiss(self.places[event.key].id)

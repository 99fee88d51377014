"""How does one get to any part of a screen in two keys? Every place that can be focused gets a letter."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Label

LETTERS = "asdfghlqwertuiopzxcvbnm"


def places(asked: Screen[object]) -> dict[str, Widget]:
    """Letter → a widget that is to be seen and can have the focus."""
    seen = [w for w in asked.focus_chain if w.id and asked.region.overlaps(w.region) and w.region.area]
    return dict(zip(LETTERS, seen, strict=False))


class JumpScreen(ModalScreen[str | None]):
    """Letters over the screen below; one of them goes there. Gives the widget's id."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+o", "dismiss", "Cancel", id="jump.cancel")]

    def __init__(self, asked: Screen[object]) -> None:
        super().__init__()
        self.places = places(asked)

    def compose(self) -> ComposeResult:
        for letter, widget in self.places.items():
            label = Label(f"[{letter}]", classes="jump", markup=False)
            label.styles.offset = (widget.region.x, widget.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        if event.key in self.places:
            event.stop()
            self.dismiss(self.places[event.key].id)

    def on_resize(self) -> None:
        """The places below are elsewhere now."""
        for widget, label in zip(self.places.values(), self.query(Label), strict=False):
            label.styles.offset = (widget.region.x, widget.region.y)

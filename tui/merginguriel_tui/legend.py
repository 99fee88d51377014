"""What do the words of an answer mean? The key that `mu advise --explain` prints, over the screen."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static


class WordsScreen(ModalScreen[None]):
    """A word and its meaning in a line each; any of the keys that open it closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,e,q", "dismiss", "Close", id="words.close"),
        Binding("j", "app.simulate_key('down')", "Down", id="words.down"),
        Binding("k", "app.simulate_key('up')", "Up", id="words.up"),
    ]

    def compose(self) -> ComposeResult:
        from merginguriel.text.advice import LEGEND

        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for word, meaning in LEGEND:
            table.add_row(Text(word, "bold"), Text(meaning))
        with VerticalScroll(id="words"):
            yield Static(table, markup=False)

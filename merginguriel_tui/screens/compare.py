"""..."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input, Static

from ..base import MuScreen


class CompareScreen(MuScreen):
    """..."""

    NAME = "compare"

    def body(self) -> ComposeResult:
        yield Input(id="find", placeholder="find")
        yield Static("compare", id="main")

    def show(self, *what: str) -> None:
        self.command = f"mu compare {' '.join(what)}".strip()

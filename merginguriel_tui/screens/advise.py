"""..."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input, Static

from ..base import MuScreen


class AdviseScreen(MuScreen):
    """..."""

    NAME = "advise"

    def body(self) -> ComposeResult:
        yield Input(id="find", placeholder="find")
        yield Static("advise", id="main")

    def show(self, *what: str) -> None:
        self.command = f"mu advise {' '.join(what)}".strip()

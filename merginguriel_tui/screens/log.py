"""..."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input, Static

from ..base import MuScreen


class LogScreen(MuScreen):
    """..."""

    NAME = "log"

    def body(self) -> ComposeResult:
        yield Input(id="find", placeholder="find")
        yield Static("log", id="main")

    def show(self, *what: str) -> None:
        self.command = f"mu log {' '.join(what)}".strip()

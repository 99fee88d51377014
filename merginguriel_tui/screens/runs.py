"""..."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input, Static

from ..base import MuScreen


class RunsScreen(MuScreen):
    """..."""

    NAME = "runs"

    def body(self) -> ComposeResult:
        yield Input(id="find", placeholder="find")
        yield Static("runs", id="main")

    def show(self, *what: str) -> None:
        self.command = f"mu runs {' '.join(what)}".strip()

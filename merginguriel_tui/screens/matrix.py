"""..."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input, Static

from ..base import MuScreen


class MatrixScreen(MuScreen):
    """..."""

    NAME = "matrix"

    def body(self) -> ComposeResult:
        yield Input(id="find", placeholder="find")
        yield Static("matrix", id="main")

    def show(self, *what: str) -> None:
        self.command = f"mu matrix {' '.join(what)}".strip()

"""..."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input, Static

from ..base import MuScreen


class SkillsScreen(MuScreen):
    """..."""

    NAME = "skills"

    def body(self) -> ComposeResult:
        yield Input(id="find", placeholder="find")
        yield Static("skills", id="main")

    def show(self, *what: str) -> None:
        self.command = f"mu skills {' '.join(what)}".strip()

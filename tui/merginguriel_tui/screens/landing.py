"""Write an entry from any screen; after it is added, show the advice before and after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from merginguriel.text.tables import plain
from merginguriel_tui.base import Client, Dialog, MuScreen, key_of
from merginguriel_tui.registry import create

from . import log_data

if TYPE_CHECKING:
    from merginguriel.loop.entry_effect import EntryEffect
    from merginguriel.workspace import Workspace

    Found = tuple[list[EntryEffect], int, list[tuple[str, str]]]


def write(screen: MuScreen, kind: str, source: str, then: Callable[[str | None], Any]) -> None:
    """Open the editor on an entry.

    Args:
        screen: The screen below.
        kind: `draft`, `run` or `empty`, as for `log_data.begin`.
        source: Id of the draft or run, or the type of the entry.
        then: Called with the id of the new entry, or None, once the editor is closed.
    """
    space = screen.mu.space

    def done(entry: str | None) -> None:
        screen.mu.landed += bool(entry)
        then(entry)
        if entry:
            show_effect(screen, entry)

    def opened(begun: tuple[str, Any]) -> None:
        screen.app.push_screen(create("compose", *begun, done, filled=kind != "draft"))

    screen.load(lambda: log_data.begin(space, kind, source), opened, group="begin")


def show_effect(screen: MuScreen, entry: str) -> None:
    """Compute in a thread what an entry changed, and show it if it has merges."""
    space = screen.mu.space

    def shown(found: Found) -> None:
        if found[0] or found[2]:
            screen.app.push_screen(LandedScreen(entry, found))

    screen.load(lambda: effect(space, entry), shown, group="effect")


def effect(space: Workspace, entry: str) -> Found:
    """Return the effects of an entry on advice, the number of questions that it bears on, and rows that repeat others."""
    from merginguriel.knowledge.base import load
    from merginguriel.loop import entry_effect

    knowledge = load(space)
    return *entry_effect.effects(knowledge, entry), entry_effect.repeats(knowledge, entry)


class LandedScreen(Dialog[None]):
    """Advice before and after an entry, with what moved it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close", id="landed.close"),
        Binding("a", "advice", "Advice", id="landed.advice", tooltip="Go to the advice on the first of these targets"),
    ]  # fmt: skip

    def __init__(self, entry: str, found: Found) -> None:
        super().__init__()
        self.entry = entry
        self.effects, self.questions, self.repeats = found

    def compose(self) -> ComposeResult:
        """Yield the changes, one part per target."""
        text = Text(f"In the log: {self.entry}\n", "bold")
        for one in self.effects:
            text.append(f"\n{one.target}  {one.mode}  {one.context}\n", "bold")
            text.append("".join(f"  {plain(line)}\n" for line in one.changes), "not bold")
        if self.questions > len(self.effects):
            rest = self.questions - len(self.effects)
            text.append(f"\n{rest} more: mu advise --target LOCALE --since {self.entry}\n", "dim not bold")
        for ref, other in self.repeats:
            row, same = (one.removeprefix(self.entry) for one in (ref, other))
            text.append(f"\n{row}: same measurement as {same}, not counted\n", "not bold")
        keys = f"{key_of(self, 'landed.advice')}: the advice now   {key_of(self, 'landed.close')}: close"
        text.append(f"\n{keys}", "dim not bold")
        with VerticalScroll(id="landed"):
            yield Static(text)

    def action_advice(self) -> None:
        """Close, and go to the advice on the first target."""
        app = self.app
        assert isinstance(app, Client)
        self.dismiss()
        if self.effects:
            first = self.effects[0]
            app.call_later(app.action_go, "advise", first.target, first.context)

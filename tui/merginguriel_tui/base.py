"""What is the same on every screen? The tabs above, the command below, and loading off the UI thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from merginguriel.errors import TOLD, MuError, told

from .widgets.keybar import KeyBar

if TYPE_CHECKING:
    from .app import MuApp

T = TypeVar("T")


class Tabs(Widget):
    """The six screens, with the number that goes to each, and the key that tells all others; a click goes there too."""

    def __init__(self, current: str) -> None:
        super().__init__(id="tabs")
        self.current = current

    def labels(self) -> list[tuple[str, str]]:
        """(screen, what stands for it): where the terminal is narrow, its number alone."""
        from .app import SCREENS

        found = []
        for number, name in enumerate(SCREENS, start=1):
            said = f"{number} {name}" if self.size.width >= 64 or name == self.current else str(number)
            # Brackets beside the colour, so that colour is never the only signal.
            found.append((name, f"[{said}]" if name == self.current else f" {said} "))
        return found

    def render(self) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        for name, label in self.labels():
            line.append(label, "bold reverse" if name == self.current else "")
        space = self.app.space  # type: ignore[attr-defined]
        from merginguriel.cli.common import plain

        where = "shipped knowledge" if space.shipped else "demo" if self.app.demo else homely(space.root)  # type: ignore[attr-defined]
        room = self.size.width - line.cell_len - len(self.ways()) - 4
        if room > 0:
            told = Text(plain(where), "dim")
            told.truncate(room, overflow="ellipsis", pad=True)
            line.append("  ").append_text(told)
        line.append(f"  {self.ways()}", "dim")
        return line

    def ways(self) -> str:
        """How to find out all the rest; the palette stands at the end of the line of keys."""
        for _, binding, _, _ in self.screen.active_bindings.values():
            if binding.id == "keys":
                return f"{self.app.get_key_display(binding)} keys"
        return ""

    def on_click(self, event: events.Click) -> None:
        at = 0
        for name, label in self.labels():
            at += len(label)
            if event.x < at:
                self.app.action_go(name)  # type: ignore[attr-defined]
                return
        if event.x >= self.size.width - len(self.ways()):
            self.app.call_later(self.app.run_action, "keys")


def homely(path: Path) -> str:
    """`~/work` for what lies in the user's home."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


class CommandBar(Static):
    """The `mu` command that does what the screen shows."""

    def say(self, command: str) -> None:
        self.update(Text(f" $ {command}", "dim", no_wrap=True, overflow="ellipsis"))


class MuScreen(Screen[None]):
    """A screen: tabs, a body of its own, the command, the keys."""

    NAME: ClassVar[str] = ""
    LEAVE_TO: ClassVar[str] = ""  # id of the widget that `escape` goes to from a field; none: to nothing
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "app.simulate_key('down')", "Down", id="down", show=False),
        Binding("k", "app.simulate_key('up')", "Up", id="up", show=False),
        Binding("escape", "leave", "Leave the field", id="leave", show=False),
    ]
    command: reactive[str] = reactive("", init=False)
    holding = False  # what is written on it must not be closed for another place

    @property
    def mu(self) -> MuApp:
        from .app import MuApp

        assert isinstance(self.app, MuApp)
        return self.app

    def compose(self) -> ComposeResult:
        # Before there are widgets: the first resize, which sets it otherwise, would style them all again.
        fits = [name for least, name in self.HORIZONTAL_BREAKPOINTS or () if self.app.size.width >= least]
        if fits:
            self.set_class(True, fits[-1], update=False)
        yield Tabs(self.NAME)
        with Container(id="body"):
            yield from self.body()
        yield CommandBar(id="command")
        yield KeyBar(id="keys")

    def body(self) -> ComposeResult:
        """The screen's own widgets."""
        yield from ()

    def on_mount(self) -> None:
        # After the first paint: what is shown first are the frames, then what is in them.
        self.call_after_refresh(self.open_what)

    def watch_command(self, command: str) -> None:
        for bar in self.query(CommandBar):
            bar.say(self.mu.anywhere(command))

    def open_what(self) -> None:
        """Show what was asked for with the screen's name; taken once. One that is being made does so when it is there."""
        if self.is_mounted:
            self.show(*self.mu.what.pop(self.NAME, ()))

    def show(self, *what: str) -> None:
        """Load and show `what`: a target, a skill, an entry, runs. Nothing: where one was, or the beginning."""

    def reload(self) -> None:
        """Read the files again."""
        self.show()

    def action_leave(self) -> None:
        """Out of a field, to where keys are commands again."""
        field = self.focused
        # An area of text by its name: its import would take a twentieth of the time to the first paint.
        if isinstance(field, Input) or "TextArea" in {cls.__name__ for cls in type(field).__mro__}:
            found = self.query(f"#{self.LEAVE_TO}") if self.LEAVE_TO else None
            self.set_focus(found.first() if found else None)

    def remembered(self) -> dict[str, Any]:
        """What the last session left of this screen: anything may stand in it, for it is read from a file."""
        found = self.mu.kept.get(self.NAME)
        return found if isinstance(found, dict) else {}

    def remember(self, **what: Any) -> None:
        """Kept for the next session."""
        self.mu.kept[self.NAME] = {**self.remembered(), **what}

    def copied(self, how: str) -> str:
        """What `y` (text), `M` (markdown), `C` (csv) and `Y` (command) copy."""
        return self.command if how == "command" else ""

    def load(
        self,
        work: Callable[[], T],
        then: Callable[[T], Any],
        *,
        group: str = "load",
        otherwise: Callable[[MuError], Any] | None = None,
    ) -> None:
        """Do `work` in a thread, then call `then` with what it gives; a later call of the group replaces it.

        An error of the core or of the system is told as a note, or goes to `otherwise`; the screen stays as it was.
        """

        def run() -> None:
            worker = get_current_worker()
            try:
                found = work()
            except TOLD as error:
                said = told(error)
                if said is None:
                    raise
                if not worker.is_cancelled:
                    self.call_later(otherwise or self.mu.tell, said)
                return
            if not worker.is_cancelled:
                # Not waited for: `then` may load again in the same group, which would cancel a worker that waits.
                self.call_later(then, found)

        self.run_worker(run, thread=True, exclusive=True, group=group, exit_on_error=True)

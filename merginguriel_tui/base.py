"""What is the same on every screen? The tabs above, the command below, and loading off the UI thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Footer, Static
from textual.worker import get_current_worker

from merginguriel.errors import MuError

if TYPE_CHECKING:
    from .app import MuApp

T = TypeVar("T")


class Tabs(Static):
    """The six screens, with the number that goes to each."""

    def __init__(self, current: str) -> None:
        super().__init__(id="tabs")
        self.current = current

    def on_mount(self) -> None:
        from .app import SCREENS

        line = Text(" ")
        for number, name in enumerate(SCREENS, start=1):
            here = name == self.current
            # Brackets beside the colour, so that colour is never the only signal.
            line.append(
                f"[{number} {name}]" if here else f" {number} {name} ", "bold reverse" if here else ""
            )
            line.append(" ")
        space = self.app.space  # type: ignore[attr-defined]
        line.append(f"  {'shipped knowledge' if space.shipped else space.root}", "dim")
        self.update(line)


class CommandBar(Static):
    """The `mu` command that does what the screen shows."""

    def say(self, command: str) -> None:
        self.update(Text(f" $ {command}", "dim", no_wrap=True, overflow="ellipsis"))


class MuScreen(Screen[None]):
    """A screen: tabs, a body of its own, the command, the keys."""

    NAME: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "app.simulate_key('down')", "Down", show=False),
        Binding("k", "app.simulate_key('up')", "Up", show=False),
    ]
    command: reactive[str] = reactive("", init=False)

    @property
    def mu(self) -> MuApp:
        from .app import MuApp

        assert isinstance(self.app, MuApp)
        return self.app

    def compose(self) -> ComposeResult:
        yield Tabs(self.NAME)
        with Container(id="body"):
            yield from self.body()
        yield CommandBar(id="command")
        yield Footer()

    def body(self) -> ComposeResult:
        """The screen's own widgets."""
        yield from ()

    def on_mount(self) -> None:
        # After the first paint: what is shown first are the frames, then what is in them.
        self.call_after_refresh(self.open_what)

    def watch_command(self, command: str) -> None:
        for bar in self.query(CommandBar):
            bar.say(command)

    def open_what(self) -> None:
        """Show what was asked for with the screen's name; taken once. One that is being made does so when it is there."""
        if self.is_mounted:
            self.show(*self.mu.what.pop(self.NAME, ()))

    def show(self, *what: str) -> None:
        """Load and show `what`: a target, a skill, an entry, runs. Nothing: where one was, or the beginning."""

    def reload(self) -> None:
        """Read the files again."""
        self.show()

    def copied(self, how: str) -> str:
        """What `y` (text), `Y` (command), and the palette (markdown, csv) copy."""
        return self.command if how == "command" else ""

    def load(self, work: Callable[[], T], then: Callable[[T], Any], *, group: str = "load") -> None:
        """Do `work` in a thread, then call `then` with what it gives; a later call of the group replaces it.

        An error of the core is told as a note; the screen stays as it was.
        """

        def run() -> None:
            worker = get_current_worker()
            try:
                found = work()
            except MuError as error:
                if not worker.is_cancelled:
                    self.app.call_from_thread(self.mu.tell, error)
                return
            if not worker.is_cancelled:
                self.app.call_from_thread(then, found)

        self.run_worker(run, thread=True, exclusive=True, group=group, exit_on_error=True)

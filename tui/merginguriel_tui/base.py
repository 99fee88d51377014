"""Base of every screen (tabs, command, keys, background loading) and the state that screens share."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.keys import key_to_character
from textual.reactive import reactive
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from merginguriel import workspace
from merginguriel.errors import USER_ERRORS, MuError, as_mu_error
from merginguriel.files import csv_text
from merginguriel.text.tables import columns, plain
from merginguriel.workspace import Workspace

from .registry import SCREENS
from .widgets.keybar import KeyBar

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.problems import Problem

T = TypeVar("T")
BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (120, "-wide")]  # columns → class of a screen


class Client(App[None]):
    """State and services of the application that its screens use."""

    def __init__(self, space: Workspace, saved_state: dict[str, Any], *, demo: bool = False) -> None:
        super().__init__()
        self.space, self.saved_state, self.demo = space, saved_state, demo
        self.what: dict[str, tuple[str, ...]] = {}  # screen → what to open when it is next shown
        self.elsewhere = "" if _is_nearest(space) else f" --workspace {shlex.quote(str(space.root))}"
        self.drafts_outside: list[Path] = []  # drafts that could not be saved in the workspace
        self.noted: tuple[Problem, ...] = ()  # problems of files that were last reported
        self.begun: set[str] = set()  # runs started here since the last check
        self.landed = 0  # entries added to the log here
        self.at_work = 0  # running runs, by the last check

    def action_go(self, name: str, *what: str) -> None:
        """Switch to the screen `name` and open `what` there."""
        current = self.current_mode == name
        if what:
            self.what[name] = what
        self.switch_mode(name)
        self.saved_state["screen"] = name
        while what and len(self.screen_stack) > 1 and not getattr(self.screen, "holding", False):
            self.pop_screen()  # `what` is shown by the screen itself, not by one on top of it
        screen = self.screen
        if what and isinstance(screen, MuScreen) and (current or screen.is_mounted):
            screen.open_what()

    async def action_focus(self, widget_id: str) -> None:
        """Focus a widget of this screen; Textual's own action finds only those of the screen that was shown first."""
        self.screen.query(f"#{widget_id}").focus()

    def anywhere(self, command: str) -> str:
        """Return the command with the options that it needs in the folder where `mu-tui` was started."""
        return command + self.elsewhere if command.startswith("mu ") else command

    def show_error(self, error: MuError) -> None:
        """Show an error as a notification. Its text is data, not markup."""
        self.notify(plain(error.render()), severity="error", timeout=12, markup=False)

    def note_problems(self, knowledge: Knowledge) -> None:
        """Say how many files have problems, once for the same ones."""
        found = knowledge.problems
        if found != self.noted and found:
            count = f"{len(found)} problem{'s' * (len(found) != 1)}"
            first = plain(f"{found[0].where}: {found[0].what}".replace(f"{self.space.root}/", ""))
            key = key_of(self.screen, "problems")
            text = f"{count} in the files of this workspace; press {key} for the list.\n{first}"
            self.notify(text, severity="warning", markup=False)
        self.noted = found

    def follow_run(self, name: str) -> None:
        """Report the end of a run that was started here, even if it ends before the next check."""
        self.begun.add(name)


def key_of(screen: Screen[Any], name: str) -> str:
    """Return the key of the active binding with this id, as shown; empty if none is active. In a field, not a letter."""
    active = [item.binding for item in screen.active_bindings.values() if item.binding.id == name]
    if isinstance(screen, MuScreen) and screen.in_field():
        active.sort(key=lambda one: key_to_character(one.key) is not None)
    return screen.app.get_key_display(active[0]) if active else ""


def _is_nearest(space: Workspace) -> bool:
    """Return True if `mu`, called in the current folder, would use this workspace."""
    try:
        return workspace.find().root == space.root
    except (MuError, OSError):
        return False


class Tabs(Widget):
    """The screens with their numbers, the workspace, and the key that opens the help. A click works too."""

    def __init__(self, current: str) -> None:
        super().__init__(id="tabs")
        self.current = current
        self.hint = ""  # as drawn

    def on_mount(self) -> None:
        """Follow the focus: in a field, another key opens the help."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if self.help_hint() != self.hint:
            self.refresh()

    def labels(self) -> list[tuple[str, str]]:
        """Return (screen, label) for each screen; in a narrow terminal the label is the number alone."""
        result = []
        assert isinstance(self.app, Client)
        for number, name in enumerate(SCREENS):
            label = f"{number} {name}" if self.size.width >= 72 or name == self.current else str(number)
            if name == "runs" and self.app.at_work:
                label += f" ▶{self.app.at_work}"
            # Brackets beside the colour: colour must never be the only signal.
            result.append((name, f"[{label}]" if name == self.current else f" {label} "))
        return result

    def render(self) -> Text:
        """Draw the line."""
        assert isinstance(self.app, Client)
        line = Text(no_wrap=True, overflow="ellipsis")
        for name, label in self.labels():
            line.append(label, "bold reverse" if name == self.current else "")
        self.hint = self.help_hint()
        space = self.app.space
        where = "shipped knowledge" if space.shipped else "demo" if self.app.demo else homely(space.root)
        width = self.size.width - line.cell_len - len(self.hint) - 4
        if width > 0:
            location = Text(plain(where), "dim")
            location.truncate(width, overflow="ellipsis", pad=True)
            line.append("  ").append_text(location)
        line.append(f"  {self.hint}", "dim")
        return line

    def help_hint(self) -> str:
        """Return `? keys`, with the key that opens the help now."""
        key = self.screen.key_of("keys") if isinstance(self.screen, MuScreen) else ""
        return f"{key} keys" if key else ""

    def on_click(self, event: events.Click) -> None:
        """Open the screen, or the help, that was clicked."""
        assert isinstance(self.app, Client)
        at = 0
        for name, label in self.labels():
            at += len(label)
            if event.x < at:
                self.app.action_go(name)
                return
        if event.x >= self.size.width - len(self.hint):
            self.app.call_later(self.app.run_action, "keys")


def homely(path: Path) -> str:
    """Return the path with the user's home shortened to `~`."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


class CommandBar(Static):
    """The `mu` command that does what the screen shows."""

    def show_command(self, command: str) -> None:
        """Replace the command."""
        self.update(Text(f" $ {command}", "dim", no_wrap=True, overflow="ellipsis"))


class Dialog(ModalScreen[T]):
    """A dialog over a screen; the help shows its keys."""

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > Vertical, Dialog > VerticalScroll { border: round $accent; background: $surface; padding: 0 1; }
    Dialog > VerticalScroll { width: 90%; max-width: 100; height: 80%; padding: 1 2; }
    Dialog > .asked { width: 60%; max-width: 70; height: auto; max-height: 80%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "app.simulate_key('down')", "Down", id="down", show=False),
        Binding("k", "app.simulate_key('up')", "Up", id="up", show=False),
        Binding("question_mark,f1", "app.keys", "Keys", id="dialog.keys", show=False, tooltip="Show the keys that work here"),
    ]  # fmt: skip


class MuScreen(Screen[None]):
    """A screen: tabs, a body of its own, the command, the keys."""

    NAME: ClassVar[str] = ""
    OPENS: ClassVar[bool] = True  # shows what was requested with its name; False: it is over such a screen
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    LEAVE_TO: ClassVar[str] = ""  # id of the widget that `escape` focuses from a field; empty: none
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "app.simulate_key('down')", "Down", id="down", show=False),
        Binding("k", "app.simulate_key('up')", "Up", id="up", show=False),
        Binding("escape", "leave", "Leave the field", id="leave", show=False),
    ]
    command: reactive[str] = reactive("", init=False)
    last_error = ""  # of a repeated action; empty after a success
    holding = False  # True while it holds unsaved text and must not be closed for another screen

    @property
    def mu(self) -> Client:
        """The application, with its workspace and services."""
        assert isinstance(self.app, Client)
        return self.app

    def compose(self) -> ComposeResult:
        """Yield the tabs, the body and the two lines at the bottom."""
        # Set the width classes before the widgets exist: the first resize would restyle all of them.
        fits = [name for least, name in self.HORIZONTAL_BREAKPOINTS or () if self.app.size.width >= least]
        if fits:
            self.set_class(True, fits[-1], update=False)
        yield Tabs(self.NAME)
        with Container(id="body"):
            yield from self.body()
        yield CommandBar(id="command")
        yield KeyBar(id="keys")

    def body(self) -> ComposeResult:
        """Yield the screen's own widgets."""
        yield from ()

    def on_mount(self) -> None:
        """Load the content after the first paint, so that the frame appears at once."""
        self.call_after_refresh(self.open_what)

    def watch_command(self, command: str) -> None:
        """Show the command at the bottom."""
        for bar in self.query(CommandBar):
            bar.show_command(self.mu.anywhere(command))

    def open_what(self) -> None:
        """Show what was requested with the screen's name, once; before mounting, nothing."""
        if self.is_mounted:
            self.show(*self.mu.what.pop(self.NAME, ()) if self.OPENS else ())

    def show(self, *what: str) -> None:
        """Load and show `what` (a target, skill, entry, runs); without it, the last place or the first."""

    def reload(self) -> None:
        """Read the files again."""
        self.show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the key of the search field to a field that has the focus; offer to leave a field only in one."""
        if action == "leave" and type(self).action_leave is MuScreen.action_leave:
            return self.in_field()
        return action != "find" or not self.in_field()

    def refuses(self, action: str) -> bool:
        """Return True if the action would only show why it is impossible now: its key works, and the key bar omits it."""
        return self.focused is not None and action == f"app.focus('{self.focused.id}')"

    def key_of(self, name: str) -> str:
        """Return the key of the binding with this id, as shown; empty if it is not active."""
        return key_of(self, name)

    def in_field(self) -> bool:
        """Return True if an input field has the focus."""
        # TextArea is tested by name: its import would take a twentieth of the time to the first paint.
        field = self.focused
        return isinstance(field, Input) or "TextArea" in {cls.__name__ for cls in type(field).__mro__}

    def action_find(self) -> None:
        """Focus the search field, before the next key is read."""
        self.set_focus(self.query_one("#find"))

    def action_leave(self) -> None:
        """Leave an input field, so that letters are commands again; clear a search."""
        if self.in_field():
            if isinstance(self.focused, Input) and self.focused.id == "find":
                self.focused.value = ""
            result = self.query(f"#{self.LEAVE_TO}") if self.LEAVE_TO else None
            self.set_focus(result.first() if result else None)

    def list_options(self, list_id: str, options: Iterable[Option], highlighted: int | None = None) -> None:
        """Replace the options of a list, and highlight one."""
        widget = self.query_one(f"#{list_id}", OptionList)
        widget.set_options(options)
        if highlighted is not None:
            widget.highlighted = highlighted

    def confirm(
        self, title: str, text: str, yes: str, then: Callable[[], Any], *, danger: bool = False
    ) -> None:
        """Ask a yes/no question and call `then` on yes."""
        from .dialogs import Confirm

        self.app.push_screen(
            Confirm(title, text, yes, danger=danger), lambda answer: then() if answer else None
        )

    def show_error_once(self, error: MuError) -> None:
        """Show an error of a repeated action, unless it is the same as the last time."""
        if error.render() != self.last_error:
            self.last_error = error.render()
            self.mu.show_error(error)

    def remembered(self) -> dict[str, Any]:
        """Return this screen's state from the last session. It comes from a file: check every value."""
        result = self.mu.saved_state.get(self.NAME)
        return result if isinstance(result, dict) else {}

    def remember(self, **what: Any) -> None:
        """Add values to the state that the next session gets."""
        self.mu.saved_state[self.NAME] = {**self.remembered(), **what}

    def copied(self, how: str) -> str:
        """Return what `y` (text), `M` (markdown), `C` (csv) or `Y` (command) copies; empty: nothing."""
        return self.command if how == "command" else self.content(how)

    def content(self, how: str) -> str:
        """Return what is shown as text, Markdown or CSV."""
        return ""

    def load(
        self,
        work: Callable[[], T],
        then: Callable[[T], Any],
        *,
        group: str = "load",
        otherwise: Callable[[MuError], Any] | None = None,
    ) -> None:
        """Run `work` in a thread, then call `then` with its result.

        Args:
            work: Called in the thread; must not touch widgets.
            then: Called in the UI thread.
            group: A later call of the same group replaces this one.
            otherwise: Receives an error of the core or the system. Default: a notification; the screen
                stays as it was.
        """

        def run() -> None:
            worker = get_current_worker()
            try:
                result = work()
            except USER_ERRORS as error:
                known = as_mu_error(error)
                if known is None:
                    raise
                if not worker.is_cancelled:
                    self.call_later(otherwise or self.mu.show_error, known)
                return
            if not worker.is_cancelled:
                # Not awaited: `then` may load again in the same group, which would cancel a waiting worker.
                self.call_later(then, result)

        self.run_worker(run, thread=True, exclusive=True, group=group, exit_on_error=True)


def table_as(how: str, rows: Sequence[Sequence[str]]) -> str:
    """Return a table, its heading first, as aligned text, `markdown` or `csv`."""
    if not rows:
        return ""
    if how == "csv":
        return csv_text(rows)
    clean = [[plain(cell).replace("\n", " ") for cell in row] for row in rows]
    if how == "markdown":
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in clean]
        return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
    return columns(clean)

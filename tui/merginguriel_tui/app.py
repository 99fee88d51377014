"""The application: screens as modes, theme, keymap, palette, and the watch for runs that end."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from merginguriel import workspace
from merginguriel.errors import USER_ERRORS, MuError, as_mu_error
from merginguriel.workspace import Workspace

from . import gc_pause, registry, session
from .base import Client, MuScreen, Tabs
from .registry import SCREENS

if TYPE_CHECKING:
    from pathlib import Path

    from textual.command import Provider

    from merginguriel.knowledge.problems import Problem
    from merginguriel.runs.run_progress import EndWatch

SWITCH = 0.001  # thread switch interval in seconds: a reading thread delays drawing at most so long (default 0.005)
EVERY = 2.0  # seconds between two checks for runs that have ended


def _places() -> type[Provider]:
    from .palette import Places

    return Places


class MuApp(Client):
    """The `mu-tui` application.

    Args:
        space: The workspace.
        screen: Screen to begin with; default: the one where the last session ended.
        what: What to open on that screen.
        demo: The workspace is a temporary copy of the shipped knowledge.
    """

    TITLE = "MergingUriel"
    CSS_PATH = "mu.tcss"
    COMMANDS = App.COMMANDS | {_places}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"go('{name}')", f"Go to {name}", id=f"go.{name}", show=False)
            for number, name in enumerate(SCREENS)
        ),
        Binding("ctrl+p", "command_palette", "Palette", id="palette", show=False, tooltip="Command palette: screens, actions, locales, runs, entries, skills and claims"),
        Binding("ctrl+o", "jump", "Jump", id="jump", show=False, tooltip="Show a letter on each part of the screen; press one to focus it"),
        Binding("question_mark,f1", "keys", "Keys", id="keys", show=False, tooltip="Show the keys that work here, with their ids"),
        Binding("y", "copy('text')", "Copy", id="copy.text", show=False, tooltip="Copy the content of the screen as text"),
        Binding("M", "copy('markdown')", "Copy as Markdown", id="copy.markdown", show=False, tooltip="Copy the content of the screen as Markdown"),
        Binding("C", "copy('csv')", "Copy as CSV", id="copy.csv", show=False, tooltip="Copy the content of the screen as CSV"),
        Binding("Y", "copy('command')", "Copy command", id="copy.command", show=False, tooltip="Copy the command that prints this content"),
        Binding("exclamation_mark", "problems", "Problems", id="problems", show=False, tooltip="List what lint finds in the workspace, each with its file and line"),
        Binding("ctrl+r", "reload", "Read the files again", id="reload", show=False),
        Binding("g", "simulate_key('home')", "First", id="first", show=False),
        Binding("G", "simulate_key('end')", "Last", id="last", show=False),
        Binding("ctrl+d", "simulate_key('pagedown')", "Page down", id="page.down", show=False),
        Binding("ctrl+u", "simulate_key('pageup')", "Page up", id="page.up", show=False),
        Binding("ctrl+q,q", "quit", "Quit", id="quit", show=False, tooltip="Quit; runs continue"),
    ]  # fmt: skip

    def __init__(
        self, space: Workspace, *, screen: str | None = None, what: tuple[str, ...] = (), demo: bool = False
    ) -> None:
        state = session.read(space)
        start = screen or str(state.get("screen", "home"))
        # The first screen is the default mode: switching to it later would paint an empty screen first.
        vars(self)["DEFAULT_MODE"] = start if start in SCREENS else "home"
        super().__init__(space, state, demo=demo)
        if screen and what:
            self.what[screen] = what
        self.looking = False
        self.watch_runs: EndWatch | None = None
        self.tidy = gc_pause.Tidy()

    def get_default_screen(self) -> Screen[None]:
        """Create the first screen."""
        screen = registry.create(self.DEFAULT_MODE)
        self._load_screen_css(screen)  # Textual does so for later modes, not for the first
        return screen

    def on_mount(self) -> None:
        """Apply the settings of mu.toml and start watching runs."""
        for name in SCREENS:
            self.add_mode(name, partial(registry.create, name))
        look = session.look(self.space)
        for wrong in look.wrong:
            self.show_error(wrong)
        if look.theme in self.available_themes:
            self.theme = str(look.theme)
        elif look.theme:
            self.show_error(
                MuError(
                    f"unknown theme {look.theme!r}.",
                    where=str(self.space.root / workspace.MARKER),
                    hint=f"Themes: {', '.join(sorted(self.available_themes))}.",
                )
            )
        if look.keymap:
            self.set_keymap(look.keymap)
            self.run_worker(lambda: self._check_keys(look.keymap), thread=True, group="keys")
        self.set_interval(EVERY, self._look_at_runs)

    def on_ready(self) -> None:
        """Start collecting garbage after the first frame."""
        gc_pause.begin()
        sys.setswitchinterval(SWITCH)

    async def on_event(self, event: events.Event) -> None:
        """Note that the user is active, then handle the event."""
        if isinstance(event, events.InputEvent):
            self.tidy.touch()
        await super().on_event(event)

    def _check_keys(self, keymap: dict[str, str]) -> None:
        """Check the keymap in a thread: this imports every screen."""
        where = str(self.space.root / workspace.MARKER)
        for wrong in (*registry.unknown_ids(keymap, where), *registry.clashes(keymap, where)):
            self.call_from_thread(self.show_error, wrong)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield the palette's entries: every screen and every enabled binding of the current one."""
        for name, (_, _, description) in SCREENS.items():
            yield SystemCommand(f"Go to {name}", description, lambda name=name: self.action_go(name))
        seen = {f"Go to {name}" for name in SCREENS}
        for node, binding, enabled, _ in screen.active_bindings.values():
            if enabled and binding.description and binding.description not in seen and not binding.system:
                seen.add(binding.description)
                yield SystemCommand(
                    binding.description,
                    binding.tooltip or f"Key: {self.get_key_display(binding)}",
                    # Run it on the node that binds it: the screen has no action that moves a list.
                    lambda action=binding.action, node=node: self.call_later(self.run_action, action, node),
                )
        yield from super().get_system_commands(screen)

    def action_command_palette(self) -> None:
        """Show the palette."""
        from .palette import Palette

        self.push_screen(Palette(id="--command-palette"))

    def action_keys(self) -> None:
        """Show the help on keys."""
        from .dialogs import HelpScreen

        self.push_screen(HelpScreen(self.screen))

    def action_jump(self) -> None:
        """Show a letter on each part of the screen."""
        from .dialogs import JumpScreen

        self.push_screen(JumpScreen(self.screen), self._jumped)

    def _jumped(self, widget_id: str | None) -> None:
        if widget_id and (result := self.screen.query(f"#{widget_id}")):
            result.first().focus()

    def action_copy(self, what: str) -> None:
        """Copy the screen's content as text, Markdown or CSV, or the `mu` command that prints it."""
        if isinstance(self.screen, MuScreen):
            text = self.screen.copied(what)
            if what == "command":
                text = self.anywhere(text)
            if text:
                self.copy_to_clipboard(text)
                count = len(text.splitlines())
                self.notify(f"{count} line{'s' * (count != 1)} copied as {what}.", markup=False)
            else:
                self.notify(f"Nothing to copy as {what} on this screen.", severity="warning", markup=False)

    def action_problems(self) -> None:
        """Check the workspace and list its problems; this takes seconds if files have changed."""
        self.notify("Checking the files …", timeout=2, markup=False)
        self.run_worker(self._find_problems, thread=True, group="problems", exclusive=True)

    def _find_problems(self) -> None:
        from merginguriel.knowledge.lint.runner import cached_problems
        from merginguriel.merging.registry import parameters

        try:
            found = cached_problems(self.space, program=parameters)
        except USER_ERRORS as error:
            self.call_from_thread(self.show_error, as_mu_error(error) or MuError(str(error)))
            return
        self.call_from_thread(self._show_problems, found)

    def _show_problems(self, found: list[Problem]) -> None:
        from .problems import ProblemsScreen

        if found:
            self.push_screen(ProblemsScreen(found, self.space.root), self._edit_problem)
        else:
            self.notify("No problems.", markup=False)

    def _edit_problem(self, place: tuple[Path, int] | None) -> None:
        from .editor import edit

        if place is None:
            return
        try:
            workspace.writable(self.space)
            edit(self, *place)
        except MuError as error:
            self.show_error(error)
            return
        self.action_reload()

    def action_reload(self) -> None:
        """Read the files of the current screen again."""
        if isinstance(self.screen, MuScreen):
            self.screen.reload()

    async def action_quit(self) -> None:
        """Save the session and quit. Runs continue."""
        session.write(self.space, {**self.saved_state, "screen": self.current_mode})
        self.exit()

    def _look_at_runs(self) -> None:
        """Check in a thread which runs have ended, one check at a time."""
        self.tidy.look()
        if not self.looking:
            self.looking = True
            self.run_worker(self._ended, thread=True, group="watch")

    def _ended(self) -> None:
        from merginguriel.runs import run_store
        from merginguriel.runs.run_progress import EndWatch
        from merginguriel.runs.run_store import Run

        if self.watch_runs is None:
            self.watch_runs = EndWatch(self.space)
        self.watch_runs.live |= self.begun
        self.begun.clear()
        try:
            result = self.watch_runs.ended()
        except USER_ERRORS:
            result = []  # tried again at the next check; the runs screen shows the error
        finally:
            self.looking = False
        at_work = sum(run_store.held(Run(name, self.space.runs / name)) for name in self.watch_runs.live)
        self.call_from_thread(self._show_ended, result, at_work)

    def _show_ended(self, ended: list[tuple[str, str]], at_work: int) -> None:
        """Say which runs have ended, with the terminal's bell, and count the running ones."""
        for name, state in ended:
            severity: Literal["information", "warning"] = "information" if state == "finished" else "warning"
            self.notify(f"{name} is {state}.", severity=severity, markup=False)
        if ended:
            self.bell()
        if at_work != self.at_work:
            self.at_work = at_work
            for tabs in self.screen.query(Tabs):
                tabs.refresh()

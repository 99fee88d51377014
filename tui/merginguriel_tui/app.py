"""What holds the six screens together? Modes, theme, keymap, the palette, and what is the same everywhere."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen

from merginguriel import workspace
from merginguriel.errors import TOLD, MuError
from merginguriel.workspace import Workspace

from . import gc_pause, session
from .base import MuScreen

if TYPE_CHECKING:
    from merginguriel.runs.progress import EndWatch

# name → (module of screens/, class, what the palette says of it)
SCREENS = {
    "advise": ("advise", "AdviseScreen", "Merge or not, how, from which sources, and how sure"),
    "skills": ("skills", "SkillsScreen", "What is known, claim by claim"),
    "log": ("log", "LogScreen", "What was tried, and what came out"),
    "runs": ("runs", "RunsScreen", "What is running, and what ran"),
    "compare": ("compare", "CompareScreen", "Two or more runs side by side"),
    "matrix": ("matrix", "MatrixScreen", "Every model on every locale"),
}
SWITCH = 0.001  # seconds that a thread that reads may keep the one that draws waiting; Python's own are 0.005
EVERY = 2.0  # seconds between two looks at which runs have ended


def opener(name: str) -> Callable[[], Screen[None]]:
    """Makes the screen when it is first gone to: a start imports the one that is shown, and no other."""

    def make() -> Screen[None]:
        module, attribute, _ = SCREENS[name]
        made: Screen[None] = getattr(importlib.import_module(f".screens.{module}", __package__), attribute)()
        return made

    return make


class MuApp(App[None]):
    """The application. `screen` and `what` say where to begin; else where the last session ended."""

    TITLE = "MergingUriel"
    CSS_PATH = "mu.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"go('{name}')", f"Go to {name}", id=f"go.{name}", show=False)
            for number, name in enumerate(SCREENS, start=1)
        ),
        Binding("ctrl+p", "command_palette", "Palette", id="palette", show=False, tooltip="Palette: every screen and every key's action"),
        Binding("ctrl+o", "jump", "Jump", id="jump", show=False, tooltip="Letters on the parts of the screen: one goes there"),
        Binding("question_mark,f1", "keys", "Keys", id="keys", show=False, tooltip="All keys of this place, with their ids"),
        Binding("y", "copy('text')", "Copy", id="copy.text", show=False, tooltip="Copy what is shown as text"),
        Binding("M", "copy('markdown')", "Copy as markdown", id="copy.markdown", show=False, tooltip="Copy what is shown as Markdown"),
        Binding("C", "copy('csv')", "Copy as csv", id="copy.csv", show=False, tooltip="Copy what is shown as CSV"),
        Binding("Y", "copy('command')", "Copy command", id="copy.command", show=False, tooltip="Copy the command that prints this"),
        Binding("ctrl+r", "reload", "Read the files again", id="reload", show=False),
        Binding("g", "simulate_key('home')", "First", id="first", show=False),
        Binding("G", "simulate_key('end')", "Last", id="last", show=False),
        Binding("ctrl+d", "simulate_key('pagedown')", "Page down", id="page.down", show=False),
        Binding("ctrl+u", "simulate_key('pageup')", "Page up", id="page.up", show=False),
        Binding("ctrl+q,q", "quit", "Quit", id="quit", show=False, tooltip="Leave; runs go on"),
    ]  # fmt: skip

    def __init__(
        self, space: Workspace, *, screen: str | None = None, what: tuple[str, ...] = (), demo: bool = False
    ) -> None:
        kept = session.read(space)
        start = screen or str(kept.get("screen", "advise"))
        # The screen to begin with is the first that is made: a switch to it would paint an empty one before it.
        vars(self)["DEFAULT_MODE"] = start if start in SCREENS else "advise"
        super().__init__()
        self.space, self.demo, self.kept = space, demo, kept
        self.what: dict[str, tuple[str, ...]] = {screen: what} if screen and what else {}
        self.elsewhere = "" if nearest_is(space) else f" --workspace {shlex.quote(str(space.root))}"
        self.elsewhere_kept: list[Path] = []  # drafts that could not be kept in the workspace
        self.clashes: set[str] = set()
        self.looking = False
        self.begun: set[str] = set()
        self.watch_runs: EndWatch | None = None
        self.tidy = gc_pause.Tidy()

    def get_default_screen(self) -> Screen[None]:
        made = opener(self.DEFAULT_MODE)()
        self._load_screen_css(
            made
        )  # which Textual does for a mode that is switched to, and not for the first
        return made

    def on_mount(self) -> None:
        for name in SCREENS:
            self.add_mode(name, opener(name))
        look = session.look(self.space)
        for wrong in look.wrong:
            self.tell(wrong)
        if look.theme in self.available_themes:
            self.theme = str(look.theme)
        elif look.theme:
            self.tell(
                MuError(
                    f"there is no theme {look.theme!r}.",
                    where=str(self.space.root / workspace.MARKER),
                    mend=f"Themes are: {', '.join(sorted(self.available_themes))}.",
                )
            )
        if look.keymap:
            self.set_keymap(look.keymap)
        if look.keymap:
            self.run_worker(lambda: self._check_keys(look.keymap), thread=True, group="keys")
        self.set_interval(EVERY, self._look_at_runs)

    def on_ready(self) -> None:
        """The first frame is there."""
        gc_pause.begin()
        sys.setswitchinterval(SWITCH)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent):
            self.tidy.touch()
        await super().on_event(event)

    def _check_keys(self, keymap: dict[str, str]) -> None:
        """In a thread: it imports every screen."""
        from . import keys

        for wrong in keys.unknown(keymap, [module for module, _, _ in SCREENS.values()], self.space):
            self.call_from_thread(self.tell, wrong)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        names = sorted(f"{binding.description} ({binding.id})" for binding in clashed_bindings)
        said = f"mu.toml gives one key to two things: {', '.join(names)}."
        # Two keys of one thing, both replaced by the one that mu.toml gives it, are no clash.
        if len({binding.id for binding in clashed_bindings}) > 1 and said not in self.clashes:
            self.clashes.add(said)
            self.notify(said, severity="warning", markup=False)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every screen, what can be copied, and every binding of the one that is shown."""
        for name, (_, _, says) in SCREENS.items():
            yield SystemCommand(f"Go to {name}", says, lambda name=name: self.action_go(name))
        seen = {f"Go to {name}" for name in SCREENS}
        for node, binding, enabled, _ in screen.active_bindings.values():
            if enabled and binding.description and binding.description not in seen and not binding.system:
                seen.add(binding.description)
                yield SystemCommand(
                    binding.description,
                    binding.tooltip or f"Key: {self.get_key_display(binding)}",
                    # Where it is bound: what moves a list means nothing to the screen.
                    lambda action=binding.action, node=node: self.call_later(self.run_action, action, node),
                )
        yield from super().get_system_commands(screen)

    def action_go(self, name: str, *what: str) -> None:
        """To a screen, and there to `what`."""
        there = self.current_mode == name
        if what:
            self.what[name] = what
        self.switch_mode(name)
        self.kept["screen"] = name
        while what and len(self.screen_stack) > 1 and not getattr(self.screen, "holding", False):
            self.pop_screen()  # what was asked for is shown by the screen itself, not by one that lies over it
        screen = self.screen
        if what and isinstance(screen, MuScreen) and (there or screen.is_mounted):
            screen.open_what()

    def action_keys(self) -> None:
        from .help import HelpScreen

        self.push_screen(HelpScreen(self.screen))

    def action_jump(self) -> None:
        from .jump import JumpScreen

        self.push_screen(JumpScreen(self.screen), self._jumped)

    def _jumped(self, widget_id: str | None) -> None:
        if widget_id and (found := self.screen.query(f"#{widget_id}")):
            found.first().focus()

    def anywhere(self, command: str) -> str:
        """The command as it works in the folder that `mu-tui` was called in."""
        return command + self.elsewhere if command.startswith("mu ") else command

    def action_copy(self, what: str) -> None:
        """Copy what the screen shows: as text, Markdown, CSV, or the `mu` command that prints it."""
        if isinstance(self.screen, MuScreen):
            text = self.screen.copied(what)
            if what == "command":
                text = self.anywhere(text)
            if text:
                self.copy_to_clipboard(text)
                count = len(text.splitlines())
                self.notify(f"{count} line{'s' * (count != 1)} copied as {what}.", markup=False)
            else:
                self.notify(f"This screen has nothing to copy as {what}.", severity="warning", markup=False)

    def action_reload(self) -> None:
        if isinstance(self.screen, MuScreen):
            self.screen.reload()

    async def action_quit(self) -> None:
        session.write(self.space, {**self.kept, "screen": self.current_mode})
        self.exit()

    def tell(self, error: MuError) -> None:
        """An error as a note: what, where, how to mend it. Its text is data."""
        from merginguriel.cli.common import plain

        self.notify(plain(error.render()), severity="error", timeout=12, markup=False)

    def _look_at_runs(self) -> None:
        """Which runs have ended? Looked up in a thread, one look at a time."""
        self.tidy.look()
        if not self.looking:
            self.looking = True
            self.run_worker(self._ended, thread=True, group="watch")

    def follow_run(self, name: str) -> None:
        """It was started here: its end is told though it may come before the next look at all runs."""
        self.begun.add(name)

    def _ended(self) -> None:
        from merginguriel.runs.progress import EndWatch

        if self.watch_runs is None:
            self.watch_runs = EndWatch(self.space)
        self.watch_runs.live |= self.begun
        self.begun.clear()
        try:
            found = self.watch_runs.ended()
        except TOLD:
            found = []  # a run store that cannot be read now is read at the next look; its screen says what is wrong
        finally:
            self.looking = False
        for name, state in found:
            self.call_from_thread(
                self.notify,
                f"{name} is {state}.",
                severity="information" if state == "finished" else "warning",
                markup=False,
            )


def nearest_is(space: Workspace) -> bool:
    """Would `mu`, called here, take this workspace by itself?"""
    try:
        return workspace.find().root == space.root
    except (MuError, OSError):
        return False

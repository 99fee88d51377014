"""What holds the six screens together? Modes, theme, keymap, the palette, and what is the same everywhere."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from merginguriel.errors import MuError
from merginguriel.workspace import Workspace

from . import session
from .base import MuScreen

# name → (module of screens/, class, what the palette says of it)
SCREENS = {
    "advise": ("advise", "AdviseScreen", "Merge or not, how, from which sources, and how sure"),
    "skills": ("skills", "SkillsScreen", "What is known, claim by claim"),
    "log": ("log", "LogScreen", "What was tried, and what came out"),
    "runs": ("runs", "RunsScreen", "What is running, and what ran"),
    "compare": ("compare", "CompareScreen", "Two or more runs side by side"),
    "matrix": ("matrix", "MatrixScreen", "Every model on every locale"),
}


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
    MODES: ClassVar = {name: opener(name) for name in SCREENS}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"go('{name}')", name.capitalize(), id=f"go.{name}", show=False)
            for number, name in enumerate(SCREENS, start=1)
        ),
        Binding("ctrl+p", "command_palette", "Palette", id="palette", show=False),
        Binding("ctrl+o", "jump", "Jump", id="jump"),
        Binding("question_mark,f1", "keys", "Keys", id="keys"),
        Binding("y", "copy('text')", "Copy", id="copy.text", show=False),
        Binding("Y", "copy('command')", "Copy command", id="copy.command", show=False),
        Binding("ctrl+r", "reload", "Reload", id="reload", show=False),
        Binding("ctrl+q,q", "quit", "Quit", id="quit"),
    ]

    def __init__(self, space: Workspace, *, screen: str | None = None, what: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.space = space
        self.kept = session.read(space)
        self.what: dict[str, tuple[str, ...]] = {screen: what} if screen and what else {}
        self.start = screen or str(self.kept.get("screen", "advise"))
        self.broken: MuError | None = None

    def get_default_screen(self) -> Screen[None]:
        return Screen()

    def on_mount(self) -> None:
        look = session.look(self.space)
        try:
            self.set_keymap(look.keymap)
            if look.theme:
                self.theme = look.theme
        except (KeyError, ValueError) as error:
            self.notify(f"mu.toml: {error}", severity="warning", markup=False)
        self.switch_mode(self.start if self.start in SCREENS else "advise")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every screen, and every binding of the one that is shown."""
        for name, (_, _, says) in SCREENS.items():
            yield SystemCommand(f"Go to {name}", says, lambda name=name: self.action_go(name))
        seen = set()
        for _, binding, enabled, _ in screen.active_bindings.values():
            if enabled and binding.description and binding.action not in seen:
                seen.add(binding.action)
                action = binding.action
                yield SystemCommand(
                    binding.description,
                    binding.tooltip or f"Key: {self.get_key_display(binding)}",
                    lambda action=action: self.call_later(self.run_action, action, screen),
                )
        yield from super().get_system_commands(screen)

    def action_go(self, name: str, *what: str) -> None:
        """To a screen, and there to `what`."""
        if what:
            self.what[name] = what
        self.switch_mode(name)
        if what and isinstance(self.screen, MuScreen):
            self.screen.open_what()

    def action_keys(self) -> None:
        from .help import HelpScreen

        self.push_screen(HelpScreen(self.screen))

    def action_jump(self) -> None:
        from .jump import JumpScreen

        self.push_screen(JumpScreen(self.screen), self._jumped)

    def _jumped(self, widget_id: str | None) -> None:
        if widget_id and (found := self.screen.query(f"#{widget_id}")):
            found.first().focus()

    def action_copy(self, what: str) -> None:
        """Copy what the screen shows: as text, Markdown, CSV, or the `mu` command that prints it."""
        if isinstance(self.screen, MuScreen):
            text = self.screen.copied(what)
            if text:
                self.copy_to_clipboard(text)
                self.notify(f"{len(text.splitlines())} lines copied as {what}.", markup=False)

    def action_reload(self) -> None:
        if isinstance(self.screen, MuScreen):
            self.screen.reload()

    async def action_quit(self) -> None:
        session.write(self.space, {**self.kept, "screen": self.current_mode})
        self.exit()

    def tell(self, error: MuError) -> None:
        """An error as a note: what, where, how to mend it. Its text is data."""
        self.notify(error.render(), severity="error", timeout=12, markup=False)

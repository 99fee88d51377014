"""Form that registers fine-tunes made elsewhere: folder, locale of each model in it, task and base."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.suggester import Suggester
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from merginguriel import locales
from merginguriel.errors import MuError, UsageError
from merginguriel.text.numbers import count
from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen
from merginguriel_tui.widgets.choice import Pick

if TYPE_CHECKING:
    from merginguriel.study.registered import Registered
    from merginguriel.study.study import Study

LEAVE_OUT = "(leave out)"


def completed(text: str) -> str | None:
    """Return the path with the first folder whose name begins with its last part; None if there is none."""
    start, slash, part = text.rpartition("/")
    try:
        inside = sorted(one.name for one in Path(start + slash or ".").expanduser().iterdir() if one.is_dir())
    except (OSError, RuntimeError):
        return None
    fits = (name for name in inside if name.startswith(part) and (part or not name.startswith(".")))
    return next((f"{start}{slash}{name}/" for name in fits), None)


def guessed(name: str) -> str:
    """Return the first known locale in a name: `xlmr_sw-KE_seed42` → `sw-KE`; empty for none."""
    found = re.findall(r"(?<![A-Za-z])[A-Za-z]{2,3}[-_](?:[A-Za-z]{4}[-_])?[A-Za-z]{2}(?![A-Za-z])", name)
    return next((tag for tag in map(locales.normalize, found) if tag in locales.table()), "")


def models_in(text: str) -> list[tuple[str, str]]:
    """Return (locale or empty, model) of a model folder, of the model folders in a folder, or of a name on the hub."""
    text = text.strip()
    folder = Path(text).expanduser()
    if not text:
        return []
    if not folder.is_dir() and text.startswith(("/", "~", ".")):
        return []
    if not folder.is_dir() or (folder / "config.json").is_file():
        return [(guessed(folder.name), text)]
    inside = sorted(one for one in folder.iterdir() if (one / "config.json").is_file())
    return [(guessed(one.name), str(one)) for one in inside]


class Folders(Suggester):
    """Suggests the rest of a path."""

    async def get_suggestion(self, value: str) -> str | None:
        """Return the path with the next folder."""
        return completed(value) if value else None


class PathField(Input):
    """A field for a folder: Tab completes the name that is begun, else moves on; → takes what is suggested."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete the path", id="import.complete", show=False),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave Tab to the screen where no name is begun that can be completed."""
        return action != "complete" or bool(not self.value.endswith("/") and completed(self.value))

    def action_complete(self) -> None:
        """Append the name of the first folder that fits."""
        self.value = completed(self.value) or self.value
        self.action_end()


class ImportScreen(MuScreen):
    """Register models as `mu models add` does: nothing is copied, and no folder is changed."""

    NAME = "home"
    OPENS = False
    AUTO_FOCUS = "#folder"
    DEFAULT_CSS = """
    ImportScreen .row { height: 1; } ImportScreen Label { width: 9; padding-left: 1; }
    ImportScreen Input { width: 1fr; }
    ImportScreen #models { height: auto; max-height: 50%; border-top: solid $panel; padding: 0 1; }
    ImportScreen #about { height: 1fr; border-top: solid $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "add", "Import", id="import.go", priority=True, tooltip="Check the models and register them"),
        Binding("escape", "app.pop_screen", "Back", id="import.back"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []  # (locale or empty, folder or hub name)
        self.busy = False
        self.said = Text()

    def body(self) -> ComposeResult:
        """Yield the fields, the models of the folder, and what can be done."""
        from merginguriel.study.study import of_context

        task, base = of_context(self.mu.space)
        folders = Folders(use_cache=False, case_sensitive=True)
        with Vertical():
            for name, value, hint in (
                ("folder", "", "a model, a folder of models, or a name on the hub"),
                ("task", task, "home"),
                ("base", base, "e5-small, a folder, or a name on the hub"),
            ):
                with Horizontal(classes="row"):
                    yield Label(name)
                    kind, more = (Input, None) if name == "task" else (PathField, folders)
                    yield kind(value, placeholder=hint, id=name, compact=True, suggester=more)
            yield OptionList(id="models", markup=False, compact=True)
            with VerticalScroll(id="about", can_focus=False):
                yield Static("", id="said", markup=False)

    def show(self, *what: str) -> None:
        """Show what the fields mean."""
        self.draw()

    def value(self, name: str) -> str:
        """Return the text of a field."""
        return self.query_one(f"#{name}", Input).value.strip()

    def wanted(self) -> dict[str, str]:
        """Return locale → model, of those with a locale."""
        return {locale: model for locale, model in self.found if locale}

    def on_input_changed(self, event: Input.Changed) -> None:
        """List the models of the folder."""
        if event.input.id == "folder":
            try:
                self.found = models_in(event.value)
            except (OSError, RuntimeError):  # not readable, or the home of an unknown user
                self.found = []
            self.list_options("models", self.rows(), 0 if self.found else None)
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go from the folder to the models in it, from another field to the next."""
        if event.input.id == "folder" and self.found:
            self.query_one("#models").focus()
        else:
            self.focus_next()

    def rows(self) -> list[Option]:
        """Return a line per model."""
        return [Option(Text(f"{tag or '(no locale)':<12} {plain(model)}")) for tag, model in self.found]

    def draw(self, problem: MuError | None = None) -> None:
        """Show the command, and what the keys would do or what is wrong."""
        wanted = self.wanted()
        words = [f"{tag}={model}" for tag, model in wanted.items()] or ["LOCALE=FOLDER"]
        words += ["--task", self.value("task"), "--base", self.value("base")]
        self.command = shlex.join(["mu", "models", "add", *words])
        if problem:
            self.said = Text.assemble(("✗ nothing was imported\n", "bold"), plain(problem.render()))
        elif not self.found:
            none = f"no models in {self.value('folder')}\n" if self.value("folder") else ""
            self.said = Text(f"{plain(none)}Name a folder with models; Tab completes a name that is begun.")
        else:
            missing = count(len(self.found) - len(wanted), "model")
            go = (
                f"{self.key_of('import.go')} checks and imports {count(len(wanted), 'model')}; "
                if wanted
                else ""
            )
            self.said = Text.assemble(
                (f"{go}enter on a line chooses its locale\n", "bold"),
                (f"{missing} without a locale. Nothing is copied, and no folder is changed.", "dim"),
            )
        self.query_one("#said", Static).update(self.said)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done now."""
        if action == "add":
            return bool(self.wanted()) and not self.busy
        return super().check_action(action, parameters)

    def on_option_list_option_selected(self) -> None:
        """Choose a locale for the model under the cursor, those of the task first."""
        study = self.study

        def work() -> list[str]:
            try:
                first = study().offered()
            except MuError:
                first = []
            return list(dict.fromkeys([LEAVE_OUT, *first, *locales.table()]))

        self.load(
            work, lambda tags: self.app.push_screen(Pick("locale", tags), self.set_locale), group="pick"
        )

    def set_locale(self, tag: str | None) -> None:
        """Give the model under the cursor a locale, or none."""
        at = self.query_one("#models", OptionList).highlighted
        if tag is not None and at is not None:
            self.found[at] = ("" if tag == LEAVE_OUT else tag, self.found[at][1])
            self.list_options("models", self.rows(), at)
            self.draw()

    def study(self) -> Study:
        """Return the study of the fields."""
        from merginguriel.study.study import Study
        from merginguriel.workspace import writable

        return Study(writable(self.mu.space), self.value("task"), self.value("base"))

    def action_add(self) -> None:
        """Check the models and register them, all or none."""
        wanted, several = self.wanted(), [tag for tag, _ in self.found if tag]
        if len(several) > len(wanted):
            twice = next(tag for tag in several if several.count(tag) > 1)
            self.draw(UsageError(f"two models for {twice}.", hint="Choose another locale, or leave one out."))
            return
        self.busy = True

        def work() -> tuple[Study, list[Registered]]:
            from merginguriel.study import registered

            study = self.study()
            return study, registered.add(study, wanted, self.tell)

        def refused(error: MuError) -> None:
            self.busy = False
            self.draw(error)

        self.query_one("#said", Static).update("checking …")
        self.refresh_bindings()
        self.load(work, self.added, group="import", otherwise=refused)

    def tell(self, done: float, total: float, text: str) -> None:
        """Show how far the thread is; raise MuError in it once the screen is closed, so that nothing is written."""
        del done, total
        if get_current_worker().is_cancelled:
            raise MuError("the import was cancelled.")
        self.app.call_from_thread(self.query_one("#said", Static).update, text)

    def added(self, result: tuple[Study, list[Registered]]) -> None:
        """Report what was imported, and go back."""
        study, found = result
        self.busy = False
        usual = str(self.mu.space.settings["context"])
        text = f"imported into {study.context}: {', '.join(one.locale for one in found)}"
        if study.context != usual:
            text += f'\nmu.toml means {usual}; to work with these: context = "{study.context}"'
        self.notify(plain(text), markup=False, timeout=12)
        if self.app.screen is self:
            self.app.pop_screen()

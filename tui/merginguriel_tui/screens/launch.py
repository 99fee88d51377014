"""How is a run begun? From a form that is made of the configuration's keys; what it would do is shown before it does."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Label, Select, Static

from merginguriel.cli.common import plain
from merginguriel.errors import MuError
from merginguriel_tui.base import MuScreen

if TYPE_CHECKING:
    from merginguriel.config.schema import Config, Key

# Columns from which a class of the stylesheet holds.
BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (110, "-wide")]
HINTS = {
    "table": "name=value name=value",
    "locales": "de-DE sv-SE …",
    "whole": "a whole number",
    "locale": "sw-KE",
}
PAUSE = 0.25  # seconds after the last letter before the whole is looked at
FIRST = (
    "kind",
    "target",
    "method",
    "params",
    "similarity",
    "k",
    "sources",
    "mode",
    "candidates",
    "locales",
    "splits",
)


class Field(NamedTuple):
    """One key: what it is, and its text at the beginning, where a run is begun like another one."""

    name: str
    key: Key
    given: str


class Checked(NamedTuple):
    """What the form comes to: its run, the state of that, and what it would do; or the error."""

    run: str
    state: str
    lines: list[str]
    config: Config | None
    error: MuError | None


def safe(name: str) -> str:
    return "key-" + name.replace(".", "-")


class LaunchScreen(MuScreen):
    """A form. Only what differs from the defaults, or from the run that it is like, is said: as `--set` says it."""

    NAME = "runs"
    AUTO_FOCUS = "#key-target"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    DEFAULT_CSS = """
    LaunchScreen #split { height: 1fr; }
    LaunchScreen.-narrow #split { layout: vertical; }
    LaunchScreen #form { width: 1fr; height: 1fr; }
    LaunchScreen #plan { width: 1fr; height: 1fr; border-left: solid $panel; padding: 0 1; }
    LaunchScreen.-narrow #plan { height: 8; width: 100%; border: none; border-top: solid $panel; }
    LaunchScreen .row { height: 1; }
    LaunchScreen .row Label { width: 29; padding-left: 1; }
    LaunchScreen .row Input { width: 22; }
    LaunchScreen .row Select { width: 22; }
    LaunchScreen.-narrow .row Input, LaunchScreen.-narrow .row Select { width: 20; }
    LaunchScreen .row .doc { width: 1fr; color: $text-muted; padding-left: 1; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    LaunchScreen .row .wrong { color: $text-error; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "launch", "Launch", id="launch.go", priority=True, tooltip="Launch what stands beside the form"),
        Binding("ctrl+s", "save", "Save as YAML", id="launch.save", priority=True, tooltip="Save the configuration as YAML"),
        Binding("escape", "back", "Back", id="launch.back"),
    ]  # fmt: skip

    def __init__(self, like: str | None) -> None:
        super().__init__()
        self.like = like
        self.file: Path | None = None
        self.fields: dict[str, Field] = {}
        self.checked: Checked | None = None
        self.checked_words: list[str] = []  # what the form said then
        self.waiting: Timer | None = None
        self.early = ""  # typed before there was a field to type into

    def body(self) -> ComposeResult:
        with Horizontal(id="split"):
            yield VerticalScroll(id="form", can_focus=False)
            with VerticalScroll(id="plan"):
                yield Static(Text("…", "dim"), id="planned")

    def open_what(self) -> None:
        self.show()

    def show(self, *what: str) -> None:
        """Make the form, of the keys as they are by default, or as the run that it is like has them."""
        from merginguriel.config import run_config as configs
        from merginguriel.merging import registry
        from merginguriel.runs import resolve, run_store

        if self.fields:
            self.check()
            return
        space, like = self.mu.space, self.like

        def work() -> tuple[list[Field], Path | None, list[str], list[str]]:
            given: dict[str, str] = {}
            file = None
            if like is not None:
                run = run_store.get(space, like)
                file = run.folder / "config.yaml"
                values = configs.flat_values(run.config)
                given = {n: told(v) for n, v in values.items() if v != configs.KEYS[n].default}
            names = sorted(
                configs.KEYS, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), "." in n)
            )
            fields = [Field(name, configs.KEYS[name], given.get(name, "")) for name in names]
            placed = resolve.placed(configs.Config(), space)
            known = resolve.study_of(placed, space).trained()
            return fields, file, sorted(registry.all_methods()), sorted(known)

        self.load(work, self.fill, group="form")

    async def fill(self, found: tuple[list[Field], Path | None, list[str], list[str]]) -> None:
        fields, self.file, methods, trained = found
        self.fields = {field.name: field for field in fields}
        # Waited for: after a refresh alone, not all of them are there on a slow machine.
        await self.query_one("#form").mount_all([row_of(field, methods, trained) for field in fields])
        self.fit()
        target = self.query_one("#key-target", Input)
        # Its focus may come behind the first letters: what it selects, the next one would replace.
        target.select_on_focus = bool(target.value)
        self.set_focus(target)
        target.insert_text_at_cursor(self.early)
        self.check()

    def on_key(self, event: events.Key) -> None:
        """What is typed before the form is there goes into its first field: a field keeps its own letters from the screen."""
        if event.character and event.is_printable and isinstance(self.focused, Input | None):
            if self.focused is None:
                self.early += event.character
            else:
                self.focused.insert_text_at_cursor(event.character)
            event.stop()

    # what is in it

    def value(self, name: str) -> str:
        widget = self.query_one(f"#{safe(name)}")
        if isinstance(widget, Select):
            return "" if widget.selection is None else str(widget.selection)
        return widget.value.strip() if isinstance(widget, Input) else ""

    def sets(self) -> list[str]:
        """What `--set` would be given: every key that is not as it was at the beginning."""
        said: list[str] = []
        for name, field in self.fields.items():
            value = self.value(name)
            if value == field.given:
                continue
            if field.key.kind == "table":
                said += [f"{name}.{one}" for one in tables(value, field.given)]
            else:
                said.append(f"{name}={value}")
        return said

    def fit(self) -> None:
        """Show the keys that have a meaning for this kind of run."""
        kind = self.value("kind") or "merge"
        for name, field in self.fields.items():
            only = ("iterate",) if name.startswith("iterate.") else field.key.only
            self.query_one(f"#{safe(name)}").parent.display = not only or kind in only  # type: ignore[union-attr]

    def on_input_changed(self, event: Input.Changed) -> None:
        self.typed(event.input.id or "", event.value)

    def on_input_submitted(self) -> None:
        self.focus_next()

    def on_select_changed(self, event: Select.Changed) -> None:
        if event.select.id == safe("kind") and self.fields:
            self.fit()
        self.typed(event.select.id or "", "")

    def typed(self, widget: str, value: str) -> None:
        """Say at once whether one value can stand; look at the whole when the typing pauses."""
        from merginguriel.config import run_config as configs

        field = next((f for f in self.fields.values() if safe(f.name) == widget), None)
        if field is None:
            return
        wrong = ""
        if value.strip() and field.key.kind != "table":
            wrong = configs.problem(field.name, value.strip())
        self.hint(field, wrong)
        if self.waiting:
            self.waiting.stop()
        self.waiting = self.set_timer(PAUSE, self.check)

    def hint(self, field: Field, wrong: str) -> None:
        said = self.query_one(f"#{safe(field.name)}-doc", Static)
        said.set_class(bool(wrong), "wrong")
        said.update(Text(f"✗ {plain(wrong)}" if wrong else field.key.doc, no_wrap=True, overflow="ellipsis"))

    # what it comes to

    def words(self) -> list[str]:
        file = [self.mu.space.display(self.file)] if self.file else []
        return ["mu", "run", *file, *(word for one in self.sets() for word in ("--set", one))]

    def check(self) -> None:
        """What the form comes to, as `mu run --dry-run` says it."""
        space, file, sets = self.mu.space, self.file, self.sets()
        words = self.words()
        self.command = shlex.join([*words, "--dry-run"])

        def work() -> Checked:
            try:
                return planned(space, file, sets)
            except MuError as error:
                return Checked("", "", [], None, error)

        self.load(work, lambda found: self.tell_plan(found, words), group="check")

    def tell_plan(self, found: Checked, words: list[str]) -> None:
        self.checked, self.checked_words = found, words
        if found.error:
            error = found.error
            said = Text.assemble(("✗ cannot be run yet\n", "bold"), plain(error.what))
            said.append(f"\n{plain(error.mend)}" if error.mend else "", "dim")
        else:
            said = Text.assemble(
                (plain(found.run), "bold"), f"  {found.state}\n", plain("\n".join(found.lines))
            )
            there = found.state in ("finished", "running")
            said.append(f"\nctrl+l {'shows' if there else 'launches'} it", "dim")
        self.query_one("#planned", Static).update(said)

    def shown(self, done: str) -> tuple[str, Config] | None:
        """The run that stands beside the form and its configuration; None where the form says another one by now."""
        checked = self.checked
        if checked and checked.config and self.checked_words == self.words():
            return checked.run, checked.config
        said = f"It cannot be {done} yet: see what is said beside the form."
        self.notify(said, severity="warning", markup=False)
        self.check()
        return None

    def action_launch(self) -> None:
        """Begin it as a process of its own, and watch it. What is launched is what was shown."""
        from merginguriel.runs import run_store, worker

        shown = self.shown("launched")
        if shown is None:
            return
        space, config = self.mu.space, shown[1]

        def work() -> str:
            run = run_store.create(space, config)
            if run_store.state(run) not in ("finished", "running"):
                worker.start(run)
            return run.id

        def then(name: str) -> None:
            from .run import RunScreen

            if self.app.screen is self:
                self.app.switch_screen(RunScreen(name))
            else:
                self.notify(f"launched: {plain(name)}", markup=False)
                self.check()

        self.load(work, then, group="launch")

    def action_save(self) -> None:
        """Write the whole configuration into the workspace, as a file that `mu run` takes."""
        from merginguriel.config import run_config as configs
        from merginguriel.files import write_text
        from merginguriel.workspace import writable

        shown, space = self.shown("saved"), self.mu.space
        if shown is None:
            return
        name, config = f"{shown[0]}.yaml", shown[1]

        def work() -> str:
            place, text = writable(space).root / name, configs.dump(config)
            if not (place.is_file() and place.read_bytes() == text.encode()):
                write_text(place, text, exclusive=True)
            return name

        self.load(work, lambda name: self.notify(f"saved: {plain(name)}", markup=False), group="save")

    def action_back(self) -> None:
        self.dismiss()

    def copied(self, how: str) -> str:
        shown = self.query_one("#planned", Static).content
        return self.command if how == "command" else shown.plain if isinstance(shown, Text) else ""


def row_of(field: Field, methods: list[str], trained: list[str]) -> Horizontal:
    """A key's line: its name, a field of its type, what it means."""
    key, default = field.key, told(field.key.default)
    widget: Widget
    choices = ("true", "false") if key.kind == "flag" else key.choices
    if choices and key.kind in ("word", "flag"):
        widget = Select(
            [(Text(choice), choice) for choice in choices], prompt=default or "-", id=safe(field.name), compact=True,
            value=field.given if field.given in choices else Select.NULL,
        )  # fmt: skip
    else:
        known = {"method": methods, "locale": trained}.get(key.kind, [])
        widget = Input(
            field.given, placeholder=default or HINTS.get(key.kind, key.kind), id=safe(field.name), compact=True,
            suggester=SuggestFromList(known, case_sensitive=False) if known else None,
        )  # fmt: skip
    doc = Static(
        Text(key.doc, no_wrap=True, overflow="ellipsis"), id=f"{safe(field.name)}-doc", classes="doc"
    )
    return Horizontal(Label(Text(field.name)), widget, doc, classes="row")


def told(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, dict):
        return " ".join(f"{name}={told(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def tables(value: str, before: str) -> Iterator[str]:
    """`density=0.3 scale=1` as single keys; one that was there before and is not now is taken away."""
    now = [one if "=" in one else f"{one}=" for one in value.split()]
    names = {one.partition("=")[0] for one in now}
    yield from now
    yield from (f"{name}=" for one in before.split() if (name := one.partition("=")[0]) not in names)


def planned(space: Any, file: Path | None, sets: list[str]) -> Checked:
    """What `mu run --dry-run` says of it. Raises MuError for what cannot be run."""
    from merginguriel.cli.run import plan_lines
    from merginguriel.config import run_config as configs
    from merginguriel.runs import resolve, run_store
    from merginguriel.runs.planning import plan
    from merginguriel.workspace import writable

    config, places = configs.read(file, sets)
    wanted = resolve.resolved(config, writable(space), places)
    name = run_store.run_id(wanted)
    there = (space.runs / name / "config.yaml").is_file()
    state = run_store.state(run_store.get(space, name)) if there else "new"
    return Checked(name, state, plan_lines(plan(space, wanted), state), config, None)

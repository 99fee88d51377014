"""Form for a new run, made from the keys of the configuration, with its plan beside it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Input, Select, Static

from merginguriel.errors import MuError
from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen
from merginguriel_tui.registry import create
from merginguriel_tui.widgets.choice import Pick

from .launch_data import EMBEDDING, Checked, Field, planned, row_of, safe, set_text, tables

if TYPE_CHECKING:
    from merginguriel.config.schema import Config

# Terminal width → class for the stylesheet.
BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (110, "-wide"), (150, "-roomy")]
PAUSE = 0.25  # seconds after the last letter before the whole form is checked
FIRST = ("kind", "target", "method", "params", "similarity", "k", "sources", "mode", "candidates", "locales", "splits")  # fmt: skip
MAIN = (*FIRST, "weights", "data", "task", "base", "seed", "keep", "score", "training.epochs", "iterate.epochs")  # fmt: skip


class LaunchScreen(MuScreen):
    """A form. Only what differs from the defaults, or from the run it is based on, is set, as `--set` does."""

    NAME = "runs"
    OPENS = False
    AUTO_FOCUS = "#key-target"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    DEFAULT_CSS = """
    LaunchScreen #split { height: 1fr; }
    LaunchScreen.-narrow #split { layout: vertical; }
    LaunchScreen #left { width: 1fr; height: 1fr; }
    LaunchScreen #form { height: 1fr; }
    LaunchScreen #about { height: auto; min-height: 2; max-height: 3; padding: 0 1; color: $text-muted; background: $boost; }
    LaunchScreen #plan { width: 1fr; height: 1fr; border-left: solid $panel; padding: 0 1; }
    LaunchScreen.-narrow #plan { height: 8; width: 100%; border: none; border-top: solid $panel; }
    LaunchScreen .row { height: 1; }
    LaunchScreen .row Label { width: 29; padding-left: 1; }
    LaunchScreen .row Input { width: 22; }
    LaunchScreen .row Select { width: 22; }
    LaunchScreen.-narrow .row Input, LaunchScreen.-narrow .row Select { width: 20; }
    LaunchScreen.-wide .row Input, LaunchScreen.-wide .row Select { width: 1fr; }
    LaunchScreen.-wide .row .doc { display: none; }
    LaunchScreen .row .doc { width: 1fr; color: $text-muted; padding-left: 1; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    LaunchScreen .row .wrong { color: $text-error; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "launch", "Launch", id="launch.go", priority=True, tooltip="Launch the run shown beside the form"),
        Binding("ctrl+s", "save", "Save as YAML", id="launch.save", priority=True, tooltip="Save the configuration as YAML"),
        Binding("f2", "pick", "Choose", id="launch.pick", tooltip="Choose a method, locale, model or base model from a list"),
        Binding("f3", "every", "All keys", id="launch.all", tooltip="Show all keys of this kind of run, or the main ones and those that are set"),
        Binding("escape", "dismiss", "Back", id="launch.back"),
    ]  # fmt: skip

    def __init__(self, like: str | None) -> None:
        super().__init__()
        self.like = like
        self.file: Path | None = None
        self.fields: dict[str, Field] = {}
        self.checked: Checked | None = None
        self.checked_words: list[str] = []  # its command
        self.waiting: Timer | None = None
        self.every = False  # show the keys that are rarely set too
        self.known: dict[str, list[str]] = {}  # kind of a key → values to choose from
        self.early = ""  # letters typed before the form exists

    def body(self) -> ComposeResult:
        """Yield the form and the plan."""
        with Horizontal(id="split"):
            with Vertical(id="left"):
                yield VerticalScroll(id="form", can_focus=False)
                yield Static(id="about", markup=False)
            with VerticalScroll(id="plan"):
                yield Static(Text("…", "dim"), id="planned")

    def show(self, *what: str) -> None:
        """Create the form, with defaults or the settings of the other run."""
        from merginguriel.config import run_config as configs
        from merginguriel.merging import registry
        from merginguriel.runs import resolve, run_index, run_store
        from merginguriel.study import capabilities

        if self.fields:
            self.check()
            return
        space, like = self.mu.space, self.like

        def work() -> tuple[list[Field], Path | None, dict[str, list[str]]]:
            given: dict[str, str] = {}
            file = None
            if like is not None:
                run = run_store.get(space, like)
                file = run.folder / "config.yaml"
                values = configs.flat_values(run.config)
                given = {n: set_text(v) for n, v in values.items() if v != configs.KEYS[n].default}
            names = sorted(
                configs.KEYS, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), "." in n)
            )
            fields = [Field(name, configs.KEYS[name], given.get(name, "")) for name in names]
            placed = resolve.placed(configs.Config(), space)
            study = resolve.study_of(placed, space)
            trained, others = (
                sorted(study.trained()),
                sorted(capabilities.scorable(study.space, study.context) or ()),
            )
            known = list(dict.fromkeys([*trained, *others]))  # what has a model comes first
            _, used = run_index.query(space, "SELECT DISTINCT json_extract(config, '$.base') FROM runs")
            bases = list(
                dict.fromkeys([str(placed.base), *sorted(one for (one,) in used if one), "e5-small"])
            )
            methods = sorted(registry.all_methods())
            return fields, file, {"method": methods, "locale": known, "locales": known, "base": bases}

        self.load(work, self.fill, group="form")

    async def fill(self, result: tuple[list[Field], Path | None, dict[str, list[str]]]) -> None:
        """Create the fields."""
        fields, self.file, self.known = result
        self.fields = {field.name: field for field in fields}
        # Await it: after a refresh alone, some fields may be missing on a slow machine.
        await self.query_one("#form").mount_all([row_of(field, self.known) for field in fields])
        self.fit()
        target = self.query_one("#key-target", Input)
        # The focus may arrive after the first letters and select them; the next letter would replace them.
        target.select_on_focus = bool(target.value)
        self.set_focus(target)
        target.insert_text_at_cursor(self.early)
        self.check()

    def on_key(self, event: events.Key) -> None:
        """Insert letters typed before the form exists into its first field."""
        if event.character and event.is_printable and isinstance(self.focused, Input | None):
            if self.focused is None:
                self.early += event.character
            else:
                self.focused.insert_text_at_cursor(event.character)
            event.stop()

    # Content

    def value(self, name: str) -> str:
        """Return the text of a field."""
        widget = self.query_one(f"#{safe(name)}")
        if isinstance(widget, Select):
            return "" if widget.selection is None else str(widget.selection)
        return widget.value.strip() if isinstance(widget, Input) else ""

    def sets(self) -> list[str]:
        """Return the `--set` values: every key that differs from its initial value."""
        pairs: list[str] = []
        for name, field in self.fields.items():
            value = self.value(name)
            if value == field.initial:
                continue
            if field.key.kind == "table":
                pairs += [f"{name}.{table}" for table in tables(value, field.given)]
            else:
                pairs.append(f"{name}={value}")
        return pairs

    def fit(self) -> None:
        """Show only the keys that apply to this kind of run: the main ones and those that are set, or all."""
        from merginguriel.config.schema import EMBEDDERS

        kind = self.value("kind")
        for name, field in self.fields.items():
            matters = (
                self.every
                or name in (*MAIN, *EMBEDDING)
                or self.value(name) not in ("", set_text(field.key.default))
            )
            applies = not field.key.only or kind in field.key.only
            if name == "task" and kind in EMBEDDERS:  # it follows from the data
                applies = False
            self.query_one(f"#{safe(name)}-row").display = applies and matters

    def on_input_changed(self, event: Input.Changed) -> None:
        """Check the value."""
        self.typed(event.input.id or "", event.value)

    def on_input_submitted(self) -> None:
        """Focus the next field."""
        self.focus_next()

    def on_select_changed(self, event: Select.Changed) -> None:
        """Check the value."""
        if event.select.id == safe("kind") and self.fields:
            self.fit()
        self.typed(event.select.id or "", "")

    def on_descendant_focus(self) -> None:
        """Describe the key that has the focus."""
        self.describe(self.at)

    def describe(self, field: Field | None, problem: str = "") -> None:
        """Show what is wrong with the value of a key, or the whole description of the key."""
        text = "" if field is None else f"{field.name}: {field.key.doc}"
        if field is not None and self.known.get(field.key.kind):
            text += f"  ({self.key_of('launch.pick')} chooses from a list)"
        self.query_one("#about", Static).update(f"✗ {plain(problem)}" if problem else text)

    @property
    def at(self) -> Field | None:
        """The key whose field has the focus."""
        return next(
            (f for f in self.fields.values() if self.focused and safe(f.name) == self.focused.id), None
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a list only for keys that have one."""
        if action == "pick":
            return self.at is not None and bool(self.known.get(self.at.key.kind))
        return super().check_action(action, parameters)

    def action_pick(self) -> None:
        """Choose the value from a list; of several locales, one more."""
        field = self.at
        if field is None or not isinstance(self.focused, Input):
            return
        widget = self.focused

        def then(value: str | None) -> None:
            if value is not None:
                before = [*widget.value.split()] if field.key.kind == "locales" else []
                widget.value = " ".join(dict.fromkeys([*before, value]))
                widget.action_end()

        self.app.push_screen(Pick(field.name, self.known[field.key.kind]), then)

    def action_every(self) -> None:
        """Show all keys, or only the main ones."""
        self.every = not self.every
        self.fit()

    def typed(self, widget: str, value: str) -> None:
        """Check one value at once, and the whole form when typing pauses."""
        from merginguriel.config import run_config as configs

        field = next((f for f in self.fields.values() if safe(f.name) == widget), None)
        if field is None:
            return
        checked = value.strip() and field.key.kind != "table"
        self.hint(field, configs.problem(field.name, value.strip()) if checked else "")
        if self.waiting:
            self.waiting.stop()
        self.waiting = self.set_timer(PAUSE, self.check)

    def hint(self, field: Field, problem: str) -> None:
        """Show an error, or the description, of a field."""
        doc = self.query_one(f"#{safe(field.name)}-doc", Static)
        doc.set_class(bool(problem), "wrong")
        if field is self.at:
            self.describe(field, problem)
        doc.update(
            Text(f"✗ {plain(problem)}" if problem else field.key.doc, no_wrap=True, overflow="ellipsis")
        )

    # Plan

    def words(self) -> list[str]:
        """Return the `mu run` command as words."""
        file = [self.mu.space.display(self.file)] if self.file else []
        return ["mu", "run", *file, *(word for item in self.sets() for word in ("--set", item))]

    def check(self) -> None:
        """Plan the run as `mu run --dry-run` does."""
        space, file, sets = self.mu.space, self.file, self.sets()
        words = self.words()
        self.command = shlex.join([*words, "--dry-run"])

        def work() -> Checked:
            try:
                return planned(space, file, sets)
            except MuError as error:
                return Checked("", "", [], None, error)

        self.load(work, lambda result: self.show_plan(result, words), group="check")

    def show_plan(self, result: Checked, words: list[str]) -> None:
        """Show the plan or the error."""
        self.checked, self.checked_words = result, words
        if result.error:
            error = result.error
            text = Text.assemble(("✗ cannot run yet\n", "bold"), plain(error.what))
            text.append(f"\n{plain(error.hint)}" if error.hint else "", "dim")
        else:
            text = Text.assemble(
                (plain(result.run), "bold"), f"  {result.state}\n", plain("\n".join(result.lines))
            )
            exists = result.state in ("finished", "running")
            text.append(f"\n{self.key_of('launch.go')} {'shows' if exists else 'launches'} it", "dim")
        self.query_one("#planned", Static).update(text)
        self.refresh_bindings()

    def refuses(self, action: str) -> bool:
        """Launch and save only what is planned without an error."""
        return action in ("launch", "save") and not (self.checked and self.checked.config)

    def shown(self, done: str) -> tuple[str, Config] | None:
        """Return the planned run and its configuration; None if the form has changed since."""
        checked = self.checked
        if checked and checked.config and self.checked_words == self.words():
            return checked.run, checked.config
        message = f"It cannot be {done} yet: see the message beside the form."
        self.notify(message, severity="warning", markup=False)
        self.check()
        return None

    def action_launch(self) -> None:
        """Launch the planned run as a process of its own, and show it."""
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
            if self.app.screen is self:
                self.app.switch_screen(create("run", name))
            else:
                self.notify(f"launched: {plain(name)}", markup=False)
                self.check()

        self.load(work, then, group="launch")

    def action_save(self) -> None:
        """Save the whole configuration as a file for `mu run` in the workspace."""
        from merginguriel.config import run_config as configs
        from merginguriel.files import write_text
        from merginguriel.workspace import writable

        shown, space = self.shown("saved"), self.mu.space
        if shown is None:
            return
        name, config = f"{shown[0]}.yaml", shown[1]

        def work() -> str:
            path, text = writable(space).root / name, configs.dump(config)
            if not (path.is_file() and path.read_bytes() == text.encode()):
                write_text(path, text, exclusive=True)
            return name

        self.load(work, lambda name: self.notify(f"saved: {plain(name)}", markup=False), group="save")

    def content(self, how: str) -> str:
        """Return the plan."""
        content = self.query_one("#planned", Static).content
        return content.plain if isinstance(content, Text) else ""

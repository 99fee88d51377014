"""Home screen: what to do next, each line with the key that does it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from merginguriel.text.numbers import count
from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen, table_as
from merginguriel_tui.registry import create

if TYPE_CHECKING:
    from merginguriel.errors import MuError
    from merginguriel.knowledge.base import Knowledge

    from .home_data import Line

LETTERS = "abcdefhilmnoprstuvwxzABDEFHIJKLNOPQRSTUVWXZ"  # without those of all screens: g, j, k, q, y, …
PACKAGED = ("home", "e5-small")  # task and base that need no hub
EVERY = 5.0  # seconds between two looks at runs at work


class HomeLines(OptionList):
    """A list that begins with a heading: moving above it leads to the first line, not out of the list."""

    def validate_highlighted(self, highlighted: int | None) -> int | None:
        """Return a line in place of nothing."""
        found = super().validate_highlighted(highlighted)
        if found is not None:
            return found
        return next((i for i, option in enumerate(self.options) if not option.disabled), None)


class HomeScreen(MuScreen):
    """Runs at work, runs without an entry, drafts, open questions, targets worth a pilot, models at hand, problems."""

    NAME = "home"
    AUTO_FOCUS = "#lines"
    DEFAULT_CSS = "HomeScreen #lines { height: 1fr; max-width: 120; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.knowledge: Knowledge | None = None
        self.lines: list[Line] = []
        self.ranked: list[Line] = []
        self.keys: dict[tuple[str, ...], str] = {}  # what a line does → its key, which stays the same

    def body(self) -> ComposeResult:
        """Yield the list."""
        yield HomeLines(
            Option(Text("Loading …", "dim"), disabled=True), id="lines", markup=False, compact=True
        )

    def on_mount(self) -> None:
        """Look at runs again at intervals."""
        # Textual calls that of the class above by itself.
        self.set_interval(EVERY, self.tick)

    def on_screen_resume(self) -> None:
        """Read again: other screens change what is to be done."""
        if self.knowledge is not None:
            self.show()

    def tick(self) -> None:
        """Read again while runs are at work."""
        if self.app.screen is self and any(line.group == "at work" for line in self.lines):
            self.show()

    def show(self, *what: str) -> None:
        """Read what is to be done; rank the targets after it is shown."""
        self.command, space = "mu advise next", self.mu.space

        def then(found: tuple[Knowledge, list[Line]]) -> None:
            before = self.knowledge and (self.knowledge.hash, *self.models())
            self.knowledge, self.lines = found
            self.mu.note_problems(self.knowledge)
            self.draw()
            if before != (self.knowledge.hash, *self.models()):
                self.rank(self.knowledge)

        def work() -> tuple[Knowledge, list[Line]]:
            from .home_data import lines

            return lines(space)

        def refused(error: MuError) -> None:
            self.list_options("lines", [Option(Text(plain(error.render())), disabled=True)])
            self.mu.show_error(error)

        self.load(work, then, otherwise=refused)

    def models(self) -> list[Line]:
        """Return the lines on models."""
        return [line for line in self.lines if line.group == "models"]

    def rank(self, knowledge: Knowledge) -> None:
        """Rank the targets by the value of a pilot, or take the remembered ranking of the same knowledge."""
        saved = self.remembered()
        known = saved.get("ranked") if saved.get("hash") == knowledge.hash else None
        space = self.mu.space

        from .home_data import worth

        def then(found: tuple[list[list[str]] | None, list[Line]]) -> None:
            ranked, self.ranked = found
            self.remember(hash=knowledge.hash, ranked=ranked)
            self.draw()

        self.load(lambda: worth(space, knowledge, known), then, group="rank")

    def draw(self) -> None:
        """List the lines under their headings; the cursor stays on its line."""
        from .home_data import GROUPS

        every = sorted([*self.lines, *self.ranked], key=lambda line: GROUPS.index(line.group))
        for line in sorted(every, key=lambda line: not line.key):
            free = (letter for letter in LETTERS if letter not in self.keys.values())
            self.keys.setdefault(line.do, line.key or next(free, ""))
        shown = self.query_one("#lines", OptionList)
        at, here = shown.highlighted, None
        if at is not None:
            here = shown.get_option_at_index(at).id
        options: list[Option] = []
        for group, inside in groupby(every, key=lambda line: line.group):
            options.append(Option(Text(group, "bold underline"), disabled=True))
            options += [Option(self.row(line), id="\n".join((line.group, *line.do))) for line in inside]
        if not every:
            ask, runs = self.key_of("go.advise"), self.key_of("go.runs")
            text = Text(f"Nothing is open. {ask} asks for advice, {runs} lists the runs.", "bold")
            options.append(Option(text, disabled=True))
        names = [option.id for option in options]
        first = next((i for i, option in enumerate(options) if not option.disabled), None)
        self.list_options("lines", options, names.index(here) if here in names else first)

    def row(self, line: Line) -> Table:
        """Return a line, its key at the end."""
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(width=3, justify="right")
        table.add_row(
            Text(f" {plain(line.text)}"),
            Text(f"[{self.keys[line.do]}]" if self.keys[line.do] else "", "bold"),
        )
        return table

    # Keys

    def on_key(self, event: events.Key) -> None:
        """Do what the line with this key says."""
        do = next((do for do, key in self.keys.items() if key and key == event.character), None)
        if do in [line.do for line in (*self.lines, *self.ranked)]:
            event.stop()
            self.follow(do)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Do what the line says."""
        if event.option_id:
            self.follow(tuple(event.option_id.split("\n")[1:]))

    def follow(self, do: tuple[str, ...]) -> None:
        """Go somewhere, write an entry, copy a command, or call an action."""
        name, *what = do
        if name == "go":
            self.mu.action_go(what[0], *what[1:])
        elif name == "write":
            from . import landing

            landing.write(self, what[0], what[1], lambda _: self.show())
        elif name == "copy":
            self.app.copy_to_clipboard(self.mu.anywhere(what[0]))
            self.notify(f"copied: {what[0]}", markup=False)
        elif name == "train":
            self.train()
        elif name == "import":
            self.app.push_screen(create("import"))
        else:
            self.app.call_later(self.app.run_action, name)

    def train(self, *other: str) -> None:
        """Show what training the first models would do, and launch it when confirmed.

        Args:
            other: Task and base; default: those of mu.toml. Where these are not available, PACKAGED is proposed.
        """
        from merginguriel.errors import UnavailableError
        from merginguriel.study.study import Study, of_context

        from .home_data import training

        space = self.mu.space
        task, base = other or of_context(space)

        def launch(config: Any) -> None:
            from merginguriel.runs import worker

            self.load(lambda: worker.launch(space, config)[0].id, launched, group="launch")

        def launched(run: str) -> None:
            self.mu.follow_run(run)
            self.mu.action_go("runs", run)

        def planned(found: tuple[str, Any]) -> None:
            text, config = found
            title = f"Train {count(len(config.locales), 'model')} of {task}/{base}?"
            self.confirm(title, text, "Train", lambda: launch(config))

        def refused(error: MuError) -> None:
            if isinstance(error, UnavailableError) and (task, base) != PACKAGED:
                title = f"{task}/{base} is not available. Train {'/'.join(PACKAGED)}?"
                self.confirm(title, plain(error.render()), "Show the plan", lambda: self.train(*PACKAGED))
            else:
                self.mu.show_error(error)

        def work() -> tuple[str, Any]:
            return training(Study(space, task, base))

        self.load(work, planned, group="launch", otherwise=refused)

    def content(self, how: str) -> str:
        """Return the lines as a table."""
        rows = [[line.group, line.text, self.keys[line.do]] for line in (*self.lines, *self.ranked)]
        return table_as(how, [["group", "what", "key"], *rows])

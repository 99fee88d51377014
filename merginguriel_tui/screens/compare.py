"""Do these runs differ by more than noise, and in what were they made differently? Two or more, side by side."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, Static

from merginguriel.errors import MuError, UsageError

from ..base import MuScreen
from ..widgets.copying import table_as

if TYPE_CHECKING:
    from merginguriel.experiments.against import Against, Seeds


class Found(NamedTuple):
    """What the core says of the runs that are compared."""

    runs: list[Against]
    seeds: list[Seeds]


class CompareScreen(MuScreen):
    """Runs by their ids, or the ends of them; the first is what the others are counted from."""

    NAME = "compare"
    AUTO_FOCUS = "#main"
    DEFAULT_CSS = """
    CompareScreen #main { height: 1fr; }
    CompareScreen #said { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Runs to compare", id="compare.find", tooltip="Name the runs to compare"),
        Binding("f", "first", "Next one first", id="compare.first", tooltip="Count from the next run"),
        Binding("enter", "open", "Open the first", id="compare.open", tooltip="Open the first run"),
        Binding("escape", "back", "Back", id="compare.back", tooltip="Back to the runs"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        self.found: Found | None = None

    def body(self) -> ComposeResult:
        yield Input(id="find", placeholder="runs to compare: ids or their ends, blanks between", compact=True)
        with VerticalScroll(id="main"):
            yield Static(id="said")

    def show(self, *what: str) -> None:
        """Compare these; nothing: those that were compared last."""
        restored = not what and not self.names
        if restored:
            kept = self.remembered().get("runs")
            what = tuple(map(str, kept)) if isinstance(kept, list) else ()
        self.names = what or self.names
        self.query_one("#find", Input).value = " ".join(self.names)
        if len(self.names) < 2:
            self.command = "mu runs list"
            self.query_one("#said", Static).update(
                Text(
                    "\n Mark two runs or more with the space bar in Runs (4) and press c, or press / and name them."
                )
            )
            return
        self.read(restored)

    def read(self, restored: bool = False) -> None:
        """Read and compare. restored: named by the last session, so that one which is gone since is no error."""
        from merginguriel.experiments import runs
        from merginguriel.experiments.against import by_seed, compared

        space, names = self.mu.space, self.names

        def work() -> Found:
            asked = [runs.get(space, name) for name in names]
            found = compared(asked)
            return Found(found, by_seed(found, asked))

        def gone(error: MuError) -> None:
            self.names = ()
            self.remember(runs=[])
            self.show()

        self.load(work, self.fill, otherwise=gone if restored else None)

    def fill(self, found: Found) -> None:
        self.found = found
        self.remember(runs=list(self.names))
        self.command = shlex.join(["mu", "runs", "compare", *(one.run for one in found.runs)])
        self.draw()

    def draw(self) -> None:
        from ..widgets import sidebyside

        if self.found is None:
            return
        width = self.query_one("#main").size.width - 2
        runs, seeds = self.found
        said = sidebyside.differing(runs)
        said.append_text(sidebyside.paired(runs, width))
        said.append_text(sidebyside.over_seeds(runs, seeds))
        said.append_text(sidebyside.locales(runs, width))
        self.query_one("#said", Static).update(said)

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    # what a person does

    def on_input_submitted(self, event: Input.Submitted) -> None:
        names = tuple(event.value.split())
        if len(names) < 2:
            self.mu.tell(
                UsageError("a comparison needs two runs or more.", mend="Name them with blanks between.")
            )
            return
        self.show(*names)
        self.query_one("#main").focus()

    def action_find(self) -> None:
        self.query_one("#find").focus()

    def action_first(self) -> None:
        """Count from the next one: the first goes to the end."""
        if len(self.names) > 1:
            self.show(*self.names[1:], self.names[0])

    def action_open(self) -> None:
        if self.found:
            self.mu.action_go("runs", self.found.runs[0].run)

    def action_back(self) -> None:
        if self.query_one("#find").has_focus:
            self.query_one("#main").focus()
        else:
            self.mu.action_go("runs")

    def copied(self, how: str) -> str:
        if how == "command" or self.found is None:
            return self.command
        from merginguriel.cli.runs import against_table

        if how == "text":
            shown = self.query_one("#said", Static).content
            return shown.plain if isinstance(shown, Text) else ""
        return table_as(how, against_table(self.found.runs))

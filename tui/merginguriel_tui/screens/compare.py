"""Do these runs or recipes differ by more than noise, and in what were they made differently? Two or more, side by side."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from merginguriel.errors import MuError, UsageError
from merginguriel_tui.base import MuScreen, table_as

if TYPE_CHECKING:
    from merginguriel.report.run_comparison import Against, Seeds


OFFERED = 200  # names in the list; what is typed narrows it


class Names(Input):
    """What is to be compared: down goes into the list of what is there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "screen.offered", "To the list", id="compare.list", show=False)
    ]


class Found(NamedTuple):
    """What the core says of what is compared."""

    runs: list[Against]
    seeds: list[Seeds]


class CompareScreen(MuScreen):
    """Runs by their ids, or the ends of them, and recipes by their files; the first is what the others are counted from."""

    NAME = "compare"
    AUTO_FOCUS = "#main"
    DEFAULT_CSS = """
    CompareScreen #main { height: 1fr; }
    CompareScreen #said { height: auto; }
    CompareScreen #offered { display: none; height: auto; max-height: 50%; border-bottom: solid $panel; }
    CompareScreen.-finding #offered { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "What to compare", id="compare.find", tooltip="Name the runs and recipes to compare, or pick them"),
        Binding("f", "first", "Next one first", id="compare.first", tooltip="Count from the next run"),
        Binding("enter", "open", "Open the first", id="compare.open", tooltip="Open the first run"),
        Binding("escape", "back", "Back", id="compare.back", tooltip="Back to the runs"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        self.found: Found | None = None
        self.listed: list[str] = []

    def body(self) -> ComposeResult:
        yield Names(
            id="find", placeholder="runs (ids or their ends) and recipes/*.yaml, blanks between", compact=True
        )
        yield OptionList(id="offered", markup=False, compact=True)
        with VerticalScroll(id="main"):
            yield Static(id="said")

    def show(self, *what: str) -> None:
        """Compare these; nothing: those that were compared last."""
        restored = not what and not self.names
        if restored:
            kept = self.remembered().get("runs")
            what = tuple(map(str, kept)) if isinstance(kept, list) else ()
        self.names = what or self.names
        field = self.query_one("#find", Input)
        with field.prevent(Input.Changed):
            field.value = shlex.join(self.names)
        if len(self.names) < 2:
            self.command = "mu runs list"
            self.query_one("#said", Static).update(
                Text(
                    "\n Mark two runs or more with the space bar in Runs (4) and press c, or press / and name them,"
                    "\n or recipes that were saved in recipes/."
                )
            )
            return
        self.read(restored)

    def read(self, restored: bool = False) -> None:
        """Read and compare. restored: named by the last session, so that one which is gone since is no error."""
        from merginguriel.report import comparable
        from merginguriel.report.run_comparison import by_seed, compared

        space, names = self.mu.space, self.names

        def work() -> Found:
            asked = [comparable.get(space, name) for name in names]
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
        self.command = shlex.join(["mu", "runs", "compare", *(one.name for one in found.runs)])
        self.draw()

    def draw(self) -> None:
        from merginguriel_tui.widgets import sidebyside

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

    def words(self) -> list[str] | None:
        """What stands in the field, word by word; None where a quotation does not end yet."""
        try:
            return shlex.split(self.query_one("#find", Input).value)
        except ValueError:
            return None

    def offer(self) -> None:
        """Recipes and runs that the last word in the field may mean; read in a thread."""
        from merginguriel.report import comparable

        words, space = self.words() or [], self.mu.space
        # A blank at the end: that word is whole, and the next one may be anything.
        whole = not words or self.query_one("#find", Input).value.endswith(" ") or tuple(words) == self.names
        typed = "" if whole else words[-1]
        self.load(lambda: comparable.names(space, typed), self.offered, group="find")

    def offered(self, found: list[str]) -> None:
        from merginguriel.text.tables import plain

        listed = self.query_one("#offered", OptionList)
        self.listed = found[:OFFERED]
        listed.clear_options()
        listed.add_options(
            [Option(Text(plain(name), no_wrap=True, overflow="ellipsis")) for name in self.listed]
        )
        if len(found) > OFFERED:
            said = Text(f"… {len(found) - OFFERED:,} more: type a part of the name", "dim")
            listed.add_option(Option(said, disabled=True))
        if self.listed:
            listed.highlighted = 0

    def on_descendant_focus(self) -> None:
        finding = self.focused is not None and self.focused.id in ("find", "offered")
        if finding and not self.has_class("-finding"):
            self.offer()
        self.set_class(finding, "-finding")

    def on_input_changed(self) -> None:
        if self.has_class("-finding"):
            self.offer()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """The name that was picked takes the place of the word that was begun."""
        field, name = self.query_one("#find", Input), self.listed[event.option_index]
        words = self.words() or []
        begun = words and not field.value.endswith(" ") and tuple(words) != self.names
        field.value = shlex.join([*(words[:-1] if begun else words), name]) + " "
        field.select_on_focus = False  # or the next key would replace what was picked
        field.focus()
        field.action_end()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        names = tuple(self.words() or ())
        if len(names) < 2:
            self.mu.show_error(
                UsageError(
                    "a comparison needs two runs or more.", mend="Name them, or recipes, with blanks between."
                )
            )
            return
        self.show(*names)
        self.query_one("#main").focus()

    def action_find(self) -> None:
        field = self.query_one("#find", Input)
        field.select_on_focus = True
        field.focus()

    def action_offered(self) -> None:
        self.query_one("#offered").focus()

    def action_first(self) -> None:
        """Count from the next one: the first goes to the end."""
        if len(self.names) > 1:
            self.show(*self.names[1:], self.names[0])

    def action_open(self) -> None:
        if self.found is None:
            return
        first = self.found.runs[0]
        if first.state == "new":
            self.notify(f"It was not run yet: {first.command}", severity="warning", markup=False)
        else:
            self.mu.action_go("runs", first.run)

    def action_back(self) -> None:
        if self.has_class("-finding"):
            self.query_one("#main").focus()
        else:
            self.mu.action_go("runs")

    def copied(self, how: str) -> str:
        if how == "command" or self.found is None:
            return self.command
        from merginguriel.text.run_comparison import against_table

        if how == "text":
            shown = self.query_one("#said", Static).content
            return shown.plain if isinstance(shown, Text) else ""
        return table_as(how, against_table(self.found.runs))

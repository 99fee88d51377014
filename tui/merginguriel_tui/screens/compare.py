"""Compare screen: two or more runs or recipes side by side."""

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
    from merginguriel.report.flipped import Flips
    from merginguriel.report.run_comparison import Against, Seeds


OFFERED = 200  # suggestions; typing narrows them


class Names(Input):
    """Field for what to compare; the down key enters the list of suggestions."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus('offered')", "To the list", id="compare.list", show=False)
    ]


class Loaded(NamedTuple):
    """Result of a comparison."""

    runs: list[Against]
    seeds: list[Seeds]


class CompareScreen(MuScreen):
    """Runs by id (or its end) and recipes by file; all are compared with the first."""

    NAME = "compare"
    AUTO_FOCUS = "#main"
    DEFAULT_CSS = """
    CompareScreen #main { height: 1fr; }
    CompareScreen #said { height: auto; }
    CompareScreen #offered { display: none; height: auto; max-height: 50%; border-bottom: solid $panel; }
    CompareScreen.-finding #offered { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "What to compare", id="compare.find", tooltip="Name the runs and recipes to compare, or pick them", priority=True),
        Binding("f", "first", "Next one first", id="compare.first", tooltip="Compare with the next run instead"),
        Binding("d", "flips", "Sentences", id="compare.flips", tooltip="Show the sentences on which the first two merges differ, and the change per label; of embedders, the ranks of queries"),
        Binding("enter", "open", "Open the first", id="compare.open", tooltip="Open the first run"),
        Binding("escape", "back", "Back", id="compare.back", tooltip="Back to the runs"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        self.found: Loaded | None = None
        self.flips: Flips | None = None  # of the first two runs, once it is asked for
        self.listed: list[str] = []

    def body(self) -> ComposeResult:
        """Yield the field, the suggestions and the comparison."""
        hint = (
            "runs (ids or their ends), RUN:MODEL of a study of embedders, recipes/*.yaml, separated by spaces"
        )
        yield Names(id="find", placeholder=hint, compact=True)
        yield OptionList(id="offered", markup=False, compact=True)
        with VerticalScroll(id="main"):
            yield Static(id="said")

    def show(self, *what: str) -> None:
        """Compare these; without names, those of the last comparison."""
        restored = not what and not self.names
        if restored:
            saved = self.remembered().get("runs")
            what = tuple(map(str, saved)) if isinstance(saved, list) else ()
        self.names = what or self.names
        field = self.query_one("#find", Input)
        with field.prevent(Input.Changed):
            field.value = shlex.join(self.names)
        if len(self.names) < 2:
            self.command = "mu runs list"
            self.query_one("#said", Static).update(
                Text(
                    f"\n Mark two or more runs in the runs screen ({self.key_of('go.runs')}) and compare them there."
                    f"\n Or type ids of runs, or names of recipes saved in recipes/ ({self.key_of('compare.find')})."
                )
            )
            return
        self.read(restored)

    def read(self, restored: bool = False) -> None:
        """Load and compare; names `restored` from the last session may be missing now."""
        from merginguriel.report import comparable
        from merginguriel.report.run_comparison import by_seed, compared

        space, names = self.mu.space, self.names

        def work() -> Loaded:
            runs = [comparable.get(space, name) for name in names]
            result = compared(runs, unfinished=True)
            return Loaded(result, by_seed(result, runs))

        def gone(error: MuError) -> None:
            self.names = ()
            self.remember(runs=[])
            self.show()

        self.load(work, self.fill, otherwise=gone if restored else None)

    def fill(self, result: Loaded) -> None:
        """Take a finished comparison."""
        self.found, self.flips = result, None
        self.remember(runs=list(self.names))
        self.refresh_bindings()
        self.command = shlex.join(["mu", "runs", "compare", *(run.name for run in result.runs)])
        self.draw()

    def draw(self) -> None:
        """Draw the comparison for the current width."""
        from merginguriel_tui.widgets import sidebyside

        if self.found is None:
            return
        width = self.query_one("#main").size.width - 2
        runs, seeds = self.found
        text = sidebyside.differing(runs)
        text.append_text(sidebyside.paired(runs, width))
        text.append_text(sidebyside.over_seeds(runs, seeds))
        text.append_text(sidebyside.locales(runs, width))
        if self.flips:
            text.append_text(sidebyside.flipped(self.flips, width))
        self.query_one("#said", Static).update(text)

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.call_after_refresh(self.draw)

    # Keys

    def words(self) -> list[str] | None:
        """Return the words in the field; None while a quotation is open."""
        try:
            return shlex.split(self.query_one("#find", Input).value)
        except ValueError:
            return None

    def offer(self) -> None:
        """Look up names for the last word in the field, in a thread."""
        from merginguriel.report import comparable

        words, space = self.words() or [], self.mu.space
        # After a space the last word is complete, and the next may be anything.
        complete = (
            not words or self.query_one("#find", Input).value.endswith(" ") or tuple(words) == self.names
        )
        prefix = "" if complete else words[-1]
        self.load(lambda: comparable.names(space, prefix), self.offered, group="find")

    def offered(self, result: list[str]) -> None:
        """Show the suggestions."""
        from merginguriel.text.tables import plain

        self.listed = result[:OFFERED]
        options = [Option(Text(plain(name), no_wrap=True, overflow="ellipsis")) for name in self.listed]
        if len(result) > OFFERED:
            text = Text(f"… {len(result) - OFFERED:,} more: type part of the name", "dim")
            options.append(Option(text, disabled=True))
        self.list_options("offered", options, 0 if self.listed else None)

    def on_descendant_focus(self) -> None:
        """Show the suggestions while the field has the focus."""
        finding = self.focused is not None and self.focused.id in ("find", "offered")
        if finding and not self.has_class("-finding"):
            self.offer()
        self.set_class(finding, "-finding")

    def on_input_changed(self) -> None:
        """Update the suggestions."""
        if self.has_class("-finding"):
            self.offer()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Replace the last word by the selected name."""
        field, name = self.query_one("#find", Input), self.listed[event.option_index]
        words = self.words() or []
        partial = words and not field.value.endswith(" ") and tuple(words) != self.names
        field.value = shlex.join([*(words[:-1] if partial else words), name]) + " "
        field.select_on_focus = False  # else the next key would replace the name
        field.focus()
        field.action_end()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Compare the names in the field."""
        names = tuple(self.words() or ())
        if len(names) < 2:
            hint = "Type ids or recipes, separated by spaces."
            self.mu.show_error(UsageError("a comparison needs two or more runs.", hint=hint))
            return
        self.show(*names)
        self.query_one("#main").focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what needs a comparison only where there is one."""
        if action in ("first", "flips", "open"):
            return self.found is not None
        return super().check_action(action, parameters)

    def refuses(self, action: str) -> bool:
        """Offer sentences of comparable merges, and runs that exist."""
        if self.found is None:
            return False
        first, second = self.found.runs[:2]
        return {"flips": second.found is None, "open": first.state == "new"}.get(action, False)

    def action_find(self) -> None:
        """Focus the field."""
        self.query_one("#find", Input).select_on_focus = True
        super().action_find()

    def action_flips(self) -> None:
        """Show the sentences on which the first two merges differ."""
        from merginguriel.report import comparable
        from merginguriel.report.flipped import flipped

        if self.found is None:
            return
        space, names = self.mu.space, [one.name for one in self.found.runs[:2]]

        def then(flips: Flips) -> None:
            self.flips = flips
            self.draw()
            self.call_after_refresh(self.query_one("#main").scroll_end, animate=False)

        self.load(lambda: flipped(*(comparable.get(space, name) for name in names)), then, group="flips")

    def action_first(self) -> None:
        """Use the next run as the first."""
        if len(self.names) > 1:
            self.show(*self.names[1:], self.names[0])

    def action_open(self) -> None:
        """Open the first run."""
        if self.found is None:
            return
        first = self.found.runs[0]
        if first.state == "new":
            self.notify(f"not run yet: {first.command}", severity="warning", markup=False)
        else:
            self.mu.action_go("runs", first.run)

    def action_back(self) -> None:
        """Leave the field, or go back to the runs."""
        if self.has_class("-finding"):
            self.query_one("#main").focus()
        else:
            self.mu.action_go("runs")

    def content(self, how: str) -> str:
        """Return the comparison as text or table."""
        if self.found is None:
            return self.command
        from merginguriel.report.run_comparison import comparison_table

        if how == "text":
            text = self.query_one("#said", Static).content
            return text.plain if isinstance(text, Text) else ""
        return table_as(how, comparison_table(self.found.runs))

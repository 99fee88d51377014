"""Matrix screen: accuracy of every model on every locale, and the sources that each method would choose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, VerticalScroll
from textual.widgets import Input, Select, Static

from merginguriel.errors import MuError
from merginguriel_tui.base import MuScreen
from merginguriel_tui.widgets.heat import Heat

from . import matrix_data
from .matrix_data import NEEDS_TARGET, ORDERS, MatrixView, Wish, chosen, look, wish_of

if TYPE_CHECKING:
    from textual.timer import Timer

    from merginguriel.loop.matrix_choice import Chosen

WIDE = 120  # columns; from there the pane is beside the matrix, not below
PAUSE = 0.15  # seconds the cursor rests on a target before its sources are chosen
LEGEND = "[ ] own model  * column's best  – unmeasured  URE: chosen by URIEL, REAL, advice"
PAIR_LEGEND = "ko-en: queries in ko, documents in en; ko-: queries  -en: documents  * column's best"


class MatrixScreen(MuScreen):
    """The heat map, the cell under the cursor, and the sources chosen for its target."""

    NAME = "matrix"
    AUTO_FOCUS = "#heat"
    CSS = """
    #matrix-bar { height: 1; }
    #matrix-bar Select { width: 34; }
    MatrixScreen.-wide #matrix-bar #source { width: 60; }
    #matrix-bar #order { width: 26; }
    #matrix-bar Input { width: 1fr; }
    #matrix-legend { height: 1; color: $text-muted; }
    #matrix-body { layout: vertical; }
    #matrix-side { height: 6; border-top: solid $panel; }
    MatrixScreen.-wide #matrix-body { layout: horizontal; }
    MatrixScreen.-wide #matrix-side { width: 44; height: 1fr; border-top: none; border-left: solid $panel; padding: 0 1; }
    #matrix-cell { height: 2; }
    MatrixScreen.-wide #matrix-cell { height: 3; }
    #matrix-column { display: none; margin-top: 1; }
    MatrixScreen.-wide #matrix-column { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order", "Order", id="matrix.order", tooltip="Order by name, family, script, similarity or value"),
        Binding("t", "about", "Near this target", id="matrix.about", tooltip="Order by similarity to this target"),
        Binding("v", "about('value')", "Best on this target", id="matrix.value", show=False, tooltip="Order by value on this target"),
        Binding("m", "next", "Next matrix", id="matrix.next", tooltip="Show the next matrix"),
        Binding("slash", "find", "Find", id="matrix.find", tooltip="Find a locale by tag or language", priority=True),
        Binding("e", "export", "Export", id="matrix.export", tooltip="Write the matrix as CSV and PNG"),
        Binding("escape", "back", "To the matrix", id="matrix.back", show=False),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.wish: Wish | None = None
        self.seen: MatrixView | None = None
        self.picked: dict[str, Chosen] = {}  # target → chosen sources, for the current matrix
        self.asking: str | None = None  # the target that a thread works on
        self.shown_choice: tuple[str, bool] | None = None  # (target, known) of the choices shown
        self.columned: object = None  # what the column was drawn from
        self.rest: Timer | None = None

    def body(self) -> ComposeResult:
        """Yield the selectors, the heat map and the pane."""
        with Horizontal(id="matrix-bar"):
            yield Select[int]([], prompt="matrix", id="source", compact=True)
            yield Select[str](
                [(f"order: {name}", name) for name in ORDERS],
                value="name",
                allow_blank=False,
                id="order",
                compact=True,
            )
            yield Input(placeholder="find a locale", id="find", compact=True)
        with Container(id="matrix-body"):
            yield Heat(id="heat")
            with VerticalScroll(id="matrix-side"):
                yield Static(Text("loading", "dim"), id="matrix-cell")
                yield Static(id="matrix-choices")
                yield Static(id="matrix-column")
        yield Static(Text(LEGEND, no_wrap=True, overflow="ellipsis"), id="matrix-legend")

    def on_resize(self, event: events.Resize) -> None:
        """Place the pane beside or below the matrix."""
        self.set_class(event.size.width >= WIDE, "-wide")

    # Loading

    def show(self, *what: str) -> None:
        """Show a matrix: context, split and target, in any order."""
        if what:
            try:
                wish = wish_of(what)
            except MuError as error:
                self.mu.show_error(error)
            else:
                self.wish = wish
                self.load(lambda: look(self.mu.space, wish), self.took, otherwise=self.missed)
                return
        if self.wish is None:
            saved = self.mu.saved_state.get("matrix")
            self.begin(saved if isinstance(saved, dict) else {})

    def begin(self, saved: dict[str, object]) -> None:
        """Restore the matrix of the last session, or show the first."""
        words = {name: str(saved[name]) for name in ("context", "split", "target") if saved.get(name)}
        self.wish = Wish(**words)
        space, wish = self.mu.space, self.wish

        def work() -> MatrixView:
            from merginguriel.errors import UsageError

            try:
                return look(space, wish)
            except UsageError:
                return look(space, Wish())

        self.load(work, self.took, otherwise=self.nothing)

    def missed(self, error: MuError) -> None:
        """Report a missing matrix and show one that exists."""
        self.mu.show_error(error)
        if self.seen is None:
            self.begin({})

    def nothing(self, error: MuError) -> None:
        """Report that no matrix can be shown."""
        self.mu.show_error(error)
        if self.seen is None:
            self.query_one("#matrix-cell", Static).update(Text(matrix_data.one_line(error.what)))

    def reload(self) -> None:
        """Read the matrix again."""
        wish = self.wish or Wish()
        self.load(lambda: look(self.mu.space, wish), self.took)

    def rearrange(self, wish: Wish) -> None:
        """Show another matrix or order, with the loaded knowledge."""
        knowledge = self.seen.knowledge if self.seen else None
        self.load(lambda: look(self.mu.space, wish, knowledge), self.took)

    def took(self, seen: MatrixView) -> None:
        """Show a loaded matrix."""
        if self.seen is None or (seen.one, seen.knowledge) != (self.seen.one, self.seen.knowledge):
            self.picked = {}
        self.mu.note_problems(seen.knowledge)
        self.shown_choice = None
        self.seen, self.wish = seen, seen.wish
        legend = PAIR_LEGEND if seen.of_pairs else LEGEND
        self.query_one("#matrix-legend", Static).update(Text(legend, no_wrap=True, overflow="ellipsis"))
        source = self.query_one("#source", Select)
        order = self.query_one("#order", Select)
        with self.prevent(Select.Changed):
            source.set_options((Text(item.name), i) for i, item in enumerate(seen.there))
            source.value = seen.there.index(seen.one)
            order.value = seen.wish.order
        heat = self.query_one(Heat)
        heat.advises = not seen.of_pairs
        heat.show(seen.picture, target=seen.wish.target)
        self.refresh_bindings()

    # The cursor

    @on(Heat.Moved)
    def moved(self) -> None:
        """Show the cell under the cursor."""
        heat = self.query_one(Heat)
        if self.seen is None or heat.source is None or heat.target is None or self.wish is None:
            return
        self.wish = replace(self.wish, target=heat.target)
        self.mu.saved_state["matrix"] = {
            "context": self.seen.one.context, "split": self.seen.one.split, "target": heat.target,
        }  # fmt: skip
        self.command = self.wish.command(heat.target)
        text = matrix_data.cell(self.seen.shown, heat.source, heat.target, self.seen.commonest)
        # Fixed height: a new layout of the screen for each key would be visible.
        self.query_one("#matrix-cell", Static).update(text, layout=False)
        self.show_choice(heat.target)
        if self.rest is not None:
            self.rest.stop()
        self.rest = self.set_timer(PAUSE, self.rested)

    def show_choice(self, target: str) -> None:
        """Show the sources chosen for a target, if known."""
        assert self.seen is not None
        picked = self.picked.get(target)
        if (target, picked is not None) == self.shown_choice:
            return
        self.shown_choice = target, picked is not None
        text = Text() if self.seen.of_pairs else matrix_data.choices(picked)
        self.query_one("#matrix-choices", Static).update(text, layout=picked is not None)
        marks = {s: picked.marks(s) for s in self.seen.shown.sources if s != target} if picked else {}
        self.query_one(Heat).mark(marks)

    def rested(self) -> None:
        """Draw the slower parts once the cursor rests."""
        target = self.query_one(Heat).target
        column = self.query_one("#matrix-column", Static)
        if self.seen is not None and target is not None and column.display:
            picked = self.picked.get(target)
            now = (id(self.seen), target, picked is not None, self.size.height)
            if now != self.columned:
                self.columned = now
                shown, of_pairs = self.seen.shown, self.seen.of_pairs
                column.update(matrix_data.column(shown, target, picked, self.size.height, of_pairs=of_pairs))
        self.ask()

    def ask(self) -> None:
        """Choose sources for the target under the cursor, one thread at a time: a thread cannot be stopped."""
        target, seen = self.query_one(Heat).target, self.seen
        if (
            target is None
            or seen is None
            or target in self.picked
            or self.asking is not None
            or seen.of_pairs
        ):
            return
        self.asking = target
        space = self.mu.space

        def work() -> Chosen | str:
            try:
                return chosen(space, seen, target)
            except MuError as error:
                return error.render()

        def refused(text: str) -> None:
            if target == self.query_one(Heat).target:
                self.query_one("#matrix-choices", Static).update(Text(matrix_data.one_line(text)))
            else:
                self.rested()

        def failed(error: MuError) -> None:
            self.asking = None
            self.mu.show_error(error)
            refused(error.render())

        def then(result: Chosen | str) -> None:
            self.asking = None
            if isinstance(result, str):
                refused(result)
                return
            if self.seen is not None and (seen.one, seen.knowledge) == (self.seen.one, self.seen.knowledge):
                self.picked[target] = result
            current = self.query_one(Heat).target
            if current in self.picked:
                self.show_choice(current)
            self.rested()

        self.load(work, then, group="choose", otherwise=failed)

    @on(Heat.Chosen)
    def advise(self) -> None:
        """Ask for advice on the target."""
        target = self.query_one(Heat).target
        if target and self.seen is not None and not self.seen.of_pairs:
            self.mu.action_go("advise", target, self.seen.one.context)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the order by similarity only to locales: pairs of languages have none."""
        if action in ("order", "about", "next", "export"):
            if self.seen is None or (action == "next" and len(self.seen.there) < 2):
                return False
            return action != "about" or bool(parameters) or not self.seen.of_pairs
        return super().check_action(action, parameters)

    # Selectors

    @on(Select.Changed, "#source")
    def other(self, event: Select.Changed) -> None:
        """Show the selected matrix."""
        if self.seen is not None and isinstance(event.value, int):
            item = self.seen.there[event.value]
            if item != self.seen.one:
                order = self.seen.wish.order
                # The other matrix may lack the target of the order.
                self.rearrange(Wish(item.context, item.split, "name" if order in NEEDS_TARGET else order))

    @on(Select.Changed, "#order")
    def reorder(self, event: Select.Changed) -> None:
        """Apply the selected order."""
        if self.wish is not None and isinstance(event.value, str) and event.value != self.wish.order:
            self.sort(event.value)

    def sort(self, order: str) -> None:
        """Order by `order`, relative to the target under the cursor."""
        target = self.query_one(Heat).target
        if self.wish is not None:
            self.rearrange(replace(self.wish, order=order, target=target, about=target))

    def action_order(self) -> None:
        """Take the next order."""
        if self.wish is not None:
            self.sort(ORDERS[(ORDERS.index(self.wish.order) + 1) % len(ORDERS)])

    def action_about(self, order: str = "similarity") -> None:
        """Order by similarity to, or value on, the target under the cursor."""
        self.sort(order)

    def action_next(self) -> None:
        """Show the next matrix."""
        if self.seen is not None:
            source = self.query_one("#source", Select)
            source.value = (self.seen.there.index(self.seen.one) + 1) % len(self.seen.there)

    def action_back(self) -> None:
        """Clear the search, and focus the matrix."""
        self.query_one("#find", Input).value = ""
        self.query_one(Heat).focus()

    @on(Input.Changed, "#find")
    def found(self, event: Input.Changed) -> None:
        """Move the cursor to the first target or source whose tag or language begins so."""
        from merginguriel.locales import table

        word, heat, known = event.value.strip().lower(), self.query_one(Heat), table()

        def place(names: tuple[str, ...]) -> int | None:
            starts = [i for i, name in enumerate(names) if name.lower().startswith(word)]
            by_name = [
                i for i, n in enumerate(names) if n in known and known[n].name.lower().startswith(word)
            ]
            return next(iter(starts + by_name), None)

        if word:
            column, row = place(heat.picture.columns), place(heat.picture.rows)
            heat.go(heat.row if row is None else row, heat.column if column is None else column)

    @on(Input.Submitted, "#find")
    def end_search(self) -> None:
        """Focus the matrix."""
        self.query_one(Heat).focus()

    def action_export(self) -> None:
        """Write the matrix as CSV and PNG into results/, or into the current folder for the shipped knowledge."""
        if self.seen is None:
            return
        seen, space = self.seen, self.mu.space

        def work() -> list[str]:
            from pathlib import Path

            from merginguriel.study.matrix_store import export

            folder = Path.cwd() if space.shipped else space.results
            stem = f"matrix-{seen.one.context.replace('/', '-')}-{seen.one.split}-by-{seen.wish.order}"
            return [space.display(export(seen.shown, folder / f"{stem}{end}")) for end in (".csv", ".png")]

        def then(paths: list[str]) -> None:
            self.notify("saved: " + " and ".join(paths), markup=False, timeout=8)

        self.load(work, then, group="export")

    def content(self, how: str) -> str:
        """Return the matrix as text, Markdown or CSV."""
        return self.seen.copies.get(how, "") if self.seen else ""

"""Runs screen: a live table of all runs."""

from __future__ import annotations

import shlex
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from merginguriel.text.tables import plain
from merginguriel_tui.base import table_as
from merginguriel_tui.registry import create
from merginguriel_tui.widgets.paged import PAGE, PagedTable

from .run_keys import RunKeys
from .runs_columns import COLUMNS, NAME, USUAL, columns, state
from .runs_data import groups, pages_around, preview, with_gains

if TYPE_CHECKING:
    from textual.timer import Timer

    from merginguriel.runs.run_progress import RunProgress, Watch

# Terminal width → class for the stylesheet.
BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (120, "-beside"), (168, "-wide")]
REST = 0.15  # seconds the cursor rests on a run before its preview is loaded
EVERY = 1.0  # seconds between two checks of live runs
MANY = 200  # live runs that are checked, beside those in view
ORDERS = {
    "newest": "newest first", "best": "best first", "state": "by state", "target": "by target", "method": "by method",
    "seed": "by seed",
}  # fmt: skip
NEWEST = "newest"
# Actions that need a run.
ON_RUNS = ("steer", "mark", "again", "archive", "label", "compare", "order", "columns")
GROUPED = ("state", "target", "method", "seed")  # orders with a heading for each value


class RunsScreen(RunKeys):
    """All runs of the workspace. Only rows in view are read, and only live runs are watched."""

    NAME = "runs"
    AUTO_FOCUS = "#table"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    DEFAULT_CSS = """
    RunsScreen #bar { height: 1; }
    RunsScreen #find { width: 1fr; }
    RunsScreen #table { width: 1fr; }
    RunsScreen #preview { width: 40; border-left: solid $panel; padding: 0 1; display: none; }
    RunsScreen.-beside #preview, RunsScreen.-wide #preview { display: block; }
    RunsScreen.-wide #preview { width: 76; }
    RunsScreen #counts { width: auto; min-width: 20; padding: 0 1; text-align: right; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Find", id="runs.find", tooltip="Find runs by words, or by column: target:da-DK method:ties state:failed tag:x", priority=True),
        Binding("space", "mark", "Mark", id="runs.mark", tooltip="Mark a run, to compare, cancel, pause or resume several"),
        Binding("c", "compare", "Compare", id="runs.compare", tooltip="Compare the marked runs"),
        Binding("x", "steer('cancel')", "Cancel", id="runs.cancel", tooltip="Cancel the marked runs, or this one"),
        Binding("p", "steer('pause')", "Pause", id="runs.pause", tooltip="Pause the marked runs, or this one"),
        Binding("r", "steer('resume')", "Resume", id="runs.resume", tooltip="Resume the marked runs, or this one"),
        Binding("n", "launch", "New", id="runs.new", tooltip="Start a new run from a form"),
        Binding("u", "restore", "Undo", id="runs.undo", tooltip="Bring back the runs that were archived last"),
        Binding("s", "order", "Order", id="runs.order", tooltip="Order: newest first, best first, by state, target, method or seed"),
        Binding("t", "label", "Tags", id="runs.tags", tooltip="Edit tags and note of the marked runs, or of this one"),
        Binding("a", "archive", "Archive", id="runs.archive", tooltip="Archive the marked runs, or this one: out of the list, not removed"),
        Binding("e", "again", "New like this", id="runs.again", tooltip="Start a new run with the settings of this one"),
        Binding("o", "columns", "Columns", id="runs.columns", tooltip="Choose the columns"),
        Binding("escape", "back", "Show all", id="runs.back", show=False, tooltip="Clear search and marks"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.text, self.order = "", NEWEST
        self.watches: dict[str, Watch] = {}
        self.standings: dict[str, RunProgress] = {}
        self.live: list[str] = []
        self.waiting = 0
        self.looked: int | None = None  # modification time of runs/ when it was last read; 0: there was none
        self.rest: Timer | None = None

    def body(self) -> ComposeResult:
        """Yield the search line, the table and the preview."""
        with Horizontal(id="bar"):
            hint = "find: words, or target:da-DK state:failed tag:x"
            yield Input(id="find", placeholder=hint, compact=True)
            yield Static(id="counts")
        with Horizontal(id="both"):
            yield PagedTable(columns(USUAL, lambda name: self.standings.get(name)), id="table")
            with VerticalScroll(id="preview"):
                yield Static(id="previewed")

    def on_mount(self) -> None:
        """Start watching live runs and the cursor."""
        # Textual calls that of the class above by itself.
        self.set_interval(EVERY, self.tick)
        self.watch(self.table, "cursor", self.moved, init=False)

    @property
    def table(self) -> PagedTable:
        """The table."""
        return self.query_one("#table", PagedTable)

    # Content

    def show(self, *what: str) -> None:
        """List the runs; with `what`, open that run."""
        if not self.command and not what:
            kept = self.remembered()
            self.order = str(kept.get("order")) if str(kept.get("order")) in ORDERS else NEWEST
            self.text = str(kept.get("text", ""))
            chosen = kept.get("columns")
            self.set_columns([name for name in chosen if name in COLUMNS] if isinstance(chosen, list) else [])
            find = self.query_one("#find", Input)
            with find.prevent(Input.Changed):
                find.value = self.text
        self.read()
        if what:
            self.open_run(what[0])

    def reload(self) -> None:
        """Read the list again."""
        self.read()

    def read(self) -> None:
        """Update the index and show its first page."""
        from merginguriel.runs import run_index

        space, text, order = self.mu.space, self.text, self.order
        here, cursor = self.table.here, self.table.cursor
        name = str(here["id"]) if here else ""
        self.remember(text=text, order=order)
        words = ["mu", "runs", "list", *(["--find", text] if text else [])]
        self.command = shlex.join(words + (["--order", order] if order != NEWEST else []))

        def work() -> Any:
            rows, count = run_index.listed(space, PAGE, text=text, order=order)
            live, _ = run_index.listed(space, MANY, state="running", look=False)
            waiting = run_index.listed(space, 1, state="queued", look=False)[1] if count else 0
            looked = space.runs.stat().st_mtime_ns if space.runs.is_dir() else 0
            near = {} if not name else pages_around(space, name, cursor, text=text, order=order)
            heads = groups(space, text, order) if order in GROUPED else {}
            ids = [row["id"] for row in live]
            return with_gains(space, rows), count, ids, waiting, looked, near, name, heads

        self.load(work, self.fill, group="list")

    def fill(self, result: Any) -> None:
        """Show a loaded list."""
        rows, count, live, waiting, looked, near, name, heads = result
        here = self.table.here
        if (
            here
            and here["id"] != name
            and all(here["id"] != row["id"] for row in chain(rows, *near.values()))
        ):
            self.read()  # the cursor has moved to a run whose page was not loaded
            return
        self.looked = looked
        self.live, self.waiting = live, waiting
        # The index is newer than the checks: drop those of ended runs.
        self.standings = {name: one for name, one in self.standings.items() if one.live}
        self.table.begin(count, rows, near, heads)
        self.show_counts()
        self.moved()

    def set_columns(self, names: list[str]) -> None:
        """Show these columns; of none, the usual ones."""
        self.table.columns = columns(names or USUAL, lambda name: self.standings.get(name))
        self.table.refresh()

    def on_resize(self) -> None:
        """Update the preview."""
        self.moved()

    def moved(self) -> None:
        """Update the preview once the cursor rests, if there is room for it."""
        if self.rest is not None:
            self.rest.stop()
        self.rest = self.set_timer(REST, self.look_into)
        self.refresh_bindings()

    def look_into(self) -> None:
        """Load the preview of the run under the cursor."""
        here, space, width = self.table.here, self.mu.space, self.query_one("#preview").size.width - 3
        if here is None or not self.query_one("#preview").display:
            return

        def put(label: str) -> None:
            first, _, rest = label.partition("\n")
            text = Text(first, "bold").append(f"\n{rest}", "not bold")
            self.query_one("#previewed", Static).update(text)

        self.load(
            lambda: preview(space, here["id"], width), put, group="preview",
            otherwise=lambda error: put(plain(error.render())),
        )  # fmt: skip

    def show_counts(self) -> None:
        """Show the counts and the order."""
        at_work = sum(one.live for one in self.standings.values())
        text = Text(f"{self.table.count:,} run{'s' * (self.table.count != 1)}")
        if at_work:
            text.append(f", {at_work} running", "bold green")
        if self.waiting:
            text.append(f", {self.waiting} queued")
        text.append(f"  {ORDERS[self.order]}", "dim")
        if not self.table.count and not self.text:
            text = Text(f"no runs yet; press {self.key_of('runs.new')} to start one", "bold")
        self.query_one("#counts", Static).update(text)

    def on_paged_table_wanted(self, event: PagedTable.Wanted) -> None:
        """Load the rows in view."""
        from merginguriel.runs import run_index

        first, space, text, order = event.first, self.mu.space, self.text, self.order
        pages = self.table.pages

        def work() -> list[dict[str, Any]]:
            rows, _ = run_index.listed(space, PAGE, offset=first, text=text, order=order, look=False)
            return with_gains(space, rows)

        def put(rows: list[dict[str, Any]]) -> None:
            # In a list that has been replaced, the same numbers are other runs.
            if pages is self.table.pages and (text, order) == (self.text, self.order):
                self.table.put(first, rows)

        self.load(work, put, group=f"page{first}")

    # Live updates

    def tick(self) -> None:
        """Check live runs and unfinished rows in view; read the index again if runs were added."""
        if self.busy:
            return
        from merginguriel.runs.run_progress import Watch
        from merginguriel.runs.run_store import Run

        space = self.mu.space
        rows = self.table.in_view()
        unfinished = (row["id"] for row in rows if state(row, self.standings.get(row["id"])) != "finished")
        names = {*self.live, *unfinished}
        watches = {name: self.watches.get(name) or Watch(Run(name, space.runs / name)) for name in names}
        self.watches = watches
        self.busy = True

        def work() -> Any:
            seen = {}
            for name, watch in watches.items():
                try:
                    seen[name] = watch.look()
                except OSError:
                    continue  # its folder was just removed
            try:
                return seen, space.runs.stat().st_mtime_ns
            except OSError:
                return seen, 0

        self.load(work, self.checked, group="live", otherwise=self.missed)

    def checked(self, result: Any) -> None:
        """Show the results of a check."""
        seen, stamp = result
        self.busy, self.last_error = False, ""
        ended = False
        for name, standing in seen.items():
            before = self.standings.get(name)
            if before is not None and before.live and not standing.live:
                ended = True  # the application notifies, whatever the screen
            if standing.live and (before is None or not before.live):
                self.mu.follow_run(name)
            if standing.live and name not in self.live:
                self.live = [*self.live, name]
        changed = self.standings != {**self.standings, **seen}
        self.standings = seen
        self.live = [name for name in self.live if name not in seen or seen[name].live]
        if ended or (self.looked is not None and stamp != self.looked):
            self.read()
        elif changed or any(one.live for one in seen.values()):
            self.table.refresh()
            self.show_counts()
        if changed:
            self.refresh_bindings()

    # Keys

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search for what is typed."""
        self.text = event.value.strip()
        self.table.cursor = 0
        self.read()
        self.refresh_bindings()

    def on_input_submitted(self) -> None:
        """Focus the table."""
        self.table.focus()

    def on_paged_table_opened(self, event: PagedTable.Opened) -> None:
        """Open the run."""
        self.open_run(event.row["id"])

    def open_run(self, name: str) -> None:
        """Open the screen of a run."""
        self.app.push_screen(create("run", name))

    def action_back(self) -> None:
        """Clear the search and go to the table; from the table, clear the marks too."""
        find = self.query_one("#find", Input)
        if not find.has_focus:
            self.table.marked = set()
        find.value = ""
        self.table.focus()
        self.table.refresh()
        self.refresh_bindings()

    def action_mark(self) -> None:
        """Toggle the mark of the run under the cursor."""
        self.table.mark()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what the state of the run under the cursor, or of a marked one, allows."""
        if action in ON_RUNS and not self.table.count:
            return False
        if action == "steer":
            from merginguriel.runs.run_store import ALLOWED

            here, marked, allowed = self.table.here, self.table.marked, ALLOWED[str(parameters[0])]
            loaded = (row for page in self.table.pages.values() for row in page) if marked else ()
            rows = [row for row in loaded if row["id"] in marked] or ([here] if here else [])
            return any(state(row, self.standings.get(row["id"])) in allowed for row in rows)
        return super().check_action(action, parameters)

    def refuses(self, action: str) -> bool:
        """Compare two runs or more; undo what was archived, searched or marked."""
        if action == "back":
            return not (self.text or self.table.marked or self.in_field())
        return (
            not self.archived if action == "restore" else action == "compare" and len(self.table.marked) < 2
        )

    def action_order(self) -> None:
        """Take the next order."""
        orders = list(ORDERS)
        self.order = orders[(orders.index(self.order) + 1) % len(orders)]
        self.read()

    def action_compare(self) -> None:
        """Compare the marked runs."""
        if self.refuses("compare"):
            self.notify(
                f"Mark two or more runs: {self.key_of('runs.mark')}.", severity="warning", markup=False
            )
        else:
            self.mu.action_go("compare", *sorted(self.table.marked))

    def action_launch(self) -> None:
        """Open the form for a new run."""
        self.app.push_screen(create("launch", None))

    def action_columns(self) -> None:
        """Choose the columns of the table."""
        from merginguriel_tui.dialogs import ColumnsScreen

        def then(names: list[str] | None) -> None:
            if names is not None:
                self.set_columns(names)
                self.remember(columns=[one.name for one in self.table.columns])

        shown = [one.name for one in self.table.columns]
        self.app.push_screen(ColumnsScreen([name for name in COLUMNS if name != NAME], shown), then)

    def chosen(self) -> list[str]:
        """Return the marked runs, or the one under the cursor."""
        here = self.table.here
        return sorted(self.table.marked) or ([str(here["id"])] if here else [])

    def acted(self) -> None:
        """Read the list again, without marks on runs that left it."""
        self.table.marked -= {name for name in self.table.marked if not (self.mu.space.runs / name).is_dir()}
        self.read()

    def content(self, how: str) -> str:
        """Return the runs in view (only marked ones, if any) as a table."""
        marked = self.table.marked
        rows = [row for row in self.table.in_view() if row["id"] in marked or not marked]
        cells = [[c.cell(row).plain.strip() for c in self.table.columns] for row in rows]
        return table_as(how, [[c.name for c in self.table.columns], *cells])

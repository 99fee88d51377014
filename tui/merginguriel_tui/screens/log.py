"""Log screen: entries, newest first, with filters, and the entry under the cursor."""

from __future__ import annotations

import shlex
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.widgets import Input, Static

from merginguriel.errors import UsageError
from merginguriel.text.numbers import count
from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen, table_as
from merginguriel_tui.widgets.choice import ChoiceLine, Pick
from merginguriel_tui.widgets.page import MarkdownPage
from merginguriel_tui.widgets.paged import PAGE, PagedTable

from . import landing, links, log_data

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.parse.entries import Entry

TYPES = ("", *log_data.TYPES)
FIELDS = {"target": "target", "method": "method", "since": "since", "until": "until"}
WAIT = 0.15  # seconds after a key before the filters are applied


class LogScreen(MuScreen):
    """The list above or beside the entry under the cursor."""

    NAME = "log"
    LEAVE_TO = "timeline"
    AUTO_FOCUS = "#timeline"
    DEFAULT_CSS = """
    LogScreen #filters { height: 2; background: $boost; layout: grid; grid-size: 4 2; grid-columns: 3fr 2fr 2fr 2fr; grid-rows: 1; }
    LogScreen.-wide #filters { grid-size: 7 1; grid-columns: 3fr 3fr 2fr 2fr 2fr 2fr 2fr; height: 1; }
    LogScreen #filters Input { border: none; height: 1; padding: 0 1; background: $boost; }
    LogScreen #filters Input:focus { background: $accent 40%; }
    LogScreen #counts { padding: 0 1; color: $text-muted; }
    LogScreen #both { height: 1fr; layout: vertical; }
    LogScreen.-wide #both { layout: horizontal; }
    LogScreen #timeline { height: 40%; min-height: 4; border-bottom: solid $panel; }
    LogScreen.-wide #timeline { width: 46%; height: 1fr; border-bottom: none; border-right: solid $panel; }
    LogScreen #entry { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Find", id="log.find", tooltip="Find words in entries", priority=True),
        Binding("f", "kind", "Type", id="log.type", tooltip="Show the next type of entry"),
        Binding("o", "only_open", "Only open", id="log.open", tooltip="Show only open plans and questions, or all"),
        Binding("n", "new", "New", id="log.new", tooltip="Write an entry from a run, a draft or an empty form"),
        Binding("x", "clear", "Clear filters", id="log.clear", show=False, tooltip="Clear all filters"),
        Binding("w", "swap", "List or entry", id="log.swap", tooltip="Move between list and entry"),
        Binding("backspace", "back", "Back", id="log.back", show=False, tooltip="Show the previous entry"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.knowledge: Knowledge | None = None
        self.marks: dict[str, str] = {}  # entry → its open plan or questions
        self.names: dict[str, str] = {}
        self.found: list[Entry] = []
        self.here, self.only = "", False
        self.read = ""  # id of the entry on the page
        self.before: list[str] = []
        self.offered = False

    def body(self) -> ComposeResult:
        """Yield the filters, the list and the entry."""
        with Container(id="filters"):
            yield Input(id="find", placeholder="text in entries", compact=True)
            yield ChoiceLine("type", TYPES, "", id="type")
            for name in ("target", "method", "since", "until"):
                hint = f"{name} (date)" if name in ("since", "until") else name
                yield Input(id=name, placeholder=hint, compact=True)
            yield Static(id="counts")
        with Horizontal(id="both"):
            yield PagedTable(log_data.columns(), id="timeline")
            yield MarkdownPage(id="entry")

    def on_mount(self) -> None:
        """Follow the cursor of the list."""
        # Textual calls that of the class above by itself.
        self.watch(self.table, "cursor", self._moved, init=False)

    @property
    def table(self) -> PagedTable:
        """The list."""
        return self.query_one("#timeline", PagedTable)

    @property
    def page(self) -> MarkdownPage:
        """The entry."""
        return self.query_one("#entry", MarkdownPage)

    # Content

    def show(self, *what: str) -> None:
        """Load the log; show the entry `what` (its id or the beginning, or a row of it), or only `open` entries."""
        requested = "" if what == ("open",) else "".join(what[:1])
        if self.knowledge is None and not requested:
            self._restore()
        self.only = self.only or what == ("open",)
        space = self.mu.space

        def work() -> Any:
            from merginguriel.knowledge.base import load
            from merginguriel.knowledge.log.drafts import folder
            from merginguriel.knowledge.log.question_history import unfinished

            knowledge = load(space)
            marks = unfinished(knowledge, date.today().isoformat())
            waiting = len(list(folder(space.log).glob("[!.]*.md")))
            joined = {name: ", ".join(open_) for name, open_ in marks.items()}
            return knowledge, joined, links.names(knowledge), waiting

        self.load(work, lambda result: self._known(result, requested))

    def _known(self, result: Any, requested: str) -> None:
        self.knowledge, self.marks, self.names, drafts = result
        self.mu.note_problems(self.knowledge)
        entries = self.knowledge.by_entry
        self.before = [name for name in self.before if name in entries]
        self.here, self.read = self.here if self.here in entries else "", ""
        if drafts and not self.offered:
            self.offered = True
            many = f"{drafts} unfinished drafts" if drafts > 1 else "1 unfinished draft"
            self.notify(f"{many}. Press {self.key_of('log.new')} to continue.", markup=False)
        if requested:
            self.open(requested)
        if self.here and not self.read:
            self._read(self.here)  # references from other entries may have changed
        self.select()

    def _restore(self) -> None:
        """Restore the filters and the entry of the last session."""
        saved = self.remembered()
        filters = saved.get("filters")
        for name, value in filters.items() if isinstance(filters, dict) else ():
            if name == "type" and value in TYPES:
                self.query_one("#type", ChoiceLine).set_reactive(ChoiceLine.value, str(value))
            elif name in FIELDS or name == "text":
                field = self.query_one("#find" if name == "text" else f"#{name}", Input)
                with field.prevent(Input.Changed):
                    field.value = str(value)
        self.only, self.here = saved.get("only") is True, str(saved.get("entry", ""))

    def filter(self) -> dict[str, str]:
        """Return the filters: option of `mu log list` → value."""
        values = {"type": self.query_one("#type", ChoiceLine).value}
        values |= {name: self.query_one(f"#{name}", Input).value.strip() for name in FIELDS}
        values["text"] = self.query_one("#find", Input).value.strip()
        return {name: value for name, value in values.items() if value}

    def select(self) -> None:
        """Apply the filters in a thread."""
        knowledge, filters, only, marks = self.knowledge, self.filter(), self.only, self.marks
        self.set_command()
        if knowledge is None:
            return
        self.remember(filters=dict(filters), only=only)

        def work() -> Any:
            from merginguriel import locales
            from merginguriel.knowledge.log.timeline import Filter, select

            for name in ("since", "until"):
                if len(filters.get(name, "")) not in (0, 10):
                    filters.pop(name)  # not typed in full
                elif name in filters:
                    log_data.check_day(filters[name])
            if "target" in filters:
                try:
                    filters["target"] = locales.get(filters["target"]).tag
                except UsageError:
                    return None  # not typed in full, or unknown: keep the list
            entries = select(knowledge, Filter(**filters))
            return [entry for entry in reversed(entries) if not only or entry.id in marks]

        self.load(work, self._selected, group="select")

    def _selected(self, result: list[Entry] | None) -> None:
        if result is None:
            self.query_one("#counts", Static).update(Text("unknown target", "bold"))
            return
        self.found = result
        at = next((i for i, item in enumerate(result) if item.id == self.here), 0)
        # The list is in memory; only rows in view are drawn.
        self.table.begin(len(result), self._rows(0))
        self.table.put(at // PAGE * PAGE, self._rows(at // PAGE * PAGE))
        self.table.cursor = at
        self._moved(at)
        text = f"{count(len(result), 'entry')}{', open' if self.only else ''}"
        self.query_one("#counts", Static).update(Text(text if result else "no entries"))

    def _rows(self, first: int) -> list[dict[str, str]]:
        return log_data.lines(self.found[first : first + PAGE], self.marks)

    def on_paged_table_wanted(self, event: PagedTable.Wanted) -> None:
        """Load the rows in view."""
        self.table.put(event.first, self._rows(event.first))

    def _moved(self, cursor: int) -> None:
        if cursor < len(self.found) and self.found[cursor].id != self.read:
            self._read(self.found[cursor].id)

    def _read(self, name: str, row: str = "") -> None:
        """Show this entry, from `row` if it is given."""
        knowledge = self.knowledge
        entry = knowledge.by_entry.get(name) if knowledge else None
        if knowledge is None or entry is None:
            return  # removed since the list was drawn; the list is reloading
        self.here = self.read = name
        self.remember(entry=name)
        label = self.marks.get(name, "")
        state = f"open: {label}" if label else ""
        self.load(
            lambda: links.entry_page(entry, knowledge, state, row),
            lambda text: self.page.read(text, self.names, row),
            group="entry",
        )
        self.set_command()

    def open(self, ref: str) -> None:
        """Show an entry by its id (or the beginning), or by a row or question of it."""
        if self.knowledge is None:
            return
        try:
            entry = self.knowledge.entry(ref.partition("#")[0])
        except UsageError as error:
            self.mu.show_error(error)
            return
        if self.here and self.here != entry.id:
            self.before.append(self.here)
        self._go(entry.id, ref.partition("#")[2])
        self.page.focus()

    def _go(self, name: str, row: str = "") -> None:
        """Show this entry, with the cursor of the list on it if it is listed."""
        self._read(name, row)
        listed = [item.id for item in self.found]
        if name in listed:
            self.table.cursor = listed.index(name)

    def set_command(self) -> None:
        """Set the command that prints what is shown."""
        if self.page.has_focus and self.here:
            self.command = f"mu log show {self.here}"
            return
        words = [word for name, value in self.filter().items() for word in (f"--{name}", value)]
        self.command = shlex.join(["mu", "log", "list", *words, *(["--open"] if self.only else [])])

    def on_descendant_focus(self) -> None:
        """Set the command for the part that has the focus."""
        self.set_command()

    # Keys

    def on_input_changed(self, event: Input.Changed) -> None:
        """Apply the filters once typing pauses."""
        if self.knowledge is not None:
            self.set_timer(WAIT, self.select)

    def on_choice_line_changed(self) -> None:
        """Apply the filters."""
        self.select()

    def on_input_submitted(self) -> None:
        """Focus the list."""
        self.table.focus()

    def on_paged_table_opened(self) -> None:
        """Focus the entry."""
        self.page.focus()

    def on_markdown_page_followed(self, event: MarkdownPage.Followed) -> None:
        """Follow a link within the log here, any other on its screen."""
        links.follow(self, event, self.names, self.open)

    def action_kind(self) -> None:
        """Take the next type of entry."""
        self.query_one("#type", ChoiceLine).action_step(1)

    def action_only_open(self) -> None:
        """Show only plans without a result and entries with open questions, or all."""
        self.only = not self.only
        self.select()

    def action_clear(self) -> None:
        """Clear all filters."""
        self.only = False
        for name in (*FIELDS, "find"):
            self.query_one(f"#{name}", Input).value = ""
        self.query_one("#type", ChoiceLine).value = ""
        self.select()

    def action_swap(self) -> None:
        """Move the focus between list and entry."""
        (self.table if self.page.has_focus else self.page).focus()

    def action_leave(self) -> None:
        """Focus the list; clear a search that is left."""
        find = self.query_one("#find", Input)
        if find.has_focus:
            find.value = ""
        self.table.focus()

    def action_back(self) -> None:
        """Show the previous entry."""
        if self.before:
            self._go(self.before.pop())

    def action_new(self) -> None:
        """Offer what an entry can begin from: drafts, finished runs, empty forms."""
        space = self.mu.space
        self.load(lambda: log_data.beginnings(space), self._offer, group="offer")

    def _offer(self, offers: dict[str, tuple[str, str]]) -> None:
        def begin(text: str | None) -> None:
            if text:
                self.begin(*offers[text])

        self.app.push_screen(Pick("Begin an entry from", list(offers)), begin)

    def begin(self, kind: str, source: str) -> None:
        """Open the editor on `draft` ID, `run` ID or `empty` TYPE."""
        landing.write(self, kind, source, self._written)

    def _written(self, entry: str | None) -> None:
        """Reload after editing and show the new entry."""
        if entry:
            self.here = self.read = ""
            self.action_clear()
        self.show(*([entry] if entry else self.mu.what.pop(self.NAME, ())))

    def content(self, how: str) -> str:
        """Return the entry as Markdown, or the list as text or CSV."""
        if how == "markdown" or (how == "text" and self.page.has_focus):
            return plain(self.page.text)
        rows = [[item.date, item.type, item.id, item.title, str(len(item.rows))] for item in self.found]
        return table_as(how, [["date", "type", "id", "title", "rows"], *rows])

"""What was tried, and what came out? The log, newest first, narrowed by filters; the entry under the cursor beside it."""

from __future__ import annotations

import secrets
import shlex
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.widgets import Input, Static

from merginguriel import workspace
from merginguriel.cli.common import plain
from merginguriel.errors import UsageError
from merginguriel_tui.base import MuScreen
from merginguriel_tui.choice_list import Choice, Pick
from merginguriel_tui.widgets.copying import table_as
from merginguriel_tui.widgets.page import Page
from merginguriel_tui.widgets.paged import PAGE, PagedTable

from . import links, timeline

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.parse.entries import Entry

BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (120, "-wide")]
TYPES = ("", "Plan", "Observation", "Retrospective", "Troubleshooting")
FIELDS = {"target": "target", "method": "method", "since": "since", "until": "until"}
RUNS = 200  # finished runs that are offered, newest first
WAIT = 0.15  # seconds after a key before the list is asked for again


class LogScreen(MuScreen):
    """The timeline over (or beside) the entry that the cursor is on."""

    NAME = "log"
    LEAVE_TO = "timeline"
    AUTO_FOCUS = "#timeline"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
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
        Binding("slash", "find", "Find", id="log.find", tooltip="Find words in entries"),
        Binding("f", "kind", "Type", id="log.type", tooltip="The next type of entry"),
        Binding("o", "only_open", "Only open", id="log.open", tooltip="Only what waits for an answer, or all"),
        Binding("n", "new", "New", id="log.new", tooltip="Write an entry: from a run, a draft or an empty form"),
        Binding("x", "clear", "All again", id="log.clear", show=False, tooltip="All entries again"),
        Binding("w", "swap", "List or entry", id="log.swap", tooltip="Between list and entry"),
        Binding("backspace", "back", "Back", id="log.back", show=False, tooltip="To the entry before"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.knowledge: Knowledge | None = None
        self.marks: dict[str, str] = {}  # entry → what of it is open
        self.names: dict[str, str] = {}
        self.found: list[Entry] = []
        self.here, self.only = "", False
        self.read = ""  # the entry that the page shows
        self.before: list[str] = []
        self.offered = False

    def body(self) -> ComposeResult:
        with Container(id="filters"):
            yield Input(id="find", placeholder="text in entries", compact=True)
            yield Choice("type", TYPES, "", id="type")
            for name in ("target", "method", "since", "until"):
                hint = f"{name} (date)" if name in ("since", "until") else name
                yield Input(id=name, placeholder=hint, compact=True)
            yield Static(id="counts")
        with Horizontal(id="both"):
            yield PagedTable(timeline.columns(), id="timeline")
            yield Page(id="entry")

    def on_mount(self) -> None:
        # Textual calls that of the class above by itself.
        self.watch(self.table, "cursor", self._moved, init=False)

    @property
    def table(self) -> PagedTable:
        return self.query_one("#timeline", PagedTable)

    @property
    def page(self) -> Page:
        return self.query_one("#entry", Page)

    # what is in it

    def show(self, *what: str) -> None:
        """An entry (or the beginning of its id; a row of it), and the list."""
        wanted = what[0] if what else ""
        if self.knowledge is None and not wanted:
            self._restore()
        space = self.mu.space

        def work() -> Any:
            from merginguriel.knowledge.base import load
            from merginguriel.knowledge.log.drafts import folder
            from merginguriel.knowledge.log.questions import unfinished

            knowledge = load(space)
            marks = unfinished(knowledge, date.today().isoformat())
            waiting = len(list(folder(space.log).glob("[!.]*.md")))
            said = {name: ", ".join(open_) for name, open_ in marks.items()}
            return knowledge, said, links.names(knowledge), waiting

        self.load(work, lambda found: self._known(found, wanted))

    def _known(self, found: Any, wanted: str) -> None:
        self.knowledge, self.marks, self.names, drafts = found
        there = self.knowledge.by_entry
        self.before = [name for name in self.before if name in there]
        self.here, self.read = self.here if self.here in there else "", ""
        if drafts and not self.offered:
            self.offered = True
            many = f"{drafts} drafts wait" if drafts > 1 else "A draft waits"
            self.notify(f"{many} to be finished; n offers what there is.", markup=False)
        if wanted:
            self.open(wanted)
        if self.here and not self.read:
            self._read(self.here)  # what others say of it may have changed, though it has not
        self.select()

    def _restore(self) -> None:
        """The filters of the last session, and the entry that was read."""
        kept = self.remembered()
        given = kept.get("filters")
        for name, value in given.items() if isinstance(given, dict) else ():
            if name == "type" and value in TYPES:
                self.query_one("#type", Choice).set_reactive(Choice.value, str(value))
            elif name in FIELDS or name == "text":
                field = self.query_one("#find" if name == "text" else f"#{name}", Input)
                with field.prevent(Input.Changed):
                    field.value = str(value)
        self.only, self.here = kept.get("only") is True, str(kept.get("entry", ""))

    def filter(self) -> dict[str, str]:
        """What narrows the list: option of `mu log list` → value."""
        given = {"type": self.query_one("#type", Choice).value}
        given |= {name: self.query_one(f"#{name}", Input).value.strip() for name in FIELDS}
        given["text"] = self.query_one("#find", Input).value.strip()
        return {name: value for name, value in given.items() if value}

    def select(self) -> None:
        """Ask which entries the filters take."""
        knowledge, given, only, marks = self.knowledge, self.filter(), self.only, self.marks
        self.tell_command()
        if knowledge is None:
            return
        self.remember(filters=dict(given), only=only)

        def work() -> Any:
            from merginguriel import locales
            from merginguriel.knowledge.log.timeline import Filter, select

            for name in ("since", "until"):
                if len(given.get(name, "")) not in (0, 10):
                    given.pop(name)  # not yet typed in full
                elif name in given:
                    timeline.day(given[name])
            if "target" in given:
                try:
                    given["target"] = locales.get(given["target"]).tag
                except UsageError:
                    return None  # not yet typed in full, or there is none: the list stays
            entries = select(knowledge, Filter(**given))
            return [one for one in reversed(entries) if not only or one.id in marks]

        self.load(work, self._selected, group="select")

    def _selected(self, found: list[Entry] | None) -> None:
        if found is None:
            self.query_one("#counts", Static).update(Text("no such target", "bold"))
            return
        self.found = found
        at = next((i for i, one in enumerate(found) if one.id == self.here), 0)
        # All pages at hand: the list is in memory, only what is in view is drawn.
        self.table.begin(len(found), self._rows(0))
        self.table.put(at // PAGE * PAGE, self._rows(at // PAGE * PAGE))
        self.table.cursor = at
        self._moved(at)
        said = f"{len(found):,} {'entry' if len(found) == 1 else 'entries'}" + (", open" if self.only else "")
        self.query_one("#counts", Static).update(Text(said if found else "nothing found"))

    def _rows(self, first: int) -> list[dict[str, str]]:
        return timeline.lines(self.found[first : first + PAGE], self.marks)

    def on_paged_table_wanted(self, event: PagedTable.Wanted) -> None:
        self.table.put(event.first, self._rows(event.first))

    def _moved(self, cursor: int) -> None:
        if cursor < len(self.found) and self.found[cursor].id != self.read:
            self._read(self.found[cursor].id)

    def _read(self, name: str) -> None:
        """Show this entry."""
        knowledge = self.knowledge
        entry = knowledge.by_entry.get(name) if knowledge else None
        if knowledge is None or entry is None:
            return  # gone since the list was drawn, which is being drawn again
        self.here = self.read = name
        self.remember(entry=name)
        said = self.marks.get(name, "")
        state = f"open: {said}" if said else ""
        self.load(
            lambda: links.entry_page(entry, knowledge, state),
            lambda text: self.page.read(text, self.names),
            group="entry",
        )
        self.tell_command()

    def open(self, ref: str) -> None:
        """Show an entry by (the beginning of) its id; of a row or question, its entry."""
        if self.knowledge is None:
            return
        try:
            entry = self.knowledge.entry(ref.partition("#")[0])
        except UsageError as error:
            self.mu.tell(error)
            return
        if self.here and self.here != entry.id:
            self.before.append(self.here)
        self._read(entry.id)
        if entry.id in [one.id for one in self.found]:
            self.table.cursor = [one.id for one in self.found].index(entry.id)
        self.page.focus()

    def tell_command(self) -> None:
        if self.page.has_focus and self.here:
            self.command = f"mu log show {self.here}"
            return
        words = [word for name, value in self.filter().items() for word in (f"--{name}", value)]
        self.command = shlex.join(["mu", "log", "list", *words, *(["--open"] if self.only else [])])

    def on_descendant_focus(self) -> None:
        self.tell_command()

    # what a person does

    def on_input_changed(self, event: Input.Changed) -> None:
        if self.knowledge is not None:
            self.set_timer(WAIT, self.select)

    def on_choice_changed(self) -> None:
        self.select()

    def on_input_submitted(self) -> None:
        self.table.focus()

    def on_paged_table_opened(self) -> None:
        self.page.focus()

    def on_page_followed(self, event: Page.Followed) -> None:
        if event.href.startswith("#") and event.page.to_heading(event.href[1:]):
            return
        goes = links.place(event.href, self.names)
        if goes and goes[0] == "log":
            self.open(goes[1])
        else:
            links.follow(self, event.href, self.names)

    def action_find(self) -> None:
        self.query_one("#find").focus()

    def action_kind(self) -> None:
        self.query_one("#type", Choice).action_step(1)

    def action_only_open(self) -> None:
        """Plans that wait for an answer, and entries with questions that nobody closed."""
        self.only = not self.only
        self.select()

    def action_clear(self) -> None:
        self.only = False
        for name in (*FIELDS, "find"):
            self.query_one(f"#{name}", Input).value = ""
        self.query_one("#type", Choice).value = ""
        self.select()

    def action_swap(self) -> None:
        (self.table if self.page.has_focus else self.page).focus()

    def action_leave(self) -> None:
        self.table.focus()

    def action_back(self) -> None:
        if self.before:
            name = self.before.pop()
            self._read(name)

    def action_new(self) -> None:
        """Offer what an entry can begin from: drafts, finished runs, empty forms."""
        space = self.mu.space

        def work() -> dict[str, tuple[str, str]]:
            from merginguriel.knowledge.log import drafts
            from merginguriel.merging.registry import parameters
            from merginguriel.runs import index

            workspace.writable(space)
            offers = {}
            for one in drafts.listed(space, parameters()):
                said = f"{one.title or 'no title'}: {one.problem or 'its form is right'}"
                offers[plain(f"draft  {one.id}  {one.saved}  {said}")] = ("draft", one.id)
            rows = index.listed(space, RUNS, state="finished")[0]
            for row in rows:
                offers[plain(f"run  {row['id']}  {row['target'] or ''} {row['method'] or ''}")] = (
                    "run",
                    row["id"],
                )
            return offers | {
                f"empty  {kind}": ("empty", kind) for kind in ("Retrospective", *TYPES[1:3], TYPES[4])
            }

        self.load(work, self._offer, group="offer")

    def _offer(self, offers: dict[str, tuple[str, str]]) -> None:
        def begin(said: str | None) -> None:
            if said:
                self.begin(*offers[said])

        self.app.push_screen(Pick("Begin an entry from", list(offers)), begin)

    def begin(self, kind: str, what: str) -> None:
        """Write on: `draft` ID, `run` ID, or `empty` TYPE."""
        space = self.mu.space

        def work() -> tuple[str, Path]:
            from merginguriel.knowledge.log import append, drafts
            from merginguriel.knowledge.log.entry_text import template
            from merginguriel.knowledge.parse.yaml_lines import read_text
            from merginguriel.loop import entry_draft

            if kind == "draft":
                path = drafts.find(space.log, what)
                return read_text(path), path
            fresh = drafts.folder(space.log) / f"{secrets.token_hex(4)}.md"
            if kind == "run":
                # Kept at once: its rows lie among the drafts already.
                text = entry_draft.retrospective(space, what)
                return text, append.keep_draft(space.log, text, fresh)
            return template(what, str(space.settings["context"])), fresh

        self.load(work, lambda found: self._write_on(*found, kind != "draft"), group="begin")

    def _write_on(self, text: str, path: Path, filled: bool) -> None:
        from .compose_entry import ComposeScreen

        self.app.push_screen(ComposeScreen(text, path, self._written, filled=filled))

    def _written(self, entry: str | None) -> None:
        """Back from writing: the log is read again, and shows what landed."""
        if entry:
            self.here = self.read = ""
            self.action_clear()
        self.show(*([entry] if entry else self.mu.what.pop(self.NAME, ())))

    def copied(self, how: str) -> str:
        """The entry as Markdown, or the list as text or CSV."""
        if how == "command":
            return self.command
        if how == "markdown" or (how == "text" and self.page.has_focus):
            return plain(self.page.text)
        rows = [[one.date, one.type, one.id, one.title, str(len(one.rows))] for one in self.found]
        return table_as(how, [["date", "type", "id", "title", "rows"], *rows])

"""Table of many rows that loads and draws only the rows in view."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

PAGE = 100  # rows loaded at once
LEAST, LONG = (
    26,
    42,
)  # cells of the column of width 0: before others are dropped for it; enough for usual texts
GUTTER = 2  # cells for the cursor and the mark

Row = dict[str, Any]


class TableColumn(NamedTuple):
    """A column of the table."""

    name: str  # heading
    width: int  # cells; 0: the rest of the line
    cell: Callable[[Row], Text]  # row → text
    gives: int = 0  # columns with the highest number are dropped first in a narrow terminal; 0: never
    right: bool = False  # align right
    grows: int = 0  # extra cells it may take once the column of width 0 has LONG cells
    ending: int = 0  # last cells of a text that are shown even if it is cut

    def text(self, row: Row, width: int) -> Text:
        """Return the cell of a row."""
        text = self.cell(row)
        if not self.ending or text.cell_len <= width:
            return text
        return Text.assemble(text[: width - self.ending - 1], "…", text[-self.ending :])


class PagedTable(ScrollView, can_focus=True):
    """Rows by number, and a cursor. The owner answers `Wanted` by calling `put`."""

    DEFAULT_CSS = """
    PagedTable { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    PagedTable > .paged--head { text-style: bold; background: $panel; color: $text; }
    PagedTable > .paged--cursor { background: $surface-lighten-2; }
    PagedTable:focus > .paged--cursor { background: $primary; color: $text; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"paged--head", "paged--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", id="table.up", show=False),
        Binding("down", "move(1)", "Down", id="table.down", show=False),
        Binding("pageup,ctrl+u", "leap(-1)", "Page up", id="table.pageup", show=False),
        Binding("pagedown,ctrl+d", "leap(1)", "Page down", id="table.pagedown", show=False),
        Binding("home,g", "end(-1)", "First", id="table.first", show=False),
        Binding("end,G", "end(1)", "Last", id="table.last", show=False),
        Binding("enter", "select", "Open", id="table.open"),
    ]
    cursor: reactive[int] = reactive(0, repaint=False)

    class Wanted(Message):
        """Rows from `first` on are in view and not loaded."""

        def __init__(self, first: int) -> None:
            super().__init__()
            self.first = first

    class Opened(Message):
        """Enter or a double click on a row."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    def __init__(self, columns: list[TableColumn], *, id: str) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.count = 0
        self.marked: set[str] = set()
        self.pages: dict[int, list[Row]] = {}
        self.asked: set[int] = set()
        self.heads: dict[int, str] = {}
        self.head_lines: list[int] = []  # lines of the headings, below the heading of the table

    # Content

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to open a row only where there are some."""
        return action != "select" or self.count > 0

    def begin(
        self,
        count: int,
        first: list[Row],
        more: dict[int, list[Row]] | None = None,
        heads: dict[int, str] | None = None,
    ) -> None:
        """Show another list; the cursor stays on its row if the list has it.

        Args:
            count: Number of rows.
            first: Rows of the first page.
            more: Further pages: number → rows.
            heads: Headings of groups: number of their first row → text, in order.
        """
        current = self.row_at(self.cursor)
        if bool(count) != bool(self.count):
            self.call_next(self.screen.refresh_bindings)
        self.count, self.pages, self.asked = count, {**(more or {}), 0: first}, set()
        self.heads = heads or {}
        self.head_lines = [first + at for at, first in enumerate(self.heads)]
        known = {
            row["id"]: page * PAGE + at for page, rows in self.pages.items() for at, row in enumerate(rows)
        }
        if current and current["id"] in known:
            self.cursor = known[current["id"]]
        else:
            self.cursor = max(0, min(self.cursor, count - 1))
        self.on_resize()
        self.scroll_to_cursor()
        self.refresh()

    def put(self, first: int, rows: list[Row]) -> None:
        """Add the rows from number `first` on."""
        self.pages[first // PAGE] = rows
        self.refresh()

    def row_at(self, number: int) -> Row | None:
        """Return the row of that number; None if it is not loaded."""
        page = self.pages.get(number // PAGE, [])
        position = number % PAGE
        return page[position] if number >= 0 and position < len(page) else None

    @property
    def here(self) -> Row | None:
        """The row under the cursor; None if it is not loaded."""
        return self.row_at(self.cursor)

    def in_view(self) -> Iterator[Row]:
        """Yield the loaded rows that are visible."""
        top = self.scroll_offset.y
        for line in range(top, top + max(self.size.height - 1, 0)):
            number = self.number_at(line)
            row = None if number is None else self.row_at(number)
            if row is not None:
                yield row

    def number_at(self, line: int) -> int | None:
        """Return the number of the row on a line; None for the heading of a group."""
        above = bisect_right(self.head_lines, line)
        return None if above and self.head_lines[above - 1] == line else line - above

    def line_of(self, number: int) -> int:
        """Return the line of a row."""
        return number + bisect_right(list(self.heads), number)

    # Drawing

    def shown(self, width: int) -> list[tuple[TableColumn, int]]:
        """Return the columns that fit, each with its width."""
        chosen = list(self.columns)
        for column in sorted(self.columns, key=lambda c: -c.gives):
            needed = sum((c.width or LEAST) + 1 for c in chosen) + GUTTER
            if needed <= width or not column.gives:
                break
            chosen.remove(column)
        remaining = width - sum(c.width + 1 for c in chosen) - GUTTER
        wide = {c.name: min(c.grows, max(remaining - LONG, 0)) for c in chosen if c.grows}
        remaining -= sum(wide.values())
        return [(c, c.width + wide.get(c.name, 0) if c.width else max(remaining, 10)) for c in chosen]

    def line(self, cells: list[tuple[Text, int, bool]], gutter: str, base: Style) -> Strip:
        """Draw cells (text, width, align right) as a line."""
        text = Text(gutter, no_wrap=True, end="")
        for cell, width, right in cells:
            item = cell.copy()
            item.truncate(width, overflow="ellipsis")
            space = " " * (width - item.cell_len)
            text.append_text(Text.assemble(space, item) if right else Text.assemble(item, space))
            text.append(" ")
        width = self.scrollable_content_region.width
        strip = Strip(text.render(self.app.console)).crop_extend(0, width, base)
        return strip.apply_style(base)

    def render_line(self, y: int) -> Strip:
        """Draw one line: the heading, or a row."""
        columns = self.shown(self.scrollable_content_region.width)
        base = self.rich_style
        if y == 0:
            style = self.get_component_rich_style("paged--head")
            return self.line([(Text(c.name), width, c.right) for c, width in columns], " " * GUTTER, style)
        at = self.scroll_offset.y + y - 1
        number = self.number_at(at)
        if number is None:
            text = Text(self.heads[at - self.head_lines.index(at)], "bold underline")
            return self.line([(text, max(self.size.width - GUTTER - 1, 1), False)], " " * GUTTER, base)
        if number >= self.count:
            return Strip.blank(self.size.width, base)
        row = self.row_at(number)
        selected = number == self.cursor
        style = self.get_component_rich_style("paged--cursor") if selected else base
        if row is None:
            first = number // PAGE * PAGE
            if first not in self.asked:
                self.asked.add(first)
                self.post_message(self.Wanted(first))
            return self.line([(Text("…", "dim"), 1, False)], "› " if selected else "  ", style)
        gutter = ("›" if selected else " ") + ("◆" if row["id"] in self.marked else " ")
        return self.line([(c.text(row, width), width, c.right) for c, width in columns], gutter, style)

    # Cursor

    def on_resize(self) -> None:
        """Set the scrollable size."""
        self.virtual_size = Size(self.size.width, self.count + len(self.heads) + 1)

    def scroll_to_cursor(self) -> None:
        """Scroll as little as brings the cursor into view."""
        top, rows, line = self.scroll_offset.y, max(self.size.height - 1, 1), self.line_of(self.cursor)
        first = line - (self.cursor in self.heads)  # with the heading of its group
        if first < top:
            self.scroll_to(y=first, animate=False, force=True)
        elif line >= top + rows:
            self.scroll_to(y=line - rows + 1, animate=False, force=True)

    def watch_cursor(self, before: int, cursor: int) -> None:
        """Follow the cursor."""
        top = self.scroll_offset.y
        self.scroll_to_cursor()
        if self.scroll_offset.y == top:
            self.refresh_rows(before, cursor)

    def refresh_rows(self, *numbers: int) -> None:
        """Redraw these rows if they are visible."""
        width, visible = (
            self.size.width,
            [1 + self.line_of(number) - self.scroll_offset.y for number in numbers],
        )
        if regions := [Region(0, y, width, 1) for y in visible if 1 <= y < self.size.height]:
            self.refresh(*regions)

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor within the list."""
        return max(0, min(cursor, max(self.count - 1, 0)))

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.cursor += by

    def action_leap(self, pages: int) -> None:
        """Move the cursor by pages."""
        self.cursor += pages * max(self.size.height - 2, 1)

    def action_end(self, which: int) -> None:
        """Move the cursor to the first row (-1) or the last (1)."""
        self.cursor = 0 if which < 0 else self.count - 1

    def action_select(self) -> None:
        """Open the row under the cursor."""
        if self.here is not None:
            self.post_message(self.Opened(self.here))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row that was clicked; open it on a double click."""
        number = self.number_at(self.scroll_offset.y + event.y - 1)
        if event.y > 0 and number is not None and number < self.count:
            self.cursor = number
            if event.chain == 2:
                self.action_select()

    def mark(self) -> None:
        """Toggle the mark of the row under the cursor and go down one row."""
        if self.here is not None:
            self.marked ^= {self.here["id"]}
            self.cursor += 1
            self.refresh()

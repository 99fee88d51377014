"""Large matrix as a heat map with a cursor; only visible cells are drawn and names stay in view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from merginguriel.text.colours import cividis

CELL = 8  # characters, "›[84.2]*": cursor, number, mark of the best in its column
WIDEST = 14  # characters of a cell at most; longer names of columns are cut
MARKS = 4  # characters beside the name of a row: " URE"
HEAD = 1  # lines of column names
STEPS = 64  # shades; more are not distinguishable
# Of 16 colours, from dark to light, each with a readable foreground.
BASIC = (("white", "black"), ("bright_white", "bright_black"), ("black", "white"), ("black", "bright_white"))

HERE = Style(underline=True, bold=True)


@dataclass(frozen=True)
class HeatMap:
    """A matrix ready to draw."""

    rows: tuple[str, ...] = ()  # names of rows; `row_labels` as displayed
    columns: tuple[str, ...] = ()  # names of columns; `column_labels` as displayed
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()  # [row][column], the numbers
    shades: tuple[tuple[int, ...], ...] = ()  # [row][column], 0 to STEPS - 1, or -1 if not measured
    places: Mapping[str, int] = field(default_factory=dict)  # name of a column → its number


@cache
def style(shade: int, basic: bool) -> Style:
    """Return the colours of a shade, with a readable foreground; -1 has none."""
    if shade < 0:
        return Style(dim=True)
    if basic:
        front, back = BASIC[min(len(BASIC) - 1, shade * len(BASIC) // STEPS)]
        return Style(color=front, bgcolor=back)
    red, green, blue = cividis(shade / (STEPS - 1))
    front = "#000000" if shade * 2 > STEPS else "#ffffff"
    return Style(color=front, bgcolor=f"#{red:02x}{green:02x}{blue:02x}")


class Heat(ScrollView, can_focus=True):
    """A matrix with a cursor. Names of rows stay at the left, names of columns at the top."""

    DEFAULT_CSS = "Heat { height: 1fr; scrollbar-size-vertical: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1, 0)", "Up", id="matrix.up", show=False),
        Binding("down", "move(1, 0)", "Down", id="matrix.down", show=False),
        Binding("left,h", "move(0, -1)", "Left", id="matrix.left", show=False),
        Binding("right,l", "move(0, 1)", "Right", id="matrix.right", show=False),
        Binding("pageup,ctrl+b", "page(-1, 0)", "Page up", id="matrix.pageup", show=False),
        Binding("pagedown,ctrl+f", "page(1, 0)", "Page down", id="matrix.pagedown", show=False),
        Binding("ctrl+left,H", "page(0, -1)", "Page left", id="matrix.pageleft", show=False),
        Binding("ctrl+right,L", "page(0, 1)", "Page right", id="matrix.pageright", show=False),
        Binding("home,circumflex_accent", "edge(None, 0)", "First column", id="matrix.first", show=False),
        Binding("end,dollar_sign", "edge(None, -1)", "Last column", id="matrix.last", show=False),
        Binding("ctrl+home,g", "edge(0, None)", "First row", id="matrix.top", show=False),
        Binding("ctrl+end,G", "edge(-1, None)", "Last row", id="matrix.bottom", show=False),
        Binding("enter", "select", "Advise", id="matrix.advise", tooltip="Ask for advice on this target"),
    ]  # fmt: skip

    class Moved(Message):
        """The cursor has moved."""

    class Chosen(Message):
        """Enter or a double click: the column under the cursor was chosen."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.picture = HeatMap()
        self.marks: Mapping[str, str] = {}  # name of a row → letters beside it
        self.row = self.column = 0
        self.left = 0  # characters of the names of rows
        self.cell = CELL
        self.basic = False
        self.advises = True  # columns are targets of merges

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer advice only on targets."""
        return action != "select" or (self.advises and self.target is not None)

    def on_mount(self) -> None:
        """Find out how many colours the terminal has."""
        self.basic = self.app.console.color_system in ("standard", "windows")

    @property
    def target(self) -> str | None:
        """Name of the column under the cursor."""
        return self.picture.columns[self.column] if self.picture.columns else None

    @property
    def source(self) -> str | None:
        """Name of the row under the cursor."""
        return self.picture.rows[self.row] if self.picture.rows else None

    def show(self, picture: HeatMap, *, source: str | None = None, target: str | None = None) -> None:
        """Draw a matrix.

        Args:
            picture: The matrix.
            source: Row for the cursor; default: the name where it was.
            target: Column for the cursor; default: the name where it was.
        """
        source, target = source or self.source, target or self.target
        self.picture = picture
        self.left = max([len("source"), *(cell_len(label) for label in picture.row_labels)]) + MARKS
        self.cell = max([CELL, *(min(WIDEST, cell_len(label) + 2) for label in picture.column_labels)])
        self.row = picture.rows.index(source) if source in picture.rows else 0
        self.column = picture.places.get(target or "", 0)
        self.virtual_size = Size(self.left + self.cell * len(picture.columns), HEAD + len(picture.rows))
        self.refresh()
        self.call_after_refresh(self.follow)
        self.post_message(self.Moved())

    def mark(self, marks: Mapping[str, str]) -> None:
        """Show letters beside the names of rows."""
        self.marks = marks
        self.refresh()

    # The cursor

    def go(self, row: int, column: int) -> None:
        """Move the cursor to a cell, or the nearest one that exists, and scroll to it."""
        row = max(0, min(row, len(self.picture.rows) - 1))
        column = max(0, min(column, len(self.picture.columns) - 1))
        if not self.picture.rows or (row, column) == (self.row, self.column):
            return
        before, rows = self.scroll_offset, {self.row, row}
        self.row, self.column = row, column
        self.follow()
        if self.scroll_offset == before:
            # Redraw the names above and the two rows between which the cursor moved.
            width = self.size.width
            lines = (0, *(HEAD + line - before.y for line in rows))
            self.refresh(*(Region(0, y, width, 1) for y in lines))
        self.post_message(self.Moved())

    def follow(self) -> None:
        """Scroll as little as brings the cursor into view."""
        x, y = self.scroll_offset
        wide, high = self.seen()
        at, to = self.column * self.cell, (self.column + 1) * self.cell
        x = at if at < x else max(x, to - wide)
        y = self.row if self.row < y else max(y, self.row + 1 - high)
        self.scroll_to(x, y, animate=False)

    def seen(self) -> tuple[int, int]:
        """Return the columns and lines of the terminal that the numbers have."""
        size = self.scrollable_content_region.size
        return max(self.cell, size.width - self.left), max(1, size.height - HEAD)

    def action_move(self, down: int, right: int) -> None:
        """Move the cursor by cells."""
        self.go(self.row + down, self.column + right)

    def action_page(self, down: int, right: int) -> None:
        """Move the cursor by pages."""
        wide, high = self.seen()
        self.go(self.row + down * max(1, high - 1), self.column + right * max(1, wide // self.cell - 1))

    def action_edge(self, row: int | None, column: int | None) -> None:
        """Move the cursor to an edge: 0 is the first, -1 the last, None stays."""
        last = len(self.picture.rows) - 1, len(self.picture.columns) - 1
        new_row = self.row if row is None else row if row >= 0 else last[0]
        new_column = self.column if column is None else column if column >= 0 else last[1]
        self.go(new_row, new_column)

    def action_select(self) -> None:
        """Choose the column under the cursor."""
        if self.target:
            self.post_message(self.Chosen())

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the cell that was clicked; choose it on a double click."""
        inside = event.get_content_offset(self)
        if inside is None:
            return
        x, y = inside
        row = self.row if y < HEAD else y - HEAD + self.scroll_offset.y
        column = self.column if x < self.left else (x - self.left + self.scroll_offset.x) // self.cell
        if row < len(self.picture.rows) and column < len(self.picture.columns):
            self.go(row, column)
            if event.chain == 2:
                self.action_select()

    # Lines

    def render_line(self, y: int) -> Strip:
        """Draw one line: names of columns, or a row with its numbers."""
        width = self.scrollable_content_region.width
        offset_x, offset_y = self.scroll_offset
        picture = self.picture
        first = offset_x // self.cell
        last = min(len(picture.columns), (offset_x + width - self.left) // self.cell + 1)
        base = self.rich_style
        if not picture.rows:
            return Strip.blank(width, base)
        if y < HEAD:
            name = "source".ljust(self.left)
            cells = [self.heading(j, base) for j in range(first, last)]
            fixed = [Segment(name, base + Style(bold=True))]
        else:
            row = y - HEAD + offset_y
            if row >= len(picture.rows):
                return Strip.blank(width, base)
            cells = self.figures(row, first, last, base)
            name = picture.rows[row]
            label = set_cell_size(picture.row_labels[row], self.left - MARKS)
            front = base + Style(bold=True, reverse=True) if row == self.row else base
            marks = self.marks.get(name, "")
            fixed = [Segment(label, front), Segment(f" {marks:<3}", base)]
        skip = offset_x - first * self.cell
        figures = Strip(cells).crop(skip, skip + max(0, width - self.left))
        return Strip([*fixed, *figures]).adjust_cell_length(width, base)

    def heading(self, j: int, base: Style) -> Segment:
        """Draw the name of column `j`, cut at its beginning if it is too long."""
        name = set_cell_size(self.picture.column_labels[j][::-1], self.cell - 2)[::-1] + " "
        if j == self.column:
            return Segment("›" + name, base + Style(bold=True, reverse=True))
        return Segment(" " + name, base + Style(bold=True))

    def figures(self, row: int, first: int, last: int, base: Style) -> list[Segment]:
        """Draw the numbers of a row from column `first` to before `last`."""
        texts, shades = self.picture.texts[row], self.picture.shades[row]
        result = []
        for j in range(first, last):
            selected = row == self.row and j == self.column
            look = base + style(shades[j], self.basic)
            text = texts[j].rjust(self.cell - 1)
            # The shade fills the whole cell, so that there are no gaps between cells.
            result.append(Segment(f"›{text}", look + HERE) if selected else Segment(f" {text}", look))
        return result

    def cursor_region(self) -> Region:
        """Region of the cell under the cursor, in the widget."""
        x, y = self.scroll_offset
        return Region(self.left + self.column * self.cell - x, HEAD + self.row - y, self.cell, 1)

"""Scrollable Markdown page, drawn once in a thread, with links to follow by key or click."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.worker import get_current_worker

from merginguriel.text.tables import plain

if TYPE_CHECKING:
    from markdown_it.token import Token

# A name in the knowledge: id of an entry, its row or question, a claim, a skill.
NAME = re.compile(r"[\w.-]*\w(?:#[rqe]\d+)?")
WORD = 16  # cells of a word in a table that are not broken into lines
STYLES = {
    "markdown.code": "bold", "markdown.code_block": "", "markdown.h1": "bold underline", "markdown.h2": "bold",
    "markdown.h3": "bold italic", "markdown.h4": "italic", "markdown.table.border": "dim",
    "markdown.table.header": "bold", "markdown.item.bullet": "bold", "markdown.item.number": "bold",
    "markdown.link": "underline", "markdown.link_url": "underline", "markdown.block_quote": "italic",
    "markdown.hr": "dim",
}  # fmt: skip


@dataclass(frozen=True)
class Heading:
    """A heading and the line it is drawn on."""

    level: int
    text: str
    line: int


@dataclass(frozen=True)
class LinkCells:
    """A link target and its cells: (line, first column, end column)."""

    href: str
    cells: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Drawn:
    """A drawn page."""

    lines: tuple[Strip, ...]
    headings: tuple[Heading, ...]
    links: tuple[LinkCells, ...]
    width: int


def escaped(text: str) -> str:
    """Return one line of text as Markdown that shows it unchanged."""
    line = re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(plain(text).split()))
    return re.sub(r"^(\d*)([-+=.)])(?!\d)", r"\1\\\2", line)  # neither a list nor a heading


def draw(text: str, width: int, names: Mapping[str, str], *, dark: bool = True) -> Drawn:
    """Draw Markdown as lines of at most `width` cells; a wide table of numbers may be longer.

    Args:
        text: The Markdown.
        width: Columns of the terminal.
        names: Name → link target, for names that are links wherever they appear.
        dark: The theme is dark.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.markdown import Heading as RichHeading
    from rich.markdown import Markdown, TableElement
    from rich.measure import Measurement
    from rich.table import Table as RichTable
    from rich.theme import Theme

    class Head(RichHeading):
        def __rich_console__(self, console: Any, options: Any) -> Any:
            label = self.text.plain
            self.text.justify = "left"
            self.text.stylize(Style(meta={"heading": [int(self.tag[1]), label]}))
            yield self.text

    class Table(TableElement):
        def __rich_console__(self, console: Any, options: Any) -> Any:
            for table in super().__rich_console__(console, options):
                assert isinstance(table, RichTable)
                for column in table.columns:
                    words = [word for cell in (column.header, *column.cells) for word in str(cell).split()]
                    column.min_width = min(max(map(cell_len, words), default=0), WORD)
                    column.overflow = "fold"
                least = sum((column.min_width or 0) + 2 for column in table.columns)
                # Wrap tables of text; keep tables of many numbers wide, to be scrolled.
                if options.max_width < least and len(table.columns) > 5:
                    wide = options.update(width=100_000)
                    needed = Measurement.get(console, wide, table).maximum
                    yield from console.render(table, options.update(width=needed))
                else:
                    yield table

    class MarkdownPage(Markdown):
        elements: ClassVar[Any] = {**Markdown.elements, "heading_open": Head, "table_open": Table}

    width = max(width, 10)
    console = Console(
        file=io.StringIO(), width=width, theme=Theme(STYLES), color_system="truecolor", force_terminal=True,
        legacy_windows=False,
    )  # fmt: skip
    page = MarkdownPage(plain(text), code_theme="ansi_dark" if dark else "ansi_light")
    page.parsed = [linked(token, names) for token in page.parsed]
    segments = console.render(page, console.options.update(width=width))
    lines: list[Strip] = []
    headings: list[Heading] = []
    links: dict[str, tuple[str, list[tuple[int, int, int]]]] = {}
    for number, line in enumerate(Segment.split_lines(segments)):
        at, strip = 0, []
        for segment in line:
            style = segment.style or Style()
            cells = segment.cell_length
            if style.meta.get("heading"):
                level, label = style.meta["heading"]
                if not headings or headings[-1].text != label or headings[-1].line < number - 1:
                    headings.append(Heading(level, label, number))
            if style.link:
                links.setdefault(style.link_id, (style.link, []))[1].append((number, at, at + cells))
                # No address from a file reaches the terminal: this program follows links itself.
                style = style.update_link(None) + Style(underline=True)
            strip.append(Segment(segment.text, Style.combine([style.without_color, _colour(style)])))
            at += cells
        lines.append(Strip(strip, at))
    while lines and not lines[0].text.strip():
        lines.pop(0)
        headings = [Heading(one.level, one.text, one.line - 1) for one in headings]
        links = {k: (href, [(a - 1, b, c) for a, b, c in at]) for k, (href, at) in links.items()}
    result = tuple(LinkCells(href, tuple(at)) for href, at in links.values())
    return Drawn(tuple(lines), tuple(headings), result, max((line.cell_length for line in lines), default=0))


def _colour(style: Style) -> Style:
    return Style(color=style.color)  # keep the background of the page


def linked(token: Token, names: Mapping[str, str]) -> Token:
    """Return the token with names of the knowledge made links, and HTML shown as text."""
    from markdown_it.token import Token

    if token.type == "html_block":
        token.type, token.tag, token.info = "code_block", "code", ""
    if not token.children:
        return token
    result: list[Token] = []
    inside = 0
    for child in token.children:
        inside += (child.type == "link_open") - (child.type == "link_close")
        if child.type == "html_inline":
            child.type, child.tag = "text", ""
        if inside or child.type not in ("text", "code_inline"):
            result.append(child)
            continue
        at = 0
        for match in NAME.finditer(child.content):
            href = names.get(match[0].partition("#")[0])
            # A skill whose name is one common word is a link only if set as code.
            whole = match[0] == child.content
            if not href or not ("-" in match[0] or (whole and child.type == "code_inline")):
                continue
            row = match[0].partition("#")[2]
            result.append(child.copy(content=child.content[at : match.start()]))
            result.append(Token("link_open", "a", 1, attrs={"href": f"{href}#{row}" if row else href}))
            result.append(child.copy(content=match[0]))
            result.append(Token("link_close", "a", -1))
            at = match.end()
        result.append(child.copy(content=child.content[at:]))
    token.children = [item for item in result if item.type not in ("text", "code_inline") or item.content]
    return token


class MarkdownPage(ScrollView, can_focus=True):
    """A Markdown page. Posts `Redrawn` when it is drawn and `Followed` when a link is followed."""

    DEFAULT_CSS = """
    MarkdownPage { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    MarkdownPage > .page--link { color: $text-accent; }
    MarkdownPage > .page--here { background: $accent; color: $text; text-style: bold underline; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"page--link", "page--here"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket,l", "link(1)", "Next link", id="page.next", show=False),
        Binding("left_square_bracket,h", "link(-1)", "Previous link", id="page.before", show=False),
        Binding("enter", "follow", "Follow link", id="page.follow"),
    ]

    class Redrawn(Message):
        """The page was drawn: its headings are known."""

        def __init__(self, page: MarkdownPage) -> None:
            super().__init__()
            self.page = page

        @property
        def control(self) -> MarkdownPage:
            """The page, for handlers that select by widget."""
            return self.page

    class Followed(Message):
        """A link was followed. href: as in the text or in `names`."""

        def __init__(self, page: MarkdownPage, href: str) -> None:
            super().__init__()
            self.page, self.href = page, href

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.text = ""
        self.names: Mapping[str, str] = {}
        self.drawing = threading.Lock()
        self.drawn = Drawn((), (), (), 0)
        self.link = -1
        self.top = False
        self.wanted = ""  # first cell of the table row to scroll to
        self.marked = -1  # line of that row

    def read(self, text: str, names: Mapping[str, str], row: str = "") -> None:
        """Show this text from its beginning, or from the table row `row`; the same text keeps its scroll position."""
        self.top = self.top or text != self.text or bool(row)
        self.text, self.names, self.wanted = text, names, row
        self.redraw()

    def redraw(self) -> None:
        """Draw the page in a thread."""
        width, text, names, dark = self._room(), self.text, self.names, self.app.current_theme.dark
        if width < 4:
            return

        def run() -> None:
            worker = get_current_worker()
            # One thread at a time, and only the latest: drawing threads slow down the UI thread.
            with self.drawing:
                if worker.is_cancelled:
                    return
                drawn = draw(text, width, names, dark=dark)
            if not worker.is_cancelled:
                self.call_later(self._take, drawn)

        self.run_worker(run, thread=True, exclusive=True, group=f"draw-{self.id}")

    def _room(self) -> int:
        scrollbar = self.scrollbar_size_vertical if self.show_vertical_scrollbar else 0
        return (
            self.scrollable_content_region.width + scrollbar - 1
        )  # leave room for the scroll bar, shown or not

    def _take(self, drawn: Drawn) -> None:
        self.drawn = drawn
        top = self.top
        if top:
            self.link, self.top = -1, False
            self.scroll_to(0, 0, animate=False, force=True)
        row = re.compile(rf"\s*{re.escape(self.wanted)}\b")
        lines = [number for number, line in enumerate(drawn.lines) if row.match(line.text)]
        self.marked = lines[-1] if self.wanted and lines else -1
        self.link = min(self.link, len(drawn.links) - 1)
        self.virtual_size = Size(drawn.width, len(drawn.lines))
        if top and self.marked >= 0:
            self.to_line(max(self.marked - self.size.height // 2, 0))
        self.refresh()
        self.refresh_bindings()
        self.post_message(self.Redrawn(self))

    def on_resize(self, event: events.Resize) -> None:
        """Draw the page for the new width."""
        if self.text:
            self.redraw()

    def render_line(self, y: int) -> Strip:
        """Draw one line, with its links marked."""
        x, top = self.scroll_offset
        width = self.scrollable_content_region.width
        number = y + top
        if number >= len(self.drawn.lines):
            return Strip.blank(width, self.rich_style)
        strip = self.drawn.lines[number]
        if number == self.marked:
            strip = strip.apply_style(Style(reverse=True))
        for at, link in enumerate(self.drawn.links):
            for line, first, end in link.cells:
                if line == number:
                    name = "page--here" if at == self.link else "page--link"
                    style = self.get_component_rich_style(name, partial=True)
                    parts = list(strip.divide([first, end, strip.cell_length]))
                    if len(parts) > 1:
                        parts[1] = Strip([Segment(s.text, (s.style or Style()) + style) for s in parts[1]])
                    strip = Strip.join(parts)
        return strip.crop_extend(x, x + width, self.rich_style).apply_style(self.rich_style)

    def to_line(self, line: int) -> None:
        """Scroll to a line."""
        self.scroll_to(y=line, animate=False, force=True)

    def to_heading(self, text: str) -> bool:
        """Scroll to a heading by its text or anchor; return False if it does not exist."""
        anchor = re.sub(r"[^\w-]", "", text.lower().replace(" ", "-"))
        for heading in self.drawn.headings:
            if anchor == re.sub(r"[^\w-]", "", heading.text.lower().replace(" ", "-")):
                self.to_line(heading.line)
                return True
        return False

    def action_link(self, by: int) -> None:
        """Select the next link, or the previous one for -1."""
        links = self.drawn.links
        if not links:
            return
        if self.link < 0:
            # The first of those in view.
            top = self.scroll_offset.y
            self.link = next((i for i, link in enumerate(links) if link.cells[0][0] >= top), 0)
        else:
            self.link = (self.link + by) % len(links)
        line = links[self.link].cells[0][0]
        if not self.scroll_offset.y <= line < self.scroll_offset.y + self.size.height:
            self.to_line(max(line - 2, 0))
        self.refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer links only where the page has some."""
        return action not in ("link", "follow") or bool(self.drawn.links)

    def action_follow(self) -> None:
        """Follow the selected link; without one, select the first in view."""
        if self.link < 0:
            self.action_link(1)
        else:
            self.post_message(self.Followed(self, self.drawn.links[self.link].href))

    def on_click(self, event: events.Click) -> None:
        """Follow the link that was clicked."""
        spot = event.get_content_offset(self)
        if spot is None:
            return
        x, y = spot + self.scroll_offset
        for at, link in enumerate(self.drawn.links):
            if any(line == y and first <= x < end for line, first, end in link.cells):
                self.link = at
                self.refresh()
                self.action_follow()

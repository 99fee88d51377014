"""Dialogs over a screen: yes/no, help on keys, legend of the advice, and jump letters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.dom import DOMNode
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Button, DataTable, Input, Label, SelectionList, Static

from .base import Dialog, key_of

HEADS = ("here", "on this screen", "everywhere")
LETTERS = "asdfghlqwertuiopzxcvbnm"


class Confirm(Dialog[bool]):
    """Yes/no dialog. Returns True for yes.

    Args:
        title: The question.
        what: What it is about, shown as it is, never read as markup.
        yes: Label of the yes button.
        danger: The action cannot be undone: a warning colour, and No has the focus.
    """

    DEFAULT_CSS = """
    Confirm #confirm { width: 90%; max-width: 100; height: auto; max-height: 90%; }
    Confirm.-danger #confirm { border: round $warning; width: 70; max-width: 95%; }
    Confirm #confirmed { height: auto; max-height: 55vh; margin: 1 0; }
    Confirm #answers { height: 1; } Confirm #answers Button { margin-right: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes", id="confirm.yes"),
        Binding("escape,n", "dismiss(False)", "No", id="confirm.no"),
    ]

    def __init__(self, title: str, what: str, yes: str, *, danger: bool = False) -> None:
        super().__init__(classes="-danger" if danger else "")
        self.question, self.what, self.yes, self.danger = title, what, yes, danger

    def compose(self) -> ComposeResult:
        """Yield the question, its subject and the two buttons."""
        with Vertical(id="confirm"):
            yield Static(Text(self.question, "bold"))
            with VerticalScroll(id="confirmed"):
                yield Static(Text(self.what))
            with Horizontal(id="answers"):
                yield Button(
                    Text(f"{self.yes} (y)"),
                    id="yes",
                    variant="warning" if self.danger else "primary",
                    compact=True,
                )
                yield Button(Text("No (n)"), id="no", compact=True)

    def on_mount(self) -> None:
        """Focus the default answer."""
        self.query_one("#no" if self.danger else "#yes").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Return the answer of the button."""
        self.dismiss(event.button.id == "yes")


class LabelScreen(Dialog[tuple[str, str] | None]):
    """Fields for the tags and the note of runs. Returns both as typed, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", id="label.cancel")]

    def __init__(self, title: str, tags: str, note: str) -> None:
        super().__init__()
        self.title_text, self.tags, self.note = title, tags, note

    def compose(self) -> ComposeResult:
        """Yield the title and the two fields."""
        with Vertical(classes="asked"):
            yield Static(Text(self.title_text, "bold"))
            yield Input(self.tags, placeholder="tags, with spaces between", id="tags", compact=True)
            yield Input(self.note, placeholder="note", id="note", compact=True)
            yield Static(f"enter: save   {key_of(self, 'label.cancel')}: cancel")

    def on_input_submitted(self) -> None:
        """Return the fields."""
        self.dismiss((self.query_one("#tags", Input).value, self.query_one("#note", Input).value))


class Marks(SelectionList[str]):
    """Selection list that marks chosen options by a sign; that of Textual does by colour alone."""

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        strip = super().render_line(y)
        at = self.scroll_offset.y + y
        if at >= self.option_count or self.get_option_at_index(at).value in self.selected:
            return strip
        left, sign, *rest = strip
        return Strip([left, Segment(" ", sign.style), *rest])


class ColumnsScreen(Dialog[list[str]]):
    """Names to choose several of. Returns the chosen ones."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "Close", id="columns.close")]

    def __init__(self, names: Sequence[str], chosen: Collection[str]) -> None:
        super().__init__()
        self.names, self.chosen = names, chosen

    def compose(self) -> ComposeResult:
        """Yield the list."""
        with Vertical(classes="asked"):
            yield Static(
                Text(
                    f"Columns, as many as fit   space: choose   {key_of(self, 'columns.close')}: close",
                    "bold",
                )
            )
            yield Marks(*((name, name, name in self.chosen) for name in self.names), compact=True)

    def action_close(self) -> None:
        """Return the chosen names."""
        self.dismiss(self.query_one(SelectionList).selected)


def _scrolled(table: Table, name: str) -> ComposeResult:
    with VerticalScroll(id=name):
        yield Static(table, markup=False)


def _new_table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), show_header=False)


class WordsScreen(Dialog[None]):
    """The legend that `mu advise --explain` prints. The key that opens it closes it too."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,e,q", "dismiss", "Close", id="words.close")]

    def compose(self) -> ComposeResult:
        """Yield each term with its meaning."""
        from merginguriel.text.advice import LEGEND

        table = _new_table()
        for word, meaning in LEGEND:
            table.add_row(Text(word, "bold"), Text(meaning))
        yield from _scrolled(table, "words")


class HelpScreen(Dialog[None]):
    """The keys of the screen below, from its active bindings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1", "dismiss", "Close", id="help.close"),
    ]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self.below = below

    def compose(self) -> ComposeResult:
        """Yield the keys in groups, with the ids that mu.toml uses."""
        table = _new_table()
        for head, inside in key_rows(self.below).items():
            if table.row_count:
                table.add_row()
            table.add_row(Text(head, "bold underline"), "", Text("id in mu.toml", "dim"))
            for keys, description, name in inside:
                table.add_row(Text(keys), Text(description), Text(name, "dim"))
        yield from _scrolled(table, "help")


def key_rows(screen: Screen[object]) -> dict[str, list[tuple[str, str, str]]]:
    """Return (keys, what they do, id for mu.toml) of every active binding, grouped by `HEADS`."""
    groups: dict[str, dict[str, tuple[list[str], str]]] = {head: {} for head in HEADS}
    for node, binding, _, _ in screen.active_bindings.values():
        if binding.description and not binding.system and not is_idle(node, binding):
            head = HEADS[2] if node is screen.app else HEADS[1] if node is screen else HEADS[0]
            key = screen.app.get_key_display(binding)
            does = binding.tooltip or binding.description
            keys, _ = groups[head].setdefault(does, ([], binding.id or ""))
            if key not in keys:
                keys.append(key)
    return {
        head: [(" ".join(keys), does, name) for does, (keys, name) in inside.items()]
        for head, inside in groups.items()
        if inside
    }


def is_idle(node: DOMNode, binding: Binding) -> bool:
    """Return True for a widget's built-in scrolling key if the widget is shown in full."""
    name = f"action_{binding.action}"
    if isinstance(node, DataTable) and name.endswith(("left", "right")):  # its cursor is a row
        return not node.allow_horizontal_scroll
    if not isinstance(node, Widget) or not name.startswith(("action_scroll_", "action_page_")):
        return False
    if getattr(type(node), name, None) is not getattr(Widget, name, None):
        return False
    sideways = name.endswith(("left", "right"))
    return not (node.allow_horizontal_scroll if sideways else node.allow_vertical_scroll)


class JumpScreen(Dialog[str | None]):
    """Letters over the parts of the screen below. Returns the id of the widget whose letter was pressed."""

    DEFAULT_CSS = """
    JumpScreen { align: left top; background: $background 30%; layout: vertical; }
    JumpScreen Label { position: absolute; overlay: screen; background: $accent; color: $text; text-style: bold; width: auto; height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+o", "dismiss", "Cancel", id="jump.cancel")]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self.places = jump_places(below)

    def compose(self) -> ComposeResult:
        """Yield a label with a letter on each widget."""
        for letter, widget in self.places.items():
            label = Label(f"[{letter}]", markup=False)
            label.styles.offset = (widget.region.x, widget.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        """Return the widget of the letter."""
        if event.key in self.places:
            event.stop()
            self.dismiss(self.places[event.key].id)

    def on_resize(self) -> None:
        """Move the letters to where the widgets are now."""
        for widget, label in zip(self.places.values(), self.query(Label), strict=False):
            label.styles.offset = (widget.region.x, widget.region.y)


def jump_places(screen: Screen[object]) -> dict[str, Widget]:
    """Return letter → widget, for every visible widget that can have the focus."""
    seen = [w for w in screen.focus_chain if w.id and screen.region.overlaps(w.region) and w.region.area]
    return dict(zip(LETTERS, seen, strict=False))

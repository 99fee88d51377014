"""Choose one of several values: on one line with the arrow keys, or from a searchable list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from merginguriel_tui.base import Dialog

ANY = "any"  # shown for an empty value


class ChoiceLine(Widget, can_focus=True):
    """One line, `label ‹ value ›`: the arrow keys change the value, Enter shows all. An empty value means any."""

    DEFAULT_CSS = """
    ChoiceLine { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    ChoiceLine:focus { background: $accent 40%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Previous value", id="choice.before", show=False),
        Binding("right,l", "step(1)", "Next value", id="choice.next", show=False),
        Binding("enter,space", "pick", "Choose from a list", id="choice.pick", show=False),
    ]
    value: reactive[str] = reactive("")

    class Changed(Message):
        """The user changed the value."""

        def __init__(self, choice: ChoiceLine) -> None:
            super().__init__()
            self.choice = choice

    def __init__(self, label: str, options: Sequence[str], value: str, *, id: str) -> None:
        super().__init__(id=id)
        self.label, self.options = label, list(options)
        self.set_reactive(ChoiceLine.value, value)

    def render(self) -> Text:
        """Draw the line."""
        width = max(self.size.width - len(self.label) - 5, 3)
        value = self.value or ANY
        value = value if len(value) <= width else f"{value[: width - 1]}…"
        text = Text(f"{self.label} ", "dim")
        # The marks show that it can be changed; the focused one is underlined, whatever the colours.
        text.append(f"‹ {value} ›", "not dim bold underline" if self.has_focus else "not dim")
        return text

    def take(self, value: str) -> None:
        """Set the value and report the change."""
        if value != self.value:
            self.value = value
            self.post_message(self.Changed(self))

    def action_step(self, by: int) -> None:
        """Take the next value, or the previous one for -1."""
        if self.options:
            at = self.options.index(self.value) if self.value in self.options else -1
            self.take(self.options[(at + by) % len(self.options)])

    def action_pick(self) -> None:
        """Open the list of all values."""
        self.app.push_screen(Pick(self.label, self.options), self._picked)

    def on_click(self) -> None:
        """Open the list."""
        self.action_pick()

    def _picked(self, value: str | None) -> None:
        if value is not None:
            self.take(value)


class Pick(Dialog[str | None]):
    """A list narrowed by typing. Returns the value, or None."""

    DEFAULT_CSS = "Pick #pick { width: 60%; max-width: 60; height: 70%; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", id="pick.close"),
        Binding("down", "move(1)", "Down", id="pick.down", show=False),
        Binding("up", "move(-1)", "Up", id="pick.up", show=False),
    ]

    def __init__(self, title: str, options: Sequence[str]) -> None:
        super().__init__()
        self.title_text, self.options, self.shown = title, list(options), list(options)

    def compose(self) -> ComposeResult:
        """Yield the title, the filter and the list."""
        with Vertical(id="pick"):
            yield Static(Text(self.title_text, "bold"))
            yield Input(placeholder="type to narrow", id="narrow", compact=True)
            yield OptionList(*self._rows(), id="picked", markup=False, compact=True)

    def _rows(self) -> list[Option]:
        return [Option(Text(value or ANY)) for value in self.shown]

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the values that match, the best match first."""
        from textual.fuzzy import Matcher

        matcher = Matcher(event.value)
        scored = [(matcher.match(value or ANY) if event.value else 1, value) for value in self.options]
        result = [pair for pair in scored if pair[0] > 0]
        self.shown = [value for _, value in sorted(result, key=lambda pair: -pair[0])]
        options = self.query_one("#picked", OptionList)
        options.clear_options()
        options.add_options(self._rows())
        options.highlighted = 0 if self.shown else None

    def action_move(self, by: int) -> None:
        """Move the cursor of the list while the filter has the focus."""
        options = self.query_one("#picked", OptionList)
        options.action_cursor_down() if by > 0 else options.action_cursor_up()

    def on_input_submitted(self) -> None:
        """Return the value under the cursor."""
        at = self.query_one("#picked", OptionList).highlighted
        if self.shown:
            self.dismiss(self.shown[at or 0])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Return the value that was picked."""
        self.dismiss(self.shown[event.option_index])

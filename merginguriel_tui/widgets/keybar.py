"""Which keys does this screen know? One line of them; a click on one presses it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.screen import Screen
from textual.widget import Widget


class KeyBar(Widget):
    """Keys and what they do, the palette at the right end.

    One widget that draws a line. Textual's Footer mounts a widget per key whenever the focus moves: 20 ms of a start, and of
    each step from part to part.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--says"}
    DEFAULT_CSS = """
    KeyBar {
        dock: bottom; height: 1; text-wrap: nowrap; color: $footer-foreground; background: $footer-background;
        & .keybar--key { color: $footer-key-foreground; background: $footer-key-background; text-style: bold; }
        & .keybar--says { color: $footer-description-foreground; background: $footer-description-background; }
    }
    """

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if self.app.app_focus:
            self.refresh()

    def shown(self) -> list[tuple[int, int, Binding, str]]:
        """(first column, the one after its last, binding, its key as it is displayed), as many as there is room for."""
        active = self.screen.active_bindings
        palette = active.get(self.app.COMMAND_PALETTE_BINDING)
        first = {each.binding.action: each.binding for each in reversed(active.values()) if each.binding.show}
        found, at, room = [], 0, self.size.width
        if palette is not None:
            binding = palette.binding
            key = self.app.get_key_display(binding)
            start = room - len(key) - len(binding.description) - 4
            if start >= 0:
                found.append((start, room, binding, key))
                room = start
        for each in active.values():
            binding = each.binding
            if first.get(binding.action) is not binding:
                continue
            key = self.app.get_key_display(binding)
            end = at + len(key) + len(binding.description) + 3
            if end <= room:
                found.append((at, end, binding, key))
                at = end
        return sorted(found, key=lambda one: one[0])

    def render(self) -> Text:
        key_style = self.get_component_rich_style("keybar--key")
        says_style = self.get_component_rich_style("keybar--says")
        line = Text(no_wrap=True, overflow="crop")
        for start, end, binding, key in self.shown():
            line.pad_right(start - len(line))
            if end == self.size.width:
                line.append("▏", "dim")
            line.append(f" {key} ", key_style)
            line.append(f"{binding.description} ", says_style)
        return line

    def _under(self, x: int) -> Binding | None:
        return next((binding for start, end, binding, _ in self.shown() if start <= x < end), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        binding = self._under(event.x)
        self.tooltip = binding.tooltip or None if binding else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if binding := self._under(event.x):
            self.app.simulate_key(binding.key)

"""Line of keys at the bottom of a screen; a click presses one."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import ActiveBinding
from textual.screen import Screen
from textual.widget import Widget


class KeyBar(Widget):
    """Keys with their descriptions, the palette at the right end.

    A single widget that draws one line. Textual's Footer mounts a widget per key whenever the focus moves, which costs
    20 ms at the start and at each change of focus.
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
        """Follow changes of the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if self.app.app_focus:
            self.refresh()

    def shown(self) -> list[tuple[int, int, ActiveBinding, str]]:
        """Return (first column, end column, binding, displayed key) of every key that fits."""
        active = self.screen.active_bindings
        at, width = 0, self.size.width
        result = []
        palette = active.get(self.app.COMMAND_PALETTE_BINDING)
        if palette is not None:
            key = self.app.get_key_display(palette.binding)
            start = width - len(key) - len(palette.binding.description) - 4
            if start >= 0:
                result.append((start, width, palette, key))
                width = start
        actions = set()
        for item in active.values():
            binding = item.binding
            if not binding.show or binding.action in actions or self.refused(item):
                continue
            actions.add(binding.action)
            key = self.app.get_key_display(binding)
            end = at + len(key) + len(binding.description) + 3
            if end <= width:
                result.append((at, end, item, key))
                at = end
        return sorted(result, key=lambda entry: entry[0])

    @staticmethod
    def refused(item: ActiveBinding) -> bool:
        """Return True for an action of a screen that is impossible now."""
        refuses = getattr(item.node, "refuses", None)
        return refuses is not None and refuses(item.binding.action)

    def render(self) -> Text:
        """Draw the line."""
        key_style = self.get_component_rich_style("keybar--key")
        says_style = self.get_component_rich_style("keybar--says")
        line = Text(no_wrap=True, overflow="crop")
        for start, end, item, key in self.shown():
            line.pad_right(start - len(line))
            if end == self.size.width:
                line.append("▏", "dim")
            begins = len(line)
            line.append(f" {key} ", key_style)
            line.append(f"{item.binding.description} ", says_style)
            if not item.enabled:
                line.stylize("dim", begins)
        return line

    def _under(self, x: int) -> ActiveBinding | None:
        return next((item for start, end, item, _ in self.shown() if start <= x < end), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show the tooltip of the key under the mouse."""
        item = self._under(event.x)
        self.tooltip = item.tooltip or None if item else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Press the key that was clicked."""
        item = self._under(event.x)
        if item is not None and item.enabled:
            self.app.simulate_key(item.binding.key)

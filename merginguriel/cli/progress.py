"""Progress line on stderr with the time left; plain lines where stderr is no terminal."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType

from merginguriel.text.runs import duration

WIDTH = 24
EVERY = 0.1  # seconds between two redraws
PLAIN_EVERY = 15.0  # seconds between two lines where nothing can be redrawn


class ProgressLine:
    """A progress line, called with (done, total, text).

    `left`: seconds, if known. A total of 0 prints the text as a notice on a line of its own.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.label = f"  {title}: " if title else "        "
        self.start = time.monotonic()
        self.drawn = 0.0
        self.live = sys.stderr.isatty()
        self.last = ""

    def __call__(self, done: float, total: float, text: str = "", *, left: float | None = None) -> None:
        """Draw the line again, if the last time is long enough ago."""
        if not total and text:
            sys.stderr.write(("\r\x1b[K" if self.live else "") + f"{self.label}{text}\n")
            sys.stderr.flush()
            return
        now = time.monotonic()
        if not done:
            self.start = now  # another piece of work begins: its time is counted from here
        if now - self.drawn < (EVERY if self.live else PLAIN_EVERY):
            return
        if not self.live and not self.drawn:
            self.drawn = now
            return
        self.drawn = now
        share = done / total if total else 0.0
        spent = now - self.start
        if left is None and share > 0.02:
            left = spent / share - spent
        rest = f"{duration(left)} left" if left is not None else ""
        if self.live:
            filled = round(WIDTH * share)
            line = (
                f"  {self.title}  {'█' * filled}{'░' * (WIDTH - filled)} {100 * share:3.0f}%  {text}  {rest}"
            )
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r\x1b[K" + line[:width])
        else:
            sys.stderr.write(f"{self.label}{100 * share:.0f}%  {text}  {rest}".rstrip() + "\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line before something else is printed."""
        if self.live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

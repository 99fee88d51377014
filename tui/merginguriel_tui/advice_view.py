"""Advice on a screen: a card, a drawn scale, and a list of rows with links."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text
from textual.widget import Widget

from merginguriel.decision.advice_types import OtherRows, PriorRows
from merginguriel.metrics.registry import find
from merginguriel.text.tables import plain

if TYPE_CHECKING:
    from merginguriel.decision.advice_types import Advice
    from merginguriel.decision.arm_types import Gain
    from merginguriel.text.advice import Row

STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # pp between two figures of the scale
# Black on these colours, which remain distinct if the terminal has only 16.
STYLES = {
    "MERGE": "bold #00d700 on #000000 reverse",
    "ENSEMBLE": "bold #00d700 on #000000 reverse",
    "PILOT": "bold #d7d700 on #000000 reverse",
    "NO MERGE": "bold #ff5f5f on #000000 reverse",
    "UNKNOWN": "bold #ff5fff on #000000 reverse",
}
OPENS = " ›"  # ends a row that has a link


def card(advice: Advice, action: str = "") -> Text:
    """Return verdict, recipe and figures, and the first action."""
    from merginguriel.text.advice import lay_out

    layout = lay_out(advice)
    text = Text()
    text.append(plain(f"{layout.title}\n"), "dim")
    text.append(f" {layout.word} ", STYLES[layout.word])
    text.append(f"  {plain(layout.headline)}\n", "bold")
    text.append(plain("  ".join(layout.figures)))
    if action:
        text.append(f"\n{plain(action)}", "bold")
    return text


def scale(gain: Gain, least: float, width: int, points: str = "pp") -> Text:
    """Draw the expected gain as an interval on an axis in `points`: four lines of `width` characters, readable without colour."""
    (low80, high80), (low90, high90) = gain.ci80_pp, gain.ci90_pp
    low, high = min(low90, 0.0, least), max(high90, 0.0, least)
    inner = max(width - 8, 8)  # figures at the ends stand half outside
    step = next((s for s in STEPS if (high - low) / s <= max(inner // 9, 2)), STEPS[-1])
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    if high <= low:
        high = low + step

    def at(x: float) -> int:
        return 4 + round((x - low) / (high - low) * (inner - 1))

    bar = [" "] * (inner + 8)
    bar[at(low90) : at(high90) + 1] = "─" * (at(high90) - at(low90) + 1)
    bar[at(low90)], bar[at(high90)] = "├", "┤"
    bar[at(low80) : at(high80) + 1] = "━" * (at(high80) - at(low80) + 1)
    for x, over in ((0.0, {" ": "│", "─": "┼", "━": "╋", "├": "├", "┤": "┤"}), (least, {})):
        bar[at(x)] = over.get(bar[at(x)], "╎")
    bar[at(gain.mean_pp)] = "◆"
    axis, labels = list("─" * inner), [" "] * (inner + 10)
    for number in range(round((high - low) / step) + 1):
        x = low + number * step
        axis[at(x) - 4] = "┼" if abs(x) < step / 1e6 else "┬"
        figure = "0" if abs(x) < step / 1e6 else f"{x:+.{0 if step >= 1 else 1}f}".replace("-", "−")
        start = max(at(x) - len(figure) // 2, 0)
        labels[start : start + len(figure)] = figure
    text = Text("".join(bar).rstrip() + "\n", "bold", no_wrap=True, overflow="ellipsis")
    text.append("    " + "".join(axis) + "\n", "dim")
    text.append("".join(labels).rstrip() + f" {points}\n", "not bold")
    minimum = f"  ╎ worth it ({least:g} {points})" if least else ""
    text.append(f"    ◆ gain  ━ 80%  ─ 90%  │ zero{minimum}", "not bold dim")
    return text


def rows(advice: Advice, note: str | None) -> list[Row]:
    """Return the note, the reasons for the verdict and the next steps, in reading order."""
    from merginguriel.text.advice import Row, lay_out

    return [*([Row("note", note)] if note else []), *lay_out(advice).rows]


def statement(row: Row) -> str:
    """Return what a row says on one line."""
    command = row.link.name if row.link and row.link.kind == "copy" else ""
    return "  ".join(part for part in (row.figures.strip(), command, row.text, row.ref) if part)


def lines(rows: Sequence[Row]) -> Iterator[Table]:
    """Yield the rows of the list: the label at the first row of a group, the statement right of it."""
    before = ""
    for row in rows:
        label, before = "" if row.label == before else row.label, row.label
        table = Table.grid(padding=(0, 1, 0, 0), expand=True)
        table.add_column(width=8, no_wrap=True)
        table.add_column(ratio=1)
        table.add_row(
            Text(label, "bold" if label in ("for", "against") else "dim"),
            Text(plain(statement(row)) + (OPENS if row.link else "")),
        )
        yield table


def content(advice: Advice, how: str) -> str:
    """Return the whole advice as `text`, `markdown` or `csv`."""
    if how == "text":
        from merginguriel.text.advice import render

        return plain(render(advice, every=True))
    return markdown(advice) if how == "markdown" else table(advice)


def markdown(advice: Advice) -> str:
    """Return the answer as Markdown, for an issue or a note."""
    from merginguriel.text.advice import lay_out

    def cell(text: object) -> str:
        return plain(str(text)).replace("|", "\\|").replace("\n", " ")

    layout = lay_out(advice)
    lines = [
        f"## {advice.target}, {advice.mode}, {cell(advice.context)}: {layout.word}",
        "",
        cell(layout.headline),
        "",
        cell("  ".join(layout.figures)),
        "",
        "| | |",
        "|---|---|",
        *(f"| {row.label} | {cell(statement(row))} |" for row in layout.rows),
    ]
    return "\n".join(lines) + "\n"


def table(advice: Advice) -> str:
    """Return every row of evidence, and every row that is not counted, as CSV."""
    columns = (
        "ref", "kind", "target", "recipe", "value", "baseline", "gain_pp", "se_pp", "n", "p_value", "contribution_pp",
    )  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for item in advice.evidence:
        if isinstance(item, OtherRows):  # of the short form only
            continue
        label = item.label if isinstance(item, PriorRows) else item.arm.label
        writer.writerow({**vars(item), "recipe": label})
    for row in advice.uncounted:
        writer.writerow({**vars(row), "recipe": row.arm.label})
    return text.getvalue()


class Scale(Widget):
    """The expected gain on a scale as wide as the card."""

    DEFAULT_CSS = "Scale { height: 4; width: 100%; text-wrap: nowrap; text-overflow: ellipsis; }"
    advice: Advice | None = None

    def tell(self, advice: Advice | None) -> None:
        """Draw another advice."""
        self.advice = advice
        self.refresh(layout=True)

    def render(self) -> Text:
        """Return the drawing."""
        if self.advice is None:
            return Text()
        points = find(self.advice.metric).unit.points
        return scale(self.advice.gain, self.advice.min_gain_pp, min(self.size.width, 110), points)

"""Ledger of advice: what was advised, what was measured afterwards, and how reliable the probabilities were."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Static

from merginguriel.text.numbers import count, interval, pp, signed
from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen, table_as
from merginguriel_tui.widgets.plots import bar

if TYPE_CHECKING:
    from merginguriel.loop.ledger import LedgerEntry, ScoredAdvice

HEADS = ("asked", "target", "verdict", "expected", "90%", "P", "measured", "in 90%", "regret")
CELLS = 30  # of a bar from P = 0 to 1


class LedgerScreen(MuScreen):
    """Every advice of the workspace, the newest first, and the reliability of those that were measured."""

    NAME = "advise"
    OPENS = False
    AUTO_FOCUS = "#ledger"
    DEFAULT_CSS = """
    LedgerScreen #reliability { height: auto; padding: 0 1; border-bottom: solid $panel; }
    LedgerScreen #ledger { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back", id="ledger.back")]

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[LedgerEntry] = []
        self.rows: list[list[str]] = []

    def body(self) -> ComposeResult:
        """Yield the reliability and the table."""
        yield Static(Text("…", "dim"), id="reliability")
        yield DataTable[str](id="ledger", cursor_type="row", zebra_stripes=True)

    def show(self, *what: str) -> None:
        """Read the ledger and score it in a thread."""
        self.command, space = "mu advise score", self.mu.space

        def work() -> tuple[list[LedgerEntry], list[ScoredAdvice]]:
            from merginguriel.knowledge.base import load
            from merginguriel.loop import ledger

            return ledger.entries(space)[::-1], ledger.scores(load(space))

        self.load(work, lambda found: self.fill(*found))

    def fill(self, asked: list[LedgerEntry], scored: list[ScoredAdvice]) -> None:
        """Show the table and the reliability."""
        self.asked, measured = asked, {one.entry.id: one for one in scored}
        self.rows = [row_of(one, measured.get(one.id)) for one in asked]
        table = self.query_one("#ledger", DataTable)
        table.clear(columns=True)
        table.add_columns(*HEADS)
        for row in self.rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        self.query_one("#reliability", Static).update(reliability(len(asked), scored))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Ask for the advice on the target again."""
        question = self.asked[event.cursor_row].question
        self.mu.action_go("advise", str(question["target"]), str(question["context"]))

    def content(self, how: str) -> str:
        """Return the table."""
        return table_as(how, [list(HEADS), *self.rows])


def row_of(asked: LedgerEntry, scored: ScoredAdvice | None) -> list[str]:
    """Return the cells of an advice; the last three are empty until its arm is measured."""
    cells = [
        asked.time[:10], str(asked.question["target"]), asked.verdict, pp(asked.mean_pp), interval(*asked.ci90_pp),
        f"{asked.p_positive:.2f}",
    ]  # fmt: skip
    if scored is None:
        return [*cells, "", "", ""]
    regret = "" if scored.regret_pp is None else f"{scored.regret_pp:.1f}"
    held = "yes" if scored.inside90 else "no"
    return [*cells, f"{signed(scored.gain_pp)} ± {scored.se_pp:.1f}", held, regret]


def reliability(asked: int, scored: list[ScoredAdvice]) -> Text:
    """Draw for each range of P the share that gained as a bar, and the mean P as ◆ on it."""
    from merginguriel.loop import ledger
    from merginguriel.text.scores import FEW

    text = Text(
        f"{count(asked, 'advice', 'pieces of advice')} asked, {len(scored)} measured afterwards", "bold"
    )
    if not scored:
        return text.append("\nMeasure one: launch the pilot of an advice, and write up its run.", "not bold")
    for one in ledger.buckets(scored):
        drawn = list(bar(one.gained, CELLS))
        drawn[min(round(one.stated * CELLS), CELLS - 1)] = "◆"
        text.append(f"\nP {one.low:g}–{one.high:g}".ljust(12) + "▕" + "".join(drawn) + "▏ ", "not bold")
        text.append(f"{one.gained:.2f} gained, stated P {one.stated:.2f}, n = {one.count}", "not bold")
    inside = sum(one.inside90 for one in scored)
    text.append(f"\n90% intervals contained {inside} of {len(scored)} gains", "not bold")
    few = f": so few ({len(scored)}) say little" if len(scored) < FEW else ""
    return text.append(few, "dim not bold")

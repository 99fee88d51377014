"""Evidence of an advice as a table, sorted by weight, gain or number of items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from merginguriel.decision.advice_types import Advice, EvidenceRow
from merginguriel.text.advice import short_ref
from merginguriel.text.differences import p_number
from merginguriel.text.numbers import signed
from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen, table_as

HEADS = ("weight, pp", "gain, pp", "±", "n", "p", "arm", "row")
NUMBERS = 5  # columns at the left that contain numbers
ORDERS = ("weight", "gain", "n")


class EvidenceScreen(MuScreen):
    """Every measured row of the target that the advice rests on, or that speaks against it."""

    NAME = "advise"
    OPENS = False
    AUTO_FOCUS = "#evidence"
    DEFAULT_CSS = "EvidenceScreen #evidence { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "order", "Sort", id="evidence.sort", tooltip="Sort by weight, gain or number of items"),
        Binding("escape", "app.pop_screen", "Back", id="evidence.back"),
    ]

    def __init__(self, advice: Advice, command: str) -> None:
        super().__init__()
        self.advice, self.asked, self.order = advice, command, ORDERS[0]
        self.rows: list[EvidenceRow] = []

    def body(self) -> ComposeResult:
        """Yield the table."""
        yield DataTable[Text](id="evidence", cursor_type="row", zebra_stripes=True)

    def show(self, *what: str) -> None:
        """Sort the rows, the heaviest, best or largest first."""
        self.command = self.asked
        keys: dict[str, Callable[[EvidenceRow], float]] = {
            "weight": lambda row: abs(row.contribution_pp or 0),
            "gain": lambda row: row.gain_pp,
            "n": lambda row: row.n or 0,
        }
        found = [*self.advice.evidence, *self.advice.dissent]
        once = {row.ref: row for row in reversed(found) if isinstance(row, EvidenceRow)}
        self.rows = sorted(once.values(), key=keys[self.order], reverse=True)
        table = self.query_one("#evidence", DataTable)
        table.clear(columns=True)
        for head in aligned(HEADS):
            table.add_column(head.append(" ▼") if head.plain.startswith(self.order) else head)
        for *row, ref in cells(self.rows):
            table.add_row(*aligned([*row, short_ref(ref)]))

    def action_order(self) -> None:
        """Take the next order."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.show()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the entry at the row."""
        self.mu.action_go("log", self.rows[event.cursor_row].ref)

    def content(self, how: str) -> str:
        """Return the table."""
        return table_as(how, [list(HEADS), *cells(self.rows)])


def aligned(row: Sequence[str]) -> list[Text]:
    """Return the cells of a row, numbers to the right."""
    return [Text(plain(cell), justify="right" if at < NUMBERS else "left") for at, cell in enumerate(row)]


def cells(rows: list[EvidenceRow]) -> list[list[str]]:
    """Return the cells of each row; an empty weight is that of a row that speaks against the advice."""
    return [
        [
            "" if row.contribution_pp is None else signed(row.contribution_pp, 2), signed(row.gain_pp),
            f"{row.se_pp:.1f}", f"{row.n or ''}", p_number(row.p_value), row.arm.label, row.ref,
        ]
        for row in rows
    ]  # fmt: skip

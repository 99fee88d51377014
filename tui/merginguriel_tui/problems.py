"""List of what lint finds in the workspace; each problem shows its file at the line, and opens there in the editor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from merginguriel.errors import MuError
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.knowledge.problems import Problem
from merginguriel.text.tables import plain

from .base import Dialog, key_of

AROUND = 200  # lines of a file before and after the line of a problem


class ProblemsScreen(Dialog[tuple[Path, int] | None]):
    """Problems above, the file of the highlighted one below. Returns the file and line to edit, or None."""

    DEFAULT_CSS = """
    ProblemsScreen #problems { width: 95%; height: 90%; } ProblemsScreen #problem-list { height: 40%; }
    ProblemsScreen #problem-file { height: 1fr; border-top: solid $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,exclamation_mark", "dismiss(None)", "Close", id="problems.close"),
        Binding("e", "edit", "Edit", id="problems.edit", tooltip="Open the file in $EDITOR at this line"),
    ]

    def __init__(self, problems: Sequence[Problem], root: Path) -> None:
        super().__init__()
        self.problems, self.root = list(problems), root

    def compose(self) -> ComposeResult:
        """Yield the title, the list and the text of the file."""
        count = len(self.problems)
        with Vertical(id="problems"):
            yield Static(
                f"{count} problem{'s' * (count != 1)}   enter: read   {key_of(self, 'problems.edit')}: edit   "
                f"{key_of(self, 'problems.close')}: close",
                markup=False,
            )
            shown = [plain(f"{one.where}: {one.what}".replace(f"{self.root}/", "")) for one in self.problems]
            yield OptionList(*(Option(Text(text)) for text in shown), id="problem-list", markup=False)
            with VerticalScroll(id="problem-file"):
                yield Static("", id="problem-text", markup=False)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the file of a problem at its line."""
        problem = self.problems[event.option_index]
        file, number = problem.place
        page = Text(plain(problem.hint) + "\n\n" if problem.hint else "", "italic")
        try:
            lines = read_text(Path(file)).split("\n")
        except MuError as error:
            lines, number = [error.what], 1
        first = max(number - AROUND, 1)
        for at, line in enumerate(lines[first - 1 : number + AROUND], start=first):
            page.append(
                f"{at:5d} {'>' if at == number else ' '} {plain(line)}\n",
                "bold reverse" if at == number else "",
            )
        self.query_one("#problem-text", Static).update(page)
        above = len(problem.hint.splitlines()) + 1 if problem.hint else 0
        scroll = self.query_one("#problem-file", VerticalScroll)
        scroll.call_after_refresh(scroll.scroll_to, y=max(number - first + above - 2, 0), animate=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Move the focus to the file."""
        self.query_one("#problem-file", VerticalScroll).focus()

    def action_edit(self) -> None:
        """Return the file and line of the highlighted problem."""
        at = self.query_one("#problem-list", OptionList).highlighted
        if at is not None:
            file, line = self.problems[at].place
            self.dismiss((Path(file), line))

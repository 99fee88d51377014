"""Review of proposed changes to the skills: each with its diff and the rows behind it, accepted or rejected by a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from merginguriel.text.tables import plain, true_minus

from .base import Client, Dialog, key_of

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.skills.proposals import Proposal

COLOURS = {"+": "green", "-": "red", "@": "dim"}
KEYS = ("accept", "reject", "close")


class ProposalsScreen(Dialog[bool]):
    """Proposals above, diff and rows of the highlighted one below. Returns whether one was accepted."""

    DEFAULT_CSS = """
    ProposalsScreen #proposals { width: 95%; height: 90%; }
    ProposalsScreen #proposal-list { height: 40%; }
    ProposalsScreen #proposal { height: 1fr; border-top: solid $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "accept", "Accept", id="proposals.accept", tooltip="Write it into its skill"),
        Binding("x", "reject", "Reject", id="proposals.reject", tooltip="Leave it out until its rows change"),
        Binding("escape,q", "close", "Close", id="proposals.close"),
    ]

    def __init__(self, knowledge: Knowledge, found: Sequence[Proposal], load: Callable[..., None]) -> None:
        super().__init__()
        self.knowledge, self.found, self.load = knowledge, list(found), load
        self.accepted = False
        self.writing = False  # a proposal is being written, which takes seconds

    def compose(self) -> ComposeResult:
        """Yield the title, the list and the text of a proposal."""
        with Vertical(id="proposals"):
            yield Static("", id="proposal-head", markup=False)
            yield OptionList(id="proposal-list", markup=False)
            with VerticalScroll(id="proposal"):
                yield Static("", id="proposal-text", markup=False)

    def on_mount(self) -> None:
        """Fill the list."""
        self._list(0)

    def _list(self, at: int) -> None:
        listing = self.query_one("#proposal-list", OptionList)
        listing.clear_options()
        listing.add_options(Option(Text(plain(f"{one.skill}: {one.what}"))) for one in self.found)
        count = len(self.found)
        keys = "   ".join(f"{key_of(self, f'proposals.{name}')}: {name}" for name in KEYS)
        self.query_one("#proposal-head", Static).update(
            f"{count} proposal{'s' * (count != 1)}   enter: read   {keys}"
        )
        if self.found:
            listing.highlighted = min(at, count - 1)
        else:
            self.query_one("#proposal-text", Static).update("")

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the diff of a proposal, and its rows."""
        if event.option_index >= len(self.found):  # of the list before a rejection
            return
        one = self.found[event.option_index]
        page = Text()
        for line in one.diff.splitlines() or ["no change of claims.yaml: review the text of the skill"]:
            page.append(f"{plain(line)}\n", COLOURS.get(line[:1], ""))
        if one.evidence:
            page.append(f"\n{len(one.evidence)} rows\n", "bold")
        for ref in one.evidence:
            row = self.knowledge.by_row[ref]
            label = " ".join(
                str(part) for part in (row.target, row.mode, row.method, row.similarity, row.k) if part
            )
            gain = "" if row.difference_pp is None else f"  {row.difference_pp:+.2f} {row.points}"
            page.append(true_minus(plain(f"{ref}  {label}{gain}\n")))
        self.query_one("#proposal-text", Static).update(page)
        self.query_one("#proposal", VerticalScroll).scroll_home(animate=False)

    def on_option_list_option_selected(self) -> None:
        """Move the focus to the diff."""
        self.query_one("#proposal", VerticalScroll).focus()

    def action_accept(self) -> None:
        """Write the highlighted proposal into its skill, and list what is proposed then."""
        self._write(rejected=False)

    def action_reject(self) -> None:
        """Leave the highlighted proposal out until its rows change."""
        self._write(rejected=True)

    def _write(self, *, rejected: bool) -> None:
        at = self.query_one("#proposal-list", OptionList).highlighted
        if at is None or self.writing:
            return
        app, ident = self.app, self.found[at].id
        assert isinstance(app, Client)
        space, self.writing = app.space, True

        def work() -> tuple[str, Knowledge, list[Proposal]]:
            from merginguriel.knowledge.base import load
            from merginguriel.knowledge.skills.proposals import accept, proposals, reject

            [done] = (reject if rejected else accept)(space, [ident])
            knowledge = load(space)
            return done.skill, knowledge, proposals(knowledge)

        def then(result: tuple[str, Knowledge, list[Proposal]]) -> None:
            skill, self.knowledge, self.found = result
            self.writing = False
            if not rejected:
                self.accepted = True
                app.notify(plain(f"Accepted into {skill}: bring its text in line."), markup=False)
            self._list(at)

        def refused(error: Any) -> None:
            self.writing = False
            self._list(at)
            app.show_error(error)

        self.query_one("#proposal-head", Static).update("Writing …")
        self.load(work, then, group="proposals", otherwise=refused)

    def action_close(self) -> None:
        """Go back from the diff to the list, or close and return whether the skills have changed."""
        if self.focused is self.query_one("#proposal"):
            self.query_one("#proposal-list").focus()
        elif not self.writing:
            self.dismiss(self.accepted)

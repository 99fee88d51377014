"""Review of proposed changes to the skills: each with its diff and the rows behind it, accepted or rejected by a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from merginguriel.text.tables import plain, true_minus

from .base import Client, Dialog, key_of

if TYPE_CHECKING:
    from merginguriel.errors import MuError
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.skills.proposals import Decision, Proposal
    from merginguriel.workspace import Workspace

COLOURS = {"+": "green", "-": "red", "@": "dim"}
T = TypeVar("T")


class ProposalsScreen(Dialog[bool]):
    """Proposals above, diff and rows of the highlighted one below. Returns whether one was accepted."""

    DEFAULT_CSS = """
    ProposalsScreen #proposals { width: 95%; height: 90%; }
    ProposalsScreen #proposal-list { height: 40%; text-wrap: nowrap; text-overflow: ellipsis; }
    ProposalsScreen #proposal { height: 1fr; border-top: solid $panel; }
    ProposalsScreen #proposal:focus { border-top: solid $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "accept", "Accept", id="proposals.accept", tooltip="Write it into its skill"),
        Binding("x", "reject", "Reject", id="proposals.reject", tooltip="Leave it out until its rows change"),
        Binding("u", "undo", "Undo", id="proposals.undo", tooltip="Put the files back as they were before the last decision"),
        Binding("escape,q", "close", "Close", id="proposals.close"),
    ]  # fmt: skip

    def __init__(self, space: Workspace, load: Callable[..., None]) -> None:
        super().__init__()
        self.space, self.load = space, load
        self.knowledge: Knowledge | None = None
        self.found: list[Proposal] = []
        self.accepted = False
        self.decisions: list[Decision] = []  # those that can be undone
        self.writing = False  # a proposal is being written, which takes seconds

    def compose(self) -> ComposeResult:
        """Yield the title, the list and the text of a proposal."""
        with Vertical(id="proposals"):
            yield Static("Comparing the log with the skills …", id="proposal-head", markup=False)
            yield OptionList(id="proposal-list", markup=False)
            with VerticalScroll(id="proposal"):
                yield Static("", id="proposal-text", markup=False)

    def on_mount(self) -> None:
        """Fill the list; this takes seconds."""

        def failed(error: MuError) -> None:
            self.dismiss(self.accepted)
            self._show_error(error)

        self.load(self._read, self._list, group="proposals", otherwise=failed)

    def _read(self) -> tuple[Knowledge, list[Proposal]]:
        from merginguriel.knowledge.base import load
        from merginguriel.knowledge.skills.proposals import proposals

        knowledge = load(self.space)
        return knowledge, proposals(knowledge)

    def _list(self, read: tuple[Knowledge, list[Proposal]], at: int = 0, ident: str = "") -> None:
        """List what is proposed, with the cursor on `ident`, else at `at`."""
        if not self.is_attached:  # closed meanwhile
            return
        self.knowledge, self.found = read
        listing = self.query_one("#proposal-list", OptionList)
        listing.clear_options()
        listing.add_options(
            Option(Text.assemble((f"{one.skill}: ", "bold"), plain(one.what))) for one in self.found
        )
        names = [one.id for one in self.found]
        if names:
            listing.highlighted = names.index(ident) if ident in names else min(at, len(names) - 1)
        else:
            self.query_one("#proposal-text", Static).update("")
        self._head()

    def _head(self) -> None:
        count = len(self.found)
        possible = {"accept": count, "reject": count, "undo": self.decisions, "close": True}
        keys = [f"{key_of(self, f'proposals.{name}')}: {name}" for name, can in possible.items() if can]
        keys = [f"{count or 'no'} proposal{'s' * (count != 1)}", *(["enter: read"] if count else []), *keys]
        self.query_one("#proposal-head", Static).update("  ".join(keys))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the diff of a proposal, and its rows."""
        if self.knowledge is None or event.option_index >= len(self.found):  # of the list before a rejection
            return
        one = self.found[event.option_index]
        page = Text(f"{plain(one.what)}\n\n")
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
        self._decide(rejected=False)

    def action_reject(self) -> None:
        """Leave the highlighted proposal out until its rows change."""
        self._decide(rejected=True)

    def action_undo(self) -> None:
        """Put the files back as they were before the last decision, and list its proposal again."""
        from merginguriel.knowledge.skills.proposals import undo

        if not self.decisions:
            self.app.notify("Nothing was accepted or rejected here.", severity="warning", markup=False)
            return
        last = self.decisions[-1]

        def then(_: None) -> None:
            self.decisions.pop()
            self.app.notify("Undone: it is proposed again.", markup=False)

        self._write(lambda: undo(self.space, last), then, last.proposal.id)

    def _decide(self, *, rejected: bool) -> None:
        from merginguriel.knowledge.skills.proposals import decide

        at = self.query_one("#proposal-list", OptionList).highlighted
        if at is None or self.writing:
            return
        one = self.found[at]

        def then(decision: Decision) -> None:
            self.decisions.append(decision)
            if not rejected:
                self.accepted = True
                self.app.notify(plain(f"Accepted into {one.skill}: bring its text in line."), markup=False)

        self._write(lambda: decide(self.space, one, rejected=rejected), then)

    def _write(self, work: Callable[[], T], then: Callable[[T], None], ident: str = "") -> None:
        """Write in a thread, then list what is proposed, with the cursor on `ident` or where it was."""
        if self.writing:
            return
        at = self.query_one("#proposal-list", OptionList).highlighted or 0

        def written() -> tuple[T, tuple[Knowledge, list[Proposal]]]:
            return work(), self._read()

        def listed(result: tuple[T, tuple[Knowledge, list[Proposal]]]) -> None:
            self.writing = False
            then(result[0])
            self._list(result[1], at, ident)

        def refused(error: MuError) -> None:
            self.writing = False
            self._head()
            self._show_error(error)

        self.writing = True
        self.query_one("#proposal-head", Static).update("Writing …")
        self.load(written, listed, group="proposals", otherwise=refused)

    def _show_error(self, error: MuError) -> None:
        assert isinstance(self.app, Client)
        self.app.show_error(error)

    def action_close(self) -> None:
        """Go back from the diff to the list, or close and return whether the skills have changed."""
        if self.focused is self.query_one("#proposal"):
            self.query_one("#proposal-list").focus()
        elif not self.writing:
            self.dismiss(self.accepted)

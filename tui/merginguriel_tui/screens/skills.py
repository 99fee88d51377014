"""Skills screen: skills with grade and age; text, claims with their evidence, history and changes."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, OptionList, Static, TabbedContent, TabPane
from textual.widgets.option_list import Option

from merginguriel import workspace
from merginguriel.errors import MuError, UsageError
from merginguriel.text.tables import plain
from merginguriel_tui import editor
from merginguriel_tui.base import MuScreen, table_as
from merginguriel_tui.widgets.page import MarkdownPage

from . import links, skills_data
from .why import WhyTree, claim_rows

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge

PANES = ("text", "claims", "history", "diff")
FIRST = {"text": "page", "claims": "why", "history": "states", "diff": "changes"}
FOUND = 40  # search hits to show


class SkillsScreen(MuScreen):
    """The list of skills (or search hits) at the left, the open skill at the right."""

    NAME = "skills"
    LEAVE_TO = "skills"
    AUTO_FOCUS = "#skills"
    DEFAULT_CSS = """
    SkillsScreen #left { width: 34; border-right: solid $panel; }
    SkillsScreen.-wide #left { width: 40; }
    SkillsScreen #find { border: none; height: 1; padding: 0 1; background: $boost; }
    SkillsScreen #heads { height: 1; padding: 0; text-style: bold; background: $panel; }
    SkillsScreen #skills, SkillsScreen #contents, SkillsScreen #states { height: 1fr; border: none; background: $background; padding: 0; }
    SkillsScreen OptionList { scrollbar-size-vertical: 1; }
    SkillsScreen #contents { width: 28; border-left: solid $panel; display: none; }
    SkillsScreen.-wide #contents, SkillsScreen.-contents #contents { display: block; }
    SkillsScreen.-wide.-contents #contents { display: none; }
    SkillsScreen #panes { width: 1fr; }
    SkillsScreen TabPane { padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Find", id="skills.find", tooltip="Search skills and claims as you type", priority=True),
        Binding("t", "pane('text')", "Text", id="skills.text", tooltip="Show the text"),
        Binding("c", "pane('claims')", "Claims", id="skills.claims", tooltip="Show the claims, each down to its rows, runs and files"),
        Binding("i", "pane('history')", "History", id="skills.history", tooltip="Show the versions, from git"),
        Binding("d", "pane('diff')", "Diff", id="skills.diff", tooltip="Show changes in meaning since the last commit"),
        Binding("o", "contents", "Contents", id="skills.contents", tooltip="Show or hide the contents"),
        Binding("e", "edit", "Edit", id="skills.edit", tooltip="Edit the file in $EDITOR"),
        Binding("p", "proposals", "Proposals", id="skills.proposals", tooltip="Review changes that the log suggests"),
        Binding("backspace", "back", "Back", id="skills.back", show=False, tooltip="Open the previous skill or claim"),
        Binding("escape", "leave", "To the list", id="skills.leave", show=False, tooltip="Go to the list; from the list or the field, clear the search"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.knowledge: Knowledge | None = None
        self.grades: skills_data.Grades = {}
        self.names: dict[str, str] = {}
        self.name_, self.claim, self.since = "", "", ""
        self.before: list[str] = []
        self.listed: list[str] = []  # skill or claim of each line of the list
        self.query_text = ""

    def body(self) -> ComposeResult:
        """Yield the list and the panes."""
        with Horizontal():
            with Vertical(id="left"):
                yield Input(id="find", placeholder="search skills and claims", compact=True)
                yield Static(Text("   age skill"), id="heads")
                yield OptionList(id="skills", markup=False, compact=True)
            with TabbedContent(id="panes", initial="text"):
                with TabPane("text", id="text"), Horizontal():
                    yield MarkdownPage(id="page")
                    yield OptionList(id="contents", markup=False, compact=True)
                with TabPane("claims", id="claims"):
                    yield WhyTree(id="why")
                with TabPane("history", id="history"):
                    yield OptionList(id="states", markup=False, compact=True)
                with TabPane("diff", id="diff"):
                    yield MarkdownPage(id="changes")

    @property
    def pane(self) -> str:
        """Name of the open pane."""
        return self.query_one(TabbedContent).active or "text"

    # Content

    def show(self, *what: str) -> None:
        """Open a skill or claim; without one, the last or the first."""
        requested = what[0].partition("#")[0] if what else ""
        before = "" if requested or self.knowledge is not None else str(self.remembered().get("open", ""))
        space = self.mu.space

        def work() -> Any:
            knowledge, grades, names = skills_data.read(space)
            shown_here = names.get(before, "").partition(":")[0] == "skills"
            return knowledge, grades, names, requested or (before if shown_here else "")

        self.load(work, self._known)

    def _known(self, result: Any) -> None:
        self.knowledge, self.grades, self.names, requested = result
        self.mu.note_problems(self.knowledge)
        if not self.query_text:
            self._list_all()
        if not self.grades:
            return  # no skill can be read: the note says why
        try:
            if requested or self.name_ not in self.grades:
                self.open(requested or next(iter(self.grades)))
            else:
                self.open(self.claim or self.name_)
        except UsageError as error:
            self.mu.show_error(error)
            if not self.name_:
                self.open(next(iter(self.grades)))

    def _list_all(self) -> None:
        self.listed = list(self.grades)
        options = skills_data.skill_lines(self.grades, 33 if self.has_class("-narrow") else 39)
        at = self.listed.index(self.name_) if self.name_ in self.listed else None
        self.list_options("skills", options, at)

    def open(self, name: str, *, back: bool = True) -> None:
        """Open a skill or claim by name.

        Raises:
            UsageError: Unknown name.
        """
        if self.knowledge is None:
            return
        claims = {claim.id: claim.skill for claim in self.knowledge.claims}
        skill = self.knowledge.skill(claims.get(name, name))
        if back and self.name_ and name not in (self.claim, self.name_):
            self.before.append(self.claim or self.name_)
        changed = skill.name != self.name_
        self.name_, self.claim = skill.name, name if name in claims else ""
        self.remember(open=name)
        if changed:
            self.since = ""
        grade, says, fresh = self.grades[skill.name]
        others = {name: href for name, href in self.names.items() if name != skill.name}
        self.query_one("#page", MarkdownPage).read(links.skill_page(skill, grade, says, fresh), others)
        knowledge, chosen = self.knowledge, self.claim
        self.load(
            lambda: claim_rows(skill, knowledge),
            lambda rows: self.query_one(WhyTree).fill(rows, chosen),
            group="claims",
        )
        if self.claim:
            self.query_one(TabbedContent).active = "claims"
        elif self.pane in ("history", "diff"):
            self._fill_pane()
        if skill.name in self.listed:
            self.query_one("#skills", OptionList).highlighted = self.listed.index(skill.name)
        self.set_command()
        self.refresh_bindings()

    def set_command(self) -> None:
        """Set the command that prints the open pane."""
        if self.query_text and self.focused and self.focused.id in ("find", "skills"):
            words = ["skills", "search", self.query_text, "--limit", str(FOUND)]
        elif not self.name_:
            words = ["skills", "list"]
        elif self.pane == "claims":
            claim = self.query_one(WhyTree).claim if self.claim else ""
            words = ["why", claim] if claim else ["skills", "show", self.name_, "--claims"]
        else:
            words = ["skills", "show" if self.pane == "text" else self.pane, self.name_]
            words += [self.since] if self.since and self.pane == "diff" else []
        self.command = shlex.join(["mu", *words])

    # Panes

    def on_tabbed_content_tab_activated(self) -> None:
        """Fill the pane."""
        self._fill_pane()
        self.set_command()
        self.refresh_bindings()

    def _fill_pane(self) -> None:
        if self.pane == "history" and self.name_:
            space, name = self.mu.space, self.name_

            def work() -> Any:
                from merginguriel.knowledge.skills.history import history

                return history(space, name)

            self.load(work, self._history, group="history", otherwise=lambda e: self._history([], e))
        elif self.pane == "diff" and self.knowledge is not None and self.name_:
            changes = partial(skills_data.changes, self.knowledge, self.name_, self.since)
            self.load(changes, self._changes, group="diff", otherwise=lambda e: self._changes([], e))

    def _history(self, result: list[Any], error: MuError | None = None) -> None:
        self.commits = [state.commit for state in result]
        options = skills_data.version_lines(result, error)
        self.list_options("states", options, 0 if result and error is None else None)

    def _changes(self, result: list[Any], error: MuError | None = None) -> None:
        text = links.changes_page(self.name_, self.since, result, error)
        self.query_one("#changes", MarkdownPage).read(text, self.names)

    def on_markdown_page_redrawn(self, event: MarkdownPage.Redrawn) -> None:
        """List the headings of the text."""
        if event.page.id == "page":
            headings = event.page.drawn.headings
            lines = [Option(Text(f"{'  ' * (head.level - 1)}{head.text}")) for head in headings]
            self.list_options("contents", lines)

    def on_why_tree_wanted(self, event: WhyTree.Wanted) -> None:
        """Load the evidence of a claim."""
        knowledge, name = self.knowledge, event.claim

        def work() -> Any:
            from merginguriel.knowledge.claims.evidence_tree import why

            assert knowledge is not None
            return why(knowledge, name)

        self.load(work, lambda node: self.query_one(WhyTree).grow(event.node, node), group=f"why-{name}")

    def on_why_tree_chosen(self, event: WhyTree.Chosen) -> None:
        """Open the entry or row."""
        self.mu.action_go("log", event.ref)

    def on_tree_node_highlighted(self) -> None:
        """Note the claim under the cursor."""
        if self.pane == "claims" and self.focused is self.query_one(WhyTree):
            self.claim = self.query_one(WhyTree).claim
            self.set_command()

    def on_markdown_page_followed(self, event: MarkdownPage.Followed) -> None:
        """Follow a link to a skill here, any other on its screen."""

        def open_here(name: str) -> None:
            self.open(name.partition("#")[0])
            self.query_one(
                f"#{FIRST[self.pane]}"
            ).focus()  # else the focus, and with it the pane, stays at the text

        links.follow(self, event, self.names, open_here)

    # List and search

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search for what is typed."""
        self.query_text = event.value.strip()
        if not self.query_text:
            self.workers.cancel_group(self, "search")
            self._list_all()
            self.set_command()
            return
        space, text = self.mu.space, self.query_text

        def work() -> Any:
            from merginguriel.knowledge.search.query import search, terms

            return search(space, text, kinds=("skill", "claim"), limit=FOUND) if terms(text) else []

        self.load(work, self._show_hits, group="search")

    def _show_hits(self, hits: list[Any]) -> None:
        if not self.query_text:
            return
        self.listed = [hit.name for hit in hits]
        self.list_options("skills", skills_data.hit_lines(hits, self.grades), 0 if hits else None)
        self.set_command()

    def on_input_submitted(self) -> None:
        """Focus the list."""
        self.query_one("#skills").focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the selected skill, heading or version."""
        if event.option_list.id == "skills" and event.option_index < len(self.listed):
            self.open(self.listed[event.option_index])
            self.query_one(f"#{FIRST[self.pane]}").focus()
        elif event.option_list.id == "contents":
            page = self.query_one("#page", MarkdownPage)
            page.to_line(page.drawn.headings[event.option_index].line)
            page.focus()
        elif event.option_list.id == "states" and self.commits:
            self.since = self.commits[event.option_index]
            self.query_one(TabbedContent).active = "diff"
            self.query_one("#changes").focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Open the skill under the cursor."""
        if event.option_list.id == "skills":
            # After the next drawing: of several keys before it, the last one counts.
            self.call_after_refresh(self._open_highlighted)

    def _open_highlighted(self) -> None:
        """Open the skill under the cursor; search hits need Enter."""
        options = self.query_one("#skills", OptionList)
        at = options.highlighted
        if at is not None and at < len(self.listed) and options.has_focus and not self.query_text:
            name = self.listed[at]
            if name != self.name_:
                self.open(name, back=False)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Set the command for the part that has the focus."""
        if self.name_:
            self.set_command()

    # Keys

    def action_leave(self) -> None:
        """Focus the list; from the list or the field, clear the search."""
        if self.in_field() or self.query_one("#skills").has_focus:
            self.query_one("#find", Input).value = ""
        self.query_one("#skills").focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what needs a skill only where there is one."""
        if action in ("pane", "contents", "proposals"):
            return self.knowledge is None or bool(self.name_)  # a key that is pressed early counts
        return super().check_action(action, parameters)

    def refuses(self, action: str) -> bool:
        """Offer other panes than the one with the focus, and the file only if it can be edited."""
        if action == "edit":
            return self.mu.space.shipped or not self.name_ or not editor.command()
        return action == f"pane('{self.pane}')" and self.focused is self.query_one(f"#{FIRST[self.pane]}")

    def action_pane(self, name: str) -> None:
        """Open a pane and focus it."""
        self.query_one(TabbedContent).active = name
        self.query_one(f"#{FIRST[name]}").focus()

    def action_contents(self) -> None:
        """Show or hide the contents."""
        self.toggle_class("-contents")
        contents = self.query_one("#contents")
        if contents.display:
            self.query_one(TabbedContent).active = "text"
            contents.focus()
        elif self.focused is contents or self.focused is None:
            self.query_one("#page").focus()

    def action_back(self) -> None:
        """Open what was open before."""
        if self.before:
            self.open(self.before.pop(), back=False)

    def action_edit(self) -> None:
        """Open the file in $EDITOR, then read everything again."""
        if self.knowledge is None or not self.name_:
            return
        try:
            workspace.writable(self.mu.space)
            editor.edit(self.mu, self.knowledge.skill(self.name_).path)
        except MuError as error:
            self.mu.show_error(error)
            return
        self.reload()

    def action_proposals(self) -> None:
        """Review the changes that the log suggests, one by one."""
        from merginguriel_tui.proposals import ProposalsScreen

        screen = ProposalsScreen(self.mu.space, self.load)
        self.app.push_screen(screen, lambda changed: self.reload() if changed else None)

    def content(self, how: str) -> str:
        """Return the list or the claims as a table, or the skill's text as Markdown."""
        if self.knowledge is None:
            return ""
        if how == "markdown" or (how == "text" and self.pane == "text"):
            return plain(self.knowledge.skill(self.name_).body) if self.name_ else ""
        if self.pane == "claims" and self.name_:
            rows = claim_rows(self.knowledge.skill(self.name_), self.knowledge)
            return table_as(how, [["claim", "status", "reason", "grade", "text"], *map(list, rows)])
        table = [[name, *self.grades[name]] for name in self.grades]
        return table_as(how, [["skill", "grade", "claims", "freshness"], *table])

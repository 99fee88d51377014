"""Advise screen: choose a target, read the advice, vary the question, save or run the recipe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from merginguriel.errors import MuError, UsageError
from merginguriel.text.tables import plain
from merginguriel_tui import advice_view as view
from merginguriel_tui.base import MuScreen
from merginguriel_tui.registry import create
from merginguriel_tui.widgets.choice import ChoiceLine
from merginguriel_tui.widgets.whatif import MODES, WhatIf, numbers_of

from . import advise_data, recipe
from .advise_data import SHOWN, Answered, Find, Targets, command, target_options, valid_question

if TYPE_CHECKING:
    from merginguriel.decision.advice_types import Advice
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.loop.advice_cache import Adviser
    from merginguriel.text.advice import Row

WAIT = 0.15  # seconds after the last key in a field
BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-small"), (60, "-narrow"), (120, "-wide")]


class AdviseScreen(MuScreen):
    """Advice on one target."""

    NAME = "advise"
    LEAVE_TO = "targets"
    AUTO_FOCUS: ClassVar[str | None] = ""  # focus the advice once it is loaded, else the search field
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    DEFAULT_CSS = """
    AdviseScreen.-narrow #context { column-span: 2; }
    AdviseScreen.-wide #whatif { grid-size: 7 1; grid-columns: 16 3fr 21 6 16 11 5fr; height: 1; }
    AdviseScreen.-small #whatif { grid-size: 1 7; grid-columns: 1fr; height: 7; }
    AdviseScreen #picker { width: 24; border-right: solid $panel; }
    AdviseScreen.-wide #picker { width: 32; } AdviseScreen.-small #picker { width: 10; }
    AdviseScreen #asked, AdviseScreen #targets, AdviseScreen #reasons { height: 1fr; }
    AdviseScreen #targets, AdviseScreen #measured { text-wrap: nowrap; text-overflow: ellipsis; }
    AdviseScreen #measured { height: 1; color: $text-muted; } AdviseScreen #measured, AdviseScreen #answer { padding: 0 1; }
    AdviseScreen #card { height: auto; max-height: 60%; border-bottom: solid $panel; }
    AdviseScreen #card:focus { border-bottom: heavy $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Find", id="advise.find", tooltip="Find a target by tag or language", priority=True),
        Binding("w", "app.focus('mode')", "What if", id="advise.whatif", tooltip="Focus the what-if line: mode, method, similarity, k, min gain, budget, context"),
        Binding("m", "mode", "ExcTar or IncTar", id="advise.mode", show=False),
        Binding("x", "open", "Reset the question", id="advise.open", show=False, tooltip="Reset all controls of the what-if line"),
        Binding("s", "save", "Save", id="advise.save", tooltip="Write the recipe as a configuration for mu run"),
        Binding("r", "run", "Run", id="advise.run", tooltip="Show what this recipe would do, then launch it"),
        Binding("p", "pilot", "Pilot", id="advise.pilot", tooltip="Show arms, cost and detectable gain of a pilot, then launch it"),
        Binding("v", "evidence", "Evidence", id="advise.evidence", show=False, tooltip="Show the measured rows as a table, sorted by weight, gain or n"),
        Binding("l", "ledger", "Ledger", id="advise.ledger", show=False, tooltip="Show earlier advice, what came of it, and its reliability"),
        Binding("n", "next", "Copy the next command", id="advise.next", show=False, tooltip="Copy the command that comes next"),
        Binding("e", "explain", "Explain words", id="advise.explain", tooltip="Explain the terms of the advice"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.adviser: Adviser | None = None
        self.advice: Advice | None = None
        self.trained: frozenset[str] = frozenset()  # locales with a model in the context of the advice
        self.target: str | None = None
        self.about: str | None = None  # context of the request, until it is set
        self.pending_search = ""  # target submitted before the knowledge was loaded
        self.landed = 0  # entries added to the log when the knowledge was read
        self.searched = False  # the advice that loads is that of a submitted search: it gets the focus
        self.listed: list[str] = []
        self.reasons: list[Row] = []
        self.counts: dict[tuple[str, str], int] = {}  # (context, target) → merges measured
        self.asking = False  # the advice shown does not yet answer the question
        self.after: Callable[[], Any] | None = None  # a key pressed meanwhile
        self.open: dict[str, str] = {}  # values of the controls at the start

    def body(self) -> ComposeResult:
        """Lay out the what-if line, the target list and the answer."""
        yield WhatIf(id="whatif")
        with Horizontal(id="asked"):
            with Vertical(id="picker"):
                yield Find(placeholder="find a target (/)", id="find", compact=True)
                yield Targets(id="targets", markup=False, compact=True)
                yield Static("• merges measured", id="measured", markup=False)
            with Vertical(id="answer"):
                with VerticalScroll(id="card", can_focus=True):
                    yield Static("Loading …", id="verdict", markup=False)
                    yield view.Scale(id="scale")
                yield OptionList(id="reasons", markup=False, compact=True)

    @property
    def what_if(self) -> WhatIf:
        """The what-if line."""
        return self.query_one(WhatIf)

    @property
    def knowledge(self) -> Knowledge | None:
        """The knowledge that answers rest on, once it is read."""
        return self.adviser.knowledge if self.adviser else None

    # Advice

    def show(self, *what: str) -> None:
        """Show the advice on a target, and on a context if one is given."""
        if what or self.target is None:
            last = self.remembered().get("target")
            self.target = what[0] if what else last if isinstance(last, str) and last else None
        if len(what) > 1:
            self.about = what[1]
        if self.knowledge is None or self.landed != self.mu.landed:
            self.asking, self.landed = True, self.mu.landed
            read = partial(advise_data.read, self.mu.space)
            self.load(read, self._knowledge_read, otherwise=self._read_failed, group="ask")
        else:
            self._set_context()
            self._load_advice()

    def _set_context(self) -> None:
        """Set the context that the request named, if it exists, and leave the other controls as they are."""
        if self.about is not None:
            if self.about not in self.query_one("#context", ChoiceLine).options:
                self.notify(
                    f"Nothing is known in {self.about} yet: a run of it is not in the log.",
                    severity="warning",
                    markup=False,
                )
            self.what_if.put({**self.what_if.given(), "context": self.about})
            self.about = None

    def reload(self) -> None:
        """Read the knowledge again and ask again."""
        self.adviser = None
        self.show()

    def _knowledge_read(self, result: advise_data.Known) -> None:
        first = not self.open
        self.adviser, contexts, methods, self.counts = result
        self.mu.note_problems(self.adviser.knowledge)
        self.query_one("#method", ChoiceLine).options = ["", *methods]
        context = self.query_one("#context", ChoiceLine)
        context.options = contexts
        self.open = {
            "mode": MODES[0], "method": "", "similarity": "", "k": "", "budget": "", "context": contexts[0],
            "min_gain": f"{float(str(self.mu.space.settings['min_gain_pp'])):g}",
        }  # fmt: skip
        if first:
            self.what_if.put({**self.open, **valid_question(self.remembered().get("asked"))})
        elif context.value not in contexts:
            context.value = contexts[0]
        self._set_context()
        if self.pending_search:
            self._search_and_ask(self.pending_search)
            self.pending_search = ""
            return
        self._list()
        self._load_advice()

    def _read_failed(self, error: MuError) -> None:
        """Show the error on the screen too, if it is empty."""
        self.mu.show_error(error)
        self.asking, self.after = False, None
        if self.advice is None:
            cure = f"\n\nCorrect it, then press {self.key_of('reload')} to read again."
            text = Text.assemble(("No advice is possible: ", "bold"), plain(error.render()), cure)
            self.query_one("#verdict", Static).update(text)

    def _load_advice(self) -> None:
        """Compute the advice for the target and the controls, in a thread."""
        if self.adviser is None:
            return
        if self.target is None:
            self.asking, self.after = False, None
            self.query_one("#verdict", Static).update(Text("Choose a target: type its name or tag.", "bold"))
            self.query_one("#find").focus()
            return
        adviser, target = self.adviser, self.target
        options = self.what_if.options(self.open["context"])
        if options is None:
            return  # a number is not complete
        self.asking = True
        asked = partial(advise_data.answered, adviser, target, options, [place for _, place in self.counts])
        self.load(asked, self._show_advice, group="ask", otherwise=self._advice_failed)

    def _advice_failed(self, error: MuError) -> None:
        self.mu.show_error(error)
        self.asking, self.after, self.searched = False, None, False
        self.target = self.advice.target if self.advice else None
        if self.target is None:
            self._load_advice()

    def _show_advice(self, result: Answered) -> None:
        self.advice, self.trained = result.advice, result.trained
        self.target = self.advice.target
        values = self.what_if.given()
        changed = {name: value for name, value in values.items() if value != self.open[name]}
        self.command = command(self.target, changed)
        self.remember(target=self.target, asked=changed)
        self.query_one("#scale", view.Scale).tell(self.advice)
        self.reasons = view.rows(self.advice, result.note)
        self.list_options("reasons", map(Option, view.lines(self.reasons)))
        if self.focused is None or self.searched:
            self.set_focus(self.query_one("#reasons"))  # at once: the card names the keys that work now
        self.searched = False
        first = advise_data.first_action(result, self.key_of)
        self.query_one("#verdict", Static).update(view.card(self.advice, first))
        after, self.asking, self.after = self.after, False, None
        self.refresh_bindings()
        if after:
            after()

    # Targets

    def _list(self) -> None:
        """List targets that match the search field, those measured in this context first; in a thread."""
        text = self.query_one("#find", Input).value.strip()
        self.load(self._search_targets(text), self._show_targets, group="find")

    def _search_targets(self, text: str) -> Callable[[], list[tuple[str, str, int]]]:
        return partial(advise_data.targets, self.mu.space, self.what_if.given()["context"], text, self.counts)

    def _search_and_ask(self, text: str) -> None:
        """Look up the typed target and load its advice: the list may be older than the text, or not yet loaded."""
        self.asking = True
        if self.knowledge is None:
            self.pending_search = text
            return

        def then(result: list[tuple[str, str, int]]) -> None:
            self._show_targets(result)
            self.searched = True
            self.target = result[0][0] if result else text  # an unknown one raises an error with suggestions
            self._load_advice()

        self.load(self._search_targets(text), then, group="find")

    def _show_targets(self, result: list[tuple[str, str, int]]) -> None:
        self.listed = [tag for tag, _, _ in result[:SHOWN]]
        searched = bool(self.query_one("#find", Input).value.strip())
        at = self.listed.index(self.target) if self.target in self.listed else 0
        self.list_options("targets", target_options(result, searched=searched), at if self.listed else None)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Update the search or the advice after typing."""
        if self.knowledge is None:
            return
        if event.input.id == "find":
            self._list()
        else:
            self.set_timer(WAIT, lambda: self._load_advice() if event.input.value == event.value else None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Load the advice for the typed target or values."""
        if event.input.id == "find":
            if text := event.value.strip().lstrip("/"):  # the key that focuses the field may be typed in it
                self._search_and_ask(text)
        elif numbers_of(self.what_if.given()) is None:
            self.mu.show_error(UsageError(f"{event.value!r} is not a valid number for this field."))
        else:
            self._load_advice()
            self.action_leave()

    def on_choice_line_changed(self, event: ChoiceLine.Changed) -> None:
        """Load the advice for another choice."""
        if event.choice.id == "context":
            self._list()
        self._load_advice()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Load the advice for a target, or follow a row's link."""
        if event.option_list.id == "targets":
            self.target = self.listed[event.option_index]
            self._load_advice()
        else:
            self._follow(self.reasons[event.option_index])

    def _follow(self, row: Row) -> None:
        """Open the entry or skill of a row, choose its method, or copy its command."""
        if row.link is None:
            return
        where, value = row.link
        if where == "ask":
            self.query_one("#method", ChoiceLine).take(value)
        elif where == "copy":
            command = self.mu.anywhere(value)
            self.app.copy_to_clipboard(command)
            self.notify(f"copied: {command}", markup=False)
        else:
            self.mu.action_go(where, value)

    # Keys

    def refuses(self, action: str) -> bool:
        """Offer what can be done with the advice that is shown."""
        if action not in advise_data.ACTIONS:
            return super().refuses(action)
        return self.advice is None or advise_data.refuses(self.advice, action, self.trained)

    def action_mode(self) -> None:
        """Switch between ExcTar and IncTar."""
        self.query_one("#mode", ChoiceLine).action_step(1)

    def action_leave(self) -> None:
        """Leave a field; outside, clear the search."""
        if not self.in_field():
            self.query_one("#find", Input).value = ""
        super().action_leave()

    def action_open(self) -> None:
        """Reset all controls."""
        if self.open:
            self.what_if.put(self.open)
            self._list()
            self._load_advice()

    def action_next(self) -> None:
        """Copy the next command."""

        def copy(*_: object) -> None:
            if row := next((row for row in self.reasons if row.link and row.link.kind == "copy"), None):
                self._follow(row)
            else:
                self.notify("No command follows from this answer.", severity="warning")

        self._with_advice(copy)

    def action_explain(self) -> None:
        """Show the key to the terms."""
        from merginguriel_tui.dialogs import WordsScreen

        self.app.push_screen(WordsScreen())

    def action_pilot(self) -> None:
        """Show what a pilot of this question would do, and launch it from there."""

        def show(advice: Advice, knowledge: Knowledge) -> None:
            asked = self.what_if.options(self.open["context"], pilot=True)
            self.app.push_screen(create("pilot", knowledge, advice.target, asked))

        self._with_advice(show)

    def action_evidence(self) -> None:
        """Show the rows that the advice rests on as a table."""

        def show(advice: Advice, _: Knowledge) -> None:
            if not self.refuses("evidence"):
                self.app.push_screen(create("evidence", advice, self.command))
            else:
                self.notify(f"No merge for {advice.target} was measured.", severity="warning", markup=False)

        self._with_advice(show)

    def action_ledger(self) -> None:
        """Show the ledger of advice."""
        self.app.push_screen(create("ledger"))

    def action_save(self) -> None:
        """Write the recipe as a run's configuration."""
        self._with_advice(lambda advice, _: recipe.save(self, advice))

    def action_run(self) -> None:
        """Show what the run would do, and launch it when confirmed."""
        self._with_advice(lambda advice, knowledge: recipe.propose(self, advice, knowledge))

    def _with_advice(self, then: Callable[[Advice, Knowledge], Any]) -> None:
        """Call `then` with the advice, once it answers the question."""
        if self.asking:
            self.after = lambda: self._with_advice(then)
        elif self.advice is not None and self.knowledge is not None:
            then(self.advice, self.knowledge)
        elif self.target is None:
            self.notify("Choose a target first.", severity="warning", markup=False)

    def content(self, how: str) -> str:
        """Return the advice as text, Markdown or CSV."""
        return view.content(self.advice, how) if self.advice else ""

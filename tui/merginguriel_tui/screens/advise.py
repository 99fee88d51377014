"""Home screen: choose a target, read the advice, vary the question, save or run the recipe."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from merginguriel.errors import MuError, UsageError
from merginguriel.similarity import registry
from merginguriel_tui.advice_view import Scale
from merginguriel_tui.base import MuScreen
from merginguriel_tui.widgets.choice import Choice

from . import advise_data
from .advise_data import Find, command, kept, numbers_of, read, target_line, targets

if TYPE_CHECKING:
    from merginguriel.decision.advice_types import Advice
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.text.advice import Row

MODES = ("ExcTar", "IncTar")
FIELDS = ("k", "min_gain", "budget")
SHOWN = 200  # targets in the list; what is typed narrows it
WAIT = 0.15  # seconds after the last key in a field
# Columns from which a class of the stylesheet holds.
BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-small"), (60, "-narrow"), (120, "-wide")]


class AdviseScreen(MuScreen):
    """The home screen."""

    NAME = "advise"
    LEAVE_TO = "targets"
    AUTO_FOCUS: ClassVar[str | None] = ""  # to the answer when it is there, else to the search field
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Find", id="advise.find", tooltip="Find a target by tag or language"),
        Binding("w", "what_if", "What if", id="advise.whatif", tooltip="To the what-if line: mode, method, similarity, k, least gain, budget, context"),
        Binding("m", "mode", "ExcTar or IncTar", id="advise.mode", show=False),
        Binding("x", "open", "Ask openly again", id="advise.open", show=False, tooltip="Ask openly again: nothing fixed"),
        Binding("s", "save", "Save", id="advise.save", tooltip="Write the recipe as a configuration for mu run"),
        Binding("r", "run", "Run", id="advise.run", tooltip="Launch this recipe, after a look at what it would do"),
        Binding("p", "pilot", "Pilot (not yet)", id="advise.pilot", tooltip="The core does not offer it yet", show=False),
        Binding("n", "next", "Copy the next command", id="advise.next", show=False, tooltip="Copy the command that comes next"),
        Binding("e", "explain", "Explain words", id="advise.explain", tooltip="What the words of the answer mean"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.knowledge: Knowledge | None = None
        self.advice: Advice | None = None
        self.target: str | None = None
        self.about: str | None = None  # the context that the question came with, until it is set
        self.sought = ""  # typed and sent before there was anything to look it up in
        self.listed: list[str] = []
        self.reasons: list[Row] = []
        self.counts: dict[tuple[str, str], int] = {}  # (context, target) → merges measured
        self.open: dict[str, str] = {}  # what the controls say where nothing was chosen

    def body(self) -> ComposeResult:
        """Lay out the what-if line, the target list and the answer."""
        with Container(id="whatif"):
            yield Choice("mode", MODES, MODES[0], id="mode")
            yield Choice("method", ("",), "", id="method")
            similarities = ("", *registry.names(models=False, products=False))
            yield Choice("similarity", similarities, "", id="similarity")
            with Horizontal(classes="field"):
                yield Static("k ", classes="label")
                yield Input(placeholder="any", type="integer", id="k", compact=True)
            with Horizontal(classes="field"):
                yield Static("min gain, pp ", classes="label")
                yield Input(type="number", id="min_gain", compact=True)
            with Horizontal(classes="field"):
                yield Static("budget ", classes="label")
                yield Input(placeholder="any", type="integer", id="budget", compact=True)
            yield Choice("context", ("",), "", id="context")
        with Horizontal(id="asked"):
            with Vertical(id="picker"):
                yield Find(placeholder="find a target (/)", id="find", compact=True)
                yield OptionList(id="targets", markup=False, compact=True)
                yield Static("• merges measured", id="measured", markup=False)
            with Vertical(id="answer"):
                with VerticalScroll(id="card", can_focus=True):
                    yield Static("Reading what is known …", id="verdict", markup=False)
                    yield Scale(id="scale")
                yield OptionList(id="reasons", markup=False, compact=True)

    # Asking

    def show(self, *what: str) -> None:
        """Show the advice on a target, and on a context if one is given."""
        if what or self.target is None:
            last = self.remembered().get("target")
            self.target = what[0] if what else last if isinstance(last, str) and last else None
        if len(what) > 1:
            self.about = what[1]
        if self.knowledge is None:
            self.load(lambda: read(self.mu.space), self._took, otherwise=self._unread, group="ask")
        else:
            self._set_context()
            self._ask()

    def _set_context(self) -> None:
        """Ask about the context that the question came with, if there is such a one; nothing else of it changes."""
        if self.about is not None:
            self._put({"context": self.about, **{name: self.given()[name] for name in ("k", "min_gain")}})
            self.about = None

    def reload(self) -> None:
        """Read the knowledge again and ask again."""
        self.knowledge = None
        self.show()

    def _took(self, result: tuple[Any, list[str], list[str], dict[tuple[str, str], int]]) -> None:
        first = not self.open
        self.knowledge, contexts, methods, self.counts = result
        self.query_one("#method", Choice).options = ["", *methods]
        context = self.query_one("#context", Choice)
        context.options = contexts
        self.open = {
            "mode": MODES[0], "method": "", "similarity": "", "k": "", "budget": "", "context": contexts[0],
            "min_gain": f"{float(str(self.mu.space.settings['min_gain_pp'])):g}",
        }  # fmt: skip
        if first:
            self._put({**self.open, **kept(self.remembered().get("asked"))})
        elif context.value not in contexts:
            context.value = contexts[0]
        self._set_context()
        if self.sought:
            self._seek(self.sought)
            self.sought = ""
            return
        self._list()
        self._ask()

    def _unread(self, error: MuError) -> None:
        """Nothing could be read: said on the screen too, for there is nothing else to show."""
        self.mu.show_error(error)
        if self.advice is None:
            from merginguriel.text.tables import plain

            text = Text("Nothing can be answered: ", "bold")
            text.append(plain(error.render()), "not bold")
            text.append("\n\nMend it, then read again with ctrl+r.", "not bold")
            self.query_one("#verdict", Static).update(text)

    def given(self) -> dict[str, str]:
        """Return the values of the controls."""
        fields = {name: self.query_one(f"#{name}", Input).value.strip() for name in FIELDS}
        picked = {
            name: self.query_one(f"#{name}", Choice).value
            for name in ("mode", "method", "similarity", "context")
        }
        return {**picked, **fields}

    def _put(self, values: dict[str, Any]) -> None:
        """Set the controls; text that is none of theirs is passed over."""
        for name in ("mode", "method", "similarity", "context"):
            choice = self.query_one(f"#{name}", Choice)
            if values.get(name) in choice.options:
                choice.value = str(values[name])
        for name in FIELDS:
            field = self.query_one(f"#{name}", Input)
            with field.prevent(Input.Changed):
                field.value = str(values.get(name, ""))

    def _ask(self) -> None:
        """Ask what the controls say about the target, in a thread."""
        if self.knowledge is None:
            return
        if self.target is None:
            self.query_one("#verdict", Static).update(
                Text("Which language is to be served? Type its name or tag.", "bold")
            )
            self.query_one("#find").focus()
            return
        knowledge, given, target = self.knowledge, self.given(), self.target
        numbers = numbers_of(given)
        if numbers is None:
            return  # half a number
        k, least, budget = numbers

        def work() -> tuple[Advice, str | None]:
            from merginguriel import locales
            from merginguriel.loop import advise_request

            tag = locales.get(target, prefer=[place for _, place in self.counts]).tag
            about = advise_request.question(
                knowledge, tag, mode=given["mode"], method=given["method"] or None,
                similarity=given["similarity"] or None, k=k, min_gain=least, budget=budget,
                context=None if given["context"] == self.open["context"] else given["context"],
            )  # fmt: skip
            return advise_request.advise(knowledge, about), advise_request.unlogged_note(knowledge, about)

        self.load(work, self._answered, group="ask", otherwise=self._refused)

    def _refused(self, error: MuError) -> None:
        self.mu.show_error(error)
        self.target = self.advice.target if self.advice else None
        if self.target is None:
            self._ask()

    def _answered(self, result: tuple[Advice, str | None]) -> None:
        from merginguriel.text.advice import Row
        from merginguriel_tui import advice_view as view

        self.advice, note = result
        self.target = self.advice.target
        given = self.given()
        changed = {name: value for name, value in given.items() if value != self.open[name]}
        self.command = command(self.target, changed)
        self.remember(target=self.target, asked=changed)
        self.query_one("#verdict", Static).update(view.card(self.advice))
        self.query_one("#scale", Scale).tell(self.advice)
        self.reasons = view.rows(self.advice)
        if note:
            self.reasons.insert(0, Row("note", note))
        listed = self.query_one("#reasons", OptionList)
        groups = [""] + [row.label for row in self.reasons]
        rows = [view.line(row, first=row.label != groups[at]) for at, row in enumerate(self.reasons)]
        listed.clear_options()
        listed.add_options([Option(row) for row in rows])
        if self.focused is None:
            listed.focus()

    # Targets

    def _list(self) -> None:
        """Targets that fit what was typed, those that were measured in this context first; in a thread."""
        typed = self.query_one("#find", Input).value.strip()
        self.load(self._looking_for(typed), self._listed, group="find")

    def _looking_for(self, typed: str) -> Callable[[], list[tuple[str, str, int]]]:
        context, counts = self.given()["context"], self.counts
        here = {target: n for (about, target), n in counts.items() if about == context}
        return lambda: targets(typed, here, {target for _, target in counts})

    def _seek(self, typed: str) -> None:
        """Ask about the target that was typed, looked up again: typing may be ahead of the list, and of the reading."""
        if self.knowledge is None:
            self.sought = typed
        else:
            self.load(self._looking_for(typed), lambda result: self._found(typed, result), group="find")

    def _found(self, typed: str, result: list[tuple[str, str, int]]) -> None:
        self._listed(result)
        self.target = result[0][0] if result else typed  # what is no locale is refused with the nearest
        self._ask()

    def _listed(self, result: list[tuple[str, str, int]]) -> None:
        listed = self.query_one("#targets", OptionList)
        listed.clear_options()
        self.listed = [tag for tag, _, _ in result[:SHOWN]]
        listed.add_options([Option(target_line(*item)) for item in result[:SHOWN]])
        if len(result) > SHOWN:
            listed.add_option(Option(Text(f"… {len(result) - SHOWN} more: type on", "dim"), disabled=True))
        if self.listed:
            listed.highlighted = self.listed.index(self.target) if self.target in self.listed else 0

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search, or ask again, after typing."""
        if self.knowledge is None:
            return
        if event.input.id == "find":
            self._list()
        else:
            self.set_timer(WAIT, lambda: self._ask() if event.input.value == event.value else None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Ask about the typed target or values."""
        if event.input.id == "find":
            # Whoever is in the field already types the key that leads to it too.
            if typed := event.value.strip().lstrip("/"):
                self._seek(typed)
        elif numbers_of(self.given()) is None:
            self.mu.show_error(UsageError(f"{event.value!r} is not a number that can be asked with."))
        else:
            self._ask()
            self.action_leave()

    def on_choice_changed(self, event: Choice.Changed) -> None:
        """Ask again with another choice."""
        if event.choice.id == "context":
            self._list()
        self._ask()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Ask about a target, or follow a row's link."""
        if event.option_list.id == "targets":
            self.target = self.listed[event.option_index]
            self._ask()
        else:
            self._follow(self.reasons[event.option_index])

    def _follow(self, row: Row) -> None:
        """Open the entry or skill of a row, ask about its method, or copy its command."""
        if row.link is None:
            return
        where, what = row.link
        if where == "ask":
            self.query_one("#method", Choice).take(what)
        elif where == "copy":
            command = self.mu.anywhere(what)
            self.app.copy_to_clipboard(command)
            self.notify(f"copied: {command}", markup=False)
        else:
            self.mu.action_go(where, what)

    # Keys

    def action_to_targets(self) -> None:
        """Move to the target list."""
        self.query_one("#targets").focus()

    def action_find(self) -> None:
        """Move to the search field."""
        self.query_one("#find").focus()

    def action_what_if(self) -> None:
        """Move to the what-if line."""
        self.query_one("#mode").focus()

    def action_mode(self) -> None:
        """Switch between ExcTar and IncTar."""
        self.query_one("#mode", Choice).action_step(1)

    def action_open(self) -> None:
        """Ask again with nothing fixed."""
        if self.open:
            self._put(self.open)
            self._list()
            self._ask()

    def action_next(self) -> None:
        """Copy the next command."""
        for row in self.reasons:
            if row.link and row.link.kind == "copy":
                self._follow(row)
                return
        self.notify("No command follows from this answer.", severity="warning")

    def action_explain(self) -> None:
        """Show the key to the terms."""
        from merginguriel_tui.dialogs import WordsScreen

        self.app.push_screen(WordsScreen())

    def action_pilot(self) -> None:
        """Report that a pilot cannot be run yet."""
        self.notify(
            "The core does not offer to run a pilot yet. What one would take stands under `pilot`.",
            severity="warning",
            markup=False,
        )

    def action_save(self) -> None:
        """Write the recipe as a run's configuration."""
        if self.advice is not None:
            space, advice = self.mu.space, self.advice
            self.load(lambda: advise_data.save(space, advice), self._saved, group="recipe")

    def _saved(self, path: str) -> None:
        self.notify(f"The recipe is in {path}.\nmu run {shlex.quote(path)}", timeout=8, markup=False)

    def action_run(self) -> None:
        """Show what the run would do, and launch it when confirmed."""
        if self.advice is not None:
            space, advice = self.mu.space, self.advice
            self.load(lambda: advise_data.proposal(space, advice), self._proposed, group="recipe")

    def _proposed(self, result: advise_data.Proposal) -> None:
        from merginguriel_tui.dialogs import Confirm

        def launch(yes: bool | None) -> None:
            if yes:
                self.load(lambda: advise_data.launch(self.mu.space, result), self._launched, group="recipe")

        self.app.push_screen(Confirm(f"Run {result.name}?", result.text, "Run"), launch)

    def _launched(self, result: tuple[str, int | None]) -> None:
        name, pid = result
        said = f"at work in process {pid}" if pid is not None else "has finished before; it is shown"
        self.notify(f"{name}: {said}.", markup=False)
        self.mu.follow_run(name)
        self.mu.action_go("runs", name)

    def copied(self, how: str) -> str:
        """Return the answer as it is copied: text, command, markdown or csv."""
        if how == "command":
            return self.command
        if self.advice is None:
            return ""
        from merginguriel_tui import advice_view as view

        if how == "markdown":
            return view.markdown(self.advice)
        if how == "csv":
            return view.table(self.advice)
        from merginguriel.text.advice import render
        from merginguriel.text.tables import plain

        return plain(render(self.advice, every=True))

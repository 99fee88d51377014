"""Editor of a log entry: checked while typing, saved as a draft, and shown before it is added."""

from __future__ import annotations

import contextlib
import difflib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Static, TextArea

from merginguriel.errors import USER_ERRORS, MuError, as_mu_error
from merginguriel.text.numbers import count
from merginguriel.text.tables import plain
from merginguriel_tui import session
from merginguriel_tui.base import MuScreen
from merginguriel_tui.widgets.page import MarkdownPage

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.parse.entries import Entry

WAIT = 0.4  # seconds after a key before the text is checked
SAVE_EVERY = 2.0  # seconds between two saves of the draft


class Area(TextArea):
    """A text area that handles keys in the order in which they are pressed.

    Textual runs a binding of the widget only after the key has gone to the application and back; letters typed meanwhile
    would be inserted before the cursor moves.
    """

    async def _on_key(self, event: events.Key) -> None:
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if not event.is_printable:
                event.stop()
                event.prevent_default()
                await self.run_action(binding.action)
                return


class ComposeScreen(MuScreen):
    """The text of an entry that is not yet in the log.

    Args:
        text: Initial text: a form, a draft, or what a run fills in.
        draft: File of the draft under experiment_log/.draft/.
        done: Called with the id of the new entry, or None if there is none.
        filled: The program wrote the text; unchanged, it is not saved.
    """

    NAME = "log"
    LEAVE_TO = "preview"
    AUTO_FOCUS = "#text"
    DEFAULT_CSS = """
    ComposeScreen #text { width: 1fr; border: none; padding: 0; }
    ComposeScreen #preview { display: none; width: 1fr; border-left: solid $panel; }
    ComposeScreen.-wide #preview, ComposeScreen.-preview #preview { display: block; }
    ComposeScreen.-narrow.-preview #text { display: none; }
    ComposeScreen #writing { height: 1fr; }
    ComposeScreen #checked { height: auto; max-height: 7; padding: 0 1; background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2,ctrl+s", "land", "Add to the log", id="compose.land", priority=True, tooltip="Show the entry, then add it to the log"),
        Binding("f3", "preview", "Preview", id="compose.preview", tooltip="Go to the preview, or back to the text"),
        Binding("f4", "anyway", "Anyway", id="compose.anyway", tooltip="Allow a plan that repeats an earlier attempt or has no expectation"),
        Binding("f8", "discard", "Discard", id="compose.discard", tooltip="Discard the draft"),
        Binding("escape", "close", "Close", id="compose.close", tooltip="Close; changed text is kept as a draft"),
    ]  # fmt: skip

    def __init__(
        self, text: str, draft: Path, done: Callable[[str | None], Any], *, filled: bool = True
    ) -> None:
        super().__init__()
        self.given, self.draft, self.done = text, draft, done
        self.filled, self.saved_text, self.anyway = filled, "" if filled else text, False
        # The lock allows one writer; once `over` is set under it, nothing is written.
        self.writes, self.over = threading.Lock(), False
        self.ending = False  # being added, discarded or saved for the last time
        self.holding = True
        self.outcome: str | None = None  # id of the new entry
        self.pause: Timer | None = None
        # No `language`: its parser can crash on arbitrary text.
        self.area = Area(text, id="text", soft_wrap=True, show_line_numbers=True, compact=True)
        self.knowledge: Knowledge | None = None
        self.entry: Entry | None = None  # the parsed entry, if the text is valid

    def body(self) -> ComposeResult:
        """Yield the text, the preview and the result of the check."""
        with Horizontal(id="writing"):
            yield self.area
            yield MarkdownPage(id="preview")
        yield Static(id="checked")

    @property
    def text(self) -> str:
        """The current text."""
        return self.area.text

    def on_mount(self) -> None:
        """Start saving the draft at intervals."""
        # Textual calls that of the class above by itself.
        self.set_interval(SAVE_EVERY, self.keep)

    def open_what(self) -> None:
        """Check the text; a request for the log waits for this screen to close."""
        self.command = f"mu log add --draft {self.draft.stem} --edit"
        self.check()

    def reload(self) -> None:
        """Load the log again and check."""
        self.knowledge = None
        self.check()

    # Check

    def on_text_area_changed(self) -> None:
        """Check the text once typing pauses."""
        self.entry = None
        self.refresh_bindings()
        if self.pause:
            self.pause.stop()
        self.pause = self.set_timer(WAIT, self.check)

    def check(self) -> None:
        """Check in a thread whether the entry can be added; results for an older text are dropped."""
        space, text, anyway, known = self.mu.space, self.text, self.anyway, self.knowledge

        def work() -> Any:
            from merginguriel.knowledge.base import load_readable
            from merginguriel.knowledge.log import acceptance, append, commits
            from merginguriel.loop.advise_request import ordered_pilot
            from merginguriel.merging.registry import parameters

            knowledge = known or load_readable(space)
            try:
                entry = append.check_text(space.log, commits.resolved(text, space.root), self.draft)
                acceptance.check(
                    space,
                    entry,
                    anyway=anyway,
                    knowledge=knowledge,
                    program=parameters(),
                    ordered=ordered_pilot,
                )
            except MuError as error:
                return knowledge, error
            return knowledge, entry

        self.load(work, lambda result: self._checked(text, *result), group="check")

    def _checked(self, text: str, knowledge: Knowledge, result: Any) -> None:
        self.knowledge = knowledge
        if text != self.text:
            return
        if isinstance(result, MuError):
            self.entry = None
            where = (result.where or "").rpartition(":")[2]
            label = Text(f"✗ line {where}: " if where.isdigit() else "✗ ", "bold")
            label.append(plain(result.what), "not bold")
            label.append(f"\n{plain(result.hint)}" if result.hint else "", "dim not bold")
        else:
            self.entry = result
            label = Text("✓ ", "bold")
            label.append(f"valid: {result.id}, {count(len(result.rows), 'row')}", "not bold")
        self._draw()
        label.append("  (repetition allowed)" if self.anyway else "", "dim not bold")
        self.query_one("#checked", Static).update(label)
        self.refresh_bindings()

    def refuses(self, action: str) -> bool:
        """Add only what is valid."""
        return action == "land" and self.entry is None

    def _draw(self) -> None:
        from .links import entry_page, names

        entry, knowledge = self.entry, self.knowledge
        page = self.query_one("#preview", MarkdownPage)
        if entry is not None and knowledge is not None and page.display:
            self.load(
                lambda: (entry_page(entry, knowledge), names(knowledge)),
                lambda result: page.read(*result),
                group="preview",
            )
        elif not page.text:
            page.read("*The preview appears here once the text is valid.*", {})

    # Save

    def keep(self) -> None:
        """Save the draft in a thread, if it has changed."""
        text = self.text
        if not self.over and not self.ending and text != self.saved_text and text != self.given:
            self.load(lambda: self._save(text), self._saved, group="keep", otherwise=self.show_error_once)

    def _save(self, text: str, *, last: bool = False) -> None:
        """Save the draft; `last`: nothing may be saved after it."""
        from merginguriel.knowledge.log.append import keep_draft

        with self.writes:
            if not self.over:
                keep_draft(self.mu.space.log, text, self.draft)
                self.saved_text, self.over = text, last

    def _saved(self, _: None) -> None:
        self.last_error = ""

    def on_unmount(self) -> None:
        """Save unsaved text, in the session folder if the workspace is not writable."""
        text = self.text
        if self.over or text in (self.saved_text, self.given):
            return
        try:
            self._save(text)
        except USER_ERRORS:
            from merginguriel.files import write_text

            path = session.path(self.mu.space).with_name(f"draft-{self.draft.stem}.md")
            with contextlib.suppress(*USER_ERRORS):  # no place to save it
                write_text(path, text)
                self.mu.drafts_outside.append(path)

    # Close

    def _end(self, work: Callable[[], str | None], *, keeps: bool = True) -> None:
        """Run in a thread what ends the screen, then close it. On an error the screen stays.

        Args:
            work: Returns the id of the new entry, or None.
            keeps: Save text that was typed meanwhile: no file has it.
        """
        self.ending = self.area.read_only = True
        text = self.text

        def then(entry: str | None) -> None:
            if entry:
                self.notify(f"added to the log: {entry}", markup=False)
            if keeps and self.text != text:
                self._save_later(self.text, entry)
            else:
                self._leave(entry)

        self.load(work, then, group="end", otherwise=self._refused)

    def _save_later(self, text: str, entry: str | None) -> None:
        from merginguriel.knowledge.log.append import keep_draft

        log, draft = self.mu.space.log, self.draft

        def then(_: Path) -> None:
            self.notify(f"Later changes are saved as draft {draft.stem}.", severity="warning", markup=False)  # fmt: skip
            self._leave(entry)

        def refused(error: MuError) -> None:
            self.over = False
            self._refused(error)

        self.load(lambda: keep_draft(log, text, draft), then, group="end", otherwise=refused)

    def _refused(self, error: MuError) -> None:
        self.ending = self.area.read_only = False
        self.mu.show_error(error)
        self.check()

    def _leave(self, entry: str | None) -> None:
        """Close the screen, or wait until it is on top again."""
        self.holding, self.outcome = False, entry
        if self.app.screen is self:
            self.app.pop_screen()
            self.done(entry)

    def on_screen_resume(self) -> None:
        """Close the screen if that is due."""
        if not self.holding and self.app.screen is self:
            self._leave(self.outcome)

    def on_key(self, event: events.Key) -> None:
        """Ignore letters while the screen closes: `q` would quit the program."""
        if self.ending and event.is_printable and self.focused in (self.area, None):
            event.stop()

    # Keys

    def action_land(self) -> None:
        """Show the text, or its difference from the initial text, and add the entry on yes."""
        if self.ending:
            return
        if self.entry is None:
            self.check()
            self.notify("The entry cannot be added yet: see the error below the text.", severity="warning", markup=False)  # fmt: skip
            return
        text = self.text
        lines = list(
            difflib.unified_diff(
                self.given.splitlines(), text.splitlines(), "initial text", "entry", lineterm="", n=1
            )
        )
        content = "\n".join(lines) if self.filled and lines else text
        self.confirm(f"Add {self.entry.id} to the log?", plain(content), "Add", lambda: self._land(text))

    def _land(self, text: str) -> None:
        if self.ending:
            return
        space, anyway, draft = self.mu.space, self.anyway, self.draft

        def work() -> str:
            from merginguriel.knowledge.log import acceptance, drafts
            from merginguriel.loop.advise_request import ordered_pilot
            from merginguriel.merging.registry import parameters

            folder = drafts.folder(space.log)
            with contextlib.suppress(*USER_ERRORS):  # add the entry even if its draft cannot be saved
                self._save(text)
            with self.writes:
                entry = acceptance.accept(
                    space,
                    text,
                    beside=folder,
                    draft=draft,
                    anyway=anyway,
                    program=parameters(),
                    ordered=ordered_pilot,
                )
                # A later save would bring back the draft of an entry that was added.
                self.over = True
            try:
                draft.unlink(missing_ok=True)
            except OSError as error:
                if known := as_mu_error(error):
                    self.call_later(self.mu.show_error, known)
            return entry.id

        self._end(work)

    def action_preview(self) -> None:
        """Go to the preview, or back to the text."""
        self.toggle_class("-preview")
        self.call_after_refresh(self._draw)
        visible = self.has_class("-preview")
        self.query_one("#preview" if visible else "#text").focus()

    def action_anyway(self) -> None:
        """Allow or forbid a plan that repeats an earlier attempt or has no expectation."""
        self.anyway = not self.anyway
        self.check()

    def action_discard(self) -> None:
        """Discard the draft, after a question."""
        if not self.ending:
            self.confirm("Discard this draft?", self.draft.stem, "Discard", self._discard)

    def _discard(self) -> None:
        if not self.ending:
            self._end(self._remove_draft, keeps=False)

    def _remove_draft(self) -> None:
        """Remove the draft and its row files; in a thread."""
        from merginguriel.knowledge.log import append, drafts

        log = self.mu.space.log
        with self.writes:
            if self.draft.exists():
                append.keep_draft(log, self.given, self.draft)  # files that it names are removed with it
                drafts.discard(log, self.draft)
            self.over = True

    def action_close(self) -> None:
        """Go back to the log. Changed text is saved as a draft; an unchanged form is not."""
        text = self.text
        if self.ending:
            return
        if self.filled and text == self.given:
            self._end(self._remove_draft)
        elif text != self.saved_text:
            self._end(lambda: self._save(text, last=True))
        else:
            self._leave(None)

    def content(self, how: str) -> str:
        """Return the text."""
        return "" if how == "csv" else plain(self.text)

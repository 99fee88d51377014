"""How is an entry written down? As text that is checked while one types, kept as a draft, and shown before it lands."""

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

from merginguriel.cli.common import plain
from merginguriel.errors import TOLD, MuError, told
from merginguriel_tui import session
from merginguriel_tui.base import MuScreen
from merginguriel_tui.confirm import Confirm
from merginguriel_tui.widgets.page import Page

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.parse.entries import Entry

WAIT = 0.4  # seconds after a key before the text is checked
KEPT = 2.0  # seconds between two times that the draft is saved
BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (120, "-wide")]


class Area(TextArea):
    """A text in which keys take effect in the order in which they are pressed.

    Textual runs a binding of the widget only after the key has risen to the application and come back; letters that were
    typed meanwhile would go where the cursor was before.
    """

    async def _on_key(self, event: events.Key) -> None:
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if not event.is_printable:
                event.stop()
                event.prevent_default()
                await self.run_action(binding.action)
                return


class ComposeScreen(MuScreen):
    """The text of an entry before it is in the log.

    text    what there is already: a form, what a run fills in, a draft
    draft   the file under experiment_log/.draft/ where it is kept
    filled  the program wrote it: left as it is, nothing is kept of it
    done    called with the entry's id when it has landed, with None when it was left
    """

    NAME = "log"
    LEAVE_TO = "preview"
    AUTO_FOCUS = "#text"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    DEFAULT_CSS = """
    ComposeScreen #text { width: 1fr; border: none; padding: 0; }
    ComposeScreen #preview { display: none; width: 1fr; border-left: solid $panel; }
    ComposeScreen.-wide #preview, ComposeScreen.-preview #preview { display: block; }
    ComposeScreen.-narrow.-preview #text { display: none; }
    ComposeScreen #writing { height: 1fr; }
    ComposeScreen #checked { height: auto; max-height: 7; padding: 0 1; background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2,ctrl+s", "land", "Add to the log", id="compose.land", priority=True, tooltip="Add to the log, after a look at what is written"),
        Binding("f3", "preview", "Preview", id="compose.preview", tooltip="See it as it will be read"),
        Binding("f4", "anyway", "Anyway", id="compose.anyway", tooltip="A plan may repeat what was tried, or state no expectation"),
        Binding("f8", "discard", "Discard", id="compose.discard", tooltip="Discard the draft"),
        Binding("escape", "close", "Leave, keep the draft", id="compose.close"),
    ]  # fmt: skip

    def __init__(
        self, text: str, draft: Path, done: Callable[[str | None], Any], *, filled: bool = True
    ) -> None:
        super().__init__()
        self.given, self.draft, self.done = text, draft, done
        self.filled, self.kept, self.anyway = filled, "" if filled else text, False
        # One at a time writes the draft or removes it; after `over`, which is set under the lock, nobody does.
        self.writes, self.over = threading.Lock(), False
        self.ending = False  # it is being landed, discarded or kept for the last time
        self.holding = True
        self.outcome: str | None = None  # the id of what landed
        self.pause: Timer | None = None
        self.unkept = ""  # what was told of a draft that could not be kept
        # No `language`: its parser crashes, and the text is data.
        self.area = Area(text, id="text", soft_wrap=True, show_line_numbers=True, compact=True)
        self.knowledge: Knowledge | None = None
        self.entry: Entry | None = None  # what the text would be in the log, as far as it was checked

    def body(self) -> ComposeResult:
        with Horizontal(id="writing"):
            yield self.area
            yield Page(id="preview")
        yield Static(id="checked")

    @property
    def text(self) -> str:
        return self.area.text

    def on_mount(self) -> None:
        # Textual calls that of the class above by itself.
        self.set_interval(KEPT, self.keep)

    def open_what(self) -> None:
        """Begin; what is asked for meanwhile waits for the log behind this screen."""
        self.command = f"mu log add --draft {self.draft.stem} --edit"
        self.check()

    def reload(self) -> None:
        self.knowledge = None
        self.check()

    # checking

    def on_text_area_changed(self) -> None:
        self.entry = None
        if self.pause:
            self.pause.stop()
        self.pause = self.set_timer(WAIT, self.check)

    def check(self) -> None:
        """Would this land? In a thread; what was found for an older text is dropped."""
        space, text, anyway, known = self.mu.space, self.text, self.anyway, self.knowledge

        def work() -> Any:
            from merginguriel.knowledge.base import load_readable
            from merginguriel.knowledge.log import acceptance, append, commits
            from merginguriel.merging.registry import parameters

            knowledge = known or load_readable(space)
            try:
                entry = append.check_text(space.log, commits.resolved(text, space.root), self.draft)
                acceptance.check(space, entry, anyway=anyway, knowledge=knowledge, program=parameters())
            except MuError as error:
                return knowledge, error
            return knowledge, entry

        self.load(work, lambda found: self._checked(text, *found), group="check")

    def _checked(self, text: str, knowledge: Knowledge, found: Any) -> None:
        self.knowledge = knowledge
        if text != self.text:
            return
        if isinstance(found, MuError):
            self.entry = None
            where = (found.where or "").rpartition(":")[2]
            said = Text(f"✗ line {where}: " if where.isdigit() else "✗ ", "bold")
            said.append(plain(found.what), "not bold")
            said.append(f"\n{plain(found.mend)}" if found.mend else "", "dim not bold")
        else:
            self.entry = found
            count = len(found.rows)
            said = Text("✓ ", "bold").append(
                f"would land as {found.id}, {count} row{'s' * (count != 1)}", "not bold"
            )
            said.append("  anyway" if self.anyway else "", "dim")
            self._draw()
        self.query_one("#checked", Static).update(said)

    def _draw(self) -> None:
        from .links import entry_page, names

        entry, knowledge = self.entry, self.knowledge
        if entry is not None and knowledge is not None and self.query_one("#preview").display:
            self.load(
                lambda: (entry_page(entry, knowledge), names(knowledge)),
                lambda found: self.query_one("#preview", Page).read(*found),
                group="preview",
            )

    # keeping

    def keep(self) -> None:
        """Save the draft, if there is something new in it; in a thread."""
        text = self.text
        if not self.over and not self.ending and text != self.kept and text != self.given:
            self.load(lambda: self._save(text), self._kept, group="keep", otherwise=self._not_kept)

    def _save(self, text: str, *, last: bool = False) -> None:
        """Raises what the disk does; `last`: no older text may be saved after this one."""
        from merginguriel.knowledge.log.append import keep_draft

        with self.writes:
            if not self.over:
                keep_draft(self.mu.space.log, text, self.draft)
                self.kept, self.over = text, last

    def _kept(self, _: None) -> None:
        self.unkept = ""

    def _not_kept(self, error: MuError) -> None:
        """Told once, though it is tried every other second."""
        if error.render() != self.unkept:
            self.unkept = error.render()
            self.mu.tell(error)

    def on_unmount(self) -> None:
        """Whatever ends the screen: what was written is kept, beside what is kept of sessions if it must be."""
        text = self.text
        if self.over or text in (self.kept, self.given):
            return
        try:
            self._save(text)
        except TOLD:
            from merginguriel.files import write_text

            place = session.path(self.mu.space).with_name(f"draft-{self.draft.stem}.md")
            with contextlib.suppress(*TOLD):  # there is nowhere to keep it
                write_text(place, text)
                self.mu.elsewhere_kept.append(place)

    # leaving

    def _end(self, work: Callable[[], str | None], *, keeps: bool = True) -> None:
        """Do in a thread what ends the screen, then leave; what cannot be done is told, and the screen stays.

        work    gives the id of the entry that landed, or None
        keeps   what came into the text meanwhile is kept, for it is in no file yet
        """
        self.ending = self.area.read_only = True
        text = self.text

        def then(entry: str | None) -> None:
            if entry:
                self.notify(f"{entry} is in the log.", markup=False)
            if keeps and self.text != text:
                self._keep_since(self.text, entry)
            else:
                self._leave(entry)

        self.load(work, then, group="end", otherwise=self._refused)

    def _keep_since(self, text: str, entry: str | None) -> None:
        from merginguriel.knowledge.log.append import keep_draft

        log, draft = self.mu.space.log, self.draft

        def then(_: Path) -> None:
            self.notify(f"What was changed meanwhile is kept as draft {draft.stem}.", severity="warning", markup=False)  # fmt: skip
            self._leave(entry)

        def refused(error: MuError) -> None:
            self.over = False
            self._refused(error)

        self.load(lambda: keep_draft(log, text, draft), then, group="end", otherwise=refused)

    def _refused(self, error: MuError) -> None:
        self.ending = self.area.read_only = False
        self.mu.tell(error)
        self.check()

    def _leave(self, entry: str | None) -> None:
        """Go, or where another screen is shown now or lies above: as soon as this one is seen again."""
        self.holding, self.outcome = False, entry
        if self.app.screen is self:
            self.app.pop_screen()
            self.done(entry)

    def on_screen_resume(self) -> None:
        if not self.holding and self.app.screen is self:
            self._leave(self.outcome)

    def on_key(self, event: events.Key) -> None:
        """What is still typed while it ends is no command: `q` would leave the program."""
        if self.ending and event.is_printable and self.focused in (self.area, None):
            event.stop()

    # what a person does

    def action_land(self) -> None:
        """Show what is going to be written, and against what was given; on yes the core writes it."""
        if self.ending:
            return
        if self.entry is None:
            self.check()
            self.notify("It cannot land yet; what is wrong stands below the text.", severity="warning", markup=False)  # fmt: skip
            return
        text = self.text
        lines = list(
            difflib.unified_diff(
                self.given.splitlines(), text.splitlines(), "as given", "as written", lineterm="", n=1
            )
        )
        what = "\n".join(lines) if self.filled and lines else text
        if self.filled and not lines:
            what = f"(as it was filled in)\n\n{text}"
        self.app.push_screen(
            Confirm(f"Add {self.entry.id} to the log?", plain(what), "Add"), lambda yes: self._land(text, yes)
        )

    def _land(self, text: str, yes: bool | None) -> None:
        if not yes or self.ending:
            return
        space, anyway, draft = self.mu.space, self.anyway, self.draft

        def work() -> str:
            from merginguriel.knowledge.log import acceptance, drafts
            from merginguriel.merging.registry import parameters

            beside = drafts.folder(space.log)
            with contextlib.suppress(*TOLD):  # it may land though its draft cannot be kept
                self._save(text)
            with self.writes:
                entry = acceptance.accept(
                    space, text, beside=beside, draft=draft, anyway=anyway, program=parameters()
                )
                # A save from here on would bring back the draft of what has landed.
                self.over = True
            try:
                draft.unlink(missing_ok=True)
            except OSError as error:
                if said := told(error):
                    self.call_later(self.mu.tell, said)
            return entry.id

        self._end(work)

    def action_preview(self) -> None:
        self.toggle_class("-preview")
        self.call_after_refresh(self._draw)
        shown = self.has_class("-preview")
        self.query_one("#preview" if shown else "#text").focus()

    def action_anyway(self) -> None:
        self.anyway = not self.anyway
        self.check()

    def action_discard(self) -> None:
        if self.ending:
            return
        self.app.push_screen(
            Confirm("Discard this draft?", self.draft.stem, "Discard"), lambda yes: self._discard(bool(yes))
        )

    def _discard(self, yes: bool) -> None:
        if yes and not self.ending:
            self._end(self._throw, keeps=False)

    def _throw(self) -> None:
        """Remove the draft, and the rows that were laid ready for it; in a thread."""
        from merginguriel.knowledge.log import append, drafts

        log = self.mu.space.log
        with self.writes:
            if self.draft.exists():
                append.keep_draft(log, self.given, self.draft)  # what it names is removed with it
                drafts.discard(log, self.draft)
            self.over = True

    def action_close(self) -> None:
        """Back to the log. What was written is kept; what was only filled in is not."""
        text = self.text
        if self.ending:
            return
        if self.filled and text == self.given:
            self._end(self._throw)
        elif text != self.kept:
            self._end(lambda: self._save(text, last=True))
        else:
            self._leave(None)

    def copied(self, how: str) -> str:
        return self.command if how == "command" else "" if how == "csv" else plain(self.text)

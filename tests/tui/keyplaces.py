"""How does a test get to each place that has keys, and back to it, and what may a key of Textual's own change there?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from keyrows import middle
from looking import notes
from merginguriel_tui.dialogs import ColumnsScreen, Confirm, HelpScreen, JumpScreen, LabelScreen, WordsScreen
from merginguriel_tui.screens.compose_entry import ComposeScreen
from merginguriel_tui.screens.evidence import EvidenceScreen
from merginguriel_tui.screens.import_models import ImportScreen
from merginguriel_tui.screens.launch import LaunchScreen
from merginguriel_tui.screens.ledger import LedgerScreen
from merginguriel_tui.screens.pilot import PilotScreen
from merginguriel_tui.screens.run import RunScreen
from merginguriel_tui.widgets.choice import Pick
from merginguriel_tui.widgets.heat import Heat
from textual.widgets import Input, Select, TabbedContent, TextArea


class Place(NamedTuple):
    screen: str
    way: tuple[str, ...]  # keys from the screen as it was begun
    there: Callable[[Any], Any] = lambda app: True
    what: tuple[str, ...] = ()


def on(kind):
    return lambda app: isinstance(app.screen, kind)


PLACES = {
    "home": Place("home", (), lambda app: app.screen.lines),
    "an import": Place("home", ("i", *"sw-KE"), on(ImportScreen)),
    "advise": Place("advise", (), lambda app: app.screen.advice, ("gl-ES",)),
    "advise, the field": Place("advise", ("slash",), what=("gl-ES",)),
    "advise, what if": Place("advise", ("w",), what=("gl-ES",)),
    "a list to choose from": Place("advise", ("w", "enter"), on(Pick), ("gl-ES",)),
    "is that meant": Place("log", ("n", *"empty", "enter", "f8"), on(Confirm)),
    "the words": Place("advise", ("e",), on(WordsScreen), ("gl-ES",)),
    "the help": Place("advise", ("question_mark",), on(HelpScreen), ("gl-ES",)),
    "the letters": Place("advise", ("ctrl+o",), on(JumpScreen), ("gl-ES",)),
    "a pilot": Place("advise", ("p",), on(PilotScreen), ("gl-ES",)),
    "the evidence": Place("advise", ("v",), on(EvidenceScreen), ("gl-ES",)),
    "the ledger": Place("advise", ("l",), on(LedgerScreen), ("gl-ES",)),
    "skills": Place("skills", (), lambda app: app.screen.name_, ("source-selection-cross-lingual",)),
    "skills, the text": Place("skills", ("t",), lambda app: len(app.focused.drawn.links) > 2),
    "skills, the claims": Place("skills", ("c",), lambda app: len(app.focused.root.children) > 1),
    "log": Place("log", (), lambda app: app.screen.here),
    "log, the entry": Place("log", ("w",), lambda app: len(app.focused.drawn.links) > 2),
    "writing an entry": Place("log", ("n", *"empty", "enter"), on(ComposeScreen)),
    "runs": Place("runs", (), lambda app: app.screen.table.count),
    "should it be cancelled": Place("runs", ("slash", *"queued", "enter", "x"), on(Confirm)),
    "the tags": Place("runs", ("t",), on(LabelScreen)),
    "the columns": Place("runs", ("o",), on(ColumnsScreen)),
    "one run": Place("runs", ("slash", *"cy-GB", "enter", "enter"), lambda app: isinstance(app.screen, RunScreen) and app.screen.facts),
    "the form of a run": Place("runs", ("n",), lambda app: isinstance(app.screen, LaunchScreen) and app.screen.checked),
    "compare": Place("compare", (), lambda app: app.screen.found),
    "compare, the field": Place("compare", ("slash",), lambda app: app.screen.listed),
    "matrix": Place("matrix", (), lambda app: app.screen.seen),
}  # fmt: skip


def again_advise(screen):
    if screen.what_if.given() != screen.open:
        screen.action_open()
    screen.query_one("#reasons").focus()


def again_skills(screen):
    screen.query_one("#find", Input).value = ""
    screen.remove_class("-contents")
    screen.query_one(TabbedContent).active = "text"
    if screen.name_ != PLACES["skills"].what[0]:
        screen.open(PLACES["skills"].what[0])
    screen.query_one("#page").link = -1
    screen.query_one("#skills").focus()


def again_log(screen):
    if screen.filter() or screen.only:
        screen.here = ""
        screen.action_clear()
    screen.table.cursor = 0
    screen.table.focus()


def again_runs(screen):
    screen.table.marked, screen.table.cursor, screen.busy = set(), 0, False
    while screen.archived:
        screen.action_restore()
    screen.query_one("#find", Input).value = ""
    if screen.order != "newest":
        screen.order = "newest"
        screen.read()
    screen.table.focus()


def again_compare(screen):
    screen.query_one("#main").focus()


def again_matrix(screen):
    if screen.seen is None:
        return
    if screen.wish.order != "name":
        screen.sort("name")
    screen.query_one("#source", Select).value = 0
    screen.query_one(Heat).focus()


RESET = {
    "home": lambda screen: screen.query_one("#lines").focus(), "advise": again_advise, "skills": again_skills, "log": again_log, "runs": again_runs,
    "compare": again_compare, "matrix": again_matrix,
}  # fmt: skip


def prepare(app, said):
    """For a key of Textual's own: what is focused holds something, with the cursor in its midst."""
    widget = app.focused
    app.copy_to_clipboard("pasted")
    marked = any(word in said.lower() for word in ("copy", "cut"))
    if isinstance(widget, Input):
        with widget.prevent(Input.Changed):
            widget.value = "abc def ghi"
        widget.cursor_position = 5
        if marked:
            widget.selection = type(widget.selection)(2, 6)
    elif isinstance(widget, TextArea):
        widget.text = "abc def\n  ghi jkl mno\npqr stu"
        widget.move_cursor((1, 7))
        if marked:
            widget.move_cursor((1, 9), select=True)
        if said in ("Undo", "Redo"):
            widget.insert("x")
            widget.undo() if said == "Redo" else None
    else:
        middle(app)


def whole(app):
    """All that a key of Textual's own may change."""
    widget = app.focused
    names = (
        "value",
        "cursor_position",
        "selection",
        "highlighted",
        "scroll_offset",
        "text",
        "expanded",
        "active",
        "cursor_line",
    )
    return (
        type(app.screen),
        widget,
        app.clipboard,
        notes(app),
        getattr(getattr(widget, "cursor_node", None), "is_expanded", None),
        *(getattr(widget, name, None) for name in names),
    )

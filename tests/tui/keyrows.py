"""What must each key of the help have done? A row for every binding of ours, and a way into each place that has some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from looking import notes
from merginguriel_tui.dialogs import ColumnsScreen, Confirm, HelpScreen, JumpScreen, LabelScreen, WordsScreen
from merginguriel_tui.proposals import ProposalsScreen
from merginguriel_tui.screens.compose_entry import ComposeScreen
from merginguriel_tui.screens.evidence import EvidenceScreen
from merginguriel_tui.screens.launch import LaunchScreen
from merginguriel_tui.screens.ledger import LedgerScreen
from merginguriel_tui.screens.pilot import PilotScreen
from merginguriel_tui.screens.run import RunScreen
from merginguriel_tui.screens.why import WhyTree
from merginguriel_tui.widgets.choice import ChoiceLine, Pick
from merginguriel_tui.widgets.heat import Heat
from merginguriel_tui.widgets.paged import PagedTable
from textual.widgets import Input, OptionList, TabbedContent


class Row(NamedTuple):
    """see(app) before the key and after it, and whether the two are what the key promises."""

    see: Callable[[Any], Any]
    right: Callable[[Any, Any], bool]
    first: Callable[[Any], Any] | tuple[str, ...] = ()  # done, or pressed, before


def becomes(see, wanted, first=()):
    """It is not so yet, and then it is."""
    return Row(see, lambda before, after: before != wanted and after == wanted, first)


def focus(name, first=()):
    return becomes(lambda app: getattr(app.focused, "id", None), name, first)


def opens(kind, first=()):
    return becomes(lambda app: type(app.screen), kind, first)


def says(word, first=()):
    return becomes(lambda app: word in notes(app), True, first)


def differs(see, first=()):
    return Row(see, lambda before, after: before != after, first)


def closes(first=()):
    return Row(lambda app: len(app.screen_stack), lambda before, after: after == before - 1, first)


def where(app):
    """Where the cursor of the focused widget is, or how far it is scrolled."""
    widget = app.focused
    if isinstance(widget, PagedTable):
        return widget.cursor
    if isinstance(widget, Heat):
        return widget.row, widget.column
    if isinstance(widget, OptionList):
        return widget.highlighted
    if isinstance(widget, WhyTree):
        return widget.cursor_line
    return widget.scroll_y


def middle(app):
    """The cursor neither at the beginning nor at the end."""
    widget = app.focused
    if isinstance(widget, PagedTable):
        widget.cursor = 2
    elif isinstance(widget, Heat):
        widget.go(2, 2)
    elif isinstance(widget, OptionList):
        enabled = [i for i, one in enumerate(widget.options) if not one.disabled]
        widget.highlighted = enabled[len(enabled) // 2]
    elif isinstance(widget, WhyTree):
        widget.move_cursor(widget.root.children[1])
    elif widget is not None:
        widget.scroll_to(1, 1, animate=False, force=True)


def fits(app):
    """There is nowhere to go: the whole is in view."""
    widget = app.focused
    return not isinstance(widget, PagedTable | Heat | OptionList | WhyTree) and widget.max_scroll_y < 6


def moves(by):
    def right(before, after):
        first, then = (one if isinstance(one, tuple) else (one, 0) for one in (before, after))
        return sum(then) > sum(first) if by > 0 else sum(then) < sum(first)

    return Row(lambda app: 0 if fits(app) else where(app), lambda b, a: right(b, a) or b == a == 0, middle)


READ = {
    "home": lambda s: s.knowledge, "advise": lambda s: s.knowledge, "skills": lambda s: s.knowledge, "log": lambda s: s.knowledge,
    "runs": lambda s: s.table.pages, "compare": lambda s: s.found, "matrix": lambda s: s.seen,
}  # fmt: skip
anew = Row(lambda app: READ[app.screen.NAME](app.screen), lambda before, after: before is not after and after)


def select_all(app):
    app.copy_to_clipboard("")
    app.screen.text_select_all()


def forget(app):
    app.copy_to_clipboard("")


GO = ("home", "advise", "skills", "log", "runs", "compare", "matrix")
# What is the same everywhere: pressed on every screen.
SHARED = {
    "down": moves(1), "up": moves(-1), "first": moves(-1), "last": moves(1), "page.down": moves(1),
    "page.up": moves(-1), "reload": anew, "dialog.keys": opens(HelpScreen),
    "copy.command": Row(lambda app: (app.clipboard, app.anywhere(app.screen.command)), lambda b, a: a[0] == a[1] != "", forget),
    **{
        f"copy.{how}": Row(lambda app: app.clipboard, lambda before, after: not before and len(after) > 9, forget)
        for how in ("text", "markdown", "csv")
    },
}  # fmt: skip
# What opens or leads elsewhere from anywhere: pressed on one screen.
ONCE = {
    "palette": becomes(lambda app: type(app.screen).__name__, "Palette"),
    "Focus Next": Row(lambda app: app.focused, lambda before, after: before is not after),
    "Focus Previous": Row(lambda app: app.focused, lambda before, after: before is not after),
    "Copy selected text": Row(
        lambda app: app.clipboard, lambda before, after: after != before == "", select_all
    ),
    "jump": opens(JumpScreen),
    "keys": opens(HelpScreen),
    "problems": differs(
        lambda app: (type(app.screen).__name__, len(app._notifications))
    ),  # the list, or that there is none
    "quit": becomes(lambda app: app.is_running, False),
    **{
        f"go.{name}": Row(
            lambda app: (app.current_mode, app.screen.NAME),
            lambda _, after, name=name: after == (name, name),
            ("4" if name == "log" else "3",),
        )
        for number, name in enumerate(GO)
    },
}


def value(name, kind):
    return lambda app: app.screen.query_one(f"#{name}", kind).value


def pane(app):
    return app.screen.query_one(TabbedContent).active


CHOICE = {
    "choice.before": differs(lambda app: app.focused.value),
    "choice.next": differs(lambda app: app.focused.value),
    "choice.pick": opens(Pick),
}


def skill_page(app):
    app.screen.query_one("#page").focus()


def second_link(app):
    app.focused.link = 1


PAGE = {
    "page.next": Row(lambda app: app.focused.link, lambda before, after: after == before + 1, second_link),
    "page.before": Row(lambda app: app.focused.link, lambda before, after: after == before - 1, second_link),
}
TABLE = {
    "table.up": moves(-1), "table.down": moves(1), "table.pageup": moves(-1), "table.pagedown": moves(1),
    "table.first": becomes(where, 0, middle),
    "table.last": becomes(lambda app: app.focused.cursor == app.focused.count - 1, True),
}  # fmt: skip


def at(row, column):
    return becomes(where, (row, column), lambda app: app.focused.go(2, 2))


def leave_runs(app):
    app.screen.query_one("#find", Input).value = "fin"
    app.screen.table.marked = {"x"}


def open_claim(app):
    tree = app.focused
    tree.root.children[0].collapse()
    tree.move_cursor(tree.root.children[0])


def opened_claim(app):
    open_claim(app)
    app.focused.root.children[0].expand()


def unfolded(app):
    return app.focused.root.children[0].is_expanded


def states(app):
    """How many runs wait, and how many are paused, by their files."""
    from merginguriel.runs import run_store

    found = [run_store.state(run) for run in run_store.listed(app.space)]
    return found.count("queued"), found.count("paused")


def on_waiting(app):
    """The cursor to a run that waits."""
    rows = app.screen.table.pages[0]
    app.screen.table.cursor = next(i for i, row in enumerate(rows) if row["state"] == "queued")


def on_finished(app):
    rows = app.screen.table.pages[0]
    app.screen.table.cursor = next(i for i, row in enumerate(rows) if row["state"] == "finished")


def finished_since(app):
    """A run that has finished since the list was read, which shows it as paused."""
    on_finished(app)
    app.screen.busy = True  # no further look at it
    app.screen.table.here["state"] = "paused"
    app.screen.refresh_bindings()


def opened(app):
    """Where a link of the page leads."""
    screen = app.screen
    return (
        app.current_mode,
        getattr(screen, "name_", ""),
        getattr(screen, "claim", ""),
        getattr(screen, "pane", ""),
    )


def to_entry(app):
    """To a link that leads to the log."""
    links = app.focused.drawn.links
    app.focused.link = next(i for i, link in enumerate(links) if link.href.startswith("log:"))


def answered_of(app):
    return app.screen.advice.mode


# (place, id) → what must have happened. A place has a way in, below.
ROWS: dict[str, dict[str, Row]] = {
    "home": {},
    "an import": {"import.go": becomes(lambda app: "nothing was imported" in app.screen.said.plain, True), "import.back": closes()},
    "a pilot": {"pilot.choose": differs(lambda app: len(app.screen.chosen)), "pilot.go": says("Not every chosen target"), "pilot.back": closes()},
    "the evidence": {"evidence.sort": becomes(lambda app: app.screen.order, "gain"), "evidence.back": closes()},
    "the ledger": {"ledger.back": closes()},
    "advise": {
        "leave": focus("targets", ("slash",)), "advise.find": focus("find"), "advise.whatif": focus("mode"),
        "advise.explain": opens(WordsScreen),
        "advise.mode": becomes(answered_of, "IncTar"), "advise.open": becomes(answered_of, "ExcTar", ("m",)),
        "advise.save": says("The recipe is in recipes/"), "advise.run": opens(Confirm),
        "advise.pilot": opens(PilotScreen), "advise.evidence": opens(EvidenceScreen), "advise.ledger": opens(LedgerScreen),
        "advise.next": Row(lambda app: app.clipboard, lambda b, a: not b and a.startswith("mu "), forget),
    },
    "advise, the field": {"advise.list": focus("targets")},
    "advise, what if": CHOICE,
    "a list to choose from": {"pick.close": closes(), "dialog.keys": opens(HelpScreen), "Submit": closes()},
    "is that meant": {
        # The draft goes, and its screen with it.
        "confirm.yes": Row(lambda app: len(app.screen_stack), lambda b, a: a == b - 2), "confirm.no": closes(),
    },
    "skills": {
        "skills.find": focus("find"), "skills.text": becomes(pane, "text", ("c",)),
        "skills.claims": becomes(pane, "claims"), "skills.history": becomes(pane, "history"),
        "skills.diff": becomes(pane, "diff"), "skills.contents": differs(lambda app: app.screen.query_one("#contents").display),
        "skills.edit": says("no editor is set"), "skills.proposals": opens(ProposalsScreen),
        "skills.back": Row(lambda app: app.screen.name_, lambda b, a: b == "advise" != a, lambda app: app.screen.open("advise")),
        "skills.leave": focus("skills", ("slash",)),
    },
    "skills, the text": {**PAGE, "page.follow": differs(opened, to_entry)},
    "skills, the claims": {
        "why.toggle": differs(unfolded, open_claim), "why.go": differs(unfolded, open_claim),
        "why.open": becomes(unfolded, True, open_claim), "why.close": becomes(unfolded, False, opened_claim),
    },
    "log": {
        **TABLE, "table.open": focus("entry"), "leave": focus("timeline", ("slash",)), "log.find": focus("find"),
        "log.type": becomes(value("type", ChoiceLine), "Plan"),
        "log.open": becomes(lambda app: app.screen.only, True), "log.new": opens(Pick),
        "log.clear": becomes(value("type", ChoiceLine), "", ("f",)), "log.swap": focus("entry"),
        "log.back": Row(lambda app: app.screen.here, lambda b, a: b != a, lambda app: app.screen.open(app.screen.found[3].id)),
    },
    "log, the entry": {
        **PAGE,
        "page.follow": differs(lambda app: (app.current_mode, app.screen.here), lambda app: setattr(app.focused, "link", 0)),
    },
    "writing an entry": {
        "compose.land": says("cannot be added yet"), "compose.preview": differs(lambda app: app.focused.id),
        "compose.anyway": becomes(lambda app: app.screen.anyway, True), "compose.discard": opens(Confirm),
        "compose.close": closes(),
    },
    "runs": {
        **TABLE, "table.open": opens(RunScreen), "runs.back": becomes(lambda app: (app.screen.query_one("#find").value, app.screen.table.marked), ("", set()), leave_runs),
        "runs.find": focus("find"), "runs.new": opens(LaunchScreen),
        "runs.again": becomes(lambda app: isinstance(app.screen, LaunchScreen) and app.screen.like is not None, True),
        "runs.mark": becomes(lambda app: len(app.screen.table.marked), 1),
        "runs.compare": becomes(lambda app: app.current_mode, "compare", ("space", "space")),
        "runs.archive": differs(lambda app: app.screen.table.count, on_finished),
        "runs.undo": differs(lambda app: app.screen.table.count, ("a",)),
        "runs.tags": opens(LabelScreen), "runs.columns": opens(ColumnsScreen),
        "runs.order": becomes(lambda app: app.screen.order, "best"), "runs.cancel": opens(Confirm, on_waiting),
        "runs.pause": Row(states, lambda b, a: a == (b[0] - 1, b[1] + 1), on_waiting),
        "runs.resume": says("cannot resume", finished_since),  # one that waits would begin
    },
    "should it be cancelled": {"dialog.keys": opens(HelpScreen), "confirm.yes": closes(), "confirm.no": closes()},
    "one run": {
        "run.back": closes(), "run.find": focus("logfind"),
        "run.before": becomes(pane, "machine"), "run.next": becomes(pane, "log"),
        "run.write": opens(ComposeScreen), "run.advice": becomes(lambda app: app.current_mode, "advise"),
        "run.again": opens(LaunchScreen), "run.tags": opens(LabelScreen),
    },
    "the tags": {"label.cancel": closes(), "dialog.keys": opens(HelpScreen), "Submit": closes()},
    "the columns": {"columns.close": closes(), "dialog.keys": opens(HelpScreen), "down": moves(1), "up": moves(-1)},
    "the form of a run": {
        "launch.pick": opens(Pick, lambda app: app.screen.query_one("#key-method").focus()),
        "launch.all": differs(lambda app: app.screen.every), "launch.go": says("cannot be launched yet"), "launch.save": says("cannot be saved yet"), "launch.back": closes(),
    },
    "compare": {
        "compare.find": focus("find"), "compare.first": Row(lambda app: app.screen.names, lambda b, a: a == (*b[1:], b[0])),
        "compare.flips": says("no test items in common"), "compare.open": opens(RunScreen), "compare.back": becomes(lambda app: app.current_mode, "runs"),
    },
    "compare, the field": {"compare.list": focus("offered"), "compare.back": focus("main")},
    "matrix": {
        "matrix.back": focus("heat", ("slash",)), "matrix.find": focus("find"),
        "matrix.order": becomes(lambda app: app.screen.wish.order, "family"),
        "matrix.about": becomes(lambda app: app.screen.wish.order, "similarity"),
        "matrix.value": becomes(lambda app: app.screen.wish.order, "value"),
        "matrix.next": differs(lambda app: app.screen.seen.one), "matrix.export": says("saved: results/"),
        "matrix.advise": becomes(lambda app: app.current_mode, "advise"),
        "matrix.up": at(1, 2), "matrix.down": at(3, 2), "matrix.left": at(2, 1), "matrix.right": at(2, 3),
        "matrix.pageup": at(0, 2), "matrix.pagedown": at(5, 2), "matrix.pageleft": at(2, 0), "matrix.pageright": at(2, 5),
        "matrix.first": at(2, 0), "matrix.last": at(2, 5), "matrix.top": at(0, 2), "matrix.bottom": at(5, 2),
    },
    "the words": {"words.close": closes(), "dialog.keys": opens(HelpScreen), "down": moves(1), "up": moves(-1)},
    "the help": {"help.close": closes(), "down": moves(1), "up": moves(-1)},
    "the letters": {"jump.cancel": closes()},
}  # fmt: skip

"""What is one run, how far is it, and what does it say? Read on every second while it is at work."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, ScrollableContainer, Vertical, VerticalScroll
from textual.widgets import Input, Log, Static, TabbedContent, TabPane

from merginguriel.errors import MuError
from merginguriel.text.tables import plain, true_minus
from merginguriel_tui.base import MuScreen
from merginguriel_tui.registry import create
from merginguriel_tui.widgets.plots import CurvePlot, bar
from merginguriel_tui.widgets.steering import steer

from .runs import short, state_text

if TYPE_CHECKING:
    from merginguriel.runs.progress import Standing, Watch
    from merginguriel.runs.run_store import Run

# Columns from which a class of the stylesheet holds.
BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (120, "-wide")]
EVERY = 1.0  # seconds between two looks
BARS = 200  # accuracies that are shown, the last ones
MOST = 5000  # lines of the log that are kept here; `mu runs logs` has all
STAMP = re.compile(
    r"^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\.\d+\+00:00"
)  # of a line of log.txt, in UTC as in the events
PANES = ("log", "metrics", "events", "config", "result", "machine")


class Told(NamedTuple):
    """So many metrics as they are shown: accuracies as bars, the others as curves, name → (minutes, value)."""

    taken: int
    bars: Text
    curves: dict[str, list[tuple[float, float]]]


class Facts(NamedTuple):
    """What a look found. lines, place: of the log, new since the last one; the others: text of the panes."""

    standing: Standing
    lines: list[str]
    place: int
    events: str
    result: str
    whole: float | None  # seconds of the whole run, as such runs took before
    told: Told


class Still(NamedTuple):
    """What does not change: the run, its configuration and what made it, as text."""

    run: Run
    config: str
    machine: str


class RunScreen(MuScreen):
    """One run. Leaving it, or the program, leaves the run alone: it is a process of its own."""

    NAME = "runs"
    AUTO_FOCUS = "#lines"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    DEFAULT_CSS = """
    RunScreen #head { height: 3; padding: 0 1; }
    RunScreen #panes { width: 1fr; }
    RunScreen TabPane { padding: 0; }
    RunScreen #side { width: 1fr; display: none; padding: 0 1; border-left: solid $panel; }
    RunScreen.-wide #side { display: block; }
    RunScreen Log { height: 1fr; }
    RunScreen #bars { height: auto; max-height: 12; padding: 0 1; }
    RunScreen #sidebars { height: auto; max-height: 12; }
    RunScreen .text { height: auto; width: auto; padding: 0 1; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="run.back"),
        Binding("slash", "find", "Find", id="run.find", tooltip="Find in the log"),
        Binding("f", "follow", "Follow", id="run.follow", tooltip="Follow the log, or stay where it is"),
        Binding("left_square_bracket,h", "pane(-1)", "Pane before", id="run.before", show=False, tooltip="The pane before"),
        Binding("right_square_bracket,l", "pane(1)", "Next pane", id="run.next", tooltip="The next pane"),
        Binding("x", "steer('cancel')", "Cancel", id="run.cancel", tooltip="Cancel the run"),
        Binding("p", "steer('pause')", "Pause", id="run.pause", tooltip="Pause it"),
        Binding("r", "steer('resume')", "Resume", id="run.resume", tooltip="Resume it"),
        Binding("e", "again", "New like this", id="run.again", show=False, tooltip="A new run like this one"),
    ]  # fmt: skip

    def __init__(self, name: str) -> None:
        super().__init__()
        self.asked = name
        self.still: Still | None = None
        self.watch_of: Watch | None = None
        self.facts: Facts | None = None
        self.lines: list[str] = []
        self.filter = ""
        self.busy = False
        self.wrong = ""  # what was told of the last look

    def body(self) -> ComposeResult:
        yield Static(Text(f" {plain(self.asked)}"), id="head")
        with Horizontal():
            with TabbedContent(id="panes", initial="log"):
                with TabPane("log", id="log"):
                    yield Input(id="logfind", placeholder="find in the log", compact=True)
                    yield Log(id="lines", max_lines=MOST)
                with TabPane("metrics", id="metrics"), VerticalScroll(id="metrics-scroll"):
                    yield Static(id="bars")
                    yield CurvePlot(id="curves", empty=" no curve: nothing was trained in it")
                for name in PANES[2:]:
                    with TabPane(name, id=name), ScrollableContainer(id=f"{name}-scroll"):
                        yield Static(id=f"{name}-text", classes="text")
            with Vertical(id="side"):
                yield Static(id="sidebars")
                yield CurvePlot(id="sidecurves", empty="no curve: nothing was trained in it")

    def open_what(self) -> None:
        self.show()

    def on_mount(self) -> None:
        # Textual calls that of the class above by itself.
        self.set_interval(EVERY, self.tick)

    def show(self, *what: str) -> None:
        """Find the run, and what does not change about it."""
        from merginguriel.config import run_config as configs
        from merginguriel.runs import run_store
        from merginguriel.runs.progress import Watch

        space, asked = self.mu.space, self.asked

        def work() -> Still:
            run = run_store.get(space, asked)
            path = run.folder / "provenance.yaml"
            machine = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            try:
                config = configs.dump_table(configs.as_table(run.config))
            except MuError as error:
                config = error.render()
            return Still(run, config, machine)

        def then(still: Still) -> None:
            self.still, self.watch_of, self.lines = still, Watch(still.run), []
            self.command = shlex.join(["mu", "runs", "show", still.run.id])
            self.facts = None
            self.put("config", still.config)
            self.put("machine", still.machine)
            self.tick()

        self.load(work, then, group="run")

    def tick(self) -> None:
        still, watch, facts = self.still, self.watch_of, self.facts
        ended = facts is not None and facts.standing.state == "finished"
        if still is None or watch is None or self.busy or ended:
            return
        self.busy = True
        place = facts.place if facts else 0
        self.load(
            lambda: looked(still, watch, place, facts),
            lambda found: self.took(watch, found),
            otherwise=self.missed,
            group="look",
        )

    def took(self, watch: Watch, facts: Facts) -> None:
        self.busy = False
        if watch is self.watch_of:  # else the run was read again meanwhile, and this look began before that
            self.fill(facts)

    def missed(self, error: MuError) -> None:
        """Told once; the next look may find what this one did not."""
        self.busy = False
        if error.render() != self.wrong:
            self.wrong = error.render()
            self.mu.show_error(error)

    def fill(self, facts: Facts) -> None:
        before, self.facts, self.wrong = self.facts, facts, ""
        if before is None or facts.place < before.place:
            self.lines = []
            self.query_one("#lines", Log).clear()
        if facts.lines:
            fresh = [plain(line) for line in facts.lines]
            self.lines = [*self.lines, *fresh][-MOST:]
            self.query_one("#lines", Log).write_lines(self.kept(fresh, short_time=True))
        if before is None or before.events != facts.events:
            self.put("events", facts.events)
        if before is None or before.result != facts.result:
            self.put("result", facts.result)
        self.head(facts)
        if before is None or before.told is not facts.told:
            self.metrics(facts.told)

    def put(self, name: str, text: str) -> None:
        self.query_one(f"#{name}-text", Static).update(
            Text(true_minus(plain(text)) if name == "result" else plain(text))
        )

    def head(self, facts: Facts) -> None:
        assert self.still is not None
        now = facts.standing
        line = Text.assemble((plain(self.still.run.id), "bold"), "  ", state_text(now.state))
        if now.best is not None:
            line.append(f"  best {100 * now.best:.2f}%")
        step = Text(plain(now.step), "" if now.live else "dim")
        if now.state == "finished" and self.watch_of:
            took = sum(float(event.get("seconds") or 0) for event in self.watch_of.events)
            step = Text(f"took {short(took)}", "dim")
        if now.share is not None:
            step = Text(f"{bar(now.share, 24)}▕ {100 * now.share:.0f}%  {plain(now.step)}")
            step.append(f"  {short(now.left)} left of this step" if now.left is not None else "")
        last = Text("", "dim")
        if now.live and facts.whole:
            last.append(f"what is left of the whole run, as such runs took: about {short(facts.whole)}")
        elif now.state in ("dead", "failed", "cancelled", "paused"):
            last.append(f"r goes on with it: mu runs resume {self.still.run.id}")
        head = Text("\n").join([line, step, last])
        head.no_wrap, head.overflow = True, "ellipsis"
        self.query_one("#head", Static).update(head)

    def metrics(self, told: Told) -> None:
        """Accuracies as bars, losses as curves over minutes."""
        for widget in ("#bars", "#sidebars"):
            self.query_one(widget, Static).update(told.bars)
        for plot in ("#curves", "#sidecurves"):
            self.query_one(plot, CurvePlot).draw(told.curves, "minutes since it began")

    # what a person does

    def kept(self, lines: list[str], *, short_time: bool = False) -> list[str]:
        """Those that are looked for; on the screen with the time of day alone, which every line begins with."""
        found = [line for line in lines if self.filter in line.lower()] if self.filter else lines
        return [STAMP.sub(r"\1", line) for line in found] if short_time else found

    def on_input_changed(self, event: Input.Changed) -> None:
        self.filter = event.value.strip().lower()
        log = self.query_one("#lines", Log)
        log.clear()
        log.write_lines(self.kept(self.lines, short_time=True))

    def on_input_submitted(self) -> None:
        self.query_one("#lines").focus()

    def action_back(self) -> None:
        if self.query_one("#logfind").has_focus:
            self.query_one("#lines").focus()
            return
        self.dismiss()

    def action_find(self) -> None:
        self.query_one(TabbedContent).active = "log"
        self.call_after_refresh(self.query_one("#logfind").focus)

    def action_follow(self) -> None:
        """To the end of the log and on with it, or stay where it is."""
        log = self.query_one("#lines", Log)
        log.auto_scroll = not log.auto_scroll
        if log.auto_scroll:
            log.scroll_end(animate=False)
        self.notify("The log is followed." if log.auto_scroll else "The log stays here.", markup=False)

    def action_pane(self, by: int) -> None:
        panes = self.query_one(TabbedContent)
        # What is focused goes out of sight; a neighbour that got the focus would bring its own pane back.
        self.set_focus(None)
        panes.active = name = PANES[(PANES.index(panes.active) + by) % len(PANES)]
        target = self.query_one("#lines" if name == "log" else f"#{name}-scroll")
        self.call_after_refresh(target.focus)

    def action_steer(self, what: str) -> None:
        if self.still:
            steer(self, what, [self.still.run.id], self.show)

    def action_again(self) -> None:
        if self.still:
            self.app.push_screen(create("launch", self.still.run.id))

    def copied(self, how: str) -> str:
        """The pane that is shown, the log as it is filtered; the command."""
        pane = self.query_one(TabbedContent).active
        if how == "command" or self.still is None:
            return self.command
        if pane == "log":
            return "\n".join(self.kept(self.lines))
        if pane == "metrics" and self.watch_of:
            return "\n".join(f"{name}\t{value:g}" for _, name, value in self.watch_of.metrics)
        shown = self.query_one(f"#{pane}-text", Static).content
        return shown.plain if isinstance(shown, Text) else ""


def looked(still: Still, watch: Watch, place: int, before: Facts | None) -> Facts:
    """Read on: events, log, and the result of a run that has finished. In a worker."""
    from merginguriel.runs import run_store
    from merginguriel.runs.planning import plan
    from merginguriel.runs.progress import TAIL, read_on
    from merginguriel.text.runs import event_line, result_lines

    standing = watch.look()
    lines, place = read_on(still.run.folder / "log.txt", place, most=TAIL)
    result = f"not yet: it is {standing.state}"
    whole = before.whole if before else None
    if standing.state == "finished":
        result = "\n".join(result_lines(run_store.result(still.run)))
    elif standing.live and (before is None or before.standing.step != standing.step):
        whole = plan(still.run.space, still.run.config).seconds
    events = "\n".join(event_line(event) for event in watch.events[-MOST:])
    # Thousands of metrics are gone through only when there is one more.
    told = before.told if before and before.told.taken == len(watch.metrics) else told_of(watch.metrics)
    return Facts(standing, lines, place, events, result, whole, told)


def told_of(metrics: list[tuple[float, str, float]]) -> Told:
    """Metrics as they are shown. In a worker."""
    from merginguriel.runs.progress import is_accuracy

    accuracies = [(name, value) for _, name, value in metrics if is_accuracy(name)][-BARS:]
    width = max((len(name) for name, _ in accuracies), default=0)
    bars = Text()
    for name, value in accuracies:
        bars.append(f"{plain(name).ljust(width)}  {bar(value, 20)}▕ {100 * value:.2f}%\n")
    curves: dict[str, list[tuple[float, float]]] = {}
    start: dict[str, float] = {}  # each curve from its own beginning, so that trainings lie over one another
    for at, name, value in metrics:
        if not is_accuracy(name):
            curves.setdefault(name, []).append(((at - start.setdefault(name, at)) / 60, value))
    return Told(len(metrics), bars, curves)

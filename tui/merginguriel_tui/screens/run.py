"""Screen of one run: log, metrics, events, configuration, result and machine, updated every second."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, ScrollableContainer, Vertical, VerticalScroll
from textual.widgets import Input, Log, Static, TabbedContent, TabPane

from merginguriel.errors import MuError
from merginguriel.metrics.registry import find
from merginguriel.text.tables import plain, true_minus
from merginguriel_tui.widgets.plots import CurvePlot, bar

from . import landing
from .run_data import MOST, Facts, Metrics, Still, looked, wrapped
from .run_keys import RunKeys
from .runs_data import short, state_text

if TYPE_CHECKING:
    from merginguriel.runs.run_progress import Watch

EVERY = 1.0  # seconds between two checks
PANES = ("result", "log", "metrics", "events", "config", "machine")
GROWING = ("queued", "running", "paused")  # states of a run whose log grows


class Lines(Log):
    """Log lines, broken for the width."""

    def on_resize(self) -> None:
        """Break the lines for the new width."""
        assert isinstance(self.screen, RunScreen)
        self.screen.rewrite()


class RunScreen(RunKeys):
    """One run. It is a process of its own and continues when this screen or the program is closed."""

    NAME = "runs"
    OPENS = False
    AUTO_FOCUS = "#lines"
    DEFAULT_CSS = """
    RunScreen #head { height: auto; min-height: 3; max-height: 5; padding: 0 1; }
    RunScreen #panes { width: 1fr; }
    RunScreen TabPane { padding: 0; }
    RunScreen #side { width: 1fr; display: none; padding: 0 1; border-left: solid $panel; }
    RunScreen.-wide #side { display: block; }
    RunScreen.-wide #side.-empty { display: none; }
    RunScreen Log { height: 1fr; }
    RunScreen #bars { height: auto; max-height: 12; padding: 0 1; }
    RunScreen #sidebars { height: auto; max-height: 12; }
    RunScreen #result-text.-wrapped { width: 100%; text-wrap: wrap; }
    RunScreen .text { height: auto; width: auto; padding: 0 1; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="run.back"),
        Binding("slash", "find", "Find", id="run.find", tooltip="Find in the log", priority=True),
        Binding("f", "follow", "Follow", id="run.follow", tooltip="Follow the log, or stop following"),
        Binding("left_square_bracket,h", "pane(-1)", "Previous pane", id="run.before", show=False, tooltip="Show the previous pane"),
        Binding("right_square_bracket,l", "pane(1)", "Next pane", id="run.next", tooltip="Show the next pane"),
        Binding("x", "steer('cancel')", "Cancel", id="run.cancel", tooltip="Cancel the run"),
        Binding("p", "steer('pause')", "Pause", id="run.pause", tooltip="Pause the run"),
        Binding("r", "steer('resume')", "Resume", id="run.resume", tooltip="Resume the run"),
        Binding("w", "write", "Write it up", id="run.write", tooltip="Write the retrospective of this run for the log"),
        Binding("a", "advice", "Advice", id="run.advice", tooltip="Ask for advice on the target of this run"),
        Binding("t", "label", "Tags", id="run.tags", show=False, tooltip="Edit tags and note of the run"),
        Binding("e", "again", "New like this", id="run.again", show=False, tooltip="Start a new run with the settings of this one"),
    ]  # fmt: skip

    def __init__(self, name: str) -> None:
        super().__init__()
        self.asked = name
        self.still: Still | None = None
        self.watch_of: Watch | None = None
        self.facts: Facts | None = None
        self.lines: list[str] = []
        self.filter = ""
        self.curved = False  # the run has curves, or may have some

    def body(self) -> ComposeResult:
        """Yield the head, the panes and the side."""
        yield Static(Text(f" {plain(self.asked)}"), id="head")
        with Horizontal():
            with TabbedContent(id="panes", initial="log"):
                with TabPane("result", id="result"), ScrollableContainer(id="result-scroll"):
                    yield Static(id="result-text", classes="text")
                with TabPane("log", id="log"):
                    yield Input(id="logfind", placeholder="find in the log", compact=True)
                    yield Lines(id="lines", max_lines=MOST)
                with TabPane("metrics", id="metrics"), VerticalScroll(id="metrics-scroll"):
                    yield Static(id="bars")
                    yield CurvePlot(id="curves")
                for name in PANES[3:]:
                    with TabPane(name, id=name), ScrollableContainer(id=f"{name}-scroll"):
                        yield Static(id=f"{name}-text", classes="text")
            with Vertical(id="side", classes="-empty"):
                yield Static(id="sidebars")
                yield CurvePlot(id="sidecurves")

    def on_mount(self) -> None:
        """Start checking."""
        # Textual calls that of the class above by itself.
        self.set_interval(EVERY, self.tick)

    def show(self, *what: str) -> None:
        """Load the run, its configuration and provenance."""
        from merginguriel.config import run_config as configs
        from merginguriel.runs import run_store
        from merginguriel.runs.run_progress import Watch

        space, requested = self.mu.space, self.asked

        def work() -> Still:
            run = run_store.get(space, requested)
            path = run.folder / "provenance.yaml"
            machine = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            settings = None
            try:
                settings = run.config
                config = configs.dump_table(configs.as_table(settings))
            except MuError as error:
                config = error.render()
            return Still(run, settings, config, machine)

        def then(still: Still) -> None:
            self.still, self.watch_of, self.lines = still, Watch(still.run), []
            self.command = shlex.join(["mu", "runs", "show", still.run.id])
            self.facts = None
            self.put("config", still.config)
            self.put("machine", still.machine)
            self.tick()

        self.load(work, then, group="run")

    def tick(self) -> None:
        """Check the run, unless it has finished."""
        still, watch, facts = self.still, self.watch_of, self.facts
        finished = facts is not None and facts.standing.state == "finished"
        if still is None or watch is None or self.busy or finished:
            return
        self.busy = True
        row = facts.place if facts else 0
        width = max(self.size.width - 3, 40)

        def then(result: Facts) -> None:
            self.busy = False
            if watch is self.watch_of:  # else the run was reloaded meanwhile
                self.fill(result)

        self.load(lambda: looked(still, watch, row, facts, width), then, otherwise=self.missed, group="look")

    def fill(self, facts: Facts) -> None:
        """Show what has changed."""
        before, self.facts, self.last_error = self.facts, facts, ""
        if before is None or facts.place < before.place:
            self.lines = []
            self.query_one("#lines", Log).clear()
        if facts.lines:
            fresh = [plain(line) for line in facts.lines]
            self.lines = [*self.lines, *fresh][-MOST:]
            self.query_one("#lines", Log).write_lines(self.filtered(fresh, wrap=True))
        if before is None or before.events != facts.events:
            self.put("events", facts.events)
        if before is None or before.result != facts.result:
            failed = facts.standing.state == "failed"
            resume, again = self.key_of("run.resume"), self.key_of("run.again")
            cure = f"\n\n{resume} resumes the run where it stopped; {again} opens a form with its settings."
            self.put("result", facts.result + cure * failed)
            self.query_one("#result-text").set_class(failed, "-wrapped")
            if facts.standing.state in ("finished", "failed") and self.focused is self.query_one("#lines"):
                self.action_pane(-1)  # the answer is worth more than the log
        self.head(facts)
        state = facts.standing.state
        changed = before is None or before.standing.state != state
        if changed:
            self.refresh_bindings()
        if changed or before is None or before.metrics is not facts.metrics:
            over = state not in GROWING
            self.curved = bool(facts.metrics.curves) or not over
            self.beside()
            settings = self.still.settings if self.still else None
            losses = settings is None or settings.kind not in ("compose", "nxn")
            self.metrics(
                facts.metrics, "no losses yet" if losses and not over else "no curves: no losses are recorded"
            )

    def put(self, name: str, text: str) -> None:
        """Set the text of a pane."""
        self.query_one(f"#{name}-text", Static).update(
            Text(true_minus(plain(text)) if name == "result" else plain(text))
        )

    def head(self, facts: Facts) -> None:
        """Show state, progress and time left."""
        assert self.still is not None
        now = facts.standing
        line = Text.assemble((plain(self.still.run.id), "bold"), "  ", state_text(now.state))
        if now.best is not None and now.metric:
            line.append(f"  best {now.metric} {find(now.metric).unit.show(now.best)}")
        step = Text(plain(now.step), "" if now.live else "dim")
        if now.state == "finished" and self.watch_of:
            from merginguriel.runs.run_store import worked

            step = Text(f"took {short(worked(self.watch_of.events))}", "dim")
        last = Text("", "dim")
        if now.whole is not None:
            whole = now.whole
            step = Text(
                f"{bar(whole.share, 24)}▕ {100 * whole.share:.0f}%  "
                f"stage {whole.stage} of {whole.stages}: {plain(now.step) or 'starting'}"
            )
            left = "time left not known yet" if whole.left is None else f"about {short(whole.left)} left"
            last.append(f"{short(whole.elapsed)} elapsed, {left}")
            if now.request:
                last.append(f"   {now.request} requested", "bold not dim")
                last.append(": after this step" if now.request == "pause" else "")
        elif facts.answer:
            last = Text(plain(facts.answer), "bold")
        elif now.state in ("dead", "failed", "cancelled", "paused"):
            last.append(f"press {self.key_of('run.resume')} to resume it: mu runs resume {self.still.run.id}")
        head = Text("\n").join([line, step, last])
        head.no_wrap, head.overflow = not facts.answer, "ellipsis"
        self.query_one("#head", Static).update(head)

    def metrics(self, shown: Metrics, empty: str) -> None:
        """Show scores as bars and losses as curves over minutes; without losses, `empty`."""
        for widget in ("#bars", "#sidebars"):
            self.query_one(widget, Static).update(shown.bars)
        for plot in ("#curves", "#sidecurves"):
            self.query_one(plot, CurvePlot).draw(shown.curves, "minutes since the start", empty)

    # Keys

    def filtered(self, lines: list[str], *, wrap: bool = False) -> list[str]:
        """Return the lines that match the search; `wrap` cuts the date and breaks long lines."""
        result = [line for line in lines if self.filter in line.lower()] if self.filter else lines
        return wrapped(result, max(self.query_one("#lines").size.width - 1, 20)) if wrap else result

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show only the lines that match."""
        self.filter = event.value.strip().lower()
        self.rewrite()

    def rewrite(self) -> None:
        """Write the log again, for another search or width."""
        log = self.query_one("#lines", Log)
        log.clear()
        log.write_lines(self.filtered(self.lines, wrap=True))

    def beside(self) -> None:
        """Show the curves beside the log, where it has some, and no other pane."""
        hidden = not self.curved or self.query_one(TabbedContent).active != "log"
        self.query_one("#side").set_class(hidden, "-empty")

    def on_tabbed_content_tab_activated(self) -> None:
        """Give the pane the room and the keys that it needs."""
        self.beside()
        self.refresh_bindings()

    def on_input_submitted(self) -> None:
        """Focus the log."""
        self.query_one("#lines").focus()

    def action_back(self) -> None:
        """Leave the search field, or close the screen."""
        field = self.query_one("#logfind", Input)
        if field.has_focus:
            field.value = ""
            self.query_one("#lines").focus()
            return
        self.dismiss()

    def action_find(self) -> None:
        """Focus the search field of the log, before the next key is read."""
        self.query_one(TabbedContent).active = "log"
        self.set_focus(self.query_one("#logfind"))

    def action_follow(self) -> None:
        """Follow the end of the log, or stop following."""
        log = self.query_one("#lines", Log)
        log.auto_scroll = not log.auto_scroll
        if log.auto_scroll:
            log.scroll_end(animate=False)
        self.notify("Following the log." if log.auto_scroll else "Not following the log.", markup=False)

    def action_pane(self, by: int) -> None:
        """Show the next pane, or the previous one for -1."""
        panes = self.query_one(TabbedContent)
        # The focused widget becomes hidden; a neighbour with the focus would bring its own pane back.
        self.set_focus(None)
        panes.active = name = PANES[(PANES.index(panes.active) + by) % len(PANES)]
        target = self.query_one("#lines" if name == "log" else f"#{name}-scroll")
        self.call_after_refresh(target.focus)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what the state of the run, and the open pane, allow."""
        from merginguriel.config.schema import TRAINERS
        from merginguriel.runs.run_store import ALLOWED

        if action == "follow":
            live = self.facts is not None and self.facts.standing.state in GROWING
            return live and self.query_one(TabbedContent).active == "log"
        if action == "write":
            settings = self.still.settings if self.still else None
            measures = settings is not None and settings.kind not in TRAINERS
            return measures and self.facts is not None and self.facts.standing.state == "finished"
        if action == "advice":
            return self.about is not None
        if action == "steer":
            return self.facts is not None and self.facts.standing.state in ALLOWED[str(parameters[0])]
        return super().check_action(action, parameters)

    def action_write(self) -> None:
        """Open the editor on the retrospective of this run."""
        if self.still:
            landing.write(self, "run", self.still.run.id, lambda _: None)

    def action_advice(self) -> None:
        """Go to the advice on the target of this run."""
        if self.still and (config := self.still.settings) and self.about:
            task = str(config.task)
            if config.kind == "compose":
                task = task.replace("retrieval", "retrieval-cross", 1)
            context = f"{task}/{PurePath(str(config.base)).name}"
            self.mu.action_go("advise", self.about, context)

    @property
    def about(self) -> str | None:
        """The locale that advice is asked for: the target, or the first language of a composition study."""
        config = self.still.settings if self.still else None
        if config is None:
            return None
        return config.locales[0] if config.kind == "compose" else config.target

    def chosen(self) -> list[str]:
        """Return this run."""
        return [self.still.run.id] if self.still else []

    def acted(self) -> None:
        """Read the run again."""
        self.show()

    def content(self, how: str) -> str:
        """Return the open pane; of the log, the lines that match."""
        pane = self.query_one(TabbedContent).active
        if self.still is None:
            return self.command
        if pane == "log":
            return "\n".join(self.filtered(self.lines))
        if pane == "metrics" and self.watch_of:
            return "\n".join(f"{name}\t{value:g}" for _, name, value in self.watch_of.metrics)
        content = self.query_one(f"#{pane}-text", Static).content
        return content.plain if isinstance(content, Text) else ""

"""Pilots before they start: arms, cost, detectable gain and stopping rule of each target that is chosen."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from merginguriel.errors import MuError
from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.loop.pilot import PlannedPilot
    from merginguriel.runs.planning import RunPlan

    Plans = dict[str, tuple[PlannedPilot, RunPlan] | MuError]


class PilotScreen(MuScreen):
    """Choose targets, read what their pilots would do, and launch them."""

    NAME = "advise"
    OPENS = False
    AUTO_FOCUS = "#queue"
    DEFAULT_CSS = """
    PilotScreen #queue { width: 14; border-right: solid $panel; }
    PilotScreen #plans { width: 1fr; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "launch", "Launch", id="pilot.go", priority=True, tooltip="Launch the pilots that are shown, one after the other"),
        Binding("space", "choose", "Choose", id="pilot.choose", tooltip="Add the target under the cursor to the queue, or take it out"),
        Binding("escape", "app.pop_screen", "Back", id="pilot.back"),
    ]  # fmt: skip

    def __init__(self, knowledge: Knowledge, target: str, options: dict[str, Any]) -> None:
        super().__init__()
        self.knowledge, self.target, self.options = knowledge, target, options
        self.targets: list[str] = []
        self.chosen = [target]  # in the order of their pilots
        self.plans: Plans = {}
        self.text = Text()

    def body(self) -> ComposeResult:
        """Yield the targets and the plans."""
        with Horizontal():
            yield OptionList(id="queue", markup=False, compact=True)
            with VerticalScroll(id="plans"):
                yield Static(Text("…", "dim"), id="planned")

    def show(self, *what: str) -> None:
        """List the targets that have models or results, then those that the task can score."""
        knowledge, context = self.knowledge, self.options["context"] or str(self.mu.space.settings["context"])

        def work() -> list[str]:
            from merginguriel.study import capabilities

            logged = {row.target for row in knowledge.rows if row.context == context and row.mode != "-"}
            trained, scorable = (
                capabilities.trained(knowledge.space, context),
                capabilities.scorable(knowledge.space, context),
            )
            near = sorted((trained | logged) & (trained | logged if scorable is None else scorable))
            return list(dict.fromkeys([self.target, *near, *sorted(scorable or ())]))

        def then(targets: list[str]) -> None:
            self.targets = targets
            self.list_options("queue", [Option(self.row(target)) for target in targets], 0)
            self.plan()

        self.load(work, then)

    def row(self, target: str) -> Text:
        """Return the line of a target, marked if it is chosen."""
        return Text(f"{'◆' if target in self.chosen else ' '} {target}")

    def action_choose(self) -> None:
        """Choose the target under the cursor, or no longer."""
        queue = self.query_one("#queue", OptionList)
        if queue.highlighted is None:
            return
        target = self.targets[queue.highlighted]
        self.chosen = [one for one in self.chosen if one != target] + [target] * (target not in self.chosen)
        queue.replace_option_prompt_at_index(queue.highlighted, self.row(target))
        self.plan()

    def on_option_list_option_selected(self) -> None:
        """Choose with Enter too."""
        self.action_choose()

    def plan(self) -> None:
        """Plan the chosen targets that have no plan, in a thread."""
        knowledge, options = self.knowledge, self.options
        missing = [target for target in self.chosen if target not in self.plans]
        words = [word for target in self.chosen for word in ("--target", target)]
        for name, value in options.items():
            if value not in (None, ""):
                words += [f"--{name.replace('_', '-')}", str(value)]
        self.command = shlex.join(["mu", "pilot", *words, "--dry-run"])

        def work() -> Plans:
            from merginguriel.loop import pilot
            from merginguriel.workspace import writable

            writable(knowledge.space)
            found: Plans = {}
            for target in missing:
                try:
                    found[target] = pilot.prepared(knowledge, target, **options)
                except MuError as error:
                    found[target] = error
            return found

        self.load(work, self.planned, group="plan", otherwise=self.refused)
        self.draw()

    def planned(self, found: Plans) -> None:
        """Add plans."""
        self.plans |= found
        self.draw()

    def refused(self, error: MuError) -> None:
        """Show why nothing can be launched here."""
        self.plans |= dict.fromkeys(self.chosen, error)
        self.draw()

    def draw(self) -> None:
        """Show the plans of the chosen targets, the stopping rule last."""
        from merginguriel.text.pilots import before, stopping

        text = Text()
        for target in self.chosen:
            plan = self.plans.get(target)
            if plan is None:
                text.append(f"{target}  …\n\n", "dim")
            elif isinstance(plan, MuError):
                text.append(f"✗ {target}: {plain(plan.render())}\n\n")
            else:
                first, _, rest = plain(before(*plan)).partition("\n")
                text.append(f"{first}\n", "bold").append(f"{rest}\n\n", "not bold")
        ready = self.ready()
        if ready and len(ready) == len(self.chosen):
            several = f"{len(ready)} pilots, one after the other" if len(ready) > 1 else "the pilot"
            text.append(f"{stopping(ready[0].advice.min_gain_pp)}\n\n")
            text.append(f"{self.key_of('pilot.go')} launches {several}", "bold")
        elif not self.chosen:
            text.append(f"Choose a target: {self.key_of('pilot.choose')}.", "bold")
        self.text = text
        self.query_one("#planned", Static).update(text)
        self.refresh_bindings()

    def ready(self) -> list[PlannedPilot]:
        """Return the pilots that can be launched."""
        plans = [self.plans.get(target) for target in self.chosen]
        return [plan[0] for plan in plans if isinstance(plan, tuple)]

    def refuses(self, action: str) -> bool:
        """Launch only where every chosen target has a plan."""
        return action == "launch" and not 0 < len(self.chosen) == len(self.ready())

    def action_launch(self) -> None:
        """Launch the pilots, and show the first."""
        ready, space = self.ready(), self.mu.space
        if self.refuses("launch"):
            why = (
                "Not every chosen target has a plan that can run." if self.chosen else "No target is chosen."
            )
            self.notify(why, severity="warning", markup=False)
            return

        def work() -> list[str]:
            from merginguriel.loop import pilot

            return [run.id for run in pilot.launch(space, ready)[0]]

        def then(runs: list[str]) -> None:
            for name in runs:
                self.mu.follow_run(name)
            self.app.pop_screen()
            self.mu.action_go("runs", runs[0])

        self.load(work, then, group="launch")

    def content(self, how: str) -> str:
        """Return the plans."""
        return self.text.plain

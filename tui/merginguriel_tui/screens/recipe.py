"""Run of an advised recipe: whether it was measured, what it would do, and its launch."""

from __future__ import annotations

import shlex
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from merginguriel_tui.base import MuScreen

if TYPE_CHECKING:
    from merginguriel.config.schema import Config
    from merginguriel.decision.advice_types import Advice
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.parse.rows import ResultRow
    from merginguriel.workspace import Workspace


class LaunchProposal(NamedTuple):
    """A run that can be launched: its id, its description, its configuration, and the row that has its result."""

    name: str
    text: str
    config: Config
    measured: ResultRow | None


def measured(knowledge: Knowledge, advice: Advice) -> list[ResultRow]:
    """Return the rows that measured the advised recipe with the same sources and settings, latest first."""
    recipe = advice.recipe
    if recipe.sources_missing or not recipe.sources:
        return []
    wanted = (advice.context, advice.target, advice.mode, recipe.method, recipe.similarity, recipe.params)
    sources = {source.locale for source in recipe.sources}
    found = [
        row
        for row in knowledge.rows
        if row.status == "current"
        and (row.context, row.target, row.mode, row.method, row.similarity, dict(row.params)) == wanted
        and set(row.sources) == sources
    ]
    return sorted(found, key=lambda row: row.date, reverse=True)


def same_seed(rows: list[ResultRow], seed: int) -> ResultRow | None:
    """Return the latest row of this seed; a row without a seed may be of any."""
    return next((row for row in rows if row.seed in (None, seed)), None)


def proposal(space: Workspace, advice: Advice, knowledge: Knowledge) -> LaunchProposal:
    """Return the run of the recipe, checked as `mu run --dry-run` checks it; with the next seed if it was measured.

    Raises:
        MuError: The recipe cannot be run in this workspace.
    """
    from merginguriel.config import run_config as config
    from merginguriel.loop import advised_run
    from merginguriel.runs import planning, run_store
    from merginguriel.text.runs import plan_lines
    from merginguriel.text.tables import plain
    from merginguriel.workspace import writable

    configuration = advised_run.configuration(advice, writable(space))
    rows = measured(knowledge, advice)
    row = same_seed(rows, configuration.seed)
    text = "" if advice.verdict in ("merge", "pilot") else f"The advice is {advice.verdict}.\n\n"
    if row is not None:
        seeds = {one.seed or 0 for one in rows}
        configuration = config.changed(configuration, seed=next(n for n in count() if n not in seeds))
        was = "an unknown seed" if row.seed is None else f"seed {row.seed}"
        text += (
            f"Measured with {was} on {row.date}: the same again adds nothing to the log.\n"
            f"Other seed: this run takes seed {configuration.seed}, with new models and draws.\n"
            "Other items: start a run on other data from the form of the runs screen.\n\n"
        )
    name = run_store.run_id(configuration)
    exists = (space.runs / name / "config.yaml").is_file()
    state = run_store.state(run_store.get(space, name)) if exists else "new"
    planned = "\n".join(plan_lines(planning.plan(space, configuration), state))
    dumped = config.dump_table(config.as_table(configuration))
    return LaunchProposal(name, plain(f"{text}{planned}\n\n{dumped}"), configuration, row)


def save(screen: MuScreen, advice: Advice) -> None:
    """Write the recipe as a run's configuration, and name the file."""
    space = screen.mu.space

    def work() -> str:
        from merginguriel.loop import advised_run

        return space.display(advised_run.save(advice, space))

    def then(path: str) -> None:
        text = f"The recipe is in {path}.\nmu run {shlex.quote(path)}"
        screen.notify(text, timeout=8, markup=False)

    screen.load(work, then, group="recipe")


def propose(screen: MuScreen, advice: Advice, knowledge: Knowledge) -> None:
    """Show what the run of the recipe would do; launch it when confirmed, and go to it."""
    space = screen.mu.space

    def launched(result: tuple[str, int | None]) -> None:
        name, pid = result
        state = f"at work in process {pid}" if pid is not None else "has finished before; it is shown"
        screen.notify(f"{name}: {state}.", markup=False)
        screen.mu.follow_run(name)
        screen.mu.action_go("runs", name)

    def proposed(found: LaunchProposal) -> None:
        def work() -> tuple[str, int | None]:
            from merginguriel.runs import worker

            run, pid = worker.launch(space, found.config)
            return run.id, pid

        row = found.measured
        title = f"Run {found.name}?"
        if row is not None:
            title = f"Measured already as {row.ref}. Run it with seed {found.config.seed}?"
        screen.confirm(
            title,
            found.text,
            "Run",
            lambda: screen.load(work, launched, group="recipe"),
            danger=row is not None,
        )

    screen.load(lambda: proposal(space, advice, knowledge), proposed, group="recipe")

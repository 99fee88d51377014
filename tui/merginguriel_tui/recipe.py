"""What becomes of an advised recipe: a file, or a run? Called in threads; the core does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from merginguriel.config.schema import Config
    from merginguriel.workspace import Workspace


class Proposal(NamedTuple):
    """A run that may be launched: its id, what it would do in words, and its configuration."""

    name: str
    text: str
    config: Config


def save(space: Workspace, advice: dict[str, Any]) -> str:
    """Write the recipe as a run's configuration; returns its path as a person in the workspace names it."""
    from merginguriel.loop import advised_run

    return space.display(advised_run.save(advice, space))


def proposal(space: Workspace, advice: dict[str, Any]) -> Proposal:
    """The run of the recipe, checked as `mu run --dry-run` checks it. Raises MuError where it cannot be."""
    from merginguriel.cli.common import plain
    from merginguriel.cli.run import plan_lines
    from merginguriel.config import run_config as config
    from merginguriel.loop import advised_run
    from merginguriel.runs import planning, run_store
    from merginguriel.workspace import writable

    wanted = advised_run.configuration(advice, writable(space))
    name = run_store.run_id(wanted)
    there = (space.runs / name / "config.yaml").is_file()
    state = run_store.state(run_store.get(space, name)) if there else "new"
    against = "" if advice["verdict"] in ("merge", "pilot") else f"The advice is {advice['verdict']}.\n\n"
    planned = "\n".join(plan_lines(planning.plan(space, wanted), state))
    shown = config.dump_table(config.as_table(wanted))
    return Proposal(name, plain(f"{against}{planned}\n\n{shown}"), wanted)


def launch(space: Workspace, wanted: Proposal) -> tuple[str, int | None]:
    """The run's id, and the process that is at work on it; none for one that has finished."""
    from merginguriel.runs import worker

    run, pid = worker.launch(space, wanted.config)
    return run.id, pid

"""`mu pilot`: try what was advised, on items that chose nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import USER_ERRORS, MuError, UsageError, as_mu_error
from merginguriel.text.pilots import before

from .common import LOCALE, emit, json_option, plain, say, space, workspace_option
from .progress import ProgressLine

if TYPE_CHECKING:
    from merginguriel.loop.pilot import PlannedPilot
    from merginguriel.runs.planning import RunPlan
    from merginguriel.runs.run_store import Run
    from merginguriel.workspace import Workspace


@click.command(
    short_help="Try what was advised: several arms on development items, the winner once on test items."
)
@click.option("--target", "targets", required=True, multiple=True, type=LOCALE,
              help="The locale to serve; repeat for several, one after the other.")  # fmt: skip
@click.option("--mode", type=click.Choice(["ExcTar", "IncTar"], case_sensitive=False), default="ExcTar",
              show_default=True, help="As for mu advise.")  # fmt: skip
@click.option("--context", help="Task and base model, like home/e5-small. Default: from mu.toml.")
@click.option("--method", help="Try this method only.")
@click.option("--min-gain", type=float,
              help="Differences within it count as equivalent, in pp. Default: from mu.toml.")  # fmt: skip
@click.option("--arms", "most", type=click.IntRange(1, 16), default=4, show_default=True, help="Arms at most.")  # fmt: skip
@click.option("--budget", type=int, metavar="N", help="Merges and evaluations at most, for each target.")
@click.option("--no-ensembles", is_flag=True, help="Try merges only.")
@click.option("--unlabelled", is_flag=True,
              help="Use no labels of the target: compare merges by agreement with the vote of the single models (weak).")  # fmt: skip
@click.option("--log", "logs", is_flag=True, help="Write the result and the advice into the log as one entry.")  # fmt: skip
@click.option("--detach", is_flag=True, help="Run in a process of its own, which outlives this terminal.")
@click.option("--dry-run", is_flag=True, help="Print the arms, the cost and the detectable gain; run nothing.")  # fmt: skip
@json_option
@workspace_option
def pilot(
    targets: tuple[str, ...],
    mode: str,
    context: str | None,
    method: str | None,
    min_gain: float | None,
    most: int,
    budget: int | None,
    no_ensembles: bool,
    unlabelled: bool,
    logs: bool,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    workspace_path: Path | None,
) -> int:
    """Try the advised arm, and arms worth a trial beside it, on development items, and confirm the winner once on test items.

    Half of the arms remain after each round. The winner is compared with the best single model, chosen on development
    items: better, equivalent, worse or undecided. The same command continues an interrupted pilot.

    \b
    mu pilot --target da-DK --dry-run
    mu pilot --target da-DK --target sv-SE --log
    """
    from merginguriel.knowledge.base import load
    from merginguriel.loop import pilot as pilots
    from merginguriel.runs import run_store, worker
    from merginguriel.workspace import writable

    if unlabelled and mode != "ExcTar":
        raise UsageError("--unlabelled needs --mode ExcTar: the target's own model was trained on labels.")
    where = writable(space(workspace_path))
    results: list[dict[str, Any]] = []
    planned: list[tuple[PlannedPilot, RunPlan]] = []
    knowledge = load(where)
    for target in dict.fromkeys(targets):
        one, work = pilots.prepared(
            knowledge, target, most=most, unlabelled=unlabelled, mode=mode, context=context, method=method, min_gain=min_gain, budget=budget,
            ensembles=not no_ensembles,
        )  # fmt: skip
        planned.append((one, work))
        if not (as_json and dry_run):
            say(plain(before(one, work)))
    if dry_run:
        found = [one.as_dict() | {"plan": work.as_dict()} for one, work in planned]
        emit(found if len(found) > 1 else found[0]) if as_json else None
        return 0
    if detach:
        return detached(where, [one for one, _ in planned], logs=logs, as_json=as_json)
    failed: dict[str, MuError] = {}
    for one, _ in planned:
        run = run_store.create(where, one.config)
        try:
            with ProgressLine(run.id) as bar:
                state = worker.execute(run, bar)
            if state != "finished":
                say(f"{run.id} is {state}; continue with: mu runs resume {run.id}")
                return 0 if state == "paused" else 130
            results.append(finished(where, run, logs=logs, as_json=as_json))
        except USER_ERRORS as error:
            known = as_mu_error(error)
            if known is None or len(planned) == 1:
                raise
            failed[one.advice.target] = known
            say(plain(f"{run.id} failed: {known.render()}"))
    if as_json:
        results += [{"target": target, **error.as_dict()} for target, error in failed.items()]
        emit(results if len(results) > 1 else results[0])
    if failed:
        say(f"failed: {', '.join(failed)}; continue with the same command")
    return next(iter(failed.values())).exit_code if failed else 0


def finished(space: Workspace, run: Run, *, logs: bool, as_json: bool) -> dict[str, Any]:
    """Print the result of a pilot, with `logs` after it was written into the log, and return it."""
    from merginguriel.loop import pilot as pilots
    from merginguriel.runs import run_store

    from .run import show

    result = run_store.result(run)
    if not as_json:
        show(result, as_json=False)
    if not logs:
        say(f"log it with: mu log add --run {run.id}")
        return result
    entry = pilots.write(run)
    say(f"in the log: {space.display(entry.path)}")
    say(f"ask again: mu advise --target {result['target']} --context {result['context']} --since {entry.id}")
    return result | {"entry": entry.id}


def detached(space: Workspace, planned: list[PlannedPilot], *, logs: bool, as_json: bool) -> int:
    """Start the pilots in a process of their own, one after the other."""
    from merginguriel.loop import pilot as pilots

    runs, pid = pilots.launch(space, planned, logs=logs)
    if as_json:
        emit([{"run": run.id, "pid": pid} for run in runs])
        return 0
    for run in runs:
        click.echo(run.id)
    if pid is not None:
        say(f"running in process {pid}; watch it with: mu runs watch {runs[0].id}")
    return 0

"""`mu sweep`: carry out many runs from one file, and show their states."""

from __future__ import annotations

import shlex
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import FAILED, OK, UsageError
from merginguriel.text.runs import duration

from .common import columns, emit, json_option, say, space, workspace_option
from .progress import ProgressLine
from .run import TRUST
from .study import trust_option

if TYPE_CHECKING:
    from merginguriel.runs.sweep import MemberState, Sweep

# States, in the order of display.
ORDER = ("finished", "running", "queued", "new", "paused", "cancelled", "failed", "dead")


class FileOrCommand(click.Group):
    """Group in which `mu sweep ablation.yaml` is `mu sweep run ablation.yaml`."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of this name, or `run` on the file of this name."""
        result = super().get_command(ctx, name)
        if result is not None or not name.endswith((".yaml", ".yml")):
            return result
        options = [param for param in run.params if param.name != "file"]
        assert run.callback is not None
        return click.Command(name, params=options, callback=partial(run.callback, file=Path(name)))


@click.group(cls=FileOrCommand, short_help="Carry out many runs from one file.")
def sweep() -> None:
    """Carry out many runs from one file, as in `mu sweep ablation.yaml`.

    A sweep that was interrupted continues when it is started again; finished runs are not repeated.
    """


@sweep.command(short_help="Carry out the runs of a file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--on", type=click.Choice(["local", "ray"]), default="local", show_default=True,
              help="Processes of this machine, or tasks of a Ray cluster.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), metavar="N",
              help="Local: number of parallel runs; they share the cores, and each has one of the GPUs. Default: 1.")  # fmt: skip
@click.option("--address", metavar="HOST:PORT",
              help="Ray: a running cluster, or auto; all its nodes must see the workspace at the same path. "
                   "Default: one is started on this machine.")  # fmt: skip
@click.option("--cpus", type=click.FloatRange(min=0), metavar="X", help="Ray: CPUs of a run. Default: 1.")
@click.option("--gpus", type=click.FloatRange(min=0), metavar="X",
              help="Ray: GPUs of a run; 0.5 lets two share one. Default: 0.")  # fmt: skip
@click.option("--retries", type=click.IntRange(min=0), metavar="N",
              help="Ray: number of restarts of a run whose node is lost. Default: 3.")  # fmt: skip
@click.option(
    "--dry-run", is_flag=True, help="Show what would run, what has finished and how long it would take."
)
@trust_option
@workspace_option
@json_option
def run(
    file: Path,
    on: str,
    workers: int | None,
    address: str | None,
    cpus: float | None,
    gpus: float | None,
    retries: int | None,
    dry_run: bool,
    workspace_path: Path | None,
    as_json: bool,
) -> int:
    """Carry out the runs of FILE that have not finished, each in a process of its own."""
    from merginguriel.models import remote_code
    from merginguriel.runs import sweep as sweeps

    executor, at_once = executor_for(on, workers, address, cpus, gpus, retries)
    if not file.is_file():
        raise UsageError("no such file.", where=str(file), hint="See: mu sweep run --help")
    planned = sweeps.plan(space(workspace_path), file)
    if not remote_code.trusted() and any(member.table.get(TRUST) for member in planned.members):
        raise remote_code.not_by_file(TRUST, str(file))
    if dry_run:
        show_plan(planned, at_once, as_json)
        return OK
    try:
        with ProgressLine(planned.name) as bar:
            outcome = sweeps.carry_out(
                planned,
                executor,
                at_once=at_once,
                tell=lambda done, total, text, left: bar(done, total, text, left=left),
            )
    except KeyboardInterrupt:
        say(f"continue with: mu sweep run {shlex.quote(str(file))}")
        raise
    result = sweeps.standings(planned)
    if as_json:
        emit(
            {
                "sweep": planned.id,
                "known": outcome.known,
                "finished_now": outcome.finished,
                **described(result),
            }
        )
    else:
        click.echo(table(result))
    say(f"{outcome.known} known before, {outcome.finished} finished now, {len(outcome.failed)} not finished"
        f"  ({planned.space.display(planned.folder)})")  # fmt: skip
    for member, reason in outcome.failed:
        say(f"  {member.label}: {reason}\n    mu runs logs {member.id}")
    return FAILED if outcome.failed else OK


def executor_for(
    on: str,
    workers: int | None,
    address: str | None,
    cpus: float | None,
    gpus: float | None,
    retries: int | None,
) -> tuple[Any, int | None]:
    """Return the executor of the options, and how many runs it carries out at once (None: the cluster decides)."""
    from merginguriel.runs import executors

    for_ray: dict[str, Any] = {"address": address, "cpus": cpus, "gpus": gpus, "retries": retries}
    values = {name: value for name, value in for_ray.items() if value is not None}
    if on == "local":
        if values:
            raise UsageError(f"--{next(iter(values))} is for Ray only.", hint="Add: --on ray")
        return executors.Local(workers or 1), workers or 1
    if workers is not None:
        raise UsageError(
            "--workers is for this machine only: Ray runs as many at once as the nodes have room for.",
            hint="Set the resources of one run with --cpus and --gpus.",
        )
    return executors.Ray(**values), None


def show_plan(planned: Sweep, at_once: int | None, as_json: bool) -> None:
    """Print what a sweep would run, and how long it would take."""
    from merginguriel.runs import sweep as sweeps

    result = sweeps.standings(planned)
    remaining = [item for item in result if item.state != "finished"]
    item = sweeps.expected_seconds(planned, result)
    seconds = None if item is None or at_once is None else item * -(-len(remaining) // at_once)
    if as_json:
        emit({"sweep": planned.id, "asked": planned.asked, "to_run": len(remaining), "known": len(result) - len(remaining),
              "seconds_per_run": item, "seconds": seconds, **described(result)})  # fmt: skip
        return
    click.echo(table(result))
    same = planned.asked - len(result)
    say(f"{len(remaining)} to run, {len(result) - len(remaining)} known already"
        + (f"; {same} of the {planned.asked} points are the same run as another" if same else ""))  # fmt: skip
    if item is None:
        say("time: not known, no run of this kind has finished here")
    elif remaining:
        rate = f"{duration(item)} for one run, as before"
        say(f"time: {rate}" if seconds is None else f"time: about {duration(seconds)} ({rate})")


@sweep.command(short_help="Show the states of a sweep's runs.")
@click.argument("name", required=False)
@workspace_option
@json_option
def status(name: str | None, workspace_path: Path | None, as_json: bool) -> None:
    """Print the states of the runs of the sweep NAME; without a name, list all sweeps."""
    from merginguriel.runs import sweep as sweeps

    where = space(workspace_path)
    if name is not None:
        item = sweeps.get(where, name)
        result = sweeps.standings(item)
        active = sweeps.is_held(item)
        if as_json:
            emit({"sweep": item.id, "at_work": active, **described(result)})
            return
        click.echo(table(result))
        say(f"{counted(result)}; {'running' if active else 'not running'}")
        return
    known = [(item, sweeps.standings(item)) for item in sweeps.listed(where)]
    if as_json:
        emit(
            [
                {"sweep": item.id, "at_work": sweeps.is_held(item), "states": states(result)}
                for item, result in known
            ]
        )
        return
    click.echo(columns([[item.id, counted(result)] for item, result in known]))
    if not known:
        say("no sweeps in this workspace")


def described(members: list[MemberState]) -> dict[str, Any]:
    """Return the states of a sweep's runs as JSON data."""
    rows = [
        {
            "run": item.member.id,
            "varied": item.member.varied,
            "state": item.state,
            "metric": item.metric,
            "value": item.value,
            "seconds": item.seconds,
            "begun": item.begun,
            "error": item.error,
        }
        for item in members
    ]
    return {"states": states(members), "runs": rows}


def states(members: list[MemberState]) -> dict[str, int]:
    """Return the number of runs in each state."""
    counts = Counter(item.state for item in members)
    return {state: counts[state] for state in ORDER if counts[state]}


def counted(members: list[MemberState]) -> str:
    """Return the number of runs in each state as text."""
    return ", ".join(f"{count} {state}" for state, count in states(members).items()) or "no runs"


def table(members: list[MemberState]) -> str:
    """Return a line per run: the varied keys, the state, the score and the time."""
    keys = list(dict.fromkeys(key for item in members for key in item.member.varied))
    short = {key: key.rpartition(".")[2] for key in keys}
    if len(set(short.values())) < len(keys):
        short = {key: key for key in keys}
    from merginguriel.config.sweep_file import shown

    rows = [[*(short[key] for key in keys), "state", "score", "time", "run"]]
    for item in members:
        varied = [shown(item.member.varied[key]) if key in item.member.varied else "-" for key in keys]
        score = f"{item.value:.4f}" if item.value is not None else "-"
        seconds_text = duration(item.seconds) if item.seconds is not None else "-"
        rows.append([*varied, item.state, score, seconds_text, item.member.id])
    return columns(rows)

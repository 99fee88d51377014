"""`mu run`: carry out the run of a configuration, here or in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UsageError
from merginguriel.text.runs import plan_lines, result_lines

from .common import emit, json_option, plain, say, space, true_minus, workspace_option
from .progress import ProgressLine
from .study import trust_option

if TYPE_CHECKING:
    from merginguriel.config.schema import Config
    from merginguriel.workspace import Workspace

Command = Callable[..., Any]
TRUST = "trust_remote_code"  # the key of --trust-remote-code, which a file cannot turn on alone
set_option = click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a key: training.epochs=2. Repeat."
)


def section_options(section: str, names: Sequence[str], usual: object = None) -> Callable[[Command], Command]:
    """Add an option for each of these keys of a section of the configuration; unset where it is not given.

    usual: object with the defaults, which the help names.
    """
    from merginguriel.config.schema import KEYS

    def around(command: Command) -> Command:
        for name in reversed(names):
            key, default = KEYS[f"{section}.{name}"], getattr(usual, name, None)
            text = key.doc.replace("; unset: ", ". Default: ")
            flag = f"--{name.removesuffix('_pp').replace('_', '-')}"
            kind: Any = {"whole": int, "number": float}.get(key.kind)
            if kind and key.low is not None:
                kind = click.IntRange(int(key.low)) if kind is int else click.FloatRange(key.low)
            command = click.option(
                f"{flag}/--no-{flag[2:]}" if key.kind == "flag" else flag,
                name,
                type=click.Choice(key.choices) if key.choices else kind,
                default=None,
                help=f"{text[0].upper()}{text[1:]}." + (f" Default: {default}." if default else ""),
            )(command)
        return command

    return around


@click.command(short_help="Carry out an experiment that a YAML file describes.")
@click.argument("config_file", metavar="[CONFIG.yaml]", required=False, type=click.Path(path_type=Path))
@set_option
@click.option("--detach", is_flag=True, help="Run in a process of its own, which outlives this terminal.")
@click.option("--dry-run", is_flag=True, help="Show the run, its plan and configuration; run nothing.")
@trust_option
@json_option
@workspace_option
def run(
    config_file: Path | None,
    sets: tuple[str, ...],
    detach: bool,
    dry_run: bool,
    as_json: bool,
    workspace_path: Path | None,
) -> int:
    """Carry out the run that CONFIG.yaml describes.

    The same configuration is the same run: a finished run is shown, an interrupted one continues. Without a file, --set
    gives every key.

    \b
    mu run merge.yaml
    mu run merge.yaml --set k=3 --set similarity=URIEL --detach
    """
    from merginguriel.config import run_config as configs
    from merginguriel.models import remote_code
    from merginguriel.runs import resolve
    from merginguriel.workspace import writable

    where = writable(space(workspace_path))
    if config_file is None and not sets:
        raise UsageError(
            "no configuration.", hint="Name a file, or keys: --set target=sw-KE --set method=ties"
        )
    if remote_code.trusted():
        sets = (*sets, f"{TRUST}=true")
    config, locations = configs.read(config_file, sets)
    if config.trust_remote_code and locations[TRUST] != "--set":
        raise remote_code.not_by_file(TRUST, locations[TRUST])
    configuration = resolve.resolved(config, where, locations)
    if dry_run:
        table, text = preview(where, configuration)
        emit(table) if as_json else click.echo(f"{text}\n\n{configs.dump(configuration).rstrip()}")
        return 0
    return carry_out(where, config, detach, as_json)


def carry_out(where: Workspace, config: Config, detach: bool, as_json: bool) -> int:
    """Carry out the run of a configuration, or start it in a process of its own; print its result; return the exit code."""
    from merginguriel.runs import run_store, worker

    if detach:
        result, pid = worker.launch(where, config)
        if pid is not None:
            if as_json:
                emit({"run": result.id, "state": "running", "pid": pid})
            else:
                click.echo(result.id)
                say(f"running in process {pid}; watch it with: mu runs watch {result.id}")
            return 0
    result = run_store.create(where, config)
    if run_store.state(result) == "finished" and (changed := run_store.outdated(result)):
        say(f"note: {changed} changed since this run was made; the result shown is the old one.\n"
            f"To repeat the run, remove {where.display(result.folder)}")  # fmt: skip
    with ProgressLine(result.id) as bar:
        state = worker.execute(result, bar)
    if state != "finished":
        say(f"{result.id} is {state}; continue with: mu runs resume {result.id}")
        return 0 if state == "paused" else 130
    show(run_store.result(result), as_json)
    return 0


def preview(space: Workspace, config: Config) -> tuple[dict[str, Any], str]:
    """Return the run of a configuration and what it would do, for --dry-run: as JSON data and as text."""
    from merginguriel.config.run_config import as_table
    from merginguriel.runs import resolve, run_store
    from merginguriel.runs.planning import plan

    wanted = resolve.resolved(config, space)
    name, planned = run_store.run_id(wanted), plan(space, wanted)
    there = (space.runs / name / "config.yaml").is_file()
    state = run_store.state(run_store.get(space, name)) if there else "new"
    table = {"run": name, "state": state, "plan": planned.as_dict(), "config": as_table(wanted, every=True)}
    return table, f"{name}  {state}\n{plain(chr(10).join(plan_lines(planned, state)))}"


def show(result: dict[str, Any], as_json: bool) -> None:
    """Print a run's result: as JSON, or its main figures."""
    if as_json:
        emit(result)
        return
    click.echo(true_minus(plain("\n".join(result_lines(result)))))

"""`mu config`: show a run's configuration, and where each value comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UsageError
from merginguriel.text.runs import setting

from .common import columns, emit, json_option, plain, space, workspace_option
from .run import set_option

if TYPE_CHECKING:
    from merginguriel.workspace import Workspace


@click.group(short_help="Show the configuration of a run.")
def config() -> None:
    """Show the configuration of a run."""


@config.command(short_help="Show every key, its value and its origin.")
@click.argument("config_file", metavar="CONFIG.yaml", type=click.Path(path_type=Path))
@set_option
@click.option("--all", "every", is_flag=True, help="Include keys at their default, and explain each.")
@json_option
@workspace_option
def show(
    config_file: Path, sets: tuple[str, ...], every: bool, as_json: bool, workspace_path: Path | None
) -> None:
    """Print the configuration that CONFIG.yaml and the overrides give.

    Each value has its origin: the line of the file, --set, mu.toml, the models trained here, or the default. For a
    sweep's file, the shared values and those that vary are printed.
    """
    from merginguriel.config import run_config as configs
    from merginguriel.config import sweep_file
    from merginguriel.knowledge.parse.yaml_lines import read_text, read_yaml
    from merginguriel.runs import resolve
    from merginguriel.runs.run_store import run_id

    where = space(workspace_path)
    if config_file.is_file() and sweep_file.is_sweep(read_yaml(read_text(config_file), config_file)):
        if sets:
            raise UsageError("--set applies to the configuration of one run; this is a sweep's file.",
                             where=str(config_file), hint="Change the key under base: in the file.")  # fmt: skip
        show_sweep(config_file, where, every, as_json)
        return
    given, locations = configs.read(config_file, sets)
    result = resolve.resolved(given, where, locations)
    origins = resolve.origins(given, result, locations)
    values = configs.flat_values(result)
    selected = {name: value for name, value in values.items() if every or origins[name] != "default"}
    if as_json:
        table = {
            name: {"value": configs.plain(value), "from": origins[name], "doc": configs.KEYS[name].doc}
            for name, value in selected.items()
        }
        emit({"run": run_id(result), "digest": configs.digest(result), "keys": table})
        return
    rows = [
        [name, setting(value), origins[name], *([configs.KEYS[name].doc] if every else [])]
        for name, value in selected.items()
    ]
    click.echo(plain(f"{run_id(result)}\n{columns(rows)}"))


def show_sweep(path: Path, where: Workspace, every: bool, as_json: bool) -> None:
    """Print the values that all runs of a sweep share, with their origin, and the keys in which they differ, run by run."""
    from merginguriel.config import run_config as configs
    from merginguriel.config import sweep_file
    from merginguriel.runs import resolve
    from merginguriel.runs import sweep as sweeps
    from merginguriel.runs.run_store import run_id

    file = sweep_file.read(path)
    result: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for point in file.points():
        given, locations = sweeps.config_of(point, file)
        with sweeps.naming_point(point, file):
            whole = resolve.resolved(given, where, locations)
        result.setdefault(run_id(whole), configs.flat_values(whole))
        origins = resolve.origins(given, whole, locations)
    first = next(iter(result.values()))
    varied = [name for name in first if any(item[name] != first[name] for item in result.values())]
    alike = [n for n in first if n not in varied and (every or origins[n] != "default")]
    if as_json:
        doc = configs.KEYS
        emit({
            "sweep": file.name,
            "keys": {n: {"value": configs.plain(first[n]), "from": origins[n], "doc": doc[n].doc} for n in alike},
            "runs": {id: {n: configs.plain(item[n]) for n in varied} for id, item in result.items()},
        })  # fmt: skip
        return
    rows = [[n, setting(first[n]), origins[n], *([configs.KEYS[n].doc] if every else [])] for n in alike]
    runs = [["run", *varied], *([id, *(setting(item[n]) for n in varied)] for id, item in result.items())]
    click.echo(plain(f"{file.name}  {len(result)} runs\n{columns(rows)}\n\n{columns(runs)}"))

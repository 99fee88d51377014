"""`mu config`: what does a run's configuration come to, and where did each value come from?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UsageError

from .common import columns, emit, json_option, plain, space, workspace_option
from .run import set_option

if TYPE_CHECKING:
    from merginguriel.workspace import Workspace


@click.group(short_help="Show what a run's configuration comes to.")
def config() -> None:
    """Look into the configuration of a run."""


@config.command(short_help="Every key, its value, and where it came from.")
@click.argument("config_file", metavar="CONFIG.yaml", type=click.Path(path_type=Path))
@set_option
@click.option("--all", "every", is_flag=True, help="Keys at their default too, with what each means.")
@json_option
@workspace_option
def show(
    config_file: Path, sets: tuple[str, ...], every: bool, as_json: bool, workspace_path: Path | None
) -> None:
    """Print what CONFIG.yaml comes to with the overrides, and where each value came from: the line of the file, --set,
    mu.toml, what is trained here, or the default. Of a sweep's file: what its runs share, and what tells them apart.
    """
    from merginguriel.config import run_config as configs
    from merginguriel.config import sweep_file
    from merginguriel.knowledge.parse.yaml_lines import read_text, read_yaml
    from merginguriel.runs import resolve
    from merginguriel.runs.run_store import run_id

    where = space(workspace_path)
    if config_file.is_file() and sweep_file.is_sweep(read_yaml(read_text(config_file), config_file)):
        if sets:
            raise UsageError("--set is for the configuration of one run, and this is a sweep's file.",
                             where=str(config_file), mend="Change it under base: there.")  # fmt: skip
        show_sweep(config_file, where, every, as_json)
        return
    given, places = configs.read(config_file, sets)
    found = resolve.resolved(given, where, places)
    origins = resolve.origins(given, found, places)
    values = configs.flat_values(found)
    shown = {name: value for name, value in values.items() if every or origins[name] != "default"}
    if as_json:
        table = {
            name: {"value": configs.plain(value), "from": origins[name], "doc": configs.KEYS[name].doc}
            for name, value in shown.items()
        }
        emit({"run": run_id(found), "digest": configs.digest(found), "keys": table})
        return
    rows = [
        [name, text_of(value), origins[name], *([configs.KEYS[name].doc] if every else [])]
        for name, value in shown.items()
    ]
    click.echo(plain(f"{run_id(found)}\n{columns(rows)}"))


def show_sweep(path: Path, where: Workspace, every: bool, as_json: bool) -> None:
    """What all runs of a sweep's file have alike, with its origin, and run by run the keys in which they differ."""
    from merginguriel.config import run_config as configs
    from merginguriel.config import sweep_file
    from merginguriel.runs import resolve
    from merginguriel.runs import sweep as sweeps
    from merginguriel.runs.run_store import run_id

    asked = sweep_file.read(path)
    found: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for point in asked.points():
        given, places = sweeps.config_of(point, asked)
        with sweeps.told_which(point, asked):
            whole = resolve.resolved(given, where, places)
        found.setdefault(run_id(whole), configs.flat_values(whole))
        origins = resolve.origins(given, whole, places)
    first = next(iter(found.values()))
    varied = [name for name in first if any(one[name] != first[name] for one in found.values())]
    alike = [n for n in first if n not in varied and (every or origins[n] != "default")]
    if as_json:
        doc = configs.KEYS
        emit({
            "sweep": asked.name,
            "keys": {n: {"value": configs.plain(first[n]), "from": origins[n], "doc": doc[n].doc} for n in alike},
            "runs": {id: {n: configs.plain(one[n]) for n in varied} for id, one in found.items()},
        })  # fmt: skip
        return
    rows = [[n, text_of(first[n]), origins[n], *([configs.KEYS[n].doc] if every else [])] for n in alike]
    runs = [["run", *varied], *([id, *(text_of(one[n]) for n in varied)] for id, one in found.items())]
    click.echo(plain(f"{asked.name}  {len(found)} runs\n{columns(rows)}\n\n{columns(runs)}"))


def text_of(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={inner}" for name, inner in value.items()) or "-"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)

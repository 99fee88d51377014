"""`mu config`: what does a run's configuration come to, and where did each value come from?"""

from __future__ import annotations

from pathlib import Path

import click

from .common import columns, emit, json_option, plain, space, workspace_option
from .run import set_option


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
    mu.toml, what is trained here, or the default.
    """
    from ..experiments import config as configs
    from ..experiments.runs import run_id

    given, places = configs.read(config_file, sets)
    found = configs.resolved(given, space(workspace_path), places)
    origins = configs.origins(given, found, places)
    values = configs.flat_values(found)
    shown = {name: value for name, value in values.items() if every or origins[name] != "default"}
    if as_json:
        table = {
            name: {"value": configs.values.plain(value), "from": origins[name], "doc": configs.KEYS[name].doc}
            for name, value in shown.items()
        }
        emit({"run": run_id(found), "digest": configs.digest(found), "keys": table})
        return
    rows = [
        [name, text_of(value), origins[name], *([configs.KEYS[name].doc] if every else [])]
        for name, value in shown.items()
    ]
    click.echo(plain(f"{run_id(found)}\n{columns(rows)}"))


def text_of(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={inner}" for name, inner in value.items()) or "-"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)

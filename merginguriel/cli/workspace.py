"""`mu init` and `mu completion`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from merginguriel import workspace
from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.rows import check_context

from .common import emit, json_option, say


@click.command(short_help="Create a workspace with the shipped knowledge.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--context", help="Task and base model that questions are about.", default=None)
@click.option("--restore", is_flag=True, help="Restore missing shipped skills and entries.")
@click.option("--empty", is_flag=True, help="Skills only, no entries of the original study.")
@json_option
def init(folder: Path, context: str | None, restore: bool, empty: bool, as_json: bool) -> None:
    """Turn FOLDER (default: here) into a workspace: skills/, experiment_log/, mu.toml, AGENTS.md.

    It starts with the knowledge that ships with the program. Existing files are not changed.
    """
    marker = folder / workspace.MARKER
    if marker.exists() and not restore:
        raise UsageError(
            f"{folder} is already a workspace.", hint="Restore missing files with: mu init --restore"
        )
    if context is not None:
        check_context(context)
    created = workspace.seed(folder, context=context, empty=empty)
    context_name = str(workspace.read_settings(marker)["context"])
    from merginguriel.study.capabilities import first_target

    place = workspace.find(explicit=folder)
    from merginguriel.tasks.registry import tasks

    task = context_name.partition("/")[0]
    if task not in tasks():
        say(
            f"note: unknown task {task}: the program can answer from the log, but not train or score. See: mu tasks"
        )
    if as_json:
        emit({"workspace": str(folder.resolve()), "files": created})
        return
    skills = sum(name.endswith("SKILL.md") for name in created)
    entries = sum(name.startswith("experiment_log") and name.endswith(".md") for name in created)
    click.echo(f"{folder.resolve()}")
    say(f"{skills} skills, {entries} log entries written. "
        f"Next: cd {shlex.quote(str(folder))} && mu advise --target {first_target(place, context_name)}")  # fmt: skip


@click.command(short_help="Print shell completion: bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: mu completion bash >> ~/.bashrc
    zsh:  mu completion zsh >> ~/.zshrc
    fish: mu completion fish > ~/.config/fish/completions/mu.fish
    """
    from click.shell_completion import get_completion_class

    from .main import mu

    result = get_completion_class(shell)
    assert result is not None
    click.echo(result(mu, {}, "mu", "_MU_COMPLETE").source())

"""Options and output that several commands share."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel import locales, workspace
from merginguriel.errors import UsageError
from merginguriel.text.tables import columns, plain, true_minus

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge

__all__ = ["columns", "plain", "true_minus"]

Command = Callable[..., Any]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
workspace_option = click.option(
    "--workspace",
    "workspace_path",
    type=click.Path(path_type=Path, file_okay=False),
    help="The workspace to use, instead of the nearest one upwards from here.",
)


def stacked(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that adds these options to a command, in this order."""

    def around(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return around


class LocaleType(click.ParamType):
    """A locale tag; an unknown one is answered with the most similar tags."""

    name = "locale"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the canonical tag."""
        try:
            return locales.get(str(value)).tag
        except UsageError as error:
            return locales.get(str(value), prefer=_logged(ctx, error)).tag

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the locales whose tag or name starts with the text."""
        from click.shell_completion import CompletionItem

        prefix = incomplete.lower()
        return [
            CompletionItem(tag, help=locale.name)
            for tag, locale in locales.table().items()
            if tag.lower().startswith(prefix) or locale.name.lower().startswith(prefix)
        ]


def _logged(ctx: click.Context | None, error: UsageError) -> set[str]:
    """Return the locales that the log mentions; they are preferred as suggestions."""
    from merginguriel.errors import MuError
    from merginguriel.knowledge.base import load

    try:
        knowledge = load(space(ctx.params.get("workspace_path") if ctx else None))
    except MuError:
        raise error from None
    return {name for row in knowledge.rows for name in (row.target, *row.sources)}


class ShowGroup(click.Group):
    """A group whose subcommand `show` may be left out: `mu tasks home` is `mu tasks show home`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `show` where the first word is neither a subcommand nor a call for help."""
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


class DateType(click.ParamType):
    """A day as YYYY-MM-DD, the only form that compares with the log's dates."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the day; raise UsageError for another form."""
        from merginguriel.knowledge.parse.row_parser import is_day

        if not is_day(str(value)):
            raise UsageError(f"{str(value)!r} is not a date.", hint="YYYY-MM-DD")
        return str(value)


LOCALE = LocaleType()
DATE = DateType()


def space(path: Path | None) -> workspace.Workspace:
    """Return the workspace at `path`, or the nearest one upwards."""
    return workspace.find(explicit=path)


def known(where: workspace.Workspace, *, as_of: str | None = None) -> Knowledge:
    """Return the knowledge of a workspace; say on stderr how many of its files have problems."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.problems import summary

    knowledge = load(where, as_of=as_of)
    if knowledge.problems:
        say(summary(knowledge.problems))
    return knowledge


def emit(value: object) -> None:
    """Print JSON on stdout, indented, with control characters escaped."""
    click.echo(printable(json.dumps(value, ensure_ascii=False, indent=2)))


def printable(text: str) -> str:
    """Return JSON text with every unprintable character escaped; its meaning is the same."""
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def say(text: str) -> None:
    """Print narration on stderr; stdout is for data."""
    click.echo(text, err=True)


def text_width() -> int:
    """Return the columns for running text: the terminal's, from 60 to 120; 80 without a terminal."""
    width = terminal_width()
    return 80 if width is None else min(max(width, 60), 120)


def terminal_width() -> int | None:
    """Return the terminal's columns; None where stdout is no terminal."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return None


def program(start: Path) -> str:
    """Return how a user in the folder `start` calls this program: `mu`, or its path if it is not on PATH."""
    called = Path(sys.argv[0])
    if called.name != "mu" or shutil.which("mu"):
        return "mu"
    return os.path.relpath(called.absolute(), start.resolve())

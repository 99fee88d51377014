"""Options and output that several commands share."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from merginguriel import locales, workspace
from merginguriel.errors import UsageError
from merginguriel.text.tables import columns, plain, true_minus

__all__ = ["columns", "plain", "true_minus"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def workspace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--workspace",
        "workspace_path",
        type=click.Path(path_type=Path, file_okay=False),
        help="The workspace to use, instead of the nearest one upwards from here.",
    )(command)


class LocaleType(click.ParamType):
    """A locale's tag; a wrong one is answered with the nearest valid ones."""

    name = "locale"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return locales.get(str(value)).tag
        except UsageError as error:
            return locales.get(str(value), prefer=_logged(ctx, error)).tag

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list[Any]:
        from click.shell_completion import CompletionItem

        wanted = incomplete.lower()
        return [
            CompletionItem(tag, help=locale.name)
            for tag, locale in locales.table().items()
            if tag.lower().startswith(wanted) or locale.name.lower().startswith(wanted)
        ]


def _logged(ctx: click.Context | None, error: UsageError) -> set[str]:
    """Locales that the log speaks of: of several valid ones, the likelier to be meant."""
    from merginguriel.errors import MuError
    from merginguriel.knowledge.base import load

    try:
        knowledge = load(space(ctx.params.get("workspace_path") if ctx else None))
    except MuError:
        raise error from None
    return {name for row in knowledge.rows for name in (row.target, *row.sources)}


class DateType(click.ParamType):
    """A day as YYYY-MM-DD. Other ways to write one would not compare with the log's."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from datetime import date

        text = str(value)
        try:
            day = date.fromisoformat(text).isoformat()
        except ValueError:
            day = ""
        if day != text:
            raise UsageError(f"{text!r} is not a date.", mend="YYYY-MM-DD")
        return text


LOCALE = LocaleType()
DATE = DateType()


def space(path: Path | None) -> workspace.Workspace:
    return workspace.find(explicit=path)


def emit(value: object) -> None:
    """JSON on stdout, readable and in the order it was made; what a terminal would obey is escaped."""
    click.echo(printable(json.dumps(value, ensure_ascii=False, indent=2)))


def printable(text: str) -> str:
    """JSON text with every character that is not printable escaped; it says the same."""
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def say(text: str) -> None:
    """Narration goes to stderr, so that stdout stays data."""
    click.echo(text, err=True)


def text_width() -> int:
    """Columns for running text: the terminal's, within reason; 80 where stdout is no terminal."""
    width = terminal_width()
    return 80 if width is None else min(max(width, 60), 120)


def terminal_width() -> int | None:
    """Columns of the terminal; None where stdout is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return None


def program(start: Path) -> str:
    """How a user in the folder `start` calls this program: `mu`, or its path if the shell would not find it."""
    called = Path(sys.argv[0])
    if called.name != "mu" or shutil.which("mu"):
        return "mu"
    return os.path.relpath(called.absolute(), start.resolve())


def counted(count: int, noun: str) -> str:
    """`1 row`, `2 rows`, `1,048 rows`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"

"""Command line of `mu-tui`."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import click

from merginguriel import workspace
from merginguriel.errors import USER_ERRORS, UsageError, as_mu_error

from . import gc_pause

SCREENS = ("home", "advise", "skills", "log", "runs", "compare", "matrix")


HELP = """Ask, launch, watch, compare and log from one terminal screen.

SCREEN and WHAT open a place: a target, a skill, an entry, runs.

\b
mu-tui
mu-tui advise sw-KE
mu-tui runs RUN
mu-tui compare RUN RUN
"""


@click.command(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("screen", type=click.Choice(SCREENS), required=False)
@click.argument("what", nargs=-1)
@click.option("--workspace", "path", type=click.Path(path_type=Path, file_okay=False),
              help="Workspace folder. Default: the current folder or the nearest one above it.")  # fmt: skip
@click.option(
    "--demo",
    is_flag=True,
    help="Open a temporary copy of the shipped knowledge; it is removed unless you add files.",
)
@click.option(
    "--mouse/--no-mouse",
    default=True,
    help="With --no-mouse, the terminal handles the mouse, for example to select text.",
)
def mu_tui(screen: str | None, what: tuple[str, ...], path: Path | None, demo: bool, mouse: bool) -> None:
    """Run `mu-tui`."""
    if not sys.stdin.isatty() and "TEXTUAL_DRIVER" not in os.environ:
        raise UsageError("the input is not a terminal.", hint="Without one: mu advise, mu runs list …")
    if demo:
        show_demo(screen, what, mouse=mouse)
    else:
        show(workspace.find(explicit=path), screen, what, mouse=mouse)


def show(
    space: workspace.Workspace,
    screen: str | None,
    what: tuple[str, ...],
    *,
    demo: bool = False,
    mouse: bool = True,
) -> None:
    """Run the application until the user quits.

    Raises:
        click.exceptions.Exit: The application ended with an error.
    """
    gc_pause.wait()
    from .app import MuApp

    app = MuApp(space, screen=screen, what=what, demo=demo)
    app.run(mouse=mouse)
    for path in app.drafts_outside:
        click.echo(f"the draft could not be saved in the workspace. It is in {path}", err=True)
    if app.return_code:
        raise click.exceptions.Exit(app.return_code)


def show_demo(screen: str | None, what: tuple[str, ...], *, mouse: bool = True) -> None:
    """Run on a temporary copy of the shipped knowledge; keep the copy if new files were made in it."""
    folder = Path(tempfile.mkdtemp(prefix="mu-demo-"))
    # Clean up too if the terminal is closed.
    before = signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    saved: set[Path] = set()
    try:
        workspace.seed(folder)
        saved = set(folder.rglob("*"))
        show(workspace.find(explicit=folder), screen, what, demo=True, mouse=mouse)
    finally:
        signal.signal(signal.SIGHUP, before)
        if any(path not in saved and path.is_file() for path in folder.rglob("*")):
            click.echo(f"the files made in the demo are in {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Entry point: report a MuError as `mu` does, never as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # A locale without UTF-8 (LC_ALL=C) must not stop the drawing: terminals read UTF-8.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        mu_tui.main(standalone_mode=False, prog_name="mu-tui")
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except USER_ERRORS as error:
        known = as_mu_error(error)
        if known is None:
            raise
        from merginguriel.text.tables import plain

        click.echo(plain(f"mu-tui: {known.render()}"), err=True)
        sys.exit(known.exit_code or 1)


if __name__ == "__main__":
    main()

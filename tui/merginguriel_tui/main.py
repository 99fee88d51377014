"""How is `mu-tui` started, and what does it open on?"""

from __future__ import annotations

import io
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import click

from merginguriel import workspace
from merginguriel.errors import TOLD, told

from . import gc_pause

SCREENS = ("advise", "skills", "log", "runs", "compare", "matrix")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("screen", type=click.Choice(SCREENS), required=False)
@click.argument("what", nargs=-1)
@click.option("--workspace", "path", type=click.Path(path_type=Path, file_okay=False),
              help="The workspace to use, instead of the nearest one upwards from here.")  # fmt: skip
@click.option(
    "--demo", is_flag=True, help="Look around in a copy of the shipped knowledge, which is then removed."
)
@click.option(
    "--mouse/--no-mouse", default=True, help="Leave the mouse to the terminal, as for selecting text."
)
def mu_tui(screen: str | None, what: tuple[str, ...], path: Path | None, demo: bool, mouse: bool) -> None:
    """Ask, launch, watch, compare, write down.

    SCREEN and WHAT open a place: a target, a skill, an entry, runs.

    \b
    mu-tui
    mu-tui advise sw-KE
    mu-tui runs RUN
    mu-tui compare RUN RUN
    """
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
    gc_pause.wait()
    from .app import MuApp

    app = MuApp(space, screen=screen, what=what, demo=demo)
    app.run(mouse=mouse)
    for path in app.elsewhere_kept:
        click.echo(f"the draft could not be kept in the workspace; it is in {path}", err=True)
    if app.return_code:
        raise click.exceptions.Exit(app.return_code)


def show_demo(screen: str | None, what: tuple[str, ...], *, mouse: bool = True) -> None:
    """On a copy, so that nothing is written into the package. With something in it that was made there, the copy stays."""
    folder = Path(tempfile.mkdtemp(prefix="mu-demo-"))
    # The terminal is closed: the copy is looked after all the same.
    before = signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    given: set[Path] = set()
    try:
        workspace.seed(folder)
        given = set(folder.rglob("*"))
        show(workspace.find(explicit=folder), screen, what, demo=True, mouse=mouse)
    finally:
        signal.signal(signal.SIGHUP, before)
        if any(path not in given and path.is_file() for path in folder.rglob("*")):
            click.echo(f"what was made in the demo is in {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Entry point: a MuError is told as `mu` tells it, never as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # A locale without UTF-8 (LC_ALL=C) must not stop the drawing: terminals read UTF-8 all the same.
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
    except TOLD as error:
        said = told(error)
        if said is None:
            raise
        from merginguriel.text.tables import plain

        click.echo(plain(f"mu-tui: {said.render()}"), err=True)
        sys.exit(said.exit_code or 1)


if __name__ == "__main__":
    main()

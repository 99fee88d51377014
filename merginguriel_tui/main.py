"""How is `mu-tui` started, and what does it open on?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from merginguriel import workspace
from merginguriel.errors import MuError

SCREENS = ("advise", "skills", "log", "runs", "compare", "matrix")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("screen", type=click.Choice(SCREENS), required=False)
@click.argument("what", nargs=-1)
@click.option("--workspace", "path", type=click.Path(path_type=Path, file_okay=False),
              help="The workspace to use, instead of the nearest one upwards from here.")  # fmt: skip
@click.option("--demo", is_flag=True, help="Look around in the knowledge that ships with the program.")
def mu_tui(screen: str | None, what: tuple[str, ...], path: Path | None, demo: bool) -> None:
    """Ask, launch, watch, compare, write down.

    SCREEN and WHAT open a place: a target, a skill, an entry, runs.

    \b
    mu-tui
    mu-tui advise sw-KE
    mu-tui runs RUN
    mu-tui compare RUN RUN
    """
    space = workspace.shipped() if demo else workspace.find(explicit=path)
    from .app import MuApp

    MuApp(space, screen=screen, what=what).run()


def main() -> None:
    """Entry point: a MuError is told as `mu` tells it, never as a traceback."""
    try:
        mu_tui.main(standalone_mode=False, prog_name="mu-tui")
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except MuError as error:
        click.echo(f"mu-tui: {error.render()}", err=True)
        sys.exit(error.exit_code or 1)


if __name__ == "__main__":
    main()

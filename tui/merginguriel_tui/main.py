"""Command line of `mu-tui`."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from merginguriel import workspace
from merginguriel.errors import USER_ERRORS, UsageError, as_mu_error

from . import gc_pause

SCREENS = ("home", "advise", "skills", "log", "runs", "compare", "matrix")


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line. Click would take a thirtieth of the time to the first paint."""
    asked = argparse.ArgumentParser(
        prog="mu-tui",
        description="Ask, launch, watch, compare and log from one terminal screen.",
        epilog="mu-tui\nmu-tui advise sw-KE\nmu-tui runs RUN\nmu-tui compare RUN RUN",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("screen", nargs="?", choices=SCREENS, metavar="SCREEN", help=", ".join(SCREENS))
    asked.add_argument(
        "what", nargs="*", metavar="WHAT", help="what to open there: a target, a skill, an entry, runs"
    )
    asked.add_argument(
        "--workspace",
        type=Path,
        metavar="DIR",
        help="default: the current folder or the nearest one above it",
    )
    asked.add_argument(
        "--demo",
        action="store_true",
        help="open a temporary copy of the shipped knowledge; it is removed unless you add files",
    )
    asked.add_argument(
        "--mouse",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with --no-mouse, the terminal handles the mouse, for example to select text",
    )
    return asked


def begin() -> int:
    """Run `mu-tui` on the command line, and return the exit code."""
    given = arguments().parse_intermixed_args()
    if not sys.stdin.isatty() and "TEXTUAL_DRIVER" not in os.environ:
        raise UsageError("the input is not a terminal.", hint="Without one: mu advise, mu runs list …")
    where = (given.screen, tuple(given.what))
    if given.demo:
        return show_demo(*where, mouse=given.mouse)
    return show(workspace.find(explicit=given.workspace), *where, mouse=given.mouse)


def show(
    space: workspace.Workspace,
    screen: str | None,
    what: tuple[str, ...],
    *,
    demo: bool = False,
    mouse: bool = True,
) -> int:
    """Run the application until the user quits, and return the exit code."""
    gc_pause.wait()
    from .app import MuApp

    app = MuApp(space, screen=screen, what=what, demo=demo)
    app.run(mouse=mouse)
    for path in app.drafts_outside:
        print(f"the draft could not be saved in the workspace. It is in {path}", file=sys.stderr)
    return app.return_code or 0


def show_demo(screen: str | None, what: tuple[str, ...], *, mouse: bool = True) -> int:
    """Run on a temporary copy of the shipped knowledge; keep the copy if new files were made in it."""
    folder = Path(tempfile.mkdtemp(prefix="mu-demo-"))
    # Clean up too if the terminal is closed.
    before = signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    saved: set[Path] = set()
    try:
        workspace.seed(folder)
        saved = set(folder.rglob("*"))
        return show(workspace.find(explicit=folder), screen, what, demo=True, mouse=mouse)
    finally:
        signal.signal(signal.SIGHUP, before)
        if any(path not in saved and path.is_file() for path in folder.rglob("*")):
            print(f"the files made in the demo are in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Entry point: report a MuError as `mu` does, never as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # A locale without UTF-8 (LC_ALL=C) must not stop the drawing: terminals read UTF-8.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        sys.exit(begin())
    except KeyboardInterrupt:
        sys.exit(130)
    except USER_ERRORS as error:
        known = as_mu_error(error)
        if known is None:
            raise
        from merginguriel.text.tables import plain

        print(plain(f"mu-tui: {known.render()}"), file=sys.stderr)
        sys.exit(known.exit_code or 1)


if __name__ == "__main__":
    main()

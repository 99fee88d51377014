"""Pictures of `mu-tui` for the README, from the program itself on the shipped knowledge: all six screens.

    python scripts/tui_pictures.py                  # docs/images/tui-*.svg, and .png where cairosvg is installed
    python scripts/tui_pictures.py --only matrix --out DIR

Runs are shown from `--workspace`, for the shipped knowledge has none; without it, those screens show what they say then.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from merginguriel.workspace import Workspace
    from merginguriel_tui.app import MuApp

SIZE = (132, 40)
# screen → what it opens on, and the keys that are pressed then
SHOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "advise": (("sw-KE",), ()),
    "skills": ((), ()),
    "log": ((), ()),
    "runs": ((), ()),
    "compare": ((), ()),
    "matrix": (("home/e5-small", "log", "gl-ES"), ("down", "down", "down", "down", "o")),
}


async def settled(app: MuApp, pilot: Pilot[None]) -> None:
    """Until everything is loaded; what rests before it loads, too."""
    for _ in range(2):
        await pilot.pause(0.3)
        while any(worker.is_running for worker in app.workers):
            await pilot.pause(0.05)
    await pilot.pause()


async def picture(space: Workspace, screen: str, path: Path) -> None:
    from merginguriel_tui.app import MuApp

    what, keys = SHOWN[screen]
    app = MuApp(space, screen=screen, what=what)
    async with app.run_test(size=SIZE) as pilot:
        await settled(app, pilot)
        for key in keys:
            await pilot.press(key)
        await settled(app, pilot)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(app.export_screenshot(title=f"mu-tui {screen}"), encoding="utf-8")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", choices=list(SHOWN), action="append")
    asked.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    asked.add_argument("--workspace", type=Path)
    wanted = asked.parse_args()
    # Asked before textual is imported: the same colours wherever the script runs, and nobody's last session.
    os.environ |= {"TEXTUAL_COLOR_SYSTEM": "truecolor", "COLORTERM": "truecolor"}
    os.environ.pop("NO_COLOR", None)

    from merginguriel import workspace

    space = workspace.find(explicit=wanted.workspace) if wanted.workspace else workspace.shipped()
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        for screen in wanted.only or SHOWN:
            path = wanted.out / f"tui-{screen}.svg"
            asyncio.run(picture(space, screen, path))
            print(path)
            if as_png(path):
                print(path.with_suffix(".png"))


def as_png(path: Path) -> bool:
    """The same as a PNG, where cairosvg is installed."""
    try:
        from cairosvg import svg2png
    except ImportError:
        print("no PNG: cairosvg is not installed.", file=sys.stderr)
        return False
    # Its fonts come from the system, and a font of unequal widths would tear the columns apart.
    text = path.read_text(encoding="utf-8").replace("Fira Code", "DejaVu Sans Mono")
    svg2png(bytestring=text.encode(), write_to=str(path.with_suffix(".png")), scale=1.5)
    return True


if __name__ == "__main__":
    main()

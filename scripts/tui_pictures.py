"""Draw pictures of `mu-tui` for the README: the home screen, all others, and the screen of a run.

    python scripts/tui_pictures.py --workspace ~/merging         # docs/images/tui-*.png
    python scripts/tui_pictures.py --workspace ~/merging --only matrix --svg --out DIR

The workspace should have runs (`mu sweep examples/similarity-type.yaml`); a running one is drawn as running. The pictures
of the README show a workspace after that sweep. PNGs are made by resvg
(`pip install resvg-py pillow`) with the font DejaVu Sans Mono, which must be installed.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merginguriel_tui.app import MuApp
    from textual.pilot import Pilot

    from merginguriel.workspace import Workspace

SIZE = (120, 40)
# picture → the screen, what to open on it, and the keys to press
SHOWN: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "home": ("home", (), ()),
    "advise": ("advise", ("gl-ES", "home/e5-small"), ()),
    "skills": ("skills", ("merging-when-constructive",), ("c", "down", "enter")),
    "log": ("log", (), ("down",)),
    "runs": ("runs", (), ("down", "space", "space")),
    "compare": ("compare", (), ()),
    "matrix": ("matrix", ("home/e5-small", "log", "da-DK"), ("down", "down", "down", "down", "o")),
    "run": ("runs", (), ()),
}
# Width of a letter: 0.61 of its size in Textual's SVG, 0.602 in DejaVu Sans Mono.
FONT = {"Fira Code": "DejaVu Sans Mono", "font-size: 20px": "font-size: 20.27px"}


async def settled(app: MuApp, pilot: Pilot[None]) -> None:
    """Wait until everything is loaded, including parts that load once the cursor rests."""
    for _ in range(3):
        await pilot.pause(0.3)
        while any(worker.is_running for worker in app.workers):
            await pilot.pause(0.05)
    await pilot.pause()


def chosen(space: Workspace, name: str) -> tuple[str, ...]:
    """Return what to open: three merges for one target, or the newest merge."""
    from merginguriel.runs import run_index

    if name == "run":
        merged, _ = run_index.listed(space, 1, state="finished", kind="merge")
        return tuple(row["id"] for row in merged)
    of: dict[str, dict[float, dict[str, Any]]] = {}
    for row in run_index.listed(space, 500, state="finished", kind="merge")[0]:
        of.setdefault(str(row["target"]), {})[row["best"]] = row
    enough = [list(found.values())[:3] for found in of.values() if len(found) > 2]
    # Take the target whose merges differ most.
    far = max(
        enough, key=lambda rows: max(r["best"] for r in rows) - min(r["best"] for r in rows), default=[]
    )
    return tuple(row["id"] for row in far)


async def picture(space: Workspace, name: str, path: Path, theme: str) -> None:
    """Draw one screen as SVG."""
    from merginguriel_tui.app import MuApp

    screen, what, keys = SHOWN[name]
    app = MuApp(
        space, screen=screen, what=what or (chosen(space, name) if name in ("compare", "run") else ())
    )
    async with app.run_test(size=SIZE) as pilot:
        app.theme = theme
        await settled(app, pilot)
        for key in keys:
            await pilot.press(key)
            await settled(app, pilot)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(app.export_screenshot(title=f"mu-tui {screen}"), encoding="utf-8")


def main() -> None:
    """Draw the pictures that the command line asks for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--workspace", type=Path, required=True)
    asked.add_argument("--only", choices=list(SHOWN), action="append")
    asked.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    asked.add_argument("--theme", default="textual-dark")
    asked.add_argument("--svg", action="store_true", help="keep the SVG that a PNG is made of")
    wanted = asked.parse_args()
    # Set before textual is imported: the same colours everywhere, and no earlier session.
    os.environ |= {"TEXTUAL_COLOR_SYSTEM": "truecolor", "COLORTERM": "truecolor"}
    os.environ.pop("NO_COLOR", None)

    from merginguriel import workspace

    space, out = workspace.find(explicit=wanted.workspace.resolve()), wanted.out.resolve()
    os.chdir(space.root)  # so that the commands shown need no --workspace
    for name in wanted.only or SHOWN:
        with tempfile.TemporaryDirectory() as state:
            os.environ["XDG_STATE_HOME"] = state
            path = out / f"tui-{name}.svg"
            asyncio.run(picture(space, name, path, wanted.theme))
        if as_png(path) and not wanted.svg:
            path.unlink()
            path = path.with_suffix(".png")
        print(path)


def as_png(path: Path) -> bool:
    """Write the picture as a PNG of 64 colours; return False if resvg or Pillow is not installed."""
    try:
        import resvg_py
        from PIL import Image
    except ImportError as error:
        print(f"no PNG: {error.name} is not installed.", file=sys.stderr)
        return False
    text = path.read_text(encoding="utf-8")
    for theirs, ours in FONT.items():
        text = text.replace(theirs, ours)
    drawn = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=text))))
    # Its corners are transparent; a palette holds that too.
    drawn.quantize(64, method=Image.Quantize.FASTOCTREE).save(path.with_suffix(".png"), optimize=True)
    return True


if __name__ == "__main__":
    main()

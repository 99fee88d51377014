"""Colours of the matrix against an SVG picture. Text cannot test the shade of each cell; the other screens need no picture.

MU_RENEW=1 pytest tests/tui/test_snapshots.py      # writes it anew: look at it, then commit it
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from looking import settled
from merginguriel_tui.app import MuApp
from places import furnished, ready, whats
from run_screens import until

KEPT = Path(__file__).parent / "snapshots"
SVG = "{http://www.w3.org/2000/svg}"
HEAT = 400  # pixels from the top that the heat map takes; the words below it are tested as text


def content(svg):
    """[(x, y, text, style)] and the coloured boxes: what is seen, without the ids that differ each time."""
    styles = {
        name.rpartition("-")[2]: result.strip()
        for name, result in re.findall(r"\.([\w-]+-r\d+) \{([^}]*)\}", svg)
    }
    found = []
    for one in ElementTree.fromstring(svg).iter():
        look = styles.get(one.get("class", "").rpartition("-")[2], "")
        if one.tag == f"{SVG}text" and look and (one.text or "").strip("\xa0 "):
            found.append((float(one.get("y", 0)), float(one.get("x", 0)), one.text, look))
        elif one.tag == f"{SVG}rect" and one.get("shape-rendering"):
            found.append((float(one.get("y", 0)), float(one.get("x", 0)), one.get("width"), one.get("fill")))
    return sorted(one for one in found if one[0] < HEAT)


@pytest.mark.slow
def test_the_matrix_looks_as_it_did(bench, monkeypatch, tmp_path):
    import asyncio

    space, runs = furnished(bench)
    monkeypatch.chdir(space.root)  # so that no path of this machine is shown

    async def look():
        app = MuApp(space, screen="matrix", what=whats(runs).get("matrix", ()), demo=True)
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(app, pilot)
            await until(app, pilot, lambda: ready(app.screen))
            await settled(app, pilot)  # the matrix chooses sources once its cursor rests
            return app.export_screenshot(title="mu-tui")

    now, kept = asyncio.run(look()), KEPT / "matrix.svg"
    if os.environ.get("MU_RENEW"):
        KEPT.mkdir(exist_ok=True)
        kept.write_text(now, encoding="utf-8")
    new = tmp_path / "matrix.svg"
    new.write_text(now, encoding="utf-8")
    was, seen = content(kept.read_text(encoding="utf-8")), content(now)
    assert len(was) > 20
    gone, come = [one for one in was if one not in seen], [one for one in seen if one not in was]
    assert not gone and not come, (
        f"the matrix looks different: open {new} beside {kept} in a browser; if that is intended, renew with MU_RENEW=1.\n"
        f"gone: {gone[:8]}\ncome: {come[:8]}"
    )

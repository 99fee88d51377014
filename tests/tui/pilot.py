"""The real program in Textual's test terminal, with a workspace of its own."""

from __future__ import annotations

import asyncio

from merginguriel_tui.app import MuApp


def play(space, script, *, size=(80, 24), screen=None, what=()):
    """Run `async def script(app, pilot)` on a terminal of this size, beginning at a screen."""

    async def run():
        app = MuApp(space, screen=screen, what=tuple(what))
        async with app.run_test(size=size) as pilot:
            await script(app, pilot)

    asyncio.run(run())

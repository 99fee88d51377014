"""How is a screen of mu-tui tried out? Its real application on a real workspace, without a terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from textual.worker import WorkerCancelled

from merginguriel.workspace import Workspace
from merginguriel_tui.app import MuApp


def play(
    space: Workspace,
    script: Callable[[MuApp, Any], Awaitable[None]],
    *,
    size: tuple[int, int] = (80, 24),
    screen: str | None = None,
    what: tuple[str, ...] = (),
) -> None:
    """Run `await script(app, pilot)` in the application, opened on `screen` with `what`."""

    async def run() -> None:
        app = MuApp(space, screen=screen, what=what)
        async with app.run_test(size=size) as pilot:
            await settled(app, pilot)
            await script(app, pilot)

    asyncio.run(run())


async def settled(app: MuApp, pilot: Any) -> None:
    """Wait until nothing is being loaded, and what that showed is drawn."""
    await pilot.pause()
    for _ in range(4):
        with contextlib.suppress(WorkerCancelled):  # a later question replaced it
            await app.workers.wait_for_complete()
        await pilot.pause()


def text_of(app: MuApp) -> str:
    """What the terminal shows, as lines of characters."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)

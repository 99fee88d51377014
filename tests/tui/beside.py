"""Output of the command that a screen shows, run while the program holds the terminal."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from typing import NamedTuple

from looking import settled
from run_screens import until

from merginguriel.cli.main import run


class Said(NamedTuple):
    out: str

    @property
    def json(self):
        return json.loads(self.out)


def of_cli(command, space, *more):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run([*shlex.split(command)[1:], *more, "--workspace", str(space.root)])
    assert code == 0, command
    return Said(out.getvalue())


async def ready(app, pilot):
    """What is known is loaded, and shown."""
    await until(app, pilot, lambda: getattr(app.screen, "knowledge", None) is not None)
    for _ in range(3):
        await settled(app, pilot)

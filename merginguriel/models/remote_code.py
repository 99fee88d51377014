"""Permission to run Python code from a model folder. It is off unless the user gives `--trust-remote-code`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from merginguriel.errors import UsageError

_trusted: ContextVar[bool] = ContextVar("trusted", default=False)
HINT = "Its config names custom code (auto_map). Read it, and if you trust it add: --trust-remote-code"


def trusted() -> bool:
    """Return whether code from model folders may run: the value of every `trust_remote_code` argument."""
    return _trusted.get()


def not_by_file(key: str, where: str) -> UsageError:
    """Return the error about a file that turns the permission on by itself."""
    return UsageError(
        f"{key} in a file needs the flag as well.",
        where=where,
        hint="Read the code of the model's folder, and if you trust it add: --trust-remote-code",
    )


@contextlib.contextmanager
def trust(allowed: bool = True) -> Iterator[None]:
    """Allow code from model folders to run inside the block."""
    token = _trusted.set(allowed)
    try:
        yield
    finally:
        _trusted.reset(token)

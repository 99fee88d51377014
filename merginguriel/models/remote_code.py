"""Permission to run Python code from a model folder. It is off unless the user gives `--trust-remote-code`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_trusted: ContextVar[bool] = ContextVar("trusted", default=False)
HINT = "Its config names custom code (auto_map). Read it, and if you trust it add: --trust-remote-code"


def trusted() -> bool:
    """Return whether code from model folders may run: the value of every `trust_remote_code` argument."""
    return _trusted.get()


@contextlib.contextmanager
def trust(allowed: bool = True) -> Iterator[None]:
    """Allow code from model folders to run inside the block."""
    token = _trusted.set(allowed)
    try:
        yield
    finally:
        _trusted.reset(token)

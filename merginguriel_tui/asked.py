"""What do the what-if fields say, as numbers and as options of `mu advise`?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def numbers_of(given: Mapping[str, str]) -> tuple[int | None, float | None, int | None] | None:
    """k, the least gain in pp and the budget, as they were typed; None where one is no number yet."""
    try:
        k = int(given["k"]) if given["k"] else None
        least = float(given["min_gain"]) if given["min_gain"] else None
        budget = int(given["budget"]) if given["budget"] else None
    except ValueError:
        return None
    return None if k is not None and k < 1 else (k, least, budget)


def kept(found: object) -> dict[str, str]:
    """What was asked in the last session, as far as it can be asked: anything may stand there, for it is read from a file."""
    asked = {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}
    return asked if numbers_of({"k": "", "min_gain": "", "budget": "", **asked}) is not None else {}


def command(target: str, changed: Mapping[str, str]) -> str:
    """changed: field → value, of those that are not as they were at first. The screen lists every row of evidence."""
    flags = [f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in changed.items() if value]
    return " ".join(["mu advise", f"--target {target}", *flags, "--all"])

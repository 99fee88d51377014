"""Registry of lint rules: each module of this folder has a `check(knowledge)` that returns problems."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass

from merginguriel.knowledge.base import Knowledge


@dataclass(frozen=True)
class Problem:
    """One finding of lint. `where` is file:line, `hint` the way out."""

    where: str
    what: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the problem as JSON-ready data."""
        return {"where": self.where, "what": self.what, "hint": self.hint}


def check_all(knowledge: Knowledge) -> list[Problem]:
    """Run every rule, in order of their names."""
    problems: list[Problem] = []
    for module in sorted(pkgutil.iter_modules(__path__, f"{__name__}."), key=lambda module: module.name):
        problems += importlib.import_module(module.name).check(knowledge)
    return problems

"""Registry of lint rules: each module of this folder has a `check(knowledge)` that returns problems."""

from __future__ import annotations

import importlib
import pkgutil

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.problems import Problem

__all__ = ["Problem", "check_all"]


def check_all(knowledge: Knowledge) -> list[Problem]:
    """Run every rule, in order of their names."""
    problems: list[Problem] = []
    for module in sorted(pkgutil.iter_modules(__path__, f"{__name__}."), key=lambda module: module.name):
        problems += importlib.import_module(module.name).check(knowledge)
    return problems

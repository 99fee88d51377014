"""What must hold between skills, claims and entries that can each be read? One rule, one file in this folder.

A rule is a function `check(knowledge) -> list[Problem]` of its module; a new file is a new rule.
"""

from __future__ import annotations

import importlib
import pkgutil

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.problem import Problem


def check_all(knowledge: Knowledge) -> list[Problem]:
    """What every rule finds, rule by rule in order of their names."""
    found: list[Problem] = []
    for module in sorted(pkgutil.iter_modules(__path__, f"{__name__}."), key=lambda module: module.name):
        found += importlib.import_module(module.name).check(knowledge)
    return found

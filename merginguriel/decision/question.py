"""What may be asked, and what is a recipe that could answer?"""

from __future__ import annotations

from dataclasses import dataclass

from ..knowledge.rows import ResultRow
from . import estimate as model
from . import rules
from .evidence import Recipe

MERGE_AT = 0.95  # P(gain > 0) from which merging is advised: a win must be more than noise
DEFAULT = ("similarity", "REAL", 5)  # what a pilot tries where nothing is known


@dataclass(frozen=True)
class Question:
    """`min_gain_pp`: the smallest gain worth a merge. `method`, `similarity`, `k`: fixed by the asker, or open."""

    target: str
    mode: str = "ExcTar"
    context: str = "massive/xlm-roberta-base"
    min_gain_pp: float = 1.0
    method: str | None = None
    similarity: str | None = None
    k: int | None = None
    as_of: str | None = None


@dataclass(frozen=True)
class Candidate:
    recipe: Recipe
    estimate: model.Estimate
    rows: tuple[ResultRow, ...]  # this recipe, measured on this target
    passed_over: rules.Rule | None = None

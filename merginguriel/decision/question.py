"""What may be asked, and what is a recipe that could answer?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from merginguriel.knowledge.parse.rows import POLICIES, ResultRow

from . import claim_rules
from . import estimate as model
from .evidence import Arm

MERGE_AT = 0.95  # P(gain > 0) from which merging is advised: a win must be more than noise
DEFAULT = ("similarity", "REAL", 5)  # what a pilot tries where nothing is known


class Ability(frozenset[str]):
    """Names of a method's parameters. `heads`: what becomes of heads where a recipe does not say, `merge` or `average`."""

    heads: str

    def __new__(cls, params: Iterable[str] = (), *, heads: str = "merge") -> Ability:
        made = super().__new__(cls, params)
        made.heads = heads
        return made


@dataclass(frozen=True)
class Lab:
    """What the asker can run. Without it, advice takes every recipe of the log as one that could be tried.

    methods        method → names of its parameters
    similarities   those that can be computed: URIEL, REAL
    trained        locales that have a model in the question's context
    offers_target  does the context's task have enough sentences of the target to score a model on?
    """

    methods: Mapping[str, Ability]
    similarities: frozenset[str]
    trained: frozenset[str] = frozenset()
    offers_target: bool = True

    def runs(self, arm: Arm) -> bool:
        """Can this be done here, with these parameters?"""
        return (
            arm.method in self.methods
            and self.methods[arm.method].issuperset(name for name, _ in arm.params if name not in POLICIES)
            and (arm.similarity is None or arm.similarity in self.similarities)
        )


@dataclass(frozen=True)
class Question:
    """`min_gain_pp`: the smallest gain worth a merge. `method`, `similarity`, `k`: fixed by the asker, or open.

    `budget`: the most pieces of work (merges, evaluations, trainings) that a pilot may take; None: as many as it takes.
    """

    target: str
    mode: str = "ExcTar"
    context: str = "massive/xlm-roberta-base"
    min_gain_pp: float = 1.0
    method: str | None = None
    similarity: str | None = None
    k: int | None = None
    as_of: str | None = None
    lab: Lab | None = None
    budget: int | None = None

    def can_run(self, arm: Arm) -> bool:
        return self.lab is None or self.lab.runs(arm)


class Candidate(NamedTuple):
    arm: Arm
    estimate: model.Estimate
    rows: tuple[ResultRow, ...]  # this arm, measured on this target
    passed_over: claim_rules.Rule | None = None
    runnable: bool = True

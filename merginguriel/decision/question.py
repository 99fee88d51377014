"""A question to the engine, what the asker can run, and candidate arms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from merginguriel.knowledge.parse.rows import POLICIES, ResultRow
from merginguriel.similarity.choice import AS_IT_IS, parsed

from . import claim_rules
from .estimate import Estimate
from .evidence import JOINT, Arm, is_ensemble
from .recipe_contrasts import RecipeContrast

RETRIEVAL = "retrieval-"  # beginning of the contexts of mu embed compose
DEFAULT = ("similarity", "REAL", 5)  # what a pilot tries where nothing is known


class Ability(frozenset[str]):
    """Names of a method's parameters. `heads`: what the method does with heads by default, `merge` or `average`."""

    heads: str

    def __new__(cls, params: Iterable[str] = (), *, heads: str = "merge") -> Ability:
        """Store the names and what the method does with heads."""
        made = super().__new__(cls, params)
        made.heads = heads
        return made


@dataclass(frozen=True)
class Lab:
    """What the asker can run. Without it, every arm of the log counts as one that can be run.

    Attributes:
        methods: Method → names of its parameters.
        similarities: Similarities that can be computed: URIEL, REAL.
        trained: Locales that have a model in the question's context.
        offers_target: Whether the context's task has enough sentences of the target to score a model.
        instead: Where it has not: (locale, context) with enough, of the same language in this task, and of the target in
            another one.
        knows_task: Whether the context's task and its data are known here.
        context: What a command without --task and --base means in this workspace.
    """

    methods: Mapping[str, Ability]
    similarities: frozenset[str]
    trained: frozenset[str] = frozenset()
    offers_target: bool = True
    instead: tuple[tuple[str, str], ...] = ()
    knows_task: bool = True
    context: str = "home/e5-small"

    def runs(self, arm: Arm) -> bool:
        """Return True if this program has the method with these parameters, and the similarity but for a table's."""
        if is_ensemble(arm.method) or arm.method == JOINT:
            return True
        kind, options = parsed(arm.similarity) if arm.similarity else (None, AS_IT_IS)
        return (
            arm.method in self.methods
            and self.methods[arm.method].issuperset(name for name, _ in arm.params if name not in POLICIES)
            and (kind is None or kind in self.similarities)
            and options.table is None
        )


@dataclass(frozen=True)
class Question:
    """What is asked of the engine.

    Attributes:
        target: Locale to serve.
        mode: `ExcTar` or `IncTar`.
        context: Task and base model.
        min_gain_pp: Smallest gain worth a merge, pp.
        method: Only this method, or None; likewise `similarity` and `k`.
        similarity: `URIEL` or `REAL`.
        k: Number of sources.
        as_of: Day whose knowledge is used, YYYY-MM-DD; None: today's.
        lab: What the asker can run.
        budget: The most pieces of work (merges, evaluations, trainings) that a pilot may take; None: no limit.
        ensembles: Whether several models may answer together, at k forward passes for each input.
        matrix: Rows of single models that the workspace has and the log lacks.
        points: Unit of gains, set from the context's metric: `pp` for a share, `pt` for a correlation or a score.
        width: Factor of the standard deviation of priors, learned from scored advice; 1: none.
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
    ensembles: bool = True
    matrix: tuple[ResultRow, ...] = ()
    points: str = "pp"
    width: float = 1.0

    @property
    def own_composition(self) -> str | None:
        """Training data in the target's language alone, D(kokoko), in a study of compositions: the own model of IncTar."""
        task = self.context.partition("/")[0]
        if not task.startswith(RETRIEVAL):
            return None
        return f"D({3 * (self.target if f'-{self.target}' in task else self.target.partition('-')[0])})"

    @property
    def compositions(self) -> frozenset[str]:
        """Training sets of the context's pair of languages, kokoen of retrieval-cross-ko-en; empty in other contexts."""
        if not self.context.startswith(RETRIEVAL):
            return frozenset()
        words = self.context.partition("/")[0].split("-")[2:]
        middle = len(words) // 2  # of two languages, or of two locales
        two = "-".join(words[:middle]), "-".join(words[middle:])
        return frozenset(map("".join, product(two, repeat=3)))

    @property
    def measurable(self) -> bool:
        """Whether a model can be scored on the target, as far as is known."""
        return self.lab is None or self.lab.offers_target

    def can_run(self, arm: Arm) -> bool:
        """Return True if the asker can run the arm."""
        return self.lab is None or self.context.startswith(RETRIEVAL) or self.lab.runs(arm)


class Candidate(NamedTuple):
    """An arm that could answer the question, with its estimate."""

    arm: Arm
    estimate: Estimate
    rows: tuple[ResultRow, ...]  # this arm, measured on this target
    confirmed: bool = False  # measured with labels on items that did not choose it among other arms
    passed_over: claim_rules.Rule | None = None
    runnable: bool = True
    lead_pp: float | None = None  # of the best single model over the mean of the sources
    contrast: RecipeContrast | None = None  # with the context's other recipes

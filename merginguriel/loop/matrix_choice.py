"""Sources that URIEL, REAL and advice would choose from an N×N matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.evaluation import nxn
from merginguriel.evaluation.nxn import Matrix
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.metrics.registry import find
from merginguriel.runs import run_index
from merginguriel.similarity import choice
from merginguriel.study import matrix_store
from merginguriel.study.matrix_store import StoredMatrix
from merginguriel.workspace import Workspace

from . import advise_request


@dataclass(frozen=True)
class Chosen:
    """Sources for `target` by URIEL, by REAL and by `mu advise`, among the models of a matrix, best first.

    near      source → URIEL similarity
    measured  source → REAL similarity; real_from: the matrix that it comes from
    engine    source → weight (None: unknown) of the recipe that advice names; verdict, and a note where it names none
    """

    target: str
    near: Mapping[str, float]
    by_uriel: tuple[str, ...]
    measured: Mapping[str, float]
    by_real: tuple[str, ...]
    real_from: str
    engine: Mapping[str, float | None]
    verdict: str
    recipe: str
    note: str

    def marks(self, source: str) -> str:
        """Return `URE`: a letter for each that takes the source, a point for each that does not."""
        taken = (self.by_uriel, self.by_real, self.engine)
        return "".join(letter if source in names else "·" for letter, names in zip("URE", taken, strict=True))


def chosen(
    space: Workspace, knowledge: Knowledge, one: StoredMatrix, matrix: Matrix, target: str, k: int = 5
) -> Chosen:
    """Return the sources that each way chooses for an ExcTar merge.

    REAL is measured on development data; without such a matrix, the one that is shown replaces it, and `real_from`
    says so.

    Raises:
        UsageError: The matrix is of retrieval.
    """
    if one.context.startswith(f"{matrix_store.RETRIEVAL}/"):
        raise UsageError(
            "no sources are chosen for a pair of languages.",
            hint="Advice on compositions and merges follows `mu embed compose`: mu advise --context retrieval-cross-…",
        )
    dev = space.matrix(one.context, "-dev")
    shown, real_from = matrix, f"{one.split}, without a dev matrix"
    if one.path == dev:
        real_from = "dev"
    elif dev.is_file():
        other = nxn.load(dev)
        if target in other.targets:
            shown, real_from = other, "dev"
    measured: dict[str, float] = {}
    if target in shown.targets:
        column = shown.scores[:, shown.targets.index(target)]
        benefit = find(shown.metric).benefit
        measured = {
            s: benefit(float(v))
            for s, v in zip(shown.sources, column, strict=True)
            if s != target and not np.isnan(v)
        }
    near = {s: v for s, v in matrix_store.similarities(target, matrix.sources).items() if s != target}
    answer = advise_request.advise(knowledge, advise_request.question(knowledge, target, context=one.context))
    recipe = answer.recipe
    return Chosen(
        target,
        near,
        tuple(choice.top_k(near, k)),
        measured,
        tuple(choice.top_k(measured, k)),
        real_from,
        {source.locale: source.weight for source in recipe.sources},
        answer.verdict,
        recipe.short,
        recipe.note,
    )


def majority(space: Workspace, knowledge: Knowledge, context: str) -> dict[str, float]:
    """Return target → score of the majority class, as far as rows of the log or of runs have it."""
    rows: Sequence[ResultRow] = knowledge.rows
    found = {
        row.target: row.baseline
        for row in rows
        if row.context == context and row.baseline_kind == "majority_class" and row.baseline is not None
    }
    if space.runs.is_dir() and not space.shipped:
        with run_index.opened(space) as connection:
            found |= dict(
                connection.execute(
                    "select target, baseline from rows where context = ? and baseline_kind = 'majority_class'",
                    (context,),
                )
            )
    return found

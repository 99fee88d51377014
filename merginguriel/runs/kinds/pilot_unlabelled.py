"""Pilots without labels of the target: arms against the vote of the single models on its text.

The vote takes the place of the labels, so that a score is an agreement. It says less than an accuracy: models that share
an error agree on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merginguriel.evaluation import ensemble
from merginguriel.evaluation import predictions as stored
from merginguriel.evaluation.baselines import Baseline
from merginguriel.evaluation.nxn import Matrix, nxn
from merginguriel.evaluation.significance import Comparison, compare
from merginguriel.knowledge.parse.rows import AGREEMENT, ENTROPY, ResultRow
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome as Done
from merginguriel.runs.worker import Tell
from merginguriel.study.results import comparison_dict, merge_rows
from merginguriel.study.study import Study
from merginguriel.tasks.registry import TaskData

from . import merge

if TYPE_CHECKING:
    from .pilot import ArmItems


def voted(study: Study, models: Mapping[str, Path], data: TaskData, tell: Tell) -> TaskData:
    """Return the data with the vote of the models (mean of their probabilities) as labels of the development items."""
    blank = replace(data, dev=tuple(replace(item, label=data.labels[0]) for item in data.dev))
    others = {name: path for name, path in models.items() if name != data.locale}
    nxn(others, {data.locale: blank}, split="dev", cache=study.cache, on_progress=tell.progress)
    votes = ensemble.combine(ensemble.read(others, blank.dev, study.cache), "soft").chosen()
    return replace(
        data, dev=tuple(replace(item, label=vote) for item, vote in zip(blank.dev, votes, strict=True))
    )


def agreed(
    run: Run, study: Study, winner: ArmItems, reference: str, dev: Matrix, data: TaskData, tell: Tell
) -> Done:
    """Compare the winner's agreement and entropy with those of the best single model, on all items.

    Args:
        reference: The single model that agrees most.
        dev: Agreement of the single models.
        data: Data with votes as labels.
    """
    assert winner.recipe is not None
    tell.step(f"compare {winner.arm.label} with {reference} on {len(data.dev)} items without labels")
    path = stored.cache_path(study.cache, merge.fingerprint(winner.recipe), data.dev)
    answers = merge.answers(winner.recipe, data.dev, path, tell)
    single = ensemble.read({reference: study.model(reference)}, data.dev, study.cache)[reference]
    right, base = stored.scored(answers, data.dev), dev.correct[reference, data.locale]
    beat = Baseline("best_single_source", float(base.mean()), len(base), reference, base, "agrees most")
    found = compare(right, base, groups=dev.groups[data.locale])
    row, *_ = merge_rows(
        winner.recipe, right, {beat.kind: beat}, {beat.kind: found}, context=study.context, run=run.id
    )
    rows = rows_of(row, winner, found, (entropy(answers), entropy(single)), len(dev.sources))
    # The bounds hold for all arms together and at any time: the same items chose the winner.
    outcome = {"better": "for", "worse": "against"}.get(winner.seen.outcome(0.0), "none")
    tell.note(f"weak evidence {outcome}: {found.difference:+.1f} pp of agreement against {reference}")
    return Done(result_of(rows, beat, found, outcome), rows)


def rows_of(
    row: ResultRow, winner: ArmItems, found: Comparison, entropies: tuple[float, float], models: int
) -> list[ResultRow]:
    """Return the rows of agreement and entropy from that of a comparison."""
    agreement = replace(
        row, metric=AGREEMENT, wins=None, losses=None, se_pp=found.se, saw="unlabelled text",
        similarity=row.similarity or winner.arm.similarity,
        note=f"with the vote of {models} single models, no labels; {row.note}",
    )  # fmt: skip
    own, other = entropies
    return [agreement, replace(agreement, metric=ENTROPY, value=own, baseline=other, se_pp=None, note="")]


def result_of(rows: list[ResultRow], beat: Baseline, found: Comparison, outcome: str) -> dict[str, Any]:
    """Return what result.json holds beside the arms."""
    row, entropies = rows
    return {
        "kind": "pilot", "labels": False, "context": row.context, "target": row.target, "mode": row.mode,
        "method": row.method, "params": dict(row.params), "similarity": row.similarity, "k": row.k,
        "sources": list(row.sources), "weights": list(row.weights), "seed": row.seed, "saw": row.saw, "n": row.n,
        "metric": AGREEMENT, AGREEMENT: row.value, ENTROPY: entropies.value,
        "baselines": {
            beat.kind: {
                "model": beat.model, "value": beat.value, "n": beat.n, "note": beat.note, ENTROPY: entropies.baseline,
                "comparison": comparison_dict(found),
            }
        },
        "against": beat.kind, "outcome": outcome,
    }  # fmt: skip


def entropy(answers: stored.Predictions) -> float:
    """Return the mean entropy of the predicted probabilities, as a share of that of a uniform guess."""
    p = ensemble.softmax(answers.logits.astype(float))
    return float(-(p * np.log(np.maximum(p, 1e-12))).sum(axis=1).mean() / log(max(p.shape[1], 2)))

"""How do accuracies become result rows? One row per merge and baseline, one per cell of the N×N matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.nxn import Matrix
from ..evaluation.significance import Comparison, compare
from ..knowledge.rows import ResultRow
from ..merging.recipe import Recipe


@dataclass(frozen=True)
class Baselines:
    """What a merge is compared with on one target: right or wrong per test item, and accuracies.

    best         the source that is best on development data; `right[best]` is its test result
    source_mean  mean test accuracy of the sources
    own          the target's own model, if there is one
    majority     accuracy of always answering the training split's most frequent label
    """

    best: str
    source_mean: float
    own: str | None
    majority: float


def logged_method(recipe: Recipe) -> str:
    """A weighted mean whose weights are a similarity is called `similarity` in the log."""
    return "similarity" if recipe.method == "linear" and recipe.similarity else recipe.method


def matrix_rows(matrix: Matrix, context: str, run: str) -> list[ResultRow]:
    """Every source on every target, as rows of the method `single`."""
    return [
        ResultRow(
            context=context,
            target=target,
            mode="-",
            method="single",
            metric="accuracy",
            value=float(matrix.value(source, target)),
            n=int(matrix.n[matrix.targets.index(target)]),
            sources=(source,),
            run=run,
        )
        for source in matrix.sources
        for target in matrix.targets
    ]


def merge_rows(
    recipe: Recipe,
    right: np.ndarray,
    matrix: Matrix,
    baselines: Baselines,
    *,
    context: str,
    run: str,
    seed: int,
) -> tuple[list[ResultRow], dict[str, Comparison]]:
    """Rows of one merge against best source, mean of sources and the target's own model; and the comparisons.

    right  [n] bool, the merge on the target's test items
    """
    target, mode = recipe.target or "-", recipe.mode or "ExcTar"
    groups = matrix.groups[target]
    compared = {
        "best_single_source": compare(right, matrix.correct[baselines.best, target], groups=groups, seed=0)
    }
    if baselines.own:
        compared["target_alone"] = compare(
            right, matrix.correct[baselines.own, target], groups=groups, seed=0
        )
    shared = {
        "context": context,
        "target": target,
        "mode": mode,
        "method": logged_method(recipe),
        "metric": "accuracy",
        "value": float(right.mean()),
        "n": len(right),
        "params": tuple(sorted((key, f"{value:g}" if isinstance(value, float) else str(value)) for key, value in recipe.params.items())),
        "similarity": recipe.similarity,
        "k": len(recipe.sources),
        "sources": tuple(source.name for source in recipe.sources),
        "weights": tuple(source.weight for source in recipe.sources),
        "seed": seed,
        "run": run,
    }  # fmt: skip
    names = {"best_single_source": baselines.best, "target_alone": baselines.own}
    rows = [
        ResultRow(
            **shared,
            baseline_kind=kind,
            baseline=float(matrix.correct[names[kind] or "", target].mean()),
            wins=found.wins,
            losses=found.losses,
            se_pp=found.se_pp,
            note=f"{names[kind]}, chosen on development data" if kind == "best_single_source" else "",
        )
        for kind, found in compared.items()
    ]
    rows.insert(1, ResultRow(**shared, baseline_kind="source_mean", baseline=baselines.source_mean))
    return rows, compared


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of text as an aligned table; numbers to the right."""
    if not rows:
        return ""
    names = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    lines = ["  ".join(name.ljust(widths[name]) for name in names).rstrip()]
    lines += ["  ".join(row[name].ljust(widths[name]) for name in names).rstrip() for row in rows]
    return "\n".join(lines)

"""`mu similarity`: which source languages are near to a target, by typology and by measurement?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .common import LOCALE, columns, emit, json_option, say
from .study import study_options

if TYPE_CHECKING:
    from ..experiments.study import Study


@click.command(short_help="Rank source languages for a target, URIEL beside REAL.")
@click.option("--target", type=LOCALE, required=True, help="The locale that a merge would be for.")
@click.option("--source", "sources", type=LOCALE, multiple=True,
              help="Rank these; repeat. Default: the trained models, or without any the task's locales.")  # fmt: skip
@click.option(
    "--k", type=click.IntRange(min=1), default=5, show_default=True, help="How many would be selected."
)
@click.option(
    "--features", default=None, help="URIEL's sets, with commas: syntax,phonology,inventory,family,geography"
)
@click.option(
    "--sinkhorn", is_flag=True, help="Balance both matrices first: sources near to everything lose weight."
)
@study_options()
@json_option
def similarity(
    study: Study,
    target: str,
    sources: tuple[str, ...],
    k: int,
    features: str | None,
    sinkhorn: bool,
    as_json: bool,
) -> None:
    """Rank the source languages for a target: URIEL (typology) beside REAL (measured accuracy).

    \b
    mu similarity --target sw-KE
    mu similarity --target da-DK --k 3 --features syntax,phonology --sinkhorn
    """
    from ..similarity import real, uriel
    from ..tasks import base as tasks

    sets = tuple(features.split(",")) if features else uriel.SETS
    trained = set(study.trained())
    ranked = sorted(set(sources) or trained - {target} or set(tasks.locales(study.task, study.folder)))
    ranked = [source for source in ranked if source != target]
    if not ranked:
        raise UsageError("there is no source to rank.", mend="Name some with --source.")
    tables = {"URIEL": balanced(uriel_matrix(ranked, target, sets, sinkhorn), target, ranked)}
    measured = real_columns(study, target, ranked)
    if measured:
        tables["REAL"] = balanced(measured, target, list(measured)) if sinkhorn else {
            source: row[target] for source, row in measured.items()
        }  # fmt: skip
    result = {}
    for kind, column in tables.items():
        chosen = real.top_k(column, k)
        weights = real.weights(column, chosen)
        order = real.top_k(column, len(column))
        result[kind] = [
            {"source": s, "value": column[s], "weight": weights.get(s, 0.0), "trained": s in trained}
            for s in order
        ]
    if as_json:
        emit({"target": target, "k": k, "features": list(sets), "sinkhorn": sinkhorn, "similarity": result})
        return
    lines = [["", *(text for kind in result for text in (kind, "value", "weight"))]]
    for rank in range(max(map(len, result.values()))):
        cells = [str(rank + 1)]
        for found in result.values():
            if rank < len(found):
                one = found[rank]
                mark = "" if one["trained"] or not trained else " (no model)"
                weight = f"{one['weight']:.3f}" if one["weight"] else ""
                cells += [f"{one['source']}{mark}", f"{one['value']:.3f}", weight]
            else:
                cells += ["", "", ""]
        lines.append(cells)
    click.echo(columns(lines))
    if "REAL" not in result:
        say(f"no REAL similarity: it is measured. Run: mu nxn --split dev --locale {target}{study.flags()}")


def uriel_matrix(
    sources: list[str], target: str, sets: tuple[str, ...], sinkhorn: bool
) -> dict[str, dict[str, float]]:
    """source → locale → similarity: to the target alone, or to all, where the matrix will be balanced."""
    from ..similarity import uriel

    others = sorted({*sources, target}) if sinkhorn else [target]
    values = uriel.matrix(sources, others, sets)
    return {
        s: dict(zip(others, map(float, row), strict=True)) for s, row in zip(sources, values, strict=True)
    }


def real_columns(study: Study, target: str, sources: list[str]) -> dict[str, dict[str, float]]:
    """source → locale → accuracy on development data, as far as it was measured; empty if the target was not."""
    from ..evaluation.nxn import load

    path = study.table("dev")
    if not path.is_file():
        return {}
    matrix = load(path)
    if target not in matrix.targets:
        return {}
    return {
        s: {t: matrix.value(s, t) for t in matrix.targets}
        for s in matrix.sources
        if s in sources and s != target
    }


def balanced(table: dict[str, dict[str, float]], target: str, sources: list[str]) -> dict[str, float]:
    """The target's column, after Sinkhorn if there is more than one; a model's own language is left out of it."""
    import numpy as np

    from ..similarity.select import sinkhorn

    targets = list(next(iter(table.values())))
    if len(targets) == 1:
        return {source: table[source][target] for source in sources}
    values = np.array([[0.0 if s == t else table[s][t] for t in targets] for s in sources])
    found = sinkhorn(values)
    if not found.converged:
        say(f"Sinkhorn had not converged after {found.steps} steps (error {found.error:.1e}).")
    at = targets.index(target)
    return dict(zip(sources, map(float, found.values[:, at]), strict=True))

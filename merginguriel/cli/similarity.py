"""`mu similarity`: which source languages are near to a target, by typology and by measurement?"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from merginguriel.errors import UsageError
from merginguriel.files import write_text

from .common import LOCALE, columns, emit, json_option, say
from .study import study_options

if TYPE_CHECKING:
    import numpy as np

    from merginguriel.study.study import Study


@click.command(short_help="Rank source languages for a target, URIEL beside REAL.")
@click.option("--target", type=LOCALE, help="The locale that a merge would be for.")
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
@click.option("--steps", type=click.IntRange(min=1), default=100, show_default=True,
              help="Of --sinkhorn, at most; it ends where the sums are right to one in a million.")  # fmt: skip
@click.option("--nearest", type=click.IntRange(min=1), metavar="N",
              help="Keep the N nearest sources of each target and set the others to 0, before anything else.")  # fmt: skip
@click.option("--matrix", type=click.Choice(["dense", "sparse"]),
              help="Write URIEL of many locales instead, as CSV: all pairs, or the best --k sources of each target.")  # fmt: skip
@click.option("--locales", "listed", metavar="LIST",
              help="Of --matrix: de-DE,sv-SE or all that are known. Default: those of the task.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="Of --matrix: a CSV file. Default: print it.")  # fmt: skip
@study_options()
@json_option
def similarity(
    study: Study,
    target: str | None,
    sources: tuple[str, ...],
    k: int,
    features: str | None,
    sinkhorn: bool,
    steps: int,
    nearest: int | None,
    matrix: str | None,
    listed: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rank the source languages for a target: URIEL (typology) beside REAL (measured accuracy).

    \b
    mu similarity --target sw-KE
    mu similarity --target da-DK --k 3 --features syntax,phonology --sinkhorn
    mu similarity --matrix sparse --task massive --k 20 --out uriel-top20.csv
    """
    from merginguriel.similarity import real, uriel
    from merginguriel.tasks import base as tasks

    sets = tuple(features.split(",")) if features else uriel.SETS
    how = Balance(steps if sinkhorn else None, nearest)
    if matrix:
        rows, targets = of_matrix(study, sources, listed, target)
        text = export(matrix, rows, targets, sets, how, k)
        if out:
            write_text(out, text)
            say(f"URIEL ({', '.join(sets)}) of {len(rows)} sources and {len(targets)} targets, {matrix}")
            emit({"path": str(out), "sources": rows, "targets": targets}) if as_json else click.echo(out)
        elif as_json:
            emit({"matrix": matrix, "features": list(sets), "lines": list(csv.reader(text.splitlines()))})
        else:
            click.echo(text, nl=False)
        return
    if listed or out:
        raise UsageError("--locales and --out are for a matrix.", mend="Add: --matrix dense")
    if target is None:
        raise UsageError("name the locale with --target, or ask for a whole --matrix.")
    trained = set(study.trained())
    ranked = sorted(set(sources) or trained - {target} or set(tasks.locales(study.task, study.folder)))
    ranked = [source for source in ranked if source != target]
    if not ranked:
        raise UsageError("there is no source to rank.", mend="Name some with --source.")
    tables = {"URIEL": balanced(uriel_matrix(ranked, target, sets, sinkhorn), target, ranked, how)}
    measured = real_columns(study, target, ranked)
    if measured:
        if not sinkhorn:
            measured = {source: {target: row[target]} for source, row in measured.items()}
        tables["REAL"] = balanced(measured, target, list(measured), how)
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
        emit({"target": target, "k": k, "features": list(sets), "sinkhorn": sinkhorn, "nearest": nearest,
              "similarity": result})  # fmt: skip
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
    from merginguriel.similarity import uriel

    others = sorted({*sources, target}) if sinkhorn else [target]
    values = uriel.matrix(sources, others, sets)
    return {
        s: dict(zip(others, map(float, row), strict=True)) for s, row in zip(sources, values, strict=True)
    }


def real_columns(study: Study, target: str, sources: list[str]) -> dict[str, dict[str, float]]:
    """source → locale → accuracy on development data, as far as it was measured; empty if the target was not."""
    from merginguriel.evaluation.nxn import load

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


class Balance(NamedTuple):
    """steps: of Sinkhorn, None for none; nearest: sources of each target that are kept before, None for all."""

    steps: int | None
    nearest: int | None

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """values [sources, targets], filtered first and then balanced; says how the balancing went."""
        from merginguriel.similarity.select import sinkhorn, sparse

        kept = sparse(values, self.nearest) if self.nearest else values
        if self.steps is None:
            return kept
        found = sinkhorn(kept, steps=self.steps)
        came = "converged" if found.converged else "had not converged"
        say(f"Sinkhorn {came} after {found.steps} steps (error {found.error:.1e}).")
        return found.values


def balanced(
    table: dict[str, dict[str, float]], target: str, sources: list[str], how: Balance
) -> dict[str, float]:
    """The target's column of a table that was filtered and balanced; a model's own language is left out of that."""
    import numpy as np

    targets = list(next(iter(table.values())))
    values = np.array([[0.0 if s == t else table[s][t] for t in targets] for s in sources])
    # One column has nothing to be balanced with.
    found = (how if len(targets) > 1 else how._replace(steps=None))(values)
    return dict(zip(sources, map(float, found[:, targets.index(target)]), strict=True))


def of_matrix(
    study: Study, sources: tuple[str, ...], listed: str | None, target: str | None
) -> tuple[list[str], list[str]]:
    """Sources and targets of a matrix. Those that URIEL has no features of are left out, and named."""
    from merginguriel.locales import table
    from merginguriel.similarity import uriel
    from merginguriel.tasks import base as tasks

    if listed == "all":
        asked = list(table())
    elif listed:
        asked = [LOCALE.convert(tag.strip(), None, None) for tag in listed.split(",") if tag.strip()]
    else:
        asked = tasks.locales(study.task, study.folder)
    wanted = sorted({*asked, *sources, *([target] if target else [])})
    missing = uriel.lacking(wanted)
    if missing:
        say(f"note: URIEL has no features of {', '.join(missing)}; left out.")
    known = [locale for locale in wanted if locale not in missing]
    rows = [locale for locale in known if not sources or locale in sources]
    columns = [locale for locale in known if target in (None, locale)]
    if not rows or not columns:
        raise UsageError("no locale is left for the matrix.", mend="Name some with --locales.")
    return rows, columns


def export(
    form: str, sources: list[str], targets: list[str], sets: tuple[str, ...], how: Balance, k: int
) -> str:
    """The CSV of URIEL's matrix. Filtered or balanced, a locale is no source of its own: its similarity is 0 there."""
    import numpy as np

    from merginguriel.similarity import uriel
    from merginguriel.similarity.select import dense_csv, sparse_csv

    values = uriel.matrix(sources, targets, sets)
    if how.steps is not None or how.nearest is not None:
        own = np.equal.outer(np.array(sources), np.array(targets))
        values = how(np.where(own, 0.0, values))
    if form == "dense":
        return dense_csv(values, sources, targets)
    return sparse_csv(values, sources, targets, k)

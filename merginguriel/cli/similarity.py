"""`mu similarity`: source languages ranked for a target; and the options by which every command chooses sources."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UnavailableError, UsageError
from merginguriel.files import write_text
from merginguriel.similarity import registry
from merginguriel.similarity.choice import Options

from .common import LOCALE, Command, columns, emit, json_option, say, stacked
from .study import study_options

if TYPE_CHECKING:
    from merginguriel.similarity.registry import Inputs
    from merginguriel.study.study import Study


def preparing_options(command: Command) -> Command:
    """Add the options of similarity.choice.Options, handed over as one, `prepare`."""

    @functools.wraps(command)
    def made(
        features: str | None,
        nearest: int | None,
        sinkhorn: bool,
        steps: int,
        table: Path | None,
        **given: Any,
    ) -> Any:
        sets = tuple(name.strip() for name in (features or "").split(",") if name.strip())
        return command(prepare=Options(sets, nearest, sinkhorn, steps, table), **given)

    return stacked(
        click.option("--features", metavar="SETS",
                     help="URIEL's sets, with commas: syntax,phonology,inventory,family,geography"),
        click.option("--nearest", type=click.IntRange(min=1), metavar="N",
                     help="Keep the N nearest sources of each target and set the others to 0, before anything else."),
        click.option("--sinkhorn", is_flag=True,
                     help="Balance the similarity matrix (Sinkhorn): sources that are similar to every target lose weight."),
        click.option("--steps", type=click.IntRange(min=1), default=100, show_default=True,
                     help="Maximum rounds of --sinkhorn; it ends when row and column sums are exact to one in a million."),
        click.option("--table", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     help="Read the similarity from this CSV, dense or sparse, as --matrix of mu similarity writes it."),
    )(made)  # fmt: skip


def choosing_options(
    *, similarity: str | None = None, mode: str | None = None, products: bool = True
) -> Callable[[Command], Command]:
    """Add --mode and --similarity with these defaults, --k, and the options that prepare a similarity.

    products: whether --similarity may be a product, such as REAL×cosine
    """
    return stacked(
        click.option("--mode", type=click.Choice(["ExcTar", "IncTar"], case_sensitive=False), default=mode,
                     show_default=mode is not None,
                     help="IncTar: the target's own model is one of the sources; ExcTar: it is not."),
        click.option("--similarity", type=click.Choice(registry.names(products=products)),
                     default=similarity, show_default=similarity is not None,
                     help="Similarity that chooses the sources, and weights them if the method uses weights: see mu similarity."),
        click.option("--k", type=click.IntRange(min=1), help="Number of sources to choose. Default: 5."),
        preparing_options,
    )  # fmt: skip


@click.command(short_help="Rank source languages for a target by URIEL and by REAL.")
@click.option("--target", type=LOCALE, help="Target locale of a possible merge.")
@click.option("--source", "sources", type=LOCALE, multiple=True,
              help="Rank these; repeat. Default: the trained models, or without any the task's locales.")  # fmt: skip
@click.option("--similarity", "kinds", type=click.Choice(registry.names(products=False)),
              multiple=True, help="Similarity to rank by; repeat. Default: all that need only a matrix.")  # fmt: skip
@click.option(
    "--k", type=click.IntRange(min=1), default=5, show_default=True, help="Number of sources to select."
)
@preparing_options
@click.option("--matrix", type=click.Choice(["dense", "sparse"]),
              help="Write the similarity of many locales instead, as CSV: all pairs, or the best --k sources of each "
              "target.")  # fmt: skip
@click.option("--locales", "listed", metavar="LIST",
              help="With --matrix: locales, like de-DE,sv-SE, or all. Default: those of the task.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="With --matrix: CSV file to write. Default: print it.")  # fmt: skip
@study_options()
@json_option
def similarity(
    study: Study,
    target: str | None,
    sources: tuple[str, ...],
    kinds: tuple[str, ...],
    k: int,
    prepare: Options,
    matrix: str | None,
    listed: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rank the source languages for a target: URIEL (typology) and REAL (measured accuracy).

    \b
    mu similarity --target sw-KE
    mu similarity --target da-DK --k 3 --features syntax,phonology --sinkhorn
    mu similarity --matrix sparse --task massive --k 20 --out uriel-top20.csv
    """
    from merginguriel.study.source_choice import inputs_of

    inputs = inputs_of(study, prepare)
    if matrix:
        kind = kinds[0] if kinds else "URIEL"
        rows, targets = of_matrix(study, kind, sources, listed, target)
        text = export(matrix, kind, rows, targets, inputs, prepare, k)
        if out:
            write_text(out, text)
            sets = f" ({', '.join(prepare.features or feature_sets())})" if kind == "URIEL" else ""
            say(f"{kind}{sets} of {len(rows)} sources and {len(targets)} targets, {matrix}")
            emit({"path": str(out), "sources": rows, "targets": targets}) if as_json else click.echo(out)
        elif as_json:
            lines = list(csv.reader(text.splitlines()))
            emit({"matrix": matrix, "features": list(prepare.features or feature_sets()), "lines": lines})
        else:
            click.echo(text, nl=False)
        return
    if listed or out:
        raise UsageError("--locales and --out are for a matrix.", hint="Add: --matrix dense")
    if target is None:
        raise UsageError("name the locale with --target, or ask for a whole --matrix.")
    rank(study, target, sources, kinds, k, inputs, prepare, as_json)


def rank(
    study: Study,
    target: str,
    sources: tuple[str, ...],
    kinds: tuple[str, ...],
    k: int,
    inputs: Inputs,
    prepare: Options,
    as_json: bool,
) -> None:
    """Print the sources by each similarity, best first, with the weights of the best k."""
    from merginguriel.similarity import choice

    trained = set(study.trained())
    ranked = sorted(set(sources) or trained - {target} or set(study.offered()))
    ranked = [source for source in ranked if source != target]
    if not ranked:
        raise UsageError("no source to rank.", hint="Name some with --source.")
    result: dict[str, list[dict[str, Any]]] = {}
    for kind in kinds or registry.usual():
        try:
            matches = choice.column(target, ranked, kind, inputs, prepare)
        except UnavailableError:
            if kinds or registry.get(kind).needs == "nothing":
                raise
            continue
        for note in matches.notes:
            say(note)
        if not matches.values:
            continue
        best = choice.top_k(matches.values, k)
        weights = choice.shares(matches.values, best)
        result[kind] = [
            {"source": s, "value": matches.values[s], "weight": weights.get(s, 0.0), "trained": s in trained}
            for s in choice.top_k(matches.values, len(matches.values))
        ]
    if as_json:
        emit({"target": target, "k": k, "features": list(prepare.features or feature_sets()),
              "sinkhorn": prepare.sinkhorn, "nearest": prepare.nearest, "similarity": result})  # fmt: skip
        return
    lines = [["", *(text for kind in result for text in (kind, "value", "weight"))]]
    for at in range(max(map(len, result.values()), default=0)):
        cells = [str(at + 1)]
        for rows in result.values():
            if at < len(rows):
                item = rows[at]
                mark = "" if item["trained"] or not trained else " (no model)"
                weight = f"{item['weight']:.3f}" if item["weight"] else ""
                cells += [f"{item['source']}{mark}", f"{item['value']:.3f}", weight]
            else:
                cells += ["", "", ""]
        lines.append(cells)
    click.echo(columns(lines))
    if "REAL" not in result and not kinds:
        say(f"no REAL similarity: it is measured. Run: mu nxn --split dev --locale {target}{study.flags()}")


def feature_sets() -> tuple[str, ...]:
    """Return the names of URIEL's sets of features."""
    from merginguriel.similarity.uriel import SETS

    return SETS


def of_matrix(
    study: Study, kind: str, sources: tuple[str, ...], listed: str | None, target: str | None
) -> tuple[list[str], list[str]]:
    """Return sources and targets of a matrix, without those that URIEL has no features of, which are named."""
    from merginguriel.locales import table
    from merginguriel.similarity import uriel

    if listed == "all":
        requested = list(table())
    elif listed:
        requested = [LOCALE.convert(tag.strip(), None, None) for tag in listed.split(",") if tag.strip()]
    elif registry.get(kind).needs == "nothing":
        requested = study.offered()
    else:
        requested = list(study.trained())
    locales_ = sorted({*requested, *sources, *([target] if target else [])})
    missing = uriel.lacking(locales_) if kind == "URIEL" else []
    if missing:
        say(f"note: URIEL has no features of {', '.join(missing)}; left out.")
    known = [locale for locale in locales_ if locale not in missing]
    rows = [locale for locale in known if not sources or locale in sources]
    targets = [locale for locale in known if target in (None, locale)]
    if not rows or not targets:
        raise UsageError("no locale is left for the matrix.", hint="Name some with --locales.")
    return rows, targets


def export(
    form: str, kind: str, sources: list[str], targets: list[str], inputs: Inputs, prepare: Options, k: int
) -> str:
    """Return the CSV of a similarity's matrix. A filtered or balanced matrix has 0 on its diagonal."""
    import numpy as np

    from merginguriel.similarity.select import balanced, dense_csv, read_table, sparse_csv

    if prepare.table:
        values = read_table(prepare.table, sources, targets)
    else:
        values = registry.get(kind).function(sources, targets, inputs)
    values = np.nan_to_num(values)
    if prepare.sinkhorn or prepare.nearest:
        own = np.equal.outer(np.array(sources), np.array(targets))
        values, note = balanced(values, own, prepare.nearest, prepare.steps if prepare.sinkhorn else None)
        if note:
            say(note)
    if form == "dense":
        return dense_csv(values, sources, targets)
    return sparse_csv(values, sources, targets, k)

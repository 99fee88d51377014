"""`mu matrix`: print a measured N×N matrix, or import one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from merginguriel.errors import UsageError

from .common import (
    LOCALE,
    ShowGroup,
    columns,
    emit,
    json_option,
    known,
    plain,
    say,
    space,
    text_width,
    workspace_option,
)
from .study import study_options

if TYPE_CHECKING:
    from merginguriel.evaluation.nxn import Matrix
    from merginguriel.loop.matrix_choice import Chosen
    from merginguriel.study.study import Study

# Spelled out, so that `mu matrix --help` imports no numpy; a test holds it to stored.ORDERS.
ORDERS = ("name", "family", "script", "similarity", "value")


@click.group(cls=ShowGroup, short_help="Show an N×N matrix, from results or from the log; import one.")
def matrix() -> None:
    """Look at an N×N matrix, or import one from another study.

    \b
    mu matrix home/e5-small --sort family
    mu matrix import evaluation_matrix.csv --task massive --base xlm-roberta-base --n 2974
    """


@matrix.command("import", short_help="Import the matrix of another study.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--split", type=click.Choice(["test", "dev", "train"]), default="test", show_default=True)
@click.option("--n", "items", type=click.IntRange(min=0), default=0,
              help="Number of sentences that each value was measured on. Default: not known.")  # fmt: skip
@click.option("--percent", is_flag=True, help="The values are percentages, 0 to 100.")
@study_options(seed="Of the models.")
@json_option
def import_matrix(study: Study, file: Path, split: str, items: int, percent: bool, as_json: bool) -> None:
    """Import a wide CSV matrix, models × locales, as pandas writes it (`evaluation_matrix.csv`).

    Its first column names the models and its first line the test locales; an empty cell was not measured. The values
    go into the study's matrix, where they stay until `mu nxn` measures the same pair.
    """
    from merginguriel.evaluation import wide_matrix
    from merginguriel.study import matrix_writer

    found = wide_matrix.load(file, items=items, percent=percent)
    path = matrix_writer.write(study, split, found)
    measured = int((found.scores == found.scores).sum())
    if as_json:
        emit(
            {
                "csv": str(path),
                "models": list(found.sources),
                "locales": list(found.targets),
                "values": measured,
            }
        )
        return
    say(f"{measured:,} values of {len(found.sources)} models on {len(found.targets)} locales")
    click.echo(study.space.display(path))


@matrix.command(short_help="Show an N×N matrix, from results or from the log.")
@click.argument("context", required=False)
@click.option("--split", help="test, dev, train, or log (test scores in the log); of another seed s1-test, s1-log. Default: the first available.")  # fmt: skip
@click.option("--target", shell_complete=LOCALE.shell_complete,
              help="Show the sources that URIEL, REAL and mu advise choose for this target.")  # fmt: skip
@click.option("--k", type=click.IntRange(min=1), default=5, show_default=True,
              help="Number of sources that URIEL and REAL choose for --target.")  # fmt: skip
@click.option("--sort", type=click.Choice(ORDERS), default="name", show_default=True,
              help="Order of rows and columns; similarity is URIEL's to --target.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), multiple=True,
              help="Also write what is shown, to a .csv or .png file; repeat.")  # fmt: skip
@click.option("--list", "listing", is_flag=True, help="List the available matrices.")
@json_option
@workspace_option
def show(
    context: str | None,
    split: str | None,
    target: str | None,
    k: int,
    sort: str,
    out: tuple[Path, ...],
    listing: bool,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Print a measured N×N matrix: the score of every model on every locale, from results/ or from the log.

    CONTEXT is a task and a base model; of embedders, retrieval/NAME, whose columns are directions of search. Default:
    the workspace's, if it has a matrix.

    \b
    mu matrix home/e5-small --sort family
    mu matrix home/e5-small --target da-DK --sort similarity
    mu matrix retrieval/ko-en-e5-small-4-layers --target ko-en
    """
    from merginguriel.evaluation import heatmap
    from merginguriel.loop import matrix_choice
    from merginguriel.study import matrix_store

    where = space(workspace_path)
    knowledge = known(where)
    pairs = matrix_store.of_pairs(context or "")
    if target and not pairs:
        target = LOCALE.convert(target, None, click.get_current_context())
    if listing:
        stored = matrix_store.stored(where, knowledge)
        result = [
            {"context": o.context, "split": o.split, "path": str(o.path) if o.path else None} for o in stored
        ]
        emit(result) if as_json else click.echo(plain(columns([[o.context, o.split] for o in stored])))
        return
    item = matrix_store.find(where, knowledge, context=context, split=split, target=target)
    whole = matrix_store.read(knowledge, item)
    if target and target not in whole.targets:
        raise UsageError(f"{item.name} has no column {target}.", hint=f"It has: {', '.join(whole.targets)}")
    ordered = matrix_store.ordered(whole, sort, target)
    commonest = matrix_choice.majority(where, knowledge, item.context)
    picked = matrix_choice.chosen(where, knowledge, item, whole, target, k) if target and not pairs else None
    written = [str(matrix_store.export(ordered, path)) for path in out]
    if as_json:
        emit(as_dict(item, ordered, commonest, picked) | ({"written": written} if written else {}))
        return
    depth = heatmap.depth(sys.stdout, os.environ)
    # Names come from a file: remove control characters; the colours are ours.
    clean = replace(
        ordered, sources=tuple(map(plain, ordered.sources)), targets=tuple(map(plain, ordered.targets))
    )
    click.echo(heatmap.render(clean, depth=depth, width=text_width()))
    say(plain(f"{item.name}: {where.display(item.path) if item.path else 'rows of the log'}"))
    if picked:
        click.echo("\n" + plain(choice_text(ordered, picked, commonest)))
    for path in written:
        say(f"written to {path}")


def as_dict(
    item: object, ordered: Matrix, commonest: dict[str, float], picked: Chosen | None
) -> dict[str, object]:
    """Return what --json prints; the terminal interface copies the same values."""
    import math

    from merginguriel.study.matrix_store import StoredMatrix

    assert isinstance(item, StoredMatrix)
    result: dict[str, object] = {
        "context": item.context,
        "split": item.split,
        "path": str(item.path) if item.path else None,
        "n": dict(zip(ordered.targets, map(int, ordered.n), strict=True)),
        "majority_class": {t: commonest[t] for t in ordered.targets if t in commonest},
        "metric": ordered.metric,
        ordered.metric: {
            s: {
                t: None if math.isnan(v) else v for t, v in zip(ordered.targets, map(float, row), strict=True)
            }
            for s, row in zip(ordered.sources, ordered.scores, strict=True)
        },
    }
    if picked:
        result["chosen"] = {
            "target": picked.target,
            "URIEL": [{"source": s, "value": picked.near[s]} for s in picked.by_uriel],
            "REAL": [{"source": s, "value": picked.measured[s]} for s in picked.by_real],
            "real_from": picked.real_from,
            "advice": {
                "verdict": picked.verdict,
                "recipe": picked.recipe,
                "sources": [{"source": s, "weight": w} for s, w in picked.engine.items()],
                "note": picked.note,
            },
        }
    return result


def choice_text(ordered: Matrix, picked: Chosen, commonest: dict[str, float]) -> str:
    """Return the target's column, best first, with the methods that choose each source."""
    import numpy as np

    from merginguriel.metrics.registry import find
    from merginguriel.study.matrix_store import rank

    metric = find(ordered.metric)
    column = ordered.scores[:, ordered.targets.index(picked.target)]
    order = -metric.sign * column
    lines = [["source", metric.name, "rank", "URIEL", "takes it"]]
    for i in sorted(
        range(len(column)), key=lambda i: (bool(np.isnan(column[i])), order[i], ordered.sources[i])
    ):
        source = ordered.sources[i]
        known = not np.isnan(column[i])
        near = picked.near.get(source)
        lines.append([
            source,
            f"{100 * column[i]:.1f}" if known else "–",
            str(rank(ordered, source, picked.target)[0]) if known else "",
            "" if near is None else f"{near:.3f}",
            "own model" if source == picked.target else picked.marks(source),
        ])  # fmt: skip
    n = int(ordered.n[ordered.targets.index(picked.target)])
    heading = [f"{picked.target}: n = {n:,}" if n else f"{picked.target}: n unknown"]
    if picked.target in commonest:
        heading.append(f"majority class {metric.unit.show(commonest[picked.target], 1)}")
    notes = [
        f"U: URIEL; R: REAL, by {picked.real_from}; E: mu advise ({picked.verdict}: {picked.recipe})",
        *([] if picked.engine else [f"mu advise names no source: {picked.note}"]),
    ]
    return "\n".join([", ".join(heading), columns(lines), *notes])

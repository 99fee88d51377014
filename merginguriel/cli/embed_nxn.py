"""`mu embed nxn`: score embedders on every pair of a query language and a document language."""

from __future__ import annotations

from pathlib import Path

import click

from merginguriel.errors import UnavailableError, UsageError

from .common import LOCALE, emit, json_option, say, space, text_width, workspace_option
from .progress import ProgressLine
from .study import trust_option

SIZE = 500  # queries of home that a matrix without a number in its name has


@click.command(short_help="Score retrieval for every pair of query and document language.")
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--locale", "locales", type=LOCALE, multiple=True, required=True, help="Two locales or more.")
@click.option("--data", default="home", show_default=True, help="Parallel text, as for mu embed compose.")
@click.option("--whole", is_flag=True, help="Score on all of the text. Default: the half that mu embed compose does not train on.")  # fmt: skip
@click.option("--size", type=click.IntRange(min=20), default=SIZE, show_default=True, help="Most queries taken from home.")  # fmt: skip
@click.option("--name", help="Name of the matrix, retrieval/NAME. Default: the name of the data and the languages.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the queries and their division.")
@trust_option
@json_option
@workspace_option
def nxn(
    models: tuple[Path, ...],
    locales: tuple[str, ...],
    data: str,
    whole: bool,
    size: int,
    name: str | None,
    seed: int,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Score the embedders MODELS by NDCG@10: queries in each language, documents in each language.

    The matrix of models and pairs, and one of query and document languages for each model, are written into results/,
    where `mu matrix` and mu-tui show them.

    \b
    mu embed nxn models/embed/a models/embed/b --locale ko-KR --locale en-US --locale de-DE
    """
    from merginguriel.evaluation import heatmap
    from merginguriel.study import retrieval_matrices
    from merginguriel.tasks import parallel
    from merginguriel.workspace import writable

    folders = {model.name: model for model in models}
    if len(folders) < len(models):
        raise UsageError("two models have the same name.", hint="Their folders must have different names.")
    for model in models:
        if not model.is_dir():
            raise UnavailableError("no such model folder.", where=str(model), hint="Check the path.")
    text = parallel.load(data, *locales, seed=seed, size=size)
    if not whole:
        text = text.split(seed=seed)[1]
    parts = ["whole"] * whole + [str(size)] * (data == "home" and size != SIZE)
    title = name or "-".join([Path(data).stem, *parallel.languages(*text.locales), *parts])
    where = writable(space(workspace_path))
    with ProgressLine("nxn") as bar:
        found, contexts = retrieval_matrices.measure(where, folders, text, title, seed=seed, on_progress=bar)
    if as_json:
        cells = {s: {t: found.value(s, t) for t in found.targets} for s in found.sources}
        emit({"context": contexts[0], "matrices": contexts, "metric": found.metric, found.metric: cells, "n": len(text.relevant)})  # fmt: skip
        return
    click.echo(heatmap.render(found, width=text_width()))
    say("a column ko-en: queries in ko search documents in en; one model: mu matrix " + contexts[-1])

"""`mu proxy`: score sentence similarity of a model, a proxy for transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import columns, emit, json_option, say, true_minus
from .progress import Bar
from .study import make_study, resolve, study_flags, trust_option

NOTE = "a proxy: how cosine similarity orders pairs of sentences, not the accuracy of a classifier."


@click.command(short_help="Spearman correlation on scored sentence pairs (STS), a proxy.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--prefix", default="", help="Put before every sentence; E5 models expect 'query: '.")
@trust_option
@study_flags
@json_option
def proxy(
    model: Path,
    files: tuple[Path, ...],
    prefix: str,
    as_json: bool,
    **which: Any,
) -> None:
    """Spearman correlation of cosine similarity with the scores of sentence pairs, as STS-B has them: a proxy.

    MODEL is a folder, with or without a head, or a name in the study. FILES are CSV, TSV or JSONL with the columns
    sentence1, sentence2, score.
    """
    from merginguriel.evaluation import sentence_pairs

    read = {
        path: sentence_pairs.read(path) for path in files
    }  # a faulty file is told before a model is loaded
    folder_of = model if (model / "config.json").is_file() else resolve(
        make_study(**which), model
    )  # fmt: skip
    found = {}
    for path, rows in read.items():
        with Bar(path.name) as bar:
            found[path] = sentence_pairs.proxy(folder_of, rows, prefix=prefix, on_progress=bar)
    if as_json:
        emit(
            [
                {"file": str(path), "metric": "spearman", "proxy": True, "value": one.spearman,
                 "ci95": [one.low, one.high], "n": one.n}
                for path, one in found.items()
            ]
        )  # fmt: skip
        return
    table = [["", "proxy: spearman", "95%", "n"]]
    for path, one in found.items():
        span = f"{one.low:.3f} … {one.high:.3f}"
        table.append([path.name, true_minus(f"{one.spearman:.3f}"), true_minus(span), f"{one.n:,}"])
    click.echo(columns(table))
    say(NOTE)

"""`mu proxy`: score sentence similarity of a model, a proxy for transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import columns, emit, json_option, say, true_minus
from .progress import ProgressLine
from .study import make_study, resolve, study_flags, trust_option

NOTE = "a proxy: how cosine similarity orders pairs of sentences, not the accuracy of a classifier."


@click.command(short_help="Spearman correlation on scored sentence pairs (STS), a proxy.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--prefix", default="", help="Text before every sentence; E5 models expect 'query: '.")
@trust_option
@study_flags
@json_option
def proxy(model: Path, files: tuple[Path, ...], prefix: str, as_json: bool, **which: Any) -> None:
    """Print the Spearman correlation of cosine similarities with scored sentence pairs (STS), a proxy for transfer.

    MODEL is a folder, with or without a head, or a name in the study. FILES are CSV, TSV or JSONL with the columns
    sentence1, sentence2, score.

    \b
    mu proxy models/home/e5-small/da-DK sts-da.csv
    """
    from merginguriel.evaluation import sentence_pairs

    read = {path: sentence_pairs.read(path) for path in files}  # report a faulty file before loading a model
    folder_of = model if (model / "config.json").is_file() else resolve(
        make_study(**which), model
    )  # fmt: skip
    result = {}
    for path, rows in read.items():
        with ProgressLine(path.name) as bar:
            result[path] = sentence_pairs.proxy(folder_of, rows, prefix=prefix, on_progress=bar)
    if as_json:
        emit(
            [
                {"file": str(path), "metric": "spearman", "proxy": True, "value": item.spearman,
                 "ci95": [item.low, item.high], "n": item.n}
                for path, item in result.items()
            ]
        )  # fmt: skip
        return
    table = [["", "proxy: spearman", "95%", "n"]]
    for path, item in result.items():
        span = f"{item.low:.3f} … {item.high:.3f}"
        table.append([path.name, true_minus(f"{item.spearman:.3f}"), true_minus(span), f"{item.n:,}"])
    click.echo(columns(table))
    say(NOTE)

"""`mu embed compose`: study the languages of queries, positives and negatives, and merge the specialists."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from merginguriel.config.schema import Compose
from merginguriel.models import remote_code
from merginguriel.text.runs import duration

from .common import LOCALE, columns, emit, json_option, say, space, workspace_option
from .run import carry_out, section_options
from .study import trust_option

OPTIONS = (
    "size", "negatives", "mine_ranks", "pooling", "lora_rank", "loss", "epochs", "steps", "batch_size",
    "learning_rate", "max_tokens",
)  # fmt: skip


@click.command(short_help="Study the languages of training data, and merge the specialists.")
@click.option("--locale", "locales", type=LOCALE, multiple=True, required=True, help="Two locales.")
@click.option("--data", default="home", show_default=True,
              help="Parallel text: home, a JSONL/TSV file with query_LANG and positive_LANG, or a folder like Belebele or StrategyQA.")  # fmt: skip
@click.option(
    "--base", default="e5-small", show_default=True, help="e5-small, a folder, or a name on the hub."
)
@click.option("--report", type=click.Path(path_type=Path), help="Copy report and figure into this folder.")
@click.option("--method", "methods", multiple=True, default=("average",), show_default=True,
              help="Merge method; repeat.")  # fmt: skip
@section_options("compose", OPTIONS, Compose())
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--detach", is_flag=True, help="Run in a process of its own, which outlives this terminal.")
@click.option("--dry-run", is_flag=True, help="Print sizes, steps and expected time; train nothing.")
@trust_option
@json_option
@workspace_option
def compose(
    locales: tuple[str, ...],
    data: str,
    base: str,
    report: Path | None,
    seed: int,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    workspace_path: Path | None,
    **given: Any,
) -> int:
    """Train on all eight compositions D(query, positive, negative language), score four directions, merge, and report.

    The study is a run of kind compose: the same command continues it, other settings make another run.

    \b
    mu embed compose --locale ko-KR --locale en-US
    mu embed compose --locale ko-KR --locale en-US --data belebele/ --method average --method slerp
    """
    from merginguriel.config.run_config import from_table
    from merginguriel.embedding.compose_report import FIGURE
    from merginguriel.runs import planning, resolve, run_store
    from merginguriel.runs.kinds.compose import check, text_of, window_of
    from merginguriel.workspace import writable

    options = {name: value for name, value in given.items() if value is not None}
    table = {"kind": "compose", "locales": list(locales), "base": base, "seed": seed, "compose": options}
    text_of_user = {} if data == "home" else {"data": data}
    config = from_table({**table, "trust_remote_code": remote_code.trusted(), **text_of_user})
    text = text_of(check(config))  # errors in options and data come before the run
    if dry_run:
        learn, held = text.split(seed=seed)
        window_of(config.compose).end(len(learn.documents[text.locales[1]]))
        planned = planning.plan(space(workspace_path), resolve.resolved(config, space(workspace_path)))
        sizes = {
            "train": len(learn.relevant), "test": len(held.relevant), "documents": len(held.documents[text.locales[0]]),
            "models": 8, "steps": planning.steps_of(config.compose, len(learn.relevant)), "merges": planned.merges,
        }  # fmt: skip
        rows = [*sizes.items(), ("time", time_text(planned.seconds))]
        shown = columns([[name, str(value)] for name, value in rows])
        emit({**sizes, "seconds": planned.seconds}) if as_json else click.echo(shown)
        return 0
    where = writable(space(workspace_path))
    code = carry_out(where, config, detach, as_json)
    run = run_store.create(where, config)
    if not detach and code == 0:
        if report:
            report.mkdir(parents=True, exist_ok=True)
            for name in ("report.md", FIGURE):
                shutil.copy(run.folder / name, report / name)
        say(f"report: {(report or run.folder) / 'report.md'}")
        if matrix := run_store.result(run).get("matrix"):  # of an older program: none
            say(f"matrix: mu matrix {matrix}")
        say(f"To log it: mu log add --run {run.id}")
    return code


def time_text(seconds: float | None) -> str:
    """Return the time that earlier runs on the same data and base let expect."""
    if seconds is None:
        return "unknown: no run of this kind has finished here"
    return f"about {duration(seconds)}, from earlier runs"

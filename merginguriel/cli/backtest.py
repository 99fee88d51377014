"""`mu backtest`: how good advice would have been on targets, contexts and days that it did not know."""

from __future__ import annotations

from pathlib import Path

import click

from .common import DATE, LOCALE, emit, json_option, plain, say, space, workspace_option


@click.command(short_help="Score the advice on what it did not know.")
@click.option("--context", "contexts", multiple=True, help="Task and base model; repeat. Default: all with measured gains.")  # fmt: skip
@click.option("--without", multiple=True, type=LOCALE, help="A target to leave out altogether; repeat.")
@click.option("--transfer", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE.csv",
              help="Table of transfer accuracies (source_lang, target_lang, …_accuracy), to score the choice of sources.")  # fmt: skip
@click.option(
    "--replicates", type=click.IntRange(min=1), default=48, show_default=True, help="Of data fission."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of data fission and permutations.")
@click.option("--as-of", type=DATE, help="Use what was known on this day, YYYY-MM-DD.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for report.md and its figures. Default: nothing is written.")  # fmt: skip
@json_option
@workspace_option
def backtest(
    contexts: tuple[str, ...],
    without: tuple[str, ...],
    transfer: Path | None,
    replicates: int,
    seed: int,
    as_of: str | None,
    out: Path | None,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Predict measured gains from other targets, contexts and days, and compare policies by what they would have gained.

    \b
    mu backtest --context home/e5-small
    mu backtest --context home/e5-small --without da-DK --json
    mu backtest --out docs/backtest
    """
    from merginguriel.loop import advice_backtest

    where = space(workspace_path)
    done = advice_backtest.run(
        where, contexts, without=without, transfer=transfer, replicates=replicates, seed=seed, as_of=as_of
    )
    if out is not None:
        from merginguriel.report import backtest_report

        for path in backtest_report.write(done, out):
            say(plain(f"wrote {where.display(path)}"))
    if as_json:
        emit(done.as_dict())
    else:
        from merginguriel.text.backtest import render

        click.echo(plain(render(done)))

"""`mu advise` and `mu schema`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from merginguriel.errors import ABSTAINED, UsageError
from merginguriel.similarity import registry

from .common import DATE, LOCALE, emit, json_option, plain, say, space, text_width, workspace_option


@click.command(short_help="Merge or not, how, from which sources, and how sure.")
@click.option("--target", "targets", required=True, multiple=True, type=LOCALE,
              help="The locale to serve, like sw-KE. Repeat for several.")  # fmt: skip
@click.option("--mode", type=click.Choice(["ExcTar", "IncTar"], case_sensitive=False),
              default="ExcTar", show_default=True,
              help="IncTar: the target's own model is one of the sources; ExcTar: it is not.")  # fmt: skip
@click.option("--context", help="Task and base model, like massive/xlm-roberta-base. Default: from mu.toml.")
@click.option("--method", help="Consider this method only.")
@click.option(
    "--similarity",
    type=click.Choice(registry.names(models=False, products=False), case_sensitive=False),
    help="Consider this similarity only.",
)
@click.option("--k", type=click.IntRange(min=1), help="Consider this number of sources only.")
@click.option("--min-gain", type=float, help="Smallest gain worth a merge, in pp. Default: from mu.toml.")
@click.option("--budget", type=int, metavar="N",
              help="Maximum number of trainings, merges and evaluations of a pilot (0: no pilot).")  # fmt: skip
@click.option("--no-ensembles", is_flag=True,
              help="Leave out ensembles, which need a forward pass of every source for each input.")  # fmt: skip
@click.option("--as-of", type=DATE, help="Answer from the knowledge of this day, YYYY-MM-DD.")
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Show every row, claim and alternative, not only one screen; likewise in --json.",
)
@click.option("--explain", is_flag=True, help="Add a key to the terms of the answer.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.yaml",
              help="Write the recipe as a configuration for mu run.")  # fmt: skip
@json_option
@workspace_option
def advise(
    targets: tuple[str, ...],
    mode: str,
    context: str | None,
    method: str | None,
    similarity: str | None,
    k: int | None,
    min_gain: float | None,
    budget: int | None,
    no_ensembles: bool,
    as_of: str | None,
    every: bool,
    explain: bool,
    save: Path | None,
    as_json: bool,
    workspace_path: Path | None,
) -> int:
    """Merge or not, how, from which sources, and how sure.

    Exit code 0 for a verdict (merge, ensemble, pilot, no-merge), 4 for unknown; with several targets, 4 if all are unknown.

    \b
    mu advise --target sw-KE
    mu advise --target cy-GB --json
    mu advise --target sw-KE --mode IncTar --as-of 2026-01-20
    mu advise --target sw-KE --target cy-GB
    """
    from merginguriel import collector
    from merginguriel.loop.advice_cache import Adviser

    where = space(workspace_path)
    if save and len(set(targets)) > 1:
        raise UsageError("--save takes one --target: it writes one recipe.", hint="Name one target.")
    adviser = Adviser(where, as_of)
    with collector.paused():
        found = [
            adviser.answer(
                target, mode=mode, context=context, method=method, similarity=similarity, k=k,
                min_gain=min_gain, budget=budget, ensembles=not no_ensembles,
            )
            for target in dict.fromkeys(targets)
        ]  # fmt: skip
    answers = [one.advice for one in found]
    if save:
        from merginguriel.loop import advised_run

        advised_run.save(answers[0], where, save)
    if as_json:
        data = [answer.as_dict(every=every) for answer in answers]
        emit(data if len(targets) > 1 else data[0])
    else:
        from merginguriel.text.advice import render

        texts = [
            render(answer, every=every, width=text_width(), explain=explain and answer is answers[-1])
            for answer in answers
        ]
        click.echo(plain("\n\n".join(texts)))
    for one in found:
        if one.note:
            say(plain(one.note))
    if save:
        say(plain(f"wrote the recipe to {save}; run it with: mu run {shlex.quote(str(save))}"))
    return ABSTAINED if all(answer.verdict == "unknown" for answer in answers) else 0


@click.command(short_help="Print the JSON Schema of an output or input.")
@click.argument("name", type=click.Choice(["advice", "entry", "run"]))
def schema(name: str) -> None:
    """Print a JSON Schema: of the output of `mu advise`, the input of `mu log add`, or the YAML of `mu run`."""
    if name == "run":
        from merginguriel.config.schema import json_schema

        emit(json_schema())
        return
    if name == "entry":
        from merginguriel.knowledge.log.entry_json import schema as entry_schema

        emit(entry_schema())
        return
    from merginguriel.decision.advice_types import schema as advice_schema

    emit(advice_schema())

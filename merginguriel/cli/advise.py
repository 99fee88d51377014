"""`mu advise` and `mu schema`."""

from __future__ import annotations

import contextlib
import functools
import gc
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import ABSTAINED, UsageError
from merginguriel.similarity import registry

from .common import DATE, LOCALE, emit, json_option, plain, say, space, text_width, workspace_option

if TYPE_CHECKING:
    from merginguriel.decision.advice import Advice, Question
    from merginguriel.knowledge.base import Knowledge


@click.group(
    invoke_without_command=True,
    subcommand_metavar="[score|next]",
    short_help="Merge or not, how, from which sources, and how sure.",
)
@click.option("--target", "targets", multiple=True, type=LOCALE,
              help="The locale to serve, like sw-KE. Repeat for several.")  # fmt: skip
@click.option("--mode", type=click.Choice(["ExcTar", "IncTar"], case_sensitive=False),
              default="ExcTar", show_default=True,
              help="IncTar: the target's own model is one of the sources; ExcTar: it is not.")  # fmt: skip
@click.option("--context", help="Task and base model, like massive/xlm-roberta-base. Default: from mu.toml.")
@click.option("--method", help="Consider this method only.")
@click.option("--similarity", help="Consider this similarity only.",
              type=click.Choice(registry.names(models=False, products=False), case_sensitive=False))  # fmt: skip
@click.option("--k", type=click.IntRange(min=1), help="Consider this number of sources only.")
@click.option("--min-gain", type=float, help="Smallest gain worth a merge, in pp. Default: from mu.toml.")
@click.option("--budget", type=int, metavar="N",
              help="Maximum number of trainings, merges and evaluations of a pilot (0: no pilot).")  # fmt: skip
@click.option("--no-ensembles", is_flag=True,
              help="Leave out ensembles, which need a forward pass of every source for each input.")  # fmt: skip
@click.option("--as-of", type=DATE, help="Answer from the knowledge of this day, YYYY-MM-DD.")
@click.option("--all", "every", is_flag=True,
              help="Show every row, claim and alternative, not only one screen; likewise in --json.")  # fmt: skip
@click.option("--explain", is_flag=True, help="Add a key to the terms of the answer.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.yaml",
              help="Write the recipe as a configuration for mu run.")  # fmt: skip
@click.option("--since", metavar="ENTRY",
              help="Print what changed since before this entry of the log, and by which row.")  # fmt: skip
@json_option
@workspace_option
@click.pass_context
def advise(
    ctx: click.Context,
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
    since: str | None,
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
    mu advise --target sw-KE --since 2026-01-20-adamerging
    """
    if ctx.invoked_subcommand is not None:
        return 0
    if not targets:
        raise click.UsageError("Missing option '--target'.", ctx)
    from merginguriel.loop.advice_cache import Adviser

    where = space(workspace_path)
    if save and len(set(targets)) > 1:
        raise UsageError("--save takes one --target: it writes one recipe.", hint="Name one target.")
    adviser = Adviser(where, as_of)
    options: dict[str, Any] = {
        "mode": mode, "context": context, "method": method, "similarity": similarity, "k": k,
        "min_gain": min_gain, "budget": budget, "ensembles": not no_ensembles,
    }  # fmt: skip
    with _no_garbage_collection():
        found = [adviser.answer(target, **options) for target in dict.fromkeys(targets)]
    answers = [one.advice for one in found]
    if since is not None:
        from merginguriel.loop import advise_request

        questions = [
            advise_request.question(adviser.knowledge, target, as_of=as_of, **options)
            for target in dict.fromkeys(targets)
        ]
        return _changes(adviser.knowledge, questions, answers, since, as_json=as_json)
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
    for note in (adviser.problems, *(one.note for one in found)):
        if note:
            say(plain(note))
    if save:
        say(plain(f"wrote the recipe to {save}; run it with: mu run {shlex.quote(str(save))}"))
    return ABSTAINED if all(answer.verdict == "unknown" for answer in answers) else 0


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect no garbage inside: with 100,000 rows in memory, each pass over them costs as much as the work itself."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _changes(
    knowledge: Knowledge, questions: list[Question], answers: list[Advice], since: str, *, as_json: bool
) -> int:
    """Print what changed in each answer since before the entry `since`."""
    from merginguriel.decision.advice_diff import changes
    from merginguriel.loop import advise_request, ledger

    before = ledger.before(knowledge, since)
    found = {
        question.target: changes(advise_request.advise(before, question), answer)
        for question, answer in zip(questions, answers, strict=True)
    }
    if as_json:
        emit({"since": since, "changed": found})
        return 0
    for target, texts in found.items():
        click.echo(plain("\n".join([f"{target} since before {since}", *(f"  {text}" for text in texts)])))
    return 0


@advise.command("score", short_help="Score earlier advice by what was measured afterwards.")
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.png",
              help="Draw P(gain > 0) against the share that gained.")  # fmt: skip
@json_option
@workspace_option
def score(figure: Path | None, as_json: bool, workspace_path: Path | None) -> None:
    """Score the advice asked for in this workspace whose arm was measured afterwards.

    Gains are those of the log. An interval holds if it contains the gain, the error of the measurement added. Regret is
    the gain of the best arm measured on the target minus that of the decision. The squared errors, shrunk to what the
    intervals promise, set the width of later intervals in each context (advice_width.json).

    \b
    mu advise score
    mu advise score --figure reliability.png
    """
    from merginguriel.knowledge.base import load
    from merginguriel.loop import interval_width, ledger
    from merginguriel.text.scores import as_dict, render

    where = space(workspace_path)
    asked, found = ledger.entries(where), ledger.scores(load(where))
    widths = interval_width.learned(found)
    interval_width.save(where, widths)
    parts = ledger.buckets(found), ledger.bucket(found) if found else None, widths
    emit(as_dict(asked, found, *parts)) if as_json else click.echo(plain(render(asked, found, *parts)))
    if figure:
        if not found:
            raise UsageError("no advice was measured yet: nothing to draw.")
        from merginguriel.report import figures

        points = [(one.stated, one.gained, one.count) for one in ledger.buckets(found)]
        draw = functools.partial(figures.reliability, points)
        figures.save(draw, figure.with_suffix(""), (figure.suffix[1:] or "png",))
        say(f"wrote {figure}")


@advise.command("next", short_help="Rank targets by what a trial of their advised arm would teach.")
@click.option("--context", help="Task and base model. Default: from mu.toml.")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Targets at most.")
@json_option
@workspace_option
def next_(context: str | None, limit: int, as_json: bool, workspace_path: Path | None) -> None:
    """Rank targets by the value of a trial of their advised arm, less its cost, in pp.

    Targets are those of the log and those that have a model here.

    \b
    mu advise next
    mu advise next --context home/e5-small --limit 5
    """
    from merginguriel import threads

    threads.numpy_with_one()
    from merginguriel.knowledge.base import load
    from merginguriel.loop import ledger
    from merginguriel.text.tables import columns

    found = ledger.ranked(load(space(workspace_path)), context)[:limit]
    if as_json:
        emit([vars(one) for one in found])
        return
    table = [["target", "worth, pp", "cost, pp", "verdict", "arm", "expected"]]
    for one in found:
        worth = f"{max(0.0, one.value_pp):.2f}", f"{one.cost_pp:.2f}"
        table.append([one.target, *worth, one.verdict, one.arm, one.expected])
    click.echo(plain(columns(table)))
    if found and found[0].value_pp > found[0].cost_pp:
        click.echo(plain(f"\nnext  {found[0].command}"))
    else:
        say("no trial is worth its cost.")


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

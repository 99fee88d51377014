"""`mu advise`: ask before you merge."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..errors import ABSTAINED
from .common import DATE, LOCALE, emit, json_option, plain, say, space, text_width, workspace_option


@click.command(short_help="Merge or not, how, from which sources, and how sure.")
@click.option("--target", required=True, type=LOCALE, help="The locale to serve, like sw-KE.")
@click.option("--mode", type=click.Choice(["ExcTar", "IncTar"]), default="ExcTar", show_default=True,
              help="Is the target's own model among the sources (IncTar) or not (ExcTar)?")  # fmt: skip
@click.option("--context", help="Task and base model, like massive/xlm-roberta-base. Default: from mu.toml.")
@click.option("--method", help="Ask about this method only.")
@click.option(
    "--similarity",
    type=click.Choice(["URIEL", "REAL"], case_sensitive=False),
    help="Ask about this similarity only.",
)
@click.option("--k", type=click.IntRange(min=1), help="Ask about this number of sources only.")
@click.option("--min-gain", type=float, help="The smallest gain worth a merge, in pp. Default: from mu.toml.")
@click.option("--as-of", type=DATE, help="Answer from what was known on this day, YYYY-MM-DD.")
@click.option("--all", "every", is_flag=True, help="Show every row of evidence.")
@click.option("--explain", is_flag=True, help="Add a key to the words of the answer.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.yaml",
              help="Write the recipe as a configuration for mu run.")  # fmt: skip
@json_option
@workspace_option
def advise(
    target: str,
    mode: str,
    context: str | None,
    method: str | None,
    similarity: str | None,
    k: int | None,
    min_gain: float | None,
    as_of: str | None,
    every: bool,
    explain: bool,
    save: Path | None,
    as_json: bool,
    workspace_path: Path | None,
) -> int:
    """Merge or not, how, from which sources, and how sure.

    Exit code 0 for a verdict (merge, pilot, no-merge), 4 for unknown.

    \b
    mu advise --target sw-KE
    mu advise --target cy-GB --json
    mu advise --target sw-KE --mode IncTar --as-of 2026-01-20
    """
    from .. import threads

    threads.numpy_with_one()
    from ..experiments import asking
    from ..knowledge.base import load

    where = space(workspace_path)
    knowledge = load(where, as_of=as_of)
    question = asking.question(
        where, knowledge, target, mode=mode, context=context, method=method, similarity=similarity, k=k,
        min_gain_pp=min_gain, as_of=as_of,
    )  # fmt: skip
    answer = asking.advise(knowledge, question)
    if save:
        from ..experiments import proposing

        proposing.save(answer, where, save)
    if as_json:
        emit(answer)
    else:
        from ..decision.render import render

        click.echo(plain(render(answer, every=every, width=text_width(), explain=explain)))
    note = asking.unlogged_note(knowledge, question)
    if note:
        say(plain(note))
    if save:
        say(plain(f"the recipe is in {save}; carry it out with: mu run {shlex.quote(str(save))}"))
    return ABSTAINED if answer["verdict"] == "unknown" else 0


@click.command(short_help="Print the JSON Schema of an output or input.")
@click.argument("name", type=click.Choice(["advice", "entry", "run"]))
def schema(name: str) -> None:
    """Print a JSON Schema: of what `mu advise` prints, of what `mu log add` reads, or of the YAML of `mu run`."""
    if name == "run":
        from ..experiments.config import schema as run_schema

        emit(run_schema())
        return
    if name == "entry":
        from ..knowledge.entryjson import ENTRY

        emit(ENTRY)
        return
    from ..decision.schema import ADVICE

    emit(ADVICE)

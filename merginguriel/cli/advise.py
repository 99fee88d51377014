"""`mu advise`: ask before you merge."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import ABSTAINED, UsageError
from .common import DATE, LOCALE, emit, json_option, plain, space, workspace_option


@click.command(short_help="Merge or not, how, from which sources, and how sure.")
@click.option("--target", required=True, type=LOCALE, help="The locale to serve, like sw-KE.")
@click.option("--mode", type=click.Choice(["ExcTar", "IncTar"]), default="ExcTar", show_default=True,
              help="Is the target's own model among the sources (IncTar) or not (ExcTar)?")  # fmt: skip
@click.option("--context", help="Task and base model, like massive/xlm-roberta-base. Default: from mu.toml.")
@click.option("--method", help="Ask about this method only.")
@click.option("--similarity", type=click.Choice(["URIEL", "REAL"]), help="Ask about this similarity only.")
@click.option("--k", type=click.IntRange(min=1), help="Ask about this number of sources only.")
@click.option("--min-gain", type=float, help="The smallest gain worth a merge, in pp. Default: from mu.toml.")
@click.option("--as-of", type=DATE, help="Answer from what was known on this day, YYYY-MM-DD.")
@click.option("--all", "every", is_flag=True, help="Show every row of evidence.")
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
    from ..decision.advice import Question
    from ..decision.advice import advise as ask
    from ..decision.render import render
    from ..knowledge.base import load
    from ..knowledge.rows import is_context

    if min_gain is not None and not 0 <= min_gain <= 100:
        raise UsageError(f"--min-gain is {min_gain:g}.", mend="Percentage points between 0 and 100.")
    if context is not None and not is_context(context):
        raise UsageError(
            f"{context!r} is not a context.", mend="Write task/base-model, like massive/xlm-roberta-base."
        )
    where = space(workspace_path)
    question = Question(
        target=target,
        mode=mode,
        context=context or str(where.settings["context"]),
        min_gain_pp=min_gain if min_gain is not None else float(str(where.settings["min_gain_pp"])),
        method=method,
        similarity=similarity,
        k=k,
        as_of=as_of,
    )
    answer = ask(load(where, as_of=as_of), question)
    if as_json:
        emit(answer)
    else:
        click.echo(plain(render(answer, every=every)))
    return ABSTAINED if answer["verdict"] == "unknown" else 0


@click.command(short_help="Print the JSON Schema of an output.")
@click.argument("name", type=click.Choice(["advice"]))
def schema(name: str) -> None:
    """Print the JSON Schema of what `mu advise --json` prints."""
    from ..decision.schema import ADVICE

    emit({"advice": ADVICE}[name])

"""`mu search`, `mu log search` and `mu skills search`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import LOCALE, emit, json_option, plain, say, space, workspace_option

if TYPE_CHECKING:
    from merginguriel.knowledge.search.query import Hit


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that the three commands share."""
    for option in (
        click.argument("query", nargs=-1, required=True),
        click.option("--target", type=LOCALE, help="Omit documents that are only about other targets."),
        click.option("--method", help="Omit documents that are only about other methods."),
        click.option(
            "--limit",
            type=click.IntRange(1, 200),
            default=10,
            show_default=True,
            help="Maximum number of hits.",
        ),
        click.option(
            "--rerank",
            is_flag=True,
            help="Rank by meaning too, with e5-small: other wordings and languages. Needs [lab].",
        ),
        json_option,
        workspace_option,
    ):
        command = option(command)
    return command


@click.command(short_help="Search skills, claims and log entries.")
@search_options
def search(**asked: Any) -> None:
    """Search skills, claims and entries for QUERY, best match first; `-` reads standard input.

    Every character of QUERY is data: a pasted error of many lines is searched by its rarest words.

    \b
    mu search ties sw-KE
    mu search why does dare fail --target sw-KE
    mu search --rerank Wie viele Quellen soll ich nehmen
    mu eval MODEL --locale sw-KE 2>&1 | mu search -
    """
    tell(("skill", "claim", "entry"), **asked)


@click.command("search", short_help="Search log entries; paste an error to find its fix.")
@search_options
def log_search(**asked: Any) -> None:
    """Search log entries for QUERY, best match first; `-` reads standard input.

    Paste an error: if it is known, its entry comes first, with the solution, even if paths and numbers differ.
    """
    tell(("entry",), **asked)


@click.command("search", short_help="Search skills and their claims.")
@search_options
def skills_search(**asked: Any) -> None:
    """Search skills and their claims for QUERY, best match first; `-` reads standard input."""
    tell(("skill", "claim"), **asked)


def tell(
    kinds: tuple[str, ...],
    *,
    query: tuple[str, ...],
    target: str | None,
    method: str | None,
    limit: int,
    rerank: bool,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Search, and print the hits."""
    from merginguriel.knowledge.search.query import search as find

    text = sys.stdin.read() if query == ("-",) else " ".join(query)
    where = space(workspace_path)
    result = find(where, text, kinds=kinds, target=target, method=method, limit=limit, rerank=rerank)
    if as_json:
        emit([hit.as_dict() for hit in result])
        return
    click.echo("\n\n".join(plain(lines_of(hit)) for hit in result), nl=bool(result))
    if not result:
        say("nothing found." if rerank else "nothing found. --rerank searches by meaning too.")


def lines_of(hit: Hit) -> str:
    """Return a hit as text: its name and status, its title, and the words around the match in «»."""
    status = hit.reason if hit.status in ("", "current") else f"[{hit.status}] {hit.reason}"
    head = "  ".join(part for part in (hit.kind, hit.name, hit.type, hit.date) if part)
    snippet = hit.snippet
    for start, end in reversed(hit.marks):
        snippet = f"{snippet[:start]}«{snippet[start:end]}»{snippet[end:]}"
    solution = f"solution: {hit.solution}" if hit.solution else ""
    one_line = (" ".join(text.split()) for text in (hit.title, status, solution or snippet))
    return "\n    ".join([head, *(text for text in one_line if text)])

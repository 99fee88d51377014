"""`mu why`: what a claim, a skill, an entry or a row rests on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from merginguriel.text.evidence import node_lines

from .common import DATE, emit, json_option, known, plain, space, text_width, true_minus, workspace_option

if TYPE_CHECKING:
    from merginguriel.knowledge.claims.evidence_tree import Node

ROWS = 12  # of one entry, before the rest is only counted


@click.command(short_help="Show the evidence of a claim, skill, entry or row.")
@click.argument("name", metavar="CLAIM|SKILL|ENTRY[#ROW]")
@click.option("--all", "everything", is_flag=True, help=f"Every row of an entry, not the first {ROWS}.")
@click.option("--as-of", type=DATE, help="Only what was known by this day (YYYY-MM-DD).")
@json_option
@workspace_option
def why(name: str, everything: bool, as_of: str | None, as_json: bool, workspace_path: Path | None) -> None:
    """Show the evidence of a statement, level by level: claim, entry, row, run, file with its sha256.

    Each claim is shown with its status, the grade of its evidence, and what would change it.
    """
    from merginguriel.knowledge.claims.evidence_tree import why as walk

    node = walk(known(space(workspace_path), as_of=as_of), name)
    if as_json:
        emit(node.as_dict())
        return
    for line in _lines(node, "", "", None if everything else ROWS):
        click.echo(line)


def _lines(node: Node, first: str, rest: str, most: int | None) -> Iterator[str]:
    # Under its entry, a row is named by its number.
    name = node.name[node.name.index("#") :] if node.kind == "row" and first else node.name
    yield from _wrapped(f"{name}  {node.says}" if node.says else name, first, rest)
    children = node.children
    cut = (
        len(children) - most if most is not None and node.kind == "entry" and len(children) > most + 1 else 0
    )
    visible = children[: len(children) - cut]
    under = rest + ("│  " if visible or cut else "   ")
    for text in node_lines(node):
        yield from _wrapped(text, under, under + "  ")
    for i, child in enumerate(visible):
        last = i == len(visible) - 1 and not cut
        yield from _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "), most)
    if cut:
        yield f"{rest}└─ … and {cut} more rows (--all)"


def _wrapped(text: str, first: str, rest: str) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(
        true_minus(plain(text)).replace("\n", " "), text_width(), initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip

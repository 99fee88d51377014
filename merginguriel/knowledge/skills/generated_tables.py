"""Tables of a skill that are generated from result rows.

A block starts with a comment that selects rows, in the form of docs/formats.md#taking-rows-back, and ends with another:

    <!-- mu:rows context=home/e5-small method=similarity k=3 baseline_kind=best_zero_shot -->
    <!-- mu:end -->

`mu:rows` shows every row, `mu:means` the mean over targets of each recipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merginguriel import files, stats
from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.pooling import pooled
from merginguriel.knowledge.parse.invalidation import selector
from merginguriel.knowledge.parse.markdown import GENERATED, GENERATED_END
from merginguriel.knowledge.parse.rows import ResultRow, distinct
from merginguriel.knowledge.parse.yaml_lines import read_text

_SHOWN = ("current", "contested")
FEWEST = 6  # lines of a block that has a table with a row
_SURE = 1.959964  # two-sided 95% of a normal distribution


@dataclass(frozen=True)
class Block:
    """A generated table: lines `first` to `last` of its file (from 1, with both comments) and its correct text."""

    path: Path
    first: int
    last: int
    text: str
    current: bool  # whether the file has this text
    wrong: bool  # whether the file has a line that the rows do not give; a row of the log that it lacks is not wrong


def blocks(path: Path, knowledge: Knowledge) -> list[Block]:
    """Return the generated tables of a Markdown file.

    Raises:
        KnowledgeError: For a block without an end, a wrong selector, or one that selects no row.
    """
    lines = read_text(path).split("\n")
    result = []
    for first, line in enumerate(lines, 1):
        start = GENERATED.match(line)
        if not start:
            continue
        where = f"{path}:{first}"
        if GENERATED_END not in lines[first:]:
            raise KnowledgeError(f"the block has no {GENERATED_END}.", where=where)
        last = lines.index(GENERATED_END, first) + 1
        chosen = selector(start["selector"], first, "Contests", path)
        rows = [
            r
            for r in distinct(knowledge.rows)
            if r.status in _SHOWN and chosen.selects(replace(r, written=()))
        ]
        rows = [r for r in rows if r.baseline is not None or start["kind"] == "rows"]
        if not rows:
            raise KnowledgeError("the block selects no row.", where=where, hint="Conditions: docs/formats.md")
        table = _rows(rows) if start["kind"] == "rows" else _means(rows)
        text = "\n".join([line, "", *table, "", GENERATED_END])
        written = lines[first - 1 : last]
        wrong = not set(written) <= set(text.split("\n")) or (
            start["kind"] == "means" and text.split("\n") != written
        )
        result.append(
            Block(path, first, last, text, "\n".join(written) == text, wrong or len(written) < FEWEST)
        )
    return result


def pages(knowledge: Knowledge) -> Iterator[Path]:
    """Yield the Markdown files that may have generated tables: SKILL.md and the files beside it."""
    for skill in knowledge.skills:
        yield from sorted(skill.path.parent.glob("*.md"))


def refresh(knowledge: Knowledge, name: str | None = None) -> list[Path]:
    """Rewrite the generated tables of all skills or of one that differ from their rows; return the changed files."""
    changed = []
    for path in pages(knowledge):
        stale = [b for b in blocks(path, knowledge) if not b.current]
        if not stale or (name and path.parent.name != name):
            continue
        lines = read_text(path).split("\n")
        for block in reversed(stale):
            lines[block.first - 1 : block.last] = block.text.split("\n")
        files.write_text(path, "\n".join(lines))
        changed.append(path)
    return changed


def _rows(rows: Sequence[ResultRow]) -> list[str]:
    result = [
        "| target | mode | method | similarity | k | value | baseline | difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(
        rows, key=lambda r: (r.target, r.mode, r.method, r.similarity or "", r.k or 0, r.params)
    ):
        labels = [row.target, row.mode, _method(row), row.similarity or "-", str(row.k or "-")]
        baseline = f"{_kind(row)} {_level(row, row.baseline)}" if row.baseline is not None else "-"
        doubt = f" ({row.status})" if row.status != "current" else ""
        result.append(
            f"| {' | '.join([*labels, _level(row, row.value), baseline, _difference(row) + doubt])} |"
        )
    return result


def _means(rows: Sequence[ResultRow]) -> list[str]:
    groups: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in rows:
        key = (row.mode, _method(row), row.similarity or "-", str(row.k or "-"), _kind(row))
        groups.setdefault(key, []).append(row)
    result = [
        "| mode | method | similarity | k | against | targets | mean difference | 95% |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for labels, group in sorted(groups.items()):
        pool = pooled([(row.gain_pp or 0.0, row.variance_pp, (row,)) for row in group])
        unit, width = group[0].points, 0.0
        if pool.se:
            width = pool.se * (stats.student_inv_cdf(0.975, pool.targets - 1) if pool.spread else _SURE)
        interval = f"{pool.mean - width:+.1f} to {pool.mean + width:+.1f}" if width else "-"
        cells = [*labels, str(pool.targets), f"{pool.mean:+.1f} {unit}", interval]
        result.append(f"| {' | '.join(cells)} |".replace(" -", " −").replace("| − |", "| - |"))
    return result


def _method(row: ResultRow) -> str:
    return " ".join([row.method, *(f"{name}={value}" for name, value in row.params)])


def _kind(row: ResultRow) -> str:
    return (row.baseline_kind or "-").replace("_", " ")


def _level(row: ResultRow, value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%" if row.is_share else f"{value:g}"


def _difference(row: ResultRow) -> str:
    if row.difference_pp is None:
        return "-"
    text = f"{row.difference_pp:+.2f} {row.points}".replace("-", "−")
    noise = row.variance_pp
    return text if noise is None or abs(row.difference_pp) > _SURE * noise**0.5 else f"{text}, within noise"

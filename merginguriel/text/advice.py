"""Layout of advice: the verdict first, then the figures, the reasons and the next steps.

`lay_out` turns advice into labelled rows that do not depend on a client. `render` prints them as text for the command
line and MCP; the terminal interface shows the same rows as a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from .advice_rows import ESSENTIAL, Row, RowLink, figures, headline, sections, short_ref, verdict

if TYPE_CHECKING:
    from merginguriel.decision.advice_types import Advice

__all__ = ["LEGEND", "LINES", "WORDS", "Row", "RowLink", "lay_out", "render", "short_ref"]

# Lines of a row of the short form where not all of it fits; 1 of the others.
LONGEST = {"sources": 2, "to beat": 2, "why": 2}
Part = tuple[str, list[str]]  # label of a row, and its lines; "": not shortened
_JOIN = "\N{NO-BREAK SPACE}"  # a line is not broken here; printed as a blank
WIDTH = 80  # of a pipe; a terminal has its own
MARGIN = 12  # where text begins, right of the labels
LINES = 20  # of the short form
WORDS = {
    "merge": "MERGE",
    "ensemble": "ENSEMBLE",
    "pilot": "PILOT",
    "no-merge": "NO MERGE",
    "unknown": "UNKNOWN",
}
LEGEND = (
    ("gain", "value of the merge − value of the baseline (to beat), in percentage points (pp)"),
    ("90%", "interval that contains the true gain with probability 0.90, under the model"),
    ("ExcTar", "the target's own model is not among the sources; IncTar: it is, and it is the baseline"),
    ("REAL", "sources ranked by their score on the target; URIEL: by typology"),
    ("D(…)", "training data by the languages of query, positive and negative: D(koenko)"),
    ("rests on", "what the expected gain is made of; the parts add up to it"),
    ("lead", "accuracy of the best single model − mean accuracy of the sources"),
    ("for", "rows that measured a gain on this target; against: rows that measured a loss, or no gain"),
    ("part", "contribution of this row to the expected gain; all parts add up to it"),
    ("p", "probability of such a difference by chance alone; 0.05 or more: within noise"),
    ("paired", "the row records which items each model got right, so its test is more precise"),
    ("prior", "the rows of other targets that it rests on; spread: the standard deviation of their gains"),
    ("left out", "rows that are shown but not counted: contested, invalidated or superseded"),
    ("detects", "smallest true gain that the test finds in 80 of 100 cases"),
    ("worth", "expected gain from deciding after a trial instead of now"),
    ("cost", "0.01 of the smallest gain worth a merge per merge and evaluation, 0.02 per training"),
    ("checked", "each target's rows predicted from the other targets: how many were in the intervals"),
)


class Layout(NamedTuple):
    """Advice as it is shown.

    Attributes:
        headline: The arm that the verdict is about.
        figures: Gain, interval and probabilities.
        verdict: Rows that belong to the verdict: baseline, rule, warning.
        sections: All other rows, in reading order.
    """

    title: str
    word: str
    headline: str
    figures: list[str]
    verdict: list[Row]
    sections: list[list[Row]]

    @property
    def rows(self) -> list[Row]:
        """All rows in reading order."""
        return [*self.verdict, *(row for section in self.sections for row in section)]


def lay_out(advice: Advice, *, every: bool = True) -> Layout:
    """Return the advice as labelled rows.

    Args:
        every: All rows; otherwise one screen: sources, the largest parts of the evidence, the best alternative, the
            first thing that would change the verdict, and the next command.
    """
    a, below = advice, sections(advice, every)
    return Layout(
        title=f"{a.target}  {a.mode}  {a.context}"
        + ("" if a.metric == "accuracy" else f"  {a.metric}")
        + (f"  as of {a.as_of}" if a.as_of else ""),
        word=WORDS[a.verdict],
        headline=headline(a),
        figures=figures(a),
        verdict=verdict(a),
        sections=[section for section in below if section] if every else [_essential(chain(*below))],
    )


def render(advice: Advice, *, every: bool = False, width: int = WIDTH, explain: bool = False) -> str:
    """Return the advice as text.

    Args:
        width: Columns; only commands and ids are longer.
    """
    layout = lay_out(advice, every=every)
    head = wrap(layout.word, layout.headline, width)
    head += wrap("", f" {_JOIN}".join(text.replace(" ", _JOIN) for text in layout.figures), width)
    verdict = [(row.label, wrap("", f"{row.label}: {row.text}", width)) for row in layout.verdict]
    blocks: list[list[Part]] = [[("", [layout.title])], [("", head), *verdict]]
    blocks += (_parts(section, width) for section in layout.sections)
    if not every:
        _fit(blocks, width)
    if explain:
        blocks.append([("", wrap(word, text, width)) for word, text in LEGEND])
    return "\n\n".join("\n".join(line for _, lines in block for line in lines) for block in blocks)


def _fit(blocks: list[list[Part]], width: int) -> None:
    """Shorten rows to `LONGEST`, the last first, with a mark where text is left out, until all are `LINES` lines."""
    over = sum(len(lines) for block in blocks for _, lines in block) + len(blocks) - 1 - LINES
    for block in reversed(blocks):
        for at, (label, lines) in reversed([*enumerate(block)]):
            most = max(LONGEST.get(label, 1), len(lines) - over)
            if over > 0 and label and len(lines) > most:
                last = lines[most - 1]
                while len(last) + 2 > width and " " in last.strip():
                    last = last.rpartition(" ")[0]
                block[at] = label, [*lines[: most - 1], f"{last.rstrip(' ,;:')} …"]
                over -= len(lines) - most


def _essential(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of one screen, and the option that shows the rest."""
    remaining = dict(ESSENTIAL)
    chosen = []
    for row in _joined(rows):
        if remaining.get(row.label):
            remaining[row.label] -= 1
            chosen.append(row)
    return [*chosen, Row("more", "--all: every row, claim and alternative; --explain: the terms")]


def _joined(rows: Iterable[Row]) -> list[Row]:
    """Return the rows with all sources in one: names, weights, and the reason, by name where others have another."""
    every = list(rows)
    named = [row for row in every if row.label == "sources" and "  " in row.text]
    sources = [row.text.split("  ") for row in named]
    if len(sources) < 2:
        return every
    names = [" ".join(parts[:-1]).strip() for parts in sources]
    reason = sources[0][-1]
    if any(parts[-1] != reason for parts in sources):
        reason = f"{names[0].split(' ')[0]} {reason}"
    joined = Row("sources", f"{', '.join(names)}: {reason}")
    return [joined, *(row for row in every if row not in named)]


def wrap(label: str, text: str, width: int, *, hang: bool = False) -> list[str]:
    """Break `text` between words, right of `label`; `hang` indents the lines after the first."""
    lines, indent = [f"  {label:{MARGIN - 4}s}  "], MARGIN
    for word in (
        text.replace(" pp", f"{_JOIN}pp")
        .replace(" pt", f"{_JOIN}pt")
        .replace(", p ", f", p{_JOIN}")
        .split(" ")
    ):
        if len(lines[-1]) > indent and len(lines[-1]) + 1 + len(word) > width:
            indent = MARGIN + 2 * hang
            lines.append(" " * indent)
        lines[-1] += word.lstrip(_JOIN) if len(lines[-1]) == indent else f" {word}"
    return [line.replace(_JOIN, " ").rstrip() for line in lines]


def _parts(rows: Iterable[Row], width: int) -> list[Part]:
    """Format rows as lines; a label is printed once, and commands and ids are not broken."""
    parts: list[Part] = []
    last = ""
    for row in rows:
        label, last = "" if row.label == last else row.label, row.label
        whole = row.link.name if row.link and row.link.kind == "copy" else ""
        if row.figures:
            whole = "  ".join(part for part in (f"{row.figures:>9s}", row.ref) if part)
        if whole:
            parts.append(("", [f"  {label:{MARGIN - 4}s}  {whole}"]))
            label = ""
        if row.text:
            parts.append((row.label, wrap(label, row.text, width, hang=row.hang)))
    return parts

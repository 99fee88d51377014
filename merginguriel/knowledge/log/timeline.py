"""Select log entries by filters, and export them as one chronological Markdown file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.text.suggest import suggest

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge

_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
HEAD = """\
# Experiment Log

Plans, observations and retrospectives in chronological order, written by `mu log export` from the entries in
experiment_log/. Those are what counts; this file is for reading.
"""


@dataclass(frozen=True)
class Filter:
    """Conditions on entries; None means any. Dates are inclusive, YYYY-MM-DD."""

    type: str | None = None
    target: str | None = None
    method: str | None = None
    since: str | None = None
    until: str | None = None
    claim: str | None = None
    tag: str | None = None
    text: str | None = None

    def takes(self, row: ResultRow) -> bool:
        """Return whether a row has the target and the method of this filter."""
        return self.target in (None, row.target) and self.method in (None, row.method)


def select(knowledge: Knowledge, criteria: Filter) -> list[Entry]:
    """Return the entries that pass a filter, oldest first.

    Target and method must hold for the same row or expectation.

    Raises:
        UsageError: For an unknown claim.
    """
    cited = _cited(knowledge, criteria.claim)
    words = criteria.text.casefold() if criteria.text else None
    return [
        entry
        for entry in knowledge.entries
        if criteria.type in (None, entry.type)
        and (criteria.since is None or entry.date >= criteria.since)
        and (criteria.until is None or entry.date <= criteria.until)
        and (criteria.tag is None or criteria.tag in entry.tags)
        and (cited is None or entry.id in cited)
        and (criteria.target is criteria.method is None or _speaks_of(entry, criteria))
        and (words is None or words in f"{entry.title}\n{entry.summary}\n{entry.body}".casefold())
    ]


def _speaks_of(entry: Entry, criteria: Filter) -> bool:
    return any(criteria.takes(row) for row in entry.rows) or any(
        criteria.target in (None, item.target) and criteria.method in (None, item.method)
        for item in entry.expected
    )


def _cited(knowledge: Knowledge, claim_id: str | None) -> set[str] | None:
    """Return the ids of the entries that a claim cites; None without a claim."""
    if claim_id is None:
        return None
    for claim in knowledge.claims:
        if claim.id == claim_id:
            return {ref.partition("#")[0] for ref in claim.evidence}
    raise UsageError(
        f"unknown claim {claim_id!r}.",
        hint=suggest(claim_id, [claim.id for claim in knowledge.claims])
        or "List all: mu skills list, mu skills show NAME",
    )


def export(entries: Iterable[Entry]) -> str:
    """Return the entries as one Markdown file, their headings one level down."""
    parts = [HEAD]
    for entry in entries:
        lines = [
            f"## {entry.date} – {entry.type}: {entry.title}",
            "",
            f"**Type:** {entry.type}  ",
            f"**General description:** {entry.summary}  ",
            f"**Entry:** {entry.id}",
        ]
        for word, ids in (
            ("Answers", entry.answers),
            ("Supersedes", entry.supersedes),
            ("Links", entry.links),
        ):
            if ids:
                lines[-1] += "  "
                lines.append(f"**{word}:** {', '.join(ids)}")
        body = demoted(entry.body)
        parts.append("\n".join([*lines, *(["", body] if body else [])]) + "\n")
    return "\n---\n\n".join(parts)


def demoted(body: str) -> str:
    """Return the same Markdown with every heading one level down, except at the sixth level."""
    fence: str | None = None
    lines = []
    for text in body.split("\n"):
        mark = _FENCE.match(text)
        if mark and (fence is None or mark[1].startswith(fence)):
            fence = None if fence else mark[1]
        elif fence is None and re.match(r"#{1,5}\s", text):
            text = f"#{text}"
        lines.append(text)
    return "\n".join(lines)

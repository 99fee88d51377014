"""Catalogue of skills with grade and freshness, short enough to be read first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims import row_status
from merginguriel.knowledge.claims.grading import LEVELS, grade
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.rows import SUPERSEDED
from merginguriel.knowledge.parse.skills import Skill

LIMIT = 8000  # characters of the catalogue
HEAD = """\
# Skills

Grade of the evidence: A high, B moderate, C low, D very low; - no claims. Days since updated; \\* the log has moved a claim since.
In full: `mu skills show NAME`.

"""
MORE = "- … and {} more: `mu skills list`\n"
# Escaped, so that a text does not become markup of the page.
_MARKUP = re.compile(r"([\\`*\[\]<>|])")


@dataclass(frozen=True)
class Freshness:
    """Days since a skill was updated (None if unknown), and claims whose status newer evidence changed."""

    days: int | None
    moved: tuple[tuple[str, str, str], ...] = ()

    @property
    def text(self) -> str:
        """Return `12d`, `12d*` if the log has changed a claim since, or `-` without a date."""
        return "-" if self.days is None else f"{self.days}d{'*' if self.moved else ''}"

    def as_dict(self) -> dict[str, object]:
        """Return the freshness as JSON-ready data."""
        return {
            "days": self.days,
            "moved": [{"claim": name, "then": then, "now": now} for name, then, now in self.moved],
        }


def skill_grade(skill: Skill, knowledge: Knowledge) -> tuple[str, str]:
    """Return a letter and the counts of claims by status; more than half of the claims reach the grade.

    A: high, B: moderate, C: low, D: very low or refuted (see grading.py). -: no claims.
    """
    live = [c for c in skill.claims if knowledge.standings[c.id].status != "superseded"]
    stand = [knowledge.standings[claim.id].status for claim in live]
    counts = ", ".join(f"{stand.count(s)} {s}" for s in dict.fromkeys(stand)) or "no claims"
    if not live:
        return "-", counts
    levels = sorted((_level(grade(claim, knowledge).level) for claim in live), reverse=True)
    return "DCBA"[levels[len(levels) // 2]], counts


def _level(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else 0


def freshness(knowledge: Knowledge, today: date | None = None) -> dict[str, Freshness]:
    """Map each skill to its freshness: claims that entries dated up to `updated` alone give another status."""
    today = today or date.today()
    result: dict[str, Freshness] = {}
    by_day: dict[str, list[Skill]] = {}
    for skill in knowledge.skills:
        by_day.setdefault(skill.updated, []).append(skill)
    for updated, skills in by_day.items():
        if not updated:
            result |= {skill.name: Freshness(None) for skill in skills}
            continue
        days = (today - date.fromisoformat(updated)).days
        known = [_restored(entry, knowledge) for entry in knowledge.entries if entry.date <= updated]
        if len(known) == len(knowledge.entries):
            result |= {skill.name: Freshness(days) for skill in skills}
            continue
        then = Knowledge(knowledge.space, tuple(skills), row_status.derive(known), "")
        for skill in skills:
            pairs = [
                (c.id, then.standings[c.id].status, knowledge.standings[c.id].status) for c in skill.claims
            ]
            result[skill.name] = Freshness(days, tuple(pair for pair in pairs if pair[1] != pair[2]))
    return result


def _restored(entry: Entry, knowledge: Knowledge) -> Entry:
    """Return the entry before any other superseded it or marked its rows."""
    rows = tuple(
        replace(row, status="current") if row.status == SUPERSEDED or row.ref in knowledge.marks else row
        for row in entry.rows
    )
    return replace(entry, rows=rows)


def catalogue(knowledge: Knowledge, *, today: date | None = None, limit: int = LIMIT) -> str:
    """Return Markdown of at most `limit` characters: name, grade, freshness and a line for every skill.

    Texts share the room that names leave, cut between words; where names alone do not fit, the last are counted only.
    """
    fresh = freshness(knowledge, today)
    starts = [
        f"- {skill.name}: {skill_grade(skill, knowledge)[0]} {_shown(fresh[skill.name].text)}"
        for skill in knowledge.skills
    ]
    texts = [(_shown(" ".join(skill.description.split())), _shown(skill.line)) for skill in knowledge.skills]
    return HEAD + fit(starts, texts, limit - len(HEAD))


def fit(starts: Sequence[str], texts: Sequence[tuple[str, str]], limit: int) -> str:
    """Return lines `start text` of at most `limit` characters.

    Each of `texts` is (long, short): the long one is used where it fits whole.
    """

    def lines(width: int) -> str:
        lines = (long if len(long) <= width else shorten(short, width) for long, short in texts)
        return "".join(f"{start} {text}".rstrip() + "\n" for start, text in zip(starts, lines, strict=True))

    if len(lines(0)) > limit:
        count = len(starts)
        while count and sum(len(s) + 1 for s in starts[:count]) + len(MORE) + 4 > limit:
            count -= 1
        return "".join(f"{start}\n" for start in starts[:count]) + MORE.format(len(starts) - count)
    low, high = 0, max((len(long) for long, _ in texts), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(lines(middle)) <= limit else (low, middle - 1)
    return lines(low)


def shorten(text: str, width: int) -> str:
    """Return at most `width` characters of `text`, cut between words and marked with "…"."""
    if len(text) <= width:
        return text
    cut = text[: max(width - 1, 0)]
    if text[len(cut) : len(cut) + 1] != " ":
        cut = cut.rpartition(" ")[0]
    cut = cut.rstrip(" ,;:—–-\\")
    return f"{cut} …" if cut and len(cut) + 2 <= width else f"{cut}…" if cut else ""


def _shown(text: str) -> str:
    """Return text from a file with markup and control characters escaped."""
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return _MARKUP.sub(r"\\\1", plain)

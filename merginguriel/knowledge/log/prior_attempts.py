"""Rows of the log that measured the same merge as a planned one, or a similar one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from merginguriel import locales
from merginguriel.errors import KnowledgeError, UsageError
from merginguriel.knowledge.parse.expectations import Expectation
from merginguriel.knowledge.parse.rows import SUPERSEDED, ResultRow, distinct, format_value, is_merge
from merginguriel.text.differences import KIND_WORDS

from . import plan_scores

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge

FALLEN = (SUPERSEDED, "invalidated")  # status of a row that counts in nothing
NEAR_K = 2  # sources more or fewer that still make a merge close to another
_OPEN: tuple[object, ...] = (None, "", ())


@dataclass(frozen=True)
class Wanted:
    """A planned merge. A field that is None or empty matches any row."""

    target: str
    method: str | None = None
    similarity: str | None = None
    k: int | None = None
    mode: str | None = None
    context: str | None = None
    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Match:
    """A row that matches. `degree` is `same` or `close`; `why` says what differs."""

    degree: str
    why: str
    row: ResultRow

    def as_dict(self) -> dict[str, object]:
        """Return the match as JSON-ready data."""
        return {
            "degree": self.degree,
            "why": self.why,
            "difference_pp": None if self.row.difference_pp is None else round(self.row.difference_pp, 2),
            "row": self.row.as_dict(),
        }

    def line(self) -> str:
        """Return `same: 2026-…#r1 sw-KE ExcTar ties REAL 5 on massive/xlm-roberta-base: 0.4297, −3.73 pp against …`."""
        row = self.row
        label = " ".join(str(x) for x in (row.target, row.mode, row.method, row.similarity, row.k) if x)
        text = f"{self.degree}: {row.ref} {label} on {row.context}: {format_value(row, row.value)}"
        if row.difference_pp is not None:
            text += f", {row.difference_pp:+.2f} {row.points}".replace("-", "−")
        if row.baseline is not None:
            kind = KIND_WORDS.get(row.baseline_kind or "", row.baseline_kind or "baseline")
            text += f" against the {kind}, {format_value(row, row.baseline)}"
        if row.status != "current":
            text += f" ({row.status})"
        return text + (f" [{self.why}]" if self.why else "")


class TriedAlready(KnowledgeError):
    """A plan for what the log has measured already; `matches` are the rows."""

    def __init__(self, matches: Iterable[Match], *, where: str | None = None) -> None:
        self.matches = list(matches)
        examples = [match.line() for match in self.matches[:8]]
        more = len(self.matches) - len(examples)
        super().__init__(
            "the log already has this merge, or a similar one.",
            where=where,
            hint="\n".join(
                [*examples, *([f"and {more} more rows"] if more else []), "To plan it anyway: --anyway"]
            ),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the error and its rows as JSON-ready data."""
        return {**super().as_dict(), "matches": [match.as_dict() for match in self.matches]}


def tried(knowledge: Knowledge, query: Wanted) -> list[Match]:
    """Return matching rows of merges: same before close, current before contested, newest first.

    A close row differs in one thing: similarity, mode, parameters, context, up to NEAR_K sources, or the
    target where it is another locale of the same language. Rows that are superseded or invalidated answer nothing and
    are left out; see `invalidated_attempts`.

    Raises:
        UsageError: For an unknown target.
    """
    return _matches([row for row in knowledge.rows if row.status not in FALLEN], query)


def invalidated_attempts(knowledge: Knowledge, query: Wanted) -> list[Match]:
    """Return superseded and invalidated rows that would match; their results do not count."""
    return _matches([row for row in knowledge.rows if row.status in FALLEN], query)


def _matches(rows: Iterable[ResultRow], query: Wanted) -> list[Match]:
    target = locales.get(query.target)
    merges = [
        row for row in rows if row.mode != "-" and is_merge(row.method) and query.method in (None, row.method)
    ]
    result = []
    for row in distinct(merges):
        other = _differences(row, query, target)
        if other is not None and len(other) <= 1:
            result.append(Match("close" if other else "same", "; ".join(other), row))
    newest = sorted(result, key=lambda m: (m.row.date, m.row.ref), reverse=True)
    return sorted(newest, key=lambda m: (m.degree != "same", m.row.status != "current"))


@dataclass(frozen=True)
class OpenExpectation:
    """An expectation of an open plan about the merge in question."""

    plan: str
    expected: Expectation

    def as_dict(self) -> dict[str, object]:
        """Return the expectation and its plan as JSON-ready data."""
        return {"plan": self.plan, "expected": self.expected.as_dict()}

    def line(self) -> str:
        """Return the expectation as one line."""
        return f"planned: {self.plan} {self.expected.label()} on {self.expected.context}"


def planned(knowledge: Knowledge, query: Wanted) -> list[OpenExpectation]:
    """Return unmeasured expectations of open plans about the same merge, newest first."""
    result = []
    for state in plan_scores.plans(knowledge, "9999-12-31"):
        if state.state not in ("open", "partly answered"):
            continue
        result += [
            OpenExpectation(state.plan.id, score.expected)
            for score in state.scores
            if score.actual_pp is None and _matches_plan(score.expected, query)
        ]
    return result[::-1]


def _matches_plan(expectation: Expectation, query: Wanted) -> bool:
    """Return whether an expectation is about the merge, in every field that both give."""
    alike = all(
        getattr(query, name) in _OPEN or getattr(expectation, name) in (None, getattr(query, name))
        for name in ("method", "similarity", "k", "mode", "context")
    )
    params = dict(expectation.params)
    return (
        alike
        and expectation.target == locales.get(query.target).tag
        and all(params.get(key, value) == value for key, value in query.params)
    )


def _differences(row: ResultRow, query: Wanted, target: locales.Locale) -> list[str] | None:
    """Return what differs between a row and the planned merge, in words; None if it is too much."""
    other = []
    if row.target != target.tag:
        try:
            if locales.get(row.target).language != target.language:
                return None
        except UsageError:
            return None  # `-`: of no locale
        other.append(f"target {row.target}")
    for name in ("mode", "context", "similarity"):
        value, requested = getattr(row, name), getattr(query, name)
        if requested not in _OPEN and value != requested:
            other.append(f"{name} {value or 'not given'}")
    if query.k is not None and row.k != query.k:
        if row.k is None or abs(row.k - query.k) > NEAR_K:
            return None
        other.append(f"number of sources {row.k}")
    if query.params and not set(query.params) <= set(row.params):
        other.append("params " + (" ".join(f"{k}={v}" for k, v in row.params) or "not given"))
    return other


def query_of(expectation: Expectation) -> Wanted:
    """Return the merge that an expectation is about."""
    return Wanted(**{field.name: getattr(expectation, field.name) for field in fields(Wanted)})


def tried_by_plan(knowledge: Knowledge, expected: Iterable[Expectation]) -> list[Match]:
    """Return the matches of all expectations of a plan, each row once."""
    result: dict[str, Match] = {}
    for item in expected:
        for match in tried(knowledge, query_of(item)):
            if match.row.ref not in result or match.degree == "same":
                result[match.row.ref] = match
    return sorted(result.values(), key=lambda m: m.degree != "same")

"""State of plans, and scores of their expectations against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import sqrt
from typing import TYPE_CHECKING

from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.expectations import Expectation
from merginguriel.knowledge.parse.rows import ResultRow, distinct

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge

ROUNDING = 0.005  # pp: two accuracies of four decimals leave their difference sure to a hundredth


@dataclass(frozen=True)
class ExpectationScore:
    """An expectation and its outcome.

    Attributes:
        ref: `<entry id>#e<n>`, where the expectation is written.
        plan: Id of the plan.
        actual_pp: `value` − `baseline` of the rows in pp, their mean where there are several; None: not measured yet.
        se_pp: Its standard error, where the rows tell it; that of rows on the same items, taken as one.
        inside: Whether actual_pp is in the interval; None if either is missing.
        error_pp: `actual_pp` − the middle of the interval; of a half-open one, how far actual_pp lies outside.
        brier: (p_positive − [actual_pp > 0])².
        restated: The expectation was written down by another entry than the plan, or a row is older than the plan.
    """

    ref: str
    plan: str
    expected: Expectation
    rows: tuple[ResultRow, ...] = ()
    actual_pp: float | None = None
    se_pp: float | None = None
    inside: bool | None = None
    error_pp: float | None = None
    brier: float | None = None
    restated: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the score as JSON-ready data."""
        result = {name: value for name, value in vars(self).items() if name not in ("expected", "rows")}
        for name in ("actual_pp", "se_pp", "error_pp", "brier"):
            result[name] = None if result[name] is None else round(float(result[name]), 4)
        return {**result, "expected": self.expected.as_dict(), "rows": [row.ref for row in self.rows]}


@dataclass(frozen=True)
class PlanState:
    """A plan: `open`, `partly answered`, `answered` or `replaced` (superseded), its age and open measurements.

    Attributes:
        lost: (answer, its superseder) where the superseder does not answer the plan itself, so that no row of either
            counts.
    """

    plan: Entry
    state: str
    age_days: int
    answered_by: tuple[str, ...]
    waits_for: tuple[str, ...]
    scores: tuple[ExpectationScore, ...]
    lost: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the state as JSON-ready data."""
        return {
            "id": self.plan.id,
            "title": self.plan.title,
            "date": self.plan.date,
            "state": self.state,
            "age_days": self.age_days,
            "answered_by": list(self.answered_by),
            "waits_for": list(self.waits_for),
            "lost": [{"answer": answer, "superseded_by": by} for answer, by in self.lost],
            "expected": [score.as_dict() for score in self.scores],
        }


@dataclass(frozen=True)
class Summary:
    """Accuracy of expectations; shares and means are None where nothing was measured.

    Attributes:
        stated, measured: Expectations, and those of them with a row.
        inside, of: Number of measured intervals that held, and of all measured ones; `level` is their mean probability.
        mean_error_pp: Mean of error_pp over intervals with two ends: below zero, expectations were too high.
        mean_miss_pp: Mean of its absolute value.
        brier: Mean Brier score; a coin gets 0.25.
        restated: Measured expectations that were written down afterwards.
    """

    stated: int
    measured: int
    inside: int
    of: int
    level: float | None
    mean_error_pp: float | None
    mean_miss_pp: float | None
    brier: float | None
    restated: int

    def as_dict(self) -> dict[str, object]:
        """Return the summary as JSON-ready data."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in vars(self).items()}


def retrospectives(knowledge: Knowledge, plan: Entry) -> list[Entry]:
    """Return the entries that answer a plan: under `answers`, or a Retrospective that links to it."""
    return [
        entry
        for entry in knowledge.entries
        if plan.id in entry.answers or (entry.type == "Retrospective" and plan.id in entry.links)
    ]


def lost_answers(knowledge: Knowledge, plan: Entry) -> list[tuple[Entry, Entry]]:
    """Return (answer, superseder) where the rows that scored a plan no longer count and were not replaced."""
    answers = retrospectives(knowledge, plan)
    return [
        (answer, knowledge.by_entry[by])
        for answer in answers
        for by in knowledge.superseders.get(answer.id, ())
        if not any(later in answers for later in _line(knowledge, by))
    ]


def _line(knowledge: Knowledge, id: str) -> list[Entry]:
    """Return an entry and all that supersede it, directly or not."""
    result = [id]
    for item in result:
        result += [later for later in knowledge.superseders.get(item, ()) if later not in result]
    return [knowledge.by_entry[item] for item in result]


def scores(knowledge: Knowledge) -> list[ExpectationScore]:
    """Score every expectation of every plan that is not superseded, in order of date."""
    result = []
    for entry in knowledge.entries:
        if entry.id in knowledge.superseders:
            continue
        for number, item in enumerate(entry.expected, start=1):
            plan = knowledge.by_entry.get(item.plan or entry.id)
            if plan is not None and plan.type == "Plan" and plan.id not in knowledge.superseders:
                result.append(_score(knowledge, f"{entry.id}#e{number}", plan, item))
    return result


def _score(knowledge: Knowledge, ref: str, plan: Entry, expectation: Expectation) -> ExpectationScore:
    rows = distinct(
        row
        for entry in retrospectives(knowledge, plan)
        for row in entry.rows
        if row.status == "current" and expectation.covers(row) and _difference(row, expectation) is not None
    )
    return scored(ref, plan, expectation, rows)


def scored(ref: str, plan: Entry, expectation: Expectation, rows: Sequence[ResultRow]) -> ExpectationScore:
    """Score an expectation against rows that measured it."""
    rows = [row for row in rows if expectation.covers(row) and _difference(row, expectation) is not None]
    if not rows:
        return ExpectationScore(ref, plan.id, expectation, restated=bool(expectation.plan))
    differences = [d for row in rows if (d := _difference(row, expectation)) is not None]
    actual = sum(differences) / len(differences)
    variances = [row.variance_pp for row in rows]
    known = [variance for variance in variances if variance is not None]
    low, high = expectation.low_pp, expectation.high_pp
    inside = error = None
    if low is not None or high is not None:
        below = max(0.0, low - actual) if low is not None else 0.0
        above = max(0.0, actual - high) if high is not None else 0.0
        inside = max(below, above) <= ROUNDING
        error = actual - (low + high) / 2 if low is not None and high is not None else above - below
    return ExpectationScore(
        ref, plan.id, expectation, tuple(rows), actual,
        se_pp=sqrt(sum(known) / len(known)) if len(known) == len(rows) else None,
        inside=inside, error_pp=error,
        brier=None if expectation.p_positive is None else (expectation.p_positive - (actual > 0)) ** 2,
        restated=bool(expectation.plan) or any(row.date < plan.date for row in rows),
    )  # fmt: skip


def _difference(row: ResultRow, expectation: Expectation) -> float | None:
    """Return a row's difference in pp to the baseline of an expectation; None if it has none of that kind."""
    if row.metric == "merging_effect" and expectation.over == "source_mean":
        return row.value
    return row.difference_pp if row.baseline_kind == expectation.over else None


def summary(result: list[ExpectationScore]) -> Summary:
    """Summarise scores."""
    measured = [score for score in result if score.actual_pp is not None]
    intervals = [score for score in measured if score.inside is not None]
    errors = [
        score.error_pp
        for score in intervals
        if score.error_pp is not None and None not in (score.expected.low_pp, score.expected.high_pp)
    ]
    return Summary(
        stated=len(result),
        measured=len(measured),
        inside=sum(score.inside is True for score in intervals),
        of=len(intervals),
        level=_mean([score.expected.level for score in intervals]),
        mean_error_pp=_mean(errors),
        mean_miss_pp=_mean([abs(error) for error in errors]),
        brier=_mean([score.brier for score in measured if score.brier is not None]),
        restated=sum(score.restated for score in measured),
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def plans(knowledge: Knowledge, today: str) -> list[PlanState]:
    """Return the state of every plan in order of date; ages count up to `today` (YYYY-MM-DD)."""
    by_plan: dict[str, list[ExpectationScore]] = {}
    for score in scores(knowledge):
        by_plan.setdefault(score.plan, []).append(score)
    result = []
    for plan in (entry for entry in knowledge.entries if entry.type == "Plan"):
        stated = by_plan.get(plan.id, [])
        answers = retrospectives(knowledge, plan)
        waits = [
            f"{score.expected.label()} over {score.expected.over}"
            for score in stated
            if score.actual_pp is None
        ]
        if plan.id in knowledge.superseders:
            state, waits = "replaced", []
        elif not answers:
            state, waits = "open", waits or ["a retrospective"]
        else:
            state = "partly answered" if waits else "answered"
        age = max(0, (date.fromisoformat(today) - date.fromisoformat(plan.date)).days)
        lost = tuple((answer.id, by.id) for answer, by in lost_answers(knowledge, plan))
        by = tuple(entry.id for entry in answers)
        result.append(PlanState(plan, state, age, by, tuple(waits), tuple(stated), lost))
    return result


def picture(result: list[ExpectationScore], width: int = 44) -> list[str]:
    """Draw each score as one line of `width` characters, all on one scale of pp.

    `├──┤` is what was expected, `●` what came, `┆` zero; an end without a bar is open.
    """
    values = [0.0]
    for score in result:
        values += [
            x for x in (score.expected.low_pp, score.expected.high_pp, score.actual_pp) if x is not None
        ]
    low, high = min(values), max(values)
    scale = (width - 1) / max(high - low, 1e-6)

    def at(value: float) -> int:
        return round((value - low) * scale)

    lines = []
    for score in result:
        item, cells = score.expected, [" "] * width
        cells[at(0.0)] = "┆"
        if item.low_pp is not None or item.high_pp is not None:
            first = 0 if item.low_pp is None else at(item.low_pp)
            last = width - 1 if item.high_pp is None else at(item.high_pp)
            cells[first : last + 1] = "─" * (last - first + 1)
            if item.high_pp is not None:
                cells[last] = "┤"
            if item.low_pp is not None:
                cells[first] = "├"
        if score.actual_pp is not None:
            cells[at(score.actual_pp)] = "●"
        lines.append("".join(cells))
    return lines

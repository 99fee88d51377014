"""Open questions of the log, their history, and entries that still wait for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from merginguriel import locales
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.sentence_match import words
from merginguriel.knowledge.parse.entries import Entry

from .plan_scores import plans

ALIKE = 0.6  # share of a question's words in a plan's text from which on the plan is about it


@dataclass(frozen=True)
class QuestionChange:
    """A change of a question's state: `narrowed` or `closed`, by which entry, and why if it says so."""

    state: str
    by: str
    date: str
    text: str = ""


@dataclass(frozen=True)
class Thread:
    """A question and its history."""

    ref: str
    text: str
    opened_by: str
    date: str
    steps: tuple[QuestionChange, ...] = ()

    @property
    def state(self) -> str:
        """Return `open`, `narrowed` or `closed`."""
        done = [step.state for step in self.steps]
        return "closed" if "closed" in done else "narrowed" if done else "open"

    def as_dict(self) -> dict[str, object]:
        """Return the question as JSON-ready data."""
        return {
            "question": self.ref,
            "text": self.text,
            "state": self.state,
            "opened_by": self.opened_by,
            "date": self.date,
            "steps": [vars(step) for step in self.steps],
        }


def threads(entries: Sequence[Entry]) -> list[Thread]:
    """Return every question of the log in the order of opening, with its history."""
    dates = {entry.id: entry.date for entry in entries}
    later: dict[str, list[QuestionChange]] = {}
    for entry in entries:
        for answer in entry.settles:
            later.setdefault(answer.question, []).append(
                QuestionChange(answer.state, entry.id, entry.date, answer.text)
            )
    result = []
    for entry in entries:
        for number, question in enumerate(entry.questions, start=1):
            ref = f"{entry.id}#q{number}"
            steps = later.get(ref, [])
            if question.by:
                steps = [QuestionChange(question.state, question.by, dates.get(question.by, "")), *steps]
            result.append(
                Thread(ref, question.text, entry.id, entry.date, tuple(sorted(steps, key=lambda s: s.date)))
            )
    return result


def touched_by(plan: Entry, questions: Sequence[Thread]) -> list[tuple[Thread, tuple[str, ...]]]:
    """Return open questions that a plan may answer, each with what they share, best match first.

    A question counts if it names a target or a method of the plan, or if most of its words stand in the plan's text;
    one that names other languages alone does not.
    """
    prose = " ".join(line for line in plan.body.splitlines() if not line.startswith("|"))
    own = {*words(plan.title), *words(plan.summary), *words(prose)}
    result = []
    for item in questions:
        terms = set(words(item.text))
        spoken = terms & _languages()
        if item.state == "closed" or not terms:
            continue
        common = []
        for expected in plan.expected:
            target, method = set(words(expected.target)), set(words(expected.method))
            if spoken and not spoken & target:
                continue
            if target <= terms:
                common.append(f"target {expected.target}")
            if method <= terms:
                common.append(f"method {expected.method}")
            if len(terms & own) >= ALIKE * len(terms):
                common.append("words of the plan")
        if common:
            result.append((item, tuple(dict.fromkeys(common))))
    return sorted(result, key=lambda pair: -len(pair[1]))


@cache
def _languages() -> frozenset[str]:
    """Return the first word of every language's name, stemmed as by `words`."""
    return frozenset(words(locale.name)[0] for locale in locales.table().values() if words(locale.name))


def unfinished(knowledge: Knowledge, today: str) -> dict[str, list[str]]:
    """Map each entry to what is open of it: `plan` or `plan in part`, and `2 questions`."""
    result: dict[str, list[str]] = {}
    for plan in plans(knowledge, today):
        if plan.state in ("open", "partly answered"):
            result.setdefault(plan.plan.id, []).append("plan" if plan.state == "open" else "plan in part")
    counts: dict[str, int] = {}
    for thread in threads(knowledge.entries):
        if thread.state != "closed":
            counts[thread.opened_by] = counts.get(thread.opened_by, 0) + 1
    for name, count in counts.items():
        result.setdefault(name, []).append(f"{count} question{'s' * (count != 1)}")
    return result

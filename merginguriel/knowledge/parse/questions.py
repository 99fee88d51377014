"""Which questions are open, and which entry opened, narrowed or closed each? Read from `## Open questions`.

The n-th question that an entry asks is `<entry id>#q<n>`. An entry says of its own question that it is
`[open]`, `[narrowed ID]` or `[closed ID]` by another; since what has landed is not edited, a later entry says of
somebody else's `[narrows ID#q2]` or `[closes ID#q2]`, and why.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from merginguriel import locales
from merginguriel.errors import KnowledgeError

from . import markdown
from .markdown import Section

if TYPE_CHECKING:
    from .entries import Entry

_STATE = re.compile(r"^\[(open|narrowed|closed)(?:\s+([^\]\s][^\]]*))?\]\s+(.+)$")
_SETTLES = re.compile(r"^\[(narrows|closes)(?:\s+([^\]\s][^\]]*))?\]\s+(.+)$")
_REF = re.compile(r"^\S+#q[1-9]\d{0,3}$")
ALIKE = 0.6  # share of a question's words in a plan's text from which on the plan is about it
_DONE = {"narrows": "narrowed", "closes": "closed"}


@dataclass(frozen=True)
class OpenQuestion:
    """An entry's own question: its state as written, the entry that narrowed or closed it, and its line."""

    text: str
    state: str
    by: str | None
    line: int


@dataclass(frozen=True)
class Settled:
    """What an entry says of another one's question. question: `<entry id>#q<n>`; state: narrowed or closed."""

    question: str
    state: str
    text: str
    line: int

    def as_dict(self) -> dict[str, str]:
        return {"question": self.question, "state": self.state, "text": self.text}


@dataclass(frozen=True)
class Step:
    """One thing that happened to a question: `narrowed` or `closed`, by which entry, and why if it says so."""

    state: str
    by: str
    date: str
    text: str = ""


@dataclass(frozen=True)
class Thread:
    """A question from its opening on. state: open, narrowed or closed, by the last of its steps."""

    ref: str
    text: str
    opened_by: str
    date: str
    steps: tuple[Step, ...] = ()

    @property
    def state(self) -> str:
        done = [step.state for step in self.steps]
        return "closed" if "closed" in done else "narrowed" if done else "open"

    def as_dict(self) -> dict[str, object]:
        return {
            "question": self.ref,
            "text": self.text,
            "state": self.state,
            "opened_by": self.opened_by,
            "date": self.date,
            "steps": [vars(step) for step in self.steps],
        }


def parse(section: Section, path: Path) -> tuple[list[OpenQuestion], list[Settled]]:
    """The questions that an entry asks, and those of others that it settles."""
    asked: list[OpenQuestion] = []
    settled: list[Settled] = []
    for number, text in section.lines:
        item = markdown.item(text)
        if item is None:
            continue
        state, settles = _STATE.match(item), _SETTLES.match(item)
        if settles:
            ref = (settles[2] or "").strip()
            if not _REF.match(ref):
                raise KnowledgeError(
                    f"[{settles[1]}] must name a question of another entry.",
                    where=f"{path}:{number}",
                    mend=f"[{settles[1]} ENTRY-ID#q1] and what was found; see their names: mu log questions",
                )
            settled.append(Settled(ref, _DONE[settles[1]], settles[3].strip(), number))
        elif not state:
            raise KnowledgeError(
                "an open question starts with its state.",
                where=f"{path}:{number}",
                mend="[open], [narrowed ENTRY-ID] or [closed ENTRY-ID], then the question; of another entry's "
                "question: [narrows ENTRY-ID#q1] or [closes ENTRY-ID#q1], then what was found.",
            )
        elif state[1] != "open" and not state[2]:
            raise KnowledgeError(f"[{state[1]}] must name the entry that did it.", where=f"{path}:{number}")
        else:
            asked.append(OpenQuestion(state[3].strip(), state[1], state[2], number))
    return asked, settled


def threads(entries: Sequence[Entry]) -> list[Thread]:
    """Every question of the log in order of its opening, with what became of it."""
    dates = {entry.id: entry.date for entry in entries}
    later: dict[str, list[Step]] = {}
    for entry in entries:
        for one in entry.settles:
            later.setdefault(one.question, []).append(Step(one.state, entry.id, entry.date, one.text))
    found = []
    for entry in entries:
        for number, question in enumerate(entry.questions, start=1):
            ref = f"{entry.id}#q{number}"
            steps = later.get(ref, [])
            if question.by:
                steps = [Step(question.state, question.by, dates.get(question.by, "")), *steps]
            found.append(
                Thread(ref, question.text, entry.id, entry.date, tuple(sorted(steps, key=lambda s: s.date)))
            )
    return found


def touched_by(plan: Entry, asked: Sequence[Thread]) -> list[tuple[Thread, tuple[str, ...]]]:
    """Questions that nobody closed and that a plan may answer, with what they have in common; the most alike first.

    A question counts if it names a target or a method of the plan, or if most of its words stand in the plan's text;
    one that names other languages alone does not.
    """
    from merginguriel.knowledge.claims.sentence_match import words

    prose = " ".join(line for line in plan.body.splitlines() if not line.startswith("|"))
    own = {*words(plan.title), *words(plan.summary), *words(prose)}
    found = []
    for one in asked:
        said = set(words(one.text))
        spoken = said & _languages()
        if one.state == "closed" or not said:
            continue
        common = []
        for expected in plan.expected:
            target, method = set(words(expected.target)), set(words(expected.method))
            if spoken and not spoken & target:
                continue
            if target <= said:
                common.append(f"target {expected.target}")
            if method <= said:
                common.append(f"method {expected.method}")
            if len(said & own) >= ALIKE * len(said):
                common.append("words of the plan")
        if common:
            found.append((one, tuple(dict.fromkeys(common))))
    return sorted(found, key=lambda pair: -len(pair[1]))


@cache
def _languages() -> frozenset[str]:
    """The first word of every language's name, as `resemblance.words` has it."""
    from merginguriel.knowledge.claims.sentence_match import words

    return frozenset(words(locale.name)[0] for locale in locales.table().values() if words(locale.name))

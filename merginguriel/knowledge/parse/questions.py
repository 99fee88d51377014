"""Parse the section `## Open questions` of an entry.

The n-th question of an entry is `<entry id>#q<n>`. An entry marks its own question as `[open]`, `[narrowed ID]` or
`[closed ID]` by another entry; a later entry writes `[narrows ID#q2]` or `[closes ID#q2]` and why, since landed
entries are not edited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from merginguriel.errors import KnowledgeError

from . import markdown
from .markdown import Section

_STATE = re.compile(r"^\[(open|narrowed|closed)(?:\s+([^\]\s][^\]]*))?\]\s+(.+)$")
_SETTLES = re.compile(r"^\[(narrows|closes)(?:\s+([^\]\s][^\]]*))?\]\s+(.+)$")
_REF = re.compile(r"^\S+#q[1-9]\d{0,3}$")
_DONE = {"narrows": "narrowed", "closes": "closed"}


@dataclass(frozen=True)
class OpenQuestion:
    """An entry's own question: its state as written, the entry that narrowed or closed it, and its line."""

    text: str
    state: str
    by: str | None
    line: int


@dataclass(frozen=True)
class QuestionSettlement:
    """What an entry says about a question of another: `<entry id>#q<n>` is narrowed or closed."""

    question: str
    state: str
    text: str
    line: int

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON-ready data."""
        return {"question": self.question, "state": self.state, "text": self.text}


def parse(section: Section, path: Path) -> tuple[list[OpenQuestion], list[QuestionSettlement]]:
    """Return the questions that an entry asks, and those of others that it settles."""
    questions: list[OpenQuestion] = []
    settled: list[QuestionSettlement] = []
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
                    hint=f"[{settles[1]} ENTRY-ID#q1] and what was found; see their names: mu log questions",
                )
            settled.append(QuestionSettlement(ref, _DONE[settles[1]], settles[3].strip(), number))
        elif not state:
            raise KnowledgeError(
                "an open question starts with its state.",
                where=f"{path}:{number}",
                hint="[open], [narrowed ENTRY-ID] or [closed ENTRY-ID], then the question; of another entry's "
                "question: [narrows ENTRY-ID#q1] or [closes ENTRY-ID#q1], then what was found.",
            )
        elif state[1] != "open" and not state[2]:
            raise KnowledgeError(f"[{state[1]}] must name the entry that did it.", where=f"{path}:{number}")
        else:
            questions.append(OpenQuestion(state[3].strip(), state[1], state[2], number))
    return questions, settled

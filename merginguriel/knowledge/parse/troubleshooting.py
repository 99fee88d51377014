"""Parse the sections of a Troubleshooting entry: error patterns, symptom, cause and solution."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merginguriel.errors import KnowledgeError

from . import markdown
from .markdown import Section

SECTIONS = ("Error pattern", "Symptom", "Cause", "Mend")
LONGEST = 300  # characters of a pattern

_PATTERN = re.compile(r"^(?:`(?P<literal>[^`]+)`|/(?P<regex>.+)/)\s*$")
# A repeated group can take time exponential in the length of the text.
_REPEATED_GROUP = re.compile(r"(?<!\\)\)\s*[*+{]|\\[1-9]|\(\?P=")


@dataclass(frozen=True)
class Pattern:
    """Literal words of an error in any case and spacing, or a regular expression for one line."""

    text: str
    regex: bool = False

    def __str__(self) -> str:
        return f"/{self.text}/" if self.regex else self.text


@dataclass(frozen=True)
class Trouble:
    """A known error: its patterns, and symptom, cause and solution as Markdown."""

    patterns: tuple[Pattern, ...]
    symptom: str
    cause: str
    solution: str

    def as_dict(self) -> dict[str, object]:
        """Return the trouble as JSON-ready data."""
        return {**vars(self), "patterns": [str(pattern) for pattern in self.patterns]}


def parse(sections: Sequence[Section], path: Path) -> Trouble:
    """Parse the sections of an entry; raise KnowledgeError for one that is missing or unreadable."""
    by_title = {section.title: section for section in sections}
    for title in SECTIONS:
        if title not in by_title or not by_title[title].text:
            raise KnowledgeError(
                f"a Troubleshooting entry has no section {title!r}.",
                where=f"{path}:1",
                hint=f"It needs: {', '.join(f'## {section}' for section in SECTIONS)}.",
            )
    patterns = []
    for number, text in by_title[SECTIONS[0]].lines:
        if not text.strip():
            continue
        item = _PATTERN.match(markdown.item(text) or "")
        if not item:
            raise KnowledgeError(
                "this line is not a pattern.",
                where=f"{path}:{number}",
                hint="Write - `the error's own words` or - /a regular expression/, one a line.",
            )
        pattern = Pattern(item["literal"] or item["regex"], regex=item["regex"] is not None)
        _check(pattern, f"{path}:{number}")
        patterns.append(pattern)
    return Trouble(tuple(patterns), *(by_title[title].text for title in SECTIONS[1:]))


def _check(pattern: Pattern, where: str) -> None:
    if len(pattern.text) > LONGEST:
        raise KnowledgeError(f"a pattern has {LONGEST} characters at most.", where=where)
    if not pattern.regex:
        return
    if _REPEATED_GROUP.search(pattern.text):
        raise KnowledgeError(
            "a pattern may not repeat a group or refer back to one: it could take for ever.",
            where=where,
            hint="Write (a|b) without * or + behind it, or two patterns.",
        )
    try:
        re.compile(pattern.text)
    except (re.error, OverflowError, RecursionError) as error:
        raise KnowledgeError(f"this is not a regular expression: {error}.", where=where) from error

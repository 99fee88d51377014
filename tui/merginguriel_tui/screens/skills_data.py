"""Data of the skills screen: skills with their grades, and the lines of its lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.widgets.option_list import Option

from merginguriel.text.tables import plain

from . import links
from .why import SIGNS

if TYPE_CHECKING:
    from merginguriel.errors import MuError
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.workspace import Workspace

Grades = dict[str, tuple[str, str, str]]  # skill → grade, status of its claims, age


def read(space: Workspace) -> tuple[Knowledge, Grades, dict[str, str]]:
    """Load the knowledge, the grades of its skills, and the names that links may have."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.skills.catalogue import freshness, skill_grade

    knowledge = load(space)
    fresh = freshness(knowledge)
    grades = {s.name: (*skill_grade(s, knowledge), fresh[s.name].text) for s in knowledge.skills}
    return knowledge, grades, links.names(knowledge)


def skill_lines(grades: Grades, width: int) -> list[Option]:
    """Return a line for each skill: grade, age and name."""
    found = []
    for name, (grade, _, fresh) in grades.items():
        text = plain(name) if len(name) <= width - 8 else f"{plain(name)[: width - 9]}…"
        found.append(Option(Text.assemble((f"{grade} ", "bold"), (f"{fresh:>5} ", "dim"), text)))
    return found


def hit_lines(hits: Sequence[Any], grades: Mapping[str, Sequence[str]]) -> list[Option]:
    """Return two lines for each hit of a search."""
    found = []
    for hit in hits:
        sign = grades.get(hit.name, ("?",))[0] if hit.kind == "skill" else SIGNS.get(hit.status, "?")
        text = Text.assemble(f"{sign} ", (plain(hit.name), "bold"), no_wrap=False)
        text.append(f"\n  {plain(hit.title if hit.kind == 'claim' else hit.snippet)}", "dim")
        found.append(Option(text))
    return found or [Option(Text("no matches"), disabled=True)]


def version_lines(states: Sequence[Any], error: MuError | None) -> list[Option]:
    """Return the versions of a skill, each with its changes, then the error that ended the reading."""
    found = []
    for state in states:
        line = f"{state.commit[:9] or '-'}  {state.date or '-'}  {state.version or '-'}  {state.subject}"
        text = Text(plain(line), "bold")
        for change in state.changes or ("no change in meaning",):
            text.append(f"\n    {plain(change)}", "not bold")
        found.append(Option(text))
    if error is not None:
        found.append(Option(Text(plain(error.render())), disabled=True))
    return found


def changes(knowledge: Knowledge, name: str, since: str) -> list[Any]:
    """Return the changes of a skill since a version; since the last one, if none is named."""
    from merginguriel.knowledge.skills.diff import compare, states

    old, new, before, after = states(knowledge, name, since or None)
    return compare(old, new, before, after)

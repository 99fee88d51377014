"""Does a skill name the unit of every difference in percent, in its text and in its claims?"""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.recompute import check_skill
from merginguriel.knowledge.lint.problem import Problem
from merginguriel.knowledge.parse.units import MEND, bare_differences
from merginguriel.knowledge.parse.yaml_lines import read_text


def check(knowledge: Knowledge) -> list[Problem]:
    found: list[Problem] = []
    for skill in knowledge.skills:
        places = [(f"{skill.path}:{line}", words) for line, words in bare_differences(read_text(skill.path))]
        if places:
            # Where the rows tell both readings, the recomputation has said it better.
            told = {f"{skill.path}:{wrong.line}" for wrong in check_skill(skill, knowledge)}
            places = [(where, words) for where, words in places if where not in told]
        places += [
            (claim.where, words) for claim in skill.claims for _, words in bare_differences(claim.text)
        ]
        found += [
            Problem(where, f"says {words!r}: percent of the baseline, or percentage points?", MEND)
            for where, words in places
        ]
    return found

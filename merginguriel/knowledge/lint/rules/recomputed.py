"""Does every number of a skill's Results Summary follow from the rows behind it, in the unit it is written in?"""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.recompute import check_skill
from merginguriel.knowledge.lint.problem import Problem


def check(knowledge: Knowledge) -> list[Problem]:
    return [
        Problem(f"{skill.path}:{wrong.line}", wrong.what, wrong.mend)
        for skill in knowledge.skills
        for wrong in check_skill(skill, knowledge)
    ]

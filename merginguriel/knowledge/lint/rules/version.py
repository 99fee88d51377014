"""Rule: a skill's version is raised when its meaning changes, as git shows; silent without git."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from merginguriel.errors import KnowledgeError, MuError, UsageError
from merginguriel.knowledge import git
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.skills import Skill, parse_skill
from merginguriel.knowledge.skills import versions
from merginguriel.knowledge.skills.diff import meaning_changes, raised

HINT = "Raise metadata.version, and set metadata.updated to today."
SETTING, VARIABLE = "lint_since", "MU_LINT_SINCE"


def check(knowledge: Knowledge) -> list[Problem]:
    """Report skills whose claims, recommendations, configuration or failure modes changed under the same version.

    Each skill is compared with the last commit, and any earlier one with the same version or a higher one. Or, if the
    workspace's setting `lint_since` (`mu lint --since`) or the variable MU_LINT_SINCE names a revision, from where
    the present state branched off that: then several commits may share one raise.

    Raises:
        UsageError: If the revision does not exist.
    """
    folder = knowledge.space.skills
    if not folder.is_dir() or not git.inside(folder):
        return []
    since = str(knowledge.space.settings.get(SETTING) or os.environ.get(VARIABLE) or "")
    try:
        base = git.fork(folder, since) if since else "HEAD"
        changed = {PurePosixPath(name).parts[0] for name in git.changed(folder, base)}
        skills = [skill for skill in knowledge.skills if skill.path.parent.name in changed]
        files = [
            (base, f"{skill.path.parent.name}/{name}")
            for skill in skills
            for name in ("SKILL.md", "claims.yaml")
        ]
        texts = git.texts(folder, files)
    except UsageError:
        raise
    except MuError:
        return []  # no commit yet, or a repository that git does not trust: nothing to compare with
    problems: list[Problem] = []
    for skill, text, claims in zip(skills, texts[::2], texts[1::2], strict=True):
        before = _read(skill, text, claims)
        if before is None or before.foreign:
            continue
        changes = meaning_changes(before, skill)
        if changes and not raised(before.version, skill.version):
            problems.append(
                Problem(
                    _line(skill),
                    f"changed in meaning since {since or 'the last commit'}, but its version is {skill.version} and "
                    f"was {before.version}: {_some(changes)}.",
                    HINT,
                )
            )
    return problems if since else problems + _committed(knowledge, {item.where for item in problems})


def _committed(knowledge: Knowledge, reported: set[str]) -> list[Problem]:
    """Report skills whose meaning differs from a committed state that their version does not exceed."""
    try:
        past = versions.history(knowledge.space.skills)
        result = []
        for skill in knowledge.skills:
            earlier = None if _line(skill) in reported else versions.clash(past, skill)
            if earlier:
                changes = meaning_changes(earlier.before, skill)
                result.append(
                    Problem(
                        _line(skill),
                        f"changed in meaning since commit {earlier.commit[:12]}, but its version is {skill.version} and "
                        f"was {earlier.before.version}: {_some(changes)}.",
                        HINT,
                    )
                )
    except MuError:
        return []
    return result


def _some(changes: Sequence[str]) -> str:
    return ", ".join(changes[:3]) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")


def _read(skill: Skill, text: str | None, claims: str | None) -> Skill | None:
    """Return the skill as it was; None if it was missing or in a form that cannot be compared."""
    try:
        return parse_skill(text, skill.path, claims) if text is not None else None
    except KnowledgeError:
        return None


def _line(skill: Skill) -> str:
    lines = skill.path.read_text(encoding="utf-8").splitlines()
    numbers = (i for i, line in enumerate(lines, start=1) if line.strip().startswith("version:"))
    return f"{skill.path}:{next(numbers, 1)}"

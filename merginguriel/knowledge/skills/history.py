"""History of a skill in git: its version at each commit, and what each changed in meaning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from merginguriel.errors import KnowledgeError, UsageError
from merginguriel.knowledge import git
from merginguriel.knowledge.parse.skills import Skill, check_name, parse_skill, read_skill
from merginguriel.workspace import Workspace

from .diff import meaning_changes


@dataclass(frozen=True)
class SkillVersion:
    """A skill after one commit.

    `commit` is empty for uncommitted changes, `version` for a state that cannot be read.

    `changes`: what changed in meaning against the state before; empty where only prose did.
    """

    commit: str
    date: str
    subject: str
    version: str
    changes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the state as JSON-ready data."""
        return {**vars(self), "changes": list(self.changes)}


def history(space: Workspace, name: str) -> list[SkillVersion]:
    """Return the states of a skill, newest first.

    Raises:
        MuError: Outside a git repository.
        UsageError: For a skill that is unknown to git.
    """
    check_name(name)
    git.need(space.root)
    output = git.ask(space.root, "log", "--format=%H%x1f%cs%x1f%s", "--", f"skills/{name}").decode(
        "utf-8", "replace"
    )
    commits = [line.split("\x1f", 2) for line in output.splitlines() if line]
    folder = space.skills / name
    if not commits and not folder.is_dir():
        raise UsageError(f"unknown skill {name!r} here or in git.", hint="See: mu skills list")
    files = [f"skills/{name}/SKILL.md", f"skills/{name}/claims.yaml"]
    texts = git.texts(space.root, [(commit, file) for commit, _, _ in commits for file in files])
    states: list[SkillVersion] = []
    before: Skill | None = None
    for i in reversed(range(len(commits))):
        commit, date, subject = commits[i]
        now, trouble = _read(texts[2 * i], texts[2 * i + 1], folder)
        states.append(_state(commit, date, subject, before, now, trouble))
        before = now
    if not commits or git.ask(space.root, "status", "--porcelain", "--", f"skills/{name}"):
        try:
            now, trouble = read_skill(folder), ""
        except KnowledgeError as error:
            now, trouble = None, error.what
        states.append(_state("", "", "not committed", before, now, trouble))
    return states[::-1]


def _read(text: str | None, claims: str | None, folder: Path) -> tuple[Skill | None, str]:
    if text is None:
        return None, "removed"
    try:
        return parse_skill(text, folder / "SKILL.md", claims), ""
    except KnowledgeError as error:
        return None, f"cannot be read: {error.what}"


def _state(
    commit: str, date: str, subject: str, before: Skill | None, now: Skill | None, trouble: str
) -> SkillVersion:
    if now is None:
        changes = [trouble]
    elif before is None:
        changes = [f"first state: {len(now.claims)} claim{'s' * (len(now.claims) != 1)}"]
    else:
        changes = meaning_changes(before, now)
    return SkillVersion(commit, date, subject, now.version if now else "", tuple(changes))

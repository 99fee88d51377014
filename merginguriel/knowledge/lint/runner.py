"""What is wrong in a workspace's knowledge? Everything at once, each with its file and line."""

from __future__ import annotations

from merginguriel.errors import MuError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims import row_status
from merginguriel.knowledge.log.vocabulary import Program
from merginguriel.knowledge.parse.entries import Entry, entry_paths, parse_entry
from merginguriel.knowledge.parse.prose_numbers import NAME_THE_UNIT, bare_differences
from merginguriel.knowledge.parse.skills import Skill, no_skill_file, parse_skill, skill_paths
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.workspace import Workspace

from .rules import Problem, check_all


def problems(space: Workspace, program: Program | None = None) -> list[Problem]:
    """Everything wrong in a workspace: what cannot be read, then what points nowhere or says too much.

    program  the methods that the program has, each with its parameters
    """
    found: list[Problem] = []
    skills: list[Skill] = []
    entries: list[Entry] = []
    if not skill_paths(space.skills):
        found.append(
            Problem(str(space.skills), "there is no skill here.", "Restore them with: mu init --restore")
        )
    for folder in sorted(space.skills.glob("*/")) if space.skills.is_dir() else []:
        if not (folder / "SKILL.md").is_file() and not folder.name.startswith("."):
            lacking = no_skill_file(folder)
            found.append(Problem(str(lacking.where), lacking.what, lacking.mend or ""))
    for path in skill_paths(space.skills):
        try:
            claims_path = path.parent / "claims.yaml"
            skills.append(
                parse_skill(read_text(path), path, read_text(claims_path) if claims_path.is_file() else None)
            )
        except MuError as error:
            found.append(Problem(error.where or str(path), error.what, error.mend or ""))
    for path in entry_paths(space.log):
        try:
            text = read_text(path)
            found += [
                Problem(
                    f"{path}:{line}",
                    f"says {words!r}: percent of the baseline, or percentage points?",
                    NAME_THE_UNIT,
                )
                for line, words in bare_differences(text)
            ]
            entries.append(parse_entry(text, path))
        except MuError as error:
            found.append(Problem(error.where or str(path), error.what, error.mend or ""))
    knowledge = Knowledge(space, tuple(skills), row_status.derive(entries), "", program or {})
    return found + check_all(knowledge)

"""Create the folder of a new skill, valid from the start."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from merginguriel import files, workspace
from merginguriel.errors import KnowledgeError, UsageError
from merginguriel.knowledge.parse.skills import (
    WORKFLOW_MAY_OMIT,
    Skill,
    check_name,
    parse_skill,
    read_as_text,
    read_skill,
    skill_paths,
)
from merginguriel.workspace import Workspace

# What each section is for; written into it, to be replaced.
PROMPTS = {
    "General Description": "What this is about, and the one thing that a reader should take away.",
    "When to Apply": "- The question or the symptom that should bring a reader here.\n\nNot for: where this does not hold.",
    "Results Summary": "Accuracies as the log has them, and differences in percentage points (pp). Name what is within noise.",
    "Recommended Practice": "1. The first thing to do, with its command.",
    "Failure Modes": "| what failed | why | instead |\n|---|---|---|",
    "Configuration": "Settings that agree with the recommended practice:\n\n```yaml\nmode: ExcTar\n```",
    "References": "Ids of the log entries that this rests on.",
}
TEMPLATES = ("research", "workflow")
SKILL = """\
---
name: {name}
description: {description}
license: "Apache-2.0"
metadata:
{metadata}
---

{body}
"""
# Only comments, so that the example is not read as a claim.
CLAIMS = """\
# What the skill asserts, in a form that is checked against the log on every load. One claim, for example:
#
# - id: {name}-first-claim
#   text: "Merging five sources weighted by REAL similarity scored above the best single source for Swahili."
#   scope: {{context: massive/xlm-roberta-base, target: sw-KE, mode: ExcTar, method: similarity, similarity: REAL, k: "5"}}
#   predicate: beats
#   over: best_single_source
#   evidence:
#     - 2026-01-20-constructive-targets-b2e2e003#r1
#   since: "{today}"
#
# Keys and predicates: docs/formats.md. Check: mu skills lint {name}
"""


def new_skill(
    space: Workspace,
    name: str,
    *,
    template: str = "research",
    description: str = "",
    today: date | None = None,
) -> Path:
    """Create skills/<name>/ with SKILL.md and claims.yaml, and return the folder.

    template: `research`, `workflow`, or the name or folder of a skill whose sections are taken over, but not its
    claims.

    Raises:
        UsageError: For an invalid name or an unknown template.
        MuError: If the folder exists.
    """
    try:
        check_name(name)
    except KnowledgeError as error:
        raise UsageError(error.what, hint=error.hint) from error
    workspace.writable(space)
    day = (today or date.today()).isoformat()
    folder = space.skills / name
    text = skill_text(name, _template(space, template), description, day)
    claims = CLAIMS.format(name=name, today=day)
    parse_skill(text, folder / "SKILL.md", claims)
    with files.new_folder(folder) as draft:
        files.write_text(draft / "SKILL.md", text)
        files.write_text(draft / "claims.yaml", claims)
    return folder


def skill_text(name: str, template: str | Skill, description: str, day: str) -> str:
    """Return the text of SKILL.md of a new skill."""
    metadata = {"version": "1.0.0", "created": day, "updated": day}
    if isinstance(template, Skill):
        kept = {key: template.metadata.get(key) for key in ("domain", "tags", "short-description")}
        body = template.body
    else:
        kept = {"domain": template}
        titles = [t for t in PROMPTS if template == "research" or t not in WORKFLOW_MAY_OMIT]
        body = "\n\n".join(f"## {title}\n\n{PROMPTS[title]}" for title in titles)
    words = name.replace("-", " ")
    lines = {**metadata, "domain": "research", "tags": name, "short-description": words}
    lines |= {key: value for key, value in kept.items() if value}
    description = description or f"What is known about {words}. Use when a question is about {words}."
    return SKILL.format(
        name=name if read_as_text(name) else _quoted(name),
        description=_quoted(description),
        metadata="\n".join(f"  {key}: {_quoted(value)}" for key, value in lines.items()),
        body=body,
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _template(space: Workspace, template: str) -> str | Skill:
    if template in TEMPLATES:
        return template
    folder = space.skills / template
    if not (folder / "SKILL.md").is_file():
        folder = Path(template)
    if not (folder / "SKILL.md").is_file():
        available = ", ".join(path.parent.name for path in skill_paths(space.skills))
        raise UsageError(
            f"{template!r} is not a template or a skill.",
            hint=f"Templates: {', '.join(TEMPLATES)}\nSkills: {available}",
        )
    skill = read_skill(folder.resolve())
    if skill.foreign:
        raise KnowledgeError(
            "this skill lacks sections that a template needs.",
            where=str(skill.path),
            hint="Choose another template.",
        )
    return skill

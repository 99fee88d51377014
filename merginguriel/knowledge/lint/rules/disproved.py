"""Rule: no text repeats a superseded or refuted claim, or states an uncertain one as certain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from merginguriel import locales
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.evidence_tree import prose
from merginguriel.knowledge.claims.sentence_match import Index, takes_back, without_quotes
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.claims import STRONG_WORDS, Claim
from merginguriel.knowledge.parse.prose_numbers import Passage, numbers, passages
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.parse.yaml_lines import read_text

FALLEN = ("superseded", "refuted")
UNSURE = ("under noise", "contested")


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the skills, and the Markdown pages of the workspace."""
    stand = knowledge.standings
    index = Index(knowledge.claims)
    valued = [c for c in knowledge.claims if stand[c.id].status in FALLEN and c.value is not None]
    claims = {claim.id: claim for claim in knowledge.claims}
    problems: list[Problem] = []
    for where, text, refs in _texts(knowledge):
        own = without_quotes(text)
        for ref in refs:
            if ref in claims:
                problems += _cited(where, own, claims[ref], knowledge)
        alike = index.alike(own)
        best = next((c for _, c in alike if stand[c.id].status not in FALLEN), None)
        fallen = next((c for _, c in alike if stand[c.id].status in FALLEN), None)
        if fallen and (best is None or alike[0][1] is fallen) and not takes_back(own):
            problems.append(_restated(where, fallen, knowledge))
        elif not fallen and (claim := _by_number(own, valued, knowledge)) and not takes_back(own):
            problems.append(_restated(where, claim, knowledge))
    return problems


def _texts(knowledge: Knowledge) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (file:line, text, ids in brackets) of skills and pages; entries are history and left out."""
    for skill in knowledge.skills:
        for line, text in _front(skill):
            yield f"{skill.path}:{line}", text, ()
        for passage in prose(skill):
            yield f"{skill.path}:{passage.line}", passage.text, passage.refs
    root = knowledge.space.root
    for page in (*sorted(root.glob("*.md")), *sorted((root / "docs").glob("**/*.md"))):
        for passage in _page(page):
            yield f"{page}:{passage.line}", passage.text, ()


def _front(skill: Skill) -> Iterator[tuple[int, str]]:
    lines = read_text(skill.path).split("\n")[: skill.body_line]
    for key, text in (
        ("description", skill.description),
        ("short-description", skill.metadata.get("short-description", "")),
    ):
        line = next((i for i, t in enumerate(lines, 1) if t.strip().startswith(f"{key}:")), 1)
        for part in text.replace(";", ".").split(". "):
            yield line, part


def _page(path: Path) -> Iterator[Passage]:
    for section in markdown.sections(read_text(path)):
        yield from passages(section)


def _cited(where: str, text: str, claim: Claim, knowledge: Knowledge) -> list[Problem]:
    now = knowledge.standings[claim.id]
    if now.status in FALLEN:
        return [] if takes_back(text) else [_restated(where, claim, knowledge)]
    return _too_sure(where, text, claim, knowledge)


def _too_sure(where: str, text: str, claim: Claim, knowledge: Knowledge) -> list[Problem]:
    now = knowledge.standings[claim.id]
    word = STRONG_WORDS.search(text)
    if now.status not in UNSURE or not word:
        return []
    return [
        Problem(where, f"says {word[0]!r}, but {claim.id} is {now.status}: {now.reason}.",
                "Say what was measured and how sure it is.")
    ]  # fmt: skip


def _by_number(text: str, claims: list[Claim], knowledge: Knowledge) -> Claim | None:
    """Return the withdrawn claim whose size a sentence names for its target, unless a current row has that size."""
    sizes = [n for n in numbers(text) if n.unit in ("pp", "%", "rel_pct") and n.decimals and n.signed]
    for claim in claims if sizes else ():
        targets = claim.scope.get("target", ())
        mentioned = any(tag in text or locales.get(tag).name in text for tag in targets)
        for size in sizes:
            if mentioned and claim.value and size.is_near(claim.value):
                rows = [row for row in knowledge.of_targets(claim) if row.status == "current"]
                if not any(size.is_near(row.difference_pp) for row in rows if row.difference_pp is not None):
                    return claim
    return None


def _restated(where: str, claim: Claim, knowledge: Knowledge) -> Problem:
    now = knowledge.standings[claim.id]
    instead = next((c.text for c in knowledge.claims if c.id == claim.superseded_by), "")
    return Problem(
        where,
        f"repeats {claim.id}, which is {now.status}.",
        f"Say instead: {instead}" if instead else f"It is {now.reason}.",
    )

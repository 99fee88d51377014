"""Rule: a skill that cites claims cites one for every comparison, and its tables of results are generated from rows.

It holds for skills that cite a claim of the workspace in brackets, `[claim-id]`, or have a generated table.
"""

from __future__ import annotations

import re

from merginguriel import locales
from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.evidence_tree import prose
from merginguriel.knowledge.claims.recompute import LOCALE
from merginguriel.knowledge.claims.sentence_match import without_quotes
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.prose_numbers import BRACKETS, ENTRY_ID, passages
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.skills.tables import blocks, pages

UNCITED = (
    "",
    "When to Apply",
    "Recommended Practice",
    "Configuration",
    "References",
)  # sections without findings
STRONG = re.compile(
    r"\b(?:better|worse|worst|wins|win over|loses?|helps|raises? (?:the )?accuracy|highest|lowest|higher|lower|above|below|beats?|exceed(?:s|ed)?|"
    r"outperform(?:s|ed)?|outscore[sd]?|surpass(?:es|ed)?|more accurate|(?:more|less|fewer)(?: [\w-]+){1,3} than(?! \d)|"
    r"best(?! (?:single )?(?:source|model))|only|always|never|clearly|significant(?:ly)?|proven|certain(?:ly)?|sole|every|none|"
    r"all (?:languages|locales|targets|merges|methods)|no (?:language|locale|target|merge|method|ensemble|source)s?)\b",
    re.IGNORECASE,
)
SHORT = 2  # words up to which a text states nothing: "None known."
# Digits that look measured: 48.32%, 48,32 %, +1.62 pp, 0.4832.
_MEASURED = re.compile(r"\d+[.,]\d+\s?(?:%|pp\b|pt\b)|\b[01][.,]\d{3,}")


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the citations and tables of each skill."""
    claims = {claim.id for claim in knowledge.claims}
    generated: dict[object, set[int]] = {}
    problems: list[Problem] = []
    for path in pages(knowledge):
        try:
            found = blocks(path, knowledge)
        except KnowledgeError as error:
            problems.append(Problem(error.where or str(path), error.what, error.hint or ""))
            continue
        generated[path] = {line for block in found for line in range(block.first, block.last + 1)}
        problems += [
            Problem(f"{path}:{b.first}", "this table differs from its rows.", f"Rewrite it: mu skills refresh {path.parent.name}")
            for b in found
            if b.wrong
        ]  # fmt: skip
    for skill in knowledge.skills:
        lines = generated.get(skill.path, set())
        cites = any(claims.intersection(passage.refs) for passage in prose(skill))
        if lines or cites:
            problems += _check(skill, lines, claims)
    return problems


def _check(skill: Skill, generated: set[int], claims: set[str]) -> list[Problem]:
    result = []
    for section in markdown.sections(skill.body, skill.body_line):
        for passage in passages(section):
            where = f"{skill.path}:{passage.line}"
            if passage.line in generated:
                continue
            refs = [
                ref for ref in BRACKETS.findall(passage.text) if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", ref)
            ]
            unknown = [ref for ref in refs if ref not in claims and not ENTRY_ID.fullmatch(ref)]
            if unknown:
                result.append(
                    Problem(
                        where,
                        f"cites the unknown claim {unknown[0]}.",
                        "List the claims: mu skills show NAME --claims",
                    )
                )
            text = without_quotes(BRACKETS.sub(" ", passage.text))
            if (
                passage.table
                and _MEASURED.search(text)
                and set(LOCALE.findall(text)) & locales.table().keys()
            ):
                result.append(
                    Problem(where, "a result stands in a table that is not generated.",
                            "Write <!-- mu:rows SELECTOR --> and <!-- mu:end -->, then: mu skills refresh")
                )  # fmt: skip
            word = STRONG.search(text) if len(text.split()) > SHORT else None
            if word and section.title not in UNCITED and not passage.refs:
                result.append(
                    Problem(where, f"says {word[0]!r} and cites no claim.", "Add the claim that shows it, [claim-id], or state less.")
                )  # fmt: skip
    return result

"""Rule: every comparative, superlative or universal sentence of a skill cites its claim, and tables of results are generated.

Conditions, questions, quotations, code and the column `sign` of a table state nothing. A foreign skill has no claims.
"""

from __future__ import annotations

import re

from merginguriel import locales
from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.recompute import LOCALE
from merginguriel.knowledge.claims.sentence_match import without_quotes
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.prose_numbers import BRACKETS, passages
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.skills.generated_tables import blocks, pages

UNCITED = ("When to Apply", "Configuration", "References")  # sections without findings
STRONG = re.compile(
    r"\b(?:better|worse|worst|wins(?! and)|win over|loses?|helps|raises? (?:the )?accuracy|higher|lower|above|below|beats?|exceed(?:s|ed)?|"
    r"outperform(?:s|ed)?|outscore[sd]?|surpass(?:es|ed)?|more accurate|(?:more|less|fewer)(?: [\w-]+){0,3} than(?! \d)|"
    r"(?:high|low|larg|small|great|strong|weak|fast|slow|cheap|near|easi|hard)est|(?:larg|small|great|strong|weak|fast|slow|cheap|easi|hard)er|"
    r"best(?! (?:single |zero.shot )?(?:source|model|of another locale))|(?<!at )(?:most|least)|fewest|only|always|never|clearly|significant(?:ly)?|"
    r"proven|certain(?:ly)?|sole|every|everything|none|nothing|"
    r"(?:all|any) (?:\w+ )?(?:languages?|locales?|targets?|sources?|merges?|methods?|models?|ensembles?|rows)|"
    r"no (?:\w+ )?(?:languages?|locales?|targets?|merges?|methods?|ensembles?|sources?))\b",
    re.IGNORECASE,
)
# Clauses that state nothing: a condition, a question, an instruction's first word, the answer "None known.".
_CLAUSE = r"\b[^.;:?|]*?(?:,|(?=[.;:?|])|\Z)"
SILENT = re.compile(
    rf"\b(?:if|unless|until|whether){_CLAUSE}|(?:^|(?<=[.;:|]))\s*(?:where|when){_CLAUSE}|[^.;:|]*\?|"
    r"(?:^|(?<=[.;:|]))\s*(?:always|never)\b|^\W*(?:none|nothing)(?: known)?\W*$",
    re.IGNORECASE,
)
_ANCHOR = re.compile(r"\[[^\]\n]*\]\(#[^)\n]*\)")  # a link within the page: [above](#top)
# Digits that look measured: 48.32%, 48,32 %, +1.62 pp, 0.4832.
_MEASURED = re.compile(r"\d+[.,]\d+\s?(?:%|pp\b|pt\b)|\b[01][.,]\d{3,}")


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the citations and tables of each skill."""
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
        if not skill.foreign:
            problems += _check(skill, generated.get(skill.path, set()))
    return problems


def _check(skill: Skill, generated: set[int]) -> list[Problem]:
    result = []
    for section in markdown.sections(skill.body, skill.body_line):
        for passage in passages(section):
            where = f"{skill.path}:{passage.line}"
            if passage.line in generated:
                continue
            text = without_quotes(BRACKETS.sub(" ", _ANCHOR.sub(" ", passage.text)))
            if (
                passage.table
                and _MEASURED.search(text)
                and set(LOCALE.findall(text)) & locales.table().keys()
            ):
                result.append(
                    Problem(where, "a result stands in a table that is not generated.",
                            "Write <!-- mu:rows SELECTOR --> and <!-- mu:end -->, then: mu skills refresh")
                )  # fmt: skip
            if passage.head.strip("| ").startswith("sign |"):
                text = text.lstrip("| ").partition("|")[2]
            word = STRONG.search(SILENT.sub(" ", text))
            if word and section.title not in UNCITED and not passage.refs:
                result.append(
                    Problem(where, f"says {word[0]!r} and cites no claim.", "Add the claim that shows it, [claim-id], or state less.")
                )  # fmt: skip
    return result

"""Rule: a commit that an entry calls broken is also named by a mark, as rows of it count otherwise."""

from __future__ import annotations

import re

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.invalidation import HEADINGS, Selector

_COMMIT = re.compile(r"(?<![\w-])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,40}(?![\w-])")
_BROKEN = re.compile(r"\b(broken|bug(?:gy)?|bugs|wrong|faulty|defect(?:ive)?|invalid)\b", re.IGNORECASE)


def check(knowledge: Knowledge) -> list[Problem]:
    """Report commits in the prose of entries that current rows name as their code."""
    rows = [row for row in knowledge.rows if row.status == "current" and row.code]
    found = []
    for entry in knowledge.entries if rows else ():
        for section in markdown.sections(entry.body, entry.body_line):
            if section.title in HEADINGS:
                continue
            for line, text in section.lines:
                for match in _COMMIT.finditer(text) if _BROKEN.search(text) else ():
                    named = Selector((("commits", (match[0],)),), line)
                    hit = [
                        row for row in rows if row.ref.partition("#")[0] != entry.id and named.selects(row)
                    ]
                    if hit:
                        count = f"{len(hit)} current row{'s' * (len(hit) != 1)}"
                        found.append(
                            Problem(
                                f"{entry.path}:{line}",
                                f"calls the commit {match[0]} broken, and {count} of it count ({hit[0].ref}).",
                                f"Add an entry with ## Invalidates and the item: - commits={match[0]}",
                            )
                        )
    return found

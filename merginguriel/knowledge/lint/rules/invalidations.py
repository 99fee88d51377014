"""Rule: marks of entries reach rows, and no claim rests on invalidated or on corrected rows alone."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.contradictions import active_claims
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.rows import SUPERSEDED


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the sections Contests, Invalidates and Lifts, and the evidence of claims."""
    problems: list[Problem] = []
    reached = {id(mark) for marks in knowledge.marks.values() for _, mark in marks}
    lifting = {s.entry for e in knowledge.entries for m in e.marks if m.kind == "Lifts" for s in m.selectors}
    fallen = {ref for entry in knowledge.entries for ref in entry.supersedes if ref != entry.id}
    for entry in knowledge.entries:
        if entry.id in fallen:
            continue  # the marks of a superseded entry do not count
        for mark in entry.marks:
            if mark.kind == "Lifts":
                for selector in mark.selectors:
                    other = knowledge.by_entry.get(selector.entry or "")
                    if other is None or not any(m.kind != "Lifts" for m in other.marks):
                        problems.append(
                            Problem(
                                f"{entry.path}:{selector.line}",
                                f"lifts {selector.entry}, which has no mark to lift.",
                                "Name the entry that has the section ## Contests or ## Invalidates.",
                            )
                        )
            elif id(mark) not in reached and entry.id not in lifting:
                problems.append(
                    Problem(
                        f"{entry.path}:{mark.line}",
                        f"## {mark.kind} selects no row of the log.",
                        "Rows are matched by their own fields; see docs/formats.md.",
                    )
                )
    for claim in active_claims(knowledge):
        rows = [row for ref in claim.evidence for row in knowledge.evidence_rows(ref)]
        invalidated = [row for row in rows if row.status == "invalidated" and row.ref in knowledge.marks]
        if invalidated:
            entry, mark = knowledge.marks[invalidated[0].ref][0]
            problems.append(
                Problem(
                    claim.where,
                    f"{claim.id} rests on {len(invalidated)} of {len(rows)} rows that were invalidated "
                    f"({invalidated[0].ref}) by {entry.id}: {mark.reason}",
                    "Supersede it by a claim that valid rows support, or cite valid rows.",
                )
            )
        elif rows and all(row.status == SUPERSEDED for row in rows):
            new = knowledge.superseders.get(rows[0].ref.partition("#")[0], ["a later entry"])[-1]
            problems.append(
                Problem(
                    claim.where,
                    f"{claim.id} cites only corrected rows ({rows[0].ref}, corrected by {new}).",
                    "Cite the rows of the correction, or supersede the claim.",
                )
            )
    return problems

"""Summary and sections of an entry about composition studies."""

from __future__ import annotations

from collections.abc import Sequence

from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.text.compositions import outcome
from merginguriel.text.numbers import interval, signed
from merginguriel.workspace import Workspace

from .pilot_entry import results


def summary(space: Workspace, rows: Sequence[ResultRow]) -> str:
    """Return a sentence on the merge of each composition study among the runs of the rows; empty where there is none."""
    return " ".join(
        f"{result['context']}, {said}."
        for result in results(space, rows, "compose")
        if (said := outcome(result))
    )


def sections(space: Workspace, rows: Sequence[ResultRow]) -> list[tuple[str, str]]:
    """Return a section for each composition study among the runs of the rows."""
    found = []
    for result in results(space, rows, "compose"):
        learnt, choosing, reported = result["queries"]
        lines = [
            f"D(abc): queries, positives and hard negatives in the languages a, b and c. {learnt} training queries; "
            f"{choosing} held-out queries chose the models that were merged, {reported} others are reported. Differences of "
            "NDCG@10 with paired 95% intervals over queries.",
            "",
        ]
        for one in result["effects"]:
            span = interval(one["found"]["interval"]["low"], one["found"]["interval"]["high"])
            difference = f"{signed(one['found']['difference'])} pt ({span})"
            lines.append(f"- {one['name']}: {difference}; against the paper: {one['agreement']}.")
        found.append((f"Effects, {result['context']}", "\n".join(lines)))
    return found

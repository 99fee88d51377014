"""Section of an entry about a composition study: its effects."""

from __future__ import annotations

from collections.abc import Sequence

from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.text.numbers import interval, signed
from merginguriel.workspace import Workspace

from .pilot_entry import results


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

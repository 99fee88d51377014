"""Format evidence: result rows, and nodes of the tree that `mu why` walks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from merginguriel.knowledge.parse.rows import SUPERSEDED, format_value

if TYPE_CHECKING:
    from merginguriel.knowledge.claims.evidence_tree import Node
    from merginguriel.knowledge.parse.rows import ResultRow


def row_cells(row: ResultRow) -> list[str]:
    """Return a result row as cells: id, target, mode, label, value, baseline, difference in pp, status."""
    difference = (
        "" if row.difference_pp is None else f"{row.difference_pp:+.2f} {row.points}".replace("-", "−")
    )
    over = f"over {format_value(row, row.baseline)} {row.baseline_kind}" if row.baseline is not None else ""
    chosen = row.sources if row.method == "single" else (row.similarity, row.k)
    label = " ".join(str(x) for x in (row.method, *chosen) if x)
    status = {"current": "", SUPERSEDED: "superseded, not counted"}.get(row.status, row.status)
    return [row.ref, row.target, row.mode, label, format_value(row, row.value), over, difference, status]


def without_items(body: str) -> str:
    """Return the Markdown of an entry without the column `items` of its tables, which is base64."""
    found, at = [], 0
    for line in body.split("\n"):
        cells = re.split(r"(?<!\\)\|", line)
        if len(cells) < 3 or not at:
            at = next((i for i, cell in enumerate(cells) if cell.strip() == "items"), 0)
        found.append("|".join(cells[:at] + cells[at + 1 :] if at else cells))
    return "\n".join(found)


def node_lines(node: Node) -> Iterator[str]:
    """Yield the facts of a node that are worth a line; `mu why --json` has all of them."""
    facts = node.facts
    if node.kind == "claim":
        yield f"[{facts['status']}] {facts['reason']}"
        grade = facts["grade"]
        yield f"grade {grade['level']}"
        for reason in grade["reasons"]:
            if reason["about"] != "status":
                yield f"  {'−' * reason['steps']} {reason['about']}: {reason['reason']}"
        yield f"would change it: {facts['would_change']}"
        for location in facts["said_in"]:
            yield f"stated in {location}"
    if node.kind == "row" and facts["status"] != "current":
        yield f"[{facts['status']}]"
    for mark in facts.get("marked_by", ()):
        yield f"by {mark}"
    if facts.get("corrected_by"):
        yield f"corrected by {', '.join(facts['corrected_by'])}"
    if node.kind == "run" and facts.get("code"):
        yield f"code {facts['code']}, {facts.get('time', '')}".rstrip(", ")
    for name, digest in facts.get("row_files", {}).items():
        yield f"{name}  sha256 {digest}"
    if facts.get("used_by"):
        yield f"used by {', '.join(facts['used_by'])}"

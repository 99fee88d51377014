"""How does a table leave the screen? As aligned text, Markdown or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from merginguriel.cli.common import columns, plain


def table_as(how: str, rows: Sequence[Sequence[str]]) -> str:
    """rows: the heading first. how: text, markdown or csv."""
    if not rows:
        return ""
    if how == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()
    clean = [[plain(cell).replace("\n", " ") for cell in row] for row in rows]
    if how == "markdown":
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in clean]
        return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
    return columns(clean)

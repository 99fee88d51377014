"""On which page of the list of runs does a run stand by now?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from merginguriel_tui.widgets.paged import PAGE

if TYPE_CHECKING:
    from merginguriel.workspace import Workspace


def around(space: Workspace, name: str, was: int, **how: str) -> dict[int, list[dict[str, Any]]]:
    """The page of the list on which a run stands now, with those beside it; {} where it stands nowhere.

    was: its number in the list before, near which it is looked for first: in the thousands, to read all takes a while.
    """
    from merginguriel.runs import index

    first = max(was // PAGE - 1, 0) * PAGE
    for offset, most in ((first, 3 * PAGE), (0, None)):
        rows, _ = index.listed(space, most, offset=offset, look=False, **how)
        if any(row["id"] == name for row in rows):
            break
    else:
        return {}
    at = next(i for i, row in enumerate(rows) if row["id"] == name) // PAGE
    pages = range(max(at - 1, 0), at + 2)
    parts = {offset // PAGE + page: rows[page * PAGE : (page + 1) * PAGE] for page in pages}
    return {page: part for page, part in parts.items() if part}

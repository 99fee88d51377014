"""Rule: every row file and figure of the log belongs to an entry."""

from __future__ import annotations

from pathlib import Path

from merginguriel.errors import MuError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.yaml_lines import read_text

HINT = "Add the entry that names it again; otherwise remove the file."


def check(knowledge: Knowledge) -> list[Problem]:
    """Report CSV and PNG files beside the entries that no entry names."""
    log = knowledge.space.log
    result = []
    messages: dict[Path, list[str]] = {}
    for path in sorted([*log.glob("[!.]*/[!.]*.csv"), *log.glob("[!.]*/[!.]*.png")]):
        if path.parent not in messages:
            messages[path.parent] = [
                text for item in sorted(path.parent.glob("[!.]*.md")) for text in _read(item)
            ]
        if not any(path.name in text for text in messages[path.parent]):
            result.append(Problem(str(path), "no entry names this file.", HINT))
    return result


def _read(path: Path) -> list[str]:
    """Return the text in a list; empty if it cannot be read, which another rule reports."""
    try:
        return [read_text(path)]
    except MuError:
        return []

"""Errors for agents: structured, short, and in terms of tools instead of commands."""

from __future__ import annotations

import re
from typing import Any

from merginguriel.errors import UNAVAILABLE, USAGE, MuError

from .brief import match

LONGEST = 600  # characters of one text: an argument of a megabyte is not returned
KINDS = {USAGE: "invalid", UNAVAILABLE: "unavailable"}
EXPECTED = 'Example: [{"target": "sw-KE", "method": "ties", "k": 5, "low_pp": -1, "high_pp": 2}]'
# What the command line names, and what an agent uses instead; '' where a tool has no such thing.
TOOLS = (
    (r"mu (?:skills catalogue|skills list)", "catalogue"),
    (r"mu (?:skills|log) show", "show"),
    (r"mu log list(?: --rows)?", "search, show"),
    (r"mu log (?:tried|plans|calibration)", "plan_check"),
    (r"mu log questions(?: --all)?", "questions"),
    (r"mu (?:log |skills )?search", "search"),
    (r"correct it and run: mu log add .*", "call log_add again with the entry corrected"),
    (r"mu log add", "log_add"),
    (r"mu lint", "lint"),
    (r"mu advise", "advise"),
    (r"mu why", "why"),
    (r"mu runs (?:list|show)", "run_status"),
    (r"mu run\b", "run_start"),
    (r"mu schema entry", "the input schema of log_add"),
)
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
_COMMAND = re.compile(r"\bmu [a-z]")


def error_of(error: MuError) -> dict[str, Any]:
    """Return an error as structured content: `error`, `kind`, `where`, `hint`, and the rows of an earlier attempt."""
    data = error.as_dict()
    result: dict[str, Any] = {
        "error": short(in_tools(error.what)),
        "kind": KINDS.get(error.exit_code, "refused"),
        "where": short(error.where) if error.where else None,
        "hint": short(in_tools(error.hint or "")) or None,
    }
    if "## Expected" in (error.hint or ""):  # a table of Markdown
        result["hint"] = 'Give "expected", or "anyway": true if nothing will be measured. ' + EXPECTED
    matches = data.get("matches")
    if isinstance(matches, list):
        result["matches"] = [match(one) for one in matches]
        result["hint"] = 'To plan it anyway, say what is new and set "anyway": true.'
    return result


def in_tools(text: str) -> str:
    """Return a text with tools and arguments in place of commands and flags; lines that still name some are left out."""
    lines = []
    for line in text.splitlines():
        changed = line.replace("--anyway", '"anyway": true')
        for command, tool in TOOLS:
            changed = re.sub(command, tool, changed)
        changed = _FLAG.sub(lambda flag: flag[1].replace("-", "_"), changed)
        if not _COMMAND.search(changed):
            lines.append(changed)
    return "\n".join(lines)


def short(text: str) -> str:
    """Return at most `LONGEST` characters, beginning and end."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"

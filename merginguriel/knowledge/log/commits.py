"""Replace ranges of commits in an entry by the list of commits, before it is written.

Readers need no git then, and the list stays the same whatever becomes of the repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from merginguriel.errors import KnowledgeError, MuError
from merginguriel.knowledge import git
from merginguriel.knowledge.parse import invalidation, markdown

SHORT = 12  # digits of a commit that is written down
PROGRAM = Path(__file__).resolve().parents[3]  # the checkout that the program runs from, if it is one

_RANGES = re.compile(r"(?<!\S)commits=(\S*\.\.\S*)")


def resolved(
    text: str,
    workspace: Path,
    repository: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """Return the text with `range=A..B commits=…` for each `commits=A..B` that selects rows.

    Args:
        text: Text of an entry.
        workspace: Root of the workspace.
        repository: Where the range is looked up; without it, the workspace's and that of the program are asked, and
            the one that has both ends counts.
        tell: Called with a line for each range: how many commits it is, and where.

    Raises:
        KnowledgeError: With the line of the text for a range that no repository has, that two have, or that is empty.
    """
    lines = text.split("\n")
    for section in markdown.sections(text) if ".." in text else ():
        if section.title not in invalidation.HEADINGS:
            continue
        for number, line in section.lines:
            result = _RANGES.search(line) if markdown.item(line) is not None else None
            if result:
                hashes = _listed(result[1], number, workspace, repository, tell)
                lines[number - 1] = f"{line[: result.start()]}{hashes}{line[result.end() :]}"
    return "\n".join(lines)


def _listed(
    value: str, line: int, workspace: Path, repository: Path | None, tell: Callable[[str], None]
) -> str:
    ranges: list[str] = []
    commits: list[str] = []
    for item in value.split(","):
        if ".." not in item:
            commits += [item] if item else []
            continue
        where, first, last = _place(item, line, workspace, repository)
        result = git.ask(where, "rev-list", f"{first}..{last}").decode().split()
        if not result:
            raise KnowledgeError(
                f"the range {item!r} contains no commit.",
                where=f"line:{line}",
                hint="As in git, A..B means the commits of B that A does not have; the older end comes first.",
            )
        ranges.append(f"{first[:SHORT]}..{last[:SHORT]}")
        commits += [commit[:SHORT] for commit in result]
        tell(f"{item} is {len(result)} commit{'s' * (len(result) > 1)} of {where}.")
    return f"range={','.join(ranges)} commits={','.join(dict.fromkeys(commits))}"


def _place(item: str, line: int, workspace: Path, repository: Path | None) -> tuple[Path, str, str]:
    """Return the repository that has both ends of a range, and their commits."""
    ends = item.split("..")
    if len(ends) != 2 or not all(ends):
        raise KnowledgeError(
            f"the range {item!r} needs two ends.", where=f"line:{line}", hint="Write it as A..B"
        )
    result: dict[tuple[str, str], Path] = {}
    for folder in (repository,) if repository else (workspace, PROGRAM):
        try:
            if git.inside(folder):
                first, last = (git.commit(folder, end) for end in ends)
                result.setdefault((first, last), folder)
        except MuError:
            continue
    if len(result) == 1:
        ((first, last), where) = next(iter(result.items()))
        return where, first, last
    searched = str(repository) if repository else "the workspace's repository or the program's"
    raise KnowledgeError(
        f"{searched} has no range {item!r}."
        if not result
        else f"{item!r} is one range in the workspace's repository and another in the program's.",
        where=f"line:{line}",
        hint="Name the repository of the program that measured: mu log add --repository DIR\n"
        f"or list the commits: git log --format=%h {item} | paste -sd, -",
    )

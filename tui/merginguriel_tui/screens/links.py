"""Skills, entries and changes as Markdown pages, and the links between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from merginguriel_tui.widgets.page import MarkdownPage, escaped

if TYPE_CHECKING:
    from merginguriel.errors import MuError
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.parse.entries import Entry
    from merginguriel.knowledge.parse.rows import ResultRow
    from merginguriel.knowledge.parse.skills import Skill
    from merginguriel_tui.base import MuScreen

ROWS = 200  # rows of an entry to show; `mu log show` prints all


def names(knowledge: Knowledge) -> dict[str, str]:
    """Return every skill, claim and entry with its link: `skills:NAME`, `skills:CLAIM`, `log:ENTRY`."""
    result = {skill.name: f"skills:{skill.name}" for skill in knowledge.skills}
    result |= {claim.id: f"skills:{claim.id}" for claim in knowledge.claims}
    return result | {entry.id: f"log:{entry.id}" for entry in knowledge.entries}


def place(href: str, known: dict[str, str]) -> tuple[str, str] | None:
    """Return (screen, what) of a link, also of one to a file of the workspace; None for any other."""
    screen, _, what = href.partition(":")
    if screen in ("skills", "log") and what:
        return screen, what
    path = PurePosixPath(href.partition("#")[0])
    name = path.parent.name if path.name == "SKILL.md" else path.stem
    if "//" not in href and name in known:
        screen, _, what = known[name].partition(":")
        return screen, what
    return None


def follow(
    screen: MuScreen, event: MarkdownPage.Followed, known: dict[str, str], open_here: Callable[[str], None]
) -> None:
    """Follow a link of a page. A web address is shown and copied, not opened."""
    href = event.href
    if href.startswith("#") and event.page.to_heading(href[1:]):
        return
    destination = place(href, known)
    if destination and destination[0] == screen.NAME:
        open_here(destination[1])
    elif destination:
        screen.mu.action_go(*destination)
    elif href.startswith(("http://", "https://")):
        screen.app.copy_to_clipboard(href)
        screen.notify(f"copied: {href}", markup=False)
    else:
        screen.notify(
            f"{href} is not a skill, claim, entry or web address.", severity="warning", markup=False
        )


def skill_page(skill: Skill, grade: str, says: str, fresh: str) -> str:
    """Return a skill with its version, grade and age as Markdown."""
    facts = [
        f"version {escaped(skill.version) or '-'}",
        f"grade {grade}, {says}",
        f"updated {escaped(fresh.removesuffix('*'))} ago",
    ]
    if fresh.endswith("*"):
        facts[-1] += ", and the log has moved a claim since"
    if fresh == "-":
        facts[-1] = "no date of last change"
    foreign = ["written for other programs"] if skill.foreign else []
    head = f"# {escaped(skill.name)}\n\n{' · '.join([*facts, *foreign])}\n\n*{escaped(skill.description)}*"
    return f"{head}\n\n{skill.body}\n"


def changes_page(name: str, since: str, result: Sequence[Any], error: MuError | None = None) -> str:
    """Return the changes in a skill's meaning as Markdown."""
    lines = [f"# {escaped(name)} {f'since {since[:9]}' if since else 'since the last commit'}", ""]
    for change in result:
        lines += [f"- **{escaped(change.kind)}** {escaped(change.what)}: {escaped(change.text)}"]
        lines += [f"    - {escaped(line)}" for line in change.evidence]
    if error is not None:
        lines += [escaped(line) + "\n" for line in error.render().splitlines()]
    elif not result:
        lines.append("No changes.")
    return "\n".join(lines)


def entry_page(entry: Entry, knowledge: Knowledge, state: str = "", row: str = "") -> str:
    """Return an entry as Markdown: title, references in both directions, text, and its rows as parsed."""
    from merginguriel.text.evidence import without_items

    label = " · ".join(text for text in (entry.type, entry.date, entry.context or "", state) if text)
    lines = [f"# {escaped(entry.title)}", "", escaped(label), "", escaped(entry.summary), ""]
    for word, ids in (
        ("corrected by", knowledge.superseders.get(entry.id, ())),
        ("answers", entry.answers),
        ("supersedes", entry.supersedes),
        ("links", entry.links),
    ):
        if ids:
            lines.append(f"- {word} {', '.join(escaped(item) for item in ids)}")
    lines += ["", without_items(entry.body), ""]
    if entry.rows:
        end = max(ROWS, int(row[1:]) if re.fullmatch(r"r\d+", row) else 0)
        lines += ["## Rows as read", *row_tables(entry.rows[:end])]
        if len(entry.rows) > end:
            lines += ["", f"… and {len(entry.rows) - end} more rows"]
    return "\n".join(lines)


def row_tables(rows: Iterable[ResultRow]) -> Iterator[str]:
    """Yield result rows as a table for each mode, baseline, unit and status, which its title names: so it fits half a terminal."""
    from merginguriel.knowledge.parse.rows import format_value
    from merginguriel.text.evidence import row_cells

    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for row in rows:
        ref, target, mode, label, value, over, difference, status = row_cells(row)
        cells = [ref.partition("#")[2], target, label, value]
        if row.baseline is not None:
            cells += [format_value(row, row.baseline), difference.removesuffix(f" {row.points}")]
            over = f"over {row.baseline_kind}"
        tables.setdefault((mode, over, status, f"diff {row.points}"), []).append(cells)
    for (*group, difference), table in tables.items():
        title = " · ".join(escaped(text) for text in group if text not in ("", "-"))
        heads = ("row", "target", "method", "value", "over", difference)[: len(table[0])]
        yield from (
            "",
            f"*{title}*" if title else "",
            "",
            f"| {' | '.join(heads)} |",
            "|" + "---|" * len(heads),
        )
        yield from (f"| {' | '.join(escaped(cell) for cell in cells)} |" for cells in table)

"""Which locale is meant by what was typed, and how does it stand in the list?"""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import Input


class Find(Input):
    """The search field over the list: down goes into the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "screen.to_targets", "To the list", id="advise.list", show=False)
    ]


def targets(typed: str, measured: dict[str, int], logged: set[str]) -> list[tuple[str, str, int]]:
    """(tag, language, merges measured) of every locale that `typed` may mean: the likeliest first.

    measured  merges by target, in the context that is asked about; logged: targets of any context
    """
    from textual.fuzzy import Matcher

    from merginguriel import locales

    known = locales.table().values()
    if not typed:
        everything = [(one.tag, one.name, measured.get(one.tag, 0)) for one in known]
        return sorted(everything, key=lambda one: (not one[2], one[0]))
    matcher = Matcher(typed)
    scored = []
    for one in known:
        score = max(matcher.match(one.tag), matcher.match(one.name))
        if score > 0:
            exact = typed.lower() in (one.tag.lower(), one.name.lower())
            found = (one.tag, one.name, measured.get(one.tag, 0))
            rank = (not exact, -round(score, 3), not found[2], one.tag not in logged, one.tag)
            scored.append((rank, found))
    return [found for _, found in sorted(scored)]


def target_line(tag: str, name: str, count: int) -> Text:
    """A dot and a count where merges for it were measured."""
    text = Text("• " if count else "  ", no_wrap=True, overflow="ellipsis")
    text.append(f"{tag:<6} ", "bold" if count else "")
    text.append("" if name == "None" else name, "" if count else "dim")
    if count:
        text.append(f" {count}", "dim")
    return text

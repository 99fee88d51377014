"""Places for the command palette: locales, runs, entries, skills and claims, found by fuzzy name."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar, NamedTuple

from textual.binding import Binding, BindingType
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from merginguriel.errors import USER_ERRORS
from merginguriel.text.tables import plain
from merginguriel.workspace import Workspace

from .base import Client

MOST = 1000  # newest runs and entries each
FAR = 0.8  # factor of the score of a target that nothing is known of
BEGINS = 1.25  # and of a name that begins with the query
BATCH = 200  # names between two pauses, so that typing never waits


class PaletteItem(NamedTuple):
    """A name, what it is, and where it leads: a screen and what to open there."""

    name: str
    help: str
    leads: tuple[str, ...]
    near: bool = True  # False for a target without results, models and sentences


def places(space: Workspace) -> list[PaletteItem]:
    """Return every place of a workspace."""
    from merginguriel import locales
    from merginguriel.knowledge.base import load_readable
    from merginguriel.runs import run_index
    from merginguriel.study import capabilities

    knowledge, context = load_readable(space), str(space.settings["context"])
    near = {row.target for row in knowledge.rows if row.context == context}
    near |= {*capabilities.trained(space, context), *(capabilities.scorable(space, context) or ())}
    found = [
        PaletteItem(f"{it.tag} {it.name}", "target: ask for advice", ("advise", it.tag), it.tag in near)
        for it in locales.table().values()
    ]
    for row in run_index.listed(space, MOST)[0]:
        found.append(PaletteItem(row["id"], f"run, {row['state']}", ("runs", row["id"])))
    for entry in knowledge.entries[-MOST:][::-1]:
        found.append(PaletteItem(f"{entry.id[:10]} {entry.title}", f"entry, {entry.type}", ("log", entry.id)))
    for skill in knowledge.skills:
        found.append(PaletteItem(skill.name, "skill", ("skills", skill.name)))
        found += [
            PaletteItem(claim.id, f"claim of {skill.name}", ("skills", claim.id)) for claim in skill.claims
        ]
    return [one._replace(name=plain(one.name)) for one in found]


class Palette(CommandPalette):
    """The command palette, with a key for its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f1", "app.keys", "Keys", id="palette.keys", show=False)]


class Places(Provider):
    """Locales, runs, entries, skills and claims of the workspace."""

    found: list[PaletteItem]

    async def startup(self) -> None:
        """Read the names in a thread."""
        self.found = []
        assert isinstance(self.app, Client)
        try:
            self.found = await asyncio.to_thread(places, self.app.space)
        except USER_ERRORS:
            return  # the screens show what cannot be read

    async def discover(self) -> Hits:
        """Offer the skills before anything is typed."""
        for place in self.found:
            if place.help == "skill":
                yield DiscoveryHit(place.name, self.going(place), help=place.help)

    async def search(self, query: str) -> Hits:
        """Yield the places whose names match; a space also stands for a hyphen or anything else between two words."""
        exact, apart = self.matcher(query), self.matcher("".join(query.split()))
        for number, place in enumerate(self.found):
            if number % BATCH == 0:
                await asyncio.sleep(0)
            matcher = exact if exact.match(place.name) > 0 else apart
            if (score := matcher.match(place.name)) > 0:
                score *= BEGINS if place.name.lower().startswith(query.lower()) else 1
                score *= 1 if place.near else FAR
                yield Hit(score, matcher.highlight(place.name), self.going(place), help=place.help)

    def going(self, place: PaletteItem) -> partial[None]:
        """Return the call that goes to a place."""
        assert isinstance(self.app, Client)
        return partial(self.app.action_go, *place.leads)

"""Index of measured gains: by recipe and target, and by target and arm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from .evidence import Arm, Observation, Recipe

SHARED_ITEMS = 0.75  # of the noise variance, common to measurements on the same items


class Cell(NamedTuple):
    """Measurements of one arm, or of one recipe, on one target, pooled."""

    gain_pp: float
    variance: float
    lead_pp: float | None


def pool(measured: Sequence[tuple[float, float, object]]) -> tuple[float, float]:
    """Return mean and variance of (gain, variance, items): rows on the same items share `SHARED_ITEMS` of their noise."""
    groups: dict[object, list[tuple[float, float]]] = {}
    for gain, variance, items in sorted(measured, key=lambda m: (str(m[2]), m[0], m[1])):
        groups.setdefault(items, []).append((gain, variance))
    total = weighted = 0.0
    for rows in groups.values():
        precision = sum(1 / variance for _, variance in rows)
        mean = sum(gain / variance for gain, variance in rows) / precision
        spread = SHARED_ITEMS * min(variance for _, variance in rows) + (1 - SHARED_ITEMS) / precision
        total += 1 / spread
        weighted += mean / spread
    return weighted / total, 1 / total


@dataclass(frozen=True)
class Learned:
    """Gains of one mode, by recipe and target, and by target and arm."""

    found: tuple[Observation, ...]

    @cached_property
    def recipes(self) -> dict[Recipe, dict[str, Cell]]:
        """Recipe → target → its measurements, whatever the sources."""
        grouped: dict[Recipe, dict[str, Cell]] = {}
        for (recipe, target), rows in sorted(self.rows_of.items(), key=lambda item: item[0][1]):
            grouped.setdefault(recipe, {})[target] = cell_of(rows)
        return grouped

    @cached_property
    def rows_of(self) -> dict[tuple[Recipe, str], list[Observation]]:
        """(recipe, target) → its rows."""
        found: dict[tuple[Recipe, str], list[Observation]] = {}
        for o in self.found:
            found.setdefault((o.arm.recipe, o.arm.target), []).append(o)
        return found

    @cached_property
    def signed(self) -> dict[Recipe, dict[str, list[Cell]]]:
        """Recipe → target → its gains as one cell, and each loss as one: pooled, a small loss would soften a large one."""
        found: dict[Recipe, dict[str, list[Cell]]] = {}
        for (recipe, target), rows in self.rows_of.items():
            gains = [o for o in rows if o.gain_pp >= 0]
            cells = [cell_of(gains)] if gains else []
            cells += [Cell(o.gain_pp, o.variance, o.lead_pp) for o in rows if o.gain_pp < 0]
            found.setdefault(recipe, {})[target] = cells
        return found

    @cached_property
    def gains(self) -> Learned:
        """The same without losses."""
        return Learned(tuple(o for o in self.found if o.gain_pp >= 0))

    @cached_property
    def kin(self) -> dict[tuple[str, str], list[Recipe]]:
        """(context, method) → its recipes."""
        found: dict[tuple[str, str], list[Recipe]] = {}
        for recipe in sorted(self.recipes, key=str):
            found.setdefault((recipe.context, recipe.method), []).append(recipe)
        return found

    @cached_property
    def elsewhere(self) -> dict[object, list[Recipe]]:
        """Method, similarity, k and params → recipes of each context."""
        found: dict[object, list[Recipe]] = {}
        for recipe in sorted(self.recipes, key=str):
            found.setdefault(recipe[1:], []).append(recipe)
        return found

    @cached_property
    def by_target(self) -> dict[tuple[str, str], dict[Arm, list[Observation]]]:
        """(context, target) → arm → its rows."""
        found: dict[tuple[str, str], dict[Arm, list[Observation]]] = {}
        for o in self.found:
            found.setdefault((o.arm.context, o.arm.target), {}).setdefault(o.arm, []).append(o)
        return found

    @cached_property
    def contexts(self) -> frozenset[str]:
        """Contexts with a measured gain."""
        return frozenset(o.arm.context for o in self.found)


def cell_of(rows: Sequence[Observation]) -> Cell:
    """Pool rows of one target."""
    gain, variance = pool([(o.gain_pp, o.variance, (o.row.n, o.kind)) for o in rows])
    leads = sorted(o.lead_pp for o in rows if o.lead_pp is not None)
    return Cell(gain, variance, sum(leads) / len(leads) if leads else None)


def learn(found: Iterable[Observation]) -> Learned:
    """Index gains. The order in which they are given has no effect."""
    return Learned(tuple(sorted(found, key=lambda o: (o.gain_pp, o.variance, o.arm.target, o.arm.method))))

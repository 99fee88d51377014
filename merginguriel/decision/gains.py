"""Index of measured gains: by recipe and target, and by target and arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

from merginguriel.knowledge.parse.rows import ItemBits, ResultRow

from .evidence import Arm, Combination, Observation

SHARED_ITEMS = 0.75  # assumed share of the noise that measurements on the same items have in common, unless `shared` knows it


Lead = tuple[str, float, float | None]  # target, gain in pp, lead in pp


class Cell(NamedTuple):
    """Measurements of one arm, or of one recipe, on one target, pooled."""

    gain_pp: float
    variance: float
    lead_pp: float | None


def shared(rows: Sequence[ResultRow]) -> float:
    """Return the share of the noise variance that gains on the same items have in common, 0 to 1.

    The mean over pairs of rows of covariance ÷ smaller variance of their differences per item, where both rows kept
    which items were wins and losses; `SHARED_ITEMS` where no pair did.
    """
    kept = [(ItemBits.parse(row.items), row.n) for row in rows if row.items and row.n]
    shares = [_share(a, b, n) for (a, n), (b, _) in combinations(kept, 2) if a.test_set == b.test_set]
    return sum(shares) / len(shares) if shares else SHARED_ITEMS


def _share(a: ItemBits, b: ItemBits, n: int) -> float:
    def mean(one: ItemBits) -> float:
        return (one.wins.bit_count() - one.losses.bit_count()) / n

    def variance(one: ItemBits) -> float:
        return (one.wins | one.losses).bit_count() / n - mean(one) ** 2

    agree = (a.wins & b.wins).bit_count() + (a.losses & b.losses).bit_count()
    differ = (a.wins & b.losses).bit_count() + (a.losses & b.wins).bit_count()
    least = min(variance(a), variance(b))
    share = ((agree - differ) / n - mean(a) * mean(b)) / least if least > 0 else 1.0
    return min(max(share, 0.0), 1.0)


def pool(measured: Sequence[Observation]) -> tuple[float, float]:
    """Return mean and variance of gains; those on the same items share their noise as far as `shared` says."""
    if len(measured) == 1:
        return measured[0].gain_pp, measured[0].variance
    groups: dict[tuple[int | None, str], list[Observation]] = {}
    for o in sorted(measured, key=lambda o: (o.gain_pp, o.variance, o.row.ref)):
        groups.setdefault((o.row.n, o.kind), []).append(o)
    total = weighted = 0.0
    for _, rows in sorted(groups.items(), key=lambda group: str(group[0])):
        precision = sum([1 / o.variance for o in rows])
        mean = sum([o.gain_pp / o.variance for o in rows]) / precision
        common = shared([o.row for o in rows]) if len(rows) > 1 else 1.0
        spread = common * min(o.variance for o in rows) + (1 - common) / precision
        total += 1 / spread
        weighted += mean / spread
    return weighted / total, 1 / total


Recipes = Mapping[Combination, Mapping[str, Cell]]
Pooled = Mapping[tuple[Combination, str], tuple[Cell, list[Cell]]]  # of a recipe and target: all, and by sign


@dataclass(frozen=True)
class Learned:
    """Gains of one mode, by recipe and target, and by target and arm.

    Attributes:
        found: The gains.
        others: Pooled gains of recipes of further contexts.
        pooled: Cells of some recipes and targets, as in `recipes` and in `signed`, where they are known.
    """

    found: tuple[Observation, ...]
    others: Recipes = field(default_factory=dict)
    pooled: Pooled = field(default_factory=dict)

    @cached_property
    def recipes(self) -> Recipes:
        """Recipe → target → its measurements, whatever the sources."""
        grouped: dict[Combination, dict[str, Cell]] = {}
        for (recipe, target), rows in sorted(self.rows_of.items(), key=lambda item: item[0][1]):
            known = self.pooled.get((recipe, target))
            grouped.setdefault(recipe, {})[target] = known[0] if known else cell_of(rows)
        return {**grouped, **self.others}

    @cached_property
    def rows_of(self) -> dict[tuple[Combination, str], list[Observation]]:
        """(recipe, target) → its rows."""
        found: dict[tuple[Combination, str], list[Observation]] = {}
        for o in self.found:
            if o.kind != "agreement":
                found.setdefault((o.arm.recipe, o.arm.target), []).append(o)
        return found

    @cached_property
    def signed(self) -> dict[Combination, dict[str, list[Cell]]]:
        """Recipe → target → its gains as one cell, and each loss as one: pooled, a small loss would soften a large one."""
        found: dict[Combination, dict[str, list[Cell]]] = {}
        for (recipe, target), rows in self.rows_of.items():
            if known := self.pooled.get((recipe, target)):
                found.setdefault(recipe, {})[target] = known[1]
                continue
            gains = [o for o in rows if o.gain_pp >= 0]
            cells = [cell_of(gains)] if gains else []
            cells += [Cell(o.gain_pp, o.variance, o.lead_pp) for o in rows if o.gain_pp < 0]
            found.setdefault(recipe, {})[target] = cells
        return found

    @cached_property
    def by_sign(self) -> dict[Combination, tuple[list[Lead], list[Lead]]]:
        """Recipe → (target, gain, lead) of its `signed` cells: gains, and losses."""
        result: dict[Combination, tuple[list[Lead], list[Lead]]] = {}
        for recipe, found in self.signed.items():
            result[recipe] = [], []
            for where, cells in found.items():
                for cell in cells:
                    result[recipe][cell.gain_pp < 0].append((where, cell.gain_pp, cell.lead_pp))
        return result

    @cached_property
    def gained(self) -> dict[Combination, dict[str, Cell]]:
        """Recipe → target → its measurements without losses, where it has others; targets in order."""
        return {
            recipe: {target: cells[0] for target, cells in sorted(found.items()) if cells[0].gain_pp >= 0}
            for recipe, found in self.signed.items()
        }

    @cached_property
    def kin(self) -> dict[tuple[str, str], list[Combination]]:
        """(context, method) → its recipes."""
        found: dict[tuple[str, str], list[Combination]] = {}
        for recipe in sorted(self.recipes, key=str):
            found.setdefault((recipe.context, recipe.method), []).append(recipe)
        return found

    @cached_property
    def elsewhere(self) -> dict[object, list[Combination]]:
        """Method, similarity, k and params → recipes of each context."""
        found: dict[object, list[Combination]] = {}
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

    def on(self, context: str, target: str) -> dict[Arm, list[Observation]]:
        """Return one item of `by_target`, without indexing the others."""
        place = context, target
        if place not in self._on:
            here: dict[Arm, list[Observation]] = {}
            for o in self.found:
                if o.arm.target == target and o.arm.context == context:
                    here.setdefault(o.arm, []).append(o)
            self._on[place] = here
        return self._on[place]

    @cached_property
    def _on(self) -> dict[tuple[str, str], dict[Arm, list[Observation]]]:
        return {}

    @cached_property
    def contexts(self) -> frozenset[str]:
        """Contexts with a measured gain."""
        return frozenset(o.arm.context for o in self.found if o.kind != "agreement")


def cell_of(rows: Sequence[Observation]) -> Cell:
    """Pool rows of one target."""
    if len(rows) == 1:
        return Cell(rows[0].gain_pp, rows[0].variance, rows[0].lead_pp)
    gain, variance = pool(rows)
    leads = sorted(o.lead_pp for o in rows if o.lead_pp is not None)
    return Cell(gain, variance, sum(leads) / len(leads) if leads else None)


def learn(
    found: Iterable[Observation], others: Recipes | None = None, pooled: Pooled | None = None
) -> Learned:
    """Index gains, beside `others` and with cells of them that are `pooled`. Their order has no effect."""
    ordered = sorted(found, key=lambda o: (o.gain_pp, o.variance, o.arm.target, o.arm.method))
    return Learned(tuple(ordered), others or {}, pooled or {})

"""Evidence of one context for all questions of a mode, without the rows of other contexts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import metric_of

from . import claim_rules
from .baseline import pairing
from .evidence import JOINT, Column, Combination, Observation, columns, observations
from .gains import Pooled, Recipes, learn


class NeedsWholeLogError(Exception):
    """The answer rests on rows of other contexts."""


class ContextEvidence(NamedTuple):
    """Gains of one mode and context, and pooled gains of the other contexts.

    Attributes:
        metric: Metric of the context.
        found: Gains in the context.
        columns: Scores of single models, by (context, target).
        merges: Pooled gains of the recipes of other contexts.
        joint: Pooled gains of joint models there.
        elsewhere: Targets of other contexts.
        pairing: `baseline.pairing` of the whole log.
        cells: Gains of merges in the context as `Learned` pools them.
    """

    metric: str
    found: tuple[Observation, ...]
    columns: Mapping[tuple[str, str], Column]
    merges: Recipes
    joint: Recipes
    elsewhere: frozenset[str]
    pairing: tuple[float, str]
    cells: Pooled


def of_context(knowledge: Knowledge, context: str, mode: str) -> tuple[Knowledge, ContextEvidence] | None:
    """Return the knowledge with the rows of one context, and its evidence.

    None without gains in this context: the answers rest on other contexts.
    """
    every = knowledge.rows
    own = tuple(row for row in every if row.context == context)
    metric = metric_of(own, context)
    narrowed = knowledge.of_metric(metric)
    if not any(row.mode == mode for row in own):
        return None
    known = columns(narrowed.rows)
    excluded = claim_rules.excludes(claim_rules.vetoes(knowledge.claims, knowledge.standings))
    found = observations(narrowed.rows, mode, excluded, known=known)
    here = [o for o in found if o.arm.context == context]
    others = [o for o in found if o.arm.context != context]
    if all(o.arm.method == JOINT for o in here):
        return None
    shared: dict[Combination, Combination] = {}
    for o in here:
        vars(o.arm)["recipe"] = shared.setdefault(o.arm.recipe, o.arm.recipe)
    learned = learn(o for o in here if o.arm.method != JOINT)
    cells = {
        (recipe, target): (cell, learned.signed[recipe][target])
        for recipe, found in learned.recipes.items()
        for target, cell in found.items()
    }
    part = ContextEvidence(
        metric, tuple(here), {key: one for key, one in known.items() if key[0] == context},
        _recipes(o for o in others if o.arm.method != JOINT), _recipes(o for o in others if o.arm.method == JOINT),
        frozenset(o.arm.target for o in others), pairing(narrowed.rows, context), cells,
    )  # fmt: skip
    result = replace(knowledge, skills=(), entries=())
    standings = {claim: replace(standing, rows=()) for claim, standing in knowledge.standings.items()}
    vars(result).update(rows=own, claims=knowledge.claims, standings=standings)
    return result, part


def _recipes(found: Iterable[Observation]) -> Recipes:
    return dict(learn(found).recipes)

"""For this target: merge or not, which way, from which sources, and how sure?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..knowledge.base import Knowledge
from ..knowledge.rows import ResultRow
from . import estimate as model
from . import report, rules
from .baseline import baseline_of, detectable, trial_of
from .evidence import Observation, Recipe, noise, observations, recipe_of
from .pilot import value_of_trial
from .question import DEFAULT, MERGE_AT, Candidate, Question
from .sources import choose_sources

TRIAL_PAYS = 0.1  # a trial must bring this share of the smallest gain worth a merge


Advice = dict[str, object]


def advise(knowledge: Knowledge, question: Question) -> Advice:
    """The advice, in the form that `schema.ADVICE` describes. Deterministic."""
    standings = knowledge.standings
    vetoes = rules.vetoes(knowledge.claims, standings)
    found, covariance, fitted = _learn(knowledge.rows, question.mode, vetoes)
    candidates = _candidates(knowledge, question, found, fitted, vetoes)
    veto = None
    if not candidates:
        recipe, veto = _fallback(knowledge.rows, question, vetoes)
        if veto:
            # What was asked for is judged by its own rows, which the estimate for other recipes leaves out.
            found, covariance, fitted = _learn(knowledge.rows, question.mode, ())
        rows = tuple(o.row for o in found if o.recipe == recipe)
        candidates = [Candidate(recipe, model.predict(fitted, recipe), rows)]
    own = [o for o in found if o.recipe.target == question.target and o.recipe.context == question.context]
    best = candidates[0]
    baseline = baseline_of(knowledge.rows, question, own)
    trial = trial_of(own, baseline, knowledge.rows, question)
    worth = value_of_trial(best.estimate, trial.variance, question.min_gain_pp)
    tried = {o.recipe.method for o in found}
    known = bool(own) and (best.recipe.method in tried or question.method is None)
    verdict = "no-merge" if veto else _verdict(best.estimate, known, worth, question)
    chosen = choose_sources(knowledge.rows, best.recipe, best.rows)
    return {
        "target": question.target,
        "mode": question.mode,
        "context": question.context,
        "verdict": verdict,
        "summary": report.summary(verdict, best, question, veto),
        "recipe": {
            "method": best.recipe.method,
            "params": dict(best.recipe.params),
            "similarity": best.recipe.similarity,
            "k": best.recipe.k,
            "sources": [s.as_dict() for s in chosen.sources],
            "sources_missing": chosen.missing,
            "note": chosen.note,
            "vetoed_by": veto.claim.id if veto else None,
        },
        "gain": report.gain(best.estimate),
        "min_gain_pp": question.min_gain_pp,
        "mde_pp": detectable(trial) if trial.known else None,
        "baseline": baseline,
        "evidence": report.evidence(found, best, question),
        "dissent": report.dissent(found, best, verdict, question, knowledge),
        "rules": report.rules_applied(knowledge, vetoes, best.recipe, candidates),
        "alternatives": report.alternatives(knowledge, candidates, question),
        "pilot": report.pilot(best, trial, worth, baseline),
        "calibration": report.calibration(found, covariance, fitted),
        "would_change": report.would_change(candidates, verdict, trial, question, own, veto),
        "unknowns": report.unknowns(question, own, found, baseline, chosen.missing),
        "knowledge_hash": knowledge.hash,
        "as_of": question.as_of,
    }


def _learn(
    rows: Iterable[ResultRow], mode: str, vetoes: Sequence[rules.Rule]
) -> tuple[list[Observation], np.ndarray, model.Model]:
    """Gains of this mode, the covariance of their noise in pp², and the model fitted to them."""
    ruinous = [veto for veto in vetoes if rules.names_a_method(veto)]
    found, gap = observations(rows, mode, lambda recipe: rules.veto_of(recipe, ruinous) is not None)
    covariance = noise(found, gap)
    return found, covariance, model.fit(found, covariance)


def _verdict(estimate: model.Estimate, known: bool, worth_of_trial: float, question: Question) -> str:
    if not known:
        return "unknown"
    if estimate.p_above(0) >= MERGE_AT and estimate.mean_pp >= question.min_gain_pp:
        return "merge"
    return "pilot" if worth_of_trial >= TRIAL_PAYS * question.min_gain_pp else "no-merge"


def _candidates(
    knowledge: Knowledge,
    question: Question,
    found: Sequence[Observation],
    fitted: model.Model,
    vetoes: Sequence[rules.Rule],
) -> list[Candidate]:
    """Every recipe that the log knows in this mode, asked for this target: best predicted gain first.

    Recipes measured on this target come before the others: with no row of its own, a recipe's wide interval would
    always promise something.
    """
    known = {
        rules.for_target(o.recipe, question.target, question.context, question.mode): None for o in found
    }
    allowed = [r for r in known if _asked(r, question) and not rules.veto_of(r, vetoes)]
    rows: dict[Recipe, list[ResultRow]] = {}
    for o in found:
        rows.setdefault(o.recipe, []).append(o.row)
    candidates = [
        Candidate(
            recipe,
            model.predict(fitted, recipe),
            tuple(rows.get(recipe, ())),
            # A preference speaks where nothing was measured; a measured recipe has the estimate to speak for it.
            None
            if recipe in rows
            else rules.dispreferred(recipe, allowed, knowledge.claims, knowledge.standings),
        )
        for recipe in allowed
    ]
    return sorted(
        candidates, key=lambda c: (not c.rows, c.passed_over is not None, -c.estimate.mean_pp, c.recipe.label)
    )


def _asked(recipe: Recipe, question: Question) -> bool:
    return (
        question.method in (None, recipe.method)
        and question.similarity in (None, recipe.similarity)
        and question.k in (None, recipe.k)
    )


def _fallback(
    rows: Iterable[ResultRow], question: Question, vetoes: Sequence[rules.Rule]
) -> tuple[Recipe, rules.Rule | None]:
    """What to speak of where no known recipe may be offered, and the veto if that is why.

    A recipe that was asked for and is vetoed is named with its veto, rather than replaced by a guess.
    """
    for row in rows:
        if row.mode != question.mode or row.method == "single":
            continue
        recipe = rules.for_target(recipe_of(row), question.target, question.context, question.mode)
        veto = rules.veto_of(recipe, vetoes) if _asked(recipe, question) else None
        if veto:
            return recipe, veto
    method, similarity, k = DEFAULT
    recipe = Recipe(
        question.context,
        question.target,
        question.mode,
        question.method or method,
        question.similarity or similarity,
        question.k or k,
        (),
    )
    return recipe, rules.veto_of(recipe, vetoes)

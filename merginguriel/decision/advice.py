"""For this target: merge or not, which way, from which sources, and how sure?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

import numpy as np

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import ResultRow, is_merge

from . import assemble, claim_rules, cross_validation, next_steps
from . import estimate as model
from .baseline import baseline_of, detectable, trial_of
from .compatibility import Fits, features, known_fits
from .evidence import Observation, Setting, metric_of, noise, observations, setting_of
from .pilot import planned, value_of_trial
from .question import DEFAULT, Candidate, Lab, Question
from .sources import choose_sources
from .verdict import decide, proven

__all__ = ["Advice", "Lab", "Question", "advise"]

Advice = dict[str, object]


class Learned(NamedTuple):
    """Gains of one mode, the model fitted to them, how it does with each target left out, and what it knows of fits."""

    found: list[Observation]
    fitted: model.Model
    left: cross_validation.LeftOut | None
    fits: Fits

    def estimate(self, setting: Setting, sources: Sequence[str]) -> model.Estimate:
        known = features(self.fits, setting.context, sources)
        return cross_validation.predict(self.fitted, self.left, setting, known)


def advise(knowledge: Knowledge, question: Question) -> Advice:
    """The advice, in the form that `schema.ADVICE` describes. Deterministic."""
    metric = metric_of(knowledge.rows, question.context)
    knowledge = knowledge.of_metric(metric)
    standings = knowledge.standings
    vetoes = claim_rules.vetoes(knowledge.claims, standings)
    learned = _learn(knowledge.rows, question.mode, vetoes)
    candidates = _candidates(knowledge, question, learned, vetoes)
    veto = None
    if not candidates:
        setting, veto = _fallback(knowledge.rows, question, vetoes)
        if veto:
            # What was asked for is judged by its own rows, which the estimate for other recipes leaves out.
            learned = _learn(knowledge.rows, question.mode, ())
        rows = tuple(o.row for o in learned.found if o.setting == setting)
        sources = choose_sources(knowledge.rows, setting, rows, question).sources
        told = learned.estimate(setting, [source.locale for source in sources])
        candidates = [Candidate(setting, told, rows, runnable=question.can_run(setting))]
    found = learned.found
    own = [o for o in found if (o.setting.target, o.setting.context) == (question.target, question.context)]
    best = candidates[0]
    baseline = baseline_of(knowledge.rows, question, own, best.setting.k or DEFAULT[2])
    chosen = choose_sources(knowledge.rows, best.setting, best.rows, question)
    trial = trial_of(own, baseline, knowledge.rows, question, best.setting.method)
    worth = value_of_trial(
        best.estimate, trial.variance, question.min_gain_pp, merging=proven(best.estimate, question)
    )
    tried = {o.setting.method for o in found}
    known = bool(own) and (best.setting.method in tried or question.method is None)
    plan = planned(
        assemble.arms(best), chosen.missing, question.min_gain_pp, question.budget,
        wanted_pp=worth if known else inf,
    )  # fmt: skip
    verdict, why, enough = decide(
        best.estimate, question, trial, known=known, worth_pp=worth, plan=plan, veto=veto
    )
    return {
        "target": question.target,
        "mode": question.mode,
        "context": question.context,
        "metric": metric,
        "verdict": verdict,
        "why": why,
        "summary": next_steps.summary(verdict, best, question, veto),
        "recipe": {
            "method": best.setting.method,
            "params": dict(best.setting.params),
            "similarity": best.setting.similarity,
            "k": best.setting.k,
            "sources": [s.as_dict() for s in chosen.sources],
            "sources_missing": chosen.missing,
            "note": chosen.note,
            "runnable": best.runnable,
            "vetoed_by": veto.claim.id if veto else None,
            "compatibility": assemble.compatibility(learned.fits, learned.fitted, best.setting, chosen),
        },
        "gain": assemble.gain(best.estimate, question.min_gain_pp),
        "min_gain_pp": question.min_gain_pp,
        **({} if question.budget is None else {"budget": question.budget}),
        "mde_pp": detectable(trial) if trial.known else None,
        "baseline": baseline,
        "evidence": assemble.evidence(found, best, question),
        "dissent": assemble.dissent(found, best, verdict, question, knowledge),
        "rules": assemble.rules_applied(knowledge, vetoes, best.setting, candidates),
        "alternatives": assemble.alternatives(knowledge, candidates, question),
        "pilot": assemble.pilot(plan, trial, baseline["kind"], worth_pp=worth, metric=metric),
        "calibration": assemble.calibration(learned.left),
        "would_change": next_steps.would_change(candidates, verdict, trial, question, own, veto, enough),
        "unknowns": next_steps.unknowns(question, own, found, baseline, chosen.missing),
        "next": next_steps.next_commands(verdict, best, candidates, chosen, baseline, question),
        "knowledge_hash": _hash(knowledge, question.as_of),
        "as_of": question.as_of,
    }


def _hash(knowledge: Knowledge, as_of: str | None) -> str:
    """Of the knowledge that was used. As of a day: of the entries and claims known by then, not of today's texts."""
    if as_of is None:
        return knowledge.hash
    used = [entry.id for entry in knowledge.entries], [replace(row, where="") for row in knowledge.rows]
    claims = [(replace(claim, where=""), knowledge.standings[claim.id].status) for claim in knowledge.claims]
    return hashlib.sha256(repr((used, claims)).encode()).hexdigest()[:16]


def _learn(rows: Sequence[ResultRow], mode: str, vetoes: Sequence[claim_rules.Rule]) -> Learned:
    """What this mode's rows teach."""
    ruinous = [veto for veto in vetoes if claim_rules.names_a_method(veto)]
    found = observations(rows, mode, lambda setting: claim_rules.veto_of(setting, ruinous) is not None)
    fits = known_fits(rows)
    merged = [(o.setting.context, o.row.sources) for o in found]
    known = {of: features(fits, *of) for of in dict.fromkeys(merged)}
    fitted = model.fit(found, noise(found), np.array([known[of] for of in merged]), keep=True)
    return Learned(found, fitted, cross_validation.leave_targets_out(found, fitted), fits)


def _candidates(
    knowledge: Knowledge, question: Question, learned: Learned, vetoes: Sequence[claim_rules.Rule]
) -> list[Candidate]:
    """Every recipe that the log knows in this mode, asked for this target: best predicted gain first.

    Recipes measured on this target come before the others: with no row of its own, a recipe's wide interval would
    always promise something. Of the others, those that can be run here come first.
    """
    known = {
        claim_rules.for_target(o.setting, question.target, question.context, question.mode): None
        for o in learned.found
    }
    allowed = [r for r in known if _asked(r, question) and not claim_rules.veto_of(r, vetoes)]
    rows: dict[Setting, list[ResultRow]] = {}
    for o in learned.found:
        rows.setdefault(o.setting, []).append(o.row)
    fits_known = any(context == question.context for context, _ in learned.fits)
    chosen: dict[object, list[str]] = {}

    def sources(setting: Setting) -> Sequence[str]:
        """Those of the measured row, else those that would be taken now; asked only where their fit is known."""
        if not fits_known:
            return ()
        for row in rows.get(setting, ()):
            if row.sources:
                return row.sources
        key = setting.similarity, setting.k
        if key not in chosen:
            chosen[key] = [s.locale for s in choose_sources(knowledge.rows, setting, (), question).sources]
        return chosen[key]

    candidates = [
        Candidate(
            setting,
            learned.estimate(setting, sources(setting)),
            tuple(rows.get(setting, ())),
            # A preference speaks where nothing was measured; a measured recipe has the estimate to speak for it.
            None
            if setting in rows
            else claim_rules.dispreferred(setting, allowed, knowledge.claims, knowledge.standings),
            question.can_run(setting),
        )
        for setting in allowed
    ]
    return sorted(candidates, key=_rank)


def _rank(c: Candidate) -> tuple[object, ...]:
    """Measured here first; of the others, what can be tried first; then the best predicted gain."""
    tried = bool(c.rows)
    return (
        not tried,
        not tried and not c.runnable,
        c.passed_over is not None,
        -c.estimate.mean_pp,
        c.setting.label,
    )


def _asked(setting: Setting, question: Question) -> bool:
    return (
        question.method in (None, setting.method)
        and question.similarity in (None, setting.similarity)
        and question.k in (None, setting.k)
    )


def _fallback(
    rows: Iterable[ResultRow], question: Question, vetoes: Sequence[claim_rules.Rule]
) -> tuple[Setting, claim_rules.Rule | None]:
    """What to speak of where no known recipe may be offered, and the veto if that is why.

    A recipe that was asked for and is vetoed is named with its veto, rather than replaced by a guess.
    """
    for row in rows:
        if row.mode != question.mode or not is_merge(row.method):
            continue
        setting = claim_rules.for_target(setting_of(row), question.target, question.context, question.mode)
        veto = claim_rules.veto_of(setting, vetoes) if _asked(setting, question) else None
        if veto:
            return setting, veto
    method, similarity, k = DEFAULT
    setting = Setting(
        question.context,
        question.target,
        question.mode,
        question.method or method,
        question.similarity or similarity,
        question.k or k,
        (),
    )
    return setting, claim_rules.veto_of(setting, vetoes)

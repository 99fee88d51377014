"""Advice on a target: evidence → arms → estimate → verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

import numpy as np

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import ResultRow, is_merge, metric_of

from . import assemble, claim_rules, cross_validation, next_steps
from . import estimate as model
from .advice_types import Advice, Recipe
from .baseline import baseline_of, detectable, trial_of
from .compatibility import Fits, features, known_fits
from .evidence import Arm, Observation, arm_of, noise, observations
from .pilot import planned, value_of_trial
from .question import DEFAULT, Candidate, Lab, Question
from .sources import choose_sources
from .verdict import decide, proven

__all__ = ["Advice", "Lab", "Question", "advise"]


class Learned(NamedTuple):
    """Gains of one mode, the model fitted to them, its predictions with each target left out, and known compatibilities."""

    found: list[Observation]
    fitted: model.Model
    left: cross_validation.LeftOut | None
    fits: Fits

    def estimate(self, arm: Arm, sources: Sequence[str]) -> model.Estimate:
        """Return the expected gain of an arm with these sources."""
        known = features(self.fits, arm.context, sources)
        return cross_validation.predict(self.fitted, self.left, arm, known)


def advise(knowledge: Knowledge, question: Question) -> Advice:
    """Return the advice. The same knowledge and question give the same advice.

    Args:
        knowledge: Skills, claims and log, as of the question's day.
        question: What is asked.
    """
    metric = metric_of(knowledge.rows, question.context)
    knowledge = knowledge.of_metric(metric)
    standings = knowledge.standings
    vetoes = claim_rules.vetoes(knowledge.claims, standings)
    learned = _learn(knowledge.rows, question.mode, vetoes)
    candidates = _candidates(knowledge, question, learned, vetoes)
    veto = None
    if not candidates:
        arm, veto = _fallback(knowledge.rows, question, vetoes)
        if veto:
            # An excluded arm that was asked for is judged by its own rows, which other estimates leave out.
            learned = _learn(knowledge.rows, question.mode, ())
        rows = tuple(o.row for o in learned.found if o.arm == arm)
        sources = choose_sources(knowledge.rows, arm, rows, question).sources
        estimate = learned.estimate(arm, [source.locale for source in sources])
        candidates = [Candidate(arm, estimate, rows, runnable=question.can_run(arm))]
    found = learned.found
    own = [o for o in found if (o.arm.target, o.arm.context) == (question.target, question.context)]
    best = candidates[0]
    baseline = baseline_of(knowledge.rows, question, own, best.arm.k or DEFAULT[2])
    chosen = choose_sources(knowledge.rows, best.arm, best.rows, question)
    trial = trial_of(own, baseline, knowledge.rows, question, best.arm.method)
    worth = value_of_trial(
        best.estimate, trial.variance, question.min_gain_pp, merging=proven(best.estimate, question)
    )
    tried = {o.arm.method for o in found}
    known = bool(own) and (best.arm.method in tried or question.method is None)
    plan = planned(
        assemble.trial_arms(best), chosen.missing, question.min_gain_pp, question.budget,
        wanted_pp=worth if known else inf,
    )  # fmt: skip
    verdict, why, enough = decide(
        best.estimate, question, trial, known=known, worth_pp=worth, plan=plan, veto=veto
    )
    recipe = Recipe(
        **vars(best.arm.name),
        sources=chosen.sources,
        sources_missing=chosen.missing,
        note=chosen.note,
        runnable=best.runnable,
        vetoed_by=veto.claim.id if veto else None,
        compatibility=assemble.compatibility(learned.fits, learned.fitted, best.arm, chosen),
    )
    return Advice(
        target=question.target,
        mode=question.mode,
        context=question.context,
        metric=metric,
        verdict=verdict,
        why=why,
        summary=next_steps.summary(verdict, best, question, veto),
        recipe=recipe,
        gain=assemble.gain(best.estimate, question.min_gain_pp),
        min_gain_pp=question.min_gain_pp,
        budget=question.budget,
        mde_pp=detectable(trial) if trial.known else None,
        baseline=baseline,
        evidence=assemble.evidence(found, best, question),
        dissent=assemble.dissent(found, best, verdict, question, knowledge),
        rules=assemble.rules_applied(knowledge, vetoes, best.arm, candidates),
        alternatives=assemble.alternatives(knowledge, candidates, question),
        pilot=assemble.pilot(plan, trial, baseline.kind, worth_pp=worth, metric=metric),
        calibration=assemble.calibration(learned.left),
        would_change=tuple(next_steps.would_change(candidates, verdict, trial, question, own, veto, enough)),
        unknowns=tuple(next_steps.unknowns(question, own, found, baseline, chosen.missing)),
        next=tuple(next_steps.next_steps(verdict, best, candidates, chosen, baseline, question)),
        knowledge_hash=_hash(knowledge, question.as_of),
        as_of=question.as_of,
    )


def _hash(knowledge: Knowledge, as_of: str | None) -> str:
    """Return the hash of the knowledge that was used; as of a day, of the entries and claims known by then."""
    if as_of is None:
        return knowledge.hash
    used = [entry.id for entry in knowledge.entries], [replace(row, where="") for row in knowledge.rows]
    claims = [(replace(claim, where=""), knowledge.standings[claim.id].status) for claim in knowledge.claims]
    return hashlib.sha256(repr((used, claims)).encode()).hexdigest()[:16]


def _learn(rows: Sequence[ResultRow], mode: str, vetoes: Sequence[claim_rules.Rule]) -> Learned:
    """Fit the model to the rows of a mode, without those of excluded methods."""
    ruinous = [veto for veto in vetoes if claim_rules.names_a_method(veto)]
    found = observations(rows, mode, lambda arm: claim_rules.veto_of(arm, ruinous) is not None)
    fits = known_fits(rows)
    merged = [(o.arm.context, o.row.sources) for o in found]
    known = {of: features(fits, *of) for of in dict.fromkeys(merged)}
    fitted = model.fit(found, noise(found), np.array([known[of] for of in merged]), keep=True)
    return Learned(found, fitted, cross_validation.leave_targets_out(found, fitted), fits)


def _candidates(
    knowledge: Knowledge, question: Question, learned: Learned, vetoes: Sequence[claim_rules.Rule]
) -> list[Candidate]:
    """Return every arm of the log in this mode, for this target: best predicted gain first.

    Arms measured on this target come before the others, because the wide interval of an arm without rows would always
    promise something. Of the others, those that can be run here come first.
    """
    known = {
        claim_rules.for_target(o.arm, question.target, question.context, question.mode): None
        for o in learned.found
    }
    allowed = [r for r in known if _asked(r, question) and not claim_rules.veto_of(r, vetoes)]
    rows: dict[Arm, list[ResultRow]] = {}
    for o in learned.found:
        rows.setdefault(o.arm, []).append(o.row)
    fits_known = any(context == question.context for context, _ in learned.fits)
    chosen: dict[object, list[str]] = {}

    def sources(arm: Arm) -> Sequence[str]:
        """Return the sources of the measured row, else those that would be chosen now; only where compatibility is known."""
        if not fits_known:
            return ()
        for row in rows.get(arm, ()):
            if row.sources:
                return row.sources
        key = arm.similarity, arm.k
        if key not in chosen:
            chosen[key] = [s.locale for s in choose_sources(knowledge.rows, arm, (), question).sources]
        return chosen[key]

    candidates = [
        Candidate(
            arm,
            learned.estimate(arm, sources(arm)),
            tuple(rows.get(arm, ())),
            # Preferences apply where nothing was measured; a measured arm is judged by its estimate.
            None
            if arm in rows
            else claim_rules.dispreferred(arm, allowed, knowledge.claims, knowledge.standings),
            question.can_run(arm),
        )
        for arm in allowed
    ]
    return sorted(candidates, key=_rank)


def _rank(c: Candidate) -> tuple[object, ...]:
    """Sort key: measured here first; of the others, runnable first; then the best predicted gain."""
    tried = bool(c.rows)
    return (
        not tried,
        not tried and not c.runnable,
        c.passed_over is not None,
        -c.estimate.mean_pp,
        c.arm.label,
    )


def _asked(arm: Arm, question: Question) -> bool:
    return (
        question.method in (None, arm.method)
        and question.similarity in (None, arm.similarity)
        and question.k in (None, arm.k)
    )


def _fallback(
    rows: Iterable[ResultRow], question: Question, vetoes: Sequence[claim_rules.Rule]
) -> tuple[Arm, claim_rules.Rule | None]:
    """Return the arm to report where no known arm may be offered, and the claim that excludes it, if one does.

    An excluded arm that was asked for is reported with its claim, not replaced by another.
    """
    for row in rows:
        if row.mode != question.mode or not is_merge(row.method):
            continue
        arm = claim_rules.for_target(arm_of(row), question.target, question.context, question.mode)
        veto = claim_rules.veto_of(arm, vetoes) if _asked(arm, question) else None
        if veto:
            return arm, veto
    method, similarity, k = DEFAULT
    arm = Arm(
        question.context,
        question.target,
        question.mode,
        question.method or method,
        question.similarity or similarity,
        question.k or k,
        (),
    )
    return arm, claim_rules.veto_of(arm, vetoes)

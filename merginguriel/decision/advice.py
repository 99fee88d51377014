"""Advice on a target: evidence → arms → estimate → verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf, sqrt
from typing import NamedTuple

from merginguriel import stats
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import AGREEMENT, ResultRow, metric_of
from merginguriel.metrics import registry as metrics

from . import assemble, claim_rules, next_steps
from .advice_types import Advice, Calibration
from .arm_types import AdvisedArm
from .baseline import baseline_of, detectable, rebased, trial_of
from .context_evidence import ContextEvidence, NeedsWholeLogError
from .estimate import Relative, checks, predict, relatives
from .evidence import JOINT, Arm, Column, Observation, agreements, arm_of, columns, is_arm, lead, observations
from .gains import Learned, Pooled, Recipes, learn
from .pilot import planned, value_of_trial
from .question import DEFAULT, Candidate, Lab, Question
from .recipe_contrasts import contrasts, well_known, worths
from .sources import SourceSet, choose_sources
from .verdict import Grounds, decide

__all__ = ["Advice", "Lab", "Question", "advise", "arms", "read"]


class QuestionEvidence(NamedTuple):
    """What the log shows of a question.

    Attributes:
        found: Measured gains of the mode: of merges and ensembles, or of joint models if the question is about them.
        joint: Gains of joint models, which are trained for the purpose, and are no evidence about merges.
        others: Arms measured on the target.
    """

    knowledge: Knowledge
    metric: str
    rows: Sequence[ResultRow]
    here: Sequence[ResultRow]
    vetoes: Sequence[claim_rules.Rule]
    found: Sequence[Observation]
    learned: Learned
    joint: Learned
    others: Sequence[Relative]
    column: Column


def advise(knowledge: Knowledge, question: Question, part: ContextEvidence | None = None) -> Advice:
    """Return the advice. The same knowledge and question give the same advice.

    Args:
        knowledge: The knowledge; with `part`, that of the question's context only.
        question: The question; with `part`, one that names no method and adds no matrix.
        part: Evidence of the context.

    Raises:
        NeedsWholeLogError: The answer rests on rows that are not in `part`.
    """
    known = read(knowledge, question, part=part)
    question = replace(question, points=metrics.find(known.metric).unit.points)
    knowledge, rows, vetoes = known.knowledge, known.rows, known.vetoes
    candidates = arms(known, question)
    veto = None
    if not candidates:
        if part is not None:
            raise NeedsWholeLogError
        arm, veto = _fallback(rows, question, vetoes)
        if veto:
            # An excluded arm that was asked for is judged by its own rows, which other estimates leave out.
            known = read(knowledge, question, excluding=False)
        candidates = [_candidate(known, question, arm, {})]
    found, learned = known.found, known.learned
    own = [o for o in found if (o.arm.target, o.arm.context) == (question.target, question.context)]
    calibration = assemble.calibration(checks(learned, question.context))
    candidates = _first(candidates, question, calibrated=_holds(calibration))
    best = candidates[0]
    unseen = part is not None and not own and question.target in part.elsewhere
    if unseen or (part is not None and best.estimate.where == "contexts"):
        raise NeedsWholeLogError
    baseline = baseline_of(known.here, question, own, best.arm.k or DEFAULT[2])
    chosen = choose_sources(rows, best.arm, best.rows, question)
    ratio = part.pairing if part else None
    trial = trial_of(own, baseline, rows, question, best.arm.method, ratio)
    tried = question.method is None or any(o.arm.method == question.method for o in found)
    grounds = _grounds(
        best, known=question.context in learned.contexts and tried, calibrated=_holds(calibration)
    )
    worth = value_of_trial(
        best.estimate, trial.variance, question.min_gain_pp, merging=grounds.proven(best.estimate, question)
    )
    plan = planned(
        assemble.trial_arms(best), len(question.compositions) or chosen.missing, question.min_gain_pp, question.budget,
        wanted_pp=worth if grounds.known else inf,
    )  # fmt: skip
    decision = decide(best.estimate, question, trial, grounds, worth_pp=worth, plan=plan, veto=veto)
    verdict, gain = decision.verdict, assemble.gain(best.estimate, question.min_gain_pp)
    task = question.context.partition("/")[0]
    studied = [o.row for o in found if o.arm.context.partition("/")[0] == task]
    recipe = AdvisedArm(
        **vars(best.arm.name),
        sources=chosen.sources,
        sources_missing=chosen.missing,
        note=chosen.note,
        runnable=best.runnable,
        vetoed_by=veto.claim.id if veto else None,
        passes=best.arm.passes,
    )
    return Advice(
        target=question.target,
        mode=question.mode,
        context=question.context,
        metric=known.metric,
        verdict=verdict,
        why=decision.why,
        summary=next_steps.summary(verdict, best, gain, question, veto),
        recipe=recipe,
        gain=gain,
        parts=assemble.parts(best),
        borderline=decision.borderline,
        min_gain_pp=question.min_gain_pp,
        budget=question.budget,
        mde_pp=detectable(trial) if trial.known else None,
        baseline=baseline,
        evidence=assemble.evidence(found, best, question),
        dissent=assemble.dissent(found, best, verdict, question, knowledge),
        rules=assemble.rules_applied(knowledge, vetoes, best.arm, candidates),
        alternatives=assemble.alternatives(knowledge, candidates, question),
        pilot=assemble.pilot(
            plan, trial, baseline.kind, worth_pp=worth, metric=known.metric, possible=question.measurable
        ),
        calibration=calibration,
        width=question.width,
        would_change=tuple(
            next_steps.would_change(
                candidates,
                verdict,
                trial,
                question,
                own,
                veto,
                decision.enough,
                metric=known.metric,
                baseline=baseline,
            )
        ),
        unknowns=tuple(next_steps.unknowns(question, own, found, baseline, chosen.missing)),
        next=tuple(next_steps.next_steps(verdict, best, candidates, chosen, baseline, question, studied)),
        knowledge_hash=_hash(knowledge, question.as_of),
        as_of=question.as_of,
    )


CALIBRATED = 0.85  # share of gains that 90% intervals must contain
CALIBRATED_TARGETS = 5  # on at least so many targets
LEAVE_AT = 0.8  # P(more than a confirmed arm) from which another is advised instead


def _holds(calibration: Calibration | None) -> bool:
    """Return True if the intervals held when each target of the context was predicted from the others."""
    return (
        calibration is not None
        and calibration.targets >= CALIBRATED_TARGETS
        and calibration.inside90 >= CALIBRATED
    )


def _hash(knowledge: Knowledge, as_of: str | None) -> str:
    """Return the hash of the knowledge that was used; as of a day, of the entries and claims known by then."""
    if as_of is None:
        return knowledge.hash
    used = [entry.id for entry in knowledge.entries], [replace(row, where="") for row in knowledge.rows]
    claims = [(replace(claim, where=""), knowledge.standings[claim.id].status) for claim in knowledge.claims]
    return hashlib.sha256(repr((used, claims)).encode()).hexdigest()[:16]


def read(
    knowledge: Knowledge,
    question: Question,
    *,
    excluding: bool = True,
    part: ContextEvidence | None = None,
) -> QuestionEvidence:
    """Read what the log shows of a question; `excluding`: leave out rows of methods that a claim excludes."""
    rows: Sequence[ResultRow] = (*knowledge.rows, *question.matrix)
    metric = metric_of(rows, question.context) if part is None else part.metric
    knowledge = knowledge.of_metric(metric)
    rows = (*knowledge.rows, *question.matrix)
    vetoes = claim_rules.vetoes(knowledge.claims, knowledge.standings)
    excluded = claim_rules.excludes(vetoes if excluding else [])
    known = columns(rows) if part is None else part.columns
    found: Sequence[Observation]
    found = observations(rows, question.mode, excluded, known=known) if part is None else part.found
    here = [r for r in rows if r.target == question.target and r.context == question.context]
    found = rebased(found, here, question) + agreements(here, question.mode, excluded)
    joint = learn((o for o in found if o.arm.method == JOINT), part.joint if part else None)
    if question.method == JOINT:
        found, learned = list(joint.found), joint
    else:
        found = [o for o in found if o.arm.method != JOINT]
        learned = learn(found, *_pooled(part, question.target))
    others = relatives(learned, question.context, question.target)
    column = known.get((question.context, question.target), {}) if question.mode == "ExcTar" else {}
    return QuestionEvidence(knowledge, metric, rows, here, vetoes, found, learned, joint, others, column)


def _pooled(part: ContextEvidence | None, target: str) -> tuple[Recipes, Pooled]:
    """Return what is pooled already: other contexts, and other targets of the context."""
    if part is None:
        return {}, {}
    return part.merges, {key: cells for key, cells in part.cells.items() if key[1] != target}


def arms(known: QuestionEvidence, question: Question) -> list[Candidate]:
    """Return every arm that may answer the question, with its estimate: the best first by `worths`.

    An arm measured on the target has the sources of its rows; a recipe that was not has those that would be chosen now.
    Recipes that were never measured in the context come last, and before them those that are not `well_known`.
    """
    wanted: dict[Arm, None] = {}
    for learned in (known.learned, known.joint):
        measured = learned.on(question.context, question.target)
        done = {arm.recipe for arm in measured}
        wanted |= dict.fromkeys(measured)
        for recipe in learned.recipes:
            here = recipe._replace(context=question.context)
            if here not in done:
                wanted[Arm(question.context, question.target, question.mode, *here[1:])] = None
    sets = question.compositions
    allowed = [
        arm
        for arm in wanted
        if _asked(arm, question)
        and (not sets or {arm.method.strip("D()"), dict(arm.params).get("specialist")} & sets)
        and (question.ensembles or arm.passes == 1)
        and not claim_rules.veto_of(arm, known.vetoes)
    ]
    against = contrasts(known.learned, question.context, question.target)
    chosen: dict[object, SourceSet] = {}
    candidates = []
    for arm in allowed:
        candidate = _candidate(known, question, arm, chosen)
        if not candidate.rows:
            # Preferences apply where nothing was measured; a measured arm is judged by its estimate.
            passed_over = claim_rules.dispreferred(
                arm, allowed, known.knowledge.claims, known.knowledge.standings
            )
            candidate = candidate._replace(passed_over=passed_over)
        candidates.append(candidate._replace(contrast=against.get(arm.recipe)))

    def rank(item: tuple[Candidate, float, bool]) -> tuple[object, ...]:
        c, worth, leads = item
        elsewhere = not c.rows and not c.estimate.targets
        return (
            c.arm.method == JOINT
            and question.method != JOINT,  # an alternative to merging, not a way to merge
            elsewhere,
            not leads,
            not c.rows and not c.runnable,
            c.passed_over is not None,
            -round(worth, 9),
            c.arm.label,
            c.arm.sources,
        )

    worth = worths(candidates, question.min_gain_pp)
    own = [bool(c.rows) for c in candidates]
    leads = well_known(candidates, own, question.min_gain_pp)
    return [c for c, *_ in sorted(zip(candidates, worth, leads, strict=True), key=rank)]


def _first(candidates: list[Candidate], question: Question, *, calibrated: bool) -> list[Candidate]:
    """Return the candidates with a proven one first, if it is expected to gain almost as much as the best.

    One that was confirmed comes before all others, unless the best gains more with P of `LEAVE_AT`.
    """
    best = candidates[0].estimate
    for i, candidate in sorted(enumerate(candidates), key=lambda item: not item[1].confirmed):
        if candidate.arm.method == JOINT != question.method:
            continue
        grounds = _grounds(candidate, known=True, calibrated=calibrated)
        own, margin = candidate.estimate, question.min_gain_pp
        if candidate.confirmed:
            variance = best.sd_pp**2 + own.sd_pp**2 - best.sd_pp * own.sd_pp  # half of it is the target's
            margin = max(margin, stats.NORMAL.inv_cdf(LEAVE_AT) * sqrt(variance))
        near = own.mean_pp >= best.mean_pp - margin and not candidate.passed_over
        if (
            near
            and candidate.runnable >= candidates[0].runnable
            and grounds.proven(candidate.estimate, question)
        ):
            return [candidate, *candidates[:i], *candidates[i + 1 :]]
    return candidates


def _grounds(candidate: Candidate, *, known: bool, calibrated: bool) -> Grounds:
    """Return what an arm's estimate rests on."""
    estimate = candidate.estimate
    return Grounds(
        known, bool(candidate.rows), candidate.confirmed, estimate.targets, calibrated, candidate.arm.passes
    )


def _candidate(
    known: QuestionEvidence, question: Question, arm: Arm, chosen: dict[object, SourceSet]
) -> Candidate:
    """Return an arm with its rows, the lead of the best single model over its sources, and its estimate."""
    learned, others = (known.joint, ()) if arm.method == JOINT else (known.learned, known.others)
    here = learned.on(question.context, question.target)
    own = here.get(arm, [])
    sources: Sequence[str] = arm.sources
    if not sources and known.column:
        key = arm.similarity, arm.k, arm.method == "average"
        if key not in chosen:
            chosen[key] = choose_sources(known.here, arm, (), question, predicting=False)
        if not chosen[key].missing:
            sources = [source.locale for source in chosen[key].sources]
    leads = [o.lead_pp for o in own if o.lead_pp is not None]
    ahead = sum(leads) / len(leads) if leads else lead(known.column, sources)
    estimate = predict(learned, arm, ahead, others, width=question.width)
    rows = tuple(o.row for o in own)
    # The first choice of a pilot, or the only arm: its items did not choose it among others.
    alone = len(here) == 1
    confirmed = any(o.kind != AGREEMENT and (alone or o.piloted) for o in own)
    return Candidate(arm, estimate, rows, confirmed=confirmed, runnable=question.can_run(arm), lead_pp=ahead)


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
        if row.mode != question.mode or not is_arm(row):
            continue
        arm = replace(arm_of(row), target=question.target, context=question.context, mode=question.mode)
        if row.target != question.target:
            arm = replace(arm, sources=())
        veto = claim_rules.veto_of(arm, vetoes) if _asked(arm, question) else None
        if veto:
            return arm, veto
    method, similarity, k = ("average", None, 2) if question.compositions else DEFAULT
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

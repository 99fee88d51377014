"""Parts of the advice: gain, evidence, dissent, claims, alternatives, pilot, calibration."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

from merginguriel import stats
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import SAW
from merginguriel.text.differences import kind_words

from . import claim_rules
from .advice_types import (
    AppliedClaim,
    Calibration,
    EvidenceRow,
    MeasuredArm,
    Pilot,
    PredictedArm,
    PriorRows,
    UncountedRow,
)
from .arm_types import ArmName, Gain, GainParts
from .baseline import ExtraMeasurement, best_single, detectable, singles_of
from .estimate import Estimate, LeftOutPrediction
from .evidence import GOAL, JOINT, Arm, Observation, arm_of
from .pilot import PilotPlan
from .question import DEFAULT, Candidate, Question


def gain(estimate: Estimate, min_gain_pp: float) -> Gain:
    """Return the estimate, rounded to what is shown."""
    (low80, high80), (low90, high90) = estimate.interval(0.8), estimate.interval(0.9)
    return Gain(
        mean_pp=round(estimate.mean_pp, 2),
        ci80_pp=(round(low80, 2), round(high80, 2)),
        ci90_pp=(round(low90, 2), round(high90, 2)),
        p_positive=round(estimate.p_above(0), 3),
        p_worth=round(estimate.p_above(min_gain_pp), 3),
    )


def _row(observation: Observation, part: float | None) -> EvidenceRow:
    row, sd = observation.row, sqrt(observation.variance)
    gained, as_recorded = observation.kind == "gain", observation.gain_pp == row.gain_pp
    # `rebased` gains are over a better model than the row's, which its wins and losses do not count.
    baseline = row.baseline if as_recorded else round(row.value - row.sign * observation.gain_pp / 100, 6)
    p = row.p_value if gained and as_recorded else None
    if p is None:
        p = stats.two_sided_p(observation.gain_pp / sd)
    return EvidenceRow(
        ref=row.ref, date=row.date, context=row.context, target=row.target, arm=observation.arm.name,
        value=row.value if gained else None,
        baseline=baseline if gained else None, gain_pp=round(observation.gain_pp, 2),
        se_pp=round(sd, 2), n=row.n, kind=observation.kind, paired=row.paired, saw=row.saw, p_value=round(p, 4),
        within_noise=p >= 0.05, contribution_pp=None if part is None else round(part, 3),
    )  # fmt: skip


def parts(candidate: Candidate) -> GainParts:
    """Return the parts of the expected gain, rounded so that they add up to the rounded gain."""
    estimate = candidate.estimate
    exact = estimate.parts
    rounded = [round(part, 2) for part in exact]
    largest = max(range(len(exact)), key=lambda i: abs(exact[i]))
    rounded[largest] = round(rounded[largest] + round(estimate.mean_pp, 2) - sum(rounded), 2)
    lead = candidate.lead_pp
    prior, moved, others, own, winner = rounded
    return GainParts(
        prior_pp=prior, lead_pp=moved, relatives_pp=others, own_pp=own, winner_pp=winner,
        rests_on=estimate.where, targets=estimate.targets, before_pp=round(estimate.before_pp, 2),
        before_sd_pp=round(estimate.before_sd_pp, 2), lead_here_pp=None if lead is None else round(lead, 2),
    )  # fmt: skip


def evidence(
    found: Sequence[Observation], best: Candidate, question: Question
) -> tuple[EvidenceRow | PriorRows, ...]:
    """Return this target's rows one by one, largest part first, then the rows that the prior rests on as one item."""
    estimate = best.estimate
    here = [o for o in found if (o.arm.target, o.arm.context) == (question.target, question.context)]
    counts: dict[Arm, list[Observation]] = {}
    for o in here:
        counts.setdefault(o.arm, []).append(o)
    own = estimate.parts.own_pp + estimate.parts.winner_pp
    of_arm = {**(estimate.relatives or {}), best.arm: own}
    rows = []
    for o in here:
        precision = sum(1 / other.variance for other in counts[o.arm])
        rows.append(_row(o, of_arm.get(o.arm, 0.0) / o.variance / precision))
    rows.sort(key=lambda row: (-abs(row.contribution_pp or 0.0), row.ref))
    rest = [o for o in found if _rests_on(o.arm, best)]
    if not rest:
        return tuple(rows)
    refs = sorted({o.row.ref for o in rest})
    prior = PriorRows(
        ref="prior", rows=len(rest), targets=len({(o.arm.context, o.arm.target) for o in rest}),
        gain_pp=round(sum(o.gain_pp for o in rest) / len(rest), 2), se_pp=_spread([o.gain_pp for o in rest]),
        kind="prior", contribution_pp=round(estimate.parts.prior_pp + estimate.parts.lead_pp, 3),
        digest=hashlib.sha256("\n".join(refs).encode()).hexdigest()[:12],
    )  # fmt: skip
    return (*rows, prior)


def _rests_on(arm: Arm, best: Candidate) -> bool:
    """Return True if the prior of `best` rests on the rows of `arm`: its recipe here, its method, or other contexts."""
    of, where = best.arm, best.estimate.where
    if where == "contexts":
        return arm.context != of.context and arm.recipe[1:] == of.recipe[1:]
    if arm.context != of.context or arm.target == of.target or where == "nothing":
        return False
    return arm.recipe == of.recipe if where == "context" else arm.method == of.method


def _spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation; None for one value."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return round(sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)), 2)


def dissent(
    found: Sequence[Observation], best: Candidate, verdict: str, question: Question, knowledge: Knowledge
) -> tuple[EvidenceRow | UncountedRow, ...]:
    """Return the target's rows that point against the verdict, and its contested, invalidated and superseded rows."""
    sign = -1 if verdict == "no-merge" or best.estimate.mean_pp < 0 else 1
    here = [o for o in found if (o.arm.target, o.arm.context) == (question.target, question.context)]
    against = [_row(o, None) for o in here if o.gain_pp * sign < 0]
    against.sort(key=lambda row: (row.gain_pp * sign, row.ref))
    uncounted = [
        UncountedRow(r.ref, r.date, arm_of(r).name, round(r.gain_pp or 0.0, 2), r.n, r.status, r.note)
        for r in knowledge.rows
        if r.status != "current"
        and (r.target, r.context) == (question.target, question.context)
        and r.mode in (question.mode, "-")
        and r.baseline_kind == GOAL[question.mode]
        and r.difference_pp is not None
    ]
    return (*against, *uncounted)


def rules_applied(
    knowledge: Knowledge, vetoes: Sequence[claim_rules.Rule], arm: Arm, candidates: Sequence[Candidate]
) -> tuple[AppliedClaim, ...]:
    """Return the claims that bear on the question: exclusions of its context, target and mode, and claims on the arm."""
    applied = [
        *(veto for veto in vetoes if claim_rules.concerns(veto, arm)),
        *claim_rules.bearing(
            knowledge.claims, knowledge.standings, arm, ("beats", "fails", "requires", "prefers")
        ),
    ]
    applied += [c.passed_over for c in candidates if c.passed_over]
    return tuple({rule.claim.id: rule.applied() for rule in applied}.values())


def alternatives(
    knowledge: Knowledge, candidates: Sequence[Candidate], question: Question
) -> tuple[PredictedArm | MeasuredArm, ...]:
    """Return other arms by predicted gain, and the other mode's figures where they are known."""
    predicted = [
        PredictedArm(
            **vars(gain(c.estimate, question.min_gain_pp)),
            arm=c.arm.name,
            mode=question.mode,
            measured_here=bool(c.rows),
            runnable=c.runnable,
            saw=max((r.saw for r in c.rows if r.saw), key=SAW.index, default=None),
            passed_over=c.passed_over.claim.id if c.passed_over else None,
        )
        for i, c in enumerate(candidates)
        if 1 <= i < 5 or (i and c.arm.method == JOINT)
    ]
    measured = []
    other = "IncTar" if question.mode == "ExcTar" else "ExcTar"
    needs = "labelled data of the target language" if other == "IncTar" else "no data of the target language"
    rows = [
        r
        for r in knowledge.rows
        if (r.target, r.context, r.mode, r.baseline_kind)
        == (question.target, question.context, other, GOAL[other])
        and r.status == "current"
        and r.difference_pp is not None
    ]
    best_of = {r.measurement(): r for r in rows}
    for row in sorted(best_of.values(), key=lambda r: (-r.sign * r.value, r.ref))[:2]:
        difference, se = round(row.gain_pp or 0.0, 2), round(sqrt(row.variance_pp or 0.0), 2)
        measured.append(
            MeasuredArm(arm_of(row).name, other, needs, row.value, GOAL[other], row.baseline, difference, se, row.n, row.ref)
        )  # fmt: skip
    own = best_single(singles_of(knowledge.rows, replace(question, mode="IncTar")))
    if own and question.mode == "ExcTar":
        single = ArmName("single", None, None, {})
        measured.append(
            MeasuredArm(single, "IncTar", needs, own.value, None, None, None, None, own.n, own.ref)
        )
    return (*predicted, *measured)


def trial_arms(best: Candidate) -> list[ArmName]:
    """Return what a trial would merge: the recipe, and the plain average beside it."""
    average = ArmName("average", None, best.arm.k or DEFAULT[2], {})
    return [best.arm.name] if best.arm.method == "average" else [best.arm.name, average]


def pilot(
    plan: PilotPlan, trial: ExtraMeasurement, kind: str, *, worth_pp: float, metric: str, possible: bool
) -> Pilot:
    """Return the trial of the recipe: its value, its cost and what it can detect; without arms where it is not `possible`."""
    return Pilot(
        arms=plan.arms if possible else (), measure=f"{metric} on the target's test items, paired with the {kind_words(kind)}",
        n=trial.n, value_pp=round(worth_pp, 2), cost_pp=round(plan.price_pp, 2), sees_pp=detectable(trial),
        sees_how=trial.how, cost=plan.cost,
    )  # fmt: skip


FEWEST_CHECKED = 3  # targets


def calibration(checks: Sequence[LeftOutPrediction]) -> Calibration | None:
    """Return how well targets were predicted from the others; None where they are too few."""
    targets = len({check.target for check in checks})
    if targets < FEWEST_CHECKED:
        return None
    inside = [[abs(c.u - 0.5) <= level / 2 for c in checks] for level in (0.8, 0.9)]
    return Calibration(
        how="each target predicted from the others",
        targets=targets,
        predictions=len(checks),
        inside80=round(sum(inside[0]) / len(checks), 2),
        inside90=round(sum(inside[1]) / len(checks), 2),
        mean_error_pp=round(sum(abs(c.gain_pp - c.mean_pp) for c in checks) / len(checks), 2),
    )

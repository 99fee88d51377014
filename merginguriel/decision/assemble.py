"""How is what was found told, key by key of the advice?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

from merginguriel import stats
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import PAIRWISE, SAW
from merginguriel.text.numbers import count

from . import claim_rules
from . import cross_validation as measured
from . import estimate as model
from .baseline import Trial, best_single, detectable, singles_of
from .compatibility import Fits, value_of
from .evidence import GOAL, Observation, Setting, setting_of
from .next_steps import words_of
from .pilot import Plan
from .question import DEFAULT, Candidate, Question
from .sources import Choice


def gain(estimate: model.Estimate, min_gain_pp: float) -> dict[str, object]:
    return {
        "mean_pp": round(estimate.mean_pp, 2),
        "ci80_pp": [round(x, 2) for x in estimate.interval(0.8)],
        "ci90_pp": [round(x, 2) for x in estimate.interval(0.9)],
        "p_positive": round(estimate.p_above(0), 3),
        "p_worth": round(estimate.p_above(min_gain_pp), 3),
    }


def _item(observation: Observation, part: float | None) -> dict[str, object]:
    row, sd = observation.row, sqrt(observation.variance)
    if row.wins is not None and row.losses is not None and row.se_pp is None:
        p = stats.exact_mcnemar(row.wins, row.losses)
    else:
        # A standard error given with the row knows more: which items are variants of each other.
        p = stats.two_sided_p(observation.gain_pp / sd)
    return {
        "ref": row.ref,
        "date": row.date,
        "context": row.context,
        "target": row.target,
        "recipe": observation.setting.label,
        "value": row.value if observation.kind == "gain" else None,
        "baseline": row.baseline if observation.kind == "gain" else None,
        "gain_pp": round(observation.gain_pp, 2),
        "se_pp": round(sd, 2),
        "n": row.n,
        "kind": observation.kind,
        "paired": row.paired,
        "saw": row.saw,
        "p_value": round(p, 4),
        "within_noise": p >= 0.05,
        "contribution_pp": None if part is None else round(part, 3),
    }


def evidence(found: Sequence[Observation], best: Candidate, question: Question) -> list[dict[str, object]]:
    """This target's rows one by one, largest part first; then all other targets' rows as one item."""
    parts = dict(zip((id(o) for o in found), best.estimate.parts_pp, strict=True))
    here = [o for o in found if (o.setting.target, o.setting.context) == (question.target, question.context)]
    items = [_item(o, parts[id(o)]) for o in here]
    items.sort(key=lambda item: (-abs(float(str(item["contribution_pp"]))), str(item["ref"])))
    rest = [o for o in found if (o.setting.target, o.setting.context) != (question.target, question.context)]
    if rest:
        targets = {(o.setting.context, o.setting.target) for o in rest}
        items.append(
            {
                "ref": "prior",
                "recipe": f"{count(len(rest), 'row')} on {count(len(targets), 'other target')}",
                "gain_pp": round(sum(o.gain_pp for o in rest) / len(rest), 2),
                "se_pp": _spread([o.gain_pp for o in rest]),
                "kind": "prior",
                "contribution_pp": round(sum(parts[id(o)] for o in rest), 3),
                "refs": sorted({o.row.ref for o in rest}),
            }
        )
    return items


def _spread(values: Sequence[float]) -> float | None:
    """Standard deviation; one value has none."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return round(sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)), 2)


def dissent(
    found: Sequence[Observation], best: Candidate, verdict: str, question: Question, knowledge: Knowledge
) -> list[dict[str, object]]:
    """Rows on this target that point against the verdict, and rows that are not counted: contested, invalidated, superseded."""
    sign = -1 if verdict == "no-merge" or best.estimate.mean_pp < 0 else 1
    here = [o for o in found if (o.setting.target, o.setting.context) == (question.target, question.context)]
    items = [_item(o, None) for o in here if o.gain_pp * sign < 0]
    items.sort(key=lambda item: (float(str(item["gain_pp"])) * sign, str(item["ref"])))
    doubted = [
        r
        for r in knowledge.rows
        if r.status != "current"
        and (r.target, r.context) == (question.target, question.context)
        and r.mode in (question.mode, "-")
        and r.baseline_kind == GOAL[question.mode]
        and r.difference_pp is not None
    ]
    for row in doubted:
        items.append(
            {
                "ref": row.ref,
                "date": row.date,
                "recipe": setting_of(row).label,
                "gain_pp": round(row.gain_pp or 0.0, 2),
                "n": row.n,
                "kind": row.status,
                "note": row.note,
            }
        )
    return items


def rules_applied(
    knowledge: Knowledge,
    vetoes: Sequence[claim_rules.Rule],
    setting: Setting,
    candidates: Sequence[Candidate],
) -> list[dict[str, object]]:
    """Claims that bear on the question: vetoes of its context, target and mode, and what speaks of the setting."""
    applied = [
        *(veto for veto in vetoes if claim_rules.concerns(veto, setting)),
        *claim_rules.bearing(
            knowledge.claims, knowledge.standings, setting, ("beats", "fails", "requires", "prefers")
        ),
    ]
    applied += [c.passed_over for c in candidates if c.passed_over]
    return list({rule.claim.id: rule.as_dict() for rule in applied}.values())


def alternatives(
    knowledge: Knowledge, candidates: Sequence[Candidate], question: Question
) -> list[dict[str, object]]:
    """Other recipes by predicted gain, and the other mode's figures where they are known."""
    items: list[dict[str, object]] = [
        {
            "what": c.setting.label,
            "mode": question.mode,
            **gain(c.estimate, question.min_gain_pp),
            "measured_here": bool(c.rows),
            "runnable": c.runnable,
            "saw": max((r.saw for r in c.rows if r.saw), key=SAW.index, default=None),
            "passed_over": c.passed_over.claim.id if c.passed_over else None,
        }
        for c in candidates[1:5]
    ]
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
        items.append(
            {
                "what": setting_of(row).label,
                "mode": other,
                "needs": needs,
                "value": row.value,
                "baseline_kind": row.baseline_kind,
                "baseline": row.baseline,
                "gain_pp": round(row.gain_pp or 0.0, 2),
                "se_pp": round(sqrt(row.variance_pp or 0.0), 2),
                "ref": row.ref,
            }
        )
    own = best_single(singles_of(knowledge.rows, replace(question, mode="IncTar")))
    if own and question.mode == "ExcTar":
        items.append(
            {
                "what": "train the target's own model",
                "mode": "IncTar",
                "needs": needs,
                "value": own.value,
                "n": own.n,
                "ref": own.ref,
            }
        )
    return items


def arms(best: Candidate) -> list[str]:
    """What a trial would merge: the recipe, and the plain average beside it."""
    k = best.setting.k or DEFAULT[2]
    average = [] if best.setting.method == "average" else [f"average, {k} sources"]
    return [best.setting.label, *average]


def pilot(
    plan: Plan,
    trial: Trial,
    kind: object,
    *,
    worth_pp: float,
    metric: str,
) -> dict[str, object]:
    """One trial of the best recipe: what deciding after it is worth, what it takes, and what it could see."""
    return {
        "arms": plan.arms,
        "measure": f"{metric} on the target's test items, paired with the {words_of(kind)}",
        "n": trial.n,
        "value_pp": round(worth_pp, 2),
        "cost_pp": round(plan.price_pp, 2),
        "sees_pp": detectable(trial),
        "sees_how": trial.how,
        "cost": dict(plan.cost),
    }


def calibration(left: measured.LeftOut | None) -> dict[str, object] | None:
    scored = measured.calibrate(left)
    if scored is None:
        return None
    return {
        "how": "each target predicted from the others",
        "targets": scored.targets,
        "predictions": scored.predictions,
        "inside80": round(scored.inside80, 2),
        "inside90": round(scored.inside90, 2),
        "mean_error_pp": round(scored.mean_error_pp, 2),
    }


def compatibility(
    fits: Fits, fitted: model.Model, setting: Setting, chosen: Choice
) -> list[dict[str, object]]:
    """What is known of how the sources fit each other, and what that does to the expected gain."""
    sources = [source.locale for source in chosen.sources]
    found: list[dict[str, object]] = []
    for measure, slope in zip(PAIRWISE, model.slopes(fitted), strict=False):
        value = value_of(fits, setting.context, measure, sources)
        if value is not None:
            fit = fits[setting.context, measure]
            found.append(
                {
                    "measure": measure,
                    "value": round(value, 4),
                    "sds": round((value - fit.mean) / fit.sd, 2),
                    "slope_pp": round(slope.mean_pp, 2),
                    "slope_sd_pp": round(slope.sd_pp, 2),
                    "contribution_pp": round(slope.mean_pp * (value - fit.mean) / fit.sd, 2),
                }
            )
    return found

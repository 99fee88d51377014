"""How is what was found told, key by key of the advice?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt

import numpy as np

from .. import stats
from ..knowledge.base import Knowledge
from . import estimate as model
from . import rules
from .baseline import Trial, best_single, detectable
from .evidence import GOAL, Observation, Recipe, recipe_of
from .question import DEFAULT, MERGE_AT, Candidate, Question


def gain(estimate: model.Estimate) -> dict[str, object]:
    return {
        "mean_pp": round(estimate.mean_pp, 2),
        "ci80_pp": [round(x, 2) for x in estimate.interval(0.8)],
        "ci90_pp": [round(x, 2) for x in estimate.interval(0.9)],
        "p_positive": round(estimate.p_above(0), 3),
    }


def _item(observation: Observation, part: float | None) -> dict[str, object]:
    row, sd = observation.row, sqrt(observation.variance)
    if row.wins is not None and row.losses is not None:
        p = stats.exact_mcnemar(row.wins, row.losses)
    else:
        p = stats.two_sided_p(observation.gain_pp / sd)
    return {
        "ref": row.ref,
        "date": row.date,
        "context": row.context,
        "target": row.target,
        "recipe": observation.recipe.label,
        "value": row.value if observation.kind == "gain" else None,
        "baseline": row.baseline if observation.kind == "gain" else None,
        "gain_pp": round(observation.gain_pp, 2),
        "se_pp": round(sd, 2),
        "n": row.n,
        "kind": observation.kind,
        "paired": row.paired,
        "p_value": round(p, 4),
        "within_noise": p >= 0.05,
        "contribution_pp": None if part is None else round(part, 3),
    }


def evidence(found: Sequence[Observation], best: Candidate, question: Question) -> list[dict[str, object]]:
    """This target's rows one by one, largest part first; then all other targets' rows as one item."""
    parts = dict(zip((id(o) for o in found), best.estimate.parts_pp, strict=True))
    here = [o for o in found if (o.recipe.target, o.recipe.context) == (question.target, question.context)]
    items = [_item(o, parts[id(o)]) for o in here]
    items.sort(key=lambda item: (-abs(float(str(item["contribution_pp"]))), str(item["ref"])))
    rest = [o for o in found if (o.recipe.target, o.recipe.context) != (question.target, question.context)]
    if rest:
        targets = {(o.recipe.context, o.recipe.target) for o in rest}
        items.append(
            {
                "ref": "prior",
                "recipe": f"{len(rest)} rows on {len(targets)} other target{'s' * (len(targets) != 1)}",
                "gain_pp": round(sum(o.gain_pp for o in rest) / len(rest), 2),
                "se_pp": round(_spread([o.gain_pp for o in rest]), 2),
                "kind": "prior",
                "contribution_pp": round(sum(parts[id(o)] for o in rest), 3),
                "refs": sorted({o.row.ref for o in rest}),
            }
        )
    return items


def _spread(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sqrt(sum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1))


def dissent(
    found: Sequence[Observation], best: Candidate, verdict: str, question: Question, knowledge: Knowledge
) -> list[dict[str, object]]:
    """Rows on this target that point against the verdict, and rows that somebody contested."""
    sign = -1 if verdict == "no-merge" or best.estimate.mean_pp < 0 else 1
    here = [o for o in found if (o.recipe.target, o.recipe.context) == (question.target, question.context)]
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
                "recipe": recipe_of(row).label,
                "gain_pp": round(row.difference_pp or 0.0, 2),
                "n": row.n,
                "kind": row.status,
                "note": row.note,
            }
        )
    return items


def rules_applied(
    knowledge: Knowledge, vetoes: Sequence[rules.Rule], recipe: Recipe, candidates: Sequence[Candidate]
) -> list[dict[str, object]]:
    applied = [
        *vetoes,
        *rules.bearing(
            knowledge.claims, knowledge.standings, recipe, ("beats", "fails", "requires", "prefers")
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
            "what": c.recipe.label,
            "mode": question.mode,
            **gain(c.estimate),
            "measured_here": bool(c.rows),
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
    for row in sorted(best_of.values(), key=lambda r: (-r.value, r.ref))[:2]:
        items.append(
            {
                "what": recipe_of(row).label,
                "mode": other,
                "needs": needs,
                "value": row.value,
                "baseline_kind": row.baseline_kind,
                "baseline": row.baseline,
                "gain_pp": round(row.difference_pp or 0.0, 2),
                "se_pp": round(sqrt(row.variance_pp or 0.0), 2),
                "ref": row.ref,
            }
        )
    own = best_single(knowledge.rows, replace(question, mode="IncTar"))
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


def pilot(best: Candidate, trial: Trial, worth: float, baseline: Mapping[str, object]) -> dict[str, object]:
    """One trial of the best recipe: what deciding after it is worth, and what it costs."""
    k = best.recipe.k or DEFAULT[2]
    arms = [best.recipe.label]
    if best.recipe.method != "average":
        arms.append(f"average, {k} sources")
    untrained = 0 if baseline["value"] is not None else k
    return {
        "arms": arms,
        "measure": f"accuracy on the target's test items, paired with the {_words(baseline['kind'])}",
        "n": trial.n,
        "value_pp": round(worth, 2),
        "sees_pp": detectable(trial),
        "cost": {"merges": len(arms), "evaluations": len(arms) + untrained, "trainings": untrained},
    }


def _words(kind: object) -> str:
    return str(kind).replace("_", " ")


def calibration(
    found: Sequence[Observation], covariance: np.ndarray, fitted: model.Model
) -> dict[str, object] | None:
    scored = model.calibrate(found, covariance, fitted)
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


def would_change(
    candidates: Sequence[Candidate],
    verdict: str,
    trial: Trial,
    question: Question,
    own: Sequence[Observation],
    veto: rules.Rule | None,
) -> list[str]:
    found, best = [], candidates[0]
    if veto:
        found.append(f"rows that refute {veto.claim.id}, the claim that forbids {best.recipe.label}")
    elif not own:
        found.append(
            f"any measured merge for {question.target}: its accuracy, the best single source's, and n"
        )
    elif verdict == "pilot":
        need = needed_again(best.estimate, trial.variance, question.min_gain_pp)
        found.append(
            f"{best.recipe.label} measured again on {trial.n:,} other items: {need:+.1f} pp or more would say merge"
        )
    elif verdict == "no-merge":
        found.append(
            f"a merge for {question.target} that gains more than {question.min_gain_pp:g} pp, outside noise"
        )
        untried = [] if veto else [c for c in candidates if not c.rows and not c.passed_over][:1]
        found += [
            f"a trial of what was not tried here: {c.recipe.label}, predicted {c.estimate.mean_pp:+.1f} ± "
            f"{c.estimate.sd_pp:.1f} pp from other targets"
            for c in untried
        ]
    else:
        found.append(f"a paired repetition of {best.recipe.label} that loses")
    if own and not any(o.row.paired for o in own):
        found.append("per-item results (wins and losses): pairing narrows the interval at no further cost")
    if question.mode == "ExcTar":
        found.append("labelled data of the target language: train its own model, then ask with --mode IncTar")
    return found


def needed_again(estimate: model.Estimate, trial_variance_pp: float, min_gain_pp: float) -> float:
    """The gain in pp that one more measurement must show for the verdict to become `merge`.

    Normal prior and normal sampling: the posterior mean must reach `min_gain_pp`, and P(gain > 0) `MERGE_AT`.
    """
    before, new = 1 / estimate.sd_pp**2, 1 / trial_variance_pp
    after = before + new
    mean = max(min_gain_pp, stats.NORMAL.inv_cdf(MERGE_AT) / sqrt(after))
    return (mean * after - estimate.mean_pp * before) / new


def unknowns(
    question: Question,
    own: Sequence[Observation],
    found: Sequence[Observation],
    baseline: Mapping[str, object],
    missing: int,
) -> list[str]:
    said = []
    if not own:
        said.append(
            f"no merge for {question.target} has been measured in {question.context} ({question.mode})"
        )
    elif all(o.kind == "effect" for o in own):
        said.append("the gain over the best source was not recorded, only over the mean of the sources")
    if baseline["value"] is None:
        said.append(f"what the {_words(baseline['kind'])} reaches on {question.target}")
    if missing:
        said.append(f"{missing} of the sources: the log does not hold an N×N matrix for {question.target}")
    if not found:
        said.append(f"anything about {question.mode} merges: the log holds no such row")
    elif question.method is not None and question.method not in {o.recipe.method for o in found}:
        said.append(f"how {question.method} does in {question.mode}: no row counts for it")
    return said


def summary(verdict: str, best: Candidate, question: Question, veto: rules.Rule | None) -> str:
    if veto:
        return f"Do not merge with {best.recipe.label}: {veto.claim.text}"
    mean, p = best.estimate.mean_pp, best.estimate.p_above(0)
    if verdict == "merge":
        return f"Merge: {best.recipe.label}. Expected gain {mean:+.1f} pp, P(gain > 0) {p:.2f}."
    if verdict == "no-merge":
        return (
            f"Do not merge: the best recipe known, {best.recipe.label}, is expected at {mean:+.1f} pp, "
            f"P(gain > {question.min_gain_pp:g} pp) {best.estimate.p_above(question.min_gain_pp):.2f}."
        )
    if verdict == "pilot":
        return (
            f"Run a pilot of {best.recipe.label}: expected at {mean:+.1f} pp, P(gain > 0) {p:.2f}; "
            "the evidence does not settle it."
        )
    return f"Unknown: nothing was measured for {question.target}. A pilot would tell."

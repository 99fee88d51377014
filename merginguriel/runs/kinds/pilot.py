"""Runs of kind `pilot`: try several arms on development items by successive halving, then the winner once on test items.

Arms are ordered by the posterior mean of their difference to the advised arm, prior and paired items combined (Karnin et al. 2013 for
the halving); a confidence sequence of the difference to the best single model, which holds at any time, stops the pilot.
Predictions are cached by merge and block of items, so that it continues where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any

import numpy as np

from merginguriel.config.schema import Config
from merginguriel.decision.evidence import AGREEMENT_SD
from merginguriel.decision.pilot import ahead, halved, sizes_of
from merginguriel.errors import UnavailableError
from merginguriel.evaluation import ensemble
from merginguriel.evaluation import predictions as stored
from merginguriel.evaluation.baselines import GOALS, Baseline, baselines
from merginguriel.evaluation.confidence_sequence import Bounds, Outcome, bounds, by_group
from merginguriel.evaluation.nxn import Matrix, nxn
from merginguriel.evaluation.significance import Comparison
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.merging.recipe import Recipe
from merginguriel.metrics.registry import find
from merginguriel.runs.planning import models_of
from merginguriel.runs.resolve import options_of, study_of
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome as Done
from merginguriel.runs.worker import Tell
from merginguriel.similarity import choice
from merginguriel.similarity.choice import Choice
from merginguriel.similarity.registry import sees_labels
from merginguriel.study import source_choice
from merginguriel.study.results import compare_all, compared_rows, logged_params, merge_rows
from merginguriel.study.study import Study
from merginguriel.tasks.registry import Item, TaskData
from merginguriel.version import measured_by
from merginguriel.workspace import Workspace

from . import merge, pilot_unlabelled
from .pilot_arms import PilotArm, arms_of
from .shared_steps import arms_of as item_arms
from .shared_steps import make_models, scored_result

NOTHING = Bounds(-100.0, 100.0, 0.0, 0)
ALPHA = 0.05  # of all arms together, on development items


@dataclass(eq=False)
class ArmItems:
    """An arm during the pilot. right: bool, of the items so far, in their order."""

    arm: PilotArm
    chosen: Choice
    recipe: Recipe | None
    right: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    seen: Bounds = NOTHING
    mean_pp: float = 0.0
    sd_pp: float = 0.0
    rounds: int = 0


def run(run: Run, space: Workspace, tell: Tell) -> Done:
    """Carry out the run."""
    config = run.config
    study, target = study_of(config, space), str(config.target)
    data = study.data(target)
    if not find(data.metric).is_mean:
        raise UnavailableError(
            f"a pilot needs a metric that is a mean over items; {data.metric} is not.",
            hint="Try the arms with mu merge, or mu sweep.",
        )
    models = make_models(study, config, models_of(config), tell)
    tell.step(f"score {len(models)} single models on development items of {target}")
    if config.unlabelled:
        data = pilot_unlabelled.voted(study, models, data, tell)
    dev = nxn(models, {target: data}, split="dev", cache=study.cache, on_progress=tell.progress)
    reference = best_single(dev, target, config.mode)
    trials = [prepared(study, arm, models, dev, tell) for arm in arms_of(config)]
    winner = halving(study, trials, data, dev.correct[reference, target], config, tell)
    if config.unlabelled:
        done = pilot_unlabelled.agreed(run, study, winner, reference, dev, data, tell)
    else:
        done = confirmed(run, study, trials, winner, models, reference, dev, data, tell)
    about = {
        "arms": [described(trial, trial is winner, config.margin_pp) for trial in trials],
        "advice": config.advice, "margin_pp": config.margin_pp, "dev_items": len(data.dev),
    }  # fmt: skip
    return replace(done, result=done.result | about)


def best_single(dev: Matrix, target: str, mode: str) -> str:
    """Return the model that the arms must beat: the best of other locales on development items, or the target's own."""
    if mode == "IncTar":
        return target
    others = sorted(set(dev.sources) - {target})
    return others[int((find(dev.metric).sign * dev.column(target, others)).argmax())]


def prepared(study: Study, arm: PilotArm, models: Mapping[str, Any], dev: Matrix, tell: Tell) -> ArmItems:
    """Return an arm with its sources chosen, and its recipe unless it is an ensemble."""
    chosen = merge.choose(study, arm.config, models, dev, tell)
    recipe = None if arm.together else merge.recipe_of(study, arm.config, chosen, tell)
    return ArmItems(arm, chosen, recipe, mean_pp=arm.mean_pp, sd_pp=arm.sd_pp)


def order_of(items: Sequence[Item], seed: int) -> list[list[int]]:
    """Return the items in random order, variants of a template together: one list of indices for each."""
    groups: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        groups.setdefault(item.group or item.id, []).append(i)
    units = list(groups.values())
    return [units[i] for i in np.random.default_rng(seed).permutation(len(units))]


def halving(
    study: Study, trials: Sequence[ArmItems], data: TaskData, base: np.ndarray, config: Config, tell: Tell
) -> ArmItems:
    """Try the arms on development items, half as many in each round, and return the best.

    Args:
        trials: The arms, which are updated.
        base: bool [n], which development items the best single model answers correctly.
    """
    units = order_of(data.dev, config.seed)
    alive, advised, before = list(trials), trials[0], 0
    for number, size in enumerate(sizes_of(len(units), len(trials)), 1):
        block = [i for unit in units[before:size] for i in unit]
        seen = [i for unit in units[:size] for i in unit]
        groups = [str(u) for u, unit in enumerate(units[:size]) for _ in unit]
        tell.step(f"round {number}: {len(alive)} arms on {len(seen)} development items")
        for trial in alive:
            answers = right_of(study, trial, [data.dev[i] for i in block], data.dev, block, data.metric, tell)
            trial.right = np.concatenate([trial.right, answers])
            differences = by_group(trial.right.astype(float) - base[seen], groups)
            updated(trial, differences, ALPHA / len(trials), labels=not config.unlabelled)
            trial.rounds = number
            tell.metric(f"{trial.arm.label}, expected gain in pp", trial.mean_pp)
        before = size
        if len(alive) > 1:
            more = {one: standing(one, advised, groups, labels=not config.unlabelled) for one in alive}
            alive = remaining(sorted(alive, key=lambda one: -more[one]), advised, config.margin_pp)
        if len(alive) == 1 and alive[0].seen.outcome(config.margin_pp) != "undecided":
            break
    return alive[0]


def remaining(order: Sequence[ArmItems], advised: ArmItems, margin_pp: float) -> list[ArmItems]:
    """Return the better half of arms, best first, without those that are surely worse than the best single model."""
    worse = {one for one in order if one is not advised and one.seen.outcome(margin_pp) == "worse"}
    half = halved(sorted(order, key=lambda one: one in worse), advised)
    return [one for one in half if one not in worse]


def updated(trial: ArmItems, differences: np.ndarray, alpha: float, *, labels: bool = True) -> None:
    """Combine the prior of an arm with its paired differences [units], each from −1 to 1, of accuracy or agreement."""
    trial.seen = bounds(differences, alpha)
    noise = noise_of(differences) + (0.0 if labels else AGREEMENT_SD**2)
    prior = trial.arm.sd_pp**2
    weight = prior / (prior + noise)
    trial.mean_pp = (1 - weight) * trial.arm.mean_pp + weight * trial.seen.mean_pp
    trial.sd_pp = sqrt(weight * noise)


def noise_of(differences: np.ndarray) -> float:
    """Return the variance of a mean difference [units] in pp², with one more unit that differs: no sample is certain."""
    n = len(differences)
    return 1e4 * (float(((differences - differences.mean()) ** 2).sum()) + 1) / (n + 1) / n


def standing(trial: ArmItems, advised: ArmItems, groups: Sequence[str], *, labels: bool) -> float:
    """Return what an arm is expected to gain more than the advised one, pp; without labels, by their expected gains alone."""
    price = trial.arm.price_pp - advised.arm.price_pp
    if trial is advised or not labels:
        return trial.mean_pp - advised.mean_pp - price
    differences = by_group(trial.right.astype(float) - advised.right, groups)
    seen = 100 * float(differences.mean()) - price
    return ahead(trial.arm.ahead_pp, trial.arm.apart, seen, noise_of(differences))


def right_of(
    study: Study,
    trial: ArmItems,
    items: Sequence[Item],
    every: Sequence[Item],
    index: Sequence[int],
    metric: str,
    tell: Tell,
) -> np.ndarray:
    """Return which of the items an arm answers correctly; `items` are those of `every` at `index`."""
    if trial.recipe is not None:
        path = stored.cache_path(study.cache, merge.fingerprint(trial.recipe), items)
        return stored.scored(merge.answers(trial.recipe, items, path, tell), items, metric)
    return together(study, trial, every, metric)[list(index)]


def together(study: Study, trial: ArmItems, items: Sequence[Item], metric: str) -> np.ndarray:
    """Return which items an ensemble answers correctly, from the cached predictions of its sources."""
    names = trial.chosen.names
    method = ensemble.METHODS[trial.arm.ensemble]
    kind = "REAL" if method.weights == "any" else method.weights
    weights = {}
    if kind:
        target = str(trial.arm.config.target)
        dev = nxn(
            {name: study.model(name) for name in names}, {target: study.data(target)}, split="dev",
            cache=study.cache,
        )  # fmt: skip
        inputs = source_choice.inputs_of(study, options_of(trial.arm.config), dev=dev)
        weights[kind] = choice.values(target, names, kind, inputs)
    models = {name: study.model(name) for name in names}
    found = ensemble.scored(models, items, study.cache, weights, methods=[trial.arm.ensemble], metric=metric)
    return found[trial.arm.ensemble]


def confirmed(
    run: Run,
    study: Study,
    trials: Sequence[ArmItems],
    winner: ArmItems,
    models: Mapping[str, Any],
    reference: str,
    dev: Matrix,
    data: TaskData,
    tell: Tell,
) -> Done:
    """Score the winner and the best single model once on test items, which no arm was chosen by."""
    target, config = data.locale, run.config
    tell.step(f"confirm {winner.arm.label} on {len(data.test)} test items")
    names = winner.chosen.names
    scored = {name: models[name] for name in sorted({*names, reference})}
    test = nxn(scored, {target: data}, split="test", cache=study.cache, on_progress=tell.progress)
    if winner.recipe is not None:
        right = merge.right_of(study, winner.recipe, data, tell)
    else:
        right = together(study, winner, data.test, data.metric)
    beat = baselines(target, dev, test, names, data)
    if set(dev.sources) <= {*names, target}:
        beat.pop("best_zero_shot", None)
    groups = test.groups[target]
    compared = compare_all(right, groups, beat, test.metric)
    kind = next(kind for kind in GOALS[config.mode][1] if kind in compared)
    outcome = outcome_of(compared[kind], config.margin_pp)
    rows = rows_of(winner, right, beat, compared, study, run.id, test.metric)
    tell.metric(test.metric, rows[0].value)
    tell.note(f"{outcome}: {compared[kind].difference:+.1f} pp against {beat[kind].model}")
    result = {
        **scored_result(study, rows[0], data, groups, right, beat, compared),
        "kind": "pilot",
        "outcome": outcome,
        "against": kind,
    }
    ids = [item.id for item in data.test]
    arms = item_arms(right, beat, test, target)
    if winner.arm.together:
        arms[winner.arm.method] = arms.pop("merge")
    return Done(result, rows, ids, groups, arms)


def outcome_of(found: Comparison, margin_pp: float) -> Outcome:
    """Return what one comparison on test items shows, by its 95% interval."""
    if found.significant:
        return "better" if found.better else "worse"
    inside = -margin_pp <= found.interval.low and found.interval.high <= margin_pp
    return "equivalent" if inside else "undecided"


def rows_of(
    winner: ArmItems,
    right: np.ndarray,
    beat: dict[str, Baseline],
    compared: dict[str, Comparison],
    study: Study,
    run: str,
    metric: str,
) -> list[ResultRow]:
    """Return the winner's rows, one for each baseline that a row can name, with the similarity that chose its sources."""
    arm, names = winner.arm, tuple(winner.chosen.names)
    if winner.recipe is not None:
        rows = merge_rows(winner.recipe, right, beat, compared, context=study.context, run=run, metric=metric)
        return [replace(row, similarity=row.similarity or arm.similarity) for row in rows]
    config = arm.config
    by_labels = config.mode == "IncTar" or sees_labels(arm.similarity)
    by_labels |= ensemble.METHODS[arm.ensemble].weights in ("REAL", "any")
    row = ResultRow(
        context=study.context, target=str(config.target), mode=config.mode, method=arm.method, metric=metric,
        value=find(metric).value(right), n=len(right), similarity=arm.similarity, k=len(names), sources=names,
        seed=config.seed, saw="labels" if by_labels else "nothing", run=run, code=measured_by(),
    )  # fmt: skip
    return compared_rows(row, beat, compared)


def described(trial: ArmItems, won: bool, margin_pp: float) -> dict[str, Any]:
    """Return an arm of the pilot as JSON data."""
    arm = trial.arm
    params = dict(logged_params(trial.recipe)) if trial.recipe is not None else {}
    return {
        "method": arm.method,
        "similarity": arm.similarity,
        "params": params,
        "sources": trial.chosen.names,
        "prior_pp": arm.mean_pp,
        "prior_sd_pp": arm.sd_pp,
        "rounds": trial.rounds,
        "items": len(trial.right),
        "dev_pp": round(trial.seen.mean_pp, 2),
        "bounds_pp": [round(trial.seen.low_pp, 1), round(trial.seen.high_pp, 1)],
        "expected_pp": round(trial.mean_pp, 2),
        "sd_pp": round(trial.sd_pp, 2),
        "outcome": trial.seen.outcome(margin_pp),
        "won": won,
    }

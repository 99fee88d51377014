"""Runs of kind `tune`: search a merge's weights and parameters on development data, score the best once on test data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel import files
from merginguriel.config.schema import Tune
from merginguriel.errors import CheckpointError, UsageError
from merginguriel.evaluation import predict
from merginguriel.evaluation import predictions as stored
from merginguriel.evaluation.baselines import handed_in
from merginguriel.evaluation.nxn import nxn
from merginguriel.merging import tune
from merginguriel.merging.engine import Kept
from merginguriel.merging.inplace import merge_into
from merginguriel.merging.recipe import Recipe, check, dump_recipe
from merginguriel.merging.tune import RUNGS, Evaluation, RecipeSpace, Score
from merginguriel.metrics.registry import find
from merginguriel.runs.resolve import study_of
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome, Tell
from merginguriel.study import merge_store
from merginguriel.study.results import merge_row
from merginguriel.tasks.registry import Item, TaskData
from merginguriel.tasks.registry import fingerprint as items_fingerprint
from merginguriel.workspace import Workspace

from .merge import all_baselines, choose, fingerprint, recipe_of, right_of
from .shared_steps import goal_dict, make_models, outcome

JOURNAL = "evaluations.jsonl"  # of the run's folder: what an interrupted search has done
UNTUNED = "untuned_merge"


def run(run: Run, space: Workspace, tell: Tell) -> Outcome:
    """Carry out the run."""
    config = run.config
    study, target = study_of(config, space), str(config.target)
    data = study.data(target)
    models = make_models(study, config, sorted({*config.sources, *config.candidates, target}), tell)

    tell.step(f"score {len(models)} models on {target}")
    dev = nxn(models, {target: data}, split="dev", cache=study.cache, on_progress=tell.progress)
    test = nxn(models, {target: data}, split="test", cache=study.cache, on_progress=tell.progress)
    before = recipe_of(study, config, choose(study, config, models, dev, tell), tell)
    around = tune.space_of(before, config.tune.search, ranges_of(config.tune), config.tune.knots)

    tell.step(
        f"search {names(around)} of {before.method} on {len(data.dev)} development sentences of {target}"
    )
    done = searched(run, around, data, tell)
    recipe = tuned(around, done, data)
    files.write_text(run.folder / "recipe.yaml", dump_recipe(recipe, run.folder.absolute()))
    if config.keep:
        tell.note(f"kept in {space.display(merge_store.merge_once(recipe, study.merged(recipe)))}")

    tell.step("score the best on test data, and compare with the baselines")
    right = right_of(study, recipe, data, tell)
    beat = all_baselines(study, before, dev, test, data, tell)
    beat[UNTUNED] = handed_in(UNTUNED, right_of(study, before, data, tell), len(right), test.metric)
    more = {
        "kind": "tune",
        "params": dict(recipe.params),
        "layer_weights": {name: list(found) for name, found in recipe.layer_weights.items()},
        "models": {source.name: stored.fingerprint(source.path) for source in recipe.sources},
        "goal": goal_dict(config.mode, right, beat, test.groups[target], test.metric),
        "tuned": dict(recipe.learnt),
        "dropped": sum(not one.complete for one in done),
        "recipe": space.display(run.folder / "recipe.yaml"),
        "path": space.display(study.merged(recipe)) if config.keep else None,
    }
    row = merge_row(recipe, right, study.context, test.metric, run.id)
    return outcome(study, row, right, beat, test, data, tell, more)


def ranges_of(settings: Tune) -> dict[str, tuple[float, float]]:
    """Return parameter → range. Raises UsageError for one that is not LOW..HIGH."""
    found = {}
    for name, text in settings.ranges.items():
        low, _, high = str(text).partition("..")
        try:
            found[name] = (float(low), float(high))
        except ValueError:
            raise UsageError(
                f"the range of {name} is {text!r}.", hint=f"Write LOW..HIGH, as {name}=0.2..3."
            ) from None
    return found


def names(space: RecipeSpace) -> str:
    """Return what is searched: `weights, scale`."""
    first = space.weights[:1]
    kinds = [tune.WEIGHTS if one.knot is None else tune.LAYERS for one in first]
    return ", ".join([*kinds, *(axis.what for axis in space.params)])


def searched(run: Run, space: RecipeSpace, data: TaskData, tell: Tell) -> list[Evaluation]:
    """Return the evaluations of the search; each is written to the journal, from which an interrupted run goes on."""
    settings, metric = run.config.tune, find(data.metric)
    items = shuffled(data.dev, run.config.seed)
    began = {"recipe": fingerprint(space.recipe), "items": items_fingerprint(items)}
    journal = run.folder / JOURNAL
    before = read(journal, began)
    # Without a last line that was cut short.
    files.write_text(journal, "".join(f"{line}\n" for line in [json.dumps(began), *map(line_of, before)]))
    best = max((one.scores[-1][0] for one in before if one.complete), default=-np.inf)

    def note(one: Evaluation, number: int) -> None:
        nonlocal best
        with journal.open("a", encoding="utf-8") as file:
            file.write(line_of(one) + "\n")
        if one.complete and one.scores[-1][0] > best:
            best = one.scores[-1][0]
            tell.metric(f"best dev {data.metric}", metric.benefit(best))
        tell.progress(number, settings.evaluations, f"best {metric.unit.show(metric.benefit(best), 1)}")

    with_model = scorer(space.recipe, items, data.metric)
    return tune.search(
        space,
        with_model,
        settings.evaluations,
        seed=run.config.seed,
        drop=settings.drop,
        before=before,
        on_evaluation=note,
    )


def line_of(one: Evaluation) -> str:
    """Return the line of an evaluation in the journal."""
    return json.dumps({"point": one.point, "scores": one.scores})


def shuffled(items: Sequence[Item], seed: int) -> list[Item]:
    """Return the items in an order that depends on the seed, so that each share of them has all labels."""
    order = np.random.default_rng(seed).permutation(len(items))
    return [items[i] for i in order]


def read(journal: Path, began: Mapping[str, str]) -> list[Evaluation]:
    """Return the evaluations in a journal; none if it is of other models or items. A line cut short is left out."""
    if not journal.is_file():
        return []
    found: list[Evaluation] = []
    first, *lines = journal.read_text(encoding="utf-8").splitlines()
    try:
        if json.loads(first) != began:
            return []
        for line in lines:
            table = json.loads(line)
            found.append(Evaluation(tuple(table["point"]), tuple((a, b) for a, b in table["scores"])))
    except (ValueError, KeyError, TypeError):
        pass  # killed while it was written
    return found


def scorer(recipe: Recipe, items: Sequence[Item], metric: str) -> tune.Scorer:
    """Return a function that merges a recipe into one loaded model and yields its score on each share of the items."""
    model, tokenizer, labels = predict.open_model(recipe.sources[0].path)
    tokens = predict.tokens_of(model, tokenizer, items)
    used, kept = find(metric), Kept()
    ends = [max(1, round(share * len(items))) for share in RUNGS]

    def score(candidate: Recipe) -> Iterator[Score]:
        merge_into(model, candidate, kept)
        statistics: list[np.ndarray] = []
        logs: list[np.ndarray] = []
        for start, end in zip([0, *ends], ends, strict=False):
            if end > start:
                part = predict.Encoded(tokens.ids[start:end], tokens.firsts and tokens.firsts[start:end])
                try:
                    found = predict.predict_with(model, tokenizer, labels, items[start:end], tokens=part)
                except CheckpointError:
                    return  # predictions that are not finite: the worst candidate
                statistics.append(stored.scored(found, items[start:end], metric))
                logs.append(log_probabilities(found, items[start:end]))
            value = used.benefit(used.value(np.concatenate(statistics)))
            yield round(value, 8), round(float(np.concatenate(logs).mean()), 6)

    return score


def log_probabilities(found: stored.Predictions, items: Sequence[Item]) -> np.ndarray:
    """Return the log probability of the right label, per item or word."""
    logits = found.logits.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    gold = [found.labels.index(label) for item in items for label in item.labels]
    return logits[np.arange(len(gold)), gold] - np.log(np.exp(logits).sum(axis=1))


def tuned(space: RecipeSpace, done: Sequence[Evaluation], data: TaskData) -> Recipe:
    """Return the best recipe, with the record of the search in `learnt`. The recipe before the search may be the best."""
    best, metric = tune.best_of(done), find(data.metric)
    record: dict[str, Any] = {
        "tuned": names(space),
        "tuned_on": f"{data.locale} dev",
        "items": len(data.dev),
        "items_sha256": items_fingerprint(data.dev),
        "evaluations": len(done),
        f"dev_{data.metric}_before": metric.benefit(done[0].scores[-1][0]),
        f"dev_{data.metric}_after": metric.benefit(best.scores[-1][0]),
    }
    recipe = space.at(best.point)
    return check(replace(recipe, learnt={**recipe.learnt, **record}))

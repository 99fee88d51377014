"""Runs of kind `merge`: train missing models, choose sources, merge in memory, score, compare with the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from merginguriel.config.schema import Config
from merginguriel.errors import CheckpointError, UnavailableError
from merginguriel.evaluation import ensemble, predict
from merginguriel.evaluation import predictions as stored
from merginguriel.evaluation.baselines import Baseline, baselines
from merginguriel.evaluation.nxn import Matrix, nxn
from merginguriel.files import sha256
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.merging import engine
from merginguriel.merging.inplace import merge_into
from merginguriel.merging.recipe import Recipe, Source, check, dump_recipe
from merginguriel.metrics.registry import find
from merginguriel.models.build_record import text_hash
from merginguriel.runs.resolve import options_of, study_of
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome, Tell
from merginguriel.similarity import choice
from merginguriel.similarity.choice import Choice
from merginguriel.similarity.registry import sees_labels
from merginguriel.study import joint, merge_store, source_choice
from merginguriel.study import study as studies
from merginguriel.study.results import merge_row
from merginguriel.study.statistics_file import read_for
from merginguriel.study.study import Study
from merginguriel.tasks.registry import Item, TaskData
from merginguriel.workspace import Workspace

from .shared_steps import goal_dict, half, make_models, outcome


def run(run: Run, space: Workspace, tell: Tell) -> Outcome:
    """Carry out the run."""
    config = run.config
    study, target = study_of(config, space), str(config.target)
    data = study.data(target)
    models = make_models(study, config, sorted({*config.sources, *config.candidates, target}), tell)
    if studies.other_data(study, {target: data}, models.values()):
        tell.note(f"the model of {target} was trained on other sentences than the data hold now")

    tell.step(f"score {len(models)} models on {target}")
    dev = nxn(models, {target: data}, split="dev", cache=study.cache, on_progress=half(tell.progress, 0))
    test = nxn(models, {target: data}, split="test", cache=study.cache, on_progress=half(tell.progress, 1))
    chosen = choose(study, config, models, dev, tell)

    tell.step(f"merge {', '.join(chosen.names)} by {config.method}")
    recipe = recipe_of(study, config, chosen, tell)
    if config.keep:
        tell.note(f"kept in {space.display(merge_store.merge_once(recipe, study.merged(recipe)))}")
    right = right_of(study, recipe, data, tell)

    tell.step("compare with the baselines")
    beat = all_baselines(study, recipe, dev, test, data, tell)
    together = ensembles(study, config, recipe, dev, data, tell) if config.ensembles else {}
    row = merge_row(recipe, right, study.context, test.metric, run.id)
    more = {
        "kind": "merge",
        "params": dict(recipe.params),
        "models": {source.name: stored.fingerprint(source.path) for source in recipe.sources},
        "ensembles": {name: find(test.metric).value(found) for name, found in together.items()},
        "goal": goal_dict(config.mode, right, beat, test.groups[target], test.metric),
        "singles": {
            name: {"dev": dev.value(name, target), "test": test.value(name, target)} for name in models
        },
        "path": space.display(study.merged(recipe)) if config.keep else None,
    }
    others = {
        ensemble.logged(name): (ensemble_row(row, name, found), found) for name, found in together.items()
    }
    return outcome(study, row, right, beat, test, data, tell, more, others)


def choose(study: Study, config: Config, models: Mapping[str, Path], dev: Matrix, tell: Tell) -> Choice:
    """Return the sources that the configuration means, and their weights; see similarity/choice.py."""
    options = options_of(config)
    kind = (config.similarity or "").partition("×")[0]
    found = choice.choose(
        str(config.target),
        config.mode,
        config.k,
        kind or None,
        candidates=config.sources or config.candidates,
        named=bool(config.sources),
        inputs=source_choice.inputs_of(study, options, models=models, dev=dev, progress=tell.progress),
        weigh=choice.weighing(config.similarity, config.method, config.preweight),
        options=options,
    )
    for note in found.notes:
        tell.note(note)
    return found


def recipe_of(study: Study, config: Config, chosen: Choice, tell: Tell) -> Recipe:
    """Return the recipe that the configuration means for the chosen sources, with what its method learns from text."""
    weigh, options = choice.weighing(config.similarity, config.method, config.preweight), options_of(config)
    preweight = weigh.partition("×")[0].lower() if weigh else config.preweight
    recipe = Recipe(
        method=str(config.method),
        sources=tuple(Source(s.name, study.model(s.name).resolve(), s.weight) for s in chosen.sources),
        params=dict(config.params),
        base=(study.root / "base").resolve(),
        target=config.target,
        mode=config.mode,
        similarity=choice.label(config.similarity, options),
        k=len(chosen.sources),
        context=study.context,
        seed=config.seed,
        dtype=config.dtype,
        include=config.include,
        exclude=config.exclude,
        excluded=config.excluded,
        heads=config.heads,
        embeddings=config.embeddings,
        text=Path(config.text) if config.text and config.text != "sources" else None,
        vocab=config.vocab,
        trim_scope=config.trim_scope,
        preweight=choice.label(preweight, options) if weigh and not config.similarity else preweight,
    )
    return read_for(study, check(recipe), config.text, progress=tell.progress)


def right_of(study: Study, recipe: Recipe, data: TaskData, tell: Tell) -> np.ndarray:
    """Return the task metric's statistics of the merge on test items; merged in memory, its logits cached by its inputs."""
    items = data.test
    path = stored.cache_path(study.cache, fingerprint(recipe), items)
    return stored.scored(answers(recipe, items, path, tell), items, data.metric)


def fingerprint(recipe: Recipe) -> str:
    """Return the digest of the recipe and its models; equal digests give equal weights."""
    folders = [*(source.path for source in recipe.sources), *([recipe.base] if recipe.base else [])]
    parts = [arithmetic(), dump_recipe(replace(recipe, base_sha256={})), *map(stored.fingerprint, folders)]
    if recipe.text is not None:
        parts.append(sha256(recipe.text))
    return text_hash(parts)


@cache
def arithmetic() -> str:
    """Return the digest of the code that merges: cached results of other code are computed again."""
    root = Path(engine.__file__).parent
    return text_hash(path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py")))


def answers(recipe: Recipe, items: Sequence[Item], path: Path, tell: Tell) -> stored.Predictions:
    """Return the predictions of the merge on the items, from the cache if they are there."""
    if path.is_file():
        try:
            return stored.load(path, fingerprint(recipe))
        except CheckpointError as error:
            tell.note(f"{path.name} is computed again: {error.what}")
    model, tokenizer, labels = predict.open_model(recipe.sources[0].path)
    merge_into(model, recipe, on_progress=tell.progress)
    found = stored.rounded(predict.predict_with(model, tokenizer, labels, items, on_progress=tell.progress))
    stored.save(path, found, fingerprint(recipe))
    return found


def all_baselines(
    study: Study, recipe: Recipe, dev: Matrix, test: Matrix, data: TaskData, tell: Tell
) -> dict[str, Baseline]:
    """Return kind → baseline.

    Scored for it are the plain average of the same sources, whatever the merge's policies, the base with its fresh head,
    and a joint model where there is one.
    """
    given = {}
    if recipe.method != "average":
        sources = tuple(Source(s.name, s.path) for s in recipe.sources)
        about = {
            name: getattr(recipe, name)
            for name in ("base", "target", "mode", "k", "context", "seed", "vocab")
        }
        given["average_merge"] = right_of(study, check(Recipe("average", sources, **about)), data, tell)
    scored = nxn({"base": study.root / "base"}, {data.locale: data}, cache=study.cache)
    given["pretrained_base"] = scored.correct["base", data.locale]
    names = [source.name for source in recipe.sources]
    together = joint.fitting(study, names, data.locale)
    if together:
        name = together.path.name
        scored = nxn({name: together.path}, {data.locale: data}, cache=study.cache, on_progress=tell.progress)
        given["joint"] = scored.correct[name, data.locale]
    found = baselines(data.locale, dev, test, names, data, given=given)
    if set(dev.sources) <= {*names, data.locale}:
        found.pop("best_zero_shot", None)  # it is the best of all there are, and only the sources were scored
    if together:
        found["joint"] = replace(found["joint"], model=together.path.name, note=together.note)
    return found


def ensembles(
    study: Study, config: Config, recipe: Recipe, dev: Matrix, data: TaskData, tell: Tell
) -> dict[str, np.ndarray]:
    """Return ensemble → the metric's statistics on test items: the merge's own sources, by their cached logits."""
    models = {source.name: source.path for source in recipe.sources}
    inputs = source_choice.inputs_of(study, options_of(config), dev=dev)
    weights, methods = {}, []
    for name, method in ensemble.METHODS.items():
        kind = "REAL" if method.weights == "any" else method.weights
        try:
            if kind and kind not in weights:
                weights[kind] = choice.values(data.locale, list(models), kind, inputs)
            methods.append(name)
        except UnavailableError as error:
            tell.note(f"no ensemble is weighted by {kind}: {error.what}")
    return ensemble.scored(models, data.test, study.cache, weights, methods=methods, metric=data.metric)


def ensemble_row(merge: ResultRow, name: str, right: np.ndarray) -> ResultRow:
    """Return the row of an ensemble of the merge's sources, which the same similarity chose."""
    by_labels = merge.mode == "IncTar" or sees_labels(merge.similarity)
    chosen, _, _ = (merge.similarity or "").partition("×")
    return replace(
        merge,
        method=ensemble.logged(name),
        params=(),
        value=find(merge.metric).value(right),
        similarity=chosen or None,
        weights=(),
        saw="labels" if by_labels or ensemble.METHODS[name].weights in ("REAL", "any") else "nothing",
    )

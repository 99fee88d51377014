"""Runs of kind `iterate`: train locales in turn, merge as they learn, score, compare with the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from merginguriel.config.run_config import settings_of, training_settings
from merginguriel.config.schema import Config, Finetuning
from merginguriel.evaluation.nxn import Matrix, nxn
from merginguriel.merging.recipe import Recipe, Source, check
from merginguriel.metrics.registry import find
from merginguriel.models import build_record
from merginguriel.runs.resolve import options_of, study_of
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome, Tell
from merginguriel.similarity import choice
from merginguriel.study import iterate_study
from merginguriel.study.statistics_file import read_for
from merginguriel.study.study import Study
from merginguriel.training.settings import IterateSettings
from merginguriel.workspace import Workspace

from .merge import all_baselines, right_of
from .shared_steps import half, make_models, outcome

# Keys of `training` that rounds do not use: `iterate` has its own epochs and patience.
NOT_OF_ROUNDS = (
    "epochs", "patience", "lora_rank", "lora_alpha", "accumulate", "max_train_samples", "max_minutes",
)  # fmt: skip


def run(run: Run, space: Workspace, tell: Tell) -> Outcome:
    """Carry out the run."""
    config = run.config
    study = study_of(config, space)
    if config.target:
        study.data(config.target)  # before the work, not after it
    settings = iterate_study.settled(study, settings_from(config), options_of(config))[0]

    tell.step(f"train {', '.join(settings.sources)} in turn, merging by {settings.method}")
    path = iterate_study.iterate(study, settings, tell.progress)
    if not config.score or config.target is None:
        record = build_record.read(path / iterate_study.RECORD)
        return Outcome(
            {
                "kind": "iterate",
                "context": study.context,
                "target": config.target,
                "seed": config.seed,
                "sources": iterate_study.left(settings, path),
                "failed": record.get("failed") or {},
                "rounds": record["rounds"],
                "path": space.display(path),
            }
        )
    return scored(run, study, settings, path, tell)


def scored(run: Run, study: Study, settings: IterateSettings, path: Path, tell: Tell) -> Outcome:
    """Score the merge in `path` on the test items of its target, and compare it with the baselines."""
    config, target = run.config, str(run.config.target)
    data = study.data(target)
    made = build_record.read(path / iterate_study.RECORD)
    sources = iterate_study.left(settings, path)
    models = make_models(study, config, sorted({*sources, target}), tell)
    tell.step(f"score {len(models)} single models and the merge on {target}")
    dev = nxn(models, {target: data}, split="dev", cache=study.cache, on_progress=half(tell.progress, 0))
    test = nxn(models, {target: data}, split="test", cache=study.cache, on_progress=half(tell.progress, 1))
    own = nxn({path.name: path}, {target: data}, cache=study.cache)
    right = own.correct[path.name, target]

    tell.step("compare with the baselines, and with merging once after the training")
    equal = once(study, config, dict.fromkeys(sources, 1.0), "linear")
    beat = all_baselines(study, equal, dev, test, data, tell)
    weighed = weights_once(study, settings, sources, dev)
    recipe = once(study, config, weighed, settings.method)
    merged_once = right_of(study, read_for(study, recipe, progress=tell.progress), data, tell)
    row = iterate_study.row_of(study, settings, path, right, run.id, test.metric)
    more = {
        "kind": "iterate",
        "merged_once": find(row.metric).value(merged_once),
        "merged_once_weights": {source.name: round(source.weight, 6) for source in recipe.sources},
        "failed": made.get("failed") or {},
        "rounds": made["rounds"],
        "path": study.space.display(path),
    }
    found = outcome(study, row, right, beat, test, data, tell, more)
    return replace(found, arms={**found.arms, "merged_once": merged_once})


def settings_from(config: Config) -> IterateSettings:
    """Return the settings of the iterative training."""
    others = tuple(name for name in config.sources if name != config.target)
    inside = (str(config.target),) if config.sources and config.mode == "IncTar" else ()
    training = {k: v for k, v in training_settings(config).items() if k not in NOT_OF_ROUNDS}
    given = settings_of(config.iterate)
    own = {k: given.pop(k) for k in Finetuning.model_fields if k in given and k != "epochs"}
    return IterateSettings(
        sources=(*others, *inside),
        target=config.target,
        mode=config.mode,
        similarity=config.similarity,
        candidates=config.candidates,
        k=config.k,
        method=config.method or "average",
        params=dict(config.params),
        weights=config.weights,
        include=config.include,
        exclude=config.exclude,
        training=training | own,
        seed=config.seed,
        **given,
    )


def weights_once(
    study: Study, settings: IterateSettings, sources: Sequence[str], dev: Matrix
) -> dict[str, float]:
    """Return source → weight of a merge of the single models, by the same rule as in the rounds.

    With REAL, the weights are the scores of the single models on the target's development data.
    """
    if settings.similarity == "REAL" and settings.method == "linear" and not settings.weights:
        benefit = find(dev.metric).benefit
        scores = {name: benefit(dev.value(name, str(settings.target))) for name in sources}
        return choice.shares(scores, list(sources))
    shares = settings.weights or iterate_study.shares(study, settings) or dict.fromkeys(sources, 1.0)
    return {name: shares[name] for name in sources}


def once(study: Study, config: Config, weights: Mapping[str, float], method: str) -> Recipe:
    """Return the recipe that merges the single models of the same sources. weights: source → weight, brought to the sum 1."""
    params = {} if method == "linear" else dict(config.params)
    models = tuple(Source(name, study.model(name).resolve(), weights[name]) for name in weights)
    mode = "IncTar" if config.target in weights else "ExcTar"
    recipe = Recipe(
        method, models, params, base=(study.root / "base").resolve(), target=config.target, mode=mode
    )
    return check(replace(recipe, seed=config.seed, include=config.include, exclude=config.exclude))

"""What does a run of the kind `iterate` do? Train locales in turn, merge every few epochs, score the last merge."""

from __future__ import annotations

from dataclasses import replace

from ...errors import UsageError
from ...evaluation.accuracy import accuracy_interval
from ...evaluation.baselines import goal
from ...evaluation.nxn import nxn
from ...models import record
from ...tasks.base import fingerprint
from ...training.settings import LATER, IterateSettings
from ...workspace import Workspace
from .. import iterating
from ..config import Config, settings_of, study_of, training_settings
from ..runs import Run
from ..worker import Outcome, Tell
from .common import baseline_dict, inside_or_not, make_models


def run(run: Run, space: Workspace, tell: Tell) -> Outcome:
    config = run.config
    study, target = study_of(config, space), str(config.target)
    settings, _, left_out = iterating.settled(study, settings_from(config))
    for locale, why in left_out.items():
        tell.note(f"{locale} is left out: {why}")
    tell.step(f"train {', '.join(settings.sources)} in turn, merging by {settings.method}")
    path = iterating.iterate(study, settings, tell.progress)
    make_models(study, config, [*settings.sources, target], tell)  # what it is compared with
    tell.step(f"score it on {target}")
    scored = iterating.score(study, settings, path, tell.progress)
    data = study.data(target)
    own = nxn({"merge": path}, {target: data}, cache=study.cache)
    right, groups = own.correct["merge", target], own.groups[target]
    mode = scored.rows[0].mode if scored.rows else config.mode
    reached = goal(mode, right, scored.baselines, groups)
    tell.metric("accuracy", scored.accuracy)
    first = scored.rows[0]
    result = {
        "kind": "iterate",
        "context": study.context,
        "target": target,
        "mode": mode,
        "method": first.method,
        "params": dict(first.params),
        "similarity": first.similarity,
        "k": first.k,
        "sources": list(first.sources),
        "weights": list(first.weights),
        "seed": first.seed,
        "saw": first.saw,
        "data": fingerprint(data.test),
        "metric": "accuracy",
        "n": scored.n,
        "accuracy": scored.accuracy,
        "ci95": list(accuracy_interval(right, groups)),
        "baselines": {k: baseline_dict(b, scored.compared.get(k)) for k, b in scored.baselines.items()},
        "ensembles": {},
        "goal": None
        if reached is None
        else {"number": reached.number, "state": reached.state, "against": reached.against.kind},
        "failed": scored.failed,
        "rounds": record.read(path / iterating.RECORD).get("rounds"),
        "path": space.display(path),
    }
    arms = {"merge": right}
    arms |= {kind: found.correct for kind, found in scored.baselines.items() if found.correct is not None}
    rows = [replace(row, run=run.id) for row in scored.rows]
    return Outcome(result, rows, [item.id for item in data.test], groups, arms)


def settings_from(config: Config) -> IterateSettings:
    """The settings that a run's configuration means."""
    if config.similarity and "×" in config.similarity:
        raise UsageError(f"iterative training does not weigh by {config.similarity}: URIEL or REAL.")
    training = training_settings(config)
    return IterateSettings(
        sources=inside_or_not(config) if config.sources else (),
        target=config.target,
        mode=config.mode,
        similarity=config.similarity,
        k=config.k,
        method=config.method or "average",
        params=dict(config.params),
        include=config.include,
        exclude=config.exclude,
        training={name: value for name, value in training.items() if name not in ("epochs", *LATER)},
        seed=config.seed,
        **settings_of(config.iterate),
    )

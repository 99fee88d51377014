"""Runs of kind `compose`: embedders on eight compositions of two languages, their effects and merges."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from merginguriel.config.schema import Compose, Config
from merginguriel.embedding import compose, compose_report
from merginguriel.embedding.architecture import Shape
from merginguriel.embedding.training import Settings, Window, ranks
from merginguriel.errors import UsageError
from merginguriel.evaluation.predictions import fingerprint
from merginguriel.merging import registry
from merginguriel.models.base_models import embedder_base
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome, Tell
from merginguriel.study import composition_rows, item_file, retrieval_matrices
from merginguriel.tasks import parallel
from merginguriel.version import measured_by
from merginguriel.workspace import Workspace


def run(run: Run, space: Workspace, tell: Tell) -> Outcome:
    """Carry out the run."""
    config = run.config
    text = text_of(config)
    tell.step("make the base")
    plan = plan_of(config, text, space, space.embedders / run.id)
    study = compose.study(plan, on_progress=tell.progress, note=tell.step)
    compose_report.write(plan, study, run.folder, measured_by() or "this program")
    base_name = Path(str(config.base)).name.lower()
    best = max(study.merges, key=lambda name: study.value(name, study.cross))
    directions = *study.within, *study.cross
    tell.metric("ndcg_at_10", study.value(best, directions))
    name = f"{'-'.join(study.languages)}-{base_name}-{run.id.rpartition('-')[2]}"
    result = {
        "kind": "compose",
        "data": text.fingerprint(),
        "base_weights": fingerprint(plan.base),
        "context": f"{config.task}/{base_name}",
        "matrix": retrieval_matrices.write(space, name, config.seed, study.matrix()),
        "seed": config.seed,
        "metric": "ndcg_at_10",
        "ndcg_at_10": {one: {d: study.value(one, [d]) for d in directions} for one in study.scores},
        "within": study.within,
        "cross": study.cross,
        "effects": [{**asdict(one), "agreement": one.agreement} for one in study.effects],
        "merged": [study.specialist, study.mono],
        "best": best,
        "pareto": sorted(study.pareto()),
        "queries": study.queries,
        "path": space.display(plan.out),
    }
    queries = reported(text, config.seed)
    ids = [f"{direction} {query}" for direction in study.scores[best] for query in queries]
    arms = {
        f"{measure}{name}": np.concatenate([table[:, at] for table in tables.values()])
        for name, tables in study.scores.items()
        for measure, at in (("", 0), (item_file.RECIPROCAL, 2))
    }
    rows = composition_rows.rows(plan, study, base_name, run.id)
    return Outcome(result, rows, ids, queries * len(study.scores[best]), arms)


def reported(text: parallel.Parallel, seed: int) -> list[str]:
    """Return the ids of the held-out queries that chose no model."""
    return [query for query in text.split(seed=seed)[1].relevant if not compose.chooses(query)]


def text_of(config: Config) -> parallel.Parallel:
    """Return the parallel text of a configuration. Raises UsageError unless it has two locales."""
    if len(config.locales) != 2:
        what = f"a study has two locales, got {len(config.locales)}."
        raise UsageError(what, hint="--locale ko-KR --locale en-US")
    return parallel.load(config.data or "home", *config.locales, seed=config.seed, size=config.compose.size)


def check(config: Config) -> Config:
    """Return the configuration. Raises UsageError for invalid ranks, or a method that is unknown or reads text."""
    window_of(config.compose)
    for method in config.compose.methods:
        if registry.get(method).needs:
            raise UsageError(f"{method} reads text, and a study merges without.", hint="See: mu methods")
    return config


def window_of(given: Compose) -> Window:
    """Return where hard negatives are mined. Raises UsageError for invalid ranks."""
    return Window(given.negatives, *ranks(given.mine_ranks))


def plan_of(config: Config, text: parallel.Parallel, space: Workspace, out: Path) -> compose.CompositionPlan:
    """Return the plan of a study, with its base written into the workspace."""
    given = check(config).compose
    texts = [t for side in (text.queries, text.documents) for table in side.values() for t in table.values()]
    settings = Settings(
        loss=given.loss, epochs=given.epochs, steps=given.steps, batch=given.batch_size,
        learning_rate=given.learning_rate, max_tokens=given.max_tokens, seed=config.seed,
    )  # fmt: skip
    return compose.CompositionPlan(
        text, embedder_base(str(config.base), space, texts), out, Shape(pooling=given.pooling, rank=given.lora_rank),
        settings, window_of(given), given.methods,
    )  # fmt: skip

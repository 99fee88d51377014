"""Runs of kind `nxn`: score every model on every locale, into the run's folder and the study's matrix."""

from __future__ import annotations

from typing import Any

from merginguriel import files
from merginguriel.errors import UsageError
from merginguriel.evaluation import nxn as matrix
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.runs.resolve import study_of
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome, Tell
from merginguriel.study import matrix_writer
from merginguriel.study.results import matrix_rows
from merginguriel.version import measured_by
from merginguriel.workspace import Workspace

from .shared_steps import make_models


def run(run: Run, space: Workspace, tell: Tell) -> Outcome:
    """Carry out the run."""
    config = run.config
    if not config.sources or not config.locales:
        raise UsageError("no models to score.", hint="Name them as `sources: [de-DE, sv-SE]`.")
    study = study_of(config, space)
    models = make_models(study, config, config.sources, tell)
    data = {locale: study.data(locale) for locale in config.locales}
    rows: list[ResultRow] = []
    result: dict[str, Any] = {"kind": "nxn", "context": study.context, "seed": study.seed}
    for split in config.splits:
        tell.step(f"score {len(models)} models on the {split} data of {len(data)} locales")
        found = matrix.nxn(models, data, split=split, cache=study.cache, on_progress=tell.progress)
        matrix_writer.write(study, split, found, run.folder / f"nxn-{split}.csv")
        space.results.mkdir(parents=True, exist_ok=True)
        with files.locked(space.results, wait=True):  # the study's table is read, joined and written
            matrix_writer.write(study, split, found)
        result[split] = {
            "metric": found.metric,
            found.metric: {s: {t: found.value(s, t) for t in found.targets} for s in found.sources},
            "n": dict(zip(found.targets, map(int, found.n), strict=True)),
        }
        if split == "test":
            rows = matrix_rows(found, study.context, run.id, measured_by())
    return Outcome(result, rows)

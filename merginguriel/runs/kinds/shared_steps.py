"""Steps that several kinds of run share: training missing models, and the baselines of a result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.config.run_config import training_settings
from merginguriel.config.schema import Config
from merginguriel.evaluation.baselines import Baseline, goal
from merginguriel.evaluation.nxn import Matrix
from merginguriel.evaluation.significance import Comparison, value_interval
from merginguriel.files import Progress
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.models import build_record
from merginguriel.runs import run_store
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome, Tell
from merginguriel.study import item_file, registered
from merginguriel.study import study as studies
from merginguriel.study.results import compare_all, compared_rows, comparison_dict
from merginguriel.study.study import Study
from merginguriel.tasks.registry import TaskData, fingerprint
from merginguriel.training.settings import dev_score

LOSS = re.compile(r"\bloss ([0-9.]+)")
POINTS = 50  # of the loss curve of one training


def make_models(study: Study, config: Config, locales: Iterable[str], tell: Tell) -> dict[str, Path]:
    """Make the base and the model of every locale that is missing, each in a step of its own.

    Returns:
        Locale → folder of its model.
    """
    settings = training_settings(config)
    wanted = list(dict.fromkeys(locales))
    if not (study.root / "base" / "config.json").is_file():
        tell.step(f"make the base {study.base_name}")
        studies.make_base(study, tell.progress)
    missing = [locale for locale in wanted if not trained_so(study, locale, settings)]
    for number, locale in enumerate(missing, 1):
        tell.step(f"train {locale} ({number} of {len(missing)})")
        path = studies.train(
            study, locale, progress=with_losses(tell, locale), report_to=config.report_to, **settings
        )
        metric, value = dev_score(build_record.read(path / "training.yaml"))
        if value is not None:
            tell.metric(f"dev {metric} of {locale}", value)
    return {locale: study.model(locale) for locale in wanted}


def with_losses(tell: Tell, locale: str) -> Progress:
    """Return tell.progress, which also records the training loss as a metric, about POINTS times."""
    last = 0.0

    def progress(done: float, total: float, text: str) -> None:
        nonlocal last
        tell.progress(done, total, text)
        found = LOSS.search(text)
        if found and total and (not last or done - last >= total / POINTS):
            last = done
            tell.metric(f"loss of {locale}", float(found[1]))

    return progress


def half(progress: Progress, which: int) -> Progress:
    """Return `progress` for the first (0) or second (1) half of a step."""

    def report(done: float, total: float, text: str) -> None:
        progress(done + which * total, 2 * total, text)

    return report


def trained_so(study: Study, locale: str, settings: dict[str, Any]) -> bool:
    """Return whether the locale has a model that was trained with these settings and sentences.

    The sentences are compared only for the user's own data or a task with options: reading those of a task takes seconds
    for fifty models. For a model that differs, study.train names the difference.
    """
    if not study.seed and locale in registered.read(study.root):
        return True
    if not (study.model(locale) / "training.yaml").is_file():
        return False
    record = build_record.read(study.model(locale) / "training.yaml").get("made")
    before = record.get("settings") if isinstance(record, dict) else None
    if not isinstance(before, dict) or any(before.get(name) != value for name, value in settings.items()):
        return False
    if study.reading.folder is None and not study.options:
        return True
    return not studies.other_data(study, {locale: study.data(locale)}, [study.model(locale)])


def scored_result(
    study: Study,
    row: ResultRow,
    data: TaskData,
    groups: Sequence[str],
    right: np.ndarray,
    beat: Mapping[str, Baseline],
    compared: Mapping[str, Comparison],
) -> dict[str, Any]:
    """Return what result.json holds about any scored merge; `right` [n] or [n, S] are the metric's statistics."""
    return {
        "context": study.context,
        "target": data.locale,
        "mode": row.mode,
        "method": row.method,
        "params": dict(row.params),
        "similarity": row.similarity,
        "k": row.k,
        "sources": list(row.sources),
        "weights": list(row.weights),
        "seed": row.seed,
        "saw": row.saw,
        "data": fingerprint(data.test),
        "metric": row.metric,
        "n": len(right),
        row.metric: row.value,
        "ci95": list(value_interval(right, groups, metric=row.metric)),
        "baselines": {kind: baseline_dict(found, compared.get(kind)) for kind, found in beat.items()},
    }


def outcome(
    study: Study,
    row: ResultRow,
    right: np.ndarray,
    beat: Mapping[str, Baseline],
    test: Matrix,
    data: TaskData,
    tell: Tell,
    more: Mapping[str, Any],
    others: Mapping[str, tuple[ResultRow, np.ndarray]] | None = None,
) -> Outcome:
    """Return the outcome of a run: a scored arm against its baselines, on the test items of its target.

    Args:
        row: Row of the arm, without a baseline.
        right: Statistics of the metric, [n] or [n, S].
        beat: Kind → baseline.
        test: Matrix of the single models on test data.
        more: Further entries of result.json.
        others: Name → row and statistics of other arms, which are compared with the same baselines.
    """
    groups = test.groups[data.locale]
    compared = compare_all(right, groups, beat, row.metric)
    rows = compared_rows(row, beat, compared)
    arms = arms_of(right, beat, test, data.locale)
    for name, (other, found) in (others or {}).items():
        rows += compared_rows(other, beat, compare_all(found, groups, beat, row.metric))
        arms[name] = found
    tell.metric(row.metric, row.value)
    result = {"kind": more["kind"], **scored_result(study, row, data, groups, right, beat, compared), **more}
    return Outcome(result, rows, [item.id for item in data.test], groups, arms)


def arms_of(
    right: np.ndarray, beat: Mapping[str, Baseline], test: Matrix, target: str
) -> dict[str, np.ndarray]:
    """Return name → statistics of the merge, of each baseline that was scored, and of the single models on the target."""
    arms = {"merge": right} | {kind: b.correct for kind, b in beat.items() if b.correct is not None}
    return arms | {f"single:{name}": test.correct[name, target] for name in test.sources}


def goal_dict(
    mode: str, right: np.ndarray, beat: Mapping[str, Baseline], groups: Sequence[str], metric: str
) -> dict[str, object] | None:
    """Return the goal of the mode and whether it is reached, as JSON data; None where its baseline was not scored."""
    found = goal(mode, right, beat, groups, metric)
    return (
        None
        if found is None
        else {"number": found.number, "state": found.state, "against": found.against.kind}
    )


def baselines_of(run: Run) -> dict[str, Baseline]:
    """Return kind → baseline of a finished run that merges, as it compared them."""
    arms = item_file.read(run.folder / "items.npz").arms
    return {
        kind: Baseline(kind, found["value"], found["n"], found["model"], arms.get(kind), found["note"])
        for kind, found in run_store.result(run)["baselines"].items()
    }


def baseline_dict(found: Baseline, compared: Comparison | None) -> dict[str, object]:
    """Return a baseline and its comparison with the merge as JSON data."""
    return {
        "model": found.model,
        "value": found.value,
        "n": found.n,
        "note": found.note,
        "comparison": comparison_dict(compared) if compared else None,
    }

"""Steps that several kinds of run share: training missing models, and the baselines of a result."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from merginguriel.config.run_config import training_settings
from merginguriel.config.schema import Config
from merginguriel.evaluation.baselines import Baseline
from merginguriel.evaluation.significance import Comparison
from merginguriel.files import Progress
from merginguriel.models import build_record
from merginguriel.runs.worker import Tell
from merginguriel.study import registered
from merginguriel.study import study as studies
from merginguriel.study.results import comparison_dict
from merginguriel.study.study import Study
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


def baseline_dict(found: Baseline, compared: Comparison | None) -> dict[str, object]:
    """Return a baseline and its comparison with the merge as JSON data."""
    return {
        "model": found.model,
        "value": found.value,
        "n": found.n,
        "note": found.note,
        "comparison": comparison_dict(compared) if compared else None,
    }

"""What do several kinds of run do alike? Train the models that are missing; say what a result is compared with."""

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
from merginguriel.study import study as studies
from merginguriel.study.results import comparison_dict
from merginguriel.study.study import Study
from merginguriel.training.settings import dev_score

LOSS = re.compile(r"\bloss ([0-9.]+)")
POINTS = 50  # of a curve over one training


def make_models(study: Study, config: Config, locales: Iterable[str], tell: Tell) -> dict[str, Path]:
    """The base and the model of every locale, each a step of its own; those that are there are taken as they are."""
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
    """tell.progress, which also keeps the loss of the training as a metric: about POINTS times, for a curve."""
    kept = 0.0

    def progress(done: float, total: float, text: str) -> None:
        nonlocal kept
        tell.progress(done, total, text)
        found = LOSS.search(text)
        if found and total and (not kept or done - kept >= total / POINTS):
            kept = done
            tell.metric(f"loss of {locale}", float(found[1]))

    return progress


def trained_so(study: Study, locale: str, settings: dict[str, Any]) -> bool:
    """Is there a model of the locale that was trained with the settings that are given, and on the sentences given?

    A task's own data are not read for this: of fifty models that lie there, a run takes one or two seconds to see it. The
    user's data, or a task with options, may be others than last time. `study.train`, for a model that differs, says
    what differs.
    """
    if not (study.model(locale) / "training.yaml").is_file():
        return False
    made = build_record.read(study.model(locale) / "training.yaml").get("made")
    before = made.get("settings") if isinstance(made, dict) else None
    if not isinstance(before, dict) or any(before.get(name) != value for name, value in settings.items()):
        return False
    if study.folder is None and not study.options:
        return True
    return not studies.other_data(study, {locale: study.data(locale)}, [study.model(locale)])


def baseline_dict(found: Baseline, compared: Comparison | None) -> dict[str, object]:
    return {
        "model": found.model,
        "value": found.value,
        "n": found.n,
        "note": found.note,
        "comparison": comparison_dict(compared) if compared else None,
    }

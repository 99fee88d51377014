"""Runs of kind `train`: one model per locale, with its accuracy on development data."""

from __future__ import annotations

from merginguriel.errors import UsageError
from merginguriel.models import build_record
from merginguriel.runs.resolve import study_of
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome, Tell
from merginguriel.training.settings import dev_score
from merginguriel.workspace import Workspace

from .shared_steps import make_models


def run(run: Run, space: Workspace, tell: Tell) -> Outcome:
    """Carry out the run."""
    config = run.config
    if not config.locales:
        raise UsageError("no models to train.", hint="Name them as `locales: [de-DE, sv-SE]`.")
    study = study_of(config, space)
    models = make_models(study, config, config.locales, tell)
    found = {}
    for locale, path in models.items():
        if not (path / "training.yaml").is_file():
            found[locale] = {"path": str(path), "registered": True}
            continue
        made = build_record.read(path / "training.yaml")
        metric, value = dev_score(made)
        keys = ("dev_items", "train_items", "seconds")
        found[locale] = {
            "path": space.display(path),
            f"dev_{metric}": value,
            **{name: made.get(name) for name in keys},
        }
    return Outcome({"kind": "train", "context": study.context, "seed": study.seed, "models": found})

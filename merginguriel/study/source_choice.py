"""What similarities of a study are computed from: its matrix on development data, and its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from merginguriel.errors import UnavailableError
from merginguriel.files import Progress
from merginguriel.metrics.registry import find
from merginguriel.similarity.choice import AS_IT_IS, Options
from merginguriel.similarity.registry import Inputs

from .study import Study, need_trained

if TYPE_CHECKING:
    import numpy as np

    from merginguriel.evaluation.nxn import Matrix

SENTENCES = 256  # that CKA is measured on


def inputs_of(
    study: Study,
    options: Options = AS_IT_IS,
    *,
    models: Mapping[str, Path] | None = None,
    dev: Matrix | None = None,
    base: Path | None = None,
    progress: Progress | None = None,
) -> Inputs:
    """Return what similarities between the models of a study are computed from.

    Args:
        study: the study, whose N×N matrix on development data has the accuracies.
        options: how sources are chosen; its sets of features are taken.
        models: name → folder, where these are not the study's own. With `dev`, each is scored on what is missing there.
        dev: accuracies that were measured already, in place of the study's matrix.
        base: what task vectors are taken against; None for the study's base.
    """

    def accuracy(targets: Sequence[str]) -> dict[str, dict[str, float]]:
        found = stored_matrix(study, targets[0]) if dev is None else dev
        if dev is not None and models and len(targets) > 1:
            from merginguriel.evaluation.nxn import nxn

            data = {target: study.data(target) for target in targets}
            found = nxn(models, data, split="dev", cache=study.cache, on_progress=progress)
        benefit = find(found.metric).benefit
        return {
            s: {t: benefit(found.value(s, t)) for t in targets if t in found.targets} for s in found.sources
        }

    def fit(measure: str, names: Sequence[str]) -> np.ndarray:
        known = models or {}
        every = {**known, **need_trained(study, [name for name in names if name not in known])}
        return measured_fit(study, measure, {name: every[name] for name in names}, base, progress)

    return Inputs(options.features, accuracy, fit, study.flags())


def stored_matrix(study: Study, target: str) -> Matrix:
    """Return the study's N×N matrix on development data. Raises UnavailableError without a column of the target."""
    from merginguriel.evaluation.nxn import load

    path = study.table("dev")
    if not path.is_file():
        raise UnavailableError(
            "REAL similarity needs an N×N matrix on development data.",
            where=str(path),
            hint=f"Run: mu nxn --split dev --locale {target}{study.flags()}",
        )
    matrix = load(path)
    if target not in matrix.targets:
        locales = " ".join(f"--locale {one}" for one in (*matrix.targets, target))
        raise UnavailableError(
            f"the N×N matrix has no column {target}.",
            where=str(path),
            hint=f"Run: mu nxn --split dev {locales}{study.flags()}",
        )
    return matrix


def measured_fit(
    study: Study,
    measure: str,
    models: Mapping[str, Path],
    base: Path | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return [N, N] how alike the models are by `cosine` or `CKA`, in their order.

    Cosine reads every model once; CKA also runs each on development sentences.
    """
    from merginguriel.merging import task_vector_measures

    if measure == "cosine":
        return task_vector_measures.task_vectors(
            models, base or study.root / "base", on_progress=progress
        ).matrix("cosine")
    text = shared_text(study, list(models))
    return task_vector_measures.representations(models, text, on_progress=progress).matrix("cka")


def shared_text(study: Study, names: Sequence[str], limit: int = SENTENCES) -> list[str]:
    """Return sentences that every model reads: evenly from the development data of the locales of these names."""
    splits = [[item.text for item in study.data(name).split("dev")] for name in names]
    return [line for row in zip(*splits, strict=False) for line in row][:limit]

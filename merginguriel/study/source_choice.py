"""Which sources does a similarity choose for a target, and with what weights?

A similarity is `URIEL` (typology) or `REAL` (accuracy on the target's development data), alone or multiplied by how well a
source fits the other ones: `REAL×cosine` (of task vectors), `REAL×CKA` (of hidden states).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from merginguriel.errors import UnavailableError, UsageError
from merginguriel.similarity import compat, real

from .study import Study

Progress = Callable[[float, float, str], None]
SENTENCES = 256  # that CKA is measured on


def column(study: Study, target: str, similarity: str, named: Sequence[str] = ()) -> dict[str, float]:
    """Similarity to the target of the sources that are named or could be chosen.

    REAL: those that were measured; URIEL: those that are named, or trained in the study. Raises UnavailableError where
    REAL was not measured for this target.
    """
    if similarity == "REAL":
        return _measured(study, target)
    from merginguriel.locales import table
    from merginguriel.similarity import uriel

    return uriel.column(
        target, [name for name in dict.fromkeys([*named, *study.trained()]) if name in table()]
    )


def _measured(study: Study, target: str) -> dict[str, float]:
    """REAL similarity: accuracy of every measured model on the target's development data."""
    from merginguriel.evaluation.nxn import load

    path = study.table("dev")
    if not path.is_file():
        raise UnavailableError(
            "REAL similarity needs an N×N matrix on development data.",
            where=str(path),
            mend=f"Run: mu nxn --split dev --locale {target}{study.flags()}",
        )
    matrix = load(path)
    if target not in matrix.targets:
        raise UnavailableError(
            f"the N×N matrix has no column {target}.",
            where=str(path),
            mend="Run: mu nxn --split dev "
            + " ".join(f"--locale {t}" for t in (*matrix.targets, target))
            + study.flags(),
        )
    return {source: matrix.value(source, target) for source in matrix.sources}


def choose(values: Mapping[str, float], target: str, k: int | None, *, exclude: Sequence[str]) -> list[str]:
    """The `k` sources with the highest value (5 if None).

    Raises UnavailableError if a given `k` finds none at all, UsageError if it finds fewer.
    """
    chosen = real.top_k(values, k or 5, exclude=exclude)
    if k and not chosen:
        raise no_source(target)
    if k and len(chosen) < k:
        raise UsageError(
            f"--k is {k}, but there are {len(chosen)} sources to choose from for {target}: {', '.join(chosen)}.",
            mend=f"Train more models, or take --k {len(chosen)}.",
        )
    return chosen


def no_source(target: str) -> UnavailableError:
    return UnavailableError(
        f"there is no trained model to choose sources for {target} from.",
        mend="Train some, of other locales: mu train --locale … --locale …\n"
        "or name the sources, models that you have: --source LOCALE=FOLDER",
    )


def need_values(
    study: Study, values: Mapping[str, float], names: Sequence[str], target: str, similarity: str
) -> None:
    """Raises UsageError or UnavailableError for a source that the similarity does not know."""
    unknown = [name for name in names if name not in values]
    if unknown and similarity == "URIEL":
        raise UsageError(
            f"{unknown[0]} is not the name of a locale, so that URIEL cannot place it.",
            mend="Name a source by its locale: sv-SE=FOLDER.",
        )
    if unknown:
        raise UnavailableError(
            f"the N×N matrix has no accuracy of {', '.join(unknown)} on {target}.",
            mend=f"Run: mu nxn --split dev{study.flags()}",
        )


def weights(
    study: Study,
    values: Mapping[str, float],
    models: Mapping[str, Path],
    times: str | None = None,
    *,
    base: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Weight of each source, with the sum 1: its value, multiplied by its mean fit with the others.

    models  source → folder
    times   None, `cosine` or `CKA`. Cosine reads every model once; CKA also runs each on development sentences
    base    what task vectors are taken against; None for the study's
    """
    names = list(models)
    if times is None or len(names) < 2:
        return real.weights(values, names)
    from merginguriel.merging import task_vector_measures

    if times == "cosine":
        found = task_vector_measures.task_vectors(models, base or study.root / "base", on_progress=progress)
        matrix = found.matrix("cosine")
    else:
        found = task_vector_measures.representations(models, shared_text(study, names), on_progress=progress)
        matrix = found.matrix("cka")
    return compat.weights(values, matrix, names)


def shared_text(study: Study, names: Sequence[str], limit: int = SENTENCES) -> list[str]:
    """Sentences that every model reads: evenly from the development data of the locales of these names."""
    splits = [[item.text for item in study.data(name).split("dev")] for name in names]
    return [line for row in zip(*splits, strict=False) for line in row][:limit]

"""URIEL similarity: cosine of typological features, without any measurement.

The features are those of URIEL as packaged by lang2vec 1.1.2 (Littell et al. 2017, EACL), in uriel.npz, made by
scripts/make_uriel.py; that file is under CC BY-SA 4.0. Gaps in syntax, phonology and inventory are filled by
URIEL's own nearest-neighbour predictions. Similarity in a set of features is the cosine of the two vectors, and
over several sets the mean of their cosines, so that a set with many features does not drown the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from merginguriel import locales
from merginguriel.errors import UnavailableError, UsageError

from .registry import Inputs, similarity

if TYPE_CHECKING:
    import numpy as np

SETS = ("syntax", "phonology", "inventory", "family", "geography")


@cache
def features(kind: str) -> tuple[dict[str, int], np.ndarray]:
    """Return the row of each ISO 639-3 code, and unit vectors float64 [languages, features] of one set."""
    import numpy as np

    with np.load(Path(__file__).with_name("uriel.npz")) as table:
        rows = {str(language): row for row, language in enumerate(table["languages"])}
        values = table[kind].astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return rows, values / np.where(length > 0, length, 1)


@similarity("URIEL", doc="cosine of typological features: syntax, phonology, inventory, family, geography")
def of_locales(sources: Sequence[str], targets: Sequence[str], inputs: Inputs) -> np.ndarray:
    """Return URIEL similarities [sources, targets]; NaN for locales that URIEL lacks.

    Raises:
        UsageError: an unknown set of features.
        UnavailableError: URIEL has no features of the first target.
    """
    import numpy as np

    row(features(SETS[0])[0], targets[0])
    values = np.full((len(sources), len(targets)), np.nan)
    rows, columns = (
        [i for i, name in enumerate(names) if name in locales.table() and not lacking([name])]
        for names in (sources, targets)
    )
    values[np.ix_(rows, columns)] = matrix(
        [sources[i] for i in rows], [targets[j] for j in columns], inputs.features or SETS
    )
    return values


def matrix(sources: Sequence[str], targets: Sequence[str], sets: Sequence[str] = SETS) -> np.ndarray:
    """Return similarities [sources, targets] between 0 and 1. Two locales of one language have 1.

    Raises:
        UsageError: an unknown locale or set.
        UnavailableError: URIEL lacks a language.
    """
    import numpy as np

    unknown = [kind for kind in sets if kind not in SETS]
    if unknown or not sets:
        raise UsageError(
            f"unknown set of features {unknown[0]!r}." if unknown else "no set of features is named.",
            hint=f"Known: {', '.join(SETS)}.",
        )
    total = np.zeros((len(sources), len(targets)))
    for kind in sets:
        rows, values = features(kind)
        ours, theirs = ([row(rows, locale) for locale in group] for group in (sources, targets))
        # The vector of an isolate's family is zero, and it is like itself all the same.
        alike = values[ours] @ values[theirs].T
        total += np.where(np.equal.outer(ours, theirs), 1.0, alike)
    return np.clip(total / len(sets), 0, 1)


def row(rows: dict[str, int], locale: str) -> int:
    """Return the row of the locale's language. Raises UnavailableError for one that URIEL lacks."""
    language = locales.get(locale).language
    if language not in rows:
        raise UnavailableError(
            f"URIEL has no features of {locale} ({language}).",
            hint="Use REAL similarity, or name the sources.",
        )
    return rows[language]


def lacking(names: Sequence[str]) -> list[str]:
    """Return those of these locales whose language has no features."""
    known, _ = features(SETS[0])
    return [name for name in names if locales.get(name).language not in known]


def column(target: str, sources: Sequence[str], sets: Sequence[str] = SETS) -> dict[str, float]:
    """Return the similarity of each source to the target, the target itself included if it is named."""
    values = matrix(sources, [target], sets)[:, 0]
    return dict(zip(sources, map(float, values), strict=True))

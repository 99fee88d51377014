"""How alike are two languages by typology, without any measurement? URIEL similarity.

The features are those of URIEL as packaged by lang2vec 1.1.2 (Littell et al. 2017, EACL), in uriel.npz, made by
scripts/make_uriel.py; that file is under CC BY-SA 4.0. Gaps in syntax, phonology and inventory are filled by
URIEL's own nearest-neighbour predictions. Similarity in a set of features is the cosine of the two vectors, and
over several sets the mean of their cosines, so that a set with many features does not drown the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from merginguriel import locales
from merginguriel.errors import UnavailableError, UsageError

SETS = ("syntax", "phonology", "inventory", "family", "geography")


@cache
def features(kind: str) -> tuple[dict[str, int], np.ndarray]:
    """Row by ISO 639-3 code, and unit vectors float64 [languages, features] of one set."""
    with np.load(Path(__file__).with_name("uriel.npz")) as table:
        rows = {str(language): row for row, language in enumerate(table["languages"])}
        values = table[kind].astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return rows, values / np.where(length > 0, length, 1)


def matrix(sources: Sequence[str], targets: Sequence[str], sets: Sequence[str] = SETS) -> np.ndarray:
    """Similarity [sources, targets] between 0 and 1. Two locales of one language have 1.

    Raises UsageError for an unknown locale or set, UnavailableError for a language that URIEL lacks.
    """
    unknown = [kind for kind in sets if kind not in SETS]
    if unknown or not sets:
        raise UsageError(
            f"{unknown[0]!r} is not a set of features." if unknown else "no set of features is named.",
            mend=f"Sets are: {', '.join(SETS)}.",
        )
    total = np.zeros((len(sources), len(targets)))
    for kind in sets:
        rows, values = features(kind)
        ours, theirs = ([row(rows, locale) for locale in group] for group in (sources, targets))
        # An isolate belongs to no family, and is like itself all the same.
        alike = values[ours] @ values[theirs].T
        total += np.where(np.equal.outer(ours, theirs), 1.0, alike)
    return np.clip(total / len(sets), 0, 1)


def row(rows: dict[str, int], locale: str) -> int:
    language = locales.get(locale).language
    if language not in rows:
        raise UnavailableError(
            f"URIEL has no features of {locale} ({language}).",
            mend="Use REAL similarity, or name the sources.",
        )
    return rows[language]


def lacking(names: Sequence[str]) -> list[str]:
    """Those of these locales whose language has no features."""
    known, _ = features(SETS[0])
    return [name for name in names if locales.get(name).language not in known]


def column(target: str, sources: Sequence[str], sets: Sequence[str] = SETS) -> dict[str, float]:
    """Similarity of each source to the target; the target itself is left in if it is among them."""
    values = matrix(sources, [target], sets)[:, 0]
    return dict(zip(sources, map(float, values), strict=True))

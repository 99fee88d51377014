"""Reader and writer of `items.npz`: the metric's per-item statistics of every arm of a run."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from merginguriel import files
from merginguriel.errors import MuError

OWN = ("ids", "groups")
RECIPROCAL = (
    "rr:"  # before the name of a model of a study of compositions: reciprocal ranks instead of NDCG@10
)


class StoredItems(NamedTuple):
    """Stored results per test item.

    ids, groups  [n] of the test items
    arms         arm → bool [n], or float [n, S] of a metric such as F1: `merge`, kinds of baselines, `ensemble_soft`,
                 `single:de-DE`; of a study of compositions, the names of its models
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    arms: Mapping[str, np.ndarray]


def write(path: Path, ids: Sequence[str], groups: Sequence[str], arms: Mapping[str, np.ndarray]) -> None:
    """Write which items each arm answers correctly."""
    buffer = io.BytesIO()
    named = {name: np.asarray(one) for name, one in arms.items()}
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        ids=np.array(ids, dtype=np.str_),
        groups=np.array(groups, dtype=np.str_),
        **named,
    )
    files.write_bytes(path, buffer.getvalue())


def read(path: Path) -> StoredItems:
    """Return the content of a file. Raises MuError for one that is damaged, or of another form."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            ids, groups = stored["ids"], stored["groups"]
            arms = {name: stored[name] for name in stored.files if name not in OWN}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise MuError(
            f"the run's items cannot be read: {error}.",
            where=str(path),
            hint="Remove the run's folder and run it again.",
        ) from error
    if not ids.size or any(len(one) != len(ids) for one in (groups, *arms.values())):
        raise MuError("the run's items do not fit together.", where=str(path))
    return StoredItems(
        tuple(map(str, ids)),
        tuple(map(str, groups)),
        arms,
    )

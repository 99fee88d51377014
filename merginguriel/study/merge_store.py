"""Merges of a study on disk: made once, and anew after a source or the base has changed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from merginguriel.errors import MuError
from merginguriel.files import beside, locked

from .study import patient, wait_for_writer

if TYPE_CHECKING:
    from merginguriel.merging.recipe import Recipe


@patient
def merge_once(recipe: Recipe, out: Path) -> Path:
    """Return the folder of the merge, made anew if a source or the base has changed since.

    Of several processes that ask for it at once, one makes it.
    """
    from merginguriel.merging.engine import merge

    wait_for_writer(out, lambda: None)
    with contextlib.suppress(FileNotFoundError), locked(out, wait=True):
        # Of several that find it outdated, one removes it; the others then find what that one made, or nothing.
        if is_current(out):
            return out
        if (out / "recipe.yaml").is_file():
            gone = beside(out, "removed")
            out.rename(gone)
            shutil.rmtree(gone)
    try:
        return merge(recipe, out)
    except MuError:
        if is_current(out):  # another process has made it since
            return out
        raise


def is_current(out: Path) -> bool:
    """Return whether the folder has a merge of the weights that its sources and base have now."""
    from merginguriel.merging.recipe import load_recipe

    if not (out / "recipe.yaml").is_file():
        return False
    made = load_recipe(out / "recipe.yaml")
    # A method that does not read the base notes no digest of it.
    inputs = [(made.base, made.base_sha256)] if made.base and made.base_sha256 else []
    for source in made.sources:
        inputs.append((source.path, {k: v for k, v in source.sha256.items() if k != "statistics"}))
        if source.statistics:
            file = source.statistics
            inputs.append((file.parent, {file.name: source.sha256.get("statistics", "")}))
    return all(hashes and same_files(path, hashes) for path, hashes in inputs)


def same_files(folder: Path, hashes: Mapping[str, str]) -> bool:
    """Return whether the files of a folder have these digests."""
    from merginguriel.models.digest_cache import digest

    return all(
        (folder / name).is_file() and digest(folder / name) == before for name, before in hashes.items()
    )

"""Matrices of retrieval in results/: models by pairs of languages, and query by document language of each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from merginguriel.embedding import nxn
from merginguriel.errors import MuError
from merginguriel.evaluation import nxn as table
from merginguriel.evaluation.nxn import Matrix
from merginguriel.files import Progress, locked
from merginguriel.tasks.parallel import Parallel, languages
from merginguriel.version import measured_by
from merginguriel.workspace import Workspace

from .matrix_store import RETRIEVAL
from .matrix_writer import cached_code, write_files


def measure(
    space: Workspace,
    models: Mapping[str, Path],
    text: Parallel,
    name: str,
    *,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> tuple[Matrix, list[str]]:
    """Score models into the matrix of the context `retrieval/NAME`, and write one of each model, `retrieval/NAME-MODEL`.

    Args:
        seed: Of the split of the text; another has a matrix of its own.

    Returns:
        The matrix, with the earlier models of the same text, and the contexts that were written.
    """
    path = file_of(space, name, seed)
    space.results.mkdir(parents=True, exist_ok=True)
    with locked(space.results, wait=True):
        try:
            known = table.load(path) if path.is_file() else None
        except MuError:
            known = None  # damaged: its cells can be measured again
        found = nxn.nxn(models, text, known=known, on_progress=on_progress)
        code = {**dict.fromkeys(found.origin, measured_by()), **cached_code(path, found)}
        write_files(path, replace(found, code=code))
        contexts = [f"{RETRIEVAL}/{name}"]
        for model in models:
            contexts.append(f"{RETRIEVAL}/{name}-{model}")
            one = nxn.by_language(found, model, languages(*text.locales))
            table.save(file_of(space, f"{name}-{model}", seed), one)
    return found, contexts


def write(space: Workspace, name: str, seed: int, matrix: Matrix) -> str:
    """Write the matrix of a study of compositions; return its context, `retrieval/NAME`."""
    space.results.mkdir(parents=True, exist_ok=True)
    with locked(space.results, wait=True):
        write_files(file_of(space, name, seed), matrix)
    return f"{RETRIEVAL}/{name}"


def file_of(space: Workspace, name: str, seed: int) -> Path:
    """Return the file of the matrix of the context `retrieval/NAME`."""
    return space.matrix(f"{RETRIEVAL}/{name}", f"-s{seed}-test" if seed else "-test")

"""Log entry of what `mu compat` measures: rows of pairs, and a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from merginguriel import locales
from merginguriel.errors import UsageError
from merginguriel.knowledge.log.append import add
from merginguriel.knowledge.log.draft_text import Draft
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.rows import PAIRWISE, ResultRow
from merginguriel.version import measured_by

from .study import Study


def need_locales(names: Sequence[str]) -> None:
    """Raise UsageError for a name that is no locale: the target of a row must be one."""
    if strange := [name for name in names if name not in locales.table()]:
        raise UsageError(
            f"unknown locale {', '.join(strange)}: a result row names models by locales.",
            hint="Name a model by its locale: --source sw-KE=FOLDER.",
        )


def pair_rows(context: str, names: Sequence[str], matrices: Mapping[str, np.ndarray]) -> list[ResultRow]:
    """Return a row for each pair and measure of PAIRWISE that has a value.

    names     locales, N of them
    matrices  measure → [N, N], symmetric
    """
    need_locales(names)
    return [
        ResultRow(
            context,
            names[j],
            "-",
            "compat",
            measure,
            float(matrices[measure][i, j]),
            sources=(names[i],),
            code=measured_by(),
        )
        for measure in PAIRWISE
        if measure in matrices
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if np.isfinite(matrices[measure][i, j])
    ]


def record(
    study: Study, names: Sequence[str], matrices: Mapping[str, np.ndarray], figure: tuple[str, Path]
) -> Entry:
    """Add an Observation with these measures to the log; `figure` is a caption and a PNG."""
    measured = [measure for measure in PAIRWISE if measure in matrices]
    draft = Draft(
        title=f"How well {len(names)} models of {study.context} fit each other",
        type="Observation",
        date=date.today().isoformat(),
        summary=f"Measured between every two of {len(names)} models: {', '.join(measured)}.",
        context=study.context,
        tags="compatibility",
        origin="mu compat",
        sections=(("What was tried", f"The models of {' '.join(names)} were compared two by two."),),
    )
    return add(study.space.log, draft, more_rows=pair_rows(study.context, names, matrices), figure=figure)

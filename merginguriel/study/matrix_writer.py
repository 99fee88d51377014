"""Write a measured N×N matrix into the study's CSV and picture, beside the pairs of the last that are still valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.evaluation import heatmap, nxn, predictions, wide_matrix
from merginguriel.evaluation.nxn import Matrix
from merginguriel.version import measured_by

from .study import Study


def write(
    study: Study,
    split: str,
    new: Matrix,
    path: Path | None = None,
    *,
    bf16: bool = False,
    apart: bool = False,
) -> Path:
    """Save `new` as CSV, wide CSV and PNG. Pairs of an earlier matrix in that file stay if model and data are as they were.

    path  a file other than the study's own; it holds `new` alone
    bf16  the answers are in bfloat16: they go into a table of their own, for they may differ from those in float32
    apart  the metric is not the task's own: it has a table of its own, named by it
    """
    measured = [pair for pair, made in new.origin.items() if made[0] != wide_matrix.IMPORTED]
    new = replace(new, code={**dict.fromkeys(measured, measured_by()), **new.code})
    if path is None:
        path = study.table(split, bf16=bf16)
        if apart:
            path = path.with_stem(f"{path.stem}-{new.metric}")
        new = replace(new, code={**new.code, **cached_code(path, new)})
        whole = joined(new, still_valid(study, split, path, new, bf16))
    else:
        whole = new
    write_files(path, whole)
    return path


def write_files(path: Path, whole: Matrix) -> None:
    """Write a matrix as CSV, wide CSV and PNG."""
    nxn.save(path, whole)
    wide_matrix.save(wide_path(path), whole)
    heatmap.save_png(whole, path.with_suffix(".png"))


def wide_path(path: Path) -> Path:
    """Return the file of the wide table beside a matrix: `evaluation_matrix-home-e5-small-test.csv`."""
    return path.with_name(f"evaluation_matrix-{path.stem.removeprefix('nxn-')}.csv")


def still_valid(study: Study, split: str, path: Path, new: Matrix, bf16: bool = False) -> Matrix | None:
    """Return the pairs of the file that `new` lacks and whose model and data are unchanged."""
    if not path.is_file():
        return None
    try:
        old = nxn.load(path)
    except MuError:
        return None  # damaged: its pairs can be measured again
    missing = [pair for pair in old.origin if pair not in new.origin]
    if not missing:
        return None
    trained = study.trained()
    models = {s: predictions.fingerprint(trained[s]) for s in {s for s, _ in missing} if s in trained}
    if bf16:
        models = {source: predictions.in_bf16(model) for source, model in models.items()}
    items = {}
    for target in {t for _, t in missing}:
        try:
            items[target] = study.data(target).split(split)
        except (UsageError, UnavailableError):
            continue  # the data have this locale no more, or are not here
    kept = {
        (s, t): old.origin[s, t]
        for s, t in missing
        if old.origin[s, t][0] == wide_matrix.IMPORTED
        or (s in models and t in items and nxn.origin(models[s], items[t]) == old.origin[s, t])
    }
    return nxn.of_cells(
        {pair: old.value(*pair) for pair in kept},
        dict(zip(old.targets, map(int, old.n), strict=True)),
        kept,
        old.sources,
        old.targets,
        {pair: one for pair, one in old.code.items() if pair in kept},
        old.metric,
    )


def cached_code(path: Path, new: Matrix) -> dict[tuple[str, str], str]:
    """Return the code version of pairs whose model, data and value are as in the file: their answers came from the cache."""
    try:
        old = nxn.load(path)
    except MuError:
        return {}
    same = {pair for pair, made in new.origin.items() if old.origin.get(pair) == made}
    return {
        pair: old.code[pair] for pair in same if pair in old.code and old.value(*pair) == new.value(*pair)
    }


def joined(new: Matrix, old: Matrix | None) -> Matrix:
    """Return both, sorted by locale; where both have a pair, `new` counts."""
    if old is None or not old.origin:
        return new
    values = {pair: old.value(*pair) for pair in old.origin}
    values |= {(s, t): new.value(s, t) for s in new.sources for t in new.targets}
    origin: Mapping[tuple[str, str], tuple[str, str]] = {**old.origin, **new.origin}
    n = dict(zip(old.targets, old.n, strict=True)) | dict(zip(new.targets, new.n, strict=True))
    sources, targets = sorted({s for s, _ in values}), sorted({t for _, t in values})
    by = {**old.code, **new.code}
    counts = {t: int(n[t]) for t in targets}
    return nxn.of_cells(values, counts, origin, sources, targets, by, new.metric)

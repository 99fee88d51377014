"""Iterative training in a study: its sources and weights, its folder, and its row."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.files import Progress
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.merging import registry as methods
from merginguriel.merging.registry import SAW
from merginguriel.metrics.registry import find
from merginguriel.models import build_record
from merginguriel.similarity import choice, registry
from merginguriel.similarity.choice import AS_IT_IS, Choice, Options
from merginguriel.tasks.registry import TaskData, digest
from merginguriel.training.settings import IterateSettings, as_table, check_iterate, preset
from merginguriel.version import measured_by

from . import source_choice
from . import study as studies
from .study import Study

RECORD = "iterate.yaml"


def iterate(study: Study, settings: IterateSettings, progress: Progress | None = None) -> Path:
    """Train the sources in turn and merge them every few epochs; return the folder of the last merge.

    Returns at once if it is there. Sources whose data cannot be read, or whose training fails, are left out and named
    in the folder's iterate.yaml. Raises as training.iterate.train_and_merge, and UnavailableError where sources are to
    be chosen and too few have text.
    """
    from merginguriel.training.iterate import train_and_merge  # torch

    settings, data, failed = settled(study, settings)
    base = studies.make_base(study, progress)
    target = target_data(study, settings)
    out = folder_of(study, settings)
    studies.wait_for_writer(out, lambda: studies.waiting(f"the iterative merge {out.name}", progress))
    return train_and_merge(
        base, data, out, settings, preset(study.base), target=target, shares=shares(study, settings),
        failed=failed, on_progress=progress,
    )  # fmt: skip


def settled(
    study: Study, settings: IterateSettings, options: Options = AS_IT_IS
) -> tuple[IterateSettings, dict[str, TaskData], dict[str, str]]:
    """Return the settings with their sources, the data of those that have any, and why the others have none.

    Where `options` prepare a similarity that weighs, the weights are settled too: they do not change at each merge.

    Raises:
        UsageError: settings that make no sense, or nothing to choose by.
        UnavailableError: too few sources have text.
    """
    if settings.method == "similarity":
        settings = replace(settings, method="linear", similarity=settings.similarity or "REAL")
    if settings.sources and settings.mode and settings.target:
        by_mode = choice.choose(
            settings.target, settings.mode, None, None, candidates=settings.sources, named=True
        )
        settings = replace(settings, sources=tuple(by_mode.names))
    check_iterate(settings)
    data: dict[str, TaskData] = {}
    failed: dict[str, str] = {}
    weights = settings.weights
    weighs = (
        options != AS_IT_IS and not weights and choice.weighing(settings.similarity, settings.method, None)
    )
    if settings.sources:
        for locale in sorted(set(settings.sources)):
            try:
                data[locale] = study.data(locale)
            except UsageError:
                raise
            except MuError as error:
                failed[locale] = error.what
        if len(data) < min(2, len(settings.sources)):
            raise UnavailableError(
                f"of {len(settings.sources)} sources, {len(data)} can be read. {'; '.join(failed.values())}",
                hint="Name other sources: mu tasks NAME lists a task's locales.",
            )
        sources = tuple(sorted(settings.sources))
        if weighs:
            weights = shares(study, settings, options) or {}
    else:
        found, data = chosen(study, settings, options)
        sources = tuple(sorted(data))
        if weighs:
            weights = found.weights
    label, seed = choice.label(settings.similarity, options), settings.seed or study.seed
    settled = replace(settings, sources=sources, weights=weights, similarity=label, seed=seed)
    return replace(settled, candidates=(), k=None, mode=None), data, failed


def chosen(
    study: Study, settings: IterateSettings, options: Options = AS_IT_IS
) -> tuple[Choice, dict[str, TaskData]]:
    """Return the k locales nearest to the target that have text, and their data; in IncTar the target is one of them."""
    target, similarity = settings.target, settings.similarity or "URIEL"
    if target is None:
        raise UsageError(
            "neither sources nor a target are named.", hint="Name --source LOCALE, repeatedly, or --target."
        )
    data: dict[str, TaskData] = {}

    def usable(locale: str) -> bool:
        with contextlib.suppress(UnavailableError):  # too little text: the next one
            data[locale] = study.data(locale)
        return locale in data

    k = settings.k or choice.USUAL_K
    candidates = settings.candidates or candidates_of(study, similarity, target)
    others = {name for name in candidates if name != target}
    weigh = None if options == AS_IT_IS else choice.weighing(settings.similarity, settings.method, None)
    found = choice.choose(
        target,
        settings.mode,
        k,
        None if len(others) == k - (settings.mode == "IncTar") else similarity,
        candidates=candidates,
        inputs=source_choice.inputs_of(study, options),
        weigh=weigh,
        options=options,
        usable=usable,
    )
    return found, {name: data.get(name) or study.data(name) for name in found.names}


def candidates_of(study: Study, similarity: str, target: str) -> Sequence[str]:
    """Return the locales to choose from: all of the task, or those whose models the similarity compares."""
    needs = registry.get(similarity).needs
    if needs == "accuracy":
        return source_choice.stored_matrix(study, target).sources
    return list(study.trained()) if needs == "models" else study.offered()


def chosen_now(
    study: Study,
    target: str | None,
    mode: str | None,
    candidates: Sequence[str],
    k: int | None,
    similarity: str = "REAL",
    options: Options = AS_IT_IS,
) -> tuple[str, ...]:
    """Return the locales that a measured similarity chooses now, the target aside.

    They become the candidates of the run that is made now, so that a later matrix makes another run and does not
    change what this one resumes with. Raises as `chosen`.
    """
    wanted = IterateSettings((), target, mode, similarity, tuple(candidates), k)
    return tuple(sorted(name for name in chosen(study, wanted, options)[0].names if name != target))


def shares(study: Study, settings: IterateSettings, options: Options = AS_IT_IS) -> dict[str, float] | None:
    """Return source → weight by the similarity, for a weighted mean; None for equal or given weights.

    Weights by REAL are measured at each merge, unless `options` prepare it.
    """
    weigh = choice.weighing(settings.similarity, settings.method, None)
    if not weigh or settings.weights or settings.target is None:
        return None
    if registry.get(weigh).needs == "accuracy" and options == AS_IT_IS:
        return None
    found = choice.choose(
        settings.target, None, None, None, candidates=settings.sources, named=True, weigh=weigh,
        inputs=source_choice.inputs_of(study, options), options=options,
    )  # fmt: skip
    return found.weights


def target_data(study: Study, settings: IterateSettings) -> TaskData | None:
    """Return the target's data where they are used: to judge, to weigh, or for a method that reads text."""
    reads = methods.get(settings.method).needs is not None
    weighs = settings.method == "linear" and registry.sees_labels(settings.similarity)
    if settings.target and (settings.judge == "target" or reads or weighs):
        return study.data(settings.target)
    return None


def folder_of(study: Study, settings: IterateSettings) -> Path:
    """Return the folder of the merge, `merged/sv-SE-iterate-ties-4-1f2e3d`: readable, and different for different settings."""
    own = digest(json.dumps(as_table(settings), sort_keys=True), length=6)
    parts = [settings.target, "iterate", settings.method, str(len(settings.sources)), own]
    return study.root / "merged" / "-".join(part for part in parts if part)


def left(settings: IterateSettings, path: Path) -> list[str]:
    """Return the sources that did not fail."""
    failed = build_record.read(path / RECORD).get("failed") or {}
    return [name for name in settings.sources if name not in failed]


def row_of(
    study: Study,
    settings: IterateSettings,
    path: Path,
    right: np.ndarray,
    run: str = "",
    metric: str = "accuracy",
) -> ResultRow:
    """Return the row of the merge in `path`, without a baseline. right: statistics of the metric; settings: settled."""
    sources = left(settings, path)
    rounds = build_record.read(path / RECORD)["rounds"]
    shares = next(o["merge"]["weights"] for o in reversed(rounds) if o["merge"]["taken"])
    return ResultRow(
        context=study.context,
        target=settings.target or "-",
        mode="IncTar" if settings.target in sources else "ExcTar",
        method="iterate_similarity"
        if settings.method == "linear" and settings.similarity
        else f"iterate_{settings.method}",
        metric=metric,
        value=find(metric).value(right),
        n=len(right),
        params=params_of(settings),
        similarity=settings.similarity,
        k=len(sources),
        sources=tuple(sources),
        weights=tuple(shares[name] for name in sources),
        seed=settings.seed,
        saw=saw(settings),
        run=run or path.name,
        code=measured_by(),
    )


def params_of(settings: IterateSettings) -> tuple[tuple[str, str], ...]:
    """Return the parameters of the method, the epochs, and those of the rounds that differ from the defaults."""
    usual = asdict(IterateSettings())
    keys = ("merge_every", "schedule", "tolerance", "min_gain_pp", "judge", "patience", "anchor")
    found: dict[str, Any] = {"epochs": settings.epochs, **settings.params}
    found |= {key: getattr(settings, key) for key in keys if getattr(settings, key) != usual[key]}
    return tuple(
        sorted(
            (key, f"{value:g}" if isinstance(value, float) else str(value)) for key, value in found.items()
        )
    )


def saw(settings: IterateSettings) -> str:
    """Return the most that the training used of its target, one of registry.SAW."""
    found = ["nothing"]
    if settings.target in settings.sources or registry.sees_labels(settings.similarity):
        found.append("labels")
    if settings.judge == "target" and (settings.schedule == "gain" or settings.patience):
        found.append("labels")
    found.append(methods.get(settings.method).saw)
    return max(found, key=SAW.index)

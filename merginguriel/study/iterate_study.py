"""Iterative training in a study: its sources, its folder, its score and its log entry."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.evaluation.baselines import Baseline, baselines
from merginguriel.evaluation.nxn import nxn
from merginguriel.evaluation.significance import Comparison
from merginguriel.files import Progress
from merginguriel.knowledge.log.append import Draft, add
from merginguriel.knowledge.parse.entries import Entry, entry_paths, parse_entry
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.merging import registry as methods
from merginguriel.merging.registry import SAW
from merginguriel.metrics.base import find
from merginguriel.models import build_record
from merginguriel.similarity import choice, registry
from merginguriel.similarity.choice import AS_IT_IS, Choice, Options
from merginguriel.tasks.base import TaskData, digest
from merginguriel.training.settings import IterateSettings, as_table, check_iterate, preset
from merginguriel.version import measured_by

from . import results, source_choice
from . import study as studies
from .study import Study

RECORD = "iterate.yaml"


@dataclass(frozen=True)
class Scored:
    """An iterative merge on its target's test items, beside its baselines. rows: as for the log."""

    target: str
    path: Path
    settings: IterateSettings
    metric: str
    value: float
    n: int
    baselines: dict[str, Baseline]
    compared: dict[str, Comparison]
    failed: dict[str, str]
    rows: tuple[ResultRow, ...]


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
    if settings.sources and settings.mode and settings.target:
        by_mode = choice.choose(
            settings.target, settings.mode, None, None, candidates=settings.sources, named=True
        )
        settings = replace(settings, sources=tuple(by_mode.names))
    check_iterate(settings)
    data: dict[str, TaskData] = {}
    failed: dict[str, str] = {}
    weights = settings.weights
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
        if options != AS_IT_IS and not weights:
            weights = shares(study, settings, options) or {}
    else:
        found, data = chosen(study, settings, options)
        sources = tuple(sorted(data))
        if (
            options != AS_IT_IS
            and not weights
            and choice.weighing(settings.similarity, settings.method, None)
        ):
            weights = found.weights
    settled = replace(settings, sources=sources, weights=weights, candidates=(), k=None, mode=None)
    return replace(settled, seed=settings.seed or study.seed), data, failed


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
    judged = settings.judge == "target" and (settings.schedule == "gain" or settings.patience)
    reads = settings.method != "similarity" and methods.get(settings.method).needs is not None
    weighs = settings.method in ("linear", "similarity") and registry.sees_labels(settings.similarity)
    if settings.target and (judged or reads or weighs or settings.judge == "target"):
        return study.data(settings.target)
    return None


def folder_of(study: Study, settings: IterateSettings) -> Path:
    """Return the folder of the merge, `merged/sv-SE-iterate-ties-4-1f2e3d`: readable, and different for different settings."""
    own = digest(json.dumps(as_table(settings), sort_keys=True), length=6)
    parts = [settings.target, "iterate", settings.method, str(len(settings.sources)), own]
    return study.root / "merged" / "-".join(part for part in parts if part)


def score(study: Study, settings: IterateSettings, path: Path, progress: Progress | None = None) -> Scored:
    """Return the score of the merge in `path` on its target's test items, beside that of single models of its sources.

    Models of the sources and of the target that are not there yet are trained, with what is usual for the base.
    """
    settings = settled(study, settings)[0]
    target = settings.target
    if target is None:
        raise UsageError("an iterative merge is scored on its target, and none is named.")
    failed = build_record.read(path / RECORD).get("failed") or {}
    sources = left(settings, path)
    for locale in dict.fromkeys((*sources, target)):
        if locale not in study.trained():
            studies.train(study, locale, progress=progress)
    singles = {locale: study.model(locale) for locale in dict.fromkeys((*sources, target))}
    data = study.data(target)
    dev = nxn(singles, {target: data}, split="dev", cache=study.cache, on_progress=progress)
    test = nxn(singles, {target: data}, cache=study.cache, on_progress=progress)
    own = nxn({path.name: path}, {target: data}, cache=study.cache)
    right, groups = own.correct[path.name, target], own.groups[target]
    beat = baselines(target, dev, test, sources, data)
    compared = results.compare_all(right, groups, beat, own.metric)
    row = row_of(study, settings, path, right, metric=own.metric)
    rows = tuple(beside(row, beat[kind], compared.get(kind)) for kind in results.LOGGED if kind in beat)
    return Scored(target, path, settings, own.metric, row.value, len(right), beat, compared, failed, rows)


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
        method=method_name(settings),
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


def method_name(settings: IterateSettings) -> str:
    """Return the name in the log: `iterate_ties`."""
    return f"iterate_{settings.method}"


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
    if settings.method != "similarity":
        found.append(methods.get(settings.method).saw)
    return max(found, key=SAW.index)


def beside(row: ResultRow, baseline: Baseline, found: Comparison | None) -> ResultRow:
    """Return the row with a baseline and its comparison."""
    return replace(
        row,
        baseline_kind=baseline.kind,
        baseline=baseline.value,
        wins=found.wins if found else None,
        losses=found.losses if found else None,
        se_pp=found.se if found else None,
        note=f"{baseline.model}, {baseline.note}" if baseline.kind == "best_single_source" else "",
    )


def over_targets(
    study: Study,
    settings: IterateSettings,
    targets: Sequence[str],
    progress: Progress | None = None,
    *,
    options: Options = AS_IT_IS,
    on_scored: Callable[[Scored], None] | None = None,
) -> tuple[list[Scored], dict[str, MuError]]:
    """Train, merge and score for each target; return the results, and the errors of the targets that failed.

    What was done before is taken as it is, so that the call goes on where an earlier one stopped.
    """
    done: list[Scored] = []
    failed: dict[str, MuError] = {}
    for target in dict.fromkeys(targets):
        try:
            study.data(target)  # before the work, not after it
            # Settled once: the matrix may change meanwhile.
            mine = settled(study, replace(settings, target=target), options)[0]
            done.append(score(study, mine, iterate(study, mine, progress), progress))
        except MuError as error:
            failed[target] = error
            if progress:
                progress(0, 0, f"{target} failed: {error.what}")
            continue
        if on_scored:
            on_scored(done[-1])
    return done, failed


def entry_of(study: Study, done: Sequence[Scored]) -> Entry:
    """Return the log entry with the rows of these targets; an entry that has them already is reused."""
    runs = {row.run for one in done for row in one.rows}
    for path in entry_paths(study.space.log):
        entry = parse_entry(path.read_text(encoding="utf-8"), path)
        if runs <= {row.run for row in entry.rows}:
            return entry
    first = done[0].settings
    findings = []
    for one in done:
        show = find(one.metric).unit.show
        found = one.compared.get("best_single_source")
        said = f": {results.words(found)}" if found else ""
        source = one.baselines.get("best_single_source")
        against = f", best single source {source.model} {show(source.value, 1)}" if source else ""
        findings.append(f"- {one.target}: {show(one.value, 1)} on {one.n} test sentences{against}{said}.")
        findings += [f"- {one.target}, left out: {name}, because {why}" for name, why in one.failed.items()]
    targets = ", ".join(one.target for one in done)
    draft = Draft(
        title=f"Iterative training and merging for {targets if len(done) < 4 else f'{len(done)} targets'}",
        type="Retrospective",
        date=date.today().isoformat(),
        summary=f"Locales were trained in turn and merged every {first.merge_every} epochs by {first.method}, "
        f"for {len(done)} targets.",
        context=study.context,
        metric=done[0].metric,
        seed=str(first.seed),
        tags="iterative training",
        origin=f"mu iterate, {', '.join(sorted(str(run) for run in runs))}",
        sections=(
            (
                "What was tried",
                f"{first.epochs} epochs in each locale, a round every {first.merge_every}, schedule {first.schedule}, "
                f"method {first.method}; after a merge all locales went on from it. Single models of the same sources "
                f"are the baselines; the best of them was chosen on development data.",
            ),
            ("Findings", "\n".join(findings)),
            ("Open questions", "- [open] Does merging once, after the training, give the same?"),
        ),
        rows=tuple(row for one in done for row in one.rows),
    )
    return add(study.space.log, draft)

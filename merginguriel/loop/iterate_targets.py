"""Iterative training for several targets: a run each, and one log entry about all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from merginguriel.config.schema import Config
from merginguriel.errors import MuError
from merginguriel.files import Progress
from merginguriel.knowledge.log.append import add
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.runs import run_store, worker
from merginguriel.runs.resolve import study_of
from merginguriel.runs.run_store import Run
from merginguriel.study.results import LOGGED
from merginguriel.text.runs import metric_of
from merginguriel.version import measured_by
from merginguriel.workspace import Workspace

from . import dedupe, entry_draft


def carry_out(
    space: Workspace,
    configs: Sequence[Config],
    progress: Progress,
    on_done: Callable[[Run], None] = lambda run: None,
) -> tuple[list[Run], dict[str, MuError]]:
    """Carry out a run for each target, in this process; one that fails does not stop the others.

    Returns:
        The finished runs, and target → the error of each that failed.
    """
    done: list[Run] = []
    failed: dict[str, MuError] = {}
    for config in configs:
        try:
            if config.target:
                study_of(config, space).data(config.target)  # a wrong target leaves no run
            run = run_store.create(space, config)
            if run_store.state(run) == "finished" and (changed := run_store.outdated(run)):
                progress(0, 0, f"{changed} changed since {run.id}; its old result is shown. To repeat it, remove "
                         f"{space.display(run.folder)}")  # fmt: skip
            done.append(worker.carry_out(space, config, progress))
        except MuError as error:
            failed[config.target or ""] = error
            progress(0, 0, f"{config.target or 'the training'} failed: {error.what}")
            continue
        on_done(done[-1])
    return done, failed


def rows_of(space: Workspace, runs: Sequence[Run]) -> list[ResultRow]:
    """Return the rows of the runs against the baselines that an entry lists."""
    rows, _ = dedupe.gather(space, [run.id for run in runs], [], [])
    return [row for row in rows if row.baseline_kind in LOGGED]


def entry_of(space: Workspace, runs: Sequence[Run]) -> Entry:
    """Return the log entry with the rows of these runs: an existing one, or a new one."""
    ids = {run.id for run in runs}
    for entry in dedupe.read(space).entries:
        if ids <= {row.run for row in entry.rows}:
            return entry
    rows, results = rows_of(space, runs), [run_store.result(run) for run in runs]
    begun = entry_draft.begin(space, rows)
    remarks = [
        f"- {one['target']}: merging the single models once, after their training, scores "
        f"{show(one['merged_once'], 1)}, and the iterative merge {show(one[one['metric']], 1)}."
        for one in results
        for show in [metric_of(one).unit.show]
    ]
    remarks += [
        f"- {one['target']}, left out: {name}, because {why}"
        for one in results
        for name, why in one["failed"].items()
    ]
    targets = [str(one["target"]) for one in results]
    draft = replace(
        begun,
        title=f"Iterative training and merging for {', '.join(targets) if len(targets) < 4 else f'{len(targets)} targets'}",
        context=rows[0].context,
        metric=rows[0].metric,
        seed=str(runs[0].config.seed),
        code=measured_by(),
        tags="iterative training",
        origin=f"mu iterate, {', '.join(sorted(ids))}",
        sections=(*begun.sections, ("Beside merging once", "\n".join(remarks))),
        rows=tuple(rows),
    )
    return add(space.log, draft)

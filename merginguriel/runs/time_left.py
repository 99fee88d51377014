"""Progress and time left of a whole run, from its stages, earlier runs of its kind and its present speed."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from merginguriel import workspace
from merginguriel.config.schema import Config
from merginguriel.errors import MuError

from . import run_index, run_store
from .run_store import Run

MODEL = re.compile(r"train \S+ \((\d+) of (\d+)\)")  # the step that trains one model
BASE, TRAINING = MAKING = "make the base", "model"  # stages that a run skips once its models exist
STAGES = {
    "merge": ("score", "merge", "compare"),
    "tune": ("score", "search", "score"),
    "iterate": ("train", "score", "compare"),
    "train": (),
}
ENOUGH = 0.02  # share of a stage that must be done before its speed counts
INERTIA = 0.2  # share of the expected time that must pass before the present speed counts half
LOOK_BACK = 20  # earlier runs that are read


@dataclass(frozen=True)
class Expected:
    """What is known before a run works.

    later     stages after the training, by name
    models    models to train
    seconds   name of a stage → median seconds in earlier runs
    """

    later: tuple[str, ...] = ()
    models: int = 0
    seconds: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Whole:
    """Progress of a run.

    stage     number of the current stage, from 1, over all starts
    stages    number of all
    share     how much of the run is done, 0 … 1
    elapsed   seconds of work, over all starts
    left      seconds to its end; None if not known
    """

    stage: int
    stages: int
    share: float
    elapsed: float
    left: float | None


def name_of(step: str) -> str:
    """Return the name that equal stages of different runs share: `model` for each model that is trained."""
    if MODEL.match(step):
        return TRAINING
    return BASE if step.startswith(BASE) else step.partition(" ")[0]


def expected(run: Run) -> Expected:
    """Return what the records of the workspace say about a run; nothing if its configuration cannot be read."""
    from . import planning
    from .resolve import study_of

    try:
        config = run.config
        study = study_of(config, run.space)
        seconds = dict(_history(run.space.root, config.kind, study.context, int(time.time() // 60)))
        each = planning.training_seconds(study, config)
        plan = planning.plan(run.space, config)
    except (MuError, OSError):
        return Expected()
    return Expected(
        _later(config), len(plan.train) + plan.embedders, seconds | ({} if each is None else {TRAINING: each})
    )


def _later(config: Config) -> tuple[str, ...]:
    if config.kind == "nxn":
        return ("score",) * len(config.splits)
    if config.kind == "compose":  # the base and eight compositions; the path adds two merges
        return ("score",) * 9 + ("merge",) * (len(config.compose.methods) + 2)
    if config.kind == "pilot":  # it may end before its last round
        rounds = ("round",) * max((len(config.arms) - 1).bit_length(), 2)
        return ("score", *rounds, "compare" if config.unlabelled else "confirm")
    return STAGES.get(config.kind, ())


@lru_cache(maxsize=32)
def _history(root: Path, kind: str, context: str, minute: int) -> tuple[tuple[str, float], ...]:
    """Return (name, median seconds) of the stages of finished runs; `minute` limits the age of the cache."""
    space = workspace.find(explicit=root)
    found, _ = run_index.listed(space, LOOK_BACK, kind=kind, state="finished", context=context)
    taken: dict[str, list[float]] = {}
    for row in found:
        for name, seconds in durations(run_store.events(Run(row["id"], space.runs / row["id"]))):
            taken.setdefault(name, []).append(seconds)
    return tuple((name, statistics.median(values)) for name, values in taken.items())


def durations(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """Return (name, seconds) of each stage that ended; `start` is the time before the first step."""
    result: list[tuple[str, float]] = []
    open_: tuple[str, float] | None = None
    for event in events:
        if event["event"] in ("metric", "note"):
            continue
        at = run_store.seconds(event.get("time"))
        if open_ and at is not None and event["event"] in ("step", "finished"):
            result.append((open_[0], max(at - open_[1], 0.0)))
        begins = event["event"] in ("started", "step") and at is not None
        open_ = (name_of(str(event.get("text") or "start")), at) if begins and at is not None else None
    return result


def whole(
    steps: Sequence[tuple[float, str]],
    began: float,
    now: float,
    share: float | None,
    plan: Expected,
) -> Whole:
    """Return the progress of a run.

    A stage is expected to take as long as in earlier runs, else as in this run so far. The rest is stretched by how
    much slower, or faster, this run is than expected, the more so the more of it is done.

    Args:
        steps: Steps begun since the run was started: (time, text), the current one last.
        share: How much of the current step is done, 0 … 1; None if not known.
        plan: What is known beforehand.
    """
    names = [name_of(text) for _, text in steps]
    ends = [*(at for at, _ in steps[1:]), now][: len(steps)]  # none before the first step
    took = [max(end - at, 0.0) for (at, _), end in zip(steps, ends, strict=True)]
    later = [name for name in names if name not in MAKING]
    number = MODEL.match(steps[-1][1]) if steps else None
    models = int(number[2]) - int(number[1]) if number else 0 if later else plan.models
    at = len(later)
    if later and plan.later[at - 1 : at] != (later[-1],) and later[-1] in plan.later[at:]:
        at = plan.later.index(later[-1], at) + 1  # stages in between were skipped
    rest = [TRAINING] * models + list(plan.later[at:])
    stages = max(len(names) + len(rest), 1)
    done = max(len(names) - 1, 0) + (share or 0.0 if names else 0.0)

    expect = dict(plan.seconds or {})
    for name in set(names[:-1]) - expect.keys():
        expect[name] = statistics.median(
            s for other, s in zip(names[:-1], took[:-1], strict=True) if other == name
        )
    if names and names[-1] not in expect and share is not None and share > ENOUGH:
        expect[names[-1]] = took[-1] / share
    left = None
    if names and all(name in expect for name in (*names, *rest)):
        current = expect[names[-1]]
        current_left = max(current - took[-1], 0.05 * current) if share is None else (1 - share) * current
        expected_left = current_left + sum(expect[name] for name in rest)
        expected_done = sum(expect[name] for name in names) - current_left
        weight = INERTIA * (expected_done + expected_left)
        pace = (sum(took) + weight) / (expected_done + weight) if expected_done + weight > 0 else 1.0
        left = pace * expected_left
    elapsed = max(now - began, 0.0)
    part = done / stages if left is None or elapsed + left <= 0 else elapsed / (elapsed + left)
    return Whole(max(len(names), 1), stages, min(part, 0.99), elapsed, left)


def after(found: Whole, stages: int, seconds: float) -> Whole:
    """Return the progress of a resumed run with the stages that earlier starts have ended, and their seconds of work."""
    elapsed, ended, every = (
        seconds + found.elapsed,
        stages + found.share * found.stages,
        stages + found.stages,
    )
    share = ended / every if found.left is None or not elapsed else elapsed / (elapsed + found.left)
    return Whole(stages + found.stage, every, min(share, 0.99), elapsed, found.left)

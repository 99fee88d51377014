"""Iterative training: train each locale, merge every few epochs, and continue from the merge.

After McMahan et al. 2017 (arXiv:1602.05629), whose rounds are these with the method `average`; here any registered
method can merge. See docs/commands.md, `mu iterate`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from merginguriel.errors import MuError, UsageError
from merginguriel.files import Progress, new_folder, write_text
from merginguriel.merging import registry
from merginguriel.metrics.registry import Metric, find
from merginguriel.models import build_record
from merginguriel.models.base_models import model_files
from merginguriel.models.classifier import copy_tokenizer, save
from merginguriel.similarity import choice
from merginguriel.tasks.registry import TaskData, fingerprint

from . import round_store
from .in_memory_merges import by_similarity, merged, recipe_of
from .locale_turn import Room, enter, room, score, turn, weights_of
from .preparation import check_labels, resolved
from .round_store import ModelState, Tensors, converged, in_words, is_best, last_merge, stopped
from .settings import FinetuneSettings, IterateSettings, as_record, as_table, check, check_iterate

RECORD = "iterate.yaml"


@dataclass
class RoundState:
    """Shared state of the rounds.

    data    source → its sentences; `target`, if any, is separate
    shares  source → weight, where weights are not measured at each merge
    root    folder of the checkpoints
    metric  of the task
    """

    settings: IterateSettings
    base: Path
    room: Room
    pretrained: Tensors
    data: Mapping[str, TaskData]
    target: TaskData | None
    shares: Mapping[str, float]
    root: Path
    metric: Metric
    tell: Progress
    total: int
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def train_and_merge(
    base: Path,
    data: Mapping[str, TaskData],
    out: Path,
    settings: IterateSettings,
    finetune: FinetuneSettings,
    *,
    target: TaskData | None = None,
    shares: Mapping[str, float] | None = None,
    failed: Mapping[str, str] | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Train the locales of `data` from the classifier folder `base` by rounds; write the last merge into `out`.

    A killed or interrupted run leaves no `out`; the same call resumes it after the last complete turn, with the same
    weights as an uninterrupted run. A locale whose training fails is left out from then on, and recorded. Per locale, the
    weights and AdamW's two moments of the trained tensors are held in memory, in float32.

    Args:
        out: Folder to write; returned at once if it was made from the same base, data and settings.
        finetune: Settings of every locale; epochs and seed are those of `settings`.
        target: The target's data: its development labels where settings judge or weigh by them, else at most its
            training text without labels, for a method that reads text.
        shares: Source → weight, where settings name none; None: equal, or measured, as set.
        failed: Locales whose data could not be loaded → the reason, for the record.
        on_progress: Called with (step, total steps, text) after every step; with 0 total steps for a notice.

    Raises:
        UsageError: Invalid settings or labels.
        CheckpointError: The base cannot be read, or a checkpoint is damaged.
        MuError: `out` was made in another way, too few locales are left, or writing fails.
    """
    check_iterate(settings)
    own = resolved(replace(finetune, epochs=settings.epochs, seed=settings.seed, **settings.training))
    check(own)
    given = dict(settings.weights or shares or dict.fromkeys(data, 1.0))
    unknown = sorted(set(data) - set(given))
    if unknown:
        raise UsageError(
            f"the source {unknown[0]} has no weight.", hint="Give a weight to every source, or to none."
        )
    recipe_of(settings, {name: given[name] for name in data})  # a wrong method is told before the work
    need_dev(settings, data, target)
    made = made_of(base, data, target, settings, own, given)
    if build_record.already(out, RECORD, made):
        return out
    started = time.monotonic()
    with new_folder(out) as folder:
        room_ = room(base, own)
        check_labels(room_.model, [i for d in data.values() for i in (*d.train, *d.dev)], base)
        work = RoundState(
            settings, base, room_, weights_of(room_.model), data, target, given, out.with_name(f"{out.name}-rounds"),
            find(next(iter(data.values())).metric), on_progress or ignore, sum(-(-len(d.train) // own.batch_size) for d in data.values()) * own.epochs,
            failed=dict(failed or {}),
        )  # fmt: skip
        history, weights = play(work, round_store.begin(work.root, made))
        enter(room_.model, weights)
        save(room_.model, folder)
        copy_tokenizer(base, folder)
        more: dict[str, Any] = {"failed": work.failed, "rounds": history, "threads": torch.get_num_threads()}
        more |= {"seconds": round(time.monotonic() - started, 1)}
        build_record.write(
            folder, RECORD, made, **more, versions=build_record.versions("torch", "transformers")
        )
        write_card(folder, work, history)
    if not settings.keep_checkpoints:
        shutil.rmtree(work.root, ignore_errors=True)
    return out


def need_dev(settings: IterateSettings, data: Mapping[str, TaskData], target: TaskData | None) -> None:
    """Raise UsageError where a decision needs development data that are missing."""
    if (settings.judge == "target" or measures(settings)) and not (target and target.dev):
        raise UsageError(f"judge is target, but {settings.target} has no development data.")
    if (settings.schedule == "gain" or settings.patience) and not any(found.dev for found in data.values()):
        raise UsageError("gain and patience need development data, and the data have none.")


def made_of(
    base: Path,
    data: Mapping[str, TaskData],
    target: TaskData | None,
    settings: IterateSettings,
    own: FinetuneSettings,
    shares: Mapping[str, float],
) -> dict[str, Any]:
    """Return the record of base, data and settings that determine the result."""
    prints = {
        name: {"train": fingerprint(found.train), "dev": fingerprint(found.dev)}
        for name, found in [*data.items(), *([("target", target)] if target else [])]
    }
    return {
        "base": build_record.hashes(model_files(base)),
        "data": prints,
        "settings": as_table(settings),
        "finetune": as_record(own),
        "weights": {name: float(shares[name]) for name in data},
    }


def play(work: RoundState, history: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Tensors]:
    """Run all rounds from the first incomplete one; return their outcomes and the weights of the merge to keep."""
    settings = work.settings
    states, anchor = standing(work, history)
    last = -(-settings.epochs // settings.merge_every)
    for number in range(len(history) + 1, last + 1):
        if stopped(settings, history, work.metric):
            break
        for locale in states:
            found = take_turn(work, states[locale], locale, number)
            if found is not None:
                states[locale] = found
        states = {name: state for name, state in states.items() if name not in work.failed}
        need_enough(work, states)
        outcome, merge = end_round(work, states, anchor, history, number, final=number == last)
        if merge is not None:
            round_store.write_tensors(round_store.folder(work.root, number) / round_store.MERGE, merge)
            if settings.patience and is_best(outcome["merge"]["score"], history, work.metric):
                round_store.write_tensors(work.root / "best.safetensors", merge)
            for state in states.values():
                state.weights = merge
            anchor = merge
        history.append(outcome)
        keep, merge_at = settings.keep_checkpoints, last_merge(history)
        round_store.finish(work.root, number, outcome, keep=keep, last_merge=merge_at)
        work.tell(0, 0, in_words(outcome, last, work.metric))
    if settings.patience:
        return history, round_store.read_tensors(work.root / "best.safetensors")[0]
    return history, anchor


def standing(work: RoundState, history: list[dict[str, Any]]) -> tuple[dict[str, ModelState], Tensors]:
    """Return the locales' states and the last merge after the completed rounds; the base at the beginning."""
    work.failed |= {name: why for outcome in history for name, why in outcome.get("failed", {}).items()}
    names = [name for name in work.data if name not in work.failed]
    merge = last_merge(history)
    if not history:
        return {name: ModelState(work.pretrained) for name in names}, work.pretrained
    folder = round_store.folder(work.root, len(history))
    states = {name: round_store.read_state(folder / f"{name}.safetensors") for name in names}
    work.done = sum(state.step for state in states.values())
    anchor = work.pretrained
    if merge:
        anchor = round_store.read_tensors(round_store.folder(work.root, merge) / round_store.MERGE)[0]
    if merge == len(history):
        for state in states.values():
            state.weights = anchor
    return states, anchor


def take_turn(work: RoundState, state: ModelState, locale: str, number: int) -> ModelState | None:
    """Return the state after this round's epochs, from its checkpoint if any; None if the locale failed."""
    settings, data = work.settings, work.data[locale]
    folder = round_store.folder(work.root, number)
    path, reason = folder / f"{locale}.safetensors", folder / f"{locale}.failed"
    if reason.is_file():
        work.failed[locale] = reason.read_text(encoding="utf-8")
        return None
    if path.is_file():
        found = round_store.read_state(path)
        work.done += found.step - state.step
        return found
    first = (number - 1) * settings.merge_every
    epochs = range(first, min(first + settings.merge_every, settings.epochs))

    def tell(loss: float) -> None:
        work.done += 1
        work.tell(work.done, work.total, f"round {number}, {locale}: loss {loss:.2f}")

    try:
        found = turn(work.room, state, data.train, locale, epochs, tell)
        scored = score(work.room, data.dev, work.metric.name)
    except (
        MuError,
        RuntimeError,
        IndexError,
    ) as error:  # no number for a loss, no memory, too long a sentence
        why = error.what if isinstance(error, MuError) else str(error).strip().split("\n")[0]
        work.failed[locale] = why
        write_text(reason, why)
        work.tell(0, 0, f"{locale} is left out from round {number} on: {why}")
        return None
    found.figures |= {f"dev_{key}": round(value, 6) for key, value in scored.items()}
    round_store.write_state(path, found)
    return found


def need_enough(work: RoundState, states: Mapping[str, ModelState]) -> None:
    """Raise MuError if too few locales are left for the method."""
    least = registry.get(work.settings.method).sources[0]
    if len(states) < max(least, min(2, len(work.data))):
        first = next(iter(work.failed))
        raise MuError(
            f"too few locales are left to merge, {len(states)}; failed: {', '.join(work.failed)}. "
            f"{first}, because: {work.failed[first]}",
            hint=f"Fix the cause, remove {work.root}, and run this again.",
        )


def end_round(
    work: RoundState,
    states: dict[str, ModelState],
    anchor: Tensors,
    history: list[dict[str, Any]],
    number: int,
    *,
    final: bool,
) -> tuple[dict[str, Any], Tensors | None]:
    """Return the outcome of the round, and the merge if the locales continue from it (always in the last round)."""
    settings = work.settings
    outcome: dict[str, Any] = {
        "round": number,
        "epochs": min(number * settings.merge_every, settings.epochs),
        "locales": {name: dict(state.figures) for name, state in states.items()},
        "failed": {
            name: why for name, why in work.failed.items() if all(name not in o["failed"] for o in history)
        },
        "merge": {"taken": False},
    }
    if settings.schedule == "converged" and not final and not converged(settings, states, history):
        return outcome, None
    before, apart = standard(work, states)
    shares = measured(work, states, apart)
    start = anchor if settings.anchor == "last_merge" else work.pretrained
    found = merged(
        recipe_of(settings, shares), states, start, work.room, work.base, texts_of(work),
        round_store.folder(work.root, number) / "models",
    )  # fmt: skip
    enter(work.room.model, found)
    after = judged(work)
    gain = None if after is None or before is None else 100 * work.metric.sign * (after - before)
    taken = final or settings.schedule != "gain" or (gain is not None and gain >= settings.min_gain_pp)
    outcome["merge"] = {
        "taken": taken,
        "score": after,
        "before": before,
        "weights": {name: round(float(share), 6) for name, share in shares.items()},
    }
    return outcome, found if taken else None


def standard(work: RoundState, states: Mapping[str, ModelState]) -> tuple[float | None, dict[str, float]]:
    """Return the score that the merge must beat, and each source's score on the target where needed.

    judge sources: the mean of each model on its own development data; target: the best of them on the target's.
    """
    settings = work.settings
    on_target: dict[str, float] = {}
    if work.target and (settings.judge == "target" or measures(settings)):
        for name, state in states.items():
            enter(work.room.model, state.weights)
            on_target[name] = score(work.room, work.target.dev, work.metric.name)[work.metric.name]
    if settings.judge == "target":
        return max(on_target.values(), key=lambda value: work.metric.sign * value), on_target
    own = [state.figures.get(f"dev_{work.metric.name}") for state in states.values()]
    known = [value for value in own if value is not None]
    return (float(np.mean(known)) if known else None), on_target


def judged(work: RoundState) -> float | None:
    """Return the score of the weights in the room on the judge's development data."""
    name = work.metric.name
    if work.settings.judge == "target" and work.target:
        return score(work.room, work.target.dev, name)[name]
    parts = [one.dev for locale, one in work.data.items() if locale not in work.failed and one.dev]
    return float(np.mean([score(work.room, part, name)[name] for part in parts])) if parts else None


def measures(settings: IterateSettings) -> bool:
    """Return whether the weights of the sources are measured at each merge."""
    return settings.similarity == "REAL" and by_similarity(settings)


def measured(
    work: RoundState, states: Mapping[str, ModelState], on_target: Mapping[str, float]
) -> dict[str, float]:
    """Return source → weight with the sum 1; with REAL similarity by the current score on the target."""
    if work.settings.similarity == "REAL" and not work.settings.weights:
        benefit = {name: work.metric.benefit(value) for name, value in on_target.items()}
        return choice.shares(benefit, list(states))
    total = sum(work.shares[name] for name in states)
    return {name: work.shares[name] / total for name in states}


def texts_of(work: RoundState) -> dict[str, list[str]]:
    """Return source → text for a method that reads some: the target's training text, else the source's own."""
    return {name: [item.text for item in (work.target or data).train] for name, data in work.data.items()}


def ignore(done: float, total: float, text: str) -> None:
    """Ignore progress."""


def write_card(folder: Path, work: RoundState, history: list[dict[str, Any]]) -> None:
    """Write the model card."""
    settings = work.settings
    trained = [name for name in work.data if name not in work.failed]
    merges = sum(outcome["merge"]["taken"] for outcome in history)
    left = "".join(f"\n- Left out: {name}, because {why}" for name, why in work.failed.items())
    body = f"""
A classifier that was trained on {", ".join(trained)} in turn; merges by {settings.method}: {merges}; after each all
locales went on from it.

- Started from: `{work.base.name}` (hashes in `{RECORD}`). Its licence is that of the base.
- {history[-1]["epochs"]} epochs in each locale, a round every {settings.merge_every}, schedule {settings.schedule},
  seed {settings.seed}; everything else, and what came of each round, in `{RECORD}`.{left}
"""
    title = f"Iterative merge {f'for {settings.target} ' if settings.target else ''}by {settings.method}"
    languages = sorted({name.split("-")[0] for name in trained})
    build_record.card(folder, license=None, title=title, body=body, languages=languages)

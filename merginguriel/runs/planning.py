"""Estimate of what a run would train, merge and score, and how long it would take."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merginguriel.config.run_config import training_settings
from merginguriel.config.schema import EMBEDDERS, MERGES, Compose, Config, Embed
from merginguriel.errors import MuError
from merginguriel.models import base_models, build_record
from merginguriel.study import joint
from merginguriel.study.study import Study, check_base
from merginguriel.training.settings import preset
from merginguriel.workspace import Workspace

from . import run_index, run_store, time_left
from .kinds.pilot_arms import arms_of
from .kinds.shared_steps import trained_so
from .resolve import study_of
from .run_store import Run

LOOK_BACK = 30  # runs from which the time of one is estimated


@dataclass(frozen=True)
class RunPlan:
    """What a run would do.

    base      whether the base with its head exists
    train     locale → seconds, from models of this study; None where none was trained yet
    there     locales whose model exists
    other     locales whose model was trained with other settings or data: the run fails when it needs them
    merges    number of merges; None where it depends on the training
    scores    number of models scored on the items of a locale, per split; cached scores are included
    embedders  number of embedders to train, whose seconds are part of `work`
    work      seconds of all but the training, from finished runs of this kind; None if there are none
    """

    base: bool
    train: Mapping[str, float | None]
    there: Sequence[str]
    other: Sequence[str]
    merges: int | None
    scores: int | None
    embedders: int
    work: float | None

    @property
    def seconds(self) -> float | None:
        """Seconds of the whole run; None if a part is not known."""
        each = list(self.train.values())
        if self.work is None or None in each:
            return None
        return self.work + sum(one for one in each if one is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON data."""
        return {
            "base": self.base,
            "train": dict(self.train),
            "there": list(self.there),
            "other": list(self.other),
            "merges": self.merges,
            "scores": self.scores,
            "embedders": self.embedders,
            "work_seconds": self.work,
            "seconds": self.seconds,
        }


def plan(space: Workspace, config: Config) -> RunPlan:
    """Return what the run of a resolved configuration would do. Reads records only, no model.

    Raises:
        UnavailableError: The base is a folder that does not exist.
        CheckpointError: It is one without usable weights.
    """
    study: Study = study_of(config, space)
    if config.kind in EMBEDDERS:
        base_models.is_folder(study.base)
    else:
        check_base(study)
    wanted = models_of(config)
    settings = training_settings(config)
    there = [locale for locale in wanted if trained_so(study, locale, settings)]
    other = [
        locale
        for locale in wanted
        if locale not in there and (study.model(locale) / "training.yaml").is_file()
    ]
    seconds = training_seconds(study, config)
    merges, scores = work_of(config, len(wanted))
    return RunPlan(
        base=config.kind in EMBEDDERS or (study.root / "base" / "config.json").is_file(),
        train={locale: seconds for locale in wanted if locale not in there and locale not in other},
        there=there,
        other=other,
        merges=merges,
        scores=scores,
        embedders={"compose": 8, "embed": int(not config.embed.lora_families)}.get(config.kind, 0),
        work=0.0 if config.kind == "train" else work_seconds(space, study, config),
    )


def models_of(config: Config) -> list[str]:
    """Return the locales whose model the run needs; of an iteration that chooses its sources, the target alone."""
    if config.kind == "train":
        return list(dict.fromkeys(config.locales))
    if config.kind == "nxn":
        return list(dict.fromkeys(config.sources))
    if not config.score:
        return []
    candidates = config.candidates if config.kind in (*MERGES, "pilot") else ()
    if config.kind == "pilot":
        named = [name for arm in arms_of(config) for name in arm.config.sources]
        return sorted({*candidates, *named} - ({str(config.target)} if config.mode == "ExcTar" else set()))
    return sorted({*config.sources, *candidates, *([config.target] if config.target else [])})


def work_of(config: Config, models: int) -> tuple[int | None, int | None]:
    """Return the number of merges, and of pairs of a model and a split of a locale that are scored."""
    if config.kind == "train":
        return 0, models
    if config.kind == "embed":
        return 0, 0
    if config.kind == "compose":  # besides the base and eight compositions; the path has two more weights
        merged = len(config.compose.methods) + 2
        return merged, 4 * (9 + merged)
    if config.kind == "nxn":
        return 0, models * len(config.locales) * len(config.splits)
    if config.kind == "iterate":
        return None, None
    if config.kind == "pilot":
        merged = sum(not arm.together for arm in arms_of(config))
        return merged, 2 * models + merged + 1  # the last is the winner on test items
    merges = 1 + (config.method != "average")  # the plain average is a baseline
    if config.kind == "tune":
        merges += 1  # the merge before the search is a baseline, too
        return merges + config.tune.evaluations, 2 * models + merges + 1 + config.tune.evaluations
    return merges, 2 * models + merges + 1  # dev and test; the last is the base with a fresh head


def training_seconds(study: Study, config: Config) -> float | None:
    """Return the median seconds of training a model of this study, for the epochs asked for; None if there is none."""
    epochs = training_settings(config).get("epochs") or preset(study.base).epochs
    each = []
    for path in sorted(study.root.glob("*/training.yaml")):
        try:
            found = build_record.read(path)
            took, made = found.get("seconds"), found.get("made")
            if joint.described(path.parent):
                continue  # of many locales
            before = made["settings"]["epochs"] if isinstance(made, dict) else None
            if isinstance(took, float | int) and isinstance(before, int) and before:
                each.append(took / before)
        except (MuError, KeyError, TypeError):
            continue  # a record of another version
    return round(statistics.median(each) * epochs, 1) if each else None


def work_seconds(space: Workspace, study: Study, config: Config) -> float | None:
    """Return the median seconds that finished runs of this kind and context took beside training, scaled by `share_of`; None if there is none."""
    found, _ = run_index.listed(space, LOOK_BACK, kind=config.kind, state="finished", context=study.context)
    known = []
    for run in (Run(row["id"], space.runs / row["id"]) for row in found):
        stages = time_left.durations(run_store.events(run))
        making = () if config.kind in EMBEDDERS else time_left.MAKING  # no training of theirs is in `train`
        seconds = sum(took for name, took in stages if name not in making)
        if stages:
            known.append(seconds * share_of(config, run))
    return round(statistics.median(known), 1) if known else None


def share_of(config: Config, run: Run) -> float:
    """Return the evaluations of a search, or the steps of an embedder's training, over those of a finished run; else 1."""
    if config.kind == "tune":
        return config.tune.evaluations / run.config.tune.evaluations
    if config.kind == "embed":
        pairs = sum(model["examples"] for model in run_store.result(run)["models"])
        return steps_of(config.embed, pairs) / steps_of(run.config.embed, pairs)
    return 1.0


def steps_of(embed: Embed | Compose, pairs: int) -> int:
    """Return the optimizer steps of a training on this number of pairs."""
    return embed.steps or max(1, math.ceil(math.ceil(pairs / embed.batch_size) * embed.epochs))

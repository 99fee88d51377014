"""Joint models: one model trained on the sentences of many locales together, to compare merges with.

models/<task>/<base>/joint-…    as the models of single locales; training.yaml names the locales, the left-out ones and the budget
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from merginguriel.errors import UsageError
from merginguriel.files import Progress, wait_for_writer
from merginguriel.models.build_record import read
from merginguriel.tasks.registry import Item, TaskData, digest

from .study import Study, disk_errors, make_base, patient, waiting

LOCALE = "joint"  # in the record of such a model
# How much a joint model is trained: on every sentence of every locale, each as often as the model of its locale sees it; or on
# as many sentences as the model of one locale (their mean), the same number drawn of each locale.
BUDGETS = ("epochs", "examples")


@dataclass(frozen=True)
class Joint:
    """A joint model of the study, as its record describes it."""

    path: Path
    locales: tuple[str, ...]
    left_out: tuple[str, ...]
    budget: str

    @property
    def note(self) -> str:
        """Describe what it was trained on: `trained on 15 locales without da-DK, equal epochs`."""
        without = f" without {', '.join(self.left_out)}" if self.left_out else ""
        return f"trained on {len(self.locales)} locales{without}, equal {self.budget}"


def path_of(study: Study, locales: Sequence[str], left_out: Sequence[str], budget: str) -> Path:
    """Return the folder of a joint model: `joint-15-without-da-DK-1f2e3d`."""
    without = [f"without-{'-'.join(sorted(left_out))}"] if left_out else []
    name = "-".join([LOCALE, str(len(locales)), *without, digest(budget, *sorted(locales), length=6)])
    return study.root / f"{name}{study.suffix}"


def listed(study: Study) -> list[Joint]:
    """Return the joint models of the study with its seed, sorted by folder."""
    found = []
    for path in sorted(study.root.glob(f"{LOCALE}-*/training.yaml")):
        if (made := described(path.parent)) and path.parent == path_of(
            study, made.locales, made.left_out, made.budget
        ):
            found.append(made)
    return found


def described(model: Path) -> Joint | None:
    """Return what the record of a model folder says of a joint model; None for another model."""
    record = read(model / "training.yaml") if (model / "training.yaml").is_file() else {}
    joint = record.get(LOCALE)
    if record.get("locale") != LOCALE or not isinstance(joint, dict):
        return None
    return Joint(model, tuple(joint["locales"]), tuple(joint["left_out"]), joint["budget"])


def fitting(study: Study, sources: Collection[str], target: str) -> Joint | None:
    """Return the joint model to compare a merge of these sources with; None if there is none.

    It was trained on the target's sentences only if the target is a source (IncTar). Preferred is one of exactly the sources,
    then the one of most locales, then equal epochs.
    """
    found = [one for one in listed(study) if (target in one.locales) == (target in sources)]
    order = {budget: -at for at, budget in enumerate(BUDGETS)}
    return max(
        found,
        key=lambda one: (set(one.locales) == set(sources), len(one.locales), order[one.budget]),
        default=None,
    )


def chosen(data: Sequence[TaskData], budget: str, seed: int, most: int | None = None) -> list[Item]:
    """Return the training sentences of a joint model by its budget, those of each locale together.

    most  sentences of each locale that its own model is trained on; None: all
    """
    each = [one.train for one in data]
    if most is None and budget == "epochs":
        return [item for items in each for item in items]
    from merginguriel.training.limits import sampled  # torch

    each = [tuple(sampled(items, most, seed)) for items in each]
    if budget == "examples":
        share = max(1, round(sum(map(len, each)) / len(each) / len(each)))
        each = [tuple(sampled(items, share, seed)) for items in each]
    return [item for items in each for item in items]


@patient
def train(
    study: Study,
    locales: Sequence[str],
    *,
    left_out: Sequence[str] = (),
    budget: str = "epochs",
    progress: Progress | None = None,
    report_to: tuple[str, ...] = (),
    **settings: Any,
) -> Path:
    """Return the model trained on the sentences of these locales but the left-out ones; made on the first call.

    Development data are those of the same locales, so that nothing of a left-out locale is used.

    Raises:
        UsageError: Fewer than two locales, or one to leave out that is none of them.
        MuError: As finetune; there is such a model that was trained otherwise.
    """
    from merginguriel.training.finetune import finetune
    from merginguriel.training.preparation import resolved
    from merginguriel.training.settings import preset

    used = remaining(locales, left_out)
    data = [study.data(locale) for locale in used]
    base = make_base(study)
    out = path_of(study, used, left_out, budget)
    wait_for_writer(out, lambda: waiting("the joint model", progress))
    with disk_errors(out):
        return finetune(
            base,
            chosen(data, budget, study.seed, settings.pop("max_train_samples", None)),
            [item for one in data for item in one.dev],
            out,
            resolved(replace(preset(study.base), seed=study.seed, **settings)),
            locale=LOCALE,
            metric=data[0].metric,
            report_to=report_to,
            on_progress=progress,
            more={LOCALE: {"locales": list(used), "left_out": list(left_out), "budget": budget}},
        )


def remaining(locales: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """Return the locales to train on. Raises UsageError for fewer than two, or an unknown one to leave out."""
    if unknown := [name for name in left_out if name not in locales]:
        raise UsageError(
            f"{unknown[0]} is not among the locales to train on.", hint=f"They are: {', '.join(locales)}."
        )
    used = [name for name in dict.fromkeys(locales) if name not in left_out]
    if len(used) < 2:
        raise UsageError(
            "a joint model needs two locales or more.", hint="Name them: --joint sv-SE,de-DE, or --joint all."
        )
    return used

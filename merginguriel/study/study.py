"""Models of a study: their folders, and how each is made.

models/<task>/<base>/pretrained    the base as it comes
models/<task>/<base>/base          with a fresh head: every model starts here, task vectors are taken against it
models/<task>/<base>/<locale>      fine-tuned on one locale; <locale>-s1 with seed 1
models/<task>/<base>/models.yaml   fine-tunes made elsewhere that were registered: study.registered
models/<task>/<base>/merged/…      merges
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec

from merginguriel import locales
from merginguriel.errors import MuError, UnavailableError
from merginguriel.files import BeingWritten, Progress, os_error, wait_for_writer
from merginguriel.merging.recipe import Recipe, dump_recipe
from merginguriel.tasks import named
from merginguriel.tasks import registry as tasks
from merginguriel.tasks.registry import TaskData
from merginguriel.workspace import Workspace

from . import registered


@dataclass(frozen=True)
class Study:
    """A task and a base model in a workspace. `folder`: the user's own data; `options`: the task's.

    Raises MuError where the models of the study were made from another base that has the same last name.
    """

    space: Workspace
    task: str = "home"
    base: str = "e5-small"
    folder: Path | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_other_base(self)

    @property
    def base_name(self) -> str:
        """Return the last part of the base, which names it in folders and contexts: `FacebookAI/xlm-roberta-base` → `xlm-roberta-base`."""
        return Path(self.base).name

    @property
    def context(self) -> str:
        """Return the context, `home/e5-small`."""
        return f"{self.task}/{self.base_name}"

    @property
    def root(self) -> Path:
        """Return the folder of the models."""
        return self.space.models / self.task / self.base_name

    @property
    def cache(self) -> Path:
        """Return the folder of cached predictions."""
        return self.root / "predictions"

    @property
    def suffix(self) -> str:
        """Return the suffix of models and tables of another seed; empty for seed 0."""
        return f"-s{self.seed}" if self.seed else ""

    @property
    def reading(self) -> named.Reading:
        """Return how the data are read. Raises UsageError for an unknown task."""
        return named.reading(self.space, self.task, self.folder)

    def model(self, locale: str) -> Path:
        """Return the folder of the model of a locale: trained here, or registered."""
        one = None if self.seed else registered.read(self.root).get(locale)
        return one.path if one else self.root / f"{locale}{self.suffix}"

    def table(self, split: str, *, bf16: bool = False) -> Path:
        """Return the path of the N×N matrix on a split, a CSV; answers in bfloat16 have one of their own."""
        return self.space.matrix(self.context, f"{self.suffix}-{split}{'-bf16' * bf16}")

    def merged(self, recipe: Recipe) -> Path:
        """Return the folder of a merge, `merged/da-DK-ties-4-1f2e3d`: readable, and different for different recipes."""
        digest = hashlib.sha256(dump_recipe(replace(recipe, base_sha256={})).encode()).hexdigest()[:6]
        similarity = (recipe.similarity or "").replace("×", "x")
        parts = [recipe.target, recipe.method, similarity, str(len(recipe.sources)), digest]
        return self.root / "merged" / "-".join(part for part in parts if part)

    def data(self, locale: str) -> TaskData:
        """Return the data of a locale."""
        how = self.reading
        return tasks.load(how.loader, locale, folder=how.folder, **{**how.options, **self.options})

    def offered(self) -> list[str]:
        """Return the locales that the task has data of, sorted."""
        how = self.reading
        return tasks.locales(how.loader, how.folder)

    def trained(self) -> dict[str, Path]:
        """Return locale → folder of the models of this seed: fine-tuned here, and registered (those are of seed 0)."""
        more = {} if self.seed else registered.read(self.root)
        return dict(sorted({**self.fine_tuned(), **{name: one.path for name, one in more.items()}}.items()))

    def locale_of(self, model: Path) -> str | None:
        """Return the locale of a single model of the study by its folder; None for another."""
        folder = model.resolve()
        return next((name for name, path in self.trained().items() if path.resolve() == folder), None)

    def fine_tuned(self) -> dict[str, Path]:
        """Return locale → folder of models fine-tuned here with this seed, without those that are being written."""
        found = [path.parent for path in sorted(self.root.glob(f"*{self.suffix}/training.yaml"))]
        named = {path.name.removesuffix(self.suffix): path for path in found}
        return {name: path for name, path in named.items() if name in locales.table()}

    def flags(self) -> str:
        """Return the flags that make a command mean this study, ` --task topics --data mine`; empty for the workspace's own."""
        words = (
            []
            if self.folder is None or self.task in named.read(self.space)
            else [f"--data {shlex.quote(str(self.folder))}"]
        )
        if words or (self.task, self.base) != of_context(self.space):
            words = [f"--task {shlex.quote(self.task)}", f"--base {shlex.quote(self.base)}", *words]
        words += [f"--option {shlex.quote(f'{key}={value}')}" for key, value in self.options.items()]
        return "".join(f" {word}" for word in words)


def refuse_other_base(study: Study) -> None:
    """Raise MuError if the study's folder was begun with another base of the same last name.

    A word that is no folder here (`tiny-bert`, as a context has it) means the base that the models were made from, except
    for e5-small, which is the package's. A folder is the same base if it holds the same config and weights, wherever it is.
    """
    from merginguriel.models import build_record
    from merginguriel.models.base_models import E5_SMALL, RECORD, base_files

    if not (study.root / "pretrained" / RECORD).is_file():
        return
    made = build_record.read(study.root / "pretrained" / RECORD).get("made")
    before = made.get("source") if isinstance(made, dict) else None
    if not isinstance(made, dict) or before is None or (study.base == before and "/" not in study.base):
        return
    folder = Path(study.base).expanduser()
    if (folder / "config.json").is_file():
        now, then = build_record.hashes(base_files(folder)), made.get("inputs") or {}
        same = then == now or (len(now) == 1 and now.items() <= then.items())  # weights that were tidied away
    else:
        same = study.base == before or ("/" not in study.base and study.base != E5_SMALL)
    if not same:
        changed = " as it is now" if study.base == before else ""
        raise MuError(
            f"these models were made from the base {before}, not from {study.base}{changed}, which has the same name.",
            where=study.space.display(study.root),
            hint=f"To go on with them: --base {shlex.quote(str(before))}\n"
            "For the other base, give its folder another name, or work in another workspace (mu init DIR).",
        )


def of_context(space: Workspace) -> tuple[str, str]:
    """Return task and base of the workspace's `context`, the defaults of every command."""
    task, _, base = str(space.settings["context"]).partition("/")
    return task, base


Given = ParamSpec("Given")


def patient(make: Callable[Given, Path]) -> Callable[Given, Path]:
    """Decorate `make` to begin again when another process began to write the same folder first, and take its result."""

    @functools.wraps(make)
    def again(*given: Given.args, **named: Given.kwargs) -> Path:
        while True:
            try:
                return make(*given, **named)
            except BeingWritten:
                time.sleep(0.1)  # it waits itself for a writer that it sees

    return again


def check_base(study: Study) -> None:
    """Raise what making the base would raise about a folder; a name on the hub is not looked up."""
    from merginguriel.models.base_models import is_folder, weight_files

    made = any((study.root / name / "config.json").is_file() for name in ("base", "pretrained"))
    if not made and is_folder(study.base):
        weight_files(Path(study.base).expanduser(), allow_pickle=False)


@patient
def make_base(study: Study, progress: Progress | None = None) -> Path:
    """Return the folder of the base with the task's head; it is made on the first call."""
    from merginguriel.models.base_models import available, base_model

    out = study.root / "base"
    for folder in (study.root / "pretrained", out):
        wait_for_writer(folder, lambda: waiting("the base model", progress))
    if (out / "config.json").is_file():
        return out
    if not (study.root / "pretrained" / "config.json").is_file():
        available(study.base)  # before the data of every locale are read
    labels: tuple[str, ...] = ()
    tokens = False
    texts: list[str] = []
    last: UnavailableError | None = None
    offered = study.offered()
    for number, locale in enumerate(offered):
        if progress:
            progress(number, len(offered), f"reading {locale}")
        try:
            data = study.data(locale)
        except UnavailableError as error:
            # Too little text to train on in this locale: it has no part in the study.
            last = error
            continue
        labels, tokens = data.labels, data.token_labels
        texts += [item.text for split in (data.train, data.dev, data.test) for item in split]
        if study.base != "e5-small":
            break
    if last and not labels:
        raise last  # no locale at all has enough
    pretrained = base_model(
        study.base, study.root / "pretrained", texts=texts if study.base == "e5-small" else None
    )
    from merginguriel.models.classifier import (
        base_classifier,  # torch: only when all that needs none is in order
    )

    with disk_errors(out):
        return base_classifier(pretrained, labels, out, tokens=tokens)


@patient
def train(
    study: Study,
    locale: str,
    *,
    progress: Progress | None = None,
    report_to: tuple[str, ...] = (),
    **settings: Any,
) -> Path:
    """Return the model of one locale, trained unless it was with the same data and settings.

    report_to, settings  as for finetune
    Where another process is at it, waits for that one. Raises MuError if there is a model that was trained
    otherwise, naming what differs.
    """
    from merginguriel.models.build_record import read
    from merginguriel.training.finetune import RECORD, finetune
    from merginguriel.training.preparation import resolved
    from merginguriel.training.settings import preset

    if not study.seed and locale in registered.read(study.root):
        raise MuError(
            f"{locale} has a registered model.",
            where=str(study.model(locale)),
            hint=f"To train one instead: mu models remove {locale}{study.flags()}",
        )
    data = study.data(locale)
    base = make_base(study)
    wanted = resolved(replace(preset(study.base), seed=study.seed, **settings))
    out = study.model(locale)
    wait_for_writer(out, lambda: waiting(f"the model of {locale}", progress))

    def tell(step: float, total: float, text: str) -> None:
        if progress:
            progress(step, total, f"{locale} {text}")

    try:
        with disk_errors(out):
            return finetune(
                base,
                data.train,
                data.dev,
                out,
                wanted,
                locale=locale,
                metric=data.metric,
                report_to=report_to,
                on_progress=tell,
            )
    except MuError as error:
        if error.where != str(out / RECORD):
            raise
        made, now = read(out / RECORD).get("made"), asdict(wanted)
        before = made.get("settings") if isinstance(made, dict) else None
        if not isinstance(before, dict):
            raise
        differing = [
            f"{key} was {before.get(key)}, is {now[key]}" for key in now if before.get(key) != now[key]
        ]
        raise MuError(
            f"there is a model of {locale} already, and it was trained with other "
            f"{'settings: ' + '; '.join(differing) if differing else 'data, or from another base'}.",
            where=str(out),
            hint="To keep it, give what it was trained with. To train anew, remove that folder,\n"
            "or work in another workspace.",
        ) from error


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translate the errors of safetensors about a full disk into OS errors with a path."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if not found:
            raise
        number = int(found[1])
        raise os_error(OSError(number, os.strerror(number)), path) from error


def other_data(study: Study, data: Mapping[str, TaskData], models: Iterable[Path]) -> list[str]:
    """Return the locales in `data` whose own model, among `models`, was trained on other sentences."""
    from merginguriel.models.build_record import read

    found = []
    for locale, path in ((locale, study.model(locale)) for locale in data):
        if path not in set(models) or not (path / "training.yaml").is_file():
            continue
        made = read(path / "training.yaml").get("made")
        before = made.get("data") if isinstance(made, dict) else None
        if isinstance(before, dict) and before.get("train") != tasks.fingerprint(data[locale].train):
            found.append(locale)
    return found


def waiting(what: str, progress: Progress | None) -> None:
    """Report that another process is making something."""
    if progress:
        progress(0, 0, f"another process is making {what}: waiting for it")


def need_trained(study: Study, wanted: Iterable[str]) -> dict[str, Path]:
    """Return the model folders of the locales `wanted`. Raises UnavailableError naming those that are not trained."""
    here = study.trained()
    named = list(wanted)
    missing = [locale for locale in named if locale not in here]
    if missing:
        flags = " ".join(f"--locale {locale}" for locale in missing)
        flags += f" --seed {study.seed}" if study.seed else ""
        raise UnavailableError(
            f"no model of {', '.join(missing)} in {study.space.display(study.root)}.",
            hint=f"Train with: mu train {flags}{study.flags()}",
        )
    return {locale: here[locale] for locale in named}

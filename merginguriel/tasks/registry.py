"""Registry of tasks: labelled sentences per locale in three splits.

A new task is one function in one file of this folder, under `@task(name, ...)`; nothing else changes.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from merginguriel import locales as known
from merginguriel.errors import MuError, UsageError
from merginguriel.text.suggest import close, suggest

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Item:
    """Labelled sentence. Items of one `group` are variants of each other; intervals resample groups.

    tokens  words of a sentence whose words are labelled; `label` then holds one tag per word, separated by spaces
    """

    id: str
    text: str
    label: str
    group: str = ""
    tokens: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the item's label, or its tags in the order of the tokens."""
        return tuple(self.label.split(" ")) if self.tokens else (self.label,)


@dataclass(frozen=True)
class TaskData:
    """Data of one locale of a task. `labels` is the label set of the whole task, the same for every locale."""

    task: str
    locale: str
    labels: tuple[str, ...]
    train: tuple[Item, ...]
    dev: tuple[Item, ...]
    test: tuple[Item, ...]
    source: str = ""  # where the text came from, with its version
    metric: str = "accuracy"  # what models of the task are scored by, where nobody asks for another

    @property
    def token_labels(self) -> bool:
        """Return whether each word has a label, instead of the sentence."""
        return bool(self.train and self.train[0].tokens)

    def split(self, name: str) -> tuple[Item, ...]:
        """Return the items of `train`, `dev` or `test`. Raises UsageError for another name."""
        if name not in SPLITS:
            raise UsageError(f"unknown split {name!r}.", hint=f"Splits are: {', '.join(SPLITS)}.")
        return getattr(self, name)

    def majority_label(self) -> str:
        """Return the most frequent label of the training split; ties go to the alphabetically first."""
        counts = Counter(label for item in self.train for label in item.labels)
        return min(counts, key=lambda label: (-counts[label], label))


@dataclass(frozen=True)
class Task:
    """Registered task: `load(locale, folder=, seed=, **options)`, its locales, and the defaults of its options.

    too_little  locales with too little text to score a model on, by the default options
    """

    name: str
    doc: str
    load: Callable[..., TaskData]
    locales: Callable[[Path | None], list[str]]
    options: Mapping[str, int | str]
    too_little: frozenset[str] = frozenset()


_registry: dict[str, Task] = {}


def task(
    name: str,
    *,
    doc: str,
    locales: Callable[[Path | None], list[str]],
    too_little: frozenset[str] = frozenset(),
) -> Callable:
    """Register a function `f(locale, *, folder, seed, **options) -> TaskData` as the task `name`."""

    def register(function: Callable[..., TaskData]) -> Callable[..., TaskData]:
        given = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        options = {p.name: p.default for p in given if p.name not in ("folder", "seed")}
        _registry[name] = Task(name, doc, function, locales, options, too_little)
        return function

    return register


@cache
def tasks() -> dict[str, Task]:
    """Return every task by its name."""
    package = importlib.import_module(__package__ or "merginguriel.tasks")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("_"):  # a helper of one task, which may need that task's packages
            continue
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_registry.items()))


def find(name: str) -> Task:
    """Return the task called `name`. Raises UsageError with the known names."""
    if name in tasks():
        return tasks()[name]
    guess = suggest(name, tasks(), n=1, cutoff=0.4)
    raise UsageError(f"unknown task {name!r}.", hint=f"{guess}\nTasks are: {', '.join(tasks())}.".lstrip())


def locales(task: str, folder: Path | None = None) -> list[str]:
    """Return the locales of the task, sorted."""
    return find(task).locales(folder)


def load(task: str, locale: str, *, folder: Path | None = None, seed: int = 0, **options: object) -> TaskData:
    """Load the sentences of one locale; the result is the same on every machine for the same arguments.

    Args:
        folder: The user's own copy of the data, for tasks that read one.

    Raises:
        UsageError: Unknown task, locale or option.
        UnavailableError: A package or the data are missing.
        MuError: Invalid data, with file and line.
    """
    found = find(task)
    typed = {option: _typed(found, option, value) for option, value in options.items()}
    offered = found.locales(folder)
    tag = known.normalize(locale)
    if tag not in offered:
        raise not_offered(task, tag, offered, folder)
    data = found.load(tag, folder=folder, seed=seed, **typed)
    empty = [split for split in SPLITS if not data.split(split)]
    if empty:
        sizes = ", ".join(f"{len(data.split(split))} {split}" for split in SPLITS)
        raise MuError(
            f"no {empty[0]} sentences for {tag} ({sizes}).",
            where=str(folder or f"task {task}"),
            hint="Add sentences: three or more of every label.",
        )
    return data


def _typed(task: Task, option: str, value: object) -> object:
    """Convert `value` to the type of the option's default; the command line passes text."""
    if option not in task.options:
        known = ", ".join(task.options) or "none"
        raise UsageError(f"unknown option {option!r} of the data.", hint=f"Options are: {known}.")
    if isinstance(task.options[option], int):
        if not str(value).isdigit():
            raise UsageError(f"option {option} must be a whole number, got {value!r}.")
        return int(str(value))
    return value


def not_offered(task: str, locale: str, offered: Sequence[str], folder: Path | None = None) -> UsageError:
    """Return the error for a locale that the task or the folder lacks, with the nearest that it has as a hint."""
    known.get(locale)  # a misspelt tag gets its own, better message
    language = locale.split("-")[0]
    same = [tag for tag in offered if tag.split("-")[0] == language]
    near = same or close(locale, offered, cutoff=0.3)
    hint = f"Nearest: {', '.join(near)}.\n" if near else ""
    return UsageError(
        f"no data for {locale}.",
        where=str(folder or f"task {task}"),
        hint=f"{hint}It offers {len(offered)}: {', '.join(offered)}.",
    )


def fingerprint(items: Sequence[Item]) -> str:
    """Return the sha256 over ids, texts and labels, in order."""
    return digest(*(part for item in items for part in (item.id, item.text, item.label)), length=64)


def digest(*parts: str, length: int = 8) -> str:
    """Return hex digits that depend on `parts` only: the same on every machine and in every run."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8")).hexdigest()[:length]


def make_items(
    task: str, locale: str, split: str, rows: Sequence[tuple[str, str, str]], *, tokens: bool = False
) -> tuple[Item, ...]:
    """Return items of (text, label, group) with stable ids; duplicates of text and label are dropped.

    tokens  the text is words and the label tags, each separated by single spaces
    """
    items: dict[str, Item] = {}
    for text, label, group in rows:
        id = f"{task}/{locale}/{split}/{digest(text, label)}"
        items.setdefault(id, Item(id, text, label, group, tuple(text.split(" ")) if tokens else ()))
    return tuple(items.values())

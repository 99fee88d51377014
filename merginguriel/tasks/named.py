"""Named tasks of a workspace: the user's own data under a name of their own, remembered in tasks.yaml.

The name is the first part of the context (`topics/e5-small`), so that evidence of unrelated data sets is never pooled.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merginguriel.errors import MuError, UsageError
from merginguriel.files import write_text
from merginguriel.text.suggest import suggest
from merginguriel.workspace import Workspace

from . import registry
from .files import ENDINGS

FILE = "tasks.yaml"
LOADER = "files"  # the registered task that reads a user's own data
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class Named:
    """A task of a workspace: its data folder, and the options with which `files` reads it."""

    name: str
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """How the data of a task are read: registered task, folder and options."""

    loader: str
    folder: Path | None
    options: Mapping[str, Any]


def read(space: Workspace) -> dict[str, Named]:
    """Return the named tasks of a workspace. Raises MuError for a damaged tasks.yaml."""
    path = space.root / FILE
    if not path.is_file():
        return {}
    import yaml

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {
            str(name): Named(
                str(name),
                space.root / str(one["data"]),
                {str(key): str(value) for key, value in (one.get("options") or {}).items()},
            )
            for name, one in table.items()
        }
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise MuError(
            f"this file cannot be read: {error}",
            where=str(path),
            hint="Each task is written as NAME: {data: FOLDER, options: {text: COLUMN}}.",
        ) from error


def write(space: Workspace, named: Mapping[str, Named]) -> None:
    """Write the named tasks of a workspace; folders inside it are relative to it."""
    import yaml

    table = {
        name: {"data": space.display(one.folder), **({"options": dict(one.options)} if one.options else {})}
        for name, one in sorted(named.items())
    }
    write_text(space.root / FILE, yaml.safe_dump(table, sort_keys=False, allow_unicode=True))


def add(space: Workspace, name: str, folder: Path, options: Mapping[str, str]) -> Named:
    """Add a named task after reading its data once.

    Raises:
        UsageError: The name is not valid, or already in use for other data.
        MuError: The data cannot be used; with file and line.
    """
    check_name(name)
    added = Named(name, folder.resolve(), dict(options))
    known = read(space)
    if known.get(name, added) != added:
        raise UsageError(
            f"the task {name} exists, with other data or options.",
            where=str(known[name].folder),
            hint=f"Choose another name, or remove it: mu tasks remove {name}",
        )
    offered = registry.locales(LOADER, added.folder)
    if not offered:
        raise no_files(folder)
    for locale in offered:
        registry.load(LOADER, locale, folder=added.folder, **added.options)
    write(space, {**known, name: added})
    return added


def no_files(folder: Path) -> UsageError:
    """Return the error for a folder without a data file, with the subfolder that has some."""
    below = (path for path in sorted(folder.iterdir()) if path.is_dir())
    inside = next((one for one in below if any(p.suffix in ENDINGS for p in one.iterdir())), None)
    hint = f"Looked for one file per locale, such as sw-KE.csv or sw-KE.train.csv; endings: {', '.join(ENDINGS)}."
    if inside:
        hint += f"\nThe folder {inside.name} in it has such files: --data {shlex.quote(str(inside))}"
    return UsageError("no data files in this folder.", where=str(folder), hint=hint)


def remove(space: Workspace, name: str) -> None:
    """Remove a named task from tasks.yaml; its data and models stay. Raises UsageError for an unknown name."""
    known = read(space)
    if name not in known:
        raise unknown(name, known)
    write(space, {other: one for other, one in known.items() if other != name})


def reading(space: Workspace, task: str, folder: Path | None) -> Reading:
    """Return how the data of `task` are read; of a name that is not known, from `folder` if one is given.

    Raises:
        UsageError: The task is unknown, or its name is in use for another folder.
    """
    if task in registry.tasks():
        return Reading(task, folder, {})
    known = read(space)
    if task in known:
        one = known[task]
        if folder and folder.resolve() != one.folder.resolve():
            raise UsageError(
                f"the task {task} is another folder: {one.folder}.",
                hint="Leave --data out, or give the other data a name of their own: --task NAME --data FOLDER",
            )
        return Reading(LOADER, one.folder, one.options)
    if folder is not None:
        check_name(task)
        return Reading(LOADER, folder, {})
    raise unknown(task, known)


def check_name(name: str) -> None:
    """Raise UsageError for a name that cannot be a task's."""
    if name == LOADER:
        raise unnamed()
    if name in registry.tasks():
        raise UsageError(f"{name} is a task of the program.", hint="Choose another name.")
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a task.",
            hint="Use small letters, digits, - and _, such as topics or faq-2.",
        )


def unnamed() -> UsageError:
    """Return the error for `files` without a name of the data."""
    return UsageError(
        "your own data need a name: `files` would pool the evidence of unrelated data sets.",
        hint="Name them once: mu tasks add NAME --data FOLDER\nThen use: --task NAME",
    )


def unknown(name: str, known: Mapping[str, Named]) -> UsageError:
    """Return the error for an unknown task."""
    names = sorted({*known, *registry.tasks()})
    return UsageError(
        f"unknown task {name!r}.",
        hint="\n".join(filter(None, (
            suggest(name, names),
            f"Tasks are: {', '.join(names)}.",
            f"For data of your own: mu tasks add {name if NAME.fullmatch(name) else 'NAME'} --data FOLDER",
        ))),
    )  # fmt: skip

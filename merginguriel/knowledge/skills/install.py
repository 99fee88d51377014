"""Install skills where coding agents look for them, and detect stale installations."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from merginguriel import files
from merginguriel.errors import KnowledgeError, MuError, UsageError
from merginguriel.knowledge.parse.skills import Skill, check_name, read_skill, skill_paths
from merginguriel.workspace import Workspace

AGENTS = (".agents/skills", ".claude/skills")  # of the workspace; other places are taken as they are given
REGISTRY = ".mu-skills.json"
FORM = 1


@dataclass(frozen=True)
class Installed:
    """An installed skill.

    `how` is link or copy; `source` its folder (relative to the place if both are in one workspace); `sha256` the
    digest of the folder when it was installed.
    """

    name: str
    how: str
    source: str
    version: str
    sha256: str
    date: str


def destination_of(space: Workspace, to: str) -> Path:
    """Return the folder that `to` names; `.agents/skills` and `.claude/skills` are the workspace's."""
    if to in AGENTS and not space.shipped:
        return space.root / to
    return Path(to).expanduser().absolute()


def install(
    space: Workspace, root: Path, names: Sequence[str] = (), *, copy: bool | None = None, force: bool = False
) -> list[Installed]:
    """Link or copy skills (default: all) to `root` and return what is registered there.

    Without `copy`, installed skills keep their kind, and others are linked; shipped skills are copied. A
    skill that cannot be read is not installed.

    Raises:
        MuError: If a name is taken by something that this did not install or that was changed since; nothing is
            there since; `force` replaces it.
    """
    if root.resolve().is_relative_to(space.skills.resolve()):
        raise UsageError(
            f"{root} is the workspace's own folder of skills, where its skills already are.",
            hint=f"Name another: --to {' or --to '.join(AGENTS)}",
        )
    registry = read_registry(root)
    skills = [read_skill(space.skills / name) for name in _chosen(space, names)]
    if not force:
        for skill in skills:
            _check_free(root, skill.name, registry.get(skill.name))
    digests = {skill.name: folder_sha256(skill.path.parent) for skill in skills}
    for skill in skills:
        known = registry.get(skill.name)
        usual = known.how == "copy" if known else space.shipped
        copied = usual if copy is None else copy
        put(skill, root, copy=copied)
        registry[skill.name] = Installed(
            skill.name, "copy" if copied else "link", _source(space, root, skill), skill.version,
            digests[skill.name], date.today().isoformat(),
        )  # fmt: skip
        # After each skill, so that a killed program leaves at most one unregistered.
        write_registry(root, registry)
    return list(registry.values())


def put(skill: Skill, root: Path, *, copy: bool) -> None:
    """Link or copy one skill's folder, replacing what has its name."""
    source, target = skill.path.parent.resolve(), root / skill.name
    try:
        root.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or target.is_file():
            target.unlink()
        if copy:
            with files.new_folder(target, replace=True) as folder:
                shutil.copytree(source, folder, dirs_exist_ok=True)
            return
        shutil.rmtree(target, ignore_errors=True)
        target.symlink_to(os.path.relpath(source, root.resolve()), target_is_directory=True)
    except OSError as error:
        failure = files.os_error(error, target)
        raise MuError(
            failure.what, where=failure.where, hint=failure.hint or "Links may not be allowed here: --copy"
        ) from error


def check(root: Path) -> list[tuple[Installed, str]]:
    """Return every skill registered at `root` with what is stale about it, or "".

    Raises:
        UsageError: If nothing was installed there.
    """
    registry = read_registry(root)
    if not registry:
        raise UsageError(f"no skills are installed in {root}.", hint="Install them: mu skills install")
    return [(item, trouble(root, item)) for item in registry.values()]


def trouble(root: Path, installed: Installed) -> str:
    """Return why an installed skill is stale: its source or its copy was changed or removed."""
    target, source = root / installed.name, (root / installed.source).resolve()
    if not (source / "SKILL.md").is_file():
        return f"its source no longer exists: {source}"
    if not target.exists():
        return "the link is broken" if target.is_symlink() else "it was removed"
    if installed.how == "link":
        return "" if target.resolve() == source else "the link points to another folder"
    digest = folder_sha256(target)
    if digest != installed.sha256:
        return "it was changed after it was installed"
    return "" if digest == folder_sha256(source) else "its source changed after it was installed"


def remove(root: Path, names: Sequence[str] = (), *, force: bool = False) -> list[str]:
    """Remove what was installed at `root` (default: all); raise MuError for a copy that was changed there."""
    registry = read_registry(root)
    for name in names:
        if name not in registry:
            raise UsageError(
                f"{name!r} is not installed in {root}.",
                hint=f"Installed there: {', '.join(registry) or 'none'}",
            )
    chosen = list(names or registry)
    if not force:
        for name in chosen:
            _check_free(root, name, registry[name])
    for name in chosen:
        target = root / name
        try:
            if target.is_symlink():
                target.unlink()
            elif target.exists():
                shutil.rmtree(target)
        except OSError as error:
            raise files.os_error(error, target) from error
        del registry[name]
        write_registry(root, registry)
    return chosen


def _chosen(space: Workspace, names: Sequence[str]) -> list[str]:
    available = [path.parent.name for path in skill_paths(space.skills)]
    for name in names:
        if name not in available:
            raise UsageError(f"unknown skill {name!r}.", hint=f"Known: {', '.join(available)}")
    return list(dict.fromkeys(names)) or available


def _check_free(root: Path, name: str, known: Installed | None) -> None:
    """Raise MuError if this name at `root` is taken by something that this program did not install."""
    target = root / name
    if not target.exists() and not target.is_symlink():
        return
    if known is None:
        raise MuError(
            "this name is taken by something that this program did not install.",
            where=str(target),
            hint="Rename or remove it, or replace it with: --force",
        )
    if target.is_symlink() != (known.how == "link") or (
        known.how == "copy" and folder_sha256(target) != known.sha256
    ):
        raise MuError(
            "it was changed after it was installed.",
            where=str(target),
            hint="Copy what you want to keep into skills/, then replace it with: --force",
        )


def _source(space: Workspace, root: Path, skill: Skill) -> str:
    """Return the source relative to `root` where both can only move together, else absolute."""
    source = skill.path.parent.resolve()
    together = root.resolve().is_relative_to(space.root.resolve())
    return os.path.relpath(source, root.resolve()) if together else str(source)


def folder_sha256(folder: Path) -> str:
    """Return the digest of all file names and contents of a folder; raise MuError for a link that leads out of it."""
    digest = hashlib.sha256()
    root = folder.resolve()
    for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
        if not path.resolve().is_relative_to(root):
            raise MuError(
                "a link points outside the skill's folder.",
                where=str(path),
                hint="Replace the link by the file.",
            )
        if path.is_file():
            for data in (
                path.relative_to(root).as_posix().encode("utf-8", "surrogateescape"),
                path.read_bytes(),
            ):
                digest.update(len(data).to_bytes(8, "big"))
                digest.update(data)
    return digest.hexdigest()


def read_registry(root: Path) -> dict[str, Installed]:
    """Return name → installed skill; raise MuError for a damaged registry."""
    path = root / REGISTRY
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        result = {name: Installed(name=name, **fields) for name, fields in content["skills"].items()}
        sound = content["form"] == FORM and all(
            isinstance(value, str) for item in result.values() for value in vars(item).values()
        )
        for name in result:
            check_name(name)  # a name like ../x would let --remove reach out of the folder
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, KnowledgeError):
        sound, result = False, {}
    if not sound:
        raise MuError(
            "the registry of installed skills cannot be read.",
            where=str(path),
            hint="Remove it, then install again with: mu skills install --force",
        )
    return result


def write_registry(root: Path, registry: dict[str, Installed]) -> None:
    """Write the registry; remove it if it is empty."""
    path = root / REGISTRY
    if not registry:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return
    skills = {
        item.name: {key: value for key, value in vars(item).items() if key != "name"}
        for item in sorted(registry.values(), key=lambda item: item.name)
    }
    files.write_text(path, json.dumps({"form": FORM, "skills": skills}, ensure_ascii=False, indent=2) + "\n")

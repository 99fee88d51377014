"""Record of how a folder was made, written beside its weights, so that equal work is not repeated."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from merginguriel import __version__
from merginguriel.errors import CheckpointError, MuError
from merginguriel.files import write_text

from .digest_cache import digest

MADE = "made"  # the part of a record that must agree before a folder is taken as it is


def already(out: Path, name: str, made: Mapping[str, Any]) -> bool:
    """Return whether `out` exists and its record `name` equals `made`.

    Raises:
        MuError: `out` was made in another way; the message names the differences.
    """
    if not out.exists():
        return False
    found = read(out / name).get(MADE)
    if found == dict(made):
        return True
    differing = [key for key in made if not isinstance(found, dict) or found.get(key) != made[key]]
    raise MuError(
        f"this folder was made in another way: {', '.join(differing) or 'its record has more entries'} differ"
        f"{'s' if len(differing) == 1 else ''}.",
        where=str(out / name),
        hint="Name another folder, or remove this one.",
    )


def write(folder: Path, name: str, made: Mapping[str, Any], **more: Any) -> None:
    """Write the record: `made` decides whether the folder can be reused, `more` is for information."""
    text = yaml.safe_dump({MADE: dict(made), **more}, sort_keys=False, allow_unicode=True)
    write_text(folder / name, text)


def read(path: Path) -> dict[str, Any]:
    """Read the record `path`. Raises MuError if it is missing or damaged."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MuError(
            f"this folder exists and has no {path.name}.",
            where=str(path.parent),
            hint="Name another folder, or remove this one.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"this record cannot be read: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise CheckpointError("this record is not a table.", where=str(path))
    return content


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """Return the sha256 by file name, sorted."""
    return {path.name: digest(path) for path in sorted(files)}


def text_hash(texts: Iterable[str]) -> str:
    """Return the sha256 of texts in their order; different lists have different hashes."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8")
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of this program and of installed packages."""
    return {"merginguriel": __version__, **{name: importlib.metadata.version(name) for name in packages}}


def card(folder: Path, *, license: str | None, title: str, body: str, languages: Iterable[str] = ()) -> None:
    """Write the model card, README.md, with the front matter that the Hugging Face hub reads."""
    front: dict[str, Any] = {"library_name": "transformers", "tags": ["merginguriel"]}
    if license:
        front["license"] = license
    if languages:
        front["language"] = sorted(languages)
    head = yaml.safe_dump(front, sort_keys=True)
    write_text(folder / "README.md", f"---\n{head}---\n\n# {title}\n\n{body.strip()}\n")

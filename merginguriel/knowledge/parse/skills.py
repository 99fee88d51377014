"""Parse a skill, and validate it for every Agent Skills client."""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from merginguriel.errors import KnowledgeError

from . import markdown
from .claims import Claim, parse_claims
from .yaml_lines import BOUNDARY, Mapping, line_of, need_text, read_front_matter, read_text

# https://agentskills.io/specification
FIELDS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
METADATA = ("version", "created", "updated", "domain", "tags", "short-description")
SECTIONS = (
    "General Description",
    "When to Apply",
    "Results Summary",
    "Recommended Practice",
    "Failure Modes",
    "Configuration",
    "References",
)
WORKFLOW_MAY_OMIT = ("Results Summary", "Failure Modes", "Configuration")
# A skill with claims or one of these keys is written for this program and must follow its rules.
MARKS = ("domain", "short-description")
MAX_LINES = 500
OWN = "(A rule of this program; other readers of the format may accept it.)"
_VERSION = re.compile(r"^[0-9]{1,9}(\.[0-9]{1,9}){0,4}\Z")
# What a plain scalar becomes in a client that reads with PyYAML.
_STRING = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class Skill:
    """One folder of skills/: SKILL.md and its claims.

    A `foreign` skill was written for any client: it makes no claims and may lack this program's metadata.

    `foreign`: written for any client and not for this program. It is read, makes no claims, and may lack our metadata.
    """

    name: str
    path: Path  # SKILL.md
    description: str
    metadata: dict[str, str]
    body: str
    claims: tuple[Claim, ...]
    body_line: int = 1  # where the body starts in the file
    foreign: bool = False

    @property
    def version(self) -> str:
        """Return the version; "" if a foreign skill has none."""
        return self.metadata.get("version", "")

    @property
    def updated(self) -> str:
        """Return the day of the last update, YYYY-MM-DD; "" if a foreign skill gives none."""
        return day(self.metadata.get("updated", "")) or ""

    @property
    def line(self) -> str:
        """Return the short description, else the description, on one line."""
        return " ".join((self.metadata.get("short-description") or self.description).split())

    def as_dict(self) -> dict[str, object]:
        """Return the skill as JSON-ready data."""
        return {
            "name": self.name,
            "description": self.description,
            "metadata": self.metadata,
            "claims": [claim.as_dict() for claim in self.claims],
            "foreign": self.foreign,
            "path": str(self.path),
            "body": self.body,
        }


@cache
def _resolver() -> Any:
    import yaml

    return yaml.resolver.Resolver()


def read_as_text(text: str) -> bool:
    """Return whether YAML readers take an unquoted scalar as text, not as a number, a date or the like."""
    import yaml

    return _resolver().resolve(yaml.ScalarNode, text, (True, False)) == _STRING


def parse_skill(text: str, path: Path, claims_text: str | None = None) -> Skill:
    """Parse a skill from the text of SKILL.md; raise KnowledgeError with file and line.

    What the Agent Skills specification asks for is asked of every skill. Sections, metadata, quotes and length are
    asked of those written for this program: they have claims, or one of MARKS in their metadata.
    """
    _check_front(text, path)
    front, body, body_line = read_front_matter(text, path)
    for key, value in front.items():
        if key not in FIELDS:
            raise KnowledgeError(
                f"unknown field {key!r}.",
                where=f"{path}:{getattr(value, 'line', 1)}",
                hint=f"Known: {', '.join(FIELDS)}.",
            )
    result = front.get("metadata")
    marked = isinstance(result, Mapping) and any(key in result for key in MARKS)
    foreign = claims_text is None and not marked
    name = _name(front, path, foreign)
    description = _field(front, "description", path, foreign)
    where = f"{path}:{line_of(front, 'description')}"
    if len(front["description"]) > 1024:
        raise KnowledgeError("description must be one line of at most 1,024 characters.", where=where)
    if "\n" in description and not foreign:
        raise _own("description must be one line of at most 1,024 characters.", where)
    for key in ("license", "compatibility", "allowed-tools"):
        if key in front and len(_field(front, key, path, foreign)) > 500:
            raise _own(f"{key} has more than 500 characters.", f"{path}:{line_of(front, key)}")
    metadata = _metadata(front, path, foreign)
    line = body_line + body[: len(body) - len(body.lstrip())].count("\n")
    if foreign:
        return Skill(name, path, description, metadata, body.strip(), (), line, foreign=True)
    if body.count("\n") > MAX_LINES:
        raise _own(f"the body has more than {MAX_LINES} lines.", f"{path}:{body_line + MAX_LINES}")
    _check_metadata(metadata, front, path)
    _check_sections(body, body_line, metadata, path)
    claims_path = path.parent / "claims.yaml"
    claims = parse_claims(claims_text, claims_path, skill=name) if claims_text is not None else ()
    return Skill(name, path, description, metadata, body.strip(), claims, line)


def _own(what: str, where: str, hint: str = "") -> KnowledgeError:
    """Return an error by a rule that the specification does not have."""
    return KnowledgeError(what, where=where, hint=f"{hint}\n{OWN}".strip())


def _name(front: Mapping, path: Path, foreign: bool) -> str:
    name = unicodedata.normalize("NFKC", _field(front, "name", path, foreign))
    where = f"{path}:{line_of(front, 'name')}"
    folder = unicodedata.normalize("NFKC", path.parent.name)
    if name != folder:
        raise KnowledgeError(f"name is {name!r}, its folder is {folder!r}.", where=where)
    check_name(name, where)
    return name


def check_name(name: str, where: str | None = None) -> None:
    """Raise KnowledgeError for a name that a skill may not have."""
    if (
        not name
        or len(name) > 64
        or name != name.lower()
        or name.strip("-") != name
        or "--" in name
        or not all(c.isalnum() or c == "-" for c in name)
    ):
        raise KnowledgeError(
            f"{name!r} is not a valid skill name.",
            where=where,
            hint="Lower case letters, digits and single hyphens, at most 64.",
        )


def _field(front: Mapping, key: str, path: Path, foreign: bool) -> str:
    where = f"{path}:{line_of(front, key)}"
    if key not in front:
        raise KnowledgeError(f"the front matter has no {key}.", where=where)
    text = _text(front[key], f"the field {key}", where, foreign).strip()
    if not text:
        fail = KnowledgeError if key in ("name", "description") else _own
        raise fail(f"the field {key} is empty.", where=where)
    return text


def _text(value: object, what: str, where: str, foreign: bool) -> str:
    """Return a text that every YAML reader reads alike: `2026-01-20` or `1.0` without quotes is refused.

    The text of a foreign skill is taken as it is.

    A foreign skill's is taken as it stands in the file.
    """
    try:
        text = need_text(value, what, where)
    except KnowledgeError as error:
        raise _own(error.what, where) from error
    if text and not foreign and getattr(value, "bare", False) and not read_as_text(text):
        raise _own(
            f"{what} is {text} without quotes, which other clients do not read as text.",
            where,
            f'Write it in quotes: "{text}"',
        )
    return text


def _check_front(text: str, path: Path) -> None:
    """Refuse front matter that clients read differently.

    Simple clients split at the first three dashes, others want them on lines of their own; strict ones refuse tabs.
    """
    first, _, rest = text.partition("\n")
    if not first.startswith("---"):
        return
    if first.rstrip(" \t") != "---":
        raise _own("the first line is not --- alone.", f"{path}:1")
    end = BOUNDARY.search(rest)
    if not end and "---" in rest:
        line = rest[: rest.index("---")].count("\n") + 2
        raise _own("the front matter is not closed with a line of --- alone.", f"{path}:{line}")
    inside = rest[: end.start()] if end else ""
    for mark, what in (
        ("---", "three dashes inside the front matter cut it short for some clients."),
        ("\t", "a tab inside the front matter is refused by some clients."),
    ):
        if mark in inside:
            raise _own(what, f"{path}:{inside[: inside.index(mark)].count(chr(10)) + 2}")


def _metadata(front: Mapping, path: Path, foreign: bool) -> dict[str, str]:
    """Return the metadata; {} if a foreign skill has none."""
    result = front.get("metadata")
    if foreign and (result is None or result == ""):
        return {}
    if not isinstance(result, Mapping) or result.flow:
        raise _own(
            "metadata is missing or not a mapping with a line for each key.",
            f"{path}:{line_of(front, 'metadata')}",
            "" if foreign else f"It needs: {', '.join(METADATA)}.",
        )
    if "<<" in result:
        raise _own("metadata has the key <<, by which some clients merge mappings.", f"{path}:{result.line}")
    return {
        key: _text(value, f"metadata.{key}", f"{path}:{line_of(result, key)}", foreign)
        for key, value in result.items()
    }


def _check_metadata(metadata: dict[str, str], front: Mapping, path: Path) -> None:
    result = front["metadata"]
    for key in METADATA:
        if not metadata.get(key, "").strip():
            raise _own(f"metadata has no {key}.", f"{path}:{result.line}")
    for key in ("created", "updated"):
        if not day(metadata[key]):
            raise _own(
                f"metadata.{key} says {metadata[key]!r}, not a date.",
                f"{path}:{line_of(result, key)}",
                "YYYY-MM-DD",
            )
    if not _VERSION.match(metadata["version"]):
        raise _own(
            f"metadata.version says {metadata['version']!r}.",
            f"{path}:{line_of(result, 'version')}",
            'Numbers separated by points, like "1.0.0".',
        )


def day(text: str) -> str | None:
    """Return `text` if it is a date written YYYY-MM-DD, else None."""
    try:
        return text if date.fromisoformat(text).isoformat() == text else None
    except ValueError:
        return None


def _check_sections(body: str, body_line: int, metadata: dict[str, str], path: Path) -> None:
    titles = [section.title for section in markdown.sections(body, body_line) if section.title]
    optional = WORKFLOW_MAY_OMIT if metadata["domain"] == "workflow" else ()
    for title in SECTIONS:
        if title not in titles and title not in optional:
            raise _own(f"the section '## {title}' is missing.", f"{path}:{body_line}")
    order = [title for title in titles if title in SECTIONS]
    if order != sorted(order, key=SECTIONS.index):
        raise _own(
            "the sections are in the wrong order.", f"{path}:{body_line}", f"Order: {', '.join(SECTIONS)}."
        )


def skill_paths(folder: Path) -> list[Path]:
    """Return every SKILL.md of a skills folder, by name; also one that cannot be read, such as a broken link."""
    with suppress(OSError):
        return sorted(
            Path(one) / "SKILL.md" for one in os.scandir(folder) if one.is_dir() and _is_in(one.path)
        )
    return []


def _is_in(folder: str) -> bool:
    """Return whether a folder has a SKILL.md, or cannot be searched for it."""
    try:
        os.lstat(f"{folder}/SKILL.md")
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def read_skill(folder: Path) -> Skill:
    """Read the skill in a folder; raise KnowledgeError if it is missing or ambiguous."""
    path, claims = folder / "SKILL.md", folder / "claims.yaml"
    if not path.is_file():
        raise no_skill_file(folder)
    return parse_skill(read_text(path), path, read_text(claims) if claims.is_file() else None)


def no_skill_file(folder: Path) -> KnowledgeError:
    """Return the error for the folder of a skill has no SKILL.md."""
    if (folder / "skill.md").is_file():
        return _own(
            "the file is named skill.md, which most clients do not find.",
            str(folder / "skill.md"),
            "Rename it: SKILL.md",
        )
    return KnowledgeError("the folder of a skill has no SKILL.md.", where=str(folder))

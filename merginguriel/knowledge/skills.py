"""What does a skill say, and is it valid for every Agent Skills client?"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import KnowledgeError
from . import markdown
from .claims import Claim, parse_claims
from .yamltext import Mapping, line_of, need_text, read_front_matter, read_text

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
MAX_LINES = 500
# What a plain scalar becomes in a client that reads with PyYAML.
_STRING = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class Skill:
    """One folder of skills/: SKILL.md and the claims beside it."""

    name: str
    path: Path  # SKILL.md
    description: str
    metadata: dict[str, str]
    body: str
    claims: tuple[Claim, ...]
    body_line: int = 1  # where the body starts in the file

    @property
    def version(self) -> str:
        return self.metadata["version"]

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "description": self.description,
            "metadata": self.metadata,
            "claims": [claim.as_dict() for claim in self.claims],
            "path": str(self.path),
            "body": self.body,
        }


@cache
def _resolver() -> Any:
    import yaml

    return yaml.resolver.Resolver()


def _tag(text: str) -> str:
    """The type that YAML readers take a bare scalar for."""
    import yaml

    return str(_resolver().resolve(yaml.ScalarNode, text, (True, False)))


def parse_skill(text: str, path: Path, claims_text: str | None = None) -> Skill:
    """A skill from SKILL.md's text. Raises KnowledgeError with file and line."""
    front, body, body_line = read_front_matter(text, path)
    _check_text(text, body, path)
    for key, value in front.items():
        if key not in FIELDS:
            raise KnowledgeError(
                f"unknown field {key!r}.",
                where=f"{path}:{getattr(value, 'line', 1)}",
                mend=f"Known: {', '.join(FIELDS)}.",
            )
    name = _name(front, path)
    description = _field(front, "description", path)
    if "\n" in description or len(front["description"]) > 1024:
        raise KnowledgeError(
            "description must be one line of at most 1,024 characters.",
            where=f"{path}:{line_of(front, 'description')}",
        )
    for key in ("license", "compatibility", "allowed-tools"):
        if key in front and len(_field(front, key, path)) > 500:
            raise KnowledgeError(
                f"{key} has more than 500 characters.", where=f"{path}:{line_of(front, key)}"
            )
    if body.count("\n") > MAX_LINES:
        raise KnowledgeError(
            f"the body has more than {MAX_LINES} lines.", where=f"{path}:{body_line + MAX_LINES}"
        )
    metadata = _metadata(front, path)
    _check_sections(body, body_line, metadata, path)
    claims_path = path.parent / "claims.yaml"
    claims = parse_claims(claims_text, claims_path, skill=name) if claims_text is not None else ()
    line = body_line + body[: len(body) - len(body.lstrip())].count("\n")
    return Skill(name, path, description, metadata, body.strip(), claims, line)


def _name(front: Mapping, path: Path) -> str:
    name = unicodedata.normalize("NFKC", _field(front, "name", path))
    where = f"{path}:{line_of(front, 'name')}"
    folder = unicodedata.normalize("NFKC", path.parent.name)
    if name != folder:
        raise KnowledgeError(f"name is {name!r}, its folder is {folder!r}.", where=where)
    if (
        len(name) > 64
        or name != name.lower()
        or name.strip("-") != name
        or "--" in name
        or not all(c.isalnum() or c == "-" for c in name)
    ):
        raise KnowledgeError(
            f"{name!r} is not a skill's name.",
            where=where,
            mend="Lower case letters, digits and single hyphens, at most 64.",
        )
    return name


def _field(front: Mapping, key: str, path: Path) -> str:
    where = f"{path}:{line_of(front, key)}"
    if key not in front:
        raise KnowledgeError(f"the front matter has no {key}.", where=where)
    text = _quoted(front[key], f"the field {key}", where).strip()
    if not text:
        raise KnowledgeError(f"the field {key} is empty.", where=where)
    return text


def _quoted(value: object, what: str, where: str) -> str:
    """A text that every YAML reader reads as this text: `2026-01-20` or `1.0` without quotes is not one."""
    text = need_text(value, what, where)
    if getattr(value, "bare", False) and _tag(text) != _STRING:
        raise KnowledgeError(
            f"{what} is {text or 'empty'} without quotes, which other clients do not read as text.",
            where=where,
            mend=f'Write it in quotes: "{text}"',
        )
    return text


def _check_text(text: str, body: str, path: Path) -> None:
    """Simple clients split at the first three dashes they meet, which would cut a value short; strict ones refuse tabs."""
    inside = text[3 : len(text) - len(body)].rstrip().removesuffix("---")
    for mark, what in (
        ("---", "three dashes inside the front matter cut it short for some clients."),
        ("\t", "a tab inside the front matter is refused by some clients."),
    ):
        if mark in inside:
            line = inside[: inside.index(mark)].count("\n") + 1
            raise KnowledgeError(what, where=f"{path}:{line}")


def _metadata(front: Mapping, path: Path) -> dict[str, str]:
    found = front.get("metadata")
    if not isinstance(found, Mapping) or found.flow:
        raise KnowledgeError(
            "metadata is missing or not a mapping with a line for each key.",
            where=f"{path}:{line_of(front, 'metadata')}",
            mend=f"It needs: {', '.join(METADATA)}.",
        )
    fields = {
        key: _quoted(value, f"metadata.{key}", f"{path}:{line_of(found, key)}")
        for key, value in found.items()
    }
    for key in METADATA:
        if not fields.get(key, "").strip():
            raise KnowledgeError(f"metadata has no {key}.", where=f"{path}:{found.line}")
    return fields


def _check_sections(body: str, body_line: int, metadata: dict[str, str], path: Path) -> None:
    titles = [section.title for section in markdown.sections(body, body_line) if section.title]
    optional = WORKFLOW_MAY_OMIT if metadata["domain"] == "workflow" else ()
    for title in SECTIONS:
        if title not in titles and title not in optional:
            raise KnowledgeError(f"the section '## {title}' is missing.", where=f"{path}:{body_line}")
    order = [title for title in titles if title in SECTIONS]
    if order != sorted(order, key=SECTIONS.index):
        raise KnowledgeError(
            "the sections stand in another order.",
            where=f"{path}:{body_line}",
            mend=f"Order: {', '.join(SECTIONS)}.",
        )


def skill_paths(folder: Path) -> list[Path]:
    """Every SKILL.md of a skills folder, by name."""
    return sorted(folder.glob("*/SKILL.md")) if folder.is_dir() else []


def load_skill(path: Path) -> Skill:
    claims = path.parent / "claims.yaml"
    return parse_skill(read_text(path), path, read_text(claims) if claims.is_file() else None)

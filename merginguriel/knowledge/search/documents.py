"""Documents of the search index: one for every skill, claim and entry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.parse.troubleshooting import Trouble


@dataclass(frozen=True)
class Document:
    """A skill, a claim, an entry, or a file that cannot be read as one (its plain text).

    Attributes:
        scopes: (target, method) that it is about; None: any. Empty: not known.
        trouble: The error that a Troubleshooting entry describes.
    """

    kind: str
    name: str
    path: Path
    title: str
    summary: str
    body: str
    type: str = ""
    date: str = ""
    scopes: tuple[tuple[str | None, str | None], ...] = ()
    trouble: Trouble | None = None


def documents(knowledge: Knowledge) -> dict[str, list[Document]]:
    """Map each unit (an entry, or a skill with its claims) to its documents."""
    result: dict[str, list[Document]] = {}
    for entry in knowledge.entries:
        scopes = tuple(dict.fromkeys((None if r.target == "-" else r.target, r.method) for r in entry.rows))
        text = "\n".join([entry.body, ", ".join(entry.tags), entry.origin])
        result[unit_of(knowledge, entry.path)] = [
            Document(
                "entry",
                entry.id,
                entry.path,
                entry.title,
                entry.summary,
                text,
                entry.type,
                entry.date,
                scopes,
                entry.trouble,
            )
        ]
    for skill in knowledge.skills:
        claims = [_claim(claim, skill) for claim in skill.claims]
        claimed = tuple(dict.fromkeys(scope for claim in claims for scope in claim.scopes))
        meta = skill.metadata
        summary = f"{skill.description}\n{meta.get('tags', '')}"
        result[unit_of(knowledge, skill.path)] = [
            Document(
                "skill", skill.name, skill.path, meta.get("short-description", ""), summary, skill.body,
                "", meta.get("updated", ""), claimed,
            ),
            *claims,
        ]  # fmt: skip
    return result


def unit_of(knowledge: Knowledge, path: Path) -> str:
    """Return the name of a file's unit, relative to the workspace."""
    return path.relative_to(knowledge.space.root).as_posix()


def _claim(claim: Claim, skill: Skill) -> Document:
    targets: tuple[object, ...] = tuple(claim.scope.get("target") or (None,))
    methods: tuple[object, ...] = tuple(claim.scope.get("method") or (None,))
    scope = " ".join(f"{name} {' '.join(map(str, values))}" for name, values in claim.scope.items())
    body = f"{scope} {' '.join(claim.evidence)} {skill.name}"
    scopes = tuple((_word(target), _word(method)) for target in targets for method in methods)
    path = skill.path.with_name("claims.yaml")
    return Document("claim", claim.id, path, claim.text, "", body, claim.predicate, claim.since, scopes)


def _word(value: object) -> str | None:
    return None if value is None else str(value)


def as_it_is(path: Path) -> Document:
    """Return a document of an unreadable file, so that it can be found by its words."""
    try:
        text = path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        text = ""
    kind = "skill" if path.name == "SKILL.md" else "entry"
    name = path.parent.name if kind == "skill" else path.stem
    return Document(kind, name, path, name, "", text, "unreadable", path.stem[:10] if kind == "entry" else "")

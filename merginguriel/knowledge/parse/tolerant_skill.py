"""Read a skill of any client as far as possible; what the strict reader refuses becomes a problem.

`parse_skill` accepts only what every Agent Skills client reads alike. Real skills have lists in their metadata, fields
of one client, dates without quotes, or colons in a plain description. These are read here, after the advice of the
specification's guide for clients: read what can be read, report the rest, skip a skill without a description.
"""

from __future__ import annotations

import re
from pathlib import Path

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.problems import Problem, of_error

from .claims import Claim, readable_claims
from .skills import MARKS, Skill, parse_skill
from .yaml_lines import BOUNDARY, Mapping, read_yaml

# `key: value` whose value is not quoted, a list, a mapping or a block.
_PLAIN = re.compile(r"""^(\s*[\w-]+:[ \t]+)([^\s"'\[{|>&*!%@`#].*?)[ \t]*$""")


def read(text: str, path: Path, claims_text: str | None = None) -> tuple[Skill | None, list[Problem]]:
    """Return the skill, None if it has neither a description nor claims, and every problem found.

    Args:
        text: Text of SKILL.md.
        path: Its path; the skill has the name of its folder where its own name is refused.
        claims_text: Text of claims.yaml, if there is one.
    """
    try:
        return parse_skill(text, path, claims_text), []
    except KnowledgeError as error:
        problems = [of_error(error, path)]
    claims: tuple[Claim, ...] = ()
    if claims_text is not None:
        claims, wrong = readable_claims(claims_text, path.with_name("claims.yaml"), path.parent.name)
        problems += [one for one in wrong if one not in problems]
    found, body, body_line = front(text.removeprefix("\ufeff"), path)
    description = " ".join(_flat(found.get("description", "")).split())
    if not description and not claims:
        return None, problems
    given = found.get("metadata")
    metadata = _pairs(given) if isinstance(given, Mapping) else {}
    foreign = claims_text is None and not any(key in metadata for key in MARKS)
    skill = Skill(path.parent.name, path, description, metadata, body.strip(), claims, body_line, foreign)
    return skill, problems


def front(text: str, path: Path) -> tuple[Mapping, str, int]:
    """Return front matter, body and the body's first line; no front matter where it cannot be read."""
    parts = BOUNDARY.split(text, 2)
    if len(parts) < 3 or parts[0].strip():
        return Mapping(), text, 1
    for inside in (parts[1], "\n".join(map(_quoted, parts[1].split("\n")))):
        try:
            found = read_yaml(inside.replace("\t", "  "), path)
        except KnowledgeError:
            continue
        body = parts[2]
        line = text.count("\n", 0, len(text) - len(body.lstrip())) + 1
        return (found if isinstance(found, Mapping) else Mapping()), body, line
    return Mapping(), text, 1


def _quoted(line: str) -> str:
    """Return a line `key: value` with its plain value in quotes, as in `description: Use when: …`."""
    match = _PLAIN.match(line)
    if not match:
        return line
    value = match[2].replace("\\", "\\\\").replace('"', '\\"')
    return f'{match[1]}"{value}"'


def _flat(value: object) -> str:
    """Return a value as one text: the items of a list with commas between them."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_flat(item)}" for key, item in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list) else str(value or "")


def _pairs(given: Mapping, before: str = "") -> dict[str, str]:
    """Return nested metadata as one level, `author: {name: x}` as `author.name`."""
    found: dict[str, str] = {}
    for key, value in given.items():
        found |= (
            _pairs(value, f"{before}{key}.") if isinstance(value, Mapping) else {before + key: _flat(value)}
        )
    return found

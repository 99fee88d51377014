"""Skills over MCP: entries with digests, and every file as a resource, after the Skills extension.

Source: SEP-2640, extension io.modelcontextprotocol/skills, specification of 2026-09.
"""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.parse import tolerant_skill
from merginguriel.knowledge.parse.skills import skill_paths
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.workspace import Workspace

from .bounds import inside

EXTENSION = "io.modelcontextprotocol/skills"
SCHEME = "skill://"
MOST_FILES, MOST_BYTES = 512, 16 << 20  # of one skill: what every host will take


def entries(space: Workspace) -> list[dict[str, Any]]:
    """Return all readable skills: URI, front matter as written, and files with digest and size."""
    result = []
    for path in skill_paths(space.skills):
        try:
            result.append(entry(space, path.parent.name))
        except MuError:
            continue  # `mu lint` reports it
    return result


def entry(space: Workspace, name: str) -> dict[str, Any]:
    """Return one skill; raise MuError if it does not exist or cannot be served."""
    folder = space.skills / name
    if not name or Path(name).name != name or name.startswith(".") or not (folder / "SKILL.md").is_file():
        raise UsageError(f"unknown skill {name!r}.", hint="See: skills/list")
    result = files(space, name)
    if len(result) > MOST_FILES or sum(len(data) for data in result.values()) > MOST_BYTES:
        raise MuError(f"the skill {name} is larger than clients must accept.", where=space.display(folder))
    front, _, _ = tolerant_skill.front(read_text(folder / "SKILL.md"), folder / "SKILL.md")
    if not front:
        raise MuError(f"the front matter of the skill {name} cannot be read.", where=space.display(folder))
    return {
        "uri": uri(name, "SKILL.md"),
        "frontmatter": written(front),
        "resources": [
            {
                "uri": uri(name, file),
                "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
                "size": len(data),
            }
            for file, data in result.items()
        ],
    }


def files(space: Workspace, name: str) -> dict[str, bytes]:
    """Return the files of a skill by their path inside it, SKILL.md first, without hidden files."""
    folder = space.skills / name
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    inner = {path: path.relative_to(folder) for path in paths}
    served = [path for path in paths if not any(part.startswith(".") for part in inner[path].parts)]
    served.sort(key=lambda path: (inner[path].as_posix() != "SKILL.md", inner[path].as_posix()))
    return {inner[path].as_posix(): inside(space, path, "a skill's file").read_bytes() for path in served}


def uri(name: str, file: str) -> str:
    """Return the URI of a skill's file."""
    return f"{SCHEME}{name}/{quote(file)}"


def skill_of(text: str) -> str:
    """Return NAME of `skill://NAME/SKILL.md`; raise UsageError for anything else."""
    name, sign, file = text.removeprefix(SCHEME).partition("/")
    if not text.startswith(SCHEME) or not sign or file != "SKILL.md":
        raise UsageError(f"{text!r} is not the address of a skill.", hint="skill://NAME/SKILL.md")
    return unquote(name)


def read(space: Workspace, text: str) -> tuple[bytes, str]:
    """Return the content of `skill://NAME/PATH` and its media type; raise UsageError if it does not exist."""
    name, _, file = text.removeprefix(SCHEME).partition("/")
    name, file = unquote(name), unquote(file)
    if text.startswith(SCHEME) and Path(name).name == name and (space.skills / name / "SKILL.md").is_file():
        result = files(space, name).get(file)  # looked up by name: no path is followed
        if result is not None:
            return result, media_type(file)
    raise UsageError(f"unknown resource {text!r}.", hint="See: resources/list")


def media_type(file: str) -> str:
    """Return the media type of a file by its ending."""
    if file.endswith(".md"):
        return "text/markdown"
    if file.endswith((".yaml", ".yml")):
        return "application/yaml"
    return mimetypes.guess_type(file)[0] or "application/octet-stream"


def written(value: Any) -> Any:
    """Return front matter as JSON, with text as written."""
    if isinstance(value, dict):
        return {str(key): written(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [written(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)

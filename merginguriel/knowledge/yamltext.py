"""How is YAML read so that `2026-01-20` stays a text and every value knows its line?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import frontmatter
import yaml
from frontmatter.default_handlers import YAMLHandler

from ..errors import KnowledgeError

# The C parser is ten times faster and reads the same language.
Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class Text(str):
    """A scalar with the line it stands on. A parser types it later."""

    line: int

    @staticmethod
    def at(value: str, line: int) -> Text:
        text = Text(value)
        text.line = line
        return text


class Mapping(dict):
    """A YAML mapping with the line it starts on."""

    line: int = 0


def read_yaml(text: str, path: Path | str, *, first_line: int = 1) -> Any:
    """YAML as nested `Mapping`, list and `Text`. Raises KnowledgeError with file and line.

    Refuses what YAML readers disagree about: duplicate keys, aliases, tags, several documents.
    """
    try:
        events = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark else 0)
        raise KnowledgeError(
            f"this is not valid YAML: {error.problem or error.context}.",
            where=f"{path}:{line}",
            mend="Quote any text that holds a colon, a #, or starts with a special character.",
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise KnowledgeError(f"this is not valid YAML: {error}", where=f"{path}:{first_line}") from error
    return None if events is None else _convert(events, path, first_line, depth=0)


def _convert(node: yaml.Node, path: Path | str, first_line: int, depth: int) -> Any:
    line = first_line + node.start_mark.line
    if depth > 20:
        raise KnowledgeError("nested too deeply.", where=f"{path}:{line}")
    if isinstance(node, yaml.ScalarNode):
        return Text.at(node.value, line)
    if isinstance(node, yaml.SequenceNode):
        return [_convert(item, path, first_line, depth + 1) for item in node.value]
    mapping = Mapping()
    mapping.line = line
    assert isinstance(node, yaml.MappingNode)
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise KnowledgeError("a key must be a plain word.", where=f"{path}:{line}")
        if key_node.value in mapping:
            raise KnowledgeError(
                f"the key {key_node.value!r} stands twice.",
                where=f"{path}:{first_line + key_node.start_mark.line}",
            )
        mapping[key_node.value] = _convert(value_node, path, first_line, depth + 1)
    return mapping


class _Handler(YAMLHandler):
    """python-frontmatter's split with our string-preserving reader."""

    FM_BOUNDARY = re.compile(r"^-{3}[ \t]*$", re.MULTILINE)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def load(self, fm: str, **_: object) -> Any:
        # The text before the first line of `fm` is the opening ---, which ends line 1.
        return read_yaml(fm, self.path)


def read_front_matter(text: str, path: Path) -> tuple[Mapping, str, int]:
    """Front matter, body, and the line in the file on which the body starts."""
    if not text.startswith("---"):
        raise KnowledgeError(
            "no front matter: the file does not start with ---.",
            where=f"{path}:1",
            mend="See docs/formats.md.",
        )
    handler = _Handler(path)
    if len(handler.FM_BOUNDARY.findall(text)) < 2:
        raise KnowledgeError("the front matter is not closed with a line of ---.", where=f"{path}:1")
    # parse() strips the body, which would lose count of its lines.
    _, _, body = handler.FM_BOUNDARY.split(text, 2)
    metadata, _ = frontmatter.parse(text, handler=handler)
    if not isinstance(metadata, dict) or not metadata:
        raise KnowledgeError("the front matter holds no keys.", where=f"{path}:1")
    found = Mapping(metadata)
    found.line = 1
    return found, body, text.count("\n", 0, len(text) - len(body)) + 1


def read_text(path: Path) -> str:
    """A text file with `\\n` line ends, or a KnowledgeError that names it."""
    try:
        return path.read_text(encoding="utf-8").replace("\r\n", "\n").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"this is not UTF-8 text (byte {error.start}).", where=str(path)) from error
    except OSError as error:
        raise KnowledgeError(
            f"cannot read: {(error.strerror or str(error)).lower()}.", where=str(path)
        ) from error


def need_text(value: object, what: str, where: str) -> str:
    """`value` if it is one scalar, else an error."""
    if not isinstance(value, Text):
        raise KnowledgeError(f"{what} must be one value, not a list or a mapping.", where=where)
    return str(value)

"""Read YAML with every scalar as text (`2026-01-20` stays text) that knows its line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merginguriel.errors import KnowledgeError

# PyYAML and python-frontmatter are imported on use: cached knowledge needs neither.
if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 20
BOUNDARY = re.compile(r"^-{3}[ \t]*$", re.MULTILINE)


class Text(str):
    """A scalar with its line, to be typed later. `bare`: it was written without quotes."""

    line: int
    bare: bool

    @staticmethod
    def at(value: str, line: int, bare: bool = False) -> Text:
        """Return a text with its line."""
        text = Text(value)
        text.line = line
        text.bare = bare
        return text


class Mapping(dict):
    """A YAML mapping with the line it starts on. `flow`: it was written in braces."""

    line: int = 0
    flow: bool = False


class LinedList(list):
    """A YAML list with the line it starts on."""

    line: int = 0


def read_yaml(text: str, path: Path | str, *, first_line: int = 1) -> Any:
    """Read YAML as nested `Mapping`, list and `Text`; raise KnowledgeError with file and line.

    Refuses what YAML readers disagree about: duplicate keys, anchors and aliases, tags, several documents.
    """
    import yaml

    # The C parser is ten times faster and reads the same language.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return _document(yaml.parse(text.removeprefix("\ufeff"), Loader=loader), f"{path}", first_line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark else 0)
        raise KnowledgeError(
            f"this is not valid YAML: {error.problem or error.context}.",
            where=f"{path}:{line}",
            hint="Quote any text that holds a colon, a #, or starts with a special character.",
        ) from error
    except yaml.reader.ReaderError as error:
        line = first_line + text.count("\n", 0, error.position)
        raise KnowledgeError(
            f"this is not valid YAML: the character {error.character!r} is not allowed.",
            where=f"{path}:{line}",
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise KnowledgeError(f"this is not valid YAML: {error}", where=f"{path}:{first_line}") from error


def _document(events: Iterator[yaml.Event], path: str, first_line: int) -> Any:
    """Return the value of the only document in `events`; None if it is empty."""
    import yaml

    result, documents = None, 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise KnowledgeError(
                    "a second YAML document starts here.", where=f"{path}:{_line(event, first_line)}"
                )
            result = _value(next(events), events, path, first_line, depth=0)
    return result


def _value(event: yaml.Event, events: Iterator[yaml.Event], path: str, first_line: int, depth: int) -> Any:
    """Return the value that starts with `event`.

    Built from events and not by PyYAML's composer, which crashes on deep nesting and follows aliases, whose
    number can grow without bound.
    """
    import yaml

    line = _line(event, first_line)

    def fail(problem: str) -> KnowledgeError:
        return KnowledgeError(problem, where=f"{path}:{line}")

    if getattr(event, "anchor", None) is not None:
        raise fail("anchors and aliases (&name, *name) are not supported; repeat the value.")
    if getattr(event, "tag", None) is not None:
        raise fail("tags (!name) are not supported; remove it.")
    if depth > MAX_DEPTH:
        raise fail("nested too deeply.")
    if isinstance(event, yaml.ScalarEvent):
        return Text.at(event.value, line, bare=not event.style)
    if isinstance(event, yaml.SequenceStartEvent):
        items = LinedList()
        items.line = line
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_value(item, events, path, first_line, depth + 1))
        return items
    mapping = Mapping()
    mapping.line = line
    mapping.flow = bool(getattr(event, "flow_style", False))
    while not isinstance(item := next(events), yaml.MappingEndEvent):
        line = _line(item, first_line)
        key = _value(item, events, path, first_line, depth + 1)
        if not isinstance(key, Text):
            raise fail("a key must be a plain word.")
        if key in mapping:
            raise fail(f"the key {str(key)!r} appears twice.")
        mapping[str(key)] = _value(next(events), events, path, first_line, depth + 1)
    return mapping


def _line(event: yaml.Event, first_line: int) -> int:
    return first_line + (event.start_mark.line if event.start_mark else 0)


def read_front_matter(text: str, path: Path) -> tuple[Mapping, str, int]:
    """Return front matter, body, and the line of the file on which the body starts."""
    if text.startswith("\ufeff"):
        raise KnowledgeError(
            "the file starts with a byte order mark, which many readers do not accept.",
            where=f"{path}:1",
            hint="Save it as UTF-8 without one.",
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise KnowledgeError(
            "the text has the control character U+0000.", where=f"{path}:{line}", hint="Remove it."
        )
    if not text.startswith("---"):
        raise KnowledgeError(
            "no front matter: the file does not start with ---.",
            where=f"{path}:1",
            hint="See docs/formats.md.",
        )
    if len(BOUNDARY.findall(text)) < 2:
        raise KnowledgeError("the front matter is not closed with a line of ---.", where=f"{path}:1")
    # parse() strips the body, which would lose count of its lines.
    _, _, body = BOUNDARY.split(text, 2)
    import frontmatter
    from frontmatter.default_handlers import YAMLHandler

    class Handler(YAMLHandler):
        """Split of python-frontmatter with the reader of this module."""

        FM_BOUNDARY = BOUNDARY

        def load(self, fm: str, **_: object) -> Any:
            # The text before the first line of `fm` is the opening ---, which ends line 1.
            return read_yaml(fm, path)

    metadata, _ = frontmatter.parse(text, handler=Handler())
    if not isinstance(metadata, dict) or not metadata:
        raise KnowledgeError("the front matter has no keys.", where=f"{path}:1")
    found = Mapping(metadata)
    found.line = 1
    return found, body, text.count("\n", 0, len(text) - len(body)) + 1


def read_text(path: Path, most: int | None = None) -> str:
    r"""Return a text file with `\n` line ends; raise KnowledgeError with its path.

    A pipe, a socket or a device is refused and not waited for.

    Args:
        path: The file.
        most: Size in bytes above which it is refused.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, encoding="utf-8") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise KnowledgeError("this is not a file with text.", where=str(path), hint="Remove it.")
            if most is not None and status.st_size > most:
                raise KnowledgeError(
                    f"the file has {status.st_size:,} bytes, more than {most:,}.",
                    where=str(path),
                    hint="Move long tables to a file beside it.",
                )
            return file.read()
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"this is not UTF-8 text (byte {error.start}).", where=str(path)) from error
    except ValueError as error:
        raise KnowledgeError(f"invalid file name: {error}.", where=repr(str(path))) from error
    except OSError as error:
        raise KnowledgeError(
            f"cannot read: {(error.strerror or str(error)).lower()}.", where=str(path)
        ) from error


def line_of(mapping: Mapping, key: str) -> int:
    """Return the line of the value of `key`; the mapping's own line if it has none."""
    return getattr(mapping.get(key), "line", mapping.line or 1)


def need_text(value: object, what: str, where: str) -> str:
    """Return `value` if it is a scalar; else raise KnowledgeError, in which `what` names it."""
    if not isinstance(value, Text):
        raise KnowledgeError(f"{what} must be one value, not a list or a mapping.", where=where)
    return str(value)

"""Commands and flags that messages and documentation name exist."""

from __future__ import annotations

import re

import click
from conftest import REPOSITORY

from merginguriel.cli.main import mu

FILES = [*sorted((REPOSITORY / "merginguriel").rglob("*.py")), REPOSITORY / "README.md",
         *sorted((REPOSITORY / "docs").glob("*.md")), *sorted((REPOSITORY / "skills").glob("*/SKILL.md"))]  # fmt: skip
HINT = re.compile(r"(?:`|: |\$ |next +|Next: |&& |with |or )mu ([a-z]+)\b([^`\n\"&\\]*)")


def test_every_command_that_a_text_names_exists():
    assert [wrong for path in FILES for wrong in unknown_words(path)] == []


def unknown_words(path):
    """Yield (file, command line, what does not exist) of every `mu` line in a file."""
    for name, rest in HINT.findall(path.read_text(encoding="utf-8")):
        command = mu.get_command(click.Context(mu), name)
        if command is None:
            yield path.relative_to(REPOSITORY), f"mu {name}", "the command"
            continue
        words = rest.split()
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        known = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
        if isinstance(command, click.Group):
            known |= {
                flag for sub in command.commands.values() for param in sub.params for flag in param.opts
            }
        unknown = [
            word for word in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", rest) if word not in {*known, "--help"}
        ]
        if unknown:
            yield path.relative_to(REPOSITORY), f"mu {name}{rest}", unknown

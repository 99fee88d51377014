"""Every action has a command and a screen, or a reason why not."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import click
import pytest
from actions import ACTIONS
from merginguriel_tui import registry
from merginguriel_tui.registry import SCREENS

import merginguriel
from merginguriel.cli.main import mu

SOURCE = "\n".join(path.read_text() for path in sorted(Path(registry.__file__).parent.rglob("*.py")))


def commands(command: click.Command, name: str):
    if not isinstance(command, click.Group):
        return {name}
    context = click.Context(command)
    inner = [(one, command.get_command(context, one)) for one in command.list_commands(context)]
    own = {name} if command.invoke_without_command and command.params else set()
    return own | {found for one, sub in inner for found in commands(sub, f"{name} {one}")}


def test_every_command_stands_in_the_table_and_no_other_does():
    named = {action.command for action in ACTIONS if action.command}

    assert named == commands(mu, "mu")


def defined(module: str) -> set[str]:
    """Names at the top level of a module of the program, read without importing it: torch takes seconds."""
    path = Path(merginguriel.__file__).parent.joinpath(*module.split("."))
    tree = ast.parse(
        (path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py").read_text()
    )
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return found | {
        one.asname or one.name for node in tree.body if isinstance(node, ast.ImportFrom) for one in node.names
    }


def test_the_function_of_every_action_exists():
    parts = [action.function.partition(":") for action in ACTIONS]

    assert [f"{module}:{name}" for module, _, name in parts if name not in defined(module)] == []


@pytest.mark.parametrize("action", [a for a in ACTIONS if a.screen], ids=lambda action: action.name)
def test_the_screen_and_the_binding_of_an_action_exist_and_mu_tui_names_its_function(action):
    name, _, binding = action.screen.partition(":")
    module, attribute, _ = SCREENS[name]

    assert hasattr(importlib.import_module(f"merginguriel_tui.screens.{module}"), attribute)
    assert not binding or binding in registry.binding_ids()
    where, _, function = action.function.partition(":")
    for word in (where.rpartition(".")[2], function):
        assert re.search(rf"\b{word}\b", SOURCE), f"nothing in mu-tui names {word}"


def test_what_one_of_the_two_lacks_has_a_reason():
    for action in ACTIONS:
        assert (action.command and action.screen) or len(action.why) > 20, action.name


def test_an_action_is_named_once():
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)


def test_every_screen_does_something():
    assert {action.screen.partition(":")[0] for action in ACTIONS} - {""} == set(SCREENS)

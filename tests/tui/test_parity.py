"""Can everything that can be done be done from `mu` and from `mu-tui`, or is there a reason why not?"""

from __future__ import annotations

import importlib

import click
import pytest
from textual.binding import Binding

from merginguriel.actions import ACTIONS
from merginguriel.cli.main import mu
from merginguriel_tui.app import SCREENS, MuApp


def commands(command: click.Command, name: str):
    if not isinstance(command, click.Group):
        return {name}
    context = click.Context(command)
    inner = [(one, command.get_command(context, one)) for one in command.list_commands(context)]
    return {found for one, sub in inner for found in commands(sub, f"{name} {one}")}


def ids(*of: type) -> set[str]:
    bindings = [one for cls in of for base in cls.__mro__ for one in vars(base).get("BINDINGS", ())]
    return {one.id for one in bindings if isinstance(one, Binding) and one.id}


def test_every_command_stands_in_the_table_and_no_other_does():
    named = {action.command for action in ACTIONS if action.command}

    assert named == commands(mu, "mu")


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_the_function_of_an_action_exists(action):
    module, _, name = action.function.partition(":")

    assert hasattr(importlib.import_module(f"merginguriel.{module}"), name), action.function


@pytest.mark.parametrize("action", [a for a in ACTIONS if a.screen], ids=lambda action: action.name)
def test_the_screen_and_the_binding_of_an_action_exist(action):
    name, _, binding = action.screen.partition(":")

    module, attribute, _ = SCREENS[name]
    screens = importlib.import_module(f"merginguriel_tui.screens.{module}")

    classes = [one for one in vars(screens).values() if isinstance(one, type)]
    assert hasattr(screens, attribute)
    assert not binding or binding in ids(MuApp, *classes)


def test_what_one_of_the_two_lacks_has_a_reason():
    for action in ACTIONS:
        assert (action.command and action.screen) or len(action.why) > 20, action.name


def test_an_action_is_named_once():
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)


def test_every_screen_does_something():
    assert {action.screen.partition(":")[0] for action in ACTIONS} - {""} == set(SCREENS)

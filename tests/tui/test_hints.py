"""Hints name the keys that the keymap gives, never fixed ones."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import merginguriel_tui
import pytest
from looking import press, settled, text_of
from pilot import play

SOURCES = sorted(Path(merginguriel_tui.__file__).parent.rglob("*.py"))
NAMED = re.compile(
    r"\b(ctrl|shift|alt)\+\w|[Pp]ress ['\"]?\S(?!\w)|space bar|\b(\w|escape|ctrl.\w): [a-z]{4}|\(\d, then|(^|\W)[b-z] (on|runs|opens|writes|resumes|copies|shows)\b"
)


def texts(tree: ast.AST) -> list[ast.Constant]:
    """Return the strings that a user may read: no docstrings, no arguments of a binding, no names of keys to compare with."""
    silent: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) or (
            isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Binding"
        ):
            silent.update(ast.walk(node) if isinstance(node, ast.Call) else [node.value])
        if isinstance(node, ast.Compare):
            silent.update(ast.walk(node))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in silent]
    return [node for node in found if isinstance(node.value, str) and not node.value.startswith("\n    ")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_text_names_a_key_of_its_own(path):
    named = [
        f"{node.lineno}: {node.value}"
        for node in texts(ast.parse(path.read_text()))
        if NAMED.search(node.value)
    ]
    assert not named


def test_a_hint_follows_the_keymap(bench):
    (bench.root / "mu.toml").write_text('[tui.keys]\n"runs.new" = "N"\n')

    async def script(app, pilot):
        await settled(app, pilot)
        assert "no runs yet; press N to start one" in text_of(app)
        await press(app, pilot, "N")
        assert type(app.screen).__name__ == "LaunchScreen"

    play(bench.load_space(), script, screen="runs")

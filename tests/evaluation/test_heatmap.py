"""Does the matrix read the same with and without colour, and does the picture hold the values?"""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.evaluation.heatmap import BASIC, PLAIN, TRUE, depth, render, save_png
from merginguriel.evaluation.nxn import Matrix
from merginguriel.text.colours import CIVIDIS

SMALL = Matrix(
    ("sw-KE", "en-US"),
    ("sw-KE", "en-US", "de-DE"),
    np.array([[0.801, 0.4, float("nan")], [0.512, 0.903, 0.65]]),
    np.array([120, 500, 500]),
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def bare(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_numbers_own_model_and_best_are_marked_without_colour():
    lines = render(SMALL).splitlines()
    assert lines[0].split() == ["source", "sw-KE", "en-US", "de-DE"]
    assert lines[1].split() == ["sw-KE", "[80.1]*", "40.0", "–"]
    assert lines[2].split() == ["en-US", "51.2", "[90.3]*", "65.0", "*"]
    assert lines[3].split() == ["n", "120", "500", "500"]


@pytest.mark.parametrize("colours", [BASIC, TRUE])
def test_colour_adds_nothing_but_colour(colours):
    painted = render(SMALL, depth=colours)
    assert painted != render(SMALL) == bare(painted)
    assert painted.count("\x1b[0m") == 5  # every measured cell, and the missing one is left alone


def test_the_highest_cell_has_the_light_end_of_the_scale():
    line = render(SMALL, depth=TRUE).splitlines()[2]
    assert f"48;2;{';'.join(map(str, CIVIDIS[-1]))}m" in line


def test_colour_only_where_it_is_wanted():
    fancy = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    assert depth(Terminal(), fancy) == TRUE
    assert depth(Terminal(), {"TERM": "xterm"}) == BASIC
    assert depth(Terminal(), {**fancy, "NO_COLOR": "1"}) == PLAIN
    assert depth(Terminal(), {"TERM": "dumb"}) == PLAIN
    assert depth(io.StringIO(), fancy) == PLAIN


@given(st.integers(1, 30), st.integers(40, 200))
def test_a_wide_matrix_is_cut_to_the_terminal_and_loses_no_target(count, width):
    targets = tuple(f"t{i}-XX" for i in range(count))
    wide = Matrix(("en-US",), targets, np.full((1, count), 0.5), np.full(count, 10))
    lines = render(wide, width=width).splitlines()
    assert all(len(line) <= width for line in lines[:-1])
    assert [cell for line in lines if line.startswith("source") for cell in line.split()[1:]] == list(targets)


def test_the_picture_is_a_png_and_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("one.png", "two.png"):
        save_png(SMALL, tmp_path / name)
    data = (tmp_path / "one.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data == (tmp_path / "two.png").read_bytes()


def test_an_empty_matrix_is_drawn_too(tmp_path):
    pytest.importorskip("matplotlib")
    empty = Matrix(("en-US",), ("sw-KE",), np.full((1, 1), np.nan), np.array([0]))
    save_png(empty, tmp_path / "empty.png")
    assert "–" in render(empty)


def test_our_colours_are_those_of_matplotlib():
    colormaps = pytest.importorskip("matplotlib").colormaps
    for place, ours in zip(np.linspace(0, 1, 5), CIVIDIS, strict=True):
        theirs = [round(255 * part) for part in colormaps["cividis"](place)[:3]]
        assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 2

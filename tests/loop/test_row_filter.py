"""Errors of --only and --figure."""

from __future__ import annotations

import pytest

from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.loop.row_filter import PNG, only, picture

ROWS = [
    ResultRow("home/e5-small", target, "ExcTar", method, "accuracy", 0.6, 400)
    for target in ("da-DK", "sv-SE")
    for method in ("ties", "slerp")
]


def test_rows_are_those_that_say_one_of_the_values():
    assert [(r.target, r.method) for r in only(ROWS, "method=ties")] == [("da-DK", "ties"), ("sv-SE", "ties")]
    assert only(ROWS, "method = ties, slerp") == ROWS


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("methd=ties", "unknown column 'methd'", "Did you mean method?"),
        ("method=tiess", "no row has method 'tiess'", "Did you mean ties?"),
        ("method=ties,slrp", "no row has method 'slrp'", "Did you mean slerp?"),
        ("method", "is not COLUMN=VALUE", "Columns: context"),
        ("", "is not COLUMN=VALUE", "Columns: context"),
    ],
)
def test_a_slip_is_named_with_what_was_meant(text, what, hint):
    with pytest.raises(UsageError) as caught:
        only(ROWS, text)
    assert what in caught.value.what and hint in caught.value.hint


def test_a_figure_is_a_png_that_is_there(tmp_path):
    there = tmp_path / "matrix.png"
    there.write_bytes(PNG + b"rest")
    assert picture(f"Accuracy, k=3={there}") == ("Accuracy, k=3", there)
    with pytest.raises(UsageError) as caught:
        picture(f"Accuracy={tmp_path / 'matrx.png'}")
    assert caught.value.hint == "Did you mean matrix.png?" and "matrx.png" in caught.value.where
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UsageError, match="not a PNG"):
        picture(f"Accuracy={tmp_path / 'notes.png'}")
    for text in ("matrix.png", f"={there}", "Accuracy="):
        with pytest.raises(UsageError, match="is not CAPTION=FILE"):
            picture(text)

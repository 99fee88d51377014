"""docs/tui.md lists exactly the keys that exist."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tui_keys():
    found = importlib.util.spec_from_file_location("tui_keys", REPOSITORY / "scripts" / "tui_keys.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_has_every_key_with_what_it_does_and_its_id(tui_keys):
    page = (REPOSITORY / "docs" / "tui.md").read_text()

    assert page == tui_keys.renewed(page), "python scripts/tui_keys.py writes the tables anew"
    there = tui_keys.bound()
    assert len(there["MuApp"]) > 15 and "MatrixScreen" in there
    for found in there.values():
        for keys, does, name in found:
            assert f"| {keys} | {does} | `{name}` |" in page


def test_a_page_without_a_place_for_a_class_is_refused(tui_keys):
    with pytest.raises(SystemExit, match="RunsScreen"):
        tui_keys.renewed("<!-- keys: MuApp -->\n<!-- /keys -->")
    with pytest.raises(SystemExit, match="MuApp"):
        tui_keys.renewed("")


def test_every_picture_of_the_readme_and_the_page_is_there():
    for page, least in ((REPOSITORY / "README.md", 1), (REPOSITORY / "docs" / "tui.md", 6)):
        named = [part.split(")")[0] for part in page.read_text().split("](")[1:]]
        named += [part.split('"')[0] for part in page.read_text().split('src="')[1:]]
        pictures = [page.parent / name for name in named if "tui-" in name]
        assert len(pictures) >= least, page
        for picture in pictures:
            assert picture.stat().st_size < 250_000, picture

"""Would this knowledge base have caught the eleven defects of the original one?

Each folder of defects/ is a small workspace with one of them, `expected.txt` what lint has to say of it, line by line,
and `mended/` the files that put it right.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import of_other_rules

CASES = sorted(path for path in (Path(__file__).parent / "defects").iterdir() if path.is_dir())


def test_there_are_eleven():
    assert [case.name[:2] for case in CASES] == [f"{n:02d}" for n in range(1, 12)]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request, tmp_path) -> tuple[Path, Path]:
    """(the workspace with the defect, the folder of what mends it)"""
    shutil.copytree(request.param, tmp_path / "work", ignore=shutil.ignore_patterns("mended", "expected.txt"))
    return tmp_path / "work", request.param


def test_lint_names_the_defect_and_what_to_do(case, mu):
    work, source = case
    told = mu("lint", "--workspace", work)
    assert told.code == 1
    said = told.out + told.err
    for line in (source / "expected.txt").read_text(encoding="utf-8").splitlines():
        assert line in said, f"{line}\n--- not in\n{said}"
    for problem in mu("lint", "--workspace", work, "--json").json:
        assert ":" in problem["where"] and problem["hint"], problem


def test_once_mended_lint_is_content(case, mu):
    work, source = case
    shutil.copytree(source / "mended", work, dirs_exist_ok=True)
    told = mu("lint", "--workspace", work, "--json").json
    assert of_other_rules(problem["what"] for problem in told) == []


def test_nothing_but_the_defect_is_wrong(case, mu):
    """Each problem is one that `expected.txt` speaks of: no case is caught by an accident of its files."""
    work, source = case
    expected = (source / "expected.txt").read_text(encoding="utf-8").splitlines()
    for problem in mu("lint", "--workspace", work, "--json").json:
        said = f"{problem['where']}: {problem['what']}"
        assert any(line in said for line in expected) or not of_other_rules([said]), said

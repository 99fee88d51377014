"""Checks of the log and the skills of this repository, which hold whatever is added to them.

These are the only tests that read the live folders. They name no number of the log: a new entry may change any of them.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import skills_ref
from conftest import REPOSITORY, copy_knowledge

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge import base
from merginguriel.knowledge.parse import entries
from merginguriel.knowledge.parse.skills import read_skill, skill_paths
from merginguriel.knowledge.skills.evals import questions
from merginguriel.workspace import find

SWAHILI = {"target": "sw-KE", "mode": "ExcTar", "baseline_kind": "best_single_source", "baseline": 0.467}
NEW_CONTEXT = {"target": "eu-ES", "mode": "ExcTar", "method": "ties", "similarity": "REAL", "k": 3,
               "baseline_kind": "best_single_source"}  # fmt: skip


def observation(title: str, *rows: dict, kind: str = "Observation", **more: object) -> dict:
    """Return an entry in the form that `mu log add` reads."""
    sections = {"Findings": "See the rows."}
    return {"title": title, "type": kind, "summary": "Measured once.", "n": 2974, "sections": sections,
            **({"rows": list(rows)} if rows else {}), **more}  # fmt: skip


ADDED = [
    observation("A gain on Swahili", {**SWAHILI, "method": "slerp", "similarity": "REAL", "k": 2, "value": 0.4902}),
    observation("A large loss on Swahili", {**SWAHILI, "method": "ties", "similarity": "URIEL", "k": 5, "value": 0.31}),
    observation("A tie on Swahili", {**SWAHILI, "method": "linear", "similarity": "REAL", "k": 5, "value": 0.467}),
    observation("The target among the sources", {**NEW_CONTEXT, "mode": "IncTar", "value": 0.79,
                "baseline_kind": "target_alone", "baseline": 0.81}, context="massive/another-base"),
    observation("Seeds 1 and 2 of one setting", *(
        {**SWAHILI, "method": "similarity", "similarity": "REAL", "k": 5, "seed": seed, "value": value}
        for seed, value in ((1, 0.481), (2, 0.452)))),
    observation("A new context", {**NEW_CONTEXT, "value": 0.71, "baseline": 0.66},
                {**NEW_CONTEXT, "target": "de-DE", "value": 0.61, "baseline": 0.66}, context="massive/another-base"),
    observation("A method that nobody logged before", {**SWAHILI, "method": "pcb-merging", "k": 4, "value": 0.475},
                kind="Retrospective"),
    observation("Another metric", {**SWAHILI, "method": "slerp", "similarity": "REAL", "k": 2, "value": 0.41, "baseline": 0.43},
                metric="spearman"),
    observation("A plan for Welsh", kind="Plan",
                expected=[{"target": "cy-GB", "method": "model_stock", "similarity": "URIEL", "k": 7, "low_pp": -2, "high_pp": 1}]),
    observation("What the plan for Welsh gave", {"target": "cy-GB", "mode": "ExcTar", "method": "model_stock",
                "similarity": "URIEL", "k": 7, "value": 0.44, "baseline_kind": "best_single_source", "baseline": 0.4445},
                kind="Retrospective", answers=["PLAN"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def live() -> Path:
    return REPOSITORY


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Path:
    """A copy of the shipped knowledge to which ten entries were added through `mu log add`."""
    from merginguriel.cli.main import run

    root = copy_knowledge(tmp_path_factory.mktemp("grown") / "work", REPOSITORY)
    log = root / "experiment_log"
    before = set(log.glob("*/*.md"))
    with pytest.MonkeyPatch.context() as patch:
        for entry in ADDED:
            if entry.get("answers"):
                (plan,) = (path.stem for path in log.glob("*/*-a-plan-for-welsh-*.md"))
                entry = {**entry, "answers": [plan]}
            patch.setattr(sys, "stdin", io.StringIO(json.dumps(entry)))
            assert run(["log", "add", "-", "--anyway", "--workspace", str(root)]) == 0, entry["title"]
    assert len(set(log.glob("*/*.md")) - before) == len(ADDED)
    return root


@pytest.fixture(params=["live", pytest.param("grown", marks=pytest.mark.slow)])
def root(request) -> Path:
    return request.getfixturevalue(request.param)


@pytest.mark.slow
def test_lint_finds_no_problem(grown, mu):
    """Of what is shipped too, which `make check` lints alone."""
    result = mu("lint", "--workspace", grown)
    assert (result.code, result.out) == (0, "") and result.err.startswith("no problems.\n")


def test_every_entry_parses_and_its_rows_are_named_in_order(root):
    paths = entries.entry_paths(root / "experiment_log")
    assert paths
    for path in paths:
        entry = entries.load_entry(path)
        assert [row.ref for row in entry.rows] == [f"{path.stem}#r{i + 1}" for i in range(len(entry.rows))]


def test_every_skill_is_valid_for_us_and_for_the_reference(root):
    paths = skill_paths(root / "skills")
    assert paths
    for path in paths:
        assert skills_ref.validate(path.parent) == []
        assert skills_ref.read_properties(path.parent).description == read_skill(path.parent).description


def test_advice_answers_for_targets_with_and_without_evidence(root, mu):
    for target in ("sw-KE", "cy-GB", "eu-ES", "is-IS"):
        result = mu("advise", "--target", target, "--json", "--workspace", root)
        assert result.code in (0, 4) and result.json["target"] == target


def test_lists_and_search_show_every_entry(root, mu):
    knowledge = base.load(find(explicit=root))
    listed = mu("log", "list", "--json", "--workspace", root).json
    assert {entry["id"] for entry in listed} == {entry.id for entry in knowledge.entries}
    assert mu("search", "Swahili", "--json", "--workspace", root).json


def test_every_skill_has_questions_and_passes_them(live, mu):
    knowledge = base.load(find(explicit=live))
    assert {question.skill for question in questions(knowledge)} == {skill.name for skill in knowledge.skills}
    told = mu("skills", "eval", "--workspace", live)
    assert told.code == 0, told.out


def test_a_damaged_entry_is_found(tmp_path):
    """The checks above can fail."""
    copy_knowledge(tmp_path / "work", REPOSITORY)
    path = next((tmp_path / "work" / "experiment_log").glob("*/*.md"))
    path.write_text(path.read_text(encoding="utf-8").replace("---\n", "", 1), encoding="utf-8")
    with pytest.raises(KnowledgeError, match=path.name):
        entries.load_entry(path)

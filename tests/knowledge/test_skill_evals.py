"""Questions beside a skill test whether it teaches their answers."""

from __future__ import annotations

import sys

import pytest
from conftest import SKILL


@pytest.fixture
def asked(bench):
    bench.skill(text=SKILL.format(name="a-skill").replace("Text.", "The magic word of pooling is quokka."))
    folder = bench.root / "skills" / "a-skill" / "evals"
    folder.mkdir()

    def write(answer: str) -> None:
        text = f'- question: "What is the magic word of pooling?"\n  answer: "{answer}"\n'
        (folder / "questions.yaml").write_text(text, encoding="utf-8")

    write("Quokka")
    return write


def test_a_question_passes_if_search_finds_the_skill_and_its_text_has_the_answer(asked, bench, mu):
    assert mu("skills", "eval", "--workspace", bench.root).code == 0
    asked("wombat")
    told = mu("skills", "eval", "--workspace", bench.root)
    assert told.code == 1 and "its text lacks the answer" in told.out


def test_an_agent_is_asked_with_and_without_the_skill(asked, bench, mu):
    told = mu("skills", "eval", "--agent", "cat", "--workspace", bench.root)
    assert told.code == 0 and "right with the skill, wrong without" in told.out


def test_an_agent_that_fails_is_named(asked, bench, mu):
    told = mu(
        "skills", "eval", "--agent", f"{sys.executable} -c raise(SystemExit(3))", "--workspace", bench.root
    )
    assert told.code == 3 and "exit code 3" in told.err

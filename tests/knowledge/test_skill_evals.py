"""Questions beside a skill test whether it teaches their answers."""

from __future__ import annotations

import sys

import pytest
from conftest import REPOSITORY, SKILL


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


# Answers with the sentence of its input that shares the most words with the question, or says that it does not know.
READER = r"""
import re, sys
text, _, question = sys.stdin.read().rpartition("Question: ")
wanted = set(re.findall(r"[a-z]{3,}", question.lower()))
shared = {line: len(wanted & set(re.findall(r"[a-z]{3,}", line.lower()))) for line in re.split(r"(?<=[.])\s", text)}
best = max(shared, key=shared.get)
print(best if shared[best] >= 2 else "I do not know.")
"""


def test_a_program_that_reads_is_right_with_the_skill_and_wrong_without(asked, bench, mu, tmp_path):
    program = tmp_path / "reader.py"
    program.write_text(READER, encoding="utf-8")
    agent = f"{sys.executable} {program}"
    told = mu("skills", "eval", "--agent", agent, "--json", "--workspace", bench.root)
    assert [(one["right"], one["right_without"]) for one in told.json] == [(True, False)]
    said = mu("skills", "eval", "a-skill", "--agent", agent, "--workspace", bench.root)
    assert "1 of 1 right with the skill, 0 without." in said.err
    asked("wombat")
    told = mu("skills", "eval", "--agent", agent, "--json", "--workspace", bench.root)
    assert [(one["right"], one["right_without"]) for one in told.json] == [(False, False)]


@pytest.mark.slow
def test_the_shipped_skills_teach_the_same_program_more_than_it_knows_without_them(mu, tmp_path):
    program = tmp_path / "reader.py"
    program.write_text(READER, encoding="utf-8")
    told = mu(
        "skills",
        "eval",
        "pilots",
        "--agent",
        f"{sys.executable} {program}",
        "--json",
        "--workspace",
        REPOSITORY,
    )
    assert sum(one["right"] for one in told.json) >= sum(one["right_without"] for one in told.json) == 0


def test_an_agent_that_fails_is_named(asked, bench, mu):
    told = mu(
        "skills", "eval", "--agent", f"{sys.executable} -c raise(SystemExit(3))", "--workspace", bench.root
    )
    assert told.code == 3 and "exit code 3" in told.err

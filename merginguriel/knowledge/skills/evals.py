"""Questions about a skill with checkable answers, in `evals/questions.yaml` beside SKILL.md.

A list; each item has `question` and `answer`, one text or a list of texts that an answer has to contain.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from merginguriel.errors import KnowledgeError, UnavailableError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.parse.yaml_lines import Mapping, need_text, read_text, read_yaml
from merginguriel.knowledge.search.query import search

FIRST = 5  # hits of the search among which the skill has to be
TIMEOUT = 600  # seconds for one answer of an agent


@dataclass(frozen=True)
class EvalQuestion:
    """A question and the texts that a right answer contains (case is ignored)."""

    skill: str
    text: str
    answers: tuple[str, ...]

    def is_in(self, text: str) -> bool:
        """Return whether a text contains every answer; differences of white space and case do not count."""
        flat = " ".join(text.lower().split())
        return all(" ".join(answer.lower().split()) in flat for answer in self.answers)


@dataclass(frozen=True)
class Result:
    """The score of one question. `right_without` is the answer without the skill, None where no agent was asked."""

    skill: str
    question: str
    right: bool
    right_without: bool | None
    text: str

    def as_dict(self) -> dict[str, object]:
        """Return the result as JSON-ready data."""
        return dict(vars(self))


def questions(knowledge: Knowledge, name: str | None = None) -> list[EvalQuestion]:
    """Return the questions of all skills, or of one; raise KnowledgeError with file and line."""
    skills = [knowledge.skill(name)] if name else knowledge.skills
    return [question for skill in skills for question in _of(skill)]


def _of(skill: Skill) -> list[EvalQuestion]:
    path = skill.path.parent / "evals" / "questions.yaml"
    if not path.is_file():
        return []
    items = read_yaml(read_text(path), path)
    result = []
    for item in items if isinstance(items, list) else [items]:
        if not isinstance(item, Mapping) or not {"question", "answer"} <= item.keys():
            raise KnowledgeError("a question has the keys question and answer.", where=f"{path}:1")
        where = f"{path}:{item.line}"
        answer = item["answer"]
        texts = answer if isinstance(answer, list) else [answer]
        answers = tuple(need_text(text, "answer", where) for text in texts)
        result.append(EvalQuestion(skill.name, need_text(item["question"], "question", where), answers))
    return result


def check(asked: Sequence[EvalQuestion], knowledge: Knowledge) -> list[Result]:
    """Check that search finds the skill of each question, and that its text contains the answer."""
    result = []
    for question in asked:
        hits = search(knowledge.space, question.text, kinds=("skill", "claim"), limit=FIRST)
        found = any(f"skills/{question.skill}/" in hit.path for hit in hits)
        there = question.is_in(_text(knowledge.skill(question.skill)))
        faults = ["search does not find the skill"] * (not found) + ["its text lacks the answer"] * (
            not there
        )
        text = f"{question.text}: {'; '.join(faults) or 'passes'}"
        result.append(Result(question.skill, question.text, not faults, None, text))
    return result


def ask(asked: Sequence[EvalQuestion], agent: str, knowledge: Knowledge) -> list[Result]:
    """Ask an agent each question with and without the text of the skill, and score both answers."""
    result = []
    for question in asked:
        text = _text(knowledge.skill(question.skill))
        right = question.is_in(_answer(agent, f"{text}\n\nQuestion: {question.text}\n"))
        without = question.is_in(_answer(agent, f"Question: {question.text}\n"))
        words = [("right" if one else "wrong") for one in (right, without)]
        line = f"{question.text}: {words[0]} with the skill, {words[1]} without"
        result.append(Result(question.skill, question.text, right, without, line))
    return result


def _answer(agent: str, prompt: str) -> str:
    try:
        run = subprocess.run(
            shlex.split(agent), input=prompt, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"the agent command failed: {error}") from error
    if run.returncode:
        raise UnavailableError(
            f"the agent command ended with exit code {run.returncode}.", hint=run.stderr[-400:]
        )
    return run.stdout


def _text(skill: Skill) -> str:
    return f"{skill.description}\n\n{skill.body}"

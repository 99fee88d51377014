"""Fixtures of many tests: a small workspace on disk, and `mu` in process."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from merginguriel import workspace
from merginguriel.cli.main import run
from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.base import Knowledge, load

pytest_plugins = ["lab_fixtures"]  # sentences, encoder, lab, made, trained: for commands that work on models

REPOSITORY = Path(__file__).resolve().parent.parent
KNOWLEDGE = REPOSITORY / "tests" / "fixtures" / "knowledge"  # frozen: see its README.md

# The same examples in every run, so that a change is what turns a test red; EXPLORE=1 draws new ones, and more where a test
# does not set their number. On a busy
# machine, drawing and running an example may take any time.
EXPLORE = bool(os.environ.get("EXPLORE"))
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not EXPLORE,
    max_examples=300 if EXPLORE else 40,
)  # fmt: skip
settings.load_profile("suite")


# A shell starts what it runs in the background with SIGINT ignored, and children inherit that; the tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """What the program keeps between calls, for this session alone: not in the user's own cache."""
    kept = pytest.MonkeyPatch()
    kept.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    kept.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    yield
    kept.undo()


@pytest.fixture(scope="session", autouse=True)
def frozen_knowledge():
    """Let the frozen copy stand for the knowledge that ships with the program, in this process."""
    patch = pytest.MonkeyPatch()
    space = workspace.Workspace(KNOWLEDGE, shipped=True, settings=dict(workspace.DEFAULTS))
    patch.setattr(workspace, "shipped", lambda: space)
    yield
    patch.undo()


SKILL = """\
---
name: {name}
description: "How to test. Use when testing."
license: "Apache-2.0"
metadata:
  version: "1.0.0"
  created: "2026-01-20"
  updated: "2026-01-20"
  domain: "workflow"
  tags: "test"
  short-description: "a skill for tests"
---

## General Description

Text.

## When to Apply

Always.

## Recommended Practice

Do it.

## References

None.
"""

ENTRY = """\
---
title: "{title}"
type: "Retrospective"
date: "{date}"
summary: "Made for a test."
context: "massive/xlm-roberta-base"
metric: "accuracy"
n: "{n}"
{more}---

## Results

{table}
"""

HEAD = """\
| target | mode | method | similarity | k | value | baseline_kind | baseline |
|---|---|---|---|---|---|---|---|
"""


def row(
    target: str = "sw-KE",
    value: float = 0.48,
    baseline: float = 0.46,
    *,
    mode: str = "ExcTar",
    method: str = "similarity",
    similarity: str = "REAL",
    k: int = 5,
    kind: str = "best_single_source",
) -> str:
    return f"| {target} | {mode} | {method} | {similarity} | {k} | {value:.4f} | {kind} | {baseline:.4f} |"


def head(*columns: str) -> str:
    """The head of a table of results with more columns."""
    more = "".join(f" {name} |" for name in columns)
    return HEAD.replace("baseline |\n", f"baseline |{more}\n").replace(
        "|---|\n", f"|---|{'---|' * len(columns)}\n"
    )


def claim(
    name: str = "a-claim", predicate: str = "beats", *, scope: str = "{target: sw-KE}", over: str = "best_single_source",
    prefer: str = "", evidence: str = "2026-01-20-test-00000001", text: str = "It is so.", since: str = "2026-01-20",
    more: str = "",
) -> str:  # fmt: skip
    """A claim of claims.yaml; `evidence`: ids with commas."""
    better = f"  prefer: {prefer}\n" if prefer else ""
    return (
        f'- id: {name}\n  text: "{text}"\n  scope: {scope}\n  predicate: {predicate}\n{better}  over: {over}\n'
        f'  evidence: [{evidence}]\n  since: "{since}"\n{more}'
    )


# Flags of `mu log add` that make an entry.
OBSERVATION = ("--title", "T", "--type", "Observation", "--summary", "S.")


def of_other_rules(problems: Iterable[str]) -> list[str]:
    """Leave out what the rule on citations says of tests' own texts and of the frozen skills, which cite nothing."""
    return [
        text
        for text in problems
        if "and cites no claim." not in text and "table that is not generated." not in text
    ]


def copy_knowledge(root: Path, source: Path = KNOWLEDGE, settings: str = "") -> Path:
    """Copy the log and the skills of `source` into a new workspace at `root`; return `root`."""
    for part in ("experiment_log", "skills"):
        shutil.copytree(source / part, root / part, ignore=shutil.ignore_patterns(".draft"))
    (root / "mu.toml").write_text(settings)
    return root


@dataclass
class Bench:
    """A workspace under test."""

    root: Path

    def skill(self, name: str = "a-skill", *, text: str | None = None, claims: str = "") -> Path:
        folder = self.root / "skills" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "SKILL.md").write_text(text or SKILL.format(name=name), encoding="utf-8")
        if claims:
            (folder / "claims.yaml").write_text(claims, encoding="utf-8")
        return folder / "SKILL.md"

    def entry(
        self,
        *rows: str,
        entry: str = "2026-01-20-test-00000001",
        n: object = 2974,
        table: str | None = None,
        title: str = "A test",
        more: str = "",
    ) -> Path:
        path = self.root / "experiment_log" / entry[:4] / f"{entry}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = table if table is not None else HEAD + "\n".join(rows)
        text = ENTRY.format(title=title, date=entry[:10], n=n, more=more, table=table)
        path.write_text(text, encoding="utf-8")
        return path

    def load_space(self) -> workspace.Workspace:
        return workspace.find(explicit=self.root)

    def load(self, as_of: str | None = None) -> Knowledge:
        return load(self.load_space(), as_of=as_of)

    def load_all(self) -> Knowledge:
        """Load the knowledge; raise KnowledgeError for the first file that cannot be read."""
        knowledge = self.load()
        for one in knowledge.problems:
            raise KnowledgeError(one.what, where=one.where, hint=one.hint)
        return knowledge


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A workspace with one skill and an empty log."""
    root = tmp_path / "work"
    (root / "experiment_log").mkdir(parents=True)
    (root / "mu.toml").write_text("")
    made = Bench(root)
    made.skill()
    return made


class Frozen(Bench):
    """A workspace that does not change: its knowledge is read once."""

    def load(self, as_of: str | None = None) -> Knowledge:
        return load_once(self.root, as_of)


@functools.cache
def load_once(root: Path, as_of: str | None) -> Knowledge:
    return load(workspace.find(explicit=root), as_of=as_of)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    """A workspace with the frozen log and skills. Read only."""
    return Frozen(copy_knowledge(tmp_path_factory.mktemp("study") / "work"))


@pytest.fixture
def space(bench: Bench) -> workspace.Workspace:
    """The bench, with the context home/e5-small: the workspace of most screens."""
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    return bench.load_space()


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def mu(capsys: pytest.CaptureFixture[str]):
    """`mu ARGUMENTS` in this process: its exit code, stdout and stderr. A traceback fails the test by itself."""

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Said(code, told.out, told.err)

    return call


def git(root: Path, *words: str) -> str:
    """Run `git` in `root` as somebody, with no settings of the machine; return what it prints."""
    who = ("user.name=A", "user.email=a@example.org", "commit.gpgsign=false", "init.defaultBranch=main")
    command = ["git", *(word for setting in who for word in ("-c", setting)), *words]
    alone = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    alone |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(command, cwd=root, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def log(mu, bench, monkeypatch):
    """`mu log …` in the bench, with this text on standard input."""

    def call(*words, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        return mu("log", *words, "--workspace", bench.root)

    return call


@pytest.fixture
def editor(monkeypatch, tmp_path):
    """Makes $EDITOR a program that replaces one text by another, and ends with an exit code."""

    def make(old, new, code=0):
        script = tmp_path / "editor.py"
        script.write_text(
            "import sys, pathlib\np = pathlib.Path(sys.argv[1])\n"
            f"p.write_text(p.read_text().replace({old!r}, {new!r}))\nsys.exit({code})\n"
        )
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")

    return make

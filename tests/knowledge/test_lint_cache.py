"""Lint never answers from a stale cache: a change of any kind of input changes the answer at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import SKILL, git, row

from merginguriel.knowledge.lint import runner
from merginguriel.knowledge.parse import file_stamps

ENTRY = "2026-01-20-test-00000001"
TEXT = SKILL.replace(
    "None.\n", "- [Table](reference/table.md)\n- results/matrix.csv\n- evals/questions.yaml\n"
)


@pytest.fixture
def settled(bench, monkeypatch):
    """A workspace without problems whose answer is in the cache."""
    (bench.root / "results").mkdir()
    (bench.root / "results" / "matrix.csv").write_text("a,b\n")
    folder = bench.skill(text=TEXT.format(name="a-skill")).parent
    for name in ("reference/table.md", "evals/questions.yaml"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("- a: b\n")
    path = bench.entry(row())
    path.with_suffix(".png").write_bytes(b"PNG")
    path.write_text(
        path.read_text() + f"\n## Figure\n\n![A figure]({ENTRY}.png)\n\n## Data\n\n- results/matrix.csv\n"
    )
    git(bench.root, "init", "-q")
    commit(bench.root)
    # Files count as settled at once, so that the answer is cached.
    monkeypatch.setattr(runner, "is_settled", lambda one: file_stamps.is_settled(one, time.time() + 60))
    assert lint(bench) == []
    assert runner.place(bench.root).is_file()
    return bench


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "-qm", "State")


def lint(bench) -> list[str]:
    return [problem.what for problem in runner.cached_problems(bench.load_space())]


def removed(name: str):
    return lambda root: (root / name).unlink()


def written(name: str, text: str):
    def write(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return write


def changed(name: str, old: str, new: str):
    return lambda root: (root / name).write_text((root / name).read_text().replace(old, new))


SKILL_FILE, ENTRY_FILE = "skills/a-skill/SKILL.md", f"experiment_log/2026/{ENTRY}.md"
CHANGES = {
    "a file that an entry points to": removed("results/matrix.csv"),
    "a figure of an entry": removed(f"experiment_log/2026/{ENTRY}.png"),
    "a reference file of a skill": removed("skills/a-skill/reference/table.md"),
    "an eval of a skill": removed("skills/a-skill/evals/questions.yaml"),
    "the text of a skill": changed(SKILL_FILE, "## References", "## Sources"),
    "a new folder without a skill": lambda root: (root / "skills" / "empty").mkdir(),
    "claims": written("skills/a-skill/claims.yaml", "- id: [\n"),
    "an entry": changed(ENTRY_FILE, "A test", "Another test"),
    "an entry that is gone": removed(ENTRY_FILE),
    "an entry that links to nothing": lambda root: (root / "experiment_log/2026/x.md").symlink_to("nowhere"),
    "an entry that is a folder": lambda root: (root / "experiment_log/2026/x.md").mkdir(),
    "a row file that no entry names": written("experiment_log/2026/other.csv", "a\n"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_seen_at_once(settled, kind):
    CHANGES[kind](settled.root)

    assert lint(settled) != []


def test_a_commit_is_seen_at_once(settled):
    path = settled.root / SKILL_FILE
    path.write_text(path.read_text().replace("Do it.", "Do not."))
    assert any("changed in meaning" in one for one in lint(settled))

    path.write_text(path.read_text().replace('version: "1.0.0"', 'version: "1.1.0"'))
    commit(settled.root)

    assert lint(settled) == []


def test_a_revision_in_the_environment_is_seen_at_once(settled, monkeypatch):
    monkeypatch.setenv("MU_LINT_SINCE", "no-such-revision")

    with pytest.raises(Exception, match="no-such-revision"):
        lint(settled)


def test_an_answer_is_taken_from_the_cache_where_nothing_changed(settled, monkeypatch):
    monkeypatch.setattr(runner, "problems", lambda *given: pytest.fail("the rules ran again"))

    assert lint(settled) == []


def test_a_file_that_comes_back_is_seen_at_once(settled):
    path = settled.root / "results" / "matrix.csv"
    path.unlink()
    assert lint(settled) != []

    path.write_text("a,b\n")

    assert lint(settled) == []

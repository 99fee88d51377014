"""Does an entry land whole and once, whoever else writes, is killed, merges branches or edits what has landed?"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import conftest
import pytest
from conftest import REPOSITORY, row

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.lint.runner import problems
from merginguriel.knowledge.log import append, draft_text
from merginguriel.knowledge.log.draft_text import Draft
from merginguriel.knowledge.parse import entries
from merginguriel.knowledge.parse.rows import ResultRow

ROW = ResultRow("a/b", "sw-KE", "ExcTar", "ties", "accuracy", 0.5, n=100)
DRAFT = Draft("T", "Observation", "2026-01-20", "S.", sections=(("Findings", "F."),))


def benchmark():
    spec = importlib.util.spec_from_file_location("log_append", REPOSITORY / "benchmarks" / "log_append.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def git(bench):
    """`git …` in the bench, which is a repository with everything committed."""
    if not shutil.which("git"):
        pytest.skip("there is no git")
    call = partial(conftest.git, bench.root)
    call("init", "-q")
    bench.entry(row())
    call("add", "-A")
    call("commit", "-qm", "first")
    return call


@pytest.mark.slow
def test_writers_that_are_killed_at_random_lose_nothing_that_they_acknowledged(tmp_path):
    found = benchmark().stress(tmp_path, 3, 40, kills=3)
    assert found["acknowledged"] == 120 and found["kills"] == 9 and found["reads"] > 0
    assert (found["missing"], found["torn"], found["repeated"]) == (0, 0, 0)


def test_the_same_text_lands_once_under_one_name_whoever_writes_it(tmp_path):
    text = draft_text.render(DRAFT)
    first = append.add_text(tmp_path / "a", text)
    assert append.add_text(tmp_path / "b", f"\n{text}\n\n".lstrip()).id == first.id
    with pytest.raises(KnowledgeError, match="the log already has this entry"):
        append.add_text(tmp_path / "a", text)


def test_an_entry_that_landed_keeps_its_rows_even_if_the_writer_is_interrupted_then(tmp_path, monkeypatch):
    land = append.files.write_text

    def interrupted(path, text, **more):
        land(path, text, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(append.files, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        append.add_text(tmp_path, append.staged(tmp_path, DRAFT, [ROW]), beside=tmp_path / ".draft")
    monkeypatch.undo()
    (path,) = entries.entry_paths(tmp_path)
    assert entries.load_entry(path).rows[0].value == 0.5


def test_staged_rows_land_beside_their_entry_under_its_name(tmp_path):
    entry = append.add_text(tmp_path, append.staged(tmp_path, DRAFT, [ROW]), beside=tmp_path / ".draft")
    (file,) = entry.files
    assert file.stem == entry.id and list((tmp_path / ".draft").iterdir()) == []


def test_two_branches_that_each_added_entries_merge_without_a_conflict(bench, git):
    log = bench.root / "experiment_log"
    git("checkout", "-qb", "left")
    left = [
        append.add_text(log, draft_text.render(Draft(f"L{i}", "Observation", "2026-01-21", "S.")))
        for i in range(3)
    ]
    both = append.add_text(log, draft_text.render(Draft("Both", "Observation", "2026-01-21", "S.")))
    git("add", "-A")
    git("commit", "-qm", "left")
    git("checkout", "-q", "main")
    right = [
        append.add(log, Draft(f"R{i}", "Observation", "2026-01-21", "S."), more_rows=[ROW]) for i in range(3)
    ]
    assert (
        append.add_text(log, draft_text.render(Draft("Both", "Observation", "2026-01-21", "S."))).id
        == both.id
    )
    git("add", "-A")
    git("commit", "-qm", "right")
    git("merge", "-q", "left", "-m", "both")
    ids = {entry.id for entry in bench.load().entries}
    assert ids == {"2026-01-20-test-00000001", both.id, *(e.id for e in (*left, *right))}
    assert problems(bench.load_space()) == []


def with_rows(folder, title, value, *, name="rows.csv", kind="Observation"):
    """The text of an entry that names a file of rows in `folder`, and that file's bytes."""
    data = draft_text.rows_csv([replace(ROW, value=value)]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    named = (name, hashlib.sha256(data).hexdigest())
    return draft_text.render(replace(DRAFT, title=title, type=kind), named), data


def test_refused_entries_that_name_the_same_file_each_keep_their_own(tmp_path):
    log = tmp_path / "log"
    for title, value in (("One", 0.5), ("Two", 0.6)):
        text, _ = with_rows(tmp_path / title, title, value, kind="Idea")
        for _ in range(2):
            with pytest.raises(KnowledgeError):
                append.add_text(log, text, beside=tmp_path / title)
    drafts = log / ".draft"
    assert sorted(path.suffix for path in drafts.iterdir()) == [".csv", ".csv", ".md", ".md"]
    landed = {}
    for kept in drafts.glob("*.md"):
        mended = kept.read_text().replace('"Idea"', '"Observation"')
        entry = append.add_text(log, mended, beside=drafts, draft=kept)
        landed[entry.title] = entry.rows[0].value
        kept.unlink()
    assert landed == {"One": 0.5, "Two": 0.6} and list(drafts.iterdir()) == []


def test_a_file_that_two_drafts_name_stays_until_both_have_landed(tmp_path):
    log, drafts = tmp_path / "log", tmp_path / "log" / ".draft"
    texts = [with_rows(drafts, title, 0.5)[0] for title in ("One", "Two")]
    kept = [append.keep_draft(log, text) for text in texts]
    for path, text in zip(kept, texts, strict=True):
        assert append.add_text(log, text, beside=drafts, draft=path).rows[0].value == 0.5
        path.unlink()
    assert list(drafts.iterdir()) == []


def test_a_row_file_left_by_a_killed_writer_is_taken_over_by_the_same_entry(tmp_path):
    text, data = with_rows(tmp_path, "T", 0.5)
    orphan = tmp_path / "log" / "2026" / "rows.csv"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(data)
    with pytest.raises(KnowledgeError):  # what did not land takes nothing with it
        append.add_text(tmp_path / "log", text.replace('"Observation"', '"Idea"'), beside=tmp_path)
    assert append.add_text(tmp_path / "log", text, beside=tmp_path).files == (orphan,)


@pytest.mark.parametrize("landed", [True, False])
def test_a_row_file_with_other_bytes_is_not_touched_and_the_text_is_kept(tmp_path, landed):
    log = tmp_path / "log"
    text, _ = with_rows(tmp_path, "T", 0.5)
    there = log / "2026" / "rows.csv"
    if landed:
        other, _ = with_rows(tmp_path / "other", "Other", 0.6)
        owner = append.add_text(log, other, beside=tmp_path / "other").id
    else:
        there.parent.mkdir(parents=True)
        there.write_bytes(b"half a fi")
    before = there.read_bytes()
    with pytest.raises(KnowledgeError) as told:
        append.add_text(log, text, beside=tmp_path)
    assert str(there) in told.value.what and (owner if landed else "no entry names") in told.value.what
    assert "another name" in told.value.hint and there.read_bytes() == before
    assert sorted(path.suffix for path in (log / ".draft").iterdir()) == [".csv", ".md"]


# what has landed stays


def test_an_entry_changed_since_it_was_committed_is_a_problem_before_and_after_the_next_commit(bench, git):
    (path,) = entries.entry_paths(bench.root / "experiment_log")
    first = path.read_text()
    path.write_text(first + "\nMore.\n")
    for _ in range(2):
        (found,) = problems(bench.load_space())
        assert found.where == f"{path}:1" and "changed after its first commit" in found.what
        git("add", "-A")
        git("commit", "-qm", "again", "--allow-empty")
    # the mend that it names is one
    git(*found.hint.splitlines()[0].removeprefix("Restore it: git ").split())
    assert path.read_text() == first and problems(bench.load_space()) == []


def test_an_entry_that_was_removed_is_a_problem_and_one_that_git_never_saw_is_none(bench, git):
    (path,) = entries.entry_paths(bench.root / "experiment_log")
    bench.entry(row(), entry="2026-01-21-new-00000002").write_text("changed before it was committed")
    path.unlink()
    whats = [found.what for found in problems(bench.load_space())]
    assert sum("was removed" in what for what in whats) == 1 and not any("changed after" in w for w in whats)


def test_line_ends_that_git_changes_are_no_change(bench, git):
    (path,) = entries.entry_paths(bench.root / "experiment_log")
    git("config", "core.autocrlf", "true")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert problems(bench.load_space()) == []


@pytest.mark.parametrize("how", ["no repository", "no git"])
def test_without_git_the_rule_is_silent(bench, monkeypatch, how):
    bench.entry(row())
    if how == "no git":
        monkeypatch.setenv("PATH", str(Path("/nonexistent")))
    assert problems(bench.load_space()) == []


def test_git_is_asked_a_fixed_number_of_times_however_many_entries_there_are(bench, git, monkeypatch):
    from merginguriel.knowledge.lint.rules import immutable

    for number in range(40):
        bench.entry(row(), entry=f"2026-01-22-n-{number:08x}")
    asked = []
    run = subprocess.run
    monkeypatch.setattr(
        immutable.subprocess, "run", lambda words, **more: asked.append(words) or run(words, **more)
    )
    immutable.check(bench.load())
    assert len(asked) == 2


def test_a_draft_refused_twice_is_kept_once_with_its_rows(tmp_path):
    data = draft_text.rows_csv([ROW]).encode()
    (tmp_path / "rows.csv").write_bytes(data)
    text = draft_text.render(DRAFT, ("rows.csv", hashlib.sha256(data).hexdigest())).replace(
        '"Observation"', '"Idea"'
    )
    for _ in range(2):
        with pytest.raises(KnowledgeError):
            append.add_text(tmp_path / "log", text, beside=tmp_path)
    drafts = tmp_path / "log" / ".draft"
    assert sorted(p.suffix for p in drafts.iterdir()) == [".csv", ".md"]
    (kept,) = drafts.glob("*.md")
    with pytest.raises(KnowledgeError):
        append.add_text(tmp_path / "log", text + "\nmore", beside=drafts, draft=kept)
    assert list(drafts.glob("*.md")) == [kept] and kept.read_text().endswith("more")


def test_an_entry_changed_inside_a_merge_commit_is_a_problem(bench, git):
    (path,) = entries.entry_paths(bench.root / "experiment_log")
    first = path.read_text()
    git("checkout", "-qb", "left")
    bench.entry(row(), entry="2026-01-21-left-00000002")
    git("add", "-A")
    git("commit", "-qm", "left")
    git("checkout", "-q", "main")
    git("merge", "-q", "--no-ff", "--no-commit", "left")
    path.write_text(first + "\nMore.\n")
    git("add", "-A")
    git("commit", "-qm", "both")
    (found,) = problems(bench.load_space())
    assert found.where == f"{path}:1" and "changed after its first commit" in found.what
    git(*found.hint.splitlines()[0].removeprefix("Restore it: git ").split())
    assert path.read_text() == first and problems(bench.load_space()) == []


def test_an_entry_that_a_merge_left_out_is_a_problem(bench, git):
    git("checkout", "-qb", "left")
    bench.entry(row(), entry="2026-01-21-left-00000002")
    git("add", "-A")
    git("commit", "-qm", "left")
    git("checkout", "-q", "main")
    git("merge", "-q", "-s", "ours", "left", "-m", "without it")
    (found,) = problems(bench.load_space())
    assert found.where.endswith("2026-01-21-left-00000002.md") and "was removed" in found.what


@pytest.mark.parametrize("suffix", [".png", ".csv"])
def test_a_figure_or_row_file_changed_or_removed_after_it_landed_is_a_problem(bench, git, tmp_path, suffix):
    (tmp_path / "plot.png").write_bytes(b"PNG")
    text = append.staged(bench.root / "experiment_log", DRAFT, [ROW], ("A plot", tmp_path / "plot.png"))
    entry = append.add_text(
        bench.root / "experiment_log", text, beside=bench.root / "experiment_log" / ".draft"
    )
    git("add", "-A")
    git("commit", "-qm", "figure")
    assert problems(bench.load_space()) == []
    (file,) = entry.path.parent.glob(f"*{suffix}")
    first = file.read_bytes()
    file.write_bytes(first + b"other")
    changed = problems(bench.load_space())
    assert (str(file), True) in [(p.where, "changed after its first commit" in p.what) for p in changed]
    file.unlink()
    assert any(file.name in found.where + found.what for found in problems(bench.load_space()))
    git("checkout", "--", str(file))
    assert problems(bench.load_space()) == []


@pytest.mark.parametrize("name", ["2026-01-20-t-0000000f.csv", "plot.png"])
def test_a_file_that_no_entry_names_is_a_problem(bench, name):
    bench.entry(row())
    orphan = bench.root / "experiment_log" / "2026" / name
    orphan.write_bytes(b"left behind")
    (found,) = problems(bench.load_space())
    assert found.where == str(orphan) and "no entry names" in found.what

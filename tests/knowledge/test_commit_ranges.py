"""Does one entry contest all rows that a range of commits measured, and does a later reader need no git for it?"""

from __future__ import annotations

import pytest
from conftest import claim, git, head, row

from merginguriel.knowledge.claims.grading import grade
from merginguriel.knowledge.lint import runner

E1 = "2026-01-10-first-00000001"
E3 = "2026-01-30-third-00000003"
CODED = head("code")
CLAIM = claim(
    scope="{context: massive/xlm-roberta-base, target: sw-KE, method: similarity}",
    evidence=f"{E1}#r3",
    text="It gains.",
    since="2026-01-10",
)
MARK = """\
---
title: "The first of K models was dropped"
type: "Observation"
date: "2026-01-20"
summary: "A bug between two commits."
---

## {heading}

The first of K models was dropped.

- {item}
"""


@pytest.fixture
def program(tmp_path):
    """A repository of five commits on a line, and one on a branch that was merged into the fifth."""
    root = tmp_path / "program"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    ids = []
    for number in range(4):
        git(root, "commit", "-q", "--allow-empty", "-m", f"step {number}")
        ids.append(git(root, "rev-parse", "HEAD"))
    git(root, "checkout", "-q", "-b", "side", ids[1])
    git(root, "commit", "-q", "--allow-empty", "-m", "aside")
    ids.append(git(root, "rev-parse", "HEAD"))
    git(root, "checkout", "-q", "main")
    git(root, "merge", "-q", "--no-ff", "--no-edit", "side")
    return root, [*ids, git(root, "rev-parse", "HEAD")]


def logged(bench, ids) -> None:
    """Rows of every commit, of a changed checkout, of a version, and of nobody knows what."""
    gains = {"value": 0.60, "baseline": 0.50}
    said = [*(one[:12] for one in ids), f"{ids[2][:12]}+", "0.1.0", "-"]
    table = CODED + "\n".join(f"{row(**gains)} {one} |" for one in said)
    bench.entry(table=table, entry=E1)
    bench.skill(claims=CLAIM)


def marked(bench) -> str:
    return "".join("x" if one.status == "invalidated" else "." for one in bench.load().by_entry[E1].rows)


def add(mu, bench, tmp_path, item, *flags, heading="Invalidates"):
    text = tmp_path / "mark.md"
    text.write_text(MARK.format(heading=heading, item=item), encoding="utf-8")
    return mu("log", "add", text, "--workspace", bench.root, *flags)


def test_a_range_reaches_claims_skills_and_advice_without_git_and_a_lift_restores_them(
    bench, program, mu, tmp_path, monkeypatch
):
    root, ids = program
    logged(bench, ids)

    def now():
        known = bench.load()
        advice = mu("advise", "--target", "sw-KE", "--json", "--workspace", bench.root).json
        shown = mu("skills", "list", "--json", "--workspace", bench.root).json
        told = [
            known.standings["a-claim"].status,
            grade(known.claims[0], known).level,
            *(one["grade"] for one in shown),
            advice["verdict"],
        ]
        return told, sorted(item["ref"] for item in advice["evidence"])

    sound = now()
    assert sound[0][0] == "supported" and sound[0][3] == "merge"
    told = add(mu, bench, tmp_path, f"commits={ids[0]}..{ids[3]}", "--repository", root)
    assert told.code == 0, told.err
    assert f"{ids[0]}..{ids[3]} is 3 commits of {root}" in told.err.replace("\n", " ")
    path = next(bench.root.glob("experiment_log/2026/2026-01-20-*.md"))
    written = path.read_text(encoding="utf-8")
    listed = ",".join(one[:12] for one in (ids[3], ids[2], ids[1]))
    assert f"- range={ids[0][:12]}..{ids[3][:12]} commits={listed}\n" in written
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))  # whoever reads it later needs no git
    assert marked(bench) == ".xxx..x.."
    assert now()[0][:3] == ["contested", "very low", "D"]
    assert f"{E1}#r3" not in now()[1]
    assert any("rests on" in one.what for one in runner.problems(bench.load_space()))
    bench.entry(table=f"x\n\n## Lifts\n\nIt was right after all.\n\n- {path.stem}", entry=E3)
    assert now() == sound and path.read_text(encoding="utf-8") == written


def test_a_range_is_what_git_says_it_is_merged_branches_and_all(bench, program, mu, tmp_path):
    root, ids = program
    logged(bench, ids)
    expected = git(root, "rev-list", f"{ids[1]}..main").split()
    assert (
        add(mu, bench, tmp_path, f"commits={ids[1]}..main method=similarity", "--repository", root).code == 0
    )
    assert marked(bench)[:6] == "".join(".x"[one in expected] for one in ids) == "..xxxx"


def test_without_a_repository_named_the_one_of_the_workspace_counts(bench, mu, tmp_path):
    git(bench.root, "init", "-q")
    ids = []
    for number in range(3):
        git(bench.root, "commit", "-q", "--allow-empty", "-m", f"step {number}")
        ids.append(git(bench.root, "rev-parse", "HEAD"))
    logged(bench, ids)
    assert add(mu, bench, tmp_path, f"commits={ids[0][:8]}..{ids[2][:8]},0.1.0 k=5").code == 0
    assert marked(bench) == ".xxxx."


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("commits={1}..{0}", "contains no commit"),
        ("commits={0}..0123456", "has no range"),
        ("commits={0}..", "needs two ends"),
        ("commits={0}...{1}", "has no range"),
        ("commits=--all..{1}", "has no range"),
        ("range={0}..{1}", "range needs commits"),
    ],
)
def test_a_range_that_cannot_be_resolved_is_refused_with_its_line_and_kept(
    bench, program, mu, tmp_path, item, said
):
    root, ids = program
    told = add(mu, bench, tmp_path, item.format(*ids), "--repository", root)
    kept = list((bench.root / "experiment_log/.draft").glob("*.md"))
    assert told.code == 1 and said in told.err and f"{kept[0]}:12" in told.err.replace("\n", "")
    assert not list(bench.root.glob("experiment_log/2026/*.md"))


def test_a_range_that_was_never_resolved_cannot_be_read(bench, program, mu):
    _, ids = program
    bench.entry(table=f"x\n\n## Invalidates\n\nA bug.\n\n- commits={ids[0]}..{ids[1]}")
    [problem] = [one for one in runner.problems(bench.load_space()) if "means something only" in one.what]
    assert "mu log add" in problem.hint


def test_only_the_items_of_a_mark_are_read_as_ranges(bench, program, mu, tmp_path):
    _, ids = program
    said = f"## Findings\n\n- commits={ids[0]}..{ids[1]} are the bad ones, says git."
    bench.entry(row(), entry=E1)
    assert add(mu, bench, tmp_path, f"entries={E1}\n\n{said}").code == 0
    [path] = bench.root.glob("experiment_log/2026/2026-01-20-*.md")
    assert said in path.read_text(encoding="utf-8")


def test_a_dry_run_shows_the_commits_and_writes_nothing(bench, program, mu, tmp_path):
    root, ids = program
    logged(bench, ids)
    told = add(mu, bench, tmp_path, f"commits={ids[1]}..{ids[2]}", "--repository", root, "--dry-run")
    assert told.code == 0 and f"commits={ids[2][:12]}" in told.out
    assert marked(bench) == "........."

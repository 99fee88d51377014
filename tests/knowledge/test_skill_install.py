"""Do skills get where agents look, does --check find what is stale, and is nothing of anybody else's touched?"""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import SKILL

from merginguriel.errors import MuError
from merginguriel.knowledge.skills.install import REGISTRY, folder_sha256

PLACES = [".agents/skills", ".claude/skills"]


@pytest.fixture
def run(mu, bench):
    """`mu skills install …` in a workspace with two skills."""
    bench.skill("other")

    def call(*arguments: object):
        return mu("skills", "install", *arguments, "--workspace", bench.root)

    return call


@pytest.mark.parametrize("to", PLACES)
@pytest.mark.parametrize("how", ["--link", "--copy"])
def test_what_is_installed_is_read_there_and_is_fresh(run, bench, to, how):
    told = run("--to", to, how)
    assert told.code == 0 and len(told.out.splitlines()) == 2
    place = bench.root / to
    for name in ("a-skill", "other"):
        assert (place / name / "SKILL.md").read_text() == SKILL.format(name=name)
        assert (place / name).is_symlink() == (how == "--link")
    registry = json.loads((place / REGISTRY).read_text())["skills"]
    assert registry["other"]["sha256"] == folder_sha256(bench.root / "skills" / "other")
    told = run("--to", to, "--check")
    assert told.code == 0 and "2 installed, 0 stale" in told.err


def test_a_copy_is_stale_when_its_source_changed_and_a_link_is_not(run, bench):
    run("--copy")
    run("--link", "--to", ".claude/skills")
    bench.skill("other", text=SKILL.format(name="other").replace("Do it.", "Do not."))
    told = run("--check")
    assert (
        told.code == 1
        and "other: its source changed after it was installed." in told.out
        and "a-skill" not in told.out
    )
    assert run("--check", "--to", ".claude/skills").code == 0
    assert run("--check", "a-skill").code == 0
    assert run("--copy").code == 0 and run("--check").code == 0


@pytest.mark.parametrize(
    ("how", "harm", "said"),
    [
        (
            "--copy",
            lambda root, place: (place / "other" / "SKILL.md").write_text("mine"),
            "changed after it was installed",
        ),
        ("--copy", lambda root, place: shutil.rmtree(place / "other"), "it was removed"),
        ("--link", lambda root, place: (place / "other").unlink(), "it was removed"),
        ("--link", lambda root, place: shutil.rmtree(root / "skills" / "other"), "source no longer exists"),
        ("--copy", lambda root, place: shutil.rmtree(root / "skills" / "other"), "source no longer exists"),
    ],
)
def test_check_says_what_is_stale_and_exits_1(run, bench, how, harm, said):
    run(how)
    harm(bench.root, bench.root / PLACES[0])
    told = run("--check")
    assert told.code == 1 and said in told.out
    told = run("--check", "--json")
    assert told.code == 1 and [one["name"] for one in told.json if one["stale"]] == ["other"]


def test_a_link_that_leads_elsewhere_is_stale(run, bench):
    run()
    link = bench.root / PLACES[0] / "other"
    link.unlink()
    link.symlink_to("../../skills/a-skill")
    assert "points to another folder" in run("--check").out


def test_a_workspace_that_was_moved_checks_where_it_lies_now(run, bench, mu):
    run("--link")
    run("--copy", "--to", ".claude/skills")
    moved = bench.root.rename(bench.root.with_name("moved"))
    for to in PLACES:
        assert mu("skills", "install", "--check", "--to", to, "--workspace", moved).code == 0


@pytest.mark.parametrize("how", ["--link", "--copy"])
def test_a_foreign_skill_of_the_same_name_is_left_alone_unless_told(run, bench, how):
    foreign = bench.root / PLACES[0] / "other"
    foreign.mkdir(parents=True)
    (foreign / "SKILL.md").write_text("mine")
    told = run(how)
    assert told.code == 1 and "this program did not install" in told.err and "--force" in told.err
    assert (foreign / "SKILL.md").read_text() == "mine" and not (foreign.parent / "a-skill").exists()
    assert run(how, "a-skill").code == 0
    assert run(how, "--force").code == 0
    assert (foreign / "SKILL.md").read_text() == SKILL.format(name="other")


def test_a_copy_that_was_worked_on_is_neither_replaced_nor_removed_unless_told(run, bench):
    run("--copy")
    mine = bench.root / PLACES[0] / "other" / "SKILL.md"
    mine.write_text("mine")
    for words in (["--copy"], ["--remove"], ["--link"]):
        told = run(*words)
        assert told.code == 1 and "changed after it was installed" in told.err and mine.read_text() == "mine"
    assert run("--remove", "--force").code == 0 and not mine.exists()


def test_remove_takes_away_what_was_installed_and_nothing_else(run, bench):
    run("--link")
    place = bench.root / PLACES[0]
    (place / "foreign").mkdir()
    assert run("--remove", "other").out == "removed other\n"
    assert (place / "a-skill").exists() and not (place / "other").is_symlink()
    assert run("--remove", "other").code == 2
    assert run("--remove").code == 0
    assert [path.name for path in place.iterdir()] == ["foreign"]
    assert (bench.root / "skills" / "other" / "SKILL.md").is_file()


def test_a_link_replaces_a_copy_and_back(run, bench):
    for how in ("--copy", "--link", "--copy"):
        assert run(how).code == 0 and run("--check").code == 0
    assert not (bench.root / PLACES[0] / "other").is_symlink()
    assert [p.name for p in (bench.root / PLACES[0]).iterdir() if p.name.startswith(".")] == [REGISTRY]


def test_the_workspaces_own_skills_are_no_place_to_install_to(run, bench):
    (bench.root / ".claude").mkdir()
    (bench.root / ".claude" / "skills").symlink_to("../skills")
    for to in (bench.root / "skills", ".claude/skills", bench.root / "skills" / "other"):
        told = run("--to", to, "--force")
        assert told.code == 2 and "own folder of skills" in told.err
    assert (bench.root / "skills" / "other" / "SKILL.md").is_file()


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '{"form": 2, "skills": {}}',
        '{"form": 1, "skills": {"other": {}}}',
        '{"form": 1, "skills": {"../../skills/other": {"how": "copy", "source": "x", "version": "1", "sha256": "0", "date": "x"}}}',
    ],
)
def test_a_registry_that_is_damaged_or_reaches_outside_is_refused(run, bench, text):
    place = bench.root / PLACES[0]
    place.mkdir(parents=True)
    (place / REGISTRY).write_text(text)
    for words in (["--check"], ["--remove", "--force"], []):
        told = run(*words)
        assert told.code == 1 and REGISTRY in told.err
    assert (bench.root / "skills" / "other" / "SKILL.md").is_file()


def test_what_cannot_be_read_or_is_not_there_is_not_installed(run, bench):
    assert run("--check").code == 2
    assert run("nothing").code == 2
    assert run("--check", "--remove").code == 2
    bench.skill("broken", text="---\n")
    assert run().code == 1 and not (bench.root / PLACES[0]).exists()
    (bench.root / "skills" / "other" / "secret").symlink_to("/etc/passwd")
    told = run("other")
    assert told.code == 1 and "points outside" in told.err
    with pytest.raises(MuError):
        folder_sha256(bench.root / "skills" / "other")


def test_shipped_skills_are_copied_where_one_stands(mu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mu("skills", "install", "advise").code == 0
    copied = tmp_path / ".agents" / "skills" / "advise"
    assert copied.is_dir() and not copied.is_symlink()
    assert mu("skills", "install", "--check").code == 0

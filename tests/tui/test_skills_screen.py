"""The Skills screen: knowledge, links, and the command that prints the same."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys

import pytest
from beside import of_cli, ready
from conftest import claim, row
from looking import SIZES, notes, press, shipped_copy, text_of
from merginguriel_tui.screens.why import WhyTree
from merginguriel_tui.widgets.page import MarkdownPage, draw
from pilot import play
from textual.widgets import Input, OptionList

from merginguriel.knowledge.base import load
from merginguriel.knowledge.skills.catalogue import freshness, skill_grade

SKILL = "source-selection-cross-lingual"
CLAIM = "real-over-uriel"


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return shipped_copy(tmp_path_factory.mktemp("skills"))


def git(root, *words):
    result = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
    subprocess.run(result, check=True, capture_output=True)


@pytest.mark.slow
def test_the_list_has_grade_and_freshness_as_the_command_prints_them(space, mu):
    async def script(app, pilot):
        await ready(app, pilot)
        knowledge = load(space)
        fresh = freshness(knowledge)
        screen = app.screen
        assert screen.grades == {
            s.name: (*skill_grade(s, knowledge), fresh[s.name].text) for s in knowledge.skills
        }
        assert "grade" in text_of(app)
        result = of_cli("mu skills list", space, "--json").json
        assert [(one["name"], one["grade"]) for one in result] == [
            (n, g[0]) for n, g in screen.grades.items()
        ]
        assert screen.command == f"mu skills show {screen.name_}"
        assert "General Description" in of_cli(screen.command, space).out

    play(space, script, screen="skills")


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_every_pane_has_a_key_and_a_command(space, mu, size):
    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        for key, pane in (("c", "claims"), ("i", "history"), ("d", "diff"), ("t", "text")):
            await press(app, pilot, key)
            assert screen.pane == pane and screen.name_ in screen.command
        assert screen.query_one(WhyTree).cursor_line == 0
        await press(app, pilot, "o")
        if size[0] < 120:
            assert screen.focused.id == "contents"
            await press(app, pilot, "down", "enter")
        assert screen.focused.id == "page"
        await press(app, pilot, "escape")
        assert screen.focused.id == "skills"

    play(space, script, size=size, screen="skills", what=(SKILL,))


@pytest.mark.slow
def test_claims_stand_as_the_command_says_and_open_down_to_their_rows(space, mu):
    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        tree = screen.query_one(WhyTree)
        result = of_cli(f"mu skills show {SKILL} --claims", space, "--json").json["claims"]
        for one, node in zip(result, tree.root.children, strict=True):
            assert one["status"] in node.label.plain and one["grade"]["level"] in node.label.plain
        node = next(n for n in tree.root.children if n.data[1] == CLAIM)
        walked = of_cli(f"mu why {CLAIM}", space, "--json").json
        entries = [child for child in node.children if child.data]
        assert [child.data[1] for child in entries] == [one["name"] for one in walked["rests_on"]]
        rows = [child.data[1] for child in entries[0].children if child.data]
        assert rows == [one["name"] for one in walked["rests_on"][0]["rests_on"]]
        tree.focus()
        await press(app, pilot, "h", "l")
        assert screen.command == f"mu why {CLAIM}"
        tree.move_cursor(entries[0])
        await press(app, pilot, "enter")
        await ready(app, pilot)
        assert app.current_mode == "log" and app.screen.here == entries[0].data[1]

    play(space, script, size=(120, 40), screen="skills", what=(CLAIM,))


@pytest.mark.slow
def test_search_finds_as_one_types_what_the_command_finds(space, mu):
    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        await press(app, pilot, "slash", *"URIEL")
        result = of_cli(screen.command, space, "--json").json
        assert screen.listed == [one["name"] for one in result] and len(result) > 1
        await press(app, pilot, "enter", "enter")
        assert result[0]["name"] in (screen.claim, screen.name_)
        await press(app, pilot, "escape", "escape")
        assert screen.query_one("#find", Input).value == "" and screen.listed == list(screen.grades)

    play(space, script, screen="skills")


@pytest.mark.slow
def test_links_lead_to_skills_and_entries_and_back_again(space):
    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        page = screen.query_one("#page", MarkdownPage)
        hrefs = [link.href for link in page.drawn.links]
        other = next(i for i, h in enumerate(hrefs) if h.startswith("skills:") and SKILL not in h)
        page.focus()
        await press(app, pilot, "right_square_bracket", "left_square_bracket")
        page.link = other
        first = screen.name_
        await press(app, pilot, "enter")
        assert hrefs[other].partition(":")[2] in (screen.name_, screen.claim)
        await press(app, pilot, "backspace")
        assert screen.name_ == first
        await press(app, pilot, "t")
        page.link = next(i for i, link in enumerate(page.drawn.links) if link.href.startswith("log:"))
        entry = page.drawn.links[page.link].href.partition(":")[2].partition("#")[0]
        await press(app, pilot, "enter")
        await ready(app, pilot)
        assert app.current_mode == "log" and app.screen.here == entry

    play(space, script, size=(120, 40), screen="skills", what=("merging-when-constructive",))


@pytest.mark.parametrize("size", SIZES)
def test_a_link_to_a_claim_opens_the_claims_and_none_leads_to_its_own_page(bench, size):
    bench.entry(row())
    path = bench.skill(claims=claim())
    path.write_text(path.read_text().replace("Do it.", "Do it [a-claim]."))

    async def script(app, pilot):
        await ready(app, pilot)
        await press(app, pilot, "t")
        assert [link.href for link in app.screen.query_one("#page", MarkdownPage).drawn.links] == [
            "skills:a-claim"
        ]
        await press(app, pilot, "enter", "enter")
        assert app.screen.pane == "claims" and app.focused.claim == "a-claim"

    play(bench.load_space(), script, size=size, screen="skills")


@pytest.mark.slow
def test_history_and_diff_are_those_of_git(tmp_path, mu):
    space = shipped_copy(tmp_path / "work")
    git(space.root, "init", "-q")
    git(space.root, "add", ".")
    git(space.root, "commit", "-qm", "first")
    path = space.skills / SKILL / "SKILL.md"
    path.write_text(path.read_text().replace("## Failure Modes", "Take two.\n\n## Failure Modes"))
    git(space.root, "commit", "-qam", "second [b]")

    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        await press(app, pilot, "i")
        result = of_cli(screen.command, space, "--json").json
        assert screen.commits == [one["commit"] for one in result] and len(result) == 2
        assert "second [b]" in text_of(app)
        await press(app, pilot, "down", "enter")
        assert screen.pane == "diff"
        changes = of_cli(screen.command, space, "--json").json
        assert changes and all(
            one["kind"] in screen.query_one("#changes", MarkdownPage).text for one in changes
        )

    play(space, script, size=(120, 40), screen="skills", what=(SKILL,))


def test_without_git_the_history_says_so(space):
    async def script(app, pilot):
        await ready(app, pilot)
        await press(app, pilot, "i")
        assert "git" in str(app.screen.query_one("#states", OptionList).get_option_at_index(0).prompt)

    play(space, script, screen="skills", what=(SKILL,))


@pytest.mark.parametrize("editor, message", [("vim '", "no closing quotation"), ("  ", "no editor is set")])
def test_an_editor_that_cannot_be_read_is_a_note_and_the_screen_stays(space, monkeypatch, editor, message):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)

    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        await press(app, pilot, "e")
        assert message in notes(app) and app.screen is screen

    play(space, script, screen="skills", what=(SKILL,))


@pytest.mark.slow
def test_a_skill_is_edited_in_the_users_editor_and_read_again(tmp_path, monkeypatch):
    space = shipped_copy(tmp_path / "work")
    change = (
        "import sys; p = sys.argv[1]; t = open(p).read(); open(p, 'w').write(t.replace('1.0.', '9.9.', 1))"
    )
    monkeypatch.setenv("EDITOR", shlex.join([sys.executable, "-c", change]))
    monkeypatch.delenv("VISUAL", raising=False)

    async def script(app, pilot):
        await ready(app, pilot)
        await press(app, pilot, "e")
        assert "cannot open an editor" in notes(app)  # this terminal is no real one
        app.suspend = contextlib.nullcontext
        await press(app, pilot, "e")
        assert "version 9.9." in app.screen.query_one("#page", MarkdownPage).text

    play(space, script, screen="skills", what=("advise",))


def test_copies_are_text_markdown_and_csv(space):
    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        assert "## General Description" in screen.copied("markdown")
        assert screen.copied("csv").splitlines()[0] == "skill,grade,claims,freshness"
        await press(app, pilot, "c")
        assert CLAIM in screen.copied("csv")
        assert screen.copied("command") == screen.command

    play(space, script, screen="skills", what=(SKILL,))


def test_text_of_files_is_neither_markup_nor_obeyed():
    drawn = draw("a [red]b[/red] <script>x</script> \x1b]8;;http://x\x07 [k](http://z)", 70, {})
    text = "\n".join(strip.text for strip in drawn.lines)
    assert "[red]b[/red]" in text and "<script>" in text and "\\x1b" in text
    assert not any(segment.style and segment.style.link for strip in drawn.lines for segment in strip)
    assert [link.href for link in drawn.links] == ["http://z"]


def test_an_unknown_skill_is_a_note(space):
    async def script(app, pilot):
        await ready(app, pilot)
        assert "unknown skill 'nothing'" in notes(app) and app.screen.name_

    play(space, script, screen="skills", what=("nothing",))

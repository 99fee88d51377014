"""Does the advise screen say what `mu advise` says, at every size, and does every key do what the help says?"""

from __future__ import annotations

import csv
import json
import shlex
import time

import pytest
from looking import SIZES, bar, notes, press, settled, shipped_copy, text_of
from merginguriel_tui.advice_view import scale
from merginguriel_tui.screens.advise_data import Find
from merginguriel_tui.widgets.choice import ChoiceLine
from pilot import play
from run_screens import until
from textual.widgets import Input, OptionList

from merginguriel import workspace
from merginguriel.decision.arm_types import Gain


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The shipped knowledge, asked about the home context. Read only, but for recipes/."""
    return shipped_copy(tmp_path_factory.mktemp("ask") / "work", 'context = "home/e5-small"\n')


def asked_of_mu(mu, space, command: str):
    words = shlex.split(command)
    assert words[0] == "mu"
    return mu(*words[1:], "--json", "--workspace", space.root).json


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_the_card_says_what_the_command_prints(space, mu, size):
    async def script(app, pilot):
        await settled(app, pilot)
        shown = text_of(app)
        found.update(app.screen.advice.as_dict(), command=app.screen.command)
        for words in ("gl-ES", "80%", "90%", "P(gain > 0)", "to beat", "◆ gain"):
            assert words in shown, shown

    found: dict = {}
    play(space, script, size=size, screen="advise", what=("gl-ES",))

    printed = asked_of_mu(mu, space, found.pop("command"))
    assert json.loads(json.dumps(found)) == printed


@pytest.mark.parametrize(("target", "pilot"), [("fi-EE", False), ("fi-FI", True)])
def test_the_bar_has_the_keys_that_the_answer_allows(space, target, pilot):
    async def script(app, pilot_):
        await until(app, pilot_, lambda: app.screen.advice)
        await settled(app, pilot_)
        shown = bar(app)
        assert ("advise.pilot" in shown) == pilot and "advise.explain" in shown
        assert "advise.run" not in shown and "advise.save" not in shown  # no models here
        card = text_of(app)
        assert "r runs" not in card and (pilot or "p tries" not in card)
        await press(app, pilot_, "p")
        await until(app, pilot_, lambda: target in app.screen.plans)
        assert "pilot.go" not in bar(app) and "pilot.choose" in bar(app)

    play(space, script, size=(120, 40), screen="advise", what=(target, "massive/xlm-roberta-base"))


@pytest.mark.slow
def test_what_if_answers_with_the_command_that_asks_the_same(space, mu):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "m")
        assert app.screen.query_one("#mode", ChoiceLine).value == "IncTar"
        await press(app, pilot, "m", "w", "tab")
        assert app.focused is app.screen.query_one("#method", ChoiceLine)
        await press(app, pilot, "enter", *"slerp", "enter", "tab", "right", "right")
        await press(app, pilot, "tab", "2", "tab", *["backspace", "0", ".", "5"], "tab", "1")
        app.screen.query_one("#min_gain", Input)
        await settled(app, pilot)
        found.update(app.screen.advice.as_dict(), command=app.screen.command)

    found: dict = {}
    play(space, script, screen="advise", what=("gl-ES",))

    command = found.pop("command")
    assert (
        command
        == "mu advise --target gl-ES --method slerp --similarity REAL --k 2 --min-gain 0.5 --budget 1 --all"
    )
    assert json.loads(json.dumps(found)) == asked_of_mu(mu, space, command)


@pytest.mark.slow
def test_another_context_and_back_to_the_open_question(space):
    async def script(app, pilot):
        await settled(app, pilot)
        app.screen.query_one("#context").focus()
        await press(app, pilot, "enter", *"massive/xlm", "enter")
        assert app.screen.advice.context == "massive/xlm-roberta-base"
        assert app.screen.command.endswith("--context massive/xlm-roberta-base --all")
        await press(app, pilot, "x")
        assert app.screen.advice.context == "home/e5-small"
        assert app.screen.command == "mu advise --target cy-GB --all"

    play(space, script, screen="advise", what=("cy-GB",))


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed, tag", [("swahili", "sw-KE"), ("cy-", "cy-GB"), ("danish", "da-DK"), ("glici", "gl-ES")]
)
def test_a_target_is_found_by_tag_and_by_name(space, typed, tag):
    async def script(app, pilot):
        await press(app, pilot, "slash", *typed, "enter")
        assert app.screen.advice.target == tag

    play(space, script, screen="advise", what=("fi-FI",))


def test_targets_with_results_models_or_text_are_listed_and_a_search_finds_the_others(space):
    async def script(app, pilot):
        await settled(app, pilot)
        more = app.screen.query_one("#targets", OptionList).options[-1]
        assert "fi-FI" in app.screen.listed and "aa-DJ" not in app.screen.listed
        assert str(more.prompt).endswith(" more: type") and len(app.screen.listed) < 100
        await press(app, pilot, "slash", *"aa-DJ")
        assert app.screen.listed[0] == "aa-DJ"

    play(space, script, screen="advise", what=("fi-FI",))


@pytest.mark.slow
def test_the_arrows_lead_from_the_search_into_the_list_and_escape_out_of_the_field(space):
    async def script(app, pilot):
        await press(app, pilot, "slash", *"nor", "down")
        assert app.focused.id == "targets"
        first = app.screen.listed[0]
        await press(app, pilot, "j", "k", "enter")
        assert app.screen.advice.target == first
        assert app.screen.query_one("#find", Input).value == "nor"
        await press(app, pilot, "escape")
        assert not app.screen.query_one("#find", Input).value
        await press(app, pilot, "slash", "escape")
        assert app.focused.id == "targets"
        await press(app, pilot, "G")
        assert app.focused.highlighted > 0
        await press(app, pilot, "g")
        assert app.focused.highlighted == 0

    play(space, script, screen="advise", what=("fi-FI",))


@pytest.mark.parametrize("where", ["log", "skills"])
def test_enter_on_a_reason_opens_the_entry_or_the_skill_that_it_rests_on(where):
    async def script(app, pilot):
        await settled(app, pilot)
        home = app.screen
        at, reason = next(
            ((n, r) for n, r in enumerate(home.reasons) if r.link and r.link[0] == where), (0, None)
        )
        gone: list = []
        app.action_go = lambda *to: gone.append(to)
        reasons = home.query_one("#reasons", OptionList)
        reasons.focus()
        reasons.highlighted = at
        await press(app, pilot, "enter")
        assert reason is not None and gone == [reason.link]

    play(workspace.shipped(), script, screen="advise", what=("sw-KE",))


@pytest.mark.slow
def test_a_recipe_is_saved_once_and_mu_run_reads_it(tmp_path, mu):
    space = shipped_copy(tmp_path / "work", 'context = "home/e5-small"\n')

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "s", "s")
        assert "recipes/merge-de-DE" in notes(app)

    play(space, script, screen="advise", what=("de-DE",))

    (written,) = (space.root / "recipes").iterdir()
    planned = mu("run", written, "--dry-run", "--json", "--workspace", space.root).json
    assert planned["config"]["target"] == "de-DE"
    saved = mu("advise", "--target", "de-DE", "--save", tmp_path / "same.yaml", "--workspace", space.root)
    assert saved.code == 0
    assert (tmp_path / "same.yaml").read_text().splitlines()[2:] == written.read_text().splitlines()[2:]


def test_what_would_be_run_is_said_before_and_no_means_no(tmp_path):
    space = shipped_copy(tmp_path / "work", 'context = "home/e5-small"\n')

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "r")
        shown = text_of(app)
        assert "Run merge-de-DE" in shown and "train" in shown
        await press(app, pilot, "n")
        assert app.screen is home(app)

    def home(app):
        return next(s for s in app.screen_stack if getattr(s, "NAME", "") == "advise")

    play(space, script, screen="advise", what=("de-DE",))

    assert not space.runs.exists()


def test_the_shipped_knowledge_is_not_written_into():
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "s")
        assert "mu init" in notes(app)

    play(workspace.shipped(), script, screen="advise", what=("gl-ES",))

    assert not (workspace.shipped().root / "recipes").exists()


@pytest.mark.slow
def test_a_recipe_whose_sources_nobody_can_name_says_what_to_do_first(space):
    async def script(app, pilot):
        await settled(app, pilot)
        app.screen.query_one("#context").focus()
        await press(app, pilot, "enter", *"massive/xlm", "enter", "r")
        assert "the log cannot name the sources" in notes(app) and "mu train --locale" in notes(app)
        assert app.screen.NAME == "advise"

    play(space, script, screen="advise", what=("af-ZA",))


def test_a_pilot_that_cannot_run_says_why_and_the_next_command_is_copied(space):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "p")
        assert "mu pilot --target cs-CZ" in text_of(app) and "mu train --locale" in text_of(app)
        await press(app, pilot, "ctrl+l")
        assert "Not every chosen target has a plan" in notes(app)
        await press(app, pilot, "escape")
        await press(app, pilot, "n")
        assert app.clipboard.startswith("mu ") and str(space.root) in app.clipboard

    play(space, script, screen="advise", what=("cs-CZ",))


@pytest.mark.slow
def test_the_answer_is_copied_as_text_markdown_csv_and_command(space, mu):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "y")
        copied["text"] = app.clipboard
        await press(app, pilot, "Y")
        copied["command"] = app.clipboard
        for how in ("markdown", "csv"):
            app.action_copy(how)
            copied[how] = app.clipboard

    copied: dict[str, str] = {}
    play(space, script, screen="advise", what=("gl-ES",))

    printed = mu("advise", "--target", "gl-ES", "--all", "--workspace", space.root).out
    assert copied["text"].strip() == printed.strip()
    assert copied["command"] == f"mu advise --target gl-ES --all --workspace {shlex.quote(str(space.root))}"
    assert copied["markdown"].startswith("## gl-ES")
    answer = asked_of_mu(mu, space, "mu advise --target gl-ES --all")
    rows = list(csv.DictReader(copied["csv"].splitlines()))
    assert [row["ref"] for row in rows][: len(answer["evidence"])] == [i["ref"] for i in answer["evidence"]]


def test_a_word_that_is_no_target_is_a_note_and_the_answer_stays(space):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "slash", *"qqqqqq", "enter")
        assert "unknown locale" in notes(app)
        assert app.screen.advice.target == "gl-ES" == app.screen.target

    play(space, script, screen="advise", what=("gl-ES",))


def test_without_a_target_one_is_asked_for_and_a_slash_is_not_part_of_its_name(space):
    async def script(app, pilot):
        await settled(app, pilot)
        assert "Choose a target" in text_of(app)
        assert app.focused.id == "find"
        await press(app, pilot, "slash", *"fi-FI", "enter")
        assert app.screen.advice.target == "fi-FI" and app.screen.query_one(Find).value == "fi-FI"

    play(space, script, screen="advise")


def test_markup_and_control_characters_of_a_file_are_shown_and_not_obeyed(bench):
    table = (
        "| target | mode | method | similarity | k | value | baseline_kind | baseline | note |\n|---|---|---|---|---|---|---|---|---|\n"
        "| sw-KE | ExcTar | similarity | REAL | 5 | 0.48 | best_single_source | 0.46 | - |"
    )
    bench.entry(table=table)
    claims = (
        '- id: a-claim\n  text: "[red]no[/red] \\e[31m [/nothing"\n  scope: {target: sw-KE, method: similarity}\n'
        "  predicate: beats\n  over: best_single_source\n  evidence: [2026-01-20-test-00000001#r1]\n  since: '2026-01-20'\n"
    )
    bench.skill("b-skill", claims=claims)

    async def script(app, pilot):
        await settled(app, pilot)
        shown = text_of(app)
        assert "[red]no[/red]" in shown and "\x1b" not in shown and "\\x1b[31m" in shown

    play(bench.load_space(), script, size=(160, 50), screen="advise", what=("sw-KE",))


@pytest.mark.parametrize("width", [20, 58, 110])
@pytest.mark.parametrize(
    "gain", [(0.5, 0.2, 0.8), (-30.0, -60.0, 0.0), (0.0, 0.0, 0.0), (1.2, -0.8, 3.2), (1e-3, -1e-3, 2e-3)]
)
def test_the_scale_fits_its_width_and_shows_zero_and_the_least_gain(width, gain):
    mean, low, high = gain
    told = Gain(mean, (low * 0.8, high * 0.8), (low, high), 0.5, 0.5)

    lines = scale(told, 2.0, width).plain.splitlines()

    assert len(lines) == 4
    assert max(map(len, lines[:3])) <= width + 4
    assert "◆" in lines[0] and "┼" in lines[1] and "0" in lines[2] and "╎" in lines[0]
    assert "2 pp" in lines[3] and "2 pt" in scale(told, 2.0, width, "pt").plain


def test_a_question_with_the_knowledge_at_hand_is_answered_in_a_fifth_of_a_second_of_work(space):
    async def script(app, pilot):
        await settled(app, pilot)
        began = time.process_time()
        await press(app, pilot, "m")
        took.append(time.process_time() - began)
        began = time.process_time()
        await press(app, pilot, "m")
        took.append(time.process_time() - began)

    took: list[float] = []
    play(space, script, screen="advise", what=("gl-ES",))

    assert min(took) < 0.4, took  # drawing and the harness included

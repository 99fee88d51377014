"""Does Compare show what `mu runs compare` prints, of runs and of recipes, with the first changeable and seeds together?"""

from __future__ import annotations

import csv
import json
import shlex

import numpy as np
import pytest
from pilot import play
from run_screens import SIZES, finished, press, settled, shown, until

from merginguriel import workspace
from merginguriel.report.run_comparison import by_seed, compared
from merginguriel.runs import run_store
from merginguriel.study import item_file


def answers(share, seed):
    return np.random.default_rng(seed).random(200) < share


@pytest.mark.parametrize("size", SIZES)
def test_the_figures_are_those_of_the_command_below(space, mu, size):
    found = [finished(space, "da-DK", answers(0.5, 1)), finished(space, "da-DK", answers(0.8, 2), method="average"),
             finished(space, "nb-NO", answers(0.6, 3))]  # fmt: skip
    seen = {}

    async def script(app, pilot):
        await settled(app, pilot)
        seen.update(command=app.screen.command, text=app.screen.copied("text"), csv=app.screen.copied("csv"))
        await until(app, pilot, lambda: "What differs" in shown(app))
        assert "method" in shown(app)

    play(space, script, size=size, screen="compare", what=[run.id for run in found])
    printed = mu(*shlex.split(seen["command"])[1:], "--json", "--workspace", space.root).json
    for one in printed:
        assert f"{100 * one['accuracy']:.2f}%" in seen["text"] and one["run"] in seen["csv"]
    c = printed[1]["comparison"]
    assert f"{c['difference']:+.1f}" in seen["text"] and f"{c['interval']['low']:+.1f} … " in seen["text"]
    assert "▲ above" in seen["text"] and "other target" in seen["text"]
    assert set(printed[0]["settings"]) == {"target", "method"} and "similarity" not in seen["text"]
    low = 100 * printed[2]["locales"][0]["low"]
    assert f"{low:.1f} … " in seen["text"] and "nb-NO" in seen["text"]


@pytest.mark.slow
def test_the_next_run_can_be_the_first_and_others_can_be_named(space):
    a, b = (
        finished(space, "da-DK", answers(0.5, 1)),
        finished(space, "da-DK", answers(0.8, 2), method="average"),
    )

    async def script(app, pilot):
        await settled(app, pilot)
        assert "Mark two or more runs" in shown(app)
        await press(app, pilot, "slash", *a.id[-8:], "enter")
        assert any("two or more runs" in note.message for note in app._notifications)
        await press(app, pilot, "space", *b.id[-8:], "enter")
        assert app.screen.command == f"mu runs compare {a.id} {b.id}" and "▲ above" in shown(app)
        await press(app, pilot, "f")
        assert app.screen.command == f"mu runs compare {b.id} {a.id}" and "▼ below" in shown(app)
        await press(app, pilot, "slash", "escape", "enter")
        await until(app, pilot, lambda: app.screen.command == f"mu runs show {b.id}")

    play(space, script, screen="compare")


@pytest.mark.slow
def test_seeds_are_taken_together_as_the_core_does(space, mu):
    found = [finished(space, "da-DK", answers(0.5, s), seed=s) for s in (1, 2, 3)]
    found += [finished(space, "da-DK", answers(0.8, 10 + s), seed=s, method="average") for s in (1, 2, 3)]
    groups = by_seed(compared(found), found)
    assert [len(group.runs) for group in groups] == [3, 3] and groups[0].found is None
    rights = [[answers(0.5, s) for s in (1, 2, 3)], [answers(0.8, 10 + s) for s in (1, 2, 3)]]
    assert groups[1].found.value == pytest.approx(100 * (np.mean(rights[1]) - np.mean(rights[0])))
    assert groups[1].mean == pytest.approx(np.mean(rights[1])) and groups[1].found.verdict == "above"
    seen = []

    async def script(app, pilot):
        await settled(app, pilot)
        seen.append(app.screen.copied("text"))

    play(space, script, size=(160, 50), screen="compare", what=[run.id for run in found])
    printed = mu("runs", "compare", *(run.id for run in found), "--workspace", space.root).out
    said = [line for line in printed.splitlines() if line.startswith("3 ")]
    assert len(said) == 2 and "outside noise" in said[1]
    assert said[1].partition("…")[2].split("  ", 1)[1].strip() in seen[0]


RECIPE = """\
kind: merge
target: {target}
method: {method}
similarity: REAL
candidates: [de-DE, sv-SE]
k: 2
"""


def recipe(space, name, target="da-DK", method="ties"):
    path = space.root / "recipes" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(RECIPE.format(target=target, method=method))
    return path


def test_a_recipe_is_compared_by_its_settings_and_by_its_run_where_that_has_finished(space, mu):
    run = finished(space, "da-DK", answers(0.5, 1), method="average")
    done = finished(space, "da-DK", answers(0.8, 2))
    recipe(space, "done")
    recipe(space, "new", method="slerp")
    seen = {}

    async def script(app, pilot):
        await settled(app, pilot)
        seen.update(command=app.screen.command, text=app.screen.copied("text"), csv=app.screen.copied("csv"))
        await until(app, pilot, lambda: "▲ above" in shown(app))
        assert f"A  {run.id}" in shown(app) and "B  recipes/done.yaml" in shown(app)
        # As it stands the first is a run: it opens. A recipe that was not run has nothing to open.
        await press(app, pilot, "f", "f")
        assert app.screen.command.startswith("mu runs compare recipes/new.yaml")
        assert "the first has no result" in shown(app)
        await press(app, pilot, "enter")
        assert app.current_mode == "compare"
        assert any("not run yet: mu run" in note.message for note in app._notifications)

    play(space, script, screen="compare", what=[run.id, "recipes/done.yaml", "recipes/new.yaml"])

    words = shlex.split(seen["command"])[1:]
    printed = mu(*words, "--json", "--workspace", space.root).json
    assert [(one["is"], one["file"], one["state"]) for one in printed] == [
        ("run", None, "finished"), ("recipe", "recipes/done.yaml", "finished"), ("recipe", "recipes/new.yaml", "new"),
    ]  # fmt: skip
    assert [one["settings"] for one in printed] == [{"method": m} for m in ("average", "ties", "slerp")]
    assert printed[1]["run"] == done.id and printed[1]["comparison"]["n"] == 200
    new = printed[2]
    assert (new["accuracy"], new["comparison"], new["why"], new["locales"]) == (None, None, "not run yet", [])
    planned = mu(*shlex.split(new["command"])[1:], "--dry-run", "--json", "--workspace", space.root).json
    assert planned["run"] == new["run"]
    assert f"not run yet: {new['command']}" in seen["text"] and "▲ above" in seen["text"]
    c = printed[1]["comparison"]
    assert f"{c['difference']:+.1f}" in seen["text"]
    for text in (seen["csv"], mu(*words, "--workspace", space.root).out):
        assert "recipes/new.yaml" in text and "not run yet" in text and new["command"] in text


def test_a_run_and_its_own_recipe_are_the_same_and_count_once_among_seeds(space, mu):
    runs = [finished(space, "da-DK", answers(0.5 + seed / 10, seed), seed=seed) for seed in (1, 2)]
    path = recipe(space, "same")
    path.write_text(path.read_text() + "seed: 1\n")

    said = mu("runs", "compare", runs[0].id, path, runs[1].id, "--json", "--workspace", space.root).json

    assert said[1]["run"] == runs[0].id and said[1]["comparison"]["difference"] == 0
    assert said[0]["over_seeds"]["runs"] == [run.id for run in runs]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: merge\nmethods: ties\n", "methods"),
        ("method: ties\nsources:\n- name: de-DE\n  path: ../models/de-DE\n", "mu eval FOLDER"),
        ("[", "YAML"),
        (None, "no such configuration"),
    ],
)
def test_what_is_no_configuration_of_a_run_is_named_and_what_was_shown_stays(space, mu, text, said):
    a, b = finished(space, "da-DK", answers(0.5, 1)), finished(space, "nb-NO", answers(0.5, 1))
    path = recipe(space, "bad")
    path.unlink() if text is None else path.write_text(text)
    told = mu("runs", "compare", a.id, path, "--workspace", space.root)
    assert told.code in (1, 2) and said in told.err and "bad.yaml" in told.err

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "slash", "end", "space", *"recipes/bad.yaml", "enter")
        assert any(said in note.message for note in app._notifications)
        assert "What differs" in shown(app)

    play(space, script, screen="compare", what=[a.id, b.id])


def test_the_field_offers_recipes_and_runs_and_what_is_picked_is_compared(space):
    run = finished(space, "da-DK", answers(0.5, 1))
    recipe(space, "two words [red]", method="slerp")

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "slash")
        assert app.screen.listed == ["recipes/two words [red].yaml", run.id]
        assert "recipes/two words [red].yaml" in shown(app)
        await press(app, pilot, "down", "enter")
        assert app.focused.id == "find" and app.focused.value == "'recipes/two words [red].yaml' "
        await press(app, pilot, *"ties")
        assert app.screen.listed == [run.id]
        await press(app, pilot, "down", "j", "enter", "enter")
        assert app.screen.names == ("recipes/two words [red].yaml", run.id)
        assert "not run yet" in shown(app) and app.focused.id == "main"
        assert app.screen.command == f"mu runs compare 'recipes/two words [red].yaml' {run.id}"
        await press(app, pilot, "slash", "down", "escape")
        assert app.focused.id == "main" and not app.screen.query_one("#offered").display

    play(space, script, screen="compare")


@pytest.mark.slow
@pytest.mark.lab
def test_sentences_that_flip_and_labels_that_change_are_those_of_the_items(trained):
    where = ("--workspace", trained.space)
    assert trained.mu("tasks", "add", "rooms", "--data", trained.sentences, *where).code == 0
    for method in ("average", "ties"):
        keys = ("kind=merge", "task=rooms", f"base={trained.encoder}", "target=sv-SE", f"method={method}")
        chosen = ("sources=de-DE en-US", "ensembles=false")
        ran = trained.mu("run", *(word for key in (*keys, *chosen) for word in ("--set", key)), *where)
        assert ran.code == 0, ran
    space = workspace.find(explicit=trained.space)
    runs = run_store.listed(space)
    first, second = (item_file.read(run.folder / "items.npz").arms["merge"] for run in runs)
    seen = {}

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.found)
        await press(app, pilot, "d")
        await until(app, pilot, lambda: app.screen.flips)
        seen.update(flips=app.screen.flips, text=app.screen.copied("text"))

    play(space, script, size=(120, 40), screen="compare", what=[run.id for run in runs])
    flips, counts = seen["flips"].items, seen["flips"].labels
    assert len(flips) == (first != second).sum() > 0
    assert sum(flip.gained for flip in flips) == (second & ~first).sum()
    assert sum(count.n for count in counts) == len(first)
    assert sum(count.change for count in counts) == second.sum() - first.sum()
    assert all(flip.text[:40] in seen["text"] for flip in flips[:5])


@pytest.mark.slow
@pytest.mark.lab
def test_models_of_a_study_of_embedders_are_compared_by_direction_and_by_the_ranks_of_their_queries(
    trained, tmp_path
):
    pytest.importorskip("sentence_transformers")
    texts = {
        locale: [
            row["text"]
            for row in csv.DictReader((trained.sentences / f"{locale}.csv").open(encoding="utf-8"))
        ]
        for locale in ("sv-SE", "en-US")
    }
    pairs = [
        {"id": str(i)}
        | {f"query_{locale[:2]}": f"{texts[locale][i]} {i}" for locale in texts}
        | {f"positive_{locale[:2]}": f"{texts[locale][-i]} {i}" for locale in texts}
        for i in range(1, 61)
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    where = ("--workspace", trained.space)
    studied = trained.mu("embed", "compose", "--data", data, "--locale", "sv-SE", "--locale", "en-US",
                         "--base", trained.encoder, "--steps", 4, "--batch-size", 8, "--negatives", 1,
                         "--mine-ranks", "1-15", *where, "--json")  # fmt: skip
    assert studied.code == 0, studied.err
    result = json.loads(studied.out)
    run = result["run"].rpartition("/")[2]
    unknown = trained.mu("runs", "compare", run, f"{run}:nothing", *where)
    assert unknown.code == 2 and "average 0.50" in unknown.err
    space, seen = workspace.find(explicit=trained.space), {}
    base, merge = f"{run}:base", f"{run}:average 0.50"

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "slash", *run[-8:], ":", *"svensv")
        await until(app, pilot, lambda: app.screen.listed == [f"{run}:D(svensv)"])
        await press(app, pilot, *["backspace"] * 6, *"base")
        await until(app, pilot, lambda: app.screen.listed == [base])
        await press(app, pilot, "down", "enter", *run[-8:], ":", *"averag")
        await until(app, pilot, lambda: app.screen.listed == [merge])
        await press(app, pilot, "down", "enter", "enter")
        await until(app, pilot, lambda: app.screen.found)
        await press(app, pilot, "d")
        await until(app, pilot, lambda: app.screen.flips)
        seen.update(text=app.screen.copied("text"), command=app.screen.command, flips=app.screen.flips)

    play(space, script, size=(120, 40), screen="compare")
    assert shlex.split(seen["command"]) == ["mu", "runs", "compare", base, merge]
    assert "NDCG@10 by direction" in seen["text"] and "accuracy" not in seen["text"].lower()
    first, second = json.loads(trained.mu("runs", "compare", base, merge, *where, "--json").out)
    values = {bar["locale"]: bar["value"] for bar in second["locales"]}
    assert values == pytest.approx(result["ndcg_at_10"]["average 0.50"])
    assert first["is"] == "model" and second["comparison"]["n"] == 4 * result["queries"][2]
    assert all(bar["low"] <= bar["value"] <= bar["high"] for bar in second["locales"])
    ranks = seen["flips"].ranks
    assert ranks and seen["flips"].queries == second["comparison"]["n"]
    assert {one.text for one in ranks} < {row[f"query_{name}"] for row in pairs for name in ("sv", "en")}
    assert all(1 <= rank <= 11 for one in ranks for rank in (one.first, one.second))
    assert ranks[0].text[:30] in seen["text"]

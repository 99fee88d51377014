"""Embedders are trained, and studies of compositions run and written up, by keys."""

from __future__ import annotations

import json

import pytest
import transformers
from looking import bar
from pilot import play
from real_folders import TEXT, bert, word_tokenizer
from run_screens import press, settled, shown, until

from merginguriel.knowledge.base import load
from merginguriel.runs import run_store

pytestmark = pytest.mark.slow
WORDS = [word for text in TEXT for word in text.split()]


@pytest.fixture
def placed(space, monkeypatch):
    """A workspace with a small base, pairs, and parallel text, as paths from its folder."""
    pytest.importorskip("sentence_transformers")
    monkeypatch.chdir(space.root)
    bert(space.root / "base", 0, tokenizer=word_tokenizer(), kind=transformers.BertModel)
    two = [(WORDS[i % 29], WORDS[i * 7 % 29]) for i in range(60)]
    write(
        space.root / "pairs.jsonl",
        [{"query": f"{a} {b}", "positive": f"{b} {a} {i}"} for i, (a, b) in enumerate(two)],
    )
    write(space.root / "both.jsonl", [
        {"query_sw": f"{a} {b}", "positive_sw": f"{b} {a} {i}", "query_en": f"now {a} {b}", "positive_en": f"the {b} {a} {i}"}
        for i, (a, b) in enumerate(two)
    ])  # fmt: skip
    return space


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))


async def fill(app, pilot, **values):
    """Open the form, and type these values into its fields."""
    await press(app, pilot, "n")
    await until(app, pilot, lambda: getattr(app.screen, "fields", None))
    form = app.screen
    form.query_one("#key-kind").value = values.pop("kind")
    await settled(app, pilot)
    for name, value in values.items():
        field = form.query_one(f"#key-{name}")
        assert field.parent.display, f"{name} is hidden"
        form.set_focus(field)
        await press(app, pilot, *("space" if letter == " " else letter for letter in value))
    await until(
        app, pilot, lambda: form.checked and form.checked.config and form.checked_words == form.words()
    )
    return form


def test_an_embedder_is_trained_by_the_form_and_measures_nothing_for_the_log(placed):
    async def script(app, pilot):
        form = await fill(app, pilot, kind="embed", base="base", data="pairs.jsonl", **{"embed-steps": "2"})
        assert "1 embedder" in shown(app)
        for name in ("task", "training-epochs"):
            assert not form.query_one(f"#key-{name}-row").display, f"{name} has no effect"
        await press(app, pilot, "ctrl+l")
        await until(app, pilot, lambda: "✓ finished" in shown(app))
        assert "loss" in shown(app) and "models/embed/embed-pairs-" in shown(app)
        assert not bar(app) & {"run.write", "run.advice"}

    play(placed, script, size=(120, 40), screen="runs")


def test_a_study_of_compositions_goes_from_its_form_into_the_log_and_the_advice(placed):
    async def script(app, pilot):
        more = {"compose-steps": "1"}
        form = await fill(
            app, pilot, kind="compose", locales="sw-KE en-US", base="base", data="both.jsonl", **more
        )
        form.query_one("#key-base")
        await press(app, pilot, "f3")
        for name, value in {"compose-negatives": "1", "compose-mine_ranks": "1-15"}.items():
            form.set_focus(form.query_one(f"#key-{name}"))
            await press(app, pilot, *value)
        await until(app, pilot, lambda: form.checked and form.checked_words == form.words())
        assert "8 embedders" in shown(app)
        await press(app, pilot, "ctrl+l")
        await until(
            app, pilot, lambda: "of 2" in shown(app)
        )  # 20 or 21 stages: trainings are counted before they begin
        await until(app, pilot, lambda: "✓ finished" in shown(app) and "query-negatives match" in shown(app))
        assert any(word in shown(app) for word in ("it paid", "it cost", "a trade", "not shown to pay"))
        await press(app, pilot, "w")
        await until(app, pilot, lambda: "✓ valid" in shown(app))
        await press(app, pilot, "f2", "y")
        await until(app, pilot, lambda: "the first advice in this context" in shown(app))
        await press(app, pilot, "escape", "a")
        await until(app, pilot, lambda: "retrieval-cross-sw-en/base" in shown(app) and "D(" in shown(app))

    play(placed, script, size=(120, 40), screen="runs")
    (run,) = run_store.listed(placed)
    (entry,) = [one for one in load(placed).entries if any(row.run == run.id for row in one.rows)]
    assert {row.context for row in entry.rows} == {"retrieval-cross-sw-en/base", "retrieval-mono-sw-en/base"}
    assert "over D(" in entry.summary

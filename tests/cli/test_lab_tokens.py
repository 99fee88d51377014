"""A token-classification task, from text with tags to advice, through the commands."""

from __future__ import annotations

import json
import random

import pytest
from lab_fixtures import LOCALES, Lab

pytest.importorskip("torch")

SIZES = {"train": 120, "dev": 30, "test": 60}
INTENTS = ("HassTurnOn", "HassTurnOff", "HassLightSet")
FAST = ("--epochs", "12", "--learning-rate", "3e-3", "--head-learning-rate", "1e-2", "--batch-size", "8",
        "--no-bf16")  # fmt: skip


@pytest.fixture(scope="module")
def slots(tmp_path_factory):
    """Sentences of Home Assistant's own templates, their slots tagged: JSONL in two locales, CoNLL in the third."""
    pytest.importorskip("hassil")
    pytest.importorskip("home_assistant_intents")
    from merginguriel.tasks import _templates, home

    folder = tmp_path_factory.mktemp("slots")
    for locale in LOCALES:
        language = home._intents(locale)
        rng = random.Random(locale)
        found: dict[tuple[str, ...], list[str]] = {}
        templates = [t for name in INTENTS for t in home.templates_of(locale)[name] if "{" in t]
        while len(found) < sum(SIZES.values()):
            drawn = _templates.draw(
                rng.choice(templates), language["expansion_rules"], language["lists"], rng
            )
            words, tags = _templates.tagged(drawn)
            if 2 < len(words) < 12:
                found.setdefault(tuple(words), tags)
        rows = iter(found.items())
        for split, size in SIZES.items():
            part = [next(rows) for _ in range(size)]
            if locale == "sv-SE":
                text = "\n".join("\n".join(map("\t".join, zip(w, t, strict=True))) + "\n" for w, t in part)
                (folder / f"{locale}.{split}.conll").write_text(text, encoding="utf-8")
            else:
                lines = [json.dumps({"tokens": w, "tags": t}, ensure_ascii=False) for w, t in part]
                (folder / f"{locale}.{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def lab(tmp_path, slots, encoder, capsys, monkeypatch):
    space = tmp_path / "space"
    made = Lab(space, slots, encoder, capsys)
    assert made.mu("init", space).code == 0
    monkeypatch.chdir(space)
    return made


def ok(ran):
    assert ran.code == 0, ran.err
    return ran


@pytest.mark.slow
def test_slots_go_from_training_to_advice(lab):
    trained = ok(lab.mu("train", *(w for name in LOCALES for w in ("--locale", name)), *FAST, "--json")).data
    assert all(one["dev_span_f1"] > 0.3 for one in trained), trained

    matrix = ok(lab.mu("nxn", "--json")).data
    assert matrix["metric"] == "span_f1" and matrix["span_f1"]["de-DE"]["de-DE"] > 0.3
    ok(lab.mu("nxn", "--split", "dev"))
    table = lab.space / "results" / "nxn-rooms-tiny-bert-test.csv"
    assert table.read_text(encoding="utf-8").startswith("source,target,span_f1,n")

    merged = ok(lab.mu("merge", "--target", "de-DE", "--source", "en-US", "--source", "sv-SE", "--method",
                       "average", "--json")).data  # fmt: skip
    ran = ok(lab.mu("eval", merged["path"], "--locale", "de-DE", "--against", "sv-SE", "--json")).data[0]
    assert ran["comparison"]["metric"] == "span_f1" and ran["comparison"]["wins"] is None
    assert ran["comparison"]["interval"]["low"] <= ran["comparison"]["difference"]
    said = ok(lab.mu("eval", merged["path"], "--locale", "de-DE", "--against", "sv-SE")).out
    assert "span_f1" in said and "pp" in said

    row = ok(lab.mu("eval", merged["path"], "--locale", "de-DE", "--against", "sv-SE", "--row")).out.strip()
    assert "metric=span_f1" in row and "se=" in row and "wins" not in row
    ok(lab.mu("log", "add", "--title", "Slots", "--type", "Observation", "--summary", "Slots of commands.",
              "--row", row, "--workspace", lab.space))  # fmt: skip

    advice = ok(lab.mu("advise", "--target", "de-DE", "--context", "rooms/tiny-bert", "--json", "--workspace",
                       lab.space)).data  # fmt: skip
    assert advice["metric"] == "span_f1"
    assert advice["baseline"]["value"] == pytest.approx(ran["against"], abs=1e-4)
    gains = [item["gain_pp"] for item in advice["evidence"] if "gain_pp" in item]
    assert any(gain == pytest.approx(ran["comparison"]["difference"], abs=0.02) for gain in gains)


@pytest.mark.slow
def test_another_metric_can_be_asked_for_but_not_one_of_other_labels(lab):
    ok(lab.mu("train", "--locale", "de-DE", *FAST))
    ran = lab.mu("eval", "de-DE", "--locale", "de-DE", "--metric", "macro_f1")
    assert ran.code and "span_f1" in ran.err
    ran = lab.mu("eval", "de-DE", "--locale", "de-DE", "--metric", "f2")
    assert ran.code == 2 and "macro_f1" in ran.err

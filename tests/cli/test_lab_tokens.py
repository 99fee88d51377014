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
            words, tags = tagged(drawn, _templates)
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


def tagged(drawn, _templates):
    """Words of a sentence and their tags: `B-name`, `I-name` in the slot {name}, `O` outside of slots."""
    words, tags = [""], ["O"]
    slot, begun, reading = "", False, False
    for char in drawn.marked:
        if char == _templates.OPEN:
            slot, begun, reading = "", False, True
        elif char == _templates.MIDDLE:
            slot, reading = slot.partition("=")[0], False
        elif char == _templates.CLOSE:
            slot = ""
        elif reading:
            slot += char
        elif char.isspace():
            words.append("")
            tags.append("O")
        else:
            words[-1] += char
            if slot and tags[-1] == "O":
                tags[-1] = f"{'I' if begun else 'B'}-{slot}"
                begun = True
    kept = [i for i, word in enumerate(words) if word]
    return [words[i] for i in kept], [tags[i] for i in kept]


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
    result = ok(lab.mu("eval", merged["path"], "--locale", "de-DE", "--against", "sv-SE")).out
    assert "span_f1" in result and "pp" in result

    row = ok(lab.mu("eval", merged["path"], "--locale", "de-DE", "--against", "sv-SE", "--row")).out.strip()
    assert "metric=span_f1" in row and "se=" in row and "wins" not in row

    voted = ok(lab.mu("ensemble", "--target", "de-DE", "--method", "soft", "--k", "2", "--json")).data[0]
    assert voted["metric"] == "span_f1" and 0 <= voted["methods"]["soft"]["span_f1"] <= 1
    over = ok(
        lab.mu("ensemble", "compare", "--target", "de-DE", "--method", "soft", "--k", "2", "--json")
    ).data
    alone, soft = voted["methods"]["soft"]["comparison"], over["methods"]["soft"]
    assert soft["mean_pp"] == pytest.approx(alone["difference"])
    assert soft["ci95_pp"] == pytest.approx([alone["interval"]["low"], alone["interval"]["high"]], abs=2)

    runs = [ok(lab.mu("run", merge_of(lab, method), "--json", "--workspace", lab.space)).data
            for method in ("average", "ties")]  # fmt: skip
    listed = ok(lab.mu("runs", "list", "--workspace", lab.space)).out
    assert " span_f1 " in listed.splitlines()[0] and f"{100 * runs[0]['span_f1']:.2f}%" in listed
    shown = ok(lab.mu("runs", "show", runs[0]["run"], "--workspace", lab.space)).out
    assert f"span_f1 {100 * runs[0]['span_f1']:.2f}%" in shown and "accuracy" not in shown
    names = [run["run"] for run in runs]
    versus = ok(lab.mu("runs", "compare", *names, "--json", "--workspace", lab.space)).data[1]
    assert versus["span_f1"] == runs[1]["span_f1"] and "accuracy" not in versus
    assert versus["comparison"]["difference"] == pytest.approx(
        100 * (runs[1]["span_f1"] - runs[0]["span_f1"]), abs=1e-6
    )

    table = ok(lab.mu("report", *names, "--json", "--workspace", lab.space)).data["tables"]["comparisons"]
    record = next(
        one for one in table
        if (one["kind"], one["method"], one["baseline_kind"]) == ("merge", "ties", "best_single_source")
    )  # fmt: skip
    tested = runs[1]["baselines"]["best_single_source"]["comparison"]
    assert record["paired"] and record["span_f1"] == pytest.approx(runs[1]["span_f1"], abs=1e-5)
    assert record["difference_pp"] == pytest.approx(tested["difference"], abs=1e-4)
    assert record["se_pp"] == pytest.approx(tested["se"], rel=0.2)
    text = ok(lab.mu("report", *names, "--out", "report", "--workspace", lab.space)).out
    page = (lab.space / "report" / "report.md").read_text(encoding="utf-8")
    assert "accuracy" not in text + page and "percentage points (pp) of span\\_f1" in page

    rounds = ok(lab.mu("iterate", "--target", "de-DE", "--source", "en-US", "--source", "sv-SE", "--epochs", "2",
                       "--schedule", "gain", "--judge", "target", *lab.study, "--json")).data[0]  # fmt: skip
    assert rounds["metric"] == "span_f1" and rounds["merged_once"] == pytest.approx(
        runs[0]["span_f1"], abs=1e-6
    )
    assert all("dev_span_f1" in one for r in rounds["rounds"] for one in r["locales"].values())

    ok(lab.mu("log", "add", "--title", "Slots", "--type", "Observation", "--summary", "Slots of commands.",
              "--run", names[1], "--workspace", lab.space))  # fmt: skip
    advice = ok(lab.mu("advise", "--target", "de-DE", "--context", "rooms/tiny-bert", "--json", "--workspace",
                       lab.space)).data  # fmt: skip
    assert advice["metric"] == "span_f1"
    gains = [item["gain_pp"] for item in advice["evidence"] if "gain_pp" in item]
    assert any(gain == pytest.approx(tested["difference"], abs=0.02) for gain in gains)


def merge_of(lab, method):
    """The file of a run that merges the two foreign models for de-DE."""
    path = lab.space / f"{method}.yaml"
    path.write_text(
        json.dumps({"kind": "merge", "task": "rooms", "data": str(lab.sentences), "base": str(lab.encoder),
                    "target": "de-DE", "method": method, "sources": ["en-US", "sv-SE"], "ensembles": True}),
        encoding="utf-8",
    )  # fmt: skip
    return path


@pytest.mark.slow
def test_another_metric_can_be_asked_for_but_not_one_of_other_labels(lab):
    ok(lab.mu("train", "--locale", "de-DE", *FAST))
    ran = lab.mu("eval", "de-DE", "--locale", "de-DE", "--metric", "macro_f1")
    assert ran.code and "span_f1" in ran.err
    ran = lab.mu("eval", "de-DE", "--locale", "de-DE", "--metric", "f2")
    assert ran.code == 2 and "macro_f1" in ran.err

"""Data of one's own have a name, which later commands use instead of the folder."""

from __future__ import annotations

import json

import pytest
from conftest import copy_knowledge

from merginguriel.cli.main import run

ROWS = "utterance,label,split\n" + "".join(
    f"{word} {split} {i},{label},{split}\n"
    for split in ("train", "dev", "test")
    for label, word in (("on", "enable"), ("off", "disable"))
    for i in range(4)
)


@pytest.fixture
def space(tmp_path, monkeypatch):
    """A workspace with a folder of data in a column of another name."""
    (tmp_path / "mu.toml").write_text('context = "topics/tiny"\n', encoding="utf-8")
    (tmp_path / "data").mkdir()
    for locale in ("de-DE", "sw-KE"):
        (tmp_path / "data" / f"{locale}.csv").write_text(ROWS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_named_task_remembers_folder_and_columns(space, capsys):
    assert run(["tasks", "add", "topics", "--data", "data", "--option", "text=utterance"]) == 0
    assert (space / "tasks.yaml").read_text() == "topics:\n  data: data\n  options:\n    text: utterance\n"
    capsys.readouterr()
    assert run(["tasks", "topics", "--json"]) == 0
    assert [row["test"] for row in json.loads(capsys.readouterr().out)] == [8, 8]
    assert run(["train", "--locale", "sw-KE", "--dry-run", "--json"]) == 0
    (planned,) = json.loads(capsys.readouterr().out)
    assert planned["path"] == str(space / "models" / "topics" / "tiny" / "sw-KE") and planned["train"] == 8
    assert run(["tasks", "--json"]) == 0
    assert {"task": "topics", "about": "your data in data"} in json.loads(capsys.readouterr().out)
    assert run(["tasks", "remove", "topics"]) == 0
    assert run(["train", "--locale", "sw-KE", "--dry-run"]) == 2
    assert "mu tasks add topics --data FOLDER" in capsys.readouterr().err


def test_advice_on_a_task_just_named_is_unknown_with_the_spread_between_contexts(space, mu):
    copy_knowledge(space)
    (space / "mu.toml").write_text('context = "home/e5-small"\n', encoding="utf-8")
    assert mu("tasks", "add", "topics", "--data", "data", "--option", "text=utterance").code == 0
    result = mu("advise", "--target", "sw-KE", "--context", "topics/e5-small", "--json")
    assert result.code == 4 and result.json["verdict"] == "unknown"
    assert result.json["parts"]["rests_on"] == "contexts" and result.json["parts"]["before_sd_pp"] > 1
    assert result.json["next"][0]["command"] == "mu train --locale all --task topics --base e5-small"
    pilot = mu("pilot", "--target", "sw-KE", "--context", "topics/e5-small", "--dry-run")
    assert pilot.code == 1 and "First: mu train --locale all --task topics" in pilot.err
    wrong = mu("advise", "--target", "sw-KE", "--context", "topcis/e5-small")
    assert wrong.code == 2 and "Did you mean topics/e5-small" in wrong.err


def test_files_without_a_name_asks_for_one(space, capsys):
    assert run(["train", "--task", "files", "--data", "data", "--locale", "sw-KE", "--dry-run"]) == 2
    assert "mu tasks add NAME --data FOLDER" in capsys.readouterr().err
    (space / "run.yaml").write_text("kind: train\ntask: files\nlocales: [sw-KE]\n", encoding="utf-8")
    assert run(["run", "run.yaml", "--dry-run"]) == 2
    assert "your own data need a name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["add", "home", "--data", "data"], "home is a task of the program"),
        (["add", "files", "--data", "data"], "your own data need a name"),
        (["add", "My Data", "--data", "data"], "cannot name a task"),
        (["add", "topics", "--data", "data"], "missing column 'text'"),
        (["remove", "topics"], "unknown task 'topics'"),
    ],
)
def test_a_task_that_cannot_be_named_is_refused(space, capsys, words, problem):
    assert run(["tasks", *words]) in (1, 2)
    assert problem in capsys.readouterr().err
    assert not (space / "tasks.yaml").exists()


def test_a_name_means_one_folder(space, capsys):
    assert run(["tasks", "add", "topics", "--data", "data", "--option", "text=utterance"]) == 0
    (space / "other").mkdir()
    (space / "other" / "de-DE.csv").write_text(ROWS, encoding="utf-8")
    assert run(["tasks", "add", "topics", "--data", "other", "--option", "text=utterance"]) == 2
    assert run(["train", "--task", "topics", "--data", "other", "--locale", "de-DE", "--dry-run"]) == 2
    assert "Leave --data out" in capsys.readouterr().err


def test_the_estimated_time_of_a_training_grows_with_the_length_of_the_sentences(space, capsys):
    (space / "long").mkdir()
    for folder, times in (("data", 1), ("long", 12)):
        text = ROWS.replace("utterance", "text").replace("enable", " ".join(["enable the lamp"] * times))
        text = text.replace("disable", " ".join(["disable the lamp"] * times))
        (space / folder / "sw-KE.csv").write_text(text, encoding="utf-8")
        (space / folder / "de-DE.csv").unlink(missing_ok=True)
    seconds = []
    for name, folder in (("short", "data"), ("lengthy", "long")):
        words = [
            "--task",
            name,
            "--data",
            folder,
            "--base",
            "e5-small",
            "--locale",
            "sw-KE",
            "--dry-run",
            "--json",
        ]
        assert run(["train", *words]) == 0
        seconds.append(json.loads(capsys.readouterr().out)[0]["seconds"])
    assert 4 < seconds[1] / seconds[0] < 12

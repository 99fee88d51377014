"""`mu quickstart`: the whole loop, resuming, last screen."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from conftest import of_other_rules

SMALL = ["--target", "da-DK", "--source", "de-DE", "--source", "sv-SE",
         "--option", "train=24", "--option", "dev=10", "--option", "test=50"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.lab
def test_quickstart_runs_the_loop_writes_it_down_and_resumes(lab):
    space = lab.space.parent / "fresh"
    words = [*SMALL, "--epochs", "1", "--workspace", space]
    first = lab.mu("quickstart", *words)
    assert first.code == 0, first.err
    for result in ("accuracy in %", "its own model", "similarity (REAL)", "Advice for da-DK", "mu log show"):
        assert result in first.out
    # Paths and commands are there to be copied.
    assert all(
        len(line) <= 80
        for line in first.out.splitlines()
        if not line.strip().startswith(("entry", "mu", "Next", "Files"))
    )
    assert first.out.count("source   ") == 1 and "source   " not in first.err
    assert "[ 1/" in first.err and "fine-tune sv-SE" in first.err
    second = lab.mu("quickstart", *words, "--json")
    assert second.code == 0
    found = second.data
    assert {merge["method"] for merge in found["merges"]} == {"average", "linear", "task_arithmetic", "ties"}
    with Path(found["matrix"]).open(encoding="utf-8", newline="") as file:
        accuracy = {(row["source"], row["target"]): float(row["accuracy"]) for row in csv.DictReader(file)}
    assert len(accuracy) == 9 and found["baselines"]["target_alone"]["value"] == accuracy["da-DK", "da-DK"]
    entries = list((space / "experiment_log").rglob("*merging-for-da-dk*.md"))
    assert [path.stem for path in entries] == [found["entry"]]
    linted = lab.mu("lint", "--workspace", space, "--json").data
    assert of_other_rules(problem["what"] for problem in linted) == []
    shown = lab.mu("log", "show", found["entry"][:-9], "--workspace", space, "--json")
    assert shown.code == 0 and json.loads(shown.out)
    assert not list(space.rglob(".*.partial"))


def test_quickstart_refuses_what_cannot_be_a_run(lab):
    space = lab.space.parent / "fresh"
    for words, result in (
        (["--target", "da-DK", "--source", "da-DK", "--source", "sv-SE"], "da-DK is the target"),
        (["--target", "da-DK", "--source", "sv-SE"], "two sources"),
        (["--option", "trian=3"], "unknown option 'trian'"),
        (["--target", "xx-YY"], "xx-YY"),
        (["--target", "sw-KE", "--source", "de-DE", "--source", "sv-SE"], "sw-KE"),
    ):
        ran = lab.mu("quickstart", *words, "--workspace", space)
        assert ran.code == (3 if result == "sw-KE" else 2) and result in ran.err, ran
        assert not (space / "models").exists()


@pytest.mark.slow
def test_a_dry_run_says_what_and_how_long_and_makes_nothing(lab):
    space = lab.space.parent / "fresh"
    ran = lab.mu("quickstart", "--dry-run", "--workspace", space)
    assert ran.code == 0 and "sr-RS from cs-CZ, en-US, it-IT, pl-PL, ru-RU" in ran.out and "min" in ran.out
    planned = lab.mu("quickstart", "--dry-run", "--json", "--workspace", space).data
    assert planned["target"] == "sr-RS" and planned["seconds"] > 60
    refused = lab.mu("quickstart", "--dry-run", "--target", "sw-KE", "--workspace", space)
    assert refused.code == 3 and "sw-KE" in refused.err
    other = lab.mu("quickstart", "--dry-run", "--base", lab.encoder, "--workspace", space)
    assert str(lab.encoder) in other.out and "about" not in other.out
    assert not space.exists()

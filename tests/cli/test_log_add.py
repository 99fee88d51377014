"""`mu log add`: checks before it writes, and corrections."""

from __future__ import annotations

import hashlib
import json

import pytest
from conftest import OBSERVATION, row

E1, E2 = "2026-01-20-test-00000001", "2026-01-21-other-00000002"
TEXT = """\
---
title: "A correction"
type: "Retrospective"
date: "2026-01-22"
summary: "S."
context: "massive/xlm-roberta-base"
metric: "accuracy"
n: "2974"
---

## Results

| target | mode | method | value |
|---|---|---|---|
| sw-KE | ExcTar | ties | 0.43 |
"""


@pytest.fixture
def entry(tmp_path):
    path = tmp_path / "entry.md"
    path.write_text(TEXT)
    return path


def test_a_dry_run_prints_the_entry_as_json_when_asked_and_writes_nothing(mu, bench, entry):
    result = mu("log", "add", entry, "--dry-run", "--json", "--workspace", bench.root)
    assert (
        result.code == 0
        and result.json["title"] == "A correction"
        and result.json["rows"][0]["value"] == 0.43
    )
    assert mu("log", "add", entry, "--dry-run", "--workspace", bench.root).out.strip() == TEXT.strip()
    assert list((bench.root / "experiment_log").rglob("*")) == []


def test_a_dry_run_names_the_line_of_the_file_that_it_was_given(mu, bench, entry):
    entry.write_text(TEXT.replace("0.43", "43"))
    result = mu("log", "add", entry, "--dry-run", "--workspace", bench.root)
    assert result.code == 1 and f"{entry}:15" in result.err
    entry.write_text(TEXT + "\n## Findings\n\nIt lost by 5%.\n")
    result = mu("log", "add", entry, "--dry-run", "--json", "--workspace", bench.root)
    assert (
        result.code == 1
        and f"{entry}:19" in result.out + result.err
        and "lost by 5%" in result.out + result.err
    )
    assert list((bench.root / "experiment_log").rglob("*")) == []


def test_a_dry_run_finds_the_row_file_beside_the_entry(mu, bench, entry):
    data = b"target,mode,method,value\ncy-GB,ExcTar,ties,0.4\n"
    (entry.parent / "rows.csv").write_bytes(data)
    entry.write_text(f"{TEXT}\nrows: rows.csv sha256:{hashlib.sha256(data).hexdigest()}\n")
    result = mu("log", "add", entry, "--dry-run", "--json", "--workspace", bench.root)
    assert [r["target"] for r in result.json["rows"]] == ["sw-KE", "cy-GB"]


def test_the_same_file_added_twice_is_refused_the_second_time(mu, bench, entry):
    first = mu("log", "add", entry, "--workspace", bench.root)
    again = mu("log", "add", entry, "--workspace", bench.root)
    assert (first.code, again.code) == (
        0,
        1,
    ) and f"the log already has this entry: {first.out.strip()}" in again.err
    assert len(list((bench.root / "experiment_log").rglob("*.md"))) == 1


@pytest.mark.parametrize("given", [[f"{E1},{E2}"], [f"{E1}, 2026-01-21"], [E1, E2], [f"{E1},{E2}", E2]])
def test_supersedes_takes_several_ids_with_commas_or_repeated(mu, bench, given):
    bench.entry(row())
    bench.entry(row(), entry=E2)
    flags = [word for ids in given for word in ("--supersedes", ids)]
    result = mu("log", "add", *OBSERVATION, *flags, "--json", "--workspace", bench.root)
    assert result.code == 0 and result.json["supersedes"] == [E1, E2]


def test_one_unknown_id_among_several_is_named(mu, bench):
    bench.entry(row())
    result = mu("log", "add", *OBSERVATION, "--supersedes", f"{E1},2025-x", "--workspace", bench.root)
    assert result.code == 2 and "'2025-x'" in result.err and E1 not in result.err.splitlines()[0]


def test_rows_of_a_superseded_entry_are_shown_as_not_counted(mu, bench):
    bench.entry(row(value=0.6, baseline=0.5))
    bench.entry(row(value=0.51, baseline=0.5), entry=E2, more=f'supersedes: "{E1}"\n')
    lines = mu("log", "list", "--rows", "--workspace", bench.root).out.splitlines()
    assert [line.endswith("superseded, not counted") for line in lines] == [True, False]
    shown = mu("log", "show", f"{E1}#r1", "--json", "--workspace", bench.root)
    assert shown.json["status"] == "superseded"


def test_the_template_has_a_column_for_everything_that_an_evaluation_tells(mu, bench, tmp_path, monkeypatch):
    seen = tmp_path / "seen.md"
    editor = tmp_path / "editor.sh"
    editor.write_text(f'#!/bin/sh\ncp "$1" {seen}\n')
    editor.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(editor))
    mu("log", "add", "--workspace", bench.root)
    columns = [c.strip() for c in next(x for x in seen.read_text().splitlines() if "|" in x).split("|")]
    assert {"params", "wins", "losses", "se"} <= set(columns)


def test_json_of_the_row_that_a_correction_adds_says_its_standard_error(mu, bench):
    result = mu(
        "log", "add", "--title", "T", "--type", "Retrospective", "--summary", "S.", "--n", 50,
        "--row", "target=sw-KE mode=ExcTar method=ties value=0.54 baseline_kind=best_single_source baseline=0.50 "
        'wins=2 losses=0 se="2.50 pp"', "--json", "--context", "a/b", "--workspace", bench.root,
    )  # fmt: skip
    assert json.loads(result.out)["rows"][0]["se_pp"] == 2.5


def test_a_row_without_a_metric_has_the_usual_one_of_its_context(mu, bench):
    cells = "mode=ExcTar method=ties value=0.54 baseline_kind=best_single_source baseline=0.50"

    def added(target, metric=""):
        return mu("log", "add", "--title", "T", "--type", "Retrospective", "--summary", "S.", "--n", 50, "--context", "a/b",
                  "--row", f"target={target} {cells}{metric}", "--json", "--workspace", bench.root).json["rows"][0]  # fmt: skip

    assert added("sw-KE")["metric"] == "accuracy"
    assert [added(target, " metric=span_f1")["metric"] for target in ("cy-GB", "da-DK")] == ["span_f1"] * 2
    assert added("fi-FI")["metric"] == "span_f1"

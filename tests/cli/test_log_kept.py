"""Drafts: whatever `mu log add` refuses is saved, and can be added once it is corrected."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from conftest import OBSERVATION, row

E1 = "2026-01-20-test-00000001"
GIVEN = {
    "title": "TIES again",
    "type": "Retrospective",
    "date": "2026-01-22",
    "summary": "S.",
    "n": 2974,
    "sections": {"Findings": "F."},
    "rows": [{"target": "sw-KE", "mode": "ExcTar", "method": "ties", "value": 0.43}],
}


def test_a_refused_entry_is_listed_mended_and_lands_from_its_draft(log, bench, editor):
    wrong = {**GIVEN, "rows": [{**GIVEN["rows"][0], "value": 43}]}
    assert log("add", "-", stdin=json.dumps(wrong)).code == 1
    (draft,) = log("drafts", "--json").json
    assert draft["title"] == "TIES again" and "43" in draft["problem"]
    assert draft["id"] in log("drafts").out
    editor("| 43 ", "| 0.43 ")
    result = log("add", "--draft", draft["id"][:4], "--edit", "--yes", "--json")
    assert result.code == 0 and result.json["rows"][0]["value"] == 0.43
    assert log("drafts", "--json").json == []


def test_what_was_edited_lands_only_once_it_is_confirmed(log, bench, editor):
    editor("F.", "F, and more.")
    words = ("add", *OBSERVATION, "--section", "Findings: F.", "--edit")
    result = log(*words)
    assert result.code == 1 and "+F, and more." in result.err and "--yes" in result.err
    (draft,) = log("drafts", "--json").json
    assert "F, and more." in Path(draft["path"]).read_text()
    assert log(*words, "--yes").code == 0 and "F, and more." in log("export").out


def test_what_was_written_before_the_editor_failed_is_kept(log, editor):
    editor('title: ""', 'title: "T"', code=3)
    result = log("add")
    assert result.code == 1 and "exit code 3" in result.err
    assert [draft["title"] for draft in log("drafts", "--json").json] == ["T"]


@pytest.mark.parametrize(
    "message",
    ['{"title": "an hour of work", "summary": "s", }', json.dumps({**GIVEN, "rows": [{"target": "sw-KE"}]})],
)
def test_json_that_is_no_entry_is_kept_and_lands_once_mended(log, bench, message):
    assert log("add", "-", "--dry-run", stdin=message).code == 2 and log("drafts", "--json").json == []
    for _ in range(2):
        result = log("add", "-", stdin=message)
        (draft,) = log("drafts", "--json").json
        assert result.code == 2 and draft["path"] in result.err
    kept = Path(draft["path"])
    assert kept.suffix == ".json" and kept.read_text() == message and draft["problem"] in result.err
    kept.write_text(json.dumps(GIVEN))
    assert log("add", "--draft", draft["id"]).code == 0 and not kept.exists()


@pytest.mark.parametrize(
    ("flags", "corrections"),
    [
        (["--summary", "S.", "--links", "2026-01-20-nothere"], [("2026-01-20-nothere", E1)]),
        (
            ["--row", "target=sw-KE mode=ExcTar method=ties value=0.43"],
            [('type: "Ob', 'summary: "S."\ntype: "Ob')],
        ),
        (["--summary", "S.", "--row", "target sw-KE"], [("## Results:", "## Leftover")]),
    ],
    ids=["unknown link", "no summary", "unreadable row"],
)
def test_flags_that_make_no_entry_are_kept_and_land_once_mended(log, bench, flags, corrections):
    bench.entry(row())
    given = ["--title", "T", "--type", "Observation", "--section", "Findings: an hour of text", *flags]
    assert log("add", *given, "--dry-run").code and log("drafts", "--json").json == []
    result = log("add", *given)
    (draft,) = log("drafts", "--json").json
    kept = Path(draft["path"])
    text = kept.read_text()
    assert result.code and str(kept) in result.err and "an hour of text" in text
    assert all(word in text for word in flags[-1].replace("=", " ").split())
    for old, new in corrections:
        assert old in text
        text = text.replace(old, new)
    assert log("add", "--draft", draft["id"]).code  # as it is, it does not land
    assert len(log("drafts", "--json").json) == 1  # and is kept where it was
    kept.write_text(text)
    assert log("add", "--draft", draft["id"]).code == 0 and not kept.exists()


NOWHERE = "2026-01-01-nothing-0a1b2c3d"
TEXT = """\
---
title: "T"
type: "Observation"
date: "2026-01-19"
summary: "S."
{front}---

## Findings

An hour of text. {more}
"""


@pytest.mark.parametrize("path", ["file", "standard input", "json", "editor", "draft"])
@pytest.mark.parametrize(
    ("front", "more", "message"),
    [
        (f'links: "{E1}, {NOWHERE}"\n', "", "links names"),
        (f'supersedes: "{NOWHERE}"\n', "", "supersedes names"),
        (f'answers: "{NOWHERE}"\n', "", "answers names"),
        ("", f"As {NOWHERE} has it.", "the text names"),
        ("", f"As {E1}#r9 has it.", "the text names"),
        ("", f"\n\n## Open questions\n\n- [closed {NOWHERE}] Why?", "[closed] names"),
        ("", f"\n\n## Open questions\n\n- [closes {NOWHERE}#q1] So.", "not a question of this log"),
    ],
    ids=["links", "supersedes", "answers", "an entry", "a row", "closed by", "closes"],
)
def test_a_text_that_names_what_is_not_there_is_kept_and_does_not_land(
    log, bench, editor, tmp_path, path, front, more, message
):
    bench.entry(row())
    text = TEXT.format(front=front, more=more)
    if path == "file":
        (tmp_path / "entry.md").write_text(text)
        result = log("add", tmp_path / "entry.md")
    elif path == "standard input":
        result = log("add", "-", stdin=text)
    elif path == "json":
        lists = {one.partition(":")[0]: [NOWHERE] for one in front.splitlines()}
        given = {"title": "T", "type": "Observation", "summary": "S.", "date": "2026-01-19", **lists}
        sections = {"Findings": f"An hour of text. {more.partition('##')[0].strip()}"}
        if "##" in more:
            sections["Open questions"] = more.partition("questions")[2].strip()
        result = log("add", "-", stdin=json.dumps({**given, "sections": sections}))
    elif path == "editor":
        editor("An hour", "An hour")
        result = log("add", "-", "--edit", stdin=text)
    else:
        kept = bench.root / "experiment_log" / ".draft" / "0a1b2c3d.md"
        kept.parent.mkdir()
        kept.write_text(text)
        result = log("add", "--draft", "0a1b")
    (draft,) = log("drafts", "--json").json
    assert result.code == 1 and message in result.err and draft["path"] in result.err
    assert message in draft["problem"] and "An hour of text." in Path(draft["path"]).read_text()
    assert len(list((bench.root / "experiment_log" / "2026").iterdir())) == 1


def test_flags_about_runs_are_kept_with_what_was_typed_beside_them(log, bench):
    assert log("add", "--from-run", "merge-nothing", "--title", "An hour's title", "--links", NOWHERE).code
    (draft,) = log("drafts", "--json").json
    text = Path(draft["path"]).read_text()
    assert all(word in text for word in ("--from-run merge-nothing", "An hour's title", NOWHERE))


def test_what_is_no_text_is_kept_byte_by_byte(log, bench, monkeypatch, tmp_path):
    data = b"---\ntitle: \xff\xfe an hour of text\n"
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="surrogateescape")
    )
    from merginguriel.cli.main import run

    assert run(["log", "add", "-", "--workspace", str(bench.root)]) == 1
    (kept,) = (bench.root / "experiment_log" / ".draft").iterdir()
    assert kept.read_bytes() == data
    (listed,) = log("drafts", "--json").json
    assert listed["path"] == str(kept) and "UTF-8" in listed["problem"]


def test_a_draft_is_discarded_by_its_name_only(log):
    log("add", "-", stdin=json.dumps({**GIVEN, "rows": [{**GIVEN["rows"][0], "value": 43}]}))
    (draft,) = log("drafts", "--json").json
    assert log("drafts", "--discard", "zz").code == 2
    assert log("drafts", "--discard", draft["id"]).out.strip() == draft["id"]
    assert log("drafts", "--json").json == [] and "No drafts" in log("drafts").err


def test_flags_beside_a_file_are_refused_and_not_ignored(log):
    result = log("add", "-", "--title", "Other", stdin=json.dumps(GIVEN))
    assert result.code == 2 and "cannot be combined with flags" in result.err


@pytest.mark.parametrize("kind", ["Plan", "Observation", "Retrospective", "Troubleshooting"])
def test_every_type_has_a_form_whose_headings_are_read(log, editor, kind):
    editor('title: ""', 'title: "T"')
    result = log("add", "--type", kind, "--yes", "--json")
    # An empty form is no entry; what is missing is named, never a heading that is not read.
    assert result.code == 1 and "unknown heading" not in result.out

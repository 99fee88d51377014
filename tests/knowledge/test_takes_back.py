"""What an entry takes back is counted before it lands, and needs confirmation where it is much."""

from __future__ import annotations

import pytest
from conftest import HEAD, row

ENTRY = """\
---
title: "{title}"
type: "Observation"
date: "2026-02-01"
summary: "The base was wrong."
---

## {kind}

All merges were made from the wrong base.

{items}
"""


@pytest.fixture
def land(log, bench, tmp_path):
    """Write 30 rows of one context and 2 of another, then add an entry with these marks."""
    for i, (context, count) in enumerate((("massive/xlm-roberta-base", 30), ("home/e5-small", 2)), start=1):
        rows = [row(value=0.4 + j / 1000, k=j + 1) for j in range(count)]
        path = bench.entry(entry=f"2026-01-20-test-0000000{i}", table=HEAD + "\n".join(rows))
        path.write_text(path.read_text().replace("massive/xlm-roberta-base", context))

    def add(*items, kind="Invalidates", options=()):
        file = tmp_path / "entry.md"
        file.write_text(
            ENTRY.format(title=f"Wrong {len(items)}", kind=kind, items="\n".join(f"- {i}" for i in items))
        )
        return log("add", file, *options)

    return add


@pytest.mark.parametrize("kind", ["Invalidates", "Contests"])
def test_a_mark_on_a_whole_context_needs_confirmation(land, bench, kind):
    told = land("context=massive/xlm-roberta-base", kind=kind)

    assert told.code == 1 and "takes back 30 rows, 0 claims, changes 1 verdict" in told.err
    assert ":10:" in told.err or ":8:" in told.err
    assert "--anyway" in told.err and len(bench.load().entries) == 2


def test_a_confirmed_mark_lands_with_its_counts(land, bench):
    told = land("context=massive/xlm-roberta-base", options=["--anyway"])

    assert told.code == 0 and "takes back 30 rows, 0 claims, changes 1 verdict" in told.err
    assert sum(r.status == "invalidated" for r in bench.load().rows) == 30


def test_a_small_mark_lands_with_its_counts(land):
    told = land("context=home/e5-small")

    assert told.code == 0 and "takes back 2 rows, 0 claims" in told.err


def test_a_dry_run_counts_too(land):
    assert "takes back 2 rows" in land("context=home/e5-small", options=["--dry-run"]).err


@pytest.mark.parametrize(
    "item",
    [
        "context=home/e5-small k=7",
        "entries=2026-01-20-test-00000001 context=home/e5-small",
    ],
)
def test_a_mark_that_selects_no_row_is_refused_with_its_line(land, item):
    told = land("context=home/e5-small", item)

    assert told.code == 1 and "selects no row of the log" in told.err and ".md:13:" in told.err


def test_a_mark_on_rows_to_come_needs_confirmation(land):
    assert land("commits=abcdef0").code == 1
    assert land("commits=abcdef0", options=["--anyway"]).code == 0


def test_the_counts_are_part_of_the_answer_to_an_agent(land, bench):
    pytest.importorskip("mcp")
    from merginguriel.agents.tools import log_add
    from merginguriel.errors import KnowledgeError

    given = {"title": "Wrong", "type": "Observation", "summary": "The base was wrong.", "sections": {}}
    for context, anyway, rows in (("home/e5-small", False, 2), ("massive/xlm-roberta-base", True, 30)):
        marks = {"Invalidates": f"Made from the wrong base.\n\n- context={context}"}
        if anyway:
            with pytest.raises(KnowledgeError, match="takes back 30 rows"):
                log_add(bench.load_space(), {**given, "sections": marks})
        found = log_add(bench.load_space(), {**given, "sections": marks, "anyway": anyway})
        assert found["takes_back"]["rows"] == rows

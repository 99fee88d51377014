"""`mu log import` turns a log of one file into entries: what is typed becomes rows, all else is kept and listed."""

from __future__ import annotations

import pytest

LOG = """\
# Experiment Log

## Format

Each entry has a date.

---

## 2026-01-19 – Observation: Goals

**Type:** Observation
**General description:** What the project is for.

### Aims

Beat the best source.

```python
# a comment
## 2026-01-01 – Plan: Not a heading
```

---

## 2026-01-20 – Retrospective: NeuroMerging Validation (NEGATIVE RESULT)

**Type:** Retrospective
**General description:** It lost by 4.4% on Welsh.

### Key findings

| Target | ZS Baseline | Similarity | TIES | Other |
|--------|-------------|------------|------|-------|
| sw-KE | 0.4670 | **0.4832 (+1.6%)** | 0.4297 (-3.7%) | 0.4549 |
| cy-GB | 44.45% | 0.4166 | n/a | 0.4008 |

| File | Purpose |
|------|---------|
| `a.py` | Code |

### Results

Text under a heading that entries read.

### Open questions

1. Why does sw-KE gain?
2. Would alignment help?

---

## 2026-01-21 - Decision: Go on

What was decided.

<!-- New entries go above this line -->
"""


@pytest.fixture
def imported(mu, bench, tmp_path):
    file = tmp_path / "log.md"
    file.write_text(LOG)
    return lambda *options: mu("log", "import", file, "--workspace", bench.root, *options)


def test_each_dated_heading_becomes_an_entry_with_its_date_and_type(imported, bench, mu):
    assert imported().code == 0

    found = [(entry.date, entry.type, entry.title) for entry in bench.load().entries]
    assert found == [
        ("2026-01-19", "Observation", "Goals"),
        ("2026-01-20", "Retrospective", "NeuroMerging Validation (NEGATIVE RESULT)"),
        ("2026-01-21", "Observation", "Go on"),
    ]
    assert mu("lint", "--workspace", bench.root).code == 0


def test_accuracies_by_target_and_method_become_rows_with_their_baseline(imported, bench):
    imported()

    rows = [(r.target, r.mode, r.method, r.value, r.baseline_kind, r.baseline) for r in bench.load().rows]
    assert rows == [
        ("sw-KE", "ExcTar", "similarity", 0.4832, "best_zero_shot", 0.467),
        ("sw-KE", "ExcTar", "ties", 0.4297, "best_zero_shot", 0.467),
        ("cy-GB", "ExcTar", "similarity", 0.4166, "best_zero_shot", 0.4445),
    ]


def test_text_is_kept_as_written_and_what_is_not_typed_is_listed_with_its_line(imported, bench):
    result = imported()

    body = bench.load().entries[1].body
    assert "**0.4832 (+1.6%)**" in body and "Text under a heading" in body and "| `a.py` | Code |" in body
    listed = [line.partition("log.md:")[2] for line in result.err.splitlines() if "log.md:" in line]
    assert [line.partition(":")[0] for line in listed] == ["30", "32", "35", "37", "52"]
    for ran in (
        "column Other: unknown method",
        "ties on cy-GB",
        "no column Target",
        "unknown type 'Decision'",
    ):
        assert ran in result.err


def test_open_questions_can_be_followed(imported, bench, mu):
    imported()

    result = mu("log", "questions", "--workspace", bench.root)
    assert "Why does sw-KE gain?" in result.out and "2 open" in result.err


def test_a_second_import_adds_nothing(imported, bench):
    imported()
    result = imported("--json")

    assert result.code == 0 and {one["state"] for one in result.json} == {"skipped"}
    assert len(bench.load().entries) == 3


def test_a_dry_run_writes_nothing(imported, bench):
    result = imported("--dry-run", "--json")

    assert [one["rows"] for one in result.json] == [0, 3, 0] and bench.load().entries == ()


def test_an_export_can_be_imported(imported, bench, mu, tmp_path):
    imported()
    exported = tmp_path / "exported.md"
    mu("log", "export", "--out", exported, "--workspace", bench.root)
    assert mu("init", "--empty", tmp_path / "other").code == 0

    result = mu("log", "import", exported, "--json", "--workspace", tmp_path / "other")

    assert result.code == 0 and [one["title"] for one in result.json] == [
        e.title for e in bench.load().entries
    ]


def test_a_file_of_another_form_is_refused(mu, bench, tmp_path):
    (tmp_path / "notes.md").write_text("# Notes\n")

    result = mu("log", "import", tmp_path / "notes.md", "--workspace", bench.root)

    assert result.code == 1 and "no heading like" in result.err

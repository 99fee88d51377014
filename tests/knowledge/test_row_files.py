"""An entry that keeps its rows in a CSV takes the file along when it is added."""

import hashlib

import pytest

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.log import append

CSV = "target,mode,method,sources,value\nsw-KE,-,single,sq-AL,0.4670\n"
ENTRY = """---
title: "Rows beside"
type: "Observation"
date: "2026-02-01"
summary: "A matrix."
context: "massive/xlm-roberta-base"
metric: "accuracy"
n: "2974"
---

## Results

rows: matrix.csv sha256:{digest}
"""


def test_a_row_file_beside_the_text_is_copied_into_the_log(tmp_path):
    (tmp_path / "matrix.csv").write_text(CSV)
    text = ENTRY.format(digest=hashlib.sha256(CSV.encode()).hexdigest())
    entry = append.add_text(tmp_path / "log", text, beside=tmp_path)
    assert [row.value for row in entry.rows] == [0.467]
    assert entry.files == (tmp_path / "log" / "2026" / "matrix.csv",)


def test_a_refused_entry_leaves_no_row_file_behind(tmp_path):
    (tmp_path / "matrix.csv").write_text(CSV)
    with pytest.raises(KnowledgeError, match="sha256"):
        append.add_text(tmp_path / "log", ENTRY.format(digest="0" * 64), beside=tmp_path)
    assert not list((tmp_path / "log").glob("2026/*"))

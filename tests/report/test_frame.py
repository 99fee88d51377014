"""Rows of a workspace as a DataFrame."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import row
from test_report import ROW, against, run_folder

import merginguriel
from merginguriel.errors import UsageError


def test_rows_of_the_log_and_of_runs_are_one_frame(bench):
    bench.entry(row("sw-KE"), row("cy-GB", 0.41, 0.44))
    run_folder(bench.root, "r", [against(ROW, 0.5, wins=60, losses=20)])
    rows = merginguriel.frame(bench.root)
    assert rows["source"].tolist() == ["log", "log", "runs"] and rows["id"].iloc[2] == "r"
    assert rows["difference_pp"].iloc[1:].tolist() == pytest.approx([-3.0, 10.0])
    assert set(rows["kind"]) == {"merge"}
    assert len(merginguriel.frame(bench.root, source="log")) == 2
    assert len(merginguriel.frame(str(bench.root), source="runs")) == 1
    with pytest.raises(UsageError, match="unknown source"):
        merginguriel.frame(bench.root, source="rnus")


def test_a_workspace_without_rows_has_the_columns(bench):
    assert "difference_pp" in merginguriel.frame(bench.root, source="runs").columns


def test_the_package_does_not_import_pandas():
    code = "import sys, merginguriel; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

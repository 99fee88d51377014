"""SQLite index of runs: agrees with the folders, survives damage, is read-only."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from merginguriel.config import run_config as configs
from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.rows import COLUMNS, ResultRow, row_cells
from merginguriel.runs import archive, gc, run_index, run_store

TABLE = {"kind": "merge", "method": "ties", "similarity": "REAL", "candidates": ["de-DE", "sv-SE"], "k": 2}


@pytest.fixture
def stored(bench):
    """A workspace with three runs as a worker leaves them: two finished, one waiting."""
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    for target, value in (("da-DK", 0.5), ("nb-NO", 0.75), ("sw-KE", None)):
        run = run_store.create(bench.load_space(), configs.from_table({**TABLE, "target": target}))
        if value is not None:
            finish(run, target, value)
    return bench.load_space()


def finish(run, target, value, **more):
    row = ResultRow("home/e5-small", target, "ExcTar", "ties", "accuracy", value, 40, sources=("de-DE", "sv-SE"), k=2,
                    params=(("density", "0.2"),), baseline_kind="best_single_source", baseline=0.6, se_pp=2.5,
                    run=run.id)  # fmt: skip
    row = replace(row, **more)
    with (run.folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow(row_cells(row))
    (run.folder / "result.json").write_text(json.dumps({"run": run.id, "accuracy": value}))
    run_store.Events(run.folder).add("metric", name="accuracy", value=value)
    run_store.Events(run.folder).add("finished", seconds=2.5, peak_memory_mb=100.0)


def states(space):
    return {row["target"]: row["state"] for row in run_index.listed(space)[0]}


def test_the_index_says_what_the_folders_say_when_they_change(stored):
    assert states(stored) == {"da-DK": "finished", "nb-NO": "finished", "sw-KE": "queued"}
    waiting = next(run for run in run_store.listed(stored) if run.config.target == "sw-KE")
    run_store.request(waiting, "cancel")
    shutil.rmtree(next(run for run in run_store.listed(stored) if run.config.target == "da-DK").folder)
    assert states(stored) == {"nb-NO": "finished", "sw-KE": "cancelled"}
    assert run_index.query(stored, "select count(*) from rows")[1] == [(1,)]


def test_a_run_is_alive_while_its_lock_is_held_and_dead_after(stored):
    waiting = next(run for run in run_store.listed(stored) if run.config.target == "sw-KE")
    run_store.Events(waiting.folder).add("started")
    with run_store.claimed(waiting):
        assert states(stored)["sw-KE"] == "running"
    assert states(stored)["sw-KE"] == "dead"


@pytest.mark.parametrize("damage", ["removed", "cut", "noise", "other version"])
def test_a_lost_or_damaged_index_is_built_anew(stored, damage):
    before = run_index.listed(stored)
    path = run_index.path(stored)
    if damage == "removed":
        path.unlink()
    elif damage == "other version":
        import sqlite3

        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.execute("DROP TABLE rows")
        connection.commit()
        connection.close()
    else:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"noise" * 5000)
    assert run_index.listed(stored) == before and run_index.query(stored, "select count(*) from rows")[1] == [
        (2,)
    ]


def test_numbers_are_numbers_and_what_is_not_known_is_null(stored):
    names, found = run_index.query(
        stored, "select value, n, se, gain_pp, wins, target from rows order by target"
    )
    assert names == ["value", "n", "se", "gain_pp", "wins", "target"]
    assert found == [(0.5, 40, 2.5, -10.0, None, "da-DK"), (0.75, 40, 2.5, 15.0, None, "nb-NO")]


@pytest.mark.parametrize(
    "query",
    ["delete from runs", "drop table rows", "update runs set state = 'x'", "attach 'other.sqlite' as o",
     "pragma user_version = 3", "select * from nothing", "selec", "create table t (a)", "vacuum into 'x.sqlite'",
     "select 1; delete from runs"],
)  # fmt: skip
def test_sql_reads_and_does_nothing_else(stored, mu, query, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = run_index.listed(stored)
    result = mu("runs", "sql", query, "--workspace", stored.root)
    assert result.code == 2 and result.out == "" and "Tables and columns" in result.err
    assert run_index.listed(stored) == before and not list(tmp_path.glob("*.sqlite"))


def test_list_shows_the_newest_first_and_filters(stored, mu):
    every = mu("runs", "list", "--workspace", stored.root, "--json").json
    assert [row["target"] for row in every] == ["sw-KE", "nb-NO", "da-DK"]
    assert every[1]["accuracy"] == 0.75 and every[1]["config"]["k"] == 2
    one = mu("runs", "list", "--state", "finished", "--limit", "1", "--workspace", stored.root)
    assert "nb-NO" in one.out and "75.00%" in one.out and "da-DK" not in one.out and "1 more" in one.err
    assert mu("runs", "list", "--target", "xx", "--workspace", stored.root).out == ""


def test_rows_leave_as_parquet_csv_and_latex_and_are_the_same(stored, mu, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for ending in ("parquet", "csv", "tex"):
        result = mu("runs", "export", tmp_path / f"rows.{ending}", "--workspace", stored.root, "--json")
        assert result.json["rows"] == 2
    table = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [row["value"] for row in table] == [0.75, 0.5] and table[0]["wins"] is None
    with (tmp_path / "rows.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(row["gain_pp"]) for row in read] == [row["gain_pp"] for row in table]
    text = (tmp_path / "rows.tex").read_text()
    assert r"best\_single\_source" in text and "75.00 & " in text and "$-$10.00" in text
    assert text.count("&") == 3 * 10 and text.count(r"\\") == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("x.doc",), "Formats are: .parquet, .csv, .tex"),
        (("x.parqet",), "Did you mean x.parquet?"),
        (("x",), "x has no suffix"),
        (("x.csv", "--column", "valu"), "unknown column 'valu'"),
    ],
)
def test_what_cannot_be_exported_is_said(stored, mu, tmp_path, words, says):
    result = mu("runs", "export", tmp_path / words[0], *words[1:], "--workspace", stored.root)
    assert result.code == 2 and says in result.err and not list(tmp_path.glob("x.*"))


def test_folders_that_an_export_makes_are_told(stored, mu, tmp_path):
    out = tmp_path / "new" / "deep" / "rows.csv"
    first = mu("runs", "export", out, "--workspace", stored.root)
    assert first.code == 0 and str(out) in first.out and f"made the folder {tmp_path / 'new'}\n" in first.err
    assert "made" not in mu("runs", "export", out, "--workspace", stored.root).err
    wrong = mu("runs", "export", tmp_path / "other" / "rows.parqet", "--workspace", stored.root)
    assert wrong.code == 2 and not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudoterminal")
def test_the_list_shows_how_sources_were_chosen_and_fits_a_narrow_terminal(stored, mu):
    import fcntl
    import os
    import pty
    import struct
    import termios

    def at(width):
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        words = ["-m", "merginguriel.cli.main", "runs", "list", "--workspace", str(stored.root)]
        ran = subprocess.run([sys.executable, *words], stdout=follower, stderr=subprocess.PIPE, check=True)
        os.close(follower)
        return os.read(leader, 1 << 16).decode().splitlines(), ran.stderr.decode()

    whole = mu("runs", "list", "--workspace", stored.root)
    assert whole.out.splitlines()[0].split() == [
        "run", "state", "target", "similarity", "k", "accuracy", "n", "seconds", "created",
    ]  # fmt: skip
    assert "REAL" in whole.out.splitlines()[1].split() and "too narrow" not in whole.err
    lines, result = at(62)
    assert max(map(len, lines)) <= 62 and "created, seconds" in result
    assert lines[0].split()[:2] == ["run", "state"] and "accuracy" in lines[0]
    lines, result = at(200)
    assert lines == whole.out.splitlines() and "too narrow" not in result


def test_a_run_is_found_by_the_end_of_its_id_and_a_wrong_one_is_named(stored, mu):
    run = run_store.listed(stored)[0]
    assert mu("runs", "show", run.id[-8:], "--workspace", stored.root, "--json").json["run"] == run.id
    result = mu("runs", "show", "merge-da-DK-ties-00000000", "--workspace", stored.root)
    assert result.code == 2 and "Did you mean" in result.err
    assert "2 runs" in mu("runs", "show", "merge-", "--workspace", stored.root).err.replace(
        "3 runs", "2 runs"
    )
    with pytest.raises(UsageError):
        run_store.get(stored, "../runs")


def test_gc_removes_what_was_given_up_and_nothing_else(stored, mu):
    waiting = next(run for run in run_store.listed(stored) if run.config.target == "sw-KE")
    run_store.request(waiting, "cancel")
    (stored.runs / ".gone.partial").mkdir()
    planned = mu("runs", "gc", "--workspace", stored.root, "--json").json
    assert {one["why"] for one in planned} == {"cancelled", "left half"} and waiting.folder.is_dir()
    assert mu("runs", "gc", "--older-than", "1", "--yes", "--workspace", stored.root, "--json").json == []
    result = mu("runs", "gc", "--yes", "--workspace", stored.root)
    assert result.code == 0 and "2 removed" in result.err
    assert (
        not waiting.folder.exists()
        and not list(stored.runs.glob(".*"))
        and len(run_store.listed(stored)) == 2
    )


def test_what_a_killed_gc_left_goes_with_the_next(stored, mu):
    waiting = next(run for run in run_store.listed(stored) if run.config.target == "sw-KE")
    run_store.request(waiting, "cancel")
    code = (
        "import os, shutil, signal, sys; shutil.rmtree = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL); "
        "from merginguriel.cli.main import run; "
        f"run(['runs', 'gc', '--yes', '--workspace', {str(stored.root)!r}])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    (left,) = stored.runs.glob(".*.removed")
    assert (left / "config.yaml").is_file() and not waiting.folder.exists()
    (stored.models / "home" / "e5-small" / "merged" / ".m.1f2e3d4c.removed").mkdir(parents=True)
    planned = mu("runs", "gc", "--workspace", stored.root, "--json").json
    assert [one["why"] for one in planned] == ["left half", "left half"]
    assert mu("runs", "gc", "--yes", "--workspace", stored.root).code == 0
    assert not list(stored.root.rglob(".*.removed")) and len(run_store.listed(stored)) == 2


def test_gc_leaves_a_run_that_was_gone_on_with_since_it_looked(stored):
    waiting = next(run for run in run_store.listed(stored) if run.config.target == "sw-KE")
    run_store.request(waiting, "cancel")
    (found,) = gc.find(stored, ["cancelled"])
    run_store.request(waiting, "resume")
    assert not gc.remove(found) and waiting.folder.is_dir()
    run_store.request(waiting, "cancel")
    assert gc.remove(found) and not waiting.folder.exists()


def test_a_run_whose_earlier_one_is_archived_is_not_archived_and_the_reason_is_stated(stored):
    run = next(run for run in run_store.listed(stored) if run.config.target == "da-DK")
    assert archive.archive(stored, [run.id]) == [run.id]
    run_store.create(stored, configs.from_table({**TABLE, "target": "da-DK"}))
    with pytest.raises(UsageError, match=f"an earlier {run.id} is archived"):
        archive.archive(stored, [run.id])


def test_the_mode_and_the_items_of_every_kind_of_run_are_those_of_its_rows(stored):
    table = {"kind": "iterate", "target": "da-DK", "method": "average", "sources": ["de-DE", "sv-SE"]}
    run = run_store.create(stored, configs.from_table(table))
    query = "select mode, n, method, k, sources from runs where kind = 'iterate'"
    assert run_index.query(stored, query)[1] == [("ExcTar", None, "average", None, "de-DE sv-SE")]
    finish(run, "da-DK", 0.5, method="iterate_average")
    assert run_index.query(stored, query)[1] == [("ExcTar", 40, "iterate_average", 2, "de-DE sv-SE")]


def test_a_workspace_without_runs_says_how_to_begin_one(bench, mu):
    result = mu("runs", "list", "--workspace", bench.root)
    assert result.code == 0 and result.out == "" and "mu run" in result.err
    assert mu("runs", "list", "--workspace", bench.root, "--json").json == []
    assert not (bench.root / "runs").exists()


def test_looking_at_runs_imports_no_torch(stored):
    code = (
        "import sys; from merginguriel.cli.main import run; "
        f"assert run(['runs', 'list', '--workspace', {str(stored.root)!r}]) == 0; "
        "assert run(['run', '--help']) == 0; "
        "assert not {'torch', 'transformers', 'datasets', 'pandas', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

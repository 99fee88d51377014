"""SQLite index of all runs with their rows and metrics; the run folders are the source of truth.

runs/index.sqlite may be deleted at any time. Every call compares the time and size of each run's events.jsonl with the
index, and reads those that have changed.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.parse.row_parser import read_csv
from merginguriel.knowledge.parse.rows import COLUMNS, ResultRow, row_cells
from merginguriel.metrics import registry as metrics
from merginguriel.workspace import Workspace

from . import run_store
from .run_store import ENDED, Run

MERGING = ("merge", "iterate", "tune")  # kinds whose first row is the result of the run
VERSION = 5  # of the tables below; an index of another version is rebuilt
RUNS = {
    "id": "TEXT PRIMARY KEY", "kind": "TEXT", "state": "TEXT", "context": "TEXT", "target": "TEXT", "mode": "TEXT",
    "method": "TEXT", "params": "TEXT", "similarity": "TEXT", "k": "INTEGER", "sources": "TEXT", "seed": "INTEGER",
    "metric": "TEXT", "value": "REAL", "accuracy": "REAL", "n": "INTEGER", "created": "TEXT", "changed": "TEXT", "step": "TEXT", "error": "TEXT",
    "seconds": "REAL", "peak_memory_mb": "REAL", "digest": "TEXT", "config": "TEXT", "tags": "TEXT", "note": "TEXT", "last": "TEXT", "mtime": "INTEGER",
    "size": "INTEGER",
}  # fmt: skip
SHOWN = [name for name in RUNS if name not in ("last", "mtime", "size")]  # the others are the index's own
NUMBERS = {"k": int, "value": float, "n": int, "seed": int, "baseline": float, "wins": int, "losses": int}
TYPES = {int: "INTEGER", float: "REAL"}
ROWS = {name: TYPES.get(NUMBERS.get(name, str), "TEXT") for name in COLUMNS} | {
    "se": "REAL",
    "gain_pp": "REAL",
}
METRICS = {"run": "TEXT", "time": "TEXT", "name": "TEXT", "value": "REAL"}
LARGEST = 1e30  # of a metric; plots cannot divide larger ones
TABLES = {"runs": RUNS, "rows": ROWS, "metrics": METRICS}
FOUND_BY = (
    "id", "kind", "state", "context", "target", "mode", "method", "params", "similarity", "sources", "step", "tags", "note",
)  # fmt: skip
# `name:word` in the text of a search → column
FILTERS = {name: name for name in (*FOUND_BY, "seed", "k")} | {"tag": "tags"}
ORDERS = {
    "newest": "created DESC, id",
    "best": "best IS NULL, {sign} * best DESC, created DESC, id",
    # Running first, then waiting, then those that need attention.
    "state": "instr('running queued paused dead failed cancelled finished', state), created DESC, id",
    **{name: f"{name} IS NULL, {name}, created DESC, id" for name in ("target", "method", "seed")},
}
# SQLite actions that a query may take.
READING = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)


def path(space: Workspace) -> Path:
    """Return the path of the index."""
    return space.runs / "index.sqlite"


@contextlib.contextmanager
def opened(space: Workspace, *, look: bool = True) -> Iterator[sqlite3.Connection]:
    """Open the index, brought up to date if `look` is true.

    A damaged index, or one of another version, is built anew; where it cannot be written, it is built in memory.
    """
    file = path(space)
    where: str | Path = file if space.runs.is_dir() and os.access(space.runs, os.W_OK) else ":memory:"
    try:
        connection = refreshed(space, where, look=look)
    except sqlite3.DatabaseError:
        # Damaged, or the disk is full: the folders have everything.
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        try:
            connection = refreshed(space, where, look=look)
        except sqlite3.OperationalError:
            connection = refreshed(space, ":memory:", look=look)
    try:
        yield connection
    finally:
        connection.close()


def refreshed(space: Workspace, where: str | Path, *, look: bool) -> sqlite3.Connection:
    """Connect to the index, with its tables, and bring it up to date if `look` is true."""
    connection = sqlite3.connect(where, timeout=30, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.create_function(
        "lowered", 1, lambda value: str(value).lower(), deterministic=True
    )  # lower() of SQLite is ASCII
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.execute("BEGIN IMMEDIATE")
            for name, columns in TABLES.items():
                connection.execute(f"DROP TABLE IF EXISTS {name}")
                connection.execute(
                    f"CREATE TABLE {name} ({', '.join(f'{c} {t}' for c, t in columns.items())})"
                )
            connection.execute("CREATE INDEX newest ON runs (created DESC, id)")
            connection.execute("CREATE INDEX rows_of ON rows (run)")
            connection.execute("CREATE INDEX metrics_of ON metrics (run)")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
            look = True
        if look:
            refresh(space, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def refresh(space: Workspace, connection: sqlite3.Connection) -> None:
    """Read the runs that have changed, and check whether those that have not ended are alive."""
    known = {
        row["id"]: (row["mtime"], row["size"], row["state"], row["last"])
        for row in connection.execute("SELECT id, mtime, size, state, last FROM runs")
    }
    found = on_disk(space)
    gone = [name for name in known if name not in found]
    new = [name for name, stamp in found.items() if known.get(name, ())[:2] != stamp]
    states = []
    for name, (_, _, state, last) in known.items():
        if name in found and name not in new and last not in ENDED:
            alive = run_store.state_of(Run(name, space.runs / name), [{"event": last}])
            if alive != state:
                states.append((alive, name))
    if not (gone or new or states):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, column in (("runs", "id"), ("rows", "run"), ("metrics", "run")):
            connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(n,) for n in [*gone, *new]])
        for name in new:
            take(connection, Run(name, space.runs / name), found[name])
        connection.executemany("UPDATE runs SET state = ? WHERE id = ?", states)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def on_disk(space: Workspace) -> dict[str, tuple[int, int]]:
    """Return the time and size of every run's events, by run id."""
    found: dict[str, tuple[int, int]] = {}
    try:
        names = sorted(e.name for e in os.scandir(space.runs) if not e.name.startswith("."))
        root = os.open(space.runs, os.O_RDONLY)
    except OSError:
        return {}
    try:
        for name in names:
            with contextlib.suppress(OSError):
                # Relative to the open folder: three times as fast as whole paths, for ten thousand runs.
                stat = os.stat(f"{name}/events.jsonl", dir_fd=root)
                found[name] = (stat.st_mtime_ns, stat.st_size)
    finally:
        os.close(root)
    return found


def take(connection: sqlite3.Connection, run: Run, stamp: tuple[int, int]) -> None:
    """Put one run into the tables."""
    events = run_store.events(run)
    config: dict[str, Any] = {}
    row: dict[str, Any] = dict.fromkeys(RUNS) | {"id": run.id, "mtime": stamp[0], "size": stamp[1]}
    for event in events:
        if event["event"] == "created" and isinstance(event.get("config"), dict):
            config = event["config"]
            row |= {"created": event.get("time"), "digest": event.get("digest")}
        if event["event"] == "step":
            row["step"] = event.get("text")
        if event["event"] == "note":
            row |= {name: event[name] for name in ("tags", "note") if name in event}
        row["error"] = event.get("error") if event["event"] in ENDED else row["error"]
        row["peak_memory_mb"] = event.get("peak_memory_mb") or row["peak_memory_mb"]
    last = run_store.last_event(events)["event"]
    row |= {
        "last": last,
        # The process that wrote the last event may still hold the lock.
        "state": last if last in ENDED else run_store.state_of(run, events),
        "changed": next(
            (e.get("time") for e in reversed(events) if e["event"] != "note"), None
        ),  # a tag ends nothing
        "seconds": round(run_store.worked(events), 2) or None,
        "context": f"{config.get('task')}/{Path(str(config.get('base'))).name}",
        "config": json.dumps(config, ensure_ascii=False),
        "kind": config.get("kind"),
        "mode": config.get("mode", "ExcTar") if config.get("kind") in MERGING else None,
        "seed": config.get("seed", 0),
        "params": " ".join(f"{k}={v}" for k, v in config.get("params", {}).items()),
        "sources": " ".join(config.get("sources", [])),
        **{name: config.get(name) for name in ("target", "method", "similarity", "k")},
    }
    measured = [e for e in events if e["event"] == "metric" and is_number(e.get("value"))]
    for event in measured:
        name = event.get("name")
        row["metric"] = metrics.named_in(name) or row["metric"]
        if name in metrics.metrics():
            row["value"] = event["value"]
            row["accuracy"] = event["value"] if name == "accuracy" else None
    fill(
        connection,
        "metrics",
        [{"run": run.id, **{c: e.get(c) for c in ("time", "name", "value")}} for e in measured],
    )
    if row["state"] == "finished":
        rows = rows_of(run)
        fill(connection, "rows", rows)
        more = ("method", "sources", "k") if row["kind"] in MERGING else ()
        row |= {name: rows[0][name] for name in ("n", "mode", *more) if rows}
    fill(connection, "runs", [row])


def rows_of(run: Run) -> list[dict[str, Any]]:
    """Return the rows of rows.csv with numbers as numbers; none where the file is missing or damaged."""
    try:
        text = (run.folder / "rows.csv").read_text(encoding="utf-8")
        return [typed(cells) for cells in csv.DictReader(text.splitlines())]
    except (OSError, ValueError):
        return []


def typed(cells: dict[str, str]) -> dict[str, Any]:
    """Return a row's cells with numbers as numbers, None for empty ones, and the gain in pp."""
    found: dict[str, Any] = {name: cells.get(name) for name in COLUMNS}
    for name, value in found.items():
        if value in (None, "-", ""):
            found[name] = None
        elif name in NUMBERS or name == "se":
            found[name] = NUMBERS.get(name, float)(str(value).split()[0].replace("−", "-"))
    found["gain_pp"] = None
    known = metrics.metrics().get(str(found["metric"]))
    if known and found["baseline"] is not None:
        found["gain_pp"] = round(100 * known.sign * (found["value"] - found["baseline"]), 4)
    return found


def fill(connection: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or replace rows of a table."""
    columns = TABLES[table]
    marks = ", ".join("?" * len(columns))
    connection.executemany(
        f"INSERT OR REPLACE INTO {table} VALUES ({marks})", [[row.get(c) for c in columns] for row in rows]
    )


def listed(
    space: Workspace,
    limit: int | None = None,
    *,
    offset: int = 0,
    text: str = "",
    order: str = "newest",
    look: bool = True,
    **wanted: str | None,
) -> tuple[list[dict[str, Any]], int]:
    """List runs.

    Args:
        text: Words that must all occur in the columns FOUND_BY, or as `name:word` in the column of that name; case is
            ignored.
        order: One of ORDERS.
        look: False: use the index as it is, for the next page of a list that was just made.
        wanted: Column and value that a run must have; None for any value.

    Returns:
        The runs, with the columns SHOWN and `best`: the value of a merge, else the best score of a single model so far, in
        `metric`. And the number of all runs that match.
    """
    where, values = _matching(text, wanted)
    # Scores of single models are not the result of a merge.
    merging = ", ".join(f"'{kind}'" for kind in MERGING)
    scores = " OR ".join(f"name LIKE '%{name}%'" for name in metrics.metrics())
    falling = ", ".join(f"'{one.name}'" for one in metrics.metrics().values() if not one.higher_is_better)
    sign = f"CASE WHEN metric IN ({falling}) THEN -1 ELSE 1 END"
    single = f"{sign} * (SELECT max({sign} * value) FROM metrics WHERE run = id AND ({scores}))"
    best = f"CASE WHEN kind IN ({merging}) THEN value ELSE {single} END AS best"
    ordered = ORDERS[order].format(sign=sign)
    with opened(space, look=look) as connection:
        count = connection.execute(f"SELECT count(*) FROM runs WHERE {where}", values)
        query = (
            f"SELECT {', '.join(SHOWN)}, {best} FROM runs WHERE {where} ORDER BY {ordered} LIMIT ? OFFSET ?"
        )
        found = connection.execute(query, [*values, -1 if limit is None else limit, offset])
        return [dict(row) for row in found], count.fetchone()[0]


def _matching(text: str, wanted: Mapping[str, str | None]) -> tuple[str, list[str]]:
    """Return the condition of a list of runs, and the values of its parameters."""
    given = {name: value for name, value in wanted.items() if value is not None}
    line = " || ' ' || ".join(f"ifnull({name}, '')" for name in FOUND_BY)
    terms, values = [f"{name} = ?" for name in given], list(given.values())
    for word in text.lower().split():
        name, _, wanted_word = word.partition(":")
        of_column = bool(wanted_word) and name in FILTERS
        column = f"ifnull({FILTERS[name]}, '')" if of_column else line
        terms.append(f"instr(lowered({column}), ?)")
        values.append(wanted_word if of_column else word)
    return " AND ".join(terms) or "1", values


def groups(space: Workspace, text: str, order: str) -> list[tuple[str | None, int]]:
    """Return the values of the column `order` with their numbers of runs, as `listed` orders them; the index is used as it is."""
    where, values = _matching(text, {})
    with opened(space, look=False) as connection:
        query = f"SELECT {order}, count(*) FROM runs WHERE {where} GROUP BY {order} ORDER BY {ORDERS[order]}"
        return [(None if value is None else str(value), n) for value, n in connection.execute(query, values)]


def query(space: Workspace, text: str, limit: int | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return columns and rows of a SELECT. Raises UsageError for an invalid query, or one that would change the index."""
    with opened(space) as connection:
        connection.row_factory = None
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY
        )
        try:
            cursor = connection.execute(text)
            found = cursor.fetchall() if limit is None else cursor.fetchmany(limit)
        except (sqlite3.Error, sqlite3.Warning) as error:
            tables = "\n".join(f"{name}: {', '.join(columns)}" for name, columns in TABLES.items())
            denied = "not authorized" in str(error) or "prohibited" in str(error)
            what = "the index is read-only." if denied else f"{error}."
            raise UsageError(what, hint=f"Tables and columns are\n{tables}") from error
        return [column[0] for column in cursor.description or []], found


def result_rows(space: Workspace, ids: Sequence[str] = ()) -> list[ResultRow]:
    """Return the result rows of these runs; of none: of all that have finished."""
    found: list[ResultRow] = []
    for name in ids or [row["id"] for row in listed(space, state="finished")[0]]:
        file = run_store.get(space, name).folder / "rows.csv"
        if not file.is_file():
            raise MuError(f"{name} has no rows.", where=str(file), hint=f"See: mu runs show {name}")
        found += read_csv(file.read_text(encoding="utf-8"), {}, file)
    return found


def cells(rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """Return rows as dicts with numbers as numbers, None for empty cells, and their gain in pp."""
    return [typed(row_cells(row)) for row in rows]


def is_number(value: object) -> bool:
    """Return whether a value can be a metric; NaN and infinity, as a diverged training writes them, cannot."""
    return isinstance(value, int | float) and abs(value) <= LARGEST

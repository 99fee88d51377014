"""Update the search index for added entries without reading all others.

Reading ten thousand entries again takes seconds. The index also stores entries and claims as parsed: from these the
entries that a new one can affect are taken, and the same code derives their status.
"""

from __future__ import annotations

import io
import pickle
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims import row_status
from merginguriel.knowledge.parse import parse_cache
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.knowledge.parse.entries import Entry, parse_entry
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.workspace import Workspace

TABLES = """
CREATE TABLE entries (unit TEXT PRIMARY KEY, name TEXT, marks INTEGER, data BLOB);
CREATE INDEX entries_called ON entries (name);
CREATE TABLE superseding (old TEXT, unit TEXT);
CREATE INDEX superseding_of ON superseding (old);
CREATE TABLE claimed (unit TEXT PRIMARY KEY, name TEXT, data BLOB);
"""
NAMES = ("entries", "superseding", "claimed")


def forget(connection: sqlite3.Connection, unit: str) -> None:
    """Remove what is stored of a unit."""
    for table in NAMES:
        connection.execute(f"DELETE FROM {table} WHERE unit = ?", (unit,))


def keep(connection: sqlite3.Connection, unit: str, entry: Entry) -> None:
    """Store an entry as it was parsed, without its body and without the status that others give its rows."""
    if any(row.status != "current" for row in entry.rows):
        entry = parse_entry(read_text(entry.path), entry.path)
    data = pickle.dumps(replace(entry, body=""), protocol=5)
    connection.execute(
        "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", (unit, entry.id, bool(entry.marks), data)
    )
    connection.executemany(
        "INSERT INTO superseding VALUES (?, ?)", [(old, unit) for old in dict.fromkeys(entry.supersedes)]
    )


def keep_claims(connection: sqlite3.Connection, unit: str, skill: Skill) -> None:
    """Store the claims of a skill."""
    data = pickle.dumps(skill.claims, protocol=5)
    connection.execute("INSERT OR REPLACE INTO claimed VALUES (?, ?, ?)", (unit, skill.name, data))


def part(
    connection: sqlite3.Connection, space: Workspace, new: Sequence[Entry]
) -> tuple[Knowledge, set[str]] | None:
    """Return the knowledge that new entries affect, and the ids of the entries whose status may change.

    The claims are those that the new entries can change, and every entry that such a claim may be judged by is
    included. None where more may change: a new or superseded entry marks rows of others, or a file of the index
    cannot be read.

    Its claims are those that the new entries can change, and hold as in the whole: every entry that such a claim may be
    judged by is there. None where more than that may change: they mark rows of others, or supersede what does, or a file
    of the index cannot be read.
    """
    if (
        any(entry.marks for entry in new)
        or connection.execute(
            "SELECT 1 FROM docs WHERE type = 'unreadable' OR status = 'unreadable' LIMIT 1"
        ).fetchone()
    ):
        return None
    fresh = {entry.id: entry for entry in new}
    replaced = {e.id: e for e in _entries(connection, "name", {o for e in new for o in e.supersedes})}
    if any(entry.marks for entry in replaced.values()):
        return None
    moved = {**replaced, **fresh}
    skills = []
    for unit, name, data in connection.execute("SELECT unit, name, data FROM claimed ORDER BY unit"):
        claims = tuple(claim for claim in _read(data) if _concerns(claim, moved))
        if claims:
            skills.append(Skill(name, space.root / unit, "", {}, "", claims))
    units = {unit for skill in skills for claim in skill.claims for unit in _near(connection, claim)}
    cited = {ref.partition("#")[0] for skill in skills for claim in skill.claims for ref in claim.evidence}
    result = {entry.id: entry for entry in _entries(connection, "unit", units)}
    result |= {entry.id: entry for entry in _entries(connection, "name", cited)} | moved
    for row in connection.execute("SELECT data FROM entries WHERE marks").fetchall():
        entry = _read(row[0])
        result.setdefault(entry.id, entry)
    by = {unit for (unit,) in _of(connection, "SELECT unit FROM superseding WHERE old", result)}
    result |= {e.id: e for e in _entries(connection, "unit", by) if e.id not in result}
    entries = sorted(result.values(), key=lambda entry: entry.path.name)
    return Knowledge(space, tuple(skills), row_status.derive(entries), ""), set(moved)


def _concerns(claim: Claim, moved: dict[str, Entry]) -> bool:
    """Return whether these entries can change the status of a claim."""
    if any(ref.partition("#")[0] in moved for ref in claim.evidence):
        return True
    return any(_inside(row, claim) for entry in moved.values() for row in entry.rows)


def _inside(row: ResultRow, claim: Claim) -> bool:
    targets, methods = claim.scope.get("target"), claim.scope.get("method")
    return (targets is None or row.target in targets) and (methods is None or row.method in methods)


def _near(connection: sqlite3.Connection, claim: Claim) -> Iterable[str]:
    """Return the units of entries with a row of the claim's targets and methods."""
    where, values = ["docs.kind = 'entry'"], list[str]()
    for name in ("target", "method"):
        wanted = claim.scope.get(name)
        if wanted is not None:
            where.append(f"scopes.{name} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    ask = (
        f"SELECT DISTINCT docs.unit FROM scopes JOIN docs ON docs.id = scopes.doc WHERE {' AND '.join(where)}"
    )
    return [unit for (unit,) in connection.execute(ask, values)]


def _entries(connection: sqlite3.Connection, column: str, values: Iterable[str]) -> list[Entry]:
    return [_read(data) for (data,) in _of(connection, f"SELECT data FROM entries WHERE {column}", values)]


def _of(connection: sqlite3.Connection, query: str, wanted: Iterable[str]) -> list[tuple[Any, ...]]:
    """Run a query with `IN` for any number of values."""
    values, result = list(wanted), []
    for first in range(0, len(values), 500):  # SQLite takes a limited number at once
        some = values[first : first + 500]
        result += connection.execute(f"{query} IN ({', '.join('?' * len(some))})", some).fetchall()
    return result


def _read(data: bytes) -> Any:
    return parse_cache.KnowledgeUnpickler(io.BytesIO(data)).load()

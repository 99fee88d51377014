"""SQLite full-text index of skills, claims and entries in the user's cache.

The files are the source; the index may be deleted at any time. A call compares the stamps of all files and reads
those that changed. The status of a document depends on other files too, so it is derived anew for all documents after
a change; after entries were only added, for those that they can affect (`index_update`).
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from merginguriel import cache
from merginguriel.errors import MuError, UnavailableError
from merginguriel.knowledge.base import Knowledge, load_readable
from merginguriel.knowledge.parse import parse_cache
from merginguriel.knowledge.parse.entries import Entry, parse_entry
from merginguriel.knowledge.parse.file_stamps import is_settled, stamps
from merginguriel.knowledge.parse.rows import SUPERSEDED
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.workspace import Workspace

from . import index_update
from .documents import Document, as_it_is, documents, unit_of

VERSION = "4"  # of the tables below; another one is built anew
WAIT = 120.0  # seconds for another process that is building the index
OPENING, CLOSING = "\x02", "\x03"  # around a match, inside this module and search.py; taken out of texts
TABLES = """
CREATE TABLE meta (program TEXT);
CREATE TABLE files (unit TEXT PRIMARY KEY, stamp TEXT, digest TEXT);
CREATE TABLE docs (id INTEGER PRIMARY KEY, unit TEXT, kind TEXT, name TEXT, path TEXT, title TEXT, type TEXT,
                   date TEXT, status TEXT, reason TEXT, trust REAL);
CREATE INDEX docs_of ON docs (unit);
CREATE INDEX docs_called ON docs (name, kind);
CREATE TABLE scopes (doc INTEGER, target TEXT, method TEXT);
CREATE INDEX scopes_of ON scopes (doc);
CREATE INDEX scopes_at ON scopes (target, method);
CREATE TABLE troubles (doc INTEGER, pattern TEXT, regex INTEGER, solution TEXT);
CREATE INDEX troubles_of ON troubles (doc);
CREATE VIRTUAL TABLE words USING fts5 (name, title, summary, body, tokenize = "porter unicode61 remove_diacritics 2");
"""
# What a document is worth beside one that is as sure as can be: by the status of a claim, and the type of an entry.
TRUST = {
    "supported": 1.0, "under noise": 0.8, "contested": 0.6, "refuted": 0.4, "superseded": 0.25, "unreadable": 0.5,
    "invalidated": 0.4, "Retrospective": 1.0, "Troubleshooting": 1.0, "Observation": 0.9, "Plan": 0.8,
}  # fmt: skip


@contextlib.contextmanager
def opened(space: Workspace) -> Iterator[sqlite3.Connection]:
    """Open the index of a workspace and bring it up to date; in memory where no file can be written."""
    path = place(space.root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    except (OSError, sqlite3.Error):
        connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        try:
            follow(connection, space)
        except sqlite3.DatabaseError as error:
            if "no such module" in str(error):
                raise UnavailableError(
                    "searching needs SQLite with FTS5, which this Python was built without."
                ) from error
            connection.close()
            if isinstance(error, sqlite3.OperationalError) and path.is_file() and not _damaged(error):
                connection = sqlite3.connect(
                    ":memory:", isolation_level=None
                )  # locked for long, or a full disk
            else:
                path.unlink(missing_ok=True)
                connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
            follow(connection, space)
        yield connection
    finally:
        connection.close()


def _damaged(error: sqlite3.Error) -> bool:
    return any(word in str(error) for word in ("no such", "malformed", "not a database", "has no column"))


def place(root: Path) -> Path:
    """Return the index file of a workspace."""
    return cache.of_folder("search", root, ".sqlite")


def follow(connection: sqlite3.Connection, space: Workspace) -> bool:
    """Bring the index up to date; return whether anything had changed."""
    program = f"{VERSION}\n{parse_cache.program()}"
    if not stale(connection, space, program):
        return False
    connection.execute(
        "BEGIN IMMEDIATE"
    )  # of several that see a change, one works and the others find it done
    try:
        if not _is_of(connection, program):
            _empty(connection)
            connection.execute("INSERT INTO meta VALUES (?)", (program,))
        changed = stale(connection, space, program)
        if changed:
            _take_in(connection, space, changed)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return bool(changed)


def stale(connection: sqlite3.Connection, space: Workspace, program: str) -> dict[str, str]:
    """Map each changed unit to its stamp now; removed ones to ''."""
    now = units(space)
    if not _is_of(connection, program):
        return now or {"": ""}
    indexed = dict(connection.execute("SELECT unit, stamp FROM files").fetchall())
    removed = dict.fromkeys(indexed.keys() - now.keys(), "")
    return {unit: item for unit, item in now.items() if indexed.get(unit) != item} | removed


def units(space: Workspace) -> dict[str, str]:
    """Map each unit (an entry with its row file, a skill with its claims) to the stamps of its files."""
    result: dict[str, str] = {}
    in_log = stamps(space.root, space.log, depth=2)
    # SQLite takes no name that is not UTF-8; `mu lint` reports such a file.
    for name, item in sorted((name, item) for name, item in in_log.items() if _is_unicode(name)):
        stem, _, ending = name.rpartition(".")
        if ending in ("md", "csv"):
            result[f"{stem}.md"] = f"{result[f'{stem}.md']} {item}" if f"{stem}.md" in result else item
    for name, item in sorted(stamps(space.root, space.skills, depth=2).items()):
        folder, _, file = name.rpartition("/")
        if file in ("SKILL.md", "claims.yaml"):
            unit = f"{folder}/SKILL.md"
            result[unit] = f"{result[unit]} {item}" if unit in result else item
    return result


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in name)


def _is_of(connection: sqlite3.Connection, program: str) -> bool:
    try:
        return connection.execute("SELECT program FROM meta").fetchone() == (program,)
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) or "no such column" in str(error):
            return False
        raise


def _empty(connection: sqlite3.Connection) -> None:
    for name in ("meta", "files", "docs", "scopes", "troubles", "words", *index_update.NAMES):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in f"{TABLES};{index_update.TABLES}".split(";"):
        if statement.strip():
            connection.execute(statement)


def _take_in(connection: sqlite3.Connection, space: Workspace, changed: dict[str, str]) -> None:
    indexed = dict(connection.execute("SELECT unit, digest FROM files"))
    read: dict[str, str] = {}
    for unit, item in changed.items():
        if not unit:
            continue
        digest = _digest(space.root / unit) if item else ""
        if digest and digest == indexed.get(unit):
            connection.execute("UPDATE files SET stamp = ? WHERE unit = ?", (_settled(item), unit))
        else:
            read[unit] = digest
    if not read:
        return
    if not read.keys() & indexed.keys() and _step(connection, space, changed, read):
        return
    knowledge = load_readable(space)
    entries = {unit_of(knowledge, entry.path): entry for entry in knowledge.entries}
    skills = {unit_of(knowledge, skill.path): skill for skill in knowledge.skills}
    of_unit = documents(knowledge)
    for unit, digest in read.items():
        ids = [row[0] for row in connection.execute("SELECT id FROM docs WHERE unit = ?", (unit,))]
        for table, key in (("words", "rowid"), ("scopes", "doc"), ("troubles", "doc"), ("docs", "id")):
            connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(item,) for item in ids])
        connection.execute("DELETE FROM files WHERE unit = ?", (unit,))
        index_update.forget(connection, unit)
        if digest:
            if unit in entries:
                index_update.keep(connection, unit, entries[unit])
            elif unit in skills:
                index_update.keep_claims(connection, unit, skills[unit])
            connection.execute("INSERT INTO files VALUES (?, ?, ?)", (unit, _settled(changed[unit]), digest))
            for document in of_unit.get(unit) or [as_it_is(space.root / unit)]:
                _insert(connection, unit, document)
    _judge(connection, knowledge)


def _step(
    connection: sqlite3.Connection, space: Workspace, changed: dict[str, str], read: dict[str, str]
) -> bool:
    """Add new entries that change no more than `index_update.part` returns; return False if nothing was done."""
    if not all(digest and not unit.endswith("/SKILL.md") for unit, digest in read.items()):
        return False
    try:
        new = {unit: parse_entry(read_text(space.root / unit), space.root / unit) for unit in read}
    except MuError:
        return False
    result = index_update.part(connection, space, list(new.values()))
    if result is None:
        return False
    knowledge, moved = result
    of_unit = documents(knowledge)
    for unit, entry in new.items():
        connection.execute("INSERT INTO files VALUES (?, ?, ?)", (unit, _settled(changed[unit]), read[unit]))
        index_update.keep(connection, unit, entry)
        for document in of_unit[unit]:
            _insert(connection, unit, document)
    judged = [(*_of_entry(knowledge.by_entry[name], knowledge), "entry", name) for name in moved]
    judged += [
        (stand.status, stand.reason, TRUST.get(stand.status, 0.5), "claim", name)
        for name, stand in knowledge.standings.items()
    ]
    _write(connection, judged)
    ask = "SELECT status FROM docs WHERE unit = ? AND kind = 'claim' ORDER BY id"
    for skill in knowledge.skills:
        counts = [row[0] for row in connection.execute(ask, (unit_of(knowledge, skill.path),))]
        _write(connection, [_of_skill(skill.name, counts)])
    return True


def _settled(stamp: str) -> str:
    """Return a unit's stamps, or one that never matches where a file was written just now."""
    return stamp if all(is_settled(item) for item in stamp.split()) else "unsettled"


def _digest(path: Path) -> str:
    result = hashlib.sha256()
    for item in (
        path,
        path.with_name("claims.yaml") if path.name == "SKILL.md" else path.with_suffix(".csv"),
    ):
        try:
            data = item.read_bytes() if item.is_file() else b""  # reading a pipe would wait
        except OSError:
            data = b""
        result.update(len(data).to_bytes(8, "big") + data)
    return result.hexdigest()


def _insert(connection: sqlite3.Connection, unit: str, document: Document) -> None:
    cursor = connection.execute(
        "INSERT INTO docs (unit, kind, name, path, title, type, date) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            unit,
            document.kind,
            document.name,
            str(document.path),
            clean(document.title),
            document.type,
            document.date,
        ),
    )
    texts = (document.name, document.title, document.summary, document.body)
    connection.execute(
        "INSERT INTO words (rowid, name, title, summary, body) VALUES (?, ?, ?, ?, ?)",
        (cursor.lastrowid, *map(clean, texts)),
    )
    connection.executemany(
        "INSERT INTO scopes VALUES (?, ?, ?)", [(cursor.lastrowid, *scope) for scope in document.scopes]
    )
    if document.trouble:
        connection.executemany(
            "INSERT INTO troubles VALUES (?, ?, ?, ?)",
            [
                (cursor.lastrowid, p.text, p.regex, document.trouble.solution)
                for p in document.trouble.patterns
            ],
        )


def clean(text: str) -> str:
    """Return text without the match marks of this index and without NUL, at which SQLite would cut it."""
    return text.translate({ord(OPENING): " ", ord(CLOSING): " ", 0: " "})


def _judge(connection: sqlite3.Connection, knowledge: Knowledge) -> None:
    """Store every document's status, reason and trust."""
    judgements: list[Judged] = []
    for entry in knowledge.entries:
        judgements.append((*_of_entry(entry, knowledge), "entry", entry.id))
    for skill in knowledge.skills:
        statuses = [knowledge.standings[claim.id] for claim in skill.claims]
        judgements.append(_of_skill(skill.name, [stand.status for stand in statuses]))
        judgements += [
            (item.status, item.reason, TRUST.get(item.status, 0.5), "claim", claim.id)
            for claim, item in zip(skill.claims, statuses, strict=True)
        ]
    connection.execute(
        "UPDATE docs SET status = 'unreadable', reason = 'cannot be read: see mu lint', trust = ?",
        (TRUST["unreadable"],),
    )
    _write(connection, judgements)


Judged = tuple[str, str, float, str, str]  # status, reason, trust, kind, name


def _write(connection: sqlite3.Connection, judgements: list[Judged]) -> None:
    connection.executemany(
        "UPDATE docs SET status = ?, reason = ?, trust = ? WHERE name = ? AND kind = ?",
        [(status, reason, trust, name, kind) for status, reason, trust, kind, name in judgements],
    )


def _of_skill(name: str, statuses: list[str]) -> Judged:
    summary = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    return "", summary or "no claims", 1.0, "skill", name


def _of_entry(entry: Entry, knowledge: Knowledge) -> tuple[str, str, float]:
    new = knowledge.superseders.get(entry.id, [])
    if new:
        return SUPERSEDED, f"superseded by {', '.join(new)}", TRUST[SUPERSEDED]
    doubtful = [row.status for row in entry.rows if row.status != "current"]
    worth = TRUST.get(entry.type, 0.9)
    if not doubtful:
        return "current", "", worth
    counts = ", ".join(f"{doubtful.count(status)} {status}" for status in dict.fromkeys(doubtful))
    share = len(doubtful) / len(entry.rows)
    status = max(set(doubtful), key=doubtful.count) if share == 1 else "current"
    return status, f"{counts} of {len(entry.rows)} rows", worth * (1 - 0.4 * share)

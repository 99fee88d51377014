"""Ranking of documents: share of the query's words, bm25, meaning, trust, age and scope."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import log
from pathlib import Path

CANDIDATES = 300  # best matches by bm25, which are ranked
COLUMNS = (3.0, 4.0, 2.0, 1.0)  # weight of a match in name, title, summary, body, for bm25
WHERE = {"name title": 1.0, "summary": 0.8, "body": 0.3}  # weight of a word by the best place that has it
BM25 = 0.4  # weight of bm25, which prefers short documents, beside the share of words
OPEN = 0.6  # weight of a document without a target, relative to one about the requested target
HALF = 365  # days after which half of the advantage of being new is gone
TROUBLE = 0.8, 1.3  # weight of a Troubleshooting entry for a question, and for an error
MEANING = 0.5  # weight of the cosine beside the words
EMBEDDED = 2000  # documents above which only the matches by words are ranked by meaning
Scored = list[tuple[float, sqlite3.Row]]


@dataclass(frozen=True)
class Scope:
    """What a search is limited to: kinds of documents, and target and method (None: any)."""

    kinds: Sequence[str]
    target: str | None = None
    method: str | None = None

    def rows(self, index: sqlite3.Connection, match: str = "") -> list[sqlite3.Row]:
        """Return the documents of the scope, or those that match an FTS5 expression, the best by bm25."""
        here = "target = :target OR :target IS NULL", "method = :method OR :method IS NULL"
        bm25 = f"bm25(words, {', '.join(map(str, COLUMNS))})" if match else "0.0"
        limit = CANDIDATES if match else EMBEDDED
        ask = f"""
            SELECT docs.*, words.summary, {bm25} AS distance,
                   EXISTS (SELECT 1 FROM scopes WHERE doc = docs.id AND ({here[0]}) AND ({here[1]})) AS fits
            FROM words JOIN docs ON docs.id = words.rowid
            WHERE {"words MATCH :match AND" if match else ""} kind IN ({", ".join(map(repr, self.kinds))})
              AND (NOT EXISTS (SELECT 1 FROM scopes WHERE doc = docs.id)
                   OR EXISTS (SELECT 1 FROM scopes WHERE doc = docs.id
                              AND ({here[0]} OR target IS NULL) AND ({here[1]} OR method IS NULL)))
            ORDER BY distance LIMIT {limit}"""
        return index.execute(ask, {"match": match, "target": self.target, "method": self.method}).fetchall()


def ranked(
    index: sqlite3.Connection,
    scope: Scope,
    counts: Mapping[str, int],
    *,
    unknown: int,
    error: bool,
    meaning: tuple[str, Path] | None = None,
) -> Scored:
    """Return (score, document), best first.

    Args:
        index: The opened index.
        scope: Documents that may be returned.
        counts: Words of the query as FTS5 strings, and the number of documents with each.
        unknown: Number of further words of the query, which no document has.
        error: Whether the query is a pasted error.
        meaning: Query and folder of the workspace, to rank by meaning too.
    """
    match = " OR ".join(counts)
    rows = scope.rows(index, match) if counts else []
    scores = _by_words(index, rows, counts, unknown) if rows else {}
    if meaning:
        everything = scope.rows(index)
        rows = everything if len(everything) < EMBEDDED else rows
        scores = _with_meaning(scores, rows, *meaning)
    newest = index.execute("SELECT max(date) FROM docs WHERE date GLOB '????-??-??'").fetchone()[0]
    scoped = scope.target is not None or scope.method is not None
    result = [
        (
            scores[row["id"]]
            * row["trust"]
            * freshness(row["date"], newest)
            * (TROUBLE[error] if row["type"] == "Troubleshooting" else 1.0)
            * (1.0 if row["fits"] or not scoped else OPEN),
            row,
        )
        for row in rows
        if scores.get(row["id"], 0) > 0
    ]
    return sorted(result, key=lambda pair: (-pair[0], pair[1]["name"], pair[1]["kind"]))


def _by_words(
    index: sqlite3.Connection, rows: Sequence[sqlite3.Row], counts: Mapping[str, int], unknown: int
) -> dict[int, float]:
    """Return the score of each matching document, 0 to 1: share of the words, weighted by rarity, and bm25."""
    total = index.execute("SELECT count(*) FROM docs").fetchone()[0]
    ids = {row["id"] for row in rows}
    share = dict.fromkeys(ids, 0.0)
    weights = {term: log(1 + total / count) for term, count in counts.items()}
    places = ", ".join(map(str, ids))
    ask = f"SELECT rowid FROM words WHERE words MATCH ? AND rowid IN ({places})"
    for term, weight in weights.items():
        seen: set[int] = set()
        for columns, worth in WHERE.items():
            here = {row[0] for row in index.execute(ask, (f"{{{columns}}} : {term}",))} - seen
            seen |= here
            for item in here:
                share[item] += weight * worth
    nearest = min(row["distance"] for row in rows) or -1.0  # negative: the smaller, the better
    sure = sum(weights.values()) / (sum(weights.values()) + unknown * log(1 + total))
    whole = sum(weights.values())
    return {
        row["id"]: sure * ((1 - BM25) * share[row["id"]] / whole + BM25 * row["distance"] / nearest)
        for row in rows
    }


def _with_meaning(
    scores: Mapping[int, float], rows: Sequence[sqlite3.Row], query: str, root: Path
) -> dict[int, float]:
    """Return scores by words and by cosine, the latter from 0 (the median document) to 1 (the nearest)."""
    import numpy as np

    from .meaning import cosines

    near = cosines(root, query, [f"{row['title'] or row['name']}. {row['summary']}" for row in rows])
    if not len(near):
        return {}
    middle, top = float(np.median(near)), float(near.max())
    scaled = np.clip((near - middle) / ((top - middle) or 1.0), 0.0, 1.0)
    return {
        row["id"]: (1 - MEANING) * scores.get(row["id"], 0.0) + MEANING * float(value)
        for row, value in zip(rows, scaled, strict=True)
    }


def freshness(day: str, newest: str | None) -> float:
    """Return 1 for the newest document of the workspace, falling to 0.8 for an old or undated one."""
    try:
        age = (date.fromisoformat(newest or "") - date.fromisoformat(day)).days
    except ValueError:
        return 0.8
    return 0.8 + 0.2 * 0.5 ** (max(age, 0) / HALF)

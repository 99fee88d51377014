"""Training examples of an embedder, read from JSONL, TSV or CSV: query, positive and optional negatives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from merginguriel.errors import MuError

from .row_files import table_rows

# Accepted names of a column or key, the first of them preferred.
QUERY = ("query", "anchor", "question", "sentence1")
POSITIVE = ("positive", "document", "passage", "sentence2")
NEGATIVE = ("negative", "negatives")
GRADES = ("score", "label")  # of pairs of sentences, such as those of STS-B, which need not match


@dataclass(frozen=True)
class Example:
    """A query, the text that answers it, and texts that do not."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()


def read(path: Path) -> list[Example]:
    """Read examples from a file with the columns or keys query, positive and, optionally, negative, negative_2 ….

    In JSONL, `negatives` may be a list.

    Raises:
        MuError: No examples, or a query without a positive; with file and line.
    """
    found = [example(row, f"{path}:{line}") for line, row in table_rows(path)]
    if not found:
        hint = "Expected the columns or keys query, positive and, optionally, negative."
        raise MuError("this file has no pairs.", where=str(path), hint=hint)
    return found


def example(row: dict[str, object], where: str) -> Example:
    """Return one example. Raises MuError without a query or a positive, and for graded pairs of sentences."""
    query, positive = (first(row, names) for names in (QUERY, POSITIVE))
    grade = next((name for name in GRADES if "sentence2" in row and name in row), "")
    if grade:
        hint = f"Keep the pairs that match, and leave out the column {grade}."
        raise MuError(f"the column {grade} grades pairs; here every pair is a match.", where=where, hint=hint)
    if not query:
        raise MuError("no query.", where=where, hint=f"Its column or key is one of: {', '.join(QUERY)}.")
    if not positive:
        hint = f"Its column or key is one of: {', '.join(POSITIVE)}."
        raise MuError(f"the query {query!r} has no positive text.", where=where, hint=hint)
    negatives: list[str] = []
    for key, value in row.items():
        if key in NEGATIVE or key.startswith("negative_"):
            negatives += [str(v) for v in (value if isinstance(value, list) else [value]) if v]
    return Example(query, positive, tuple(negatives))


def text_hash(examples: Iterable[Example]) -> str:
    """Return the sha256 of all texts in their order."""
    texts = json.dumps([(one.query, one.positive, one.negatives) for one in examples], ensure_ascii=False)
    return hashlib.sha256(texts.encode()).hexdigest()


def first(row: dict[str, object], names: Sequence[str]) -> str:
    """Return the first of several values of a row that is a text or a number and is not empty."""
    return next(
        (str(row[n]).strip() for n in names if row.get(n) and not isinstance(row[n], list | dict)), ""
    )


def with_equal_negatives(examples: Sequence[Example]) -> list[Example]:
    """Return examples that all have as many negatives as the one with the fewest."""
    least = min(len(one.negatives) for one in examples)
    return [Example(one.query, one.positive, one.negatives[:least]) for one in examples]

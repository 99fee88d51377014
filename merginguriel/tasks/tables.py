"""Rows of JSONL, TSV and CSV files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from merginguriel.errors import MuError


def table_rows(path: Path) -> list[tuple[int, dict[str, object]]]:
    """Return (line, row) of a JSONL, TSV or CSV file with one header line. Raises MuError, with file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MuError("no such file.", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise MuError(f"these rows cannot be read: {error}.", where=str(path)) from error
    if path.suffix in (".jsonl", ".json"):
        found: list[tuple[int, dict[str, object]]] = []
        for line, part in enumerate(text.splitlines(), 1):
            if not part.strip():
                continue
            try:
                row = json.loads(part)
            except ValueError as error:
                raise MuError(f"this is not valid JSON: {error}", where=f"{path}:{line}") from error
            if not isinstance(row, dict):
                raise MuError("expected one JSON object a line.", where=f"{path}:{line}")
            found.append((line, row))
        return found
    # STS-B's own TSV has bare quotation marks in its sentences.
    tabs = path.suffix == ".tsv"
    try:
        lines = csv.DictReader(
            text.splitlines(keepends=True),
            delimiter="\t" if tabs else ",",
            quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        )
        return [(lines.line_num, {str(key): value for key, value in row.items()}) for row in lines]
    except csv.Error as error:
        raise MuError(f"these rows cannot be read: {error}.", where=str(path)) from error

"""Rows of JSONL, TSV, CSV and CoNLL files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from merginguriel.errors import MuError

OBJECTS = "JSONL has one JSON object per line. Of a list, write it with: jq -c '.[]' FILE"
CONLL = (".conll", ".bio", ".iob2")


def table_rows(path: Path) -> list[tuple[int, dict[str, object]]]:
    """Return (line, row) of a JSONL, TSV or CSV file. Quotation marks in a TSV are text, as in STS-B's own."""
    return list(read(path, quotes=path.suffix != ".tsv"))


def read(path: Path, *, quotes: bool = True) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield (line number, row) of a CSV, TSV, JSONL or CoNLL file. Raises MuError with file and line.

    quotes  whether a cell of a table may be in quotation marks
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix in CONLL:
                yield from _read_conll(path, file)
            elif path.suffix in (".jsonl", ".json"):
                yield from _read_jsonl(path, file)
            else:
                yield from _read_table(path, file, quotes)
    except UnicodeDecodeError as error:
        hint = "Save it as UTF-8 text: JSONL, TSV or CSV."
        raise MuError("the file is not UTF-8 text.", where=str(path), hint=hint) from error
    except OSError as error:
        raise MuError(f"cannot read: {(error.strerror or str(error)).lower()}.", where=str(path)) from error


def _read_jsonl(path: Path, file: Iterator[str]) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise MuError(
                f"this line is not JSON: {error.msg}.", where=f"{path}:{number}", hint=OBJECTS
            ) from error
        if not isinstance(row, dict):
            raise MuError("this line is not a JSON object.", where=f"{path}:{number}", hint=OBJECTS)
        yield number, row


def _read_conll(path: Path, file: Iterator[str]) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the sentences of a CoNLL file as tokens and tags, without comments and `-DOCSTART-` lines."""
    words: list[str] = []
    tags: list[str] = []
    first = 0
    for number, line in enumerate([*file, ""], 1):
        cells = line.split()
        comment = line.startswith("#") and len(cells) != 2
        if cells and not comment and cells[0] != "-DOCSTART-":
            if len(cells) < 2:
                raise MuError(
                    "a word without a tag.", where=f"{path}:{number}", hint="Write WORD TAG on each line."
                )
            first = first if words else number
            words.append(cells[0])
            tags.append(cells[-1])
        elif words and not cells:
            yield first, {"tokens": words, "tags": tags}
            words, tags = [], []


def _read_table(path: Path, file: Iterator[str], quotes: bool) -> Iterator[tuple[int, dict[str, object]]]:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = (
        csv.reader(file, delimiter=delimiter, strict=True)
        if quotes
        else csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    )
    try:
        header = next(reader, None)
        if not header:
            raise MuError("the file is empty; its first line should name the columns.", where=str(path))
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise MuError(
                    f"{len(cells)} cells under {len(header)} columns.",
                    where=f"{path}:{reader.line_num}",
                    hint="A comma inside a sentence needs quotes around the sentence.",
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise MuError(f"this line cannot be read: {error}.", where=f"{path}:{reader.line_num}") from error

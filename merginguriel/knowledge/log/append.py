"""Write entries into the log, whole or not at all; keep rejected ones as drafts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from merginguriel import cache, files
from merginguriel.errors import KnowledgeError, MuError
from merginguriel.knowledge.parse.entries import Entry, parse_entry
from merginguriel.knowledge.parse.prose_numbers import NAME_THE_UNIT, bare_differences
from merginguriel.knowledge.parse.row_parser import CellError
from merginguriel.knowledge.parse.rows import ResultRow, impossible

from .draft_text import Draft, render, rows_csv, slug

MOST_TITLE, MOST_SUMMARY = 200, 1000  # characters
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FILE = re.compile(r"(?<![\w:/.@-])[\w./~+=-]*[\w-]\.(?:csv|tsv|jsonl?|npz|npy|png|pdf|db|sqlite|parquet|safetensors|xlsx|ya?ml|log|txt|pkl|md)\b|(?<![\w:/.)*~+-])/\w[\w.-]*(?:/[\w.-]+)+|\bfile://\S+")  # fmt: skip


def add(
    log: Path, draft: Draft, *, more_rows: Sequence[ResultRow] = (), figure: tuple[str, Path] | None = None
) -> Entry:
    """Write `draft` into the log and return it as read back.

    Args:
        log: Folder of the log.
        draft: The entry.
        more_rows: Rows that are written to a CSV beside the entry.
        figure: Caption and PNG, copied beside the entry and shown in it.

    Raises:
        KnowledgeError: If the text is not a valid entry; it is then kept under experiment_log/.draft/ with its CSV
            and figure beside it, so that the corrected text finds them; nothing is left in the log.
    """
    return add_text(log, staged(log, draft, more_rows, figure), beside=log / ".draft")


def staged(
    log: Path, draft: Draft, more_rows: Sequence[ResultRow] = (), figure: tuple[str, Path] | None = None
) -> str:
    """Return the text of `draft` for `add_text(…, beside=log / ".draft")`, and write its CSV and figure there."""
    name = f"{draft.date}-{slug(draft.title)}-{secrets.token_hex(4)}"
    rows_file = None
    if more_rows:
        data = rows_csv(more_rows).encode("utf-8")
        rows_file = (f"{name}.csv", hashlib.sha256(data).hexdigest())
        files.write_bytes(log / ".draft" / rows_file[0], data)
    if figure:
        files.write_bytes(log / ".draft" / f"{name}.png", figure[1].read_bytes())
        draft = replace(draft, sections=(*draft.sections, ("Figure", f"![{figure[0]}]({name}.png)")))
    return render(draft, rows_file)


def _withdraw(path: Path, attached: Sequence[Path]) -> None:
    """Remove files beside an entry that was not written; an entry that was written keeps them."""
    if attached and not path.exists():
        _remove_unnamed(attached, path.parent)


def _remove_unnamed(attached: Sequence[Path], folder: Path, but: Path | None = None) -> None:
    """Remove the files that no text in `folder` names, but for the text in the file `but`."""
    for file in attached:
        if not [path for path in _naming(file, folder) if but is None or not path.samefile(but)]:
            file.unlink(missing_ok=True)


def _naming(file: Path, folder: Path) -> list[Path]:
    """Return the entries or drafts in `folder` whose text names a file."""
    texts = [path for path in sorted(folder.glob("[!.]*.md")) if path.is_file()]
    return [path for path in texts if file.name.encode() in path.read_bytes()]


def add_text(log: Path, text: str, *, beside: Path | None = None, draft: Path | None = None) -> Entry:
    """Write an entry's whole text into the log under a new name.

    The name ends in the beginning of the text's sha256: of several writers of the same text, on one machine or on two
    branches, one succeeds.

    Args:
        log: Folder of the log.
        text: The whole entry, with its front matter.
        beside: Folder of the row files and figures that the text names; they are copied, or moved from among the
            drafts.
        draft: The draft that the text was read from; a refused text is saved there again.

    Raises:
        KnowledgeError: If the text is not a valid entry, says a difference in percent without its unit, or is in the
            log already; but for the last, it is then kept under experiment_log/.draft/.
    """
    name = file_name(text)
    if name is None:
        undated = KnowledgeError("the front matter has no date (YYYY-MM-DD).")
        refuse(log, text, undated, draft=draft)
        raise undated
    _check_new(log, name, text)
    names = row_files(text, beside)
    try:
        _check_words(text, log / name)
    except KnowledgeError as error:
        refuse(log, text, error, names, draft)
        raise
    path = log / name[:4] / name
    copied: list[Path] = []
    try:
        for file in names:
            copy = log / name[:4] / file.name
            if _written(copy, file.read_bytes()):
                copied.append(copy)
            elif copy.read_bytes() != file.read_bytes():
                existing = _id_in_use(copy)
                refuse(log, text, existing, names, draft)
                raise existing
        entry = _land(log, path, text, [path.with_name(file.name) for file in names], draft)
    except (MuError, KeyboardInterrupt) as error:
        _withdraw(path, copied)
        if isinstance(error, MuError) and not isinstance(error, KnowledgeError):
            refuse(log, text, error, names, draft)  # the log cannot be written
        raise
    if beside is not None and beside.resolve() == (log / ".draft").resolve():
        _remove_unnamed(names, beside, draft)
    return entry


def _written(path: Path, data: bytes) -> bool:
    """Write a file that does not exist yet; return False if one does."""
    try:
        files.write_bytes(path, data, exclusive=True)
    except MuError:
        if path.is_file():
            return False
        raise
    return True


def _id_in_use(path: Path) -> KnowledgeError:
    owners = _naming(path, path.parent)
    owner = f"of {owners[0].stem}" if owners else "that no entry names, left by a writer that was killed"
    hint = "Give the file another name, here and where the text names it."
    return KnowledgeError(
        f"{path} already exists with other content: a file {owner}.",
        where=str(path),
        hint=hint if owners else f"{hint} Or inspect the existing one and remove it.",
    )


def check_text(log: Path, text: str, file: Path | None = None) -> Entry:
    """Return the entry that `add_text` would write, with the same errors but at `file`; write nothing."""
    name = file_name(text)
    if name is None:
        raise KnowledgeError("the front matter has no date (YYYY-MM-DD).", where=str(file) if file else None)
    path = (file.resolve().parent if file else log / name[:4]) / name
    try:
        _check_new(log, name, text)
        _check_words(text, path)
        return _parsed(text, path)
    except KnowledgeError as error:
        where, sign, line = (error.where or "").rpartition(":")
        if where == str(path):
            error.where = f"{file or 'line'}{sign}{line}"
        raise


def _parsed(text: str, path: Path) -> Entry:
    """Return an entry's text as an entry; raise KnowledgeError also for an accuracy that n items cannot have."""
    entry = parse_entry(text, path)
    for row in entry.rows:
        for column, what, hint in impossible(row):
            raise CellError(f"{what}.", where=row.where, hint=hint, column=column)
    return entry


def _check_new(log: Path, name: str, text: str) -> None:
    """Raise KnowledgeError if the log has the same text under the same date and title."""
    folder, start, content = log / name[:4], name[:-11], text.strip().encode("utf-8")
    if not folder.is_dir():
        return
    with os.scandir(folder) as existing_files:
        near = [
            item.name for item in existing_files
            if item.is_file() and item.name.startswith(start) and item.name.endswith(".md") and item.stat().st_size >= len(content)
        ]  # fmt: skip
    for path in sorted(folder / item for item in near):
        if path.read_bytes().strip() == content:
            raise _in_the_log(path)


def _in_the_log(path: Path) -> KnowledgeError:
    return KnowledgeError(
        f"the log already has this entry: {path.stem}.",
        where=str(path),
        hint="To correct or extend it, add a new entry that names it under supersedes or links.",
    )


def _check_words(text: str, path: Path) -> None:
    """Raise KnowledgeError for what no entry may contain, with its line."""
    for line, words in bare_differences(text):
        what = f"the text says {words!r}: percent of the baseline, or percentage points?"
        raise KnowledgeError(what, where=f"{path}:{line}", hint=NAME_THE_UNIT)
    control = _CONTROL.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise KnowledgeError(
            f"the text has the control character U+{ord(control[0]):04X}.",
            where=f"{path}:{line}",
            hint="Remove it.",
        )


def check_head(entry: Entry) -> None:
    """Raise KnowledgeError for a title or summary that is too long, and for a summary that points to a file."""
    for name, text, most in (("title", entry.title, MOST_TITLE), ("summary", entry.summary, MOST_SUMMARY)):
        if len(text) > most:
            raise KnowledgeError(
                f"the {name} has {len(text):,} characters, more than {most}.",
                where=f"{entry.path}:1",
                hint="Write the rest in the body.",
            )
    pointer = _FILE.search(entry.summary)
    if pointer:
        raise KnowledgeError(
            f"the summary points to the file {pointer[0]}.",
            where=f"{entry.path}:1",
            hint="State the finding there, and name the file in the body, under ## Data or ## References.",
        )


def row_files(text: str, beside: Path | None) -> list[Path]:
    """Return the row files and figures that `text` names and that are in the folder `beside`."""
    if beside is None:
        return []
    names = re.findall(r"^rows:\s+([^/\\\s]+)\s+sha256:", text, re.MULTILINE)
    names += re.findall(r"^!\[[^\]]*\]\(([^/\\\s)]+\.png)\)", text, re.MULTILINE)
    return [beside / name for name in names if (beside / name).is_file()]


def file_name(text: str) -> str | None:
    """Return `<date>-<slug>-<8 hex>.md` for an entry's text; None if it has no date.

    The digits are those of the CSV that it names, if that is named so too, else the beginning of the text's sha256.
    """
    title = re.search(r"^title:\s*[\"']?(.*?)[\"']?\s*$", text, re.MULTILINE)
    day = re.search(r"^date:\s*[\"']?(\d{4}-\d{2}-\d{2})", text, re.MULTILINE)
    if not day:
        return None
    start = f"{day[1]}-{slug(title[1] if title else '')}"
    paired = re.search(rf"^rows:\s+{start}-([0-9a-f]{{8}})\.csv\s", text, re.MULTILINE)
    return f"{start}-{paired[1] if paired else digest(text)}.md"


def digest(text: str) -> str:
    """Return eight hex digits of a text, ignoring surrounding blanks."""
    return hashlib.sha256(text.strip().encode("utf-8")).hexdigest()[:8]


def _land(log: Path, path: Path, text: str, attached: Sequence[Path], draft: Path | None = None) -> Entry:
    try:
        entry = _parsed(text, path)
    except KnowledgeError as error:
        refuse(log, text, error, attached, draft)
        raise
    try:
        files.write_text(path, text, exclusive=True)
    except MuError as error:
        if path.is_file() and path.read_bytes().strip() == text.strip().encode("utf-8"):
            raise _in_the_log(path) from error  # another process wrote the same just now
        raise
    return entry


def refuse(
    log: Path, text: str, error: MuError, attached: Sequence[Path] = (), draft: Path | None = None
) -> None:
    """Keep a text and its attached files as a draft, and let `error` name the draft.

    Where another draft's file has the name of one of these, this one gets a name of its own, in the text too.
    """
    folder = draft_folder(log)
    for file in attached:
        if file.parent.resolve() != folder.resolve():
            data = file.read_bytes()
            name = _keep_file(folder / file.name, data)
            text = re.sub(
                rf"(^rows:\s+|\]\(){re.escape(file.name)}(?=[\s)])", rf"\g<1>{name}", text, flags=re.MULTILINE
            )
    saved = keep_draft(log, text, draft)
    where, _, line = (error.where or "").rpartition(":")
    error.where = f"{saved}:{line}" if where and line.isdigit() else str(saved)
    again = f"mu log add {saved}"
    error.hint = f"{error.hint or ''}\nThe text was saved there; correct it and run: {again}".strip()


def _keep_file(path: Path, data: bytes) -> str:
    """Write a file among the drafts and return its name, changed where a file with other bytes has it."""
    own = f"{path.stem}-{hashlib.sha256(data).hexdigest()[:8]}{path.suffix}"
    for path_ in (path, path.with_name(own)):
        if _written(path_, data) or path_.read_bytes() == data:
            return path_.name
    files.write_bytes(path_, data)  # the name depends on the bytes: a different file of this name is damaged
    return own


def draft_folder(log: Path) -> Path:
    """Return the folder of drafts; one outside the workspace where that cannot be written."""
    inside = log / ".draft"
    above = next(folder for folder in (inside, *inside.parents) if folder.exists())
    if above.is_dir() and os.access(above, os.W_OK):
        return inside
    for outside in (cache.folder("drafts"), Path(tempfile.gettempdir()) / "merginguriel-drafts"):
        with contextlib.suppress(OSError):
            outside.mkdir(parents=True, exist_ok=True)
            if os.access(outside, os.W_OK):
                return outside
    return inside


def keep_bytes(log: Path, data: bytes, error: MuError) -> None:
    """Keep bytes that are not text as a draft, and let `error` name the draft."""
    path = draft_folder(log) / f"{hashlib.sha256(data).hexdigest()[:8]}.md"
    files.write_bytes(path, data)
    error.where = str(path)
    error.hint = f"{error.hint or ''}\nIt was saved there; correct it and run: mu log add {path}".strip()


def keep_draft(log: Path, text: str, path: Path | None = None) -> Path:
    """Save a rejected text at `path`, or under a name that depends on the text alone."""
    folder = draft_folder(log)
    if path is None or not os.access(path.parent, os.W_OK):
        path = folder / (path.name if path else f"{digest(text)}.md")
    files.write_text(path, text)
    return path

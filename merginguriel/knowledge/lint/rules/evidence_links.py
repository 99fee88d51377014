"""Rule: links, figures, ids, data files and rows of runs exist."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote

from merginguriel.errors import MuError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.evidence_tree import prose, run_rows
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.prose_numbers import ENTRY_ID, named_entries
from merginguriel.knowledge.parse.rows import ResultRow

POINTING = (
    "references",
    "data",
    "files",
    "artefacts",
    "artifacts",
    "sources",
)  # headings under which paths are pointers

_LINK = re.compile(
    r"!?\[[^\[\]]*\]\(\s*<?(?P<to>[^()<>\s]+(?:\([^()\s]*\)[^()<>\s]*)?)>?(?:\s+\"[^\"]*\")?\s*\)"
)
_CODE = re.compile(r"`[^`\n]*`")
_PATH = re.compile(r"(?<![\w:/@.-])(?:~|\.{1,2}|/)?/?(?:[\w.+@=-]+/)+[\w.+@=-]*\w\b|(?<![\w/.-])[\w+-]+(?:\.[\w+-]+)*\.(?:csv|tsv|jsonl?|npz|npy|png|pdf|db|sqlite|parquet|safetensors|xlsx|ya?ml|log|txt|pkl)\b")  # fmt: skip
_EXTERNAL = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//|#)", re.IGNORECASE)
_CLAIM_ID = re.compile(r"^[a-z0-9]+(?:-[a-z0-9]+)+$")


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the texts of skills and entries, and the rows of runs on this machine."""
    problems: list[Problem] = []
    claims = {claim.id for claim in knowledge.claims}
    ids = {*knowledge.by_entry, *knowledge.by_row}
    root = knowledge.space.root
    for skill in knowledge.skills:
        problems += _pointers(skill.body, skill.body_line, skill.path, root)
        problems += _unknown(skill.body, skill.body_line, skill.path, ids)
        for passage in prose(skill):
            for ref in passage.refs:
                if _CLAIM_ID.match(ref) and ref not in claims and ref not in ids and not ENTRY_ID.match(ref):
                    problems.append(
                        Problem(f"{skill.path}:{passage.line}", f"[{ref}] is not a claim.",
                                "Name a claim's id, or an entry's or row's.")
                    )  # fmt: skip
    for entry in knowledge.entries:
        first = entry.body_line
        problems += _pointers(entry.body, first, entry.path, root)
        problems += _unknown(entry.body, first, entry.path, ids)
    return problems + _runs(knowledge)


def _lines(body: str, first: int) -> Iterator[tuple[str, int, str]]:
    """Yield (heading in lower case, line, text) outside fenced code."""
    for section in markdown.sections(body, first):
        for number, text in section.lines:
            yield section.title.lower().rstrip(": "), number, text


def pointed(knowledge: Knowledge) -> set[Path]:
    """Return every path that a skill or an entry may point to: whether it exists decides what `check` reports."""
    root = knowledge.space.root
    texts = [(skill.body, skill.body_line, skill.path) for skill in knowledge.skills]
    texts += [(entry.body, entry.body_line, entry.path) for entry in knowledge.entries]
    return {place for one in texts for _, _, places in _named(*one, root) for place in places}


def _named(body: str, first: int, path: Path, root: Path) -> Iterator[tuple[int, str, tuple[Path, ...]]]:
    """Yield (line, words of the problem if no place exists, places) of each link and each path that is a pointer."""
    for title, number, text in _lines(body, first):
        for match in _LINK.finditer(_CODE.sub("", text)):
            to = unquote(match["to"].partition("#")[0])
            if to and not _EXTERNAL.match(match["to"]):
                yield number, f"links to {to}", (path.parent / to,)
        if title in POINTING:
            for match in _PATH.finditer(_LINK.sub("", re.sub(r"\S+://\S+", "", text))):
                if not ENTRY_ID.search(match[0]):
                    yield number, f"points to {match[0]}", (path.parent / match[0], root / match[0])


def _pointers(body: str, first: int, path: Path, root: Path) -> list[Problem]:
    hints = {
        "links": "Correct the link, or state that the file was not kept.",
        "points": "Put the file there and name it with its sha256, or state that it was not kept.",
    }
    return [
        Problem(f"{path}:{line}", f"{words}, which does not exist.", hints[words.partition(" ")[0]])
        for line, words, places in _named(body, first, path, root)
        if not any(map(exists, places))
    ]


def exists(path: Path) -> bool:
    """Return whether a file or folder exists; not for a path that no file may have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _unknown(body: str, first: int, path: Path, ids: Collection[str]) -> list[Problem]:
    return [
        Problem(f"{path}:{line}", f"names {name}, which is not in the log.", "See: mu log list")
        for line, name in named_entries(body, first)
        if name not in ids
    ]


def _runs(knowledge: Knowledge) -> list[Problem]:
    """Report rows that name a run on this machine which did not measure them, one of each run."""
    by_run: dict[str, list[ResultRow]] = {}
    for row in knowledge.rows:
        if row.run and row.status == "current":
            by_run.setdefault(row.run, []).append(row)
    result = []
    folder = knowledge.space.runs
    for run, rows in by_run.items() if folder.is_dir() else ():
        try:
            actual = run_rows(run, folder)
        except MuError as error:
            result.append(Problem(error.where or str(folder / run), error.what, error.hint or ""))
            continue
        if actual is None:
            if run != ".." and Path(run).name == run and (folder / run / "config.yaml").is_file():
                result.append(
                    Problem(rows[0].where, f"{rows[0].ref} names the run {run}, which is here and has no result.",
                            f"Finish the run, or name the one that measured this: mu runs show {run}")
                )  # fmt: skip
            continue
        known = {(r.target, r.method, r.metric, round(r.value, 4)) for r in actual}
        unmatched = [r for r in rows if (r.target, r.method, r.metric, round(r.value, 4)) not in known]
        if unmatched:
            row = unmatched[0]
            result.append(
                Problem(row.where, f"{row.ref} says {row.target} {row.method} {row.value:.4f} of the run {run}, "
                        "which measured no such thing.",
                        f"Compare with: mu runs show {run}")
            )  # fmt: skip
    return result

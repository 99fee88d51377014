"""Tree of what a statement rests on: sentence → claim → entry → row → run → artefact."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merginguriel import files
from merginguriel.errors import KnowledgeError, MuError, UsageError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.prose_numbers import BRACKETS, Passage, passages
from merginguriel.knowledge.parse.row_parser import read_csv
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.parse.yaml_lines import Mapping, read_text, read_yaml
from merginguriel.text.suggest import did_you_mean, suggest

from .claim_status import NOT_TESTED, ClaimStanding
from .grading import grade

SURE = 1.96  # standard errors beyond which a difference is outside noise


@dataclass(frozen=True)
class Node:
    """One node of the tree.

    `kind` is skill, claim, entry, row, run or artefact; `facts` holds what is known about it.
    """

    kind: str
    name: str
    says: str
    facts: dict[str, Any] = field(default_factory=dict)
    children: tuple[Node, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the node and its children as JSON-ready data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "says": self.says,
            **self.facts,
            "rests_on": [child.as_dict() for child in self.children],
        }


def why(knowledge: Knowledge, name: str) -> Node:
    """Return the tree under a claim, a skill, an entry or a row.

    An entry may be named by the beginning of its id.

    Raises:
        UsageError: For an unknown name.
    """
    claims = {claim.id: claim for claim in knowledge.claims}
    if name in claims:
        return of_claim(claims[name], knowledge)
    if any(skill.name == name for skill in knowledge.skills):
        return of_skill(knowledge.skill(name), knowledge)
    prefix, mark, number = name.partition("#")
    if re.match(r"\d{4}-", name):
        entry = knowledge.entry(prefix)
        if not mark:
            return of_entry(entry, entry.rows, knowledge, upwards=True)
        for row in entry.rows:
            if row.ref == f"{entry.id}#{number}":
                return of_row(row, knowledge, upwards=True)
        raise UsageError(f"{entry.id} has no row {number!r}.", hint=f"It has {len(entry.rows)}: #r1, #r2, …")
    known = [*claims, *(skill.name for skill in knowledge.skills)]
    near = suggest(name, known, cutoff=0.5) or did_you_mean([item for item in known if name in item][:3])
    raise UsageError(
        f"unknown claim, skill, entry or row {name!r}.", hint=near or "See: mu skills list, mu log list"
    )


def of_skill(skill: Skill, knowledge: Knowledge) -> Node:
    """Return the tree under a skill."""
    facts = {"version": skill.version, "updated": skill.updated, "where": str(skill.path)}
    children = tuple(of_claim(claim, knowledge) for claim in skill.claims)
    return Node("skill", skill.name, skill.line, facts, children)


def of_claim(claim: Claim, knowledge: Knowledge) -> Node:
    """Return the tree under a claim, with its status and grade."""
    now = knowledge.standings[claim.id]
    graded = grade(claim, knowledge)
    facts: dict[str, Any] = {
        "skill": claim.skill,
        "status": now.status,
        "reason": now.reason,
        "grade": graded.as_dict(),
        "would_change": would_change(claim, now),
        "said_in": [f"{where}: {text}" for where, text in said_in(claim.id, knowledge)],
        "where": claim.where,
    }
    rows: dict[str, list[ResultRow]] = {}
    for ref in claim.evidence:
        rows.setdefault(ref.partition("#")[0], []).extend(knowledge.evidence_rows(ref))
    children = [
        of_entry(knowledge.by_entry[id], named, knowledge)
        if id in knowledge.by_entry
        else Node("entry", id, "is not in the log", {"broken": True})
        for id, named in rows.items()
    ]
    return Node("claim", claim.id, claim.text, facts, tuple(children))


def of_entry(
    entry: Entry,
    rows: list[ResultRow] | tuple[ResultRow, ...],
    knowledge: Knowledge,
    *,
    upwards: bool = False,
) -> Node:
    """Return the tree under an entry, for some of its rows; `upwards`: with the claims that cite it."""
    facts: dict[str, Any] = {"type": entry.type, "date": entry.date, "where": str(entry.path)}
    if entry.id in knowledge.superseders:
        facts["corrected_by"] = knowledge.superseders[entry.id]
    if entry.files:
        facts["row_files"] = {file.name: files.sha256(file) for file in entry.files}
    if upwards:
        facts["used_by"] = used_by(entry.id, knowledge)
    return Node("entry", entry.id, entry.title, facts, tuple(of_row(row, knowledge) for row in rows))


def of_row(row: ResultRow, knowledge: Knowledge, *, upwards: bool = False) -> Node:
    """Return the tree under a row; `upwards`: with the claims that cite it."""
    facts: dict[str, Any] = {"status": row.status, "n": row.n, "measured": row.day, "where": row.where}
    if row.written:
        facts["written_as"] = dict(row.written)
    if row.ref in knowledge.marks:
        facts["marked_by"] = [f"{entry.id}: {mark.reason}" for entry, mark in knowledge.marks[row.ref]]
    if upwards:
        facts["used_by"] = used_by(row.ref, knowledge)
    run = (of_run(row.run, knowledge.space.run_folder(row.run)),) if row.run else ()
    return Node("row", row.ref, row_says(row), facts, run)


def row_says(row: ResultRow) -> str:
    """Return a row as `sw-KE ExcTar similarity REAL 5: 48.32% against 46.70% best_single_source, +1.62 pp ± 1.30`."""
    parts = [row.target, row.mode, row.method, row.similarity, row.k and str(row.k)]
    head = " ".join(str(part) for part in parts if part and part != "-")
    if row.difference_pp is None or row.baseline is None:
        return f"{head}: {row.metric} {row.value:.6g}"
    noise = f" ± {row.variance_pp**0.5:.2f}" if row.variance_pp else ""
    return (
        f"{head}: {row.show(row.value)} against {row.show(row.baseline)} {row.baseline_kind}, "
        f"{row.difference_pp:+.2f} {row.points}{noise}"
    )


def of_run(run: str, run_folder: Path) -> Node:
    """Return the tree under a run, as far as its folder is on this machine."""
    if Path(run).name != run or not (run_folder / "config.yaml").is_file():
        return Node("run", run, "its folder is not on this machine", {"here": False})
    facts: dict[str, Any] = {"here": True, "where": str(run_folder)}
    provenance = _provenance(run_folder)
    facts.update({key: provenance[key] for key in ("code", "time", "seed") if provenance.get(key)})
    try:
        result = (
            json.loads(read_text(run_folder / "result.json"))
            if (run_folder / "result.json").is_file()
            else None
        )
    except (ValueError, KnowledgeError):
        result = None
    if not isinstance(result, dict):
        return Node("run", run, "has no result", facts)
    for key in ("models", "data"):
        if result.get(key):
            facts[key] = result[key]
    outputs = [
        path for name in ("rows.csv", "items.npz", "result.json") if (path := run_folder / name).is_file()
    ]
    outputs += sorted((run_folder / "model").glob("*.safetensors")) if (run_folder / "model").is_dir() else []
    artefacts = tuple(
        Node(
            "artefact",
            str(path.relative_to(run_folder)),
            f"sha256 {files.sha256(path)}",
            {"sha256": files.sha256(path)},
        )
        for path in outputs
    )
    return Node("run", run, "finished", facts, artefacts)


def _provenance(folder: Path) -> dict[str, str]:
    try:
        values = read_yaml(read_text(folder / "provenance.yaml"), folder / "provenance.yaml")
    except MuError:
        return {}
    return {k: str(v) for k, v in values.items() if isinstance(v, str)} if isinstance(values, Mapping) else {}


def run_rows(run: str, folder: Path) -> list[ResultRow] | None:
    """Return the rows that a run on this machine wrote; None if it is not here or has not finished."""
    if Path(run).name != run or not (folder / run / "result.json").is_file():
        return None
    path = folder / run / "rows.csv"
    return read_csv(read_text(path), {}, path) if path.is_file() else []


def used_by(ref: str, knowledge: Knowledge) -> list[str]:
    """Return the ids of the claims that cite an entry or row."""
    return [
        claim.id
        for claim in knowledge.claims
        if any(e == ref or e.startswith(f"{ref}#") or e == ref.partition("#")[0] for e in claim.evidence)
    ]


def said_in(ref: str, knowledge: Knowledge) -> Iterator[tuple[str, str]]:
    """Yield (file:line, text) of every sentence of a skill that names `ref` in brackets."""
    for skill in knowledge.skills:
        if f"[{ref}" in skill.body or f", {ref}" in skill.body:
            for passage in prose(skill):
                if ref in passage.refs:
                    text = re.sub(r"\s+(?=[.,;:])", "", " ".join(BRACKETS.sub("", passage.text).split()))
                    yield f"{knowledge.space.display(skill.path)}:{passage.line}", text


def prose(skill: Skill) -> Iterator[Passage]:
    """Yield every table row, list item and sentence of a skill's body."""
    for section in markdown.sections(skill.body, skill.body_line):
        yield from passages(section)


def would_change(claim: Claim, now: ClaimStanding) -> str:
    """Return what evidence would give the claim another status."""
    if now.status == "superseded":
        return f"nothing; see mu why {claim.superseded_by}"
    if now.status == "refuted":
        return "only a correction of its rows; supersede it"
    if now.status == "contested":
        return "an entry that lifts or corrects the doubtful rows, cited by the claim; or supersede it"
    if now.reason.startswith(NOT_TESTED):
        return "rows with and without it, alike in all else" if claim.predicate == "requires" else "rows that give its correlation with the outcome (metric spearman), or a comparison"  # fmt: skip
    if claim.predicate == "no_signal":
        return "more pairs, or more items" if now.status == "under noise" else "rows that show a signal"
    if now.mean_pp is None or not now.se_pp:
        return (
            "an entry that supersedes its evidence"
            if not now.rows or now.mean_pp is None
            else "n of its rows"
        )
    size = abs(now.mean_pp)
    if now.status == "under noise":
        if not size:
            return "no difference"
        times = (SURE * now.se_pp / size) ** 2
        return (
            f"the same {size:.2f} pp with a standard error of {size / SURE:.2f} pp or less (now {now.se_pp:.2f}): "
            f"{times:.1f} times the items, further targets, or paired results"
        )
    return f"rows that bring the pooled difference below {SURE * now.se_pp:.2f} pp (now {size:.2f})"

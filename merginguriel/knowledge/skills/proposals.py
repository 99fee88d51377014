"""Changes to the skills that follow from the log: claims to add, to complete or to review.

A comparison is proposed where at least three targets show it outside noise and no claim states it. The p values of one
question in one context (gains over one kind of baseline, choice of a similarity, choice of a method) are adjusted for
their number (Holm 1979).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from merginguriel import __version__, cache, files, stats, workspace
from merginguriel.errors import KnowledgeError, UsageError
from merginguriel.knowledge.base import Knowledge, load
from merginguriel.knowledge.claims.claim_status import standing
from merginguriel.knowledge.claims.pooling import Pool, differences, pooled
from merginguriel.knowledge.parse.claims import Claim, Scope
from merginguriel.knowledge.parse.file_stamps import stamp
from merginguriel.knowledge.parse.rows import MEASURES
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.text import numbers
from merginguriel.text.suggest import suggest
from merginguriel.workspace import Workspace

from . import candidates, restate
from .catalogue import freshness
from .generated_tables import refresh
from .restate import Edit

FEWEST = 3  # targets of a comparison that is proposed
REJECTED = "rejected.jsonl"  # in skills/: a line for each rejected proposal


@dataclass(frozen=True)
class Proposal:
    """One change to a skill.

    Attributes:
        id: Its name; the id of the claim that a comparison adds.
        kind: `comparison` (a claim to add), `evidence` (rows to cite) or `status` (to review).
        skill: Name of the skill.
        what: The change in a sentence.
        diff: Its edits as a unified diff.
        evidence: Ids of the rows that it follows from.
        by_hand: Place and text of the sentence that has to be edited first; "" where it can be accepted.
        edits: Edits of the files of the skill.
    """

    id: str
    kind: str
    skill: str
    what: str
    diff: str
    evidence: tuple[str, ...] = ()
    by_hand: str = ""
    edits: tuple[Edit, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the proposal as JSON-ready data, without its edits."""
        return {
            **{key: value for key, value in vars(self).items() if key != "edits"},
            "evidence": [*self.evidence],
        }

    @property
    def ground(self) -> str:
        """Hash of what it follows from; a rejected proposal comes back when this changes."""
        return hashlib.sha256(" ".join(self.evidence or (self.what,)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Decision:
    """An accepted or rejected proposal.

    Attributes:
        proposal: The proposal.
        texts: File → its bytes before and after the decision, None for no file; the files that the decision changed.
    """

    proposal: Proposal
    texts: dict[Path, tuple[bytes | None, bytes | None]]


def proposals(knowledge: Knowledge, today: date | None = None) -> list[Proposal]:
    """Return every change that the log suggests and nobody rejected, in the order of skills and kinds."""
    day = (today or date.today()).isoformat()
    found = [*_comparisons(knowledge, day), *_uncited(knowledge), *_moved(knowledge)]
    gone = _rejected(knowledge.space)
    return sorted((p for p in found if (p.id, p.ground) not in gone), key=lambda p: (p.skill, p.kind, p.id))


def count(space: Workspace) -> int:
    """Return the number of proposals that follow from what a workspace added to the shipped knowledge."""
    return len(_keys(space) - _keys(workspace.shipped()))


def _keys(space: Workspace) -> set[str]:
    """Return a key of each proposal for a workspace, from the cache where its knowledge has not changed."""
    knowledge = load(space)
    gone = hashlib.sha256(repr(sorted(_rejected(space))).encode()).hexdigest()[:16]
    program = [stamp(Path(file).stat()) for file in (__file__, candidates.__file__)]
    key = f"{__version__} {program} {knowledge.hash} {gone}"
    place = cache.of_folder("proposals", space.root, ".json")
    try:
        known = json.loads(cache.read(place) or b"{}")
        if known.get("key") == key:
            return {str(one) for one in known["found"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # a damaged cache is rewritten
    found = {f"{one.id} {one.ground}" for one in proposals(knowledge)}
    cache.write(place, json.dumps({"key": key, "found": sorted(found)}).encode())
    return found


def accept(space: Workspace, idents: Sequence[str], today: date | None = None) -> list[Proposal]:
    """Write proposals into their skills, all or none; raise each skill's version once and rewrite its tables.

    Raises:
        UsageError: For an id that is not proposed, and for two that edit the same sentence.
        KnowledgeError: For a proposal with a sentence to be edited by hand.
    """
    workspace.writable(space)
    knowledge = load(space)
    chosen = _chosen(knowledge, idents, today)
    day = (today or date.today()).isoformat()
    texts: dict[Path, str] = {}
    for one in chosen:
        if one.by_hand:
            where, _, text = one.by_hand.partition(": ")
            raise KnowledgeError(
                f"the rows of {one.id} change what this says: {text}",
                where=where,
                hint=f"Edit it and its evidence by hand; see: mu skills propose\n{one.what}",
            )
        folder = knowledge.skill(one.skill).path.parent
        for edit in one.edits:
            path = folder / edit.file
            before = texts.get(path, restate.text_of(path))
            if edit.old and edit.old not in before:
                raise UsageError(
                    f"{one.id} edits a sentence that another of these proposals edits.",
                    hint="Accept them one after the other.",
                )
            texts[path] = edit.applied(before)
    for name in dict.fromkeys(one.skill for one in chosen):
        skill = knowledge.skill(name)
        texts[skill.path] = _raised(texts.get(skill.path, read_text(skill.path)), skill, day)
    for path, text in texts.items():
        files.write_text(path, text)
    after = load(space)
    for name in dict.fromkeys(one.skill for one in chosen):
        refresh(after, name)
    return chosen


def reject(space: Workspace, idents: Sequence[str], today: date | None = None) -> list[Proposal]:
    """Add proposals to `skills/rejected.jsonl`: they come back when the rows that they follow from change.

    Raises:
        UsageError: For an id that is not proposed.
    """
    workspace.writable(space)
    chosen = _chosen(load(space), idents, today)
    day = (today or date.today()).isoformat()
    path = space.skills / REJECTED
    lines = [{"date": day, "id": p.id, "ground": p.ground, "what": p.what} for p in chosen]
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    files.write_text(path, restate.text_of(path) + text)
    return chosen


def decide(space: Workspace, proposal: Proposal, *, rejected: bool) -> Decision:
    """Accept or reject a proposal, as `accept` and `reject` do, so that `undo` can take it back."""
    folder = space.skills / proposal.skill

    def texts() -> dict[Path, bytes]:
        paths = [space.skills / REJECTED] if rejected else [*folder.glob("*.md"), folder / "claims.yaml"]
        return {path: path.read_bytes() for path in paths if path.is_file()}

    before = texts()
    [done] = (reject if rejected else accept)(space, [proposal.id])
    after = texts()
    pairs = {path: (before.get(path), after.get(path)) for path in before | after}
    return Decision(done, {path: pair for path, pair in pairs.items() if pair[0] != pair[1]})


def undo(space: Workspace, decision: Decision) -> None:
    """Put the files that a decision changed back as they were.

    Raises:
        KnowledgeError: One of them has changed since.
    """
    workspace.writable(space)
    for path, (_, after) in decision.texts.items():
        if not path.is_file() or path.read_bytes() != after:
            raise KnowledgeError(
                f"the file has changed since the decision on {decision.proposal.id}, which cannot be undone.",
                where=str(path),
                hint="Edit it by hand.",
            )
    for path, (before, _) in decision.texts.items():
        if before is None:
            path.unlink()
        else:
            files.write_bytes(path, before)


def _chosen(knowledge: Knowledge, idents: Sequence[str], today: date | None) -> list[Proposal]:
    by_id = {p.id: p for p in proposals(knowledge, today)}
    for ident in idents:
        if ident not in by_id:
            hint = suggest(ident, by_id) or "List all: mu skills propose"
            raise UsageError(f"no proposal {ident!r}.", hint=hint)
    return [by_id[ident] for ident in dict.fromkeys(idents)]


def _rejected(space: Workspace) -> set[tuple[str, str]]:
    """Return (id, ground) of the rejected proposals; a line that cannot be read rejects nothing."""
    result = set()
    for line in restate.text_of(space.skills / REJECTED).splitlines():
        try:
            item = json.loads(line)
            result.add((str(item["id"]), str(item["ground"])))
        except (ValueError, KeyError, TypeError):
            continue
    return result


def _raised(text: str, skill: Skill, day: str) -> str:
    """Return the text of SKILL.md with the next minor version and the day of the update."""
    numbers = [*map(int, skill.version.split(".")), 0, 0][:3]
    version = f"{numbers[0]}.{numbers[1] + 1}.0"
    text = re.sub(r"(?m)^(\s+version: ).*$", rf'\g<1>"{version}"', text, count=1)
    return re.sub(r"(?m)^(\s+updated: ).*$", rf'\g<1>"{max(day, skill.updated)}"', text, count=1)


def _comparisons(knowledge: Knowledge, day: str) -> Iterator[Proposal]:
    active = [c for c in knowledge.claims if not c.superseded_by]
    rows = [r for r in knowledge.rows if r.status == "current" and r.metric not in MEASURES and r.mode != "-"]
    for context in sorted({row.context for row in rows}):
        ours = [row for row in rows if row.context == context]
        families: dict[tuple[str | None, ...], list[tuple[Claim, Pool, set[str]]]] = {}
        for claim in candidates.candidates(ours, day):
            result = differences(claim, ours)
            pool = pooled(result) if result else None
            if pool and pool.targets >= FEWEST and pool.p is not None:
                used = {row.ref for _, _, pair in result for row in pair}
                families.setdefault((claim.over, *claim.prefer), []).append((claim, pool, used))
        for tested in families.values():
            adjusted = stats.holm([pool.p or 0.0 for _, pool, _ in tested])
            for (candidate, pool, used), p in zip(tested, adjusted, strict=True):
                claim = candidates.directed(candidate, pool, _refs(knowledge, used))
                skill = _home(claim, knowledge)
                if p >= 0.05 or skill is None or any(candidates.states(other, claim) for other in active):
                    continue
                if standing(claim, [r for r in ours if r.ref in used], ours, {}).status == "supported":
                    what = f"{claim.text} No claim states it ({len(used)} rows)."
                    edits = [Edit("claims.yaml", "", _yaml(claim))]
                    yield _proposal(claim.id, "comparison", skill, what, edits, used)


def _refs(knowledge: Knowledge, used: Iterable[str]) -> tuple[str, ...]:
    """Return the evidence of a claim on these rows: their entries, or, of an entry with rows that do not count, the rows."""
    rows: dict[str, list[str]] = {}
    for ref in used:
        rows.setdefault(ref.partition("#")[0], []).append(ref)
    whole = {name: all(row.status == "current" for row in knowledge.evidence_rows(name)) for name in rows}
    order = sorted(rows)
    return tuple(
        ref
        for name in order
        for ref in ([name] if whole[name] else sorted(rows[name], key=lambda r: (len(r), r)))
    )


def _home(claim: Claim, knowledge: Knowledge) -> Skill | None:
    """Return the skill about the same choice, else about the same method by its name or claims, else the widest."""
    named = (
        *claim.scope.get("method", ()),
        *claim.prefer.get("method", ()),
        *claim.over_scope.get("method", ()),
    )
    words = {word for method in named for word in method.split("_")}

    def score(skill: Skill) -> tuple[int, int, int, int]:
        same = sum("similarity" in c.prefer for c in skill.claims) if "similarity" in claim.prefer else 0
        about = sum(
            words.issuperset(method.split("_")) for c in skill.claims for method in c.scope.get("method", ())
        )
        gains = sum(c.predicate in ("beats", "fails") for c in skill.claims)
        return same, len(words.intersection(skill.name.split("-"))), about, gains

    ours = [s for s in knowledge.skills if not s.foreign and s.metadata.get("domain") != "workflow"]
    return max(ours, key=score, default=None)


def _uncited(knowledge: Knowledge) -> Iterator[Proposal]:
    """Propose to cite entries with new comparisons in the scope of a claim."""
    for skill in knowledge.skills:
        for claim in skill.claims:
            now = knowledge.standings[claim.id]
            if claim.predicate not in ("beats", "fails", "prefers") or now.status == "superseded":
                continue
            cited = {r.ref for ref in claim.evidence for r in knowledge.evidence_rows(ref)}
            every = differences(claim, knowledge.near(claim))
            new = [d for d in every if not any(row.ref in cited for row in d[2]) and d[1] is not None]
            named = {ref.partition("#")[0] for ref in claim.evidence}
            uncited = {row.ref for d in new for row in d[2] if row.ref.partition("#")[0] not in named}
            if not uncited:
                continue
            refs = _refs(knowledge, uncited)
            what = f"{claim.id}: {numbers.count(len(new), 'row')} in its scope, cited by nothing: {pooled(new).mean:+.1f} pp.".replace(
                " -", " −"
            )
            used = {row.ref for difference in new for row in difference[2]}
            edits, by_hand = restate.with_evidence(skill, claim, refs, knowledge)
            yield _proposal(f"cite-{claim.id}", "evidence", skill, what, edits, used, by_hand)


def _moved(knowledge: Knowledge) -> Iterator[Proposal]:
    """Propose to review the claims whose status changed since their skill was updated."""
    for name, fresh in freshness(knowledge).items():
        skill = knowledge.skill(name)
        active = {c.id for c in skill.claims if not c.superseded_by}
        moved = [f"{c}: {then} → {now}" for c, then, now in fresh.moved if c in active]
        if moved:
            what = f"Review after newer evidence: {'; '.join(moved)}."
            yield _proposal(f"review-{name}", "status", skill, what, [])


def _yaml(claim: Claim) -> str:
    def flow(scope: Scope) -> str:
        return (
            "{"
            + ", ".join(
                f"{key}: {json.dumps(values[0], ensure_ascii=False)}" for key, values in scope.items()
            )
            + "}"
        )

    over = claim.over or flow(claim.over_scope)
    prefer = f"  prefer: {flow(claim.prefer)}\n" if claim.prefer else ""
    evidence = "".join(f"    - {ref}\n" for ref in claim.evidence)
    return (
        f"- id: {claim.id}\n  text: {json.dumps(claim.text)}\n  scope: {flow(claim.scope)}\n"
        f"  predicate: {claim.predicate}\n{prefer}  over: {over}\n  value: {claim.value}\n  unit: pp\n"
        f'  evidence:\n{evidence}  since: "{claim.since}"\n'
    )


def _proposal(
    ident: str,
    kind: str,
    skill: Skill,
    what: str,
    edits: Sequence[Edit],
    used: Iterable[str] = (),
    by_hand: str = "",
) -> Proposal:
    diff: list[str] = []
    for file in sorted({edit.file for edit in edits}):
        name, old = f"skills/{skill.name}/{file}", restate.text_of(skill.path.parent / file)
        new = old
        for edit in edits:
            new = edit.applied(new) if edit.file == file else new
        diff += difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, name, n=1)
    if by_hand:
        what = f"{what} First edit by hand {by_hand}"
    return Proposal(ident, kind, skill.name, what, "".join(diff), tuple(sorted(used)), by_hand, tuple(edits))

"""Differences in meaning between two states of a skill, with the evidence behind them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge import git
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims import row_status
from merginguriel.knowledge.claims.claim_status import ClaimStanding
from merginguriel.knowledge.claims.pooling import differences
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.knowledge.parse.entries import Entry, parse_entry
from merginguriel.knowledge.parse.markdown import sections
from merginguriel.knowledge.parse.rows import ResultRow, format_value
from merginguriel.knowledge.parse.skills import Skill, parse_skill, read_skill
from merginguriel.knowledge.parse.yaml_lines import read_yaml

# A change of these, or of a claim, is a change of meaning.
MEANING = ("Recommended Practice", "Configuration", "Failure Modes")
RANK = {"refuted": 0, "contested": 1, "under noise": 2, "supported": 3}
FIELDS = ("text", "predicate", "scope", "over", "prefer", "condition", "value", "unit")


@dataclass(frozen=True)
class Change:
    """One change to a claim, a section or the skill itself (`what`).

    `kind` of a claim's: added, strengthened, weakened, superseded, restored, retracted, moved, reworded, evidence (it cites
    other rows, and stands as it did). Of what else changed: version, description, recommendation, configuration, failure
    modes, section.
    """

    kind: str
    what: str
    text: str
    evidence: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the change as JSON-ready data."""
        return {"kind": self.kind, "what": self.what, "said": self.text, "evidence": list(self.evidence)}


def compare(old: Skill, new: Skill, before: Knowledge, after: Knowledge) -> list[Change]:
    """Return every change from `old` in the log of `before` to `new` in that of `after`."""
    changes: list[Change] = []
    if not (old.description or old.body):
        changes.append(Change("added", new.name, "the skill is not in the last commit"))
    if old.version != new.version:
        changes.append(Change("version", new.name, f"{old.version or 'none'} → {new.version or 'none'}"))
    if old.description != new.description:
        changes.append(
            Change("description", new.name, "changed", tuple(line_changes(old.description, new.description)))
        )
    return changes + claim_changes(old, new, before, after) + section_changes(old.body, new.body)


def meaning_changes(old: Skill, new: Skill) -> list[str]:
    """Return the changes of meaning that a skill's own two files show: `claim X added`, `Configuration changed`."""
    then, now = ({c.id: _plain(c) for c in skill.claims} for skill in (old, new))
    result = [f"claim {name} added" for name in now if name not in then]
    result += [f"claim {name} removed" for name in then if name not in now]
    for name, claim in now.items():
        if name in then and then[name] != claim:
            keys = [key for key in claim if claim[key] != then[name][key]]
            result.append(f"claim {name} changed ({', '.join(keys)})")
    a, b = section_texts(old.body), section_texts(new.body)
    return result + [
        f"{title} changed" for title in MEANING if _words(a.get(title, "")) != _words(b.get(title, ""))
    ]


def meaning(skill: Skill) -> str:
    """Return a digest of what `meaning_changes` compares."""
    parts = [repr(sorted(_plain(claim).items())) for claim in sorted(skill.claims, key=lambda c: c.id)]
    texts = section_texts(skill.body)
    parts += [_words(texts.get(title, "")) for title in MEANING]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def raised(old: str, new: str) -> bool:
    """Return whether version `new` is above `old` (1.10.0 > 1.9); a version that is not a number counts if it differs."""
    if not new:
        return False
    try:
        a, b = ([int(part) for part in version.split(".")] for version in (old, new))
    except ValueError:
        return old != new
    width = max(len(a), len(b))
    return b + [0] * (width - len(b)) > a + [0] * (width - len(a))


def _plain(claim: Claim) -> dict[str, object]:
    return {**claim.as_dict(), "evidence": sorted(claim.evidence)}


def _words(text: str) -> str:
    return " ".join(text.split())


# claims


def claim_changes(old: Skill, new: Skill, before: Knowledge, after: Knowledge) -> list[Change]:
    """Return the changes of claims."""
    # Derive the status of these claims only; replacements may be in other skills.
    then, now = replace(before, skills=(old,)), replace(after, skills=(new,))
    a, b = ({c.id: c for c in skill.claims} for skill in (old, new))
    every = {c.id: c for c in after.claims}
    result = []
    for name, claim in b.items():
        if name not in a:
            cited = {row.ref: row for row in rows_of(claim, now)}
            evidence = tuple(f"cites {ref}{_row_text(cited.get(ref))}" for ref in claim.evidence)
            result.append(Change("added", name, f"{now.standings[name].status}: {claim.text}", evidence))
            continue
        change = _claim_change(a[name], claim, then, now, every)
        if change:
            result.append(change)
    removed = [claim for name, claim in a.items() if name not in b]
    result += [_retracted(claim, then, after, "" if old.name == new.name else new.name) for claim in removed]
    return result


def _retracted(claim: Claim, then: Knowledge, after: Knowledge, other: str) -> Change:
    """Return the change for a removed claim; `other` is the compared skill where it is another one."""
    moved = [c for c in after.claims if c.id == claim.id]
    if moved and not other:
        return Change("moved", claim.id, f"now in {moved[0].skill}")
    reason = f"not in {other}" if other else f"was {then.standings[claim.id].status}"
    return Change(
        "retracted", claim.id, f"{reason}: {claim.text}", tuple(evidence_changes(claim, None, then, after))
    )


def _claim_change(
    old: Claim, new: Claim, then: Knowledge, now: Knowledge, every: dict[str, Claim]
) -> Change | None:
    before, after = then.standings[old.id], now.standings[new.id]
    fields = [key for key in FIELDS if old.as_dict()[key] != new.as_dict()[key]]
    evidence = tuple(evidence_changes(old, new, then, now))
    if new.superseded_by and not old.superseded_by:
        by = every.get(new.superseded_by)
        cited = {row.ref: row for row in rows_of(by, now)} if by else {}
        because = tuple(f"cites {ref}{_row_text(cited.get(ref))}" for ref in by.evidence) if by else ()
        status = f"by {new.superseded_by}{f': {by.text}' if by else ''}"
        return Change("superseded", new.id, status, because + evidence)
    status = before.status if before.status == after.status else f"{before.status} → {after.status}"
    status = f"{status} ({after.reason})" + "".join(f"\n{_field_change(key, old, new)}" for key in fields)
    if old.superseded_by and not new.superseded_by:
        return Change("restored", new.id, status, evidence)
    kind = strength(before, after) if evidence or fields else None
    if kind is None and fields:
        kind = "reworded"
    if kind is None and evidence and set(old.evidence) != set(new.evidence):
        kind = "evidence"
    return Change(kind, new.id, status, evidence) if kind else None


def _field_change(key: str, old: Claim, new: Claim) -> str:
    before, now = (_shown(claim.as_dict()[key]) for claim in (old, new))
    return f"{key}: {before} → {now}"


def _shown(value: object) -> str:
    """Return a field of a claim on one line: `{target: sw-KE, k: 3 5}`."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_shown(inner)}' for key, inner in value.items())}}}"
    return " ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)


def strength(before: ClaimStanding, now: ClaimStanding) -> str | None:
    """Return `strengthened`, `weakened` or None: by status, then by difference in standard errors from 1% on."""
    a, b = RANK.get(before.status, -1), RANK.get(now.status, -1)
    if a == b and before.mean_pp is not None and now.mean_pp is not None and before.se_pp and now.se_pp:
        x, y = abs(before.mean_pp) / before.se_pp, abs(now.mean_pp) / now.se_pp
        if abs(x - y) <= 0.01 * max(x, y):
            return None
        return "strengthened" if y > x else "weakened"
    if a < 0 or b < 0 or a == b:
        return None
    return "strengthened" if b > a else "weakened"


def rows_of(claim: Claim, knowledge: Knowledge) -> list[ResultRow]:
    """Return the rows that a claim cites."""
    return [row for ref in claim.evidence for row in knowledge.evidence_rows(ref)]


def evidence_changes(old: Claim, new: Claim | None, then: Knowledge, now: Knowledge) -> Iterator[str]:
    """Yield a line for each row that was cited, dropped, changed in status or newly measured."""
    a = {row.ref: row for row in rows_of(old, then)}
    b = {row.ref: row for row in rows_of(new or old, now)}
    if new:
        yield from (f"cites {ref}{_row_text(row)}" for ref, row in b.items() if ref not in a)
        yield from (f"cites no more {ref}{_row_text(row)}" for ref, row in a.items() if ref not in b)
    for ref, row in b.items():
        if ref in a and a[ref].status != row.status:
            entry = ref.partition("#")[0]
            by = [i for i in now.superseders.get(entry, []) if i not in then.superseders.get(entry, [])]
            yield f"{ref} is {row.status}, was {a[ref].status}" + (f", by {', '.join(by)}" if by else "")
    fresh = [row for row in now.rows if row.ref not in then.by_row and row.ref not in b]
    for _, _, pair in differences(new or old, fresh):
        yield from (f"measured since, not cited: {row.ref}{_row_text(row)}" for row in pair)


def _row_text(row: ResultRow | None) -> str:
    if row is None:
        return ""
    recipe = " ".join(str(part) for part in (row.method, row.similarity, row.k and f"k={row.k}") if part)
    text = f" ({row.target} {recipe}: {format_value(row, row.value)}"
    if row.baseline is None or row.difference_pp is None:
        return f"{text})"
    difference = f"{row.difference_pp:+.2f}".replace("-", "−")
    return f"{text} over {format_value(row, row.baseline)}, {difference} {row.points})"


# sections


def section_texts(body: str) -> dict[str, str]:
    """Map the title of every `##` section to its text, code included."""
    lines = body.split("\n")
    result: dict[str, str] = {}
    heads = sections(body)
    for heading, following in zip(heads, [*heads[1:], None], strict=True):
        start = heading.line if heading.title else 0
        text = "\n".join(lines[start : following.line - 1 if following else None]).strip()
        result[heading.title] = f"{result[heading.title]}\n{text}" if heading.title in result else text
    return result


def section_changes(old: str, new: str) -> list[Change]:
    """Return the changes of sections."""
    a, b = section_texts(old), section_texts(new)
    kinds = {
        "Recommended Practice": "recommendation",
        "Configuration": "configuration",
        "Failure Modes": "failure modes",
    }
    result = []
    for title in dict.fromkeys([*b, *a]):
        before, now = a.get(title, ""), b.get(title, "")
        if _words(before) == _words(now):
            continue
        change = "changed" if before and now else "added" if now else "removed"
        lines = settings_changes(before, now) if title == "Configuration" else []
        kind = kinds.get(title, "section")
        result.append(Change(kind, title or "opening", change, tuple(lines or line_changes(before, now))))
    return result


def line_changes(old: str, new: str) -> list[str]:
    """Return `− line` and `+ line`, ignoring differences in white space."""
    a, b = ([_words(line) for line in text.splitlines() if line.strip()] for text in (old, new))
    diff = difflib.ndiff(a, b) if len(a) + len(b) < 400 else difflib.unified_diff(a, b, n=0, lineterm="")
    return [
        f"{'−' if line[0] == '-' else '+'} {line[1:].strip()}"
        for line in diff
        if line[0] in "+-" and line[:3] not in ("---", "+++")
    ]


def settings_changes(old: str, new: str) -> list[str]:
    """Return `k: 3 → 5` for settings of the YAML blocks under Configuration; empty if they are not YAML."""
    try:
        a, b = settings(old), settings(new)
    except KnowledgeError:
        return []
    return [
        f"{key}: {a.get(key, 'not set')} → {b.get(key, 'not set')}"
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def settings(section: str) -> dict[str, str]:
    """Map dotted keys to values, over all ```yaml blocks; raise KnowledgeError if one is not YAML."""
    result: dict[str, str] = {}

    def flatten(value: object, prefix: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        else:
            result[prefix] = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)

    for block in section.split("```yaml\n")[1:]:
        flatten(read_yaml(block.partition("```")[0], "Configuration"), "")
    result.pop("", None)
    return result


# states


def knowledge_at(knowledge: Knowledge, revision: str, needed: str) -> Knowledge:
    """Return the skills and the log as they were at a commit, without what could not be read then.

    `needed`: the skill that has to be there. Raises KnowledgeError if it cannot be read, MuError if it is not there.
    """
    root = knowledge.space.root
    names = git.listed(root, revision, "skills", "experiment_log")
    contents = dict(zip(names, git.texts(root, [(revision, name) for name in names]), strict=True))
    skills: list[Skill] = []
    entries: list[Entry] = []
    for name, text in sorted(contents.items()):
        path = Path(name)
        if text is None:
            continue
        try:
            if path.name == "SKILL.md" and len(path.parts) == 3:
                skills.append(parse_skill(text, root / path, contents.get(str(path.parent / "claims.yaml"))))
            elif path.suffix == ".md" and path.parts[0] == "experiment_log" and "/." not in name:
                entries.append(parse_entry(text, root / path))
        except KnowledgeError as error:
            if path.parent.name == needed and path.name == "SKILL.md":
                raise KnowledgeError(
                    f"at {revision[:9]}: {error.what}", where=error.where, hint=error.hint
                ) from error
    if not any(skill.name == needed for skill in skills):
        raise KnowledgeError(
            f"there was no skill {needed} at {revision[:9]}.", hint=f"See: mu skills history {needed}"
        )
    return Knowledge(knowledge.space, tuple(skills), row_status.derive(entries), "")


def states(
    knowledge: Knowledge, name: str, a: str | None = None, b: str | None = None
) -> tuple[Skill, Skill, Knowledge, Knowledge]:
    """Return what `mu skills diff NAME [A [B]]` compares: old and new skill, each with its knowledge.

    Args:
        knowledge: Knowledge of the workspace.
        name: A skill, or a skill's folder.
        a: Old commit, or another skill or folder; None: the last commit.
        b: New commit; None: the files on disk.
    """
    if a is not None and b is None and (other := _on_disk(knowledge, a)):
        first = _on_disk(knowledge, name) or knowledge.skill(name)
        return first, other, _holding(knowledge, first), _holding(knowledge, other)
    git.need(knowledge.space.root)
    new = next((skill for skill in knowledge.skills if skill.name == name), None)
    if new and a is b is None and not git.listed(knowledge.space.root, "HEAD", f"skills/{name}"):
        nothing = replace(
            new, metadata={}, description="", body="", claims=()
        )  # not committed yet: all of it is added
        return nothing, new, _holding(knowledge, nothing), knowledge
    before = knowledge_at(knowledge, git.commit(knowledge.space.root, a or "HEAD"), name)
    after = knowledge if b is None else knowledge_at(knowledge, git.commit(knowledge.space.root, b), name)
    return before.skill(name), after.skill(name), before, after


def _on_disk(knowledge: Knowledge, name: str) -> Skill | None:
    """Return the skill of this name, or in the folder of this name."""
    for skill in knowledge.skills:
        if skill.name == name:
            return skill
    folder = Path(name)
    return read_skill(folder.resolve()) if folder.is_dir() else None


def _holding(knowledge: Knowledge, skill: Skill) -> Knowledge:
    """Return the same log with this skill in place of the one of its name."""
    return replace(
        knowledge, skills=(skill, *(other for other in knowledge.skills if other.name != skill.name))
    )

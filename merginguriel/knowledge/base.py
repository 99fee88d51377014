"""The knowledge of a workspace: its skills, claims, entries and result rows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path

from merginguriel.errors import KnowledgeError, UnavailableError, UsageError
from merginguriel.workspace import Workspace

from .claims import row_status
from .claims.claim_status import DOUBTFUL, ClaimStanding, standing
from .parse import parse_cache as kept
from .parse import tolerant_skill
from .parse.claims import Claim
from .parse.entries import ID, Entry, entry_paths, parse_entry
from .parse.rows import MEASURES, ResultRow
from .parse.skills import Skill, skill_paths
from .parse.yaml_lines import read_text
from .problems import Problem, of_error

KEY = "_key"  # in the `vars` of knowledge that is in the cache: the key of its texts
MOST_BYTES = 4 << 20  # of a SKILL.md, a claims.yaml or an entry


@dataclass(frozen=True)
class Knowledge:
    """Skills and log entries as parsed.

    `hash` is the beginning of the sha256 over everything that was read; for a past day, over what was known by then.
    `program` maps the program's merging methods to their parameters, where the caller knows them.
    """

    space: Workspace
    skills: tuple[Skill, ...]
    entries: tuple[Entry, ...]
    hash: str
    # The methods that the program has, each with its parameters, where the caller knows them: `known_names.Program`.
    program: Mapping[str, Collection[str]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()  # of the files that cannot be read, or not in full

    @cached_property
    def rows(self) -> tuple[ResultRow, ...]:
        """Return all result rows, in order of their entries."""
        return tuple(row for entry in self.entries for row in entry.rows)

    def of_metric(self, metric: str) -> Knowledge:
        """Return the same knowledge with the rows of one metric, and of measures that are none.

        Claims keep the status that all rows give them.
        """
        other = {row.metric for row in self.rows} - {metric, *MEASURES}
        other |= {"merging_effect"} if metric != "accuracy" else set()  # it is a difference of accuracies
        if not any(row.metric in other for row in self.rows):
            return self
        item = replace(self)
        rows = tuple(row for row in self.rows if row.metric not in other)
        vars(item).update(rows=rows, claims=self.claims, standings=self.standings)
        return item

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Return the claims of all skills."""
        return tuple(claim for skill in self.skills for claim in skill.claims)

    @cached_property
    def by_entry(self) -> dict[str, Entry]:
        """Map entry ids to entries."""
        return {entry.id: entry for entry in self.entries}

    @cached_property
    def by_row(self) -> dict[str, ResultRow]:
        """Map row ids (`<entry id>#r<n>`) to rows."""
        return {row.ref: row for row in self.rows}

    @cached_property
    def superseders(self) -> dict[str, list[str]]:
        """Map the id of each superseded entry to the ids of the entries that supersede it."""
        result: dict[str, list[str]] = {}
        for entry in self.entries:
            for old in entry.supersedes:
                result.setdefault(old, []).append(entry.id)
        return result

    @cached_property
    def marks(self) -> dict[str, list[row_status.Reached]]:
        """Map the id of each contested or invalidated row to the marks that reach it, with their entries."""
        return row_status.marks_of(self.entries)

    @cached_property
    def baselines(self) -> dict[tuple[object, ...], list[ResultRow]]:
        """Map (context, target, kind, n) to the current rows that give this baseline, oldest first."""
        result: dict[tuple[object, ...], list[ResultRow]] = {}
        for row in sorted(self.rows, key=lambda row: (row.day, row.ref)):
            if row.baseline is not None and row.status == "current":
                result.setdefault((row.context, row.target, row.baseline_kind, row.n), []).append(row)
        return result

    @cached_property
    def newest(self) -> dict[str, str]:
        """Map each context to the day of its newest row."""
        result: dict[str, str] = {}
        for row in self.rows:
            result[row.context] = max(row.day, result.get(row.context, ""))
        return result

    @cached_property
    def _by_target(self) -> dict[tuple[str, str | None], list[ResultRow]]:
        """Map (target, method) to rows; method None: all methods."""
        result: dict[tuple[str, str | None], list[ResultRow]] = {}
        for row in self.rows:
            for method in (row.method, None):
                result.setdefault((row.target, method), []).append(row)
        return result

    def near(self, claim: Claim) -> Sequence[ResultRow]:
        """Return a superset of the rows in a claim's scope, cheaply."""
        methods = claim.scope.get("method", ())
        return self.of_targets(claim, methods[0] if len(methods) == 1 else None)

    def of_targets(self, claim: Claim, method: str | None = None) -> Sequence[ResultRow]:
        """Return the rows of a claim's targets, or of one method there; all rows where it names no target."""
        targets = claim.scope.get("target")
        if targets is None:
            return self.rows
        return [row for target in dict.fromkeys(targets) for row in self._by_target.get((target, method), ())]

    @cached_property
    def standings(self) -> dict[str, ClaimStanding]:
        """Map claim ids to derived statuses; computed once for the same texts."""
        key = vars(self).get(KEY)
        if key and (stored := kept.recall(self.space.root, key, "statuses")) is not None:
            return {
                claim: ClaimStanding(status, reason, mean, se, tuple(self.by_row[ref] for ref in refs))
                for claim, (status, reason, mean, se, refs) in stored.items()
            }
        result = {claim.id: self._standing(claim) for claim in self.claims}
        if key:  # rows by their ids: reading them twice would take longer than the answer
            stored = {
                claim: (now.status, now.reason, now.mean_pp, now.se_pp, [row.ref for row in now.rows])
                for claim, now in result.items()
            }
            kept.remember(self.space.root, key, stored, "statuses")
        return result

    def _standing(self, claim: Claim) -> ClaimStanding:
        missing = [ref for ref in claim.evidence if ref not in self.by_row and ref not in self.by_entry]
        if missing and len(missing) == len(claim.evidence) and not claim.superseded_by:
            return ClaimStanding("contested", f"its evidence is not in the log: {missing[0]}")
        cited = [row for ref in claim.evidence for row in self.evidence_rows(ref)]
        named = {ref.partition("#")[0] for ref in claim.evidence}
        corrected = {
            old: new[-1]
            for old in sorted(named)
            if (new := self.superseders.get(old)) and not named.intersection(new)
        }
        now = standing(claim, cited, self.near(claim), corrected)
        notes = [f"{entry.id}: {mark.reason}" for row in now.rows if row.status in DOUBTFUL
                for entry, mark in self.marks.get(row.ref, ())] if now.status == "contested" else []  # fmt: skip
        return replace(now, reason=f"{now.reason} ({notes[0]})") if notes else now

    def evidence_rows(self, ref: str) -> tuple[ResultRow, ...]:
        """Return the rows that an evidence id names: one row, or all rows of an entry."""
        if "#" in ref:
            return (self.by_row[ref],) if ref in self.by_row else ()
        entry = self.by_entry.get(ref)
        return entry.rows if entry else ()

    def entry(self, prefix: str) -> Entry:
        """Return the entry whose id starts with `prefix`; raise UsageError, with the candidates, if it is not unique."""
        entries = [entry for entry in self.entries if entry.id.startswith(prefix)]
        if len(entries) == 1:
            return entries[0]
        exact = [entry for entry in entries if entry.id == prefix]
        if exact:
            return exact[0]
        if entries:
            raise UsageError(
                f"{prefix!r} matches {len(entries)} entries.",
                hint="\n".join(entry.id for entry in entries[:8]),
            )
        words = [w for w in prefix.lower().split("-") if len(w) > 2]
        near = [e.id for e in self.entries if any(w in e.id for w in words if not w.isdigit())][:5]
        raise UsageError(
            f"no entry id starts with {prefix!r}.",
            hint="Did you mean:\n" + "\n".join(near) if near else "List all: mu log list",
        )

    def skill(self, name: str) -> Skill:
        """Return the skill of this name; raise UsageError if it does not exist."""
        for skill in self.skills:
            if skill.name == name:
                return skill
        near = [s.name for s in self.skills if set(name.split("-")) & set(s.name.split("-"))]
        raise UsageError(
            f"unknown skill {name!r}.", hint=f"Known: {', '.join(near or [s.name for s in self.skills])}"
        )


def load(space: Workspace, *, as_of: str | None = None) -> Knowledge:
    """Read a workspace.

    A file that cannot be read is left out and named in `problems`. Unchanged knowledge is taken from the user's cache.

    Raises:
        UnavailableError: The workspace has no skills.
        UsageError: For a day in the future.
    """
    entries = entry_paths(space.log)
    # An entry may be dated ahead of this machine's clock.
    dated = (path.name[:10] for path in entries if ID.match(path.stem))
    newest = max([date.today().isoformat(), *dated])
    if as_of and as_of > newest:
        raise UsageError(
            f"{as_of} is in the future: what will be known then is not known yet.",
            hint=f"A day up to {newest}; leave --as-of out for what is known now.",
        )
    paths = skill_paths(space.skills)
    if not paths:
        raise UnavailableError(
            "the workspace has no skills.",
            where=str(space.skills),
            hint="Restore the shipped ones with: mu init --restore" if not space.shipped else None,
        )
    return _read(space, paths, [path for path in entries if not as_of or path.name[:10] <= as_of], as_of)


def load_readable(space: Workspace) -> Knowledge:
    """Read a workspace, which may have no skills."""
    return _read(space, skill_paths(space.skills), entry_paths(space.log), None)


def _read(space: Workspace, paths: Sequence[Path], logged: Sequence[Path], as_of: str | None) -> Knowledge:
    """Read skills and entries, from the cache where no file has changed."""
    texts: dict[Path, str] = {}
    unread: list[Problem] = []
    claims = [path.with_name("claims.yaml") for path in paths]
    for path in (*paths, *(path for path in claims if path.exists()), *logged):
        try:
            texts[path] = read_text(path, most=MOST_BYTES)
        except KnowledgeError as error:
            unread.append(of_error(error, path))
    if as_of:
        return parsed(space, paths, logged, texts, unread, as_of)
    attached: dict[Path, str] = {}
    for path in sorted(space.log.glob("*/*.csv")):
        with suppress(KnowledgeError):  # reported with the entry that names it
            attached[path] = read_text(path)
    key = kept.digest({**texts, **attached})
    result = kept.recall(space.root, key)
    if result is not None:
        skills, entries, digest, wrong = result
        recalled = Knowledge(space, skills, entries, digest, problems=(*unread, *wrong))
        vars(recalled)[KEY] = key
        return recalled
    knowledge = parsed(space, paths, logged, texts, [], None)
    if all(file in attached for entry in knowledge.entries for file in entry.files):
        found = (knowledge.skills, knowledge.entries, knowledge.hash, knowledge.problems)
        kept.remember(space.root, key, found)
    return replace(knowledge, problems=(*unread, *knowledge.problems))


def parsed(
    space: Workspace,
    paths: Sequence[Path],
    logged: Sequence[Path],
    texts: Mapping[Path, str],
    unread: Sequence[Problem],
    as_of: str | None,
) -> Knowledge:
    """Parse skills, claims and entries from the texts of those files that could be read."""
    digest = hashlib.sha256()
    skills: list[Skill] = []
    problems = [*unread]
    for path in paths:
        if path not in texts:
            continue
        text, claims = texts[path], texts.get(path.with_name("claims.yaml"))
        skill, wrong = tolerant_skill.read(text, path, claims)
        problems += wrong
        if skill is None:
            continue
        if as_of:
            # Of a past day only the claims made by then are known, whatever the files say today.
            skill = _as_of(skill, as_of)
            _feed(digest, skill.name, *(repr(claim.as_dict()) for claim in skill.claims))
        else:
            _feed(digest, f"{path.parent.name}/SKILL.md", text, claims or "")
        skills.append(skill)
    entries: list[Entry] = []
    for path in logged:
        if path not in texts:
            continue
        try:
            entry = parse_entry(texts[path], path)
            _feed(digest, path.name, texts[path], *(read_text(file) for file in entry.files))
            entries.append(entry)
        except KnowledgeError as error:
            problems.append(of_error(error, path))
    return Knowledge(
        space, tuple(skills), row_status.derive(entries), digest.hexdigest()[:16], problems=tuple(problems)
    )


def _feed(digest: hashlib._Hash, *texts: str) -> None:
    for text in texts:
        data = text.encode("utf-8", "surrogateescape")  # the name of a file may be any bytes
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)


def _as_of(skill: Skill, day: str) -> Skill:
    """Return the skill without claims made after `day`; a claim superseded later is restored."""
    since = {claim.id: claim.since for claim in skill.claims}
    retained = tuple(
        replace(c, superseded_by=None) if c.superseded_by and since.get(c.superseded_by, "") > day else c
        for c in skill.claims
        if c.since <= day
    )
    return replace(skill, claims=retained)

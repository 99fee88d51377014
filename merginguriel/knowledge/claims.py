"""What does a skill assert, and do the rows still bear it out? Claims and their derived status."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import Protocol

from .. import locales, stats
from ..errors import KnowledgeError
from ..similarity import COMPUTED
from .rows import BASELINE_KINDS, MODES, ResultRow, distinct
from .yamltext import Mapping as YamlMapping
from .yamltext import Text, line_of, need_text, read_yaml

PREDICATES = ("beats", "fails", "prefers", "requires", "forbids", "no_signal")
UNITS = ("pp", "rel_pct", "accuracy")
SCOPE_KEYS = ("context", "target", "mode", "method", "similarity", "k", "params")
KEYS = (
    "id", "text", "scope", "predicate", "over", "prefer", "condition", "value", "unit", "evidence", "since",
    "superseded_by",
)  # fmt: skip
STATUSES = ("supported", "under noise", "contested", "superseded", "refuted")
COMPARED = ("accuracy", "ndcg@10")  # metrics whose values are compared
DOUBTFUL = ("contested", "invalidated")  # a row's own status, as it was written
STRONG_WORDS = re.compile(r"\b(only|always|never|must)\b", re.IGNORECASE)

_ID = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")

Scope = Mapping[str, tuple[str, ...]]


class Scoped(Protocol):
    """What a scope can speak of: a row or a recipe."""

    @property
    def context(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def similarity(self) -> str | None: ...
    @property
    def k(self) -> int | None: ...
    @property
    def params(self) -> tuple[tuple[str, str], ...]: ...


@dataclass(frozen=True)
class Claim:
    """One assertion. `scope`, `prefer` and `over_scope` map a row's field to the values it may have."""

    id: str
    skill: str
    text: str
    predicate: str
    scope: Scope
    over: str | None
    over_scope: Scope
    prefer: Scope
    condition: Mapping[str, str]
    value: float | None
    unit: str | None
    evidence: tuple[str, ...]
    since: str
    superseded_by: str | None
    where: str

    def as_dict(self) -> dict[str, object]:
        return {
            "id": self.id,
            "skill": self.skill,
            "text": self.text,
            "predicate": self.predicate,
            "scope": {key: list(values) for key, values in self.scope.items()},
            "over": self.over or {key: list(values) for key, values in self.over_scope.items()} or None,
            "prefer": {key: list(values) for key, values in self.prefer.items()} or None,
            "condition": dict(self.condition) or None,
            "value": self.value,
            "unit": self.unit,
            "evidence": list(self.evidence),
            "since": self.since,
            "superseded_by": self.superseded_by,
        }


@dataclass(frozen=True)
class Standing:
    """A claim's derived status and why. `mean_pp` and `se_pp`: pooled difference of its rows, where it has one."""

    status: str
    reason: str
    mean_pp: float | None = None
    se_pp: float | None = None
    rows: tuple[ResultRow, ...] = ()


def parse_claims(text: str, path: Path, skill: str) -> tuple[Claim, ...]:
    """The claims of one claims.yaml. Raises KnowledgeError with file and line."""
    found = read_yaml(text, path)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise KnowledgeError("a claims file is a list: each claim starts with '- id:'.", where=f"{path}:1")
    claims: list[Claim] = []
    for item in found:
        claim = _parse_claim(item, path, skill)
        if any(claim.id == other.id for other in claims):
            raise KnowledgeError(f"the claim {claim.id} stands twice.", where=claim.where)
        claims.append(claim)
    return tuple(claims)


def _parse_claim(item: object, path: Path, skill: str) -> Claim:
    if not isinstance(item, YamlMapping):
        raise KnowledgeError("a claim is a mapping that starts with '- id:'.", where=f"{path}:1")
    where = f"{path}:{item.line}"

    def fail(what: str, mend: str | None = None, key: str | None = None) -> KnowledgeError:
        line = getattr(item.get(key), "line", item.line) if key else item.line
        return KnowledgeError(what, where=f"{path}:{line}", mend=mend)

    def text(key: str) -> str:
        return need_text(item[key], key, where).strip() if key in item else ""

    for key in item:
        if key not in KEYS:
            raise fail(f"unknown key {key!r}.", f"Known: {', '.join(KEYS)}.", key)
    for key in ("id", "text", "predicate", "evidence", "since"):
        if not item.get(key):
            raise fail(f"the claim has no {key}.")
    if not _ID.match(text("id")):
        raise fail(
            f"{text('id')!r} is not a claim's id.", "Lower case letters and digits with single hyphens.", "id"
        )
    predicate = text("predicate")
    if predicate not in PREDICATES:
        raise fail(f"unknown predicate {predicate!r}.", f"Known: {', '.join(PREDICATES)}.", "predicate")
    if not _DATE.match(text("since")):
        raise fail(f"since says {text('since')!r}, not a date.", "YYYY-MM-DD", "since")
    over = item.get("over")
    over_scope = _scope(over, "over", path, item.line) if isinstance(over, YamlMapping) else {}
    kind = text("over") if isinstance(over, Text) else None
    if kind is not None and kind not in BASELINE_KINDS:
        raise fail(
            f"over says {kind!r}.", f"A baseline: {', '.join(BASELINE_KINDS)}; or a scope in braces.", "over"
        )
    prefer = _scope(item.get("prefer"), "prefer", path, item.line)
    if predicate in ("beats", "fails", "forbids") and kind is None:
        raise fail(
            f"a claim that {predicate} needs the baseline it is compared with.", "over: best_single_source"
        )
    if predicate == "prefers" and not (prefer and over_scope):
        raise fail(
            "a claim that prefers needs both sides.", "prefer: {similarity: REAL}\nover: {similarity: URIEL}"
        )
    condition = item.get("condition")
    if predicate in ("requires", "no_signal") and not isinstance(condition, YamlMapping):
        raise fail(
            f"a claim with {predicate} needs a condition.", "condition: {base: pretrained}", "condition"
        )
    evidence = item["evidence"]
    if not isinstance(evidence, list) or not all(isinstance(ref, Text) for ref in evidence):
        raise fail("evidence is a list of entry or row ids.", key="evidence")
    value, unit = text("value"), text("unit") or None
    if bool(value) != bool(unit):
        raise fail(
            "value and unit come together: a number whose unit is not named can be read two ways.",
            key="value",
        )
    if unit is not None and unit not in UNITS:
        raise fail(f"unknown unit {unit!r}.", f"Known: {', '.join(UNITS)}.", "unit")
    try:
        number = float(value.replace("−", "-")) if value else None
    except ValueError as error:
        raise fail(f"value says {value!r}, not a number.", key="value") from error
    if number is not None and not isfinite(number):
        raise fail(f"value says {value!r}, not a finite number.", key="value")
    return Claim(
        id=text("id"), skill=skill, text=" ".join(text("text").split()), predicate=predicate,
        scope=_scope(item.get("scope"), "scope", path, item.line), over=kind, over_scope=over_scope, prefer=prefer,
        condition={k: need_text(v, k, where) for k, v in condition.items()} if isinstance(condition, YamlMapping) else {},
        value=number, unit=unit, evidence=tuple(str(ref).strip() for ref in evidence), since=text("since"),
        superseded_by=text("superseded_by") or None, where=where,
    )  # fmt: skip


def _scope(value: object, name: str, path: Path, line: int) -> dict[str, tuple[str, ...]]:
    if value is None or value == "":
        return {}
    if not isinstance(value, YamlMapping):
        raise KnowledgeError(f"{name} is a mapping like {{target: sw-KE}}.", where=f"{path}:{line}")
    found: dict[str, tuple[str, ...]] = {}
    for key, item in value.items():
        if key not in SCOPE_KEYS:
            raise KnowledgeError(
                f"{name} has the unknown key {key!r}.",
                where=f"{path}:{value.line}",
                mend=f"Known: {', '.join(SCOPE_KEYS)}.",
            )
        where = f"{path}:{line_of(value, key)}"
        items = item if isinstance(item, list) else [item]
        found[key] = tuple(need_text(i, f"{name}.{key}", where) for i in items)
        for text in found[key]:
            if not _may_match(key, text):
                # It would match no row ever, and a veto would be silently without effect.
                raise KnowledgeError(f"{name}.{key} says {text!r}, which no row can have.", where=where)
    return found


def _may_match(key: str, text: str) -> bool:
    if key == "target":
        return text in locales.table()
    if key == "params":
        return "=" in text
    if key == "k":
        return text.isascii() and text.isdigit()
    allowed = {"mode": MODES, "similarity": COMPUTED}.get(key)
    return bool(text) if allowed is None else text in allowed


def in_scope(row: Scoped, *scopes: Scope) -> bool:
    """Does `row`, or a recipe, lie within every one of `scopes`? An open key matches anything."""
    for scope in scopes:
        for key, values in scope.items():
            if key == "params":
                own = {f"{name}={value}" for name, value in row.params}
                if not own.issuperset(values):
                    return False
            elif str(getattr(row, key)) not in values:
                return False
    return True


def standing(
    claim: Claim, cited: Sequence[ResultRow], every: Sequence[ResultRow], corrected: Mapping[str, str]
) -> Standing:
    """Derive a claim's status.

    cited      rows that its evidence names
    every      all rows of the log, for what the claim does not cite
    corrected  cited entries that a later entry supersedes without being cited → that entry's id
    """
    if claim.superseded_by:
        return Standing("superseded", f"replaced by {claim.superseded_by}")
    doubtful = [row for row in cited if row.status in DOUBTFUL and in_scope(row, claim.scope)]
    if doubtful:
        refs = ", ".join(row.ref for row in doubtful[:3])
        return Standing("contested", f"rests on {doubtful[0].status} rows: {refs}", rows=tuple(doubtful))
    if corrected:
        old, new = next(iter(corrected.items()))
        return Standing("contested", f"{old} was corrected by {new}, which the claim does not cite")
    if claim.predicate in ("requires", "no_signal"):
        return Standing("supported", "its evidence is in the log", rows=tuple(cited))
    found = differences(claim, cited)
    if not found:
        return Standing("contested", "no row that it cites compares what it claims")
    pool = pooled(found)
    rows = tuple({row.ref: row for _, _, pair in found for row in pair}.values())
    wanted = 1 if claim.predicate in ("beats", "prefers") else -1
    every_found = differences(claim, every)
    contradicted = bool(every_found) and pooled(every_found).mean * wanted < 0
    said = _said(pool, len(found), "pp" if rows[0].metric == "accuracy" else "points")
    p = stats.two_sided_p(pool.mean / pool.se) if pool.se else None
    if pool.mean * wanted > 0 and contradicted:
        status, said = "contested", f"{said}; rows that it does not cite point the other way"
    elif pool.mean * wanted > 0:
        status = "supported" if p is not None and p < 0.05 else "under noise"
    else:
        status = "refuted" if p is not None and p < 0.05 else "contested"
    return Standing(status, said, pool.mean, pool.se, rows)


@dataclass(frozen=True)
class Pool:
    """Mean of differences, its standard error (None where no row gives n) and the spread between targets, in pp."""

    mean: float
    se: float | None
    spread: float


def _said(pool: Pool, comparisons: int, unit: str) -> str:
    over = f"over {comparisons} comparison{'s' * (comparisons > 1)}"
    if pool.se is None:
        text = f"{pool.mean:+.2f} {unit} {over}, but no n is given: not testable"
    else:
        p = stats.p_text(stats.two_sided_p(pool.mean / pool.se))
        text = f"{pool.mean:+.2f} {unit} ± {pool.se:.2f} {over}, {p}"
    if pool.spread >= 0.005:
        text += f"; targets differ by ± {pool.spread:.2f} {unit}"
    return text.replace("-", "−")


# In points of a hundred and their square; no variance where n is not given.
Difference = tuple[float, float | None, tuple[ResultRow, ...]]


def differences(claim: Claim, rows: Iterable[ResultRow]) -> list[Difference]:
    """(difference, variance, rows) for every comparison of one metric that `rows` allow, each measurement once.

    Accuracies where there are any (difference in pp), else scores such as NDCG (in points out of 100).
    """
    # Asked first, and plainly: of a thousand rows for each of fifty claims, these three leave a few.
    contexts, methods, targets = (claim.scope.get(key) for key in ("context", "method", "target"))
    usable = distinct(
        row
        for row in rows
        if (contexts is None or row.context in contexts)
        and (methods is None or row.method in methods)
        and (targets is None or row.target in targets)
        and row.status == "current"
        and row.metric in COMPARED
        and in_scope(row, claim.scope)
    )
    found = _pairs(claim, usable) if claim.predicate == "prefers" else _gains(claim, usable)
    for metric in COMPARED:
        of_one = [difference for difference in found if difference[2][0].metric == metric]
        if of_one:
            return of_one
    return []


def _gains(claim: Claim, usable: Sequence[ResultRow]) -> list[Difference]:
    """Each row against its own baseline, where that is of the kind which the claim names."""
    return [
        (100 * (row.value - row.baseline), row.variance_pp, (row,))
        for row in usable
        if row.baseline_kind == claim.over and row.baseline is not None
    ]


def _pairs(claim: Claim, usable: Sequence[ResultRow]) -> list[Difference]:
    """Each row of the preferred side against each of the other, alike in all that the claim does not name."""
    named = {*claim.prefer, *claim.over_scope}
    alike = ("context", "target", "mode", "method", "similarity", "k", "metric", "n", "seed")
    shared = [key for key in alike if key not in named]
    sides: dict[tuple[object, ...], tuple[dict[object, ResultRow], dict[object, ResultRow]]] = {}
    for row in usable:
        key = tuple(getattr(row, name) for name in shared)
        for side, scope in enumerate((claim.prefer, claim.over_scope)):
            if in_scope(row, scope):
                sides.setdefault(key, ({}, {}))[side][row.measurement()] = row
    found: list[Difference] = []
    for better, worse in sides.values():
        for a in better.values():
            for b in worse.values():
                variance = None
                if a.n and a.metric == "accuracy":
                    variance = 1e4 * max(stats.unpaired_variance(a.value, b.value, a.n), 1 / a.n**2)
                found.append((100 * (a.value - b.value), variance, (a, b)))
    return found


def pooled(found: Sequence[Difference]) -> Pool:
    """The mean over targets, of those differences whose noise is known; of all where none is.

    Comparisons that share a row (the same baseline) are not independent; counting them as such would make many
    comparisons with one lucky baseline look certain. A target's comparisons therefore count as one. Targets differ
    in truth as well as by noise: the spread between them (DerSimonian & Laird 1986, eq. 8) is part of the standard
    error of their mean, so that one extreme target does not make all of them look sure.
    """
    known = [d for d in found if d[1] is not None]
    by_target: dict[tuple[str, str], list[Difference]] = {}
    for difference in known or found:
        row = difference[2][0]
        by_target.setdefault((row.context, row.target), []).append(difference)
    groups = by_target.values()
    means = [sum(d[0] for d in group) / len(group) for group in groups]
    mean = sum(means) / len(means)
    if not known:
        return Pool(mean, None, 0.0)
    variances = [sum(d[1] or 0.0 for d in group) / len(group) for group in groups]
    between = _between(means, variances)
    return Pool(mean, sqrt(sum(v + between for v in variances)) / len(means), sqrt(between))


def _between(means: Sequence[float], variances: Sequence[float]) -> float:
    """Variance between targets, in pp²: what the means vary beyond their own noise (DerSimonian & Laird 1986)."""
    weights = [1 / v for v in variances]
    total = sum(weights)
    centre = sum(w * m for w, m in zip(weights, means, strict=True)) / total
    q = sum(w * (m - centre) ** 2 for w, m in zip(weights, means, strict=True))
    scale = total - sum(w * w for w in weights) / total
    return max(0.0, (q - (len(means) - 1)) / scale) if scale > 0 else 0.0

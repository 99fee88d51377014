"""Parse claims from claims.yaml, and match result rows against their scopes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Protocol

from merginguriel import locales
from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.problems import Problem, of_error
from merginguriel.similarity import choice

from .rows import BASELINE_KINDS, MODES
from .yaml_lines import Mapping as YamlMapping
from .yaml_lines import Text, line_of, need_text, read_yaml

PREDICATES = ("beats", "fails", "prefers", "requires", "forbids", "no_signal")
UNITS = ("pp", "rel_pct", "accuracy")
SCOPE_KEYS = ("context", "target", "mode", "method", "similarity", "k", "params")
KEYS = (
    "id", "text", "scope", "predicate", "over", "prefer", "condition", "value", "unit", "evidence", "since",
    "superseded_by",
)  # fmt: skip
STRONG_WORDS = re.compile(
    r"\b(only|always|never|must|clearly|significant(?:ly)?|proven|certain(?:ly)?|sole|every|none)\b",
    re.IGNORECASE,
)

_ID = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")

Scope = Mapping[str, tuple[str, ...]]


class Scoped(Protocol):
    """Anything that a scope can match: a row or a recipe."""

    @property
    def context(self) -> str:
        """Return the context."""

    @property
    def target(self) -> str:
        """Return the target locale."""

    @property
    def mode(self) -> str:
        """Return the mode."""

    @property
    def method(self) -> str:
        """Return the merging method."""

    @property
    def similarity(self) -> str | None:
        """Return the similarity, if any."""

    @property
    def k(self) -> int | None:
        """Return the number of sources, if any."""

    @property
    def params(self) -> tuple[tuple[str, str], ...]:
        """Return the parameters as (name, value) pairs."""


@dataclass(frozen=True)
class Claim:
    """One assertion. `scope`, `prefer` and `over_scope` map a row's field to its possible values."""

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
        """Return the claim as JSON-ready data."""
        scope, over, prefer = (
            {key: list(values) for key, values in one.items()}
            for one in (self.scope, self.over_scope, self.prefer)
        )
        own = {name: value for name, value in vars(self).items() if name not in ("over_scope", "where")}
        own |= {"scope": scope, "over": self.over or over or None, "prefer": prefer or None}
        return own | {"condition": dict(self.condition) or None, "evidence": list(self.evidence)}


def parse_claims(text: str, path: Path, skill: str) -> tuple[Claim, ...]:
    """Parse the claims of one claims.yaml; raise KnowledgeError with file and line."""
    result = read_yaml(text, path)
    if result is None:
        return ()
    if not isinstance(result, list):
        raise KnowledgeError("a claims file is a list: each claim starts with '- id:'.", where=f"{path}:1")
    claims: list[Claim] = []
    for item in result:
        claim = _parse_claim(item, path, skill)
        if any(claim.id == other.id for other in claims):
            raise KnowledgeError(f"the claim {claim.id} appears twice.", where=claim.where)
        claims.append(claim)
    return tuple(claims)


def readable_claims(text: str, path: Path, skill: str) -> tuple[tuple[Claim, ...], list[Problem]]:
    """Return the claims of a claims.yaml that can be read, and a problem for each that cannot."""
    claims: dict[str, Claim] = {}
    problems: list[Problem] = []
    for block, line in _blocks(text):
        try:
            item = read_yaml(block, path, first_line=line)
            for one in item if isinstance(item, list) else [] if item is None else [item]:
                claim = _parse_claim(one, path, skill)
                if claims.setdefault(claim.id, claim) is not claim:
                    raise KnowledgeError(f"the claim {claim.id} appears twice.", where=claim.where)
        except KnowledgeError as error:
            problems.append(of_error(error, path))
    return tuple(claims.values()), problems


def _blocks(text: str) -> list[tuple[str, int]]:
    """Split the text of a claims.yaml into its items, each with its first line; the whole text if it is no list."""
    starts = [match.start() for match in re.finditer(r"^- ", text, re.MULTILINE)] or [0]
    ends = [*starts[1:], len(text)]
    return [(text[a:b], text.count("\n", 0, a) + 1) for a, b in zip(starts, ends, strict=True)]


def _parse_claim(item: object, path: Path, skill: str) -> Claim:
    if not isinstance(item, YamlMapping):
        raise KnowledgeError("a claim is a mapping that starts with '- id:'.", where=f"{path}:1")
    where = f"{path}:{item.line}"

    def fail(what: str, hint: str | None = None, key: str | None = None) -> KnowledgeError:
        line = getattr(item.get(key), "line", item.line) if key else item.line
        return KnowledgeError(what, where=f"{path}:{line}", hint=hint)

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
            f"{text('id')!r} is not a valid claim id.",
            "Lower case letters and digits with single hyphens.",
            "id",
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
    result: dict[str, tuple[str, ...]] = {}
    for key, item in value.items():
        if key not in SCOPE_KEYS:
            raise KnowledgeError(
                f"{name} has the unknown key {key!r}.",
                where=f"{path}:{value.line}",
                hint=f"Known: {', '.join(SCOPE_KEYS)}.",
            )
        where = f"{path}:{line_of(value, key)}"
        items = item if isinstance(item, list) else [item]
        result[key] = tuple(need_text(i, f"{name}.{key}", where) for i in items)
        for text in result[key]:
            if not _may_match(key, text):
                # It would match no row ever, and a veto would be silently without effect.
                raise KnowledgeError(
                    f"{name}.{key} says {text!r}, which is not a possible value.", where=where
                )
    return result


def _may_match(key: str, text: str) -> bool:
    if key == "target":
        return text in locales.table()
    if key == "params":
        return "=" in text
    if key == "k":
        return text.isascii() and text.isdigit()
    if key == "similarity":
        return choice.is_known(text)
    return text in MODES if key == "mode" else bool(text)


def in_scope(row: Scoped, *scopes: Scope) -> bool:
    """Return whether a row or recipe is inside all of `scopes`; an open key matches anything."""
    for scope in scopes:
        for key, values in scope.items():
            if key == "params":
                own = {f"{name}={value}" for name, value in row.params}
                if not own.issuperset(values):
                    return False
            elif str(getattr(row, key)) not in values:
                return False
    return True


def both(a: Scope, b: Scope) -> Scope | None:
    """Return the intersection of two scopes; None if it is empty."""
    result = dict(a)
    for key, values in b.items():
        if key not in result:
            result[key] = values
        elif key == "params":
            given_params = dict(value.split("=", 1) for value in result[key])
            if any(given_params.get(name, text) != text for name, text in (v.split("=", 1) for v in values)):
                return None
            result[key] = tuple(dict.fromkeys((*result[key], *values)))
        else:
            result[key] = tuple(value for value in result[key] if value in values)
            if not result[key]:
                return None
    return result

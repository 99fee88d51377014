"""Rule: a skill's Configuration agrees with its text, the claims, and the rows behind it."""

from __future__ import annotations

import re
from collections.abc import Collection

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.contradictions import (
    active_claims,
    effects_without_gain,
    in_any,
    scope_text,
)
from merginguriel.knowledge.claims.sentence_match import NUMBERS
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.log.known_names import known
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.claims import both
from merginguriel.knowledge.parse.rows import MODES, ResultRow
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.parse.yaml_lines import Mapping, line_of, read_yaml
from merginguriel.similarity.registry import names as similarities

from .contradictions import above

SCOPED = ("context", "target", "mode", "method", "similarity", "k")
GOALS = (
    "best_single_source",
    "best_zero_shot",
    "target_alone",
)  # what a merge has to beat to be worth having
_BLOCK = re.compile(r"^## Configuration\s*$.*?^```ya?ml\s*$\n(?P<yaml>.*?)^```", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_AT_MOST = re.compile(
    rf"\bat\s+most\s+(\d+|{'|'.join(NUMBERS)})\s+(?:[\w-]+\s+)?(?:sources?|models?)\b", re.IGNORECASE
)
# Method names that are common words: recognised in backticks, and in the phrases below.
_COMMON = (
    "similarity",
    "average",
    "linear",
    "consensus",
    "localise",
    "single",
    "compat",
    "pretrained",
    "tokenizer",
)
_PHRASES = {"similarity": "similarity-weighted", "average": r"plain\s+averag(?:e|ing)"}
_PLAIN = (
    "code",
    "ensemble",
    "iterate",
    "layer",
    "model",
    "task",
)  # words of several names that name none of them
# A clause that names a value in order to refuse it recommends nothing.
_REFUSED = re.compile(r"\b(?:not|never|no|leave|without|instead|avoid|rather than)\b", re.IGNORECASE)
_WORDS = {
    "similarity": re.compile(
        r"\b(?:"
        + "|".join(map(re.escape, sorted(similarities(models=False, products=False), key=len, reverse=True)))
        + r")\b"
    ),
    "mode": re.compile(r"\b(?:" + "|".join(mode for mode in MODES if mode.isalpha()) + r")\b"),
    "k": re.compile(
        rf"\b(\d+|{'|'.join(NUMBERS)})\s+(?:(?:best|nearest|REAL|URIEL|top)\s+)?(?:sources?|models?)\b|\bthe\s+(\d+)\s+best\b",
        re.IGNORECASE,
    ),
}


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the YAML block under Configuration of every skill."""
    problems: list[Problem] = []
    methods = known(knowledge, knowledge.program)["method"]
    for skill in knowledge.skills:
        block = _BLOCK.search(skill.body)
        if not block:
            continue
        first = skill.body_line + skill.body.count("\n", 0, block.start("yaml"))
        try:
            settings = read_yaml(block["yaml"], skill.path, first_line=first)
        except KnowledgeError as error:
            problems.append(Problem(error.where or str(skill.path), error.what, error.hint or ""))
            continue
        if isinstance(settings, Mapping):
            values = {key: str(value) for key, value in settings.items() if isinstance(value, str)}
            lines = {key: f"{skill.path}:{line_of(settings, key)}" for key in values}
            problems += _against_text(skill, values, lines, methods)
            problems += _against_rows(skill, values, lines, knowledge)
            problems += _against_claims(values, lines, knowledge)
            problems += _against_goals(values, lines, knowledge)
    return problems


def _against_text(
    skill: Skill, settings: dict[str, str], lines: dict[str, str], methods: Collection[str]
) -> list[Problem]:
    """Report settings whose value Recommended Practice does not name although it names others."""
    text = next((s.text for s in markdown.sections(skill.body) if s.title == "Recommended Practice"), "")
    result = []
    text = "\n".join(line for line in re.split(r"\n|(?<=[.,;:])\s+", text) if not _REFUSED.search(line))
    most = _AT_MOST.search(text)
    if (
        most
        and settings.get("k", "").isdigit()
        and int(settings["k"]) <= int(NUMBERS.get(most[1].lower(), most[1]))
    ):
        text = _AT_MOST.sub(" ", text)
    for key, values in _mentioned(text, settings, methods).items():
        if values and settings[key] not in values:
            result.append(
                Problem(
                    lines[key],
                    f"{key} is {settings[key]}, but Recommended Practice says {' and '.join(sorted(values))}.",
                    "Let both say the same. If it is not known which was run, say so and contest the rows.",
                )
            )
    return result


def _mentioned(text: str, settings: dict[str, str], methods: Collection[str]) -> dict[str, set[str]]:
    """Map each configured setting to the values that a text names; parameters as `density 0.2` or `drop=0.9`."""
    result = {}
    for key, words in _WORDS.items():
        mentioned = {next((g for g in m.groups() if g), m[0]) for m in words.finditer(text)}
        result[key] = {NUMBERS.get(name.lower(), name) for name in mentioned}
    result["method"] = methods_mentioned(text, methods) if "method" in settings else set()
    for key in set(settings) - {*SCOPED, "mode"}:
        spelled = re.escape(key).replace("_", "[ _-]")
        numbers = re.findall(rf"\b{spelled}\b(?:\s+(?:of|at|is|rate))*\s*[=:]?\s*(\d+(?:\.\d+)?)", text)
        if _NUMBER.fullmatch(settings[key]):
            result[key] = {settings[key] if float(n) == float(settings[key]) else n for n in numbers}
    return {key: mentioned for key, mentioned in result.items() if key in settings}


def methods_mentioned(text: str, methods: Collection[str]) -> set[str]:
    """Return those of `methods` that a text names, in any case, words joined by `_`, `-`, a blank or nothing.

    The longest name counts: TIES-DARE is neither TIES nor DARE. A word that several names share and that is none of
    them (Fisher) names them all.
    """
    result: set[str] = set()
    for name in sorted(methods, key=lambda name: (-len(name), name)):
        spelled = r"[ _-]?".join(re.escape(word) for word in name.split("_"))
        if name.lower() in _COMMON:
            spelled = "|".join((f"`{spelled}`", *([_PHRASES[name]] if name in _PHRASES else ())))
        text, count = re.subn(rf"(?<![\w+-])(?:{spelled})(?![\w+-])", " ", text, flags=re.IGNORECASE)
        if count:
            result.add(name)
    shared: dict[str, set[str]] = {}
    for name in methods:
        for word in name.split("_") if "_" in name else ():
            shared.setdefault(word, set()).add(name)
    for word, names in shared.items():
        first = len(names) > 1 and len(word) > 3 and any(name.startswith(f"{word}_") for name in names)
        meant = first and word not in (*methods, *_COMMON, *_PLAIN)
        if meant and re.search(rf"(?<![\w+-]){re.escape(word)}(?![\w+-])", text, re.IGNORECASE):
            result |= names
    return result


def _against_rows(
    skill: Skill, settings: dict[str, str], lines: dict[str, str], knowledge: Knowledge
) -> list[Problem]:
    """Report a similarity with which no row behind the skill's claims was run."""
    cited = [
        row
        for claim in skill.claims
        for ref in claim.evidence
        for row in knowledge.evidence_rows(ref)
        if row.similarity and row.status == "current"
    ]
    ran = {str(row.similarity) for row in cited}
    if not cited or settings.get("similarity", "") not in similarities() or settings["similarity"] in ran:
        return []
    return [
        Problem(
            lines["similarity"],
            f"similarity is {settings['similarity']}, but every row behind this skill's claims was run with "
            f"{' or '.join(sorted(ran))}: {cited[0].ref}.",
            "Configure what was measured, or cite rows that were run with this.",
        )
    ]


def _against_claims(settings: dict[str, str], lines: dict[str, str], knowledge: Knowledge) -> list[Problem]:
    """Report a configuration that a claim forbids, or to which a claim prefers another."""
    scope = {key: (settings[key],) for key in SCOPED if settings.get(key)}
    params = tuple(f"{key}={value}" for key, value in settings.items() if key not in SCOPED)
    result = []
    for claim in active_claims(knowledge):
        if claim.predicate == "forbids":
            inside = {**claim.scope}
            required = set(inside.pop("params", ()))
            within = all(
                scope.get(key, ("",))[0] in values for key, values in inside.items() if key != "context"
            )
            # A veto without a method is about a scope, not about a way to merge.
            if within and "method" in inside and required.issubset(params):
                result.append(Problem(lines["method"], f"is forbidden by {claim.id}: {claim.text}",
                                     "Configure something else, or supersede the claim."))  # fmt: skip
        elif claim.predicate == "prefers" and knowledge.standings[claim.id].status == "supported":
            worse = all(settings.get(key) in values for key, values in claim.over_scope.items())
            better = any(settings.get(key) in values for key, values in claim.prefer.items())
            place = {key: v for key, v in claim.scope.items() if key != "context" or key in scope}
            applies = all(key in scope for key in place) and both(scope, place) is not None
            if worse and not better and applies:
                key = next(iter(claim.over_scope))
                result.append(Problem(lines[key], f"configures {scope_text(claim.over_scope)}, but {claim.id} prefers "
                                     f"{scope_text(claim.prefer)}: {claim.text}",
                                     "Configure what is preferred, or supersede the claim."))  # fmt: skip
    return result


def _against_goals(settings: dict[str, str], lines: dict[str, str], knowledge: Knowledge) -> list[Problem]:
    """Report a baseline that cannot be used instead of a merge, such as the mean of its sources."""
    if settings.get("baseline", GOALS[0]) in GOALS:
        return []
    scope = {key: (settings[key],) for key in SCOPED if settings.get(key)}
    result: list[tuple[ResultRow, ResultRow]] = list(effects_without_gain(in_any(knowledge.rows, scope)))
    example = f": {above(*max(result, key=lambda pair: pair[0].value))}" if result else ""
    return [
        Problem(
            lines["baseline"],
            f"judges a merge by {settings['baseline']}, which is no alternative to it{example}.",
            f"A merge has to beat one of: {', '.join(GOALS)}.",
        )
    ]

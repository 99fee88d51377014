"""Recompute the numbers in the text of skills and claims from result rows.

A unit of text is a table row, a list item or a sentence. Its numbers are compared with the rows that it names in
brackets (`[claim-id]`, `[entry-id]`, `[entry-id#r3]`), else with the rows of the skill's evidence that are about the
locales named in it. Where it names both, only rows of these locales count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from merginguriel import locales
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse import markdown
from merginguriel.knowledge.parse.claims import Claim, in_scope
from merginguriel.knowledge.parse.prose_numbers import (
    BRACKETS,
    ENTRY_ID,
    Number,
    Passage,
    numbers,
    passages,
    with_units,
)
from merginguriel.knowledge.parse.rows import MEASURES, ResultRow
from merginguriel.knowledge.parse.skills import Skill

from .claim_status import DOUBTFUL
from .sentence_match import without_quotes

SECTION = "Results Summary"
LOCALE = re.compile(r"(?<![\w-])[a-z]{2,3}-(?:[A-Z][a-z]{3}-)?[A-Z]{2}(?![\w-])")
RELATIVE = re.compile(r"\brelative(?:ly)?\b|\brel_pct\b|\bof the baseline\b", re.IGNORECASE)
DOUBT = re.compile(
    r"\b(?:contested|invalid(?:ated)?|withdrawn|superseded|doubt\w*|not settled)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Mismatch:
    """A number that no row supports, or only contested or invalidated rows."""

    line: int
    what: str
    hint: str


def evidence_of(skill: Skill, knowledge: Knowledge) -> list[ResultRow]:
    """Return the rows that a skill's claims cite, and those of the entries that its text names."""
    refs = [ref for claim in skill.claims for ref in claim.evidence] + ENTRY_ID.findall(skill.body)
    rows = {row.ref: row for ref in refs for row in knowledge.evidence_rows(ref)}
    return list(rows.values())


def check_skill(skill: Skill, knowledge: Knowledge) -> list[Mismatch]:
    """Return every number of a skill's Results Summary that its evidence does not support."""
    section = next((s for s in markdown.sections(skill.body, skill.body_line) if s.title == SECTION), None)
    if section is None:
        return []
    evidence = evidence_of(skill, knowledge)
    problems: list[Mismatch] = []
    for passage in passages(markdown.without_generated(section)):
        rows, bound = _rows_for(passage, evidence, skill, knowledge)
        if rows:
            stated = [knowledge.standings[ref].mean_pp for ref in passage.refs if ref in knowledge.standings]
            means = [mean for mean in stated if mean is not None]
            problems += _check(passage, rows, bound, DOUBT.search(section.text) is not None, means)
    return problems


def check_claim(claim: Claim, knowledge: Knowledge) -> list[str]:
    """Return the numbers of a claim's text that neither its rows nor their pooled difference support, in words.

    Its rows are those that it cites and, where its scope names target and method, all of its scope: the same merge
    against another baseline. A claim that compares nothing (`requires`, `no_signal`) may also name a number that stands
    in the entries that it cites.
    """
    rows = {row.ref: row for ref in claim.evidence for row in knowledge.evidence_rows(ref)}
    if not rows:
        return []
    entries = [knowledge.by_entry[name] for name in dict.fromkeys(ref.partition("#")[0] for ref in rows)]
    if {"target", "method"} <= claim.scope.keys():
        rows |= {row.ref: row for row in knowledge.near(claim) if in_scope(row, claim.scope)}
    compares = claim.predicate not in ("requires", "no_signal")
    texts = "" if compares else "\n".join(f"{e.summary}\n{e.body}" for e in entries)
    written = {(number.value, number.unit) for number in numbers(texts)}
    text, pooled = without_quotes(claim.text), knowledge.standings[claim.id].mean_pp
    relative = bool(RELATIVE.search(text))
    result = []
    for number in numbers(text):
        if number.unit not in ("pp", "rel_pct", "%") or (
            number.unit == "%" and number.signed and not relative
        ):
            continue  # bare percentages of differences are checked by `bare_differences`
        meant = list(rows.values()) if number.unit == "%" else _shown(text, [*rows.values()])
        if (
            _borne_out(number, meant, relative or number.unit == "rel_pct")
            or (number.unit == "pp" and pooled is not None and number.is_near(pooled))
            or (abs(number.value), number.unit) in {(abs(value), unit) for value, unit in written}
        ):
            continue
        result.append(f"says {number.shown}, but {_instead(number, meant)}")
    return result


def _rows_for(
    passage: Passage, evidence: Sequence[ResultRow], skill: Skill, knowledge: Knowledge
) -> tuple[list[ResultRow], bool]:
    """Return (rows to compare with, whether they are named in the passage)."""
    claims = {claim.id: claim for claim in knowledge.claims}
    named: dict[str, ResultRow] = {}
    for ref in passage.refs:
        refs = claims[ref].evidence if ref in claims else (ref,)
        named.update((row.ref, row) for ref in refs for row in knowledge.evidence_rows(ref))
    targets = set(LOCALE.findall(passage.text)).intersection(locales.table())
    targets |= _languages(passage.text, evidence)
    if named:
        rows = list(named.values())
        ours = [row for row in rows if row.target in targets]
        if not ours and not any(targets.intersection(row.sources) for row in rows):
            # What is named knows nothing of this locale, and another's figures must not pass for its own.
            ours = [row for row in evidence if row.target in targets]
        return ours or rows, True
    # What names no locale can speak of any: then it must at least be a number of some row.
    ours = [row for row in evidence if not targets or row.target in targets]
    return [row for row in ours if row.metric != "parameters"], False


def _languages(text: str, evidence: Sequence[ResultRow]) -> set[str]:
    """Return the targets of the evidence whose language the text names: Welsh for cy-GB."""
    targets = {row.target for row in evidence} & locales.table().keys()
    return {tag for tag in targets if re.search(rf"\b{re.escape(locales.get(tag).name)}\b", text)}


def _check(
    passage: Passage, rows: Sequence[ResultRow], bound: bool, states_doubt: bool, means: Sequence[float]
) -> list[Mismatch]:
    """Check the numbers of a passage.

    `means`: pooled differences of the claims that it cites.
    `bound`: every number must be a row's; else only those that look like a result, or fit in another unit.
    """
    written = with_units(passage.text, passage.head) if passage.table else passage.text
    text = without_quotes(BRACKETS.sub(" ", written))
    problems: list[Mismatch] = []
    for number in numbers(text):
        meant = rows if number.unit == "%" and not number.signed else _shown(text, rows)
        sound = [row for row in meant if row.status == "current"]
        relative = number.unit == "rel_pct" or bool(RELATIVE.search(text + passage.head))
        pooled = number.unit == "pp" and any(number.is_near(mean) for mean in means)
        if pooled or _borne_out(number, sound, relative):
            continue
        if _borne_out(number, meant, relative):
            doubtful = [row.ref for row in meant if row.status in DOUBTFUL]
            if doubtful and not states_doubt:
                refs = [
                    r.ref for r in meant if r.ref in doubtful and _borne_out(number, [r], relative)
                ] or doubtful
                problems.append(Mismatch(passage.line, f"says {number.shown}, which only rows bear out that are contested or "
                                   f"invalidated: {', '.join(refs)}.",
                                   "Write a number that current rows support, or state in this section that it is contested."))  # fmt: skip
            continue
        misread = _misread(number, sound or meant)
        if misread:
            problems.append(Mismatch(passage.line, f"says {number.shown}, but {misread}.",
                               "Write percentage points, `pp`, or name the unit `rel_pct`."))  # fmt: skip
        elif bound or _is_result(number, passage, meant):
            problems.append(Mismatch(passage.line, f"says {number.shown}, but {_instead(number, sound or meant)}.",
                               "Correct it, or name in brackets the row that it comes from: [entry-id#r1]."))  # fmt: skip
    return problems


def _shown(text: str, rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Return the rows whose accuracy appears in the text, since a difference beside it is theirs; else all."""
    levels = [number for number in numbers(text) if number.unit == "%" and not number.signed]
    refs = [r for r in rows if r.is_share and any(level.is_near(100 * r.value) for level in levels)]
    return refs or list(rows)


def _is_result(number: Number, passage: Passage, rows: Sequence[ResultRow]) -> bool:
    """Return whether a number looks measured (decimals, a table cell) and is not, say, a share."""
    if number.unit == "pt":
        return number.decimals > 0 and any(MEASURES.get(row.metric) == "score" for row in rows)
    if number.unit not in ("pp", "%", "rel_pct", "item") or not any(r.is_share for r in rows):
        return False
    if number.unit == "item" and number.value >= 100:
        return any(row.n for row in rows)  # a share of the items can be small; what is large is their number
    named = bool(LOCALE.search(passage.text) or _languages(passage.text, rows))
    return passage.table if named and passage.table else number.decimals >= (1 if named else 2)


def _borne_out(number: Number, rows: Sequence[ResultRow], relative: bool) -> bool:
    if number.unit == "%" and number.signed:
        # Bare percentages are checked by `bare_differences`; here they count only where the text says "relative".
        return relative and any(number.is_near(r) for r in _relatives(rows))
    if number.unit == "%":
        return any(number.is_near(v) for v in _levels(rows)) or (
            relative and any(number.is_near(r) for r in _relatives(rows))
        )
    if number.unit == "rel_pct":
        return any(number.is_near(r) for r in _relatives(rows))
    if number.unit == "pp":
        return any(number.is_near(d) for d in _differences(rows)) or any(
            number.is_near(row.value) for row in rows if row.metric == "merging_effect"
        )
    if number.unit == "pt":
        return any(number.is_near(value) for value in _scores(rows))
    if number.unit == "item":
        return any(
            row.n and any(number.is_near(round(d * row.n / 100)) for d in _differences([*rows]))
            for row in rows
        ) or any(number.value == row.n for row in rows)
    counts = {len(rows), len({row.measurement() for row in rows}), len({row.run for row in rows if row.run})}
    return number.value in counts


def _levels(rows: Iterable[ResultRow]) -> Iterator[float]:
    for row in rows:
        if row.is_share:
            yield 100 * row.value
            if row.baseline is not None:
                yield 100 * row.baseline


def _scores(rows: Iterable[ResultRow]) -> Iterator[float]:
    """Yield scores and differences between scores of one metric, in points out of 100."""
    result: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        if MEASURES.get(row.metric) == "score" or row.is_share:
            values = result.setdefault((row.context, row.metric), set())
            values |= {100 * item for item in (row.value, row.baseline) if item is not None}
    for values in result.values():
        yield from sorted(values)
        yield from (a - b for a in sorted(values) for b in sorted(values) if a != b)


def _differences(rows: Sequence[ResultRow]) -> Iterator[float]:
    """Yield differences in pp: rows against a baseline of their target, and against each other."""
    values: dict[tuple[str, str, str], set[float]] = {}
    baselines: dict[tuple[str, str, str], set[float]] = {}
    for row in rows:
        if row.is_share:
            key = (row.context, row.target, row.metric)
            values.setdefault(key, set()).add(100 * row.value)
            if row.baseline is not None:
                baselines.setdefault(key, set()).add(100 * row.baseline)
    for key, ours in values.items():
        others = ours | baselines.get(key, set())
        yield from (
            a - b for a in sorted(ours) for b in sorted(others) if a != b or b in baselines.get(key, ())
        )


def _relatives(rows: Iterable[ResultRow]) -> Iterator[float]:
    for row in rows:
        if row.difference_pp is not None and row.baseline:
            yield row.difference_pp / row.baseline


def _misread(number: Number, rows: Sequence[ResultRow]) -> str:
    """Return both readings where the number is right in another unit than the one written; else ""."""
    for row in rows:
        if row.difference_pp is None or not row.baseline or number.unit not in ("%", "pp", "rel_pct"):
            continue
        points, percent = row.difference_pp, row.difference_pp / row.baseline
        sizes = f"{points:+.2f} pp, {percent:+.2f} rel_pct".replace("-", "−")
        both = f"{row.ref} gives {sizes}: {100 * row.value:.2f}% against {100 * row.baseline:.2f}%"
        other = points if number.unit == "rel_pct" else percent
        if number.shown[0] in "+−-" and (
            number.is_near(other, units=1) or (number.unit == "%" and number.is_near(points))
        ):
            return both
    return ""


def _instead(number: Number, rows: Sequence[ResultRow]) -> str:
    """Return what the rows give, nearest first."""
    if number.unit in ("run", "row", "item"):
        return (
            f"the evidence holds {len(rows)} rows" if number.unit != "item" else "no difference is that large"
        )
    if number.unit == "%" and not number.signed:
        real = sorted(set(_levels(rows)), key=lambda v: abs(v - number.value))[:2]
        return (
            f"its rows give {' and '.join(f'{v:.2f}%' for v in real)}" if real else "no row gives an accuracy"
        )
    real = sorted({row.difference_pp for row in rows if row.difference_pp is not None}, key=lambda v: abs(v - number.value))[:2]  # fmt: skip
    return (
        f"its rows give {' and '.join(f'{v:+.2f} pp' for v in real)}".replace("-", "−")
        if real
        else "no row gives a difference"
    )

"""Rows of an advice: each statement with its label and what it refers to, whatever the client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from merginguriel.decision.advice_types import MeasuredArm
from merginguriel.metrics.registry import Unit, find

from .numbers import count, interval, p_value, pp, signed

if TYPE_CHECKING:
    from merginguriel.decision.advice_types import (
        Advice,
        AppliedClaim,
        Calibration,
        EvidenceRow,
        Pilot,
        PredictedArm,
    )
    from merginguriel.decision.arm_types import AdviceBaseline, ArmSource

# Rows of the short form.
ESSENTIAL = {
    "sources": 1,
    "rests on": 3,
    "against": 1,
    "careful": 1,
    "change": 1,
    "next": 1,
}
REF = 44  # the longest id of a row that is not shortened
WIDTH_SHOWN = 0.05  # change of the width that is named
SHORTFALL = 0.05  # a warning is shown if 90% intervals contained this much less than 90% of the rows
KINDS = {"effect": ", inferred from the sources' mean", "agreement": ", agreement without labels: weak"}
BASELINES = {"best_single_source": "the best single source", "target_alone": "the target's own model"}
CLAIMS = {
    "forbids": "avoid",
    "beats": "claim",
    "fails": "claim",
    "requires": "requires",
    "prefers": "prefers",
}


class RowLink(NamedTuple):
    """What a row refers to: a log entry or row, a skill, a method to ask about, or a command to copy."""

    kind: Literal["log", "skills", "ask", "copy"]
    name: str


@dataclass(frozen=True)
class Row:
    """A labelled statement of the advice.

    Attributes:
        label: Kind of statement; rows of one label follow each other.
        figures: Numbers to print before the text, for a result row.
        ref: The result row, shortened.
        link: What the row refers to.
        hang: Whether a long text is indented after its first line, so that statements can be told apart.
    """

    label: str
    text: str
    figures: str = ""
    ref: str = ""
    link: RowLink | None = None
    hang: bool = False


def sections(a: Advice, every: bool) -> list[list[Row]]:
    """Return the rows below the verdict, in reading order; not `every`: result rows with the largest parts only."""
    return [
        _sources(a),
        _rests(a),
        [Row("unknown", text) for text in a.unknowns],
        _evidence(a, every),
        _claims(a.rules),
        _alternatives(a),
        _next(a),
    ]


def headline(a: Advice) -> str:
    """Return the arm that the verdict is about."""
    label, joint = a.recipe.label, a.recipe.method == "joint"
    text = {
        "no-merge": f"{label} is excluded by {a.recipe.vetoed_by}"
        if a.recipe.vetoed_by
        else f"the best known recipe is {label}",
        "unknown": f"nothing measured in this context; {'known elsewhere is' if joint else 'a pilot would try'} {label}"
        if a.pilot.arms
        else f"the best known recipe is {label}",
        "ensemble": f"{label}; {a.recipe.passes} forward passes for each input",
    }.get(a.verdict, label)
    if joint and a.verdict == "merge":
        text += ": one model trained on all sentences, no merge of weights"
    if a.borderline:
        text += " (borderline)"
    return text + ("" if a.recipe.runnable else " (not in this program)")


def figures(a: Advice) -> list[str]:
    """Return the gain, its interval and the probabilities."""
    least, unit = a.min_gain_pp, _unit(a)
    return [
        f"gain {pp(a.gain.mean_pp, unit=unit)}",
        f"90% {interval(*a.gain.ci90_pp)}",
        f"P(gain > 0) {a.gain.p_positive:.2f}",
        *([f"P(gain > {least:g} {unit}) {a.gain.p_worth:.2f}"] if least else []),
        *([f"(from {_basis(a)})"] if not a.parts.own_pp and a.prior else []),
    ]


def _unit(a: Advice) -> str:
    """Return the unit of a gain: `pp` for a share, `pt` for a correlation or a score."""
    return find(a.metric).unit.points


def _basis(a: Advice) -> str:
    """Return what the prior rests on."""
    p = a.parts
    if p.rests_on == "context":
        return count(p.targets, "other target")
    return {"method": "relatives of the recipe", "contexts": "other contexts"}.get(
        p.rests_on, "a wide prior around 0, without measurements"
    )


def verdict(a: Advice) -> list[Row]:
    """Return the rows that belong to the verdict: baseline, rule, warnings."""
    rows = [Row("to beat", _baseline(a.baseline, a.mde_pp, find(a.metric).unit))]
    if a.verdict != "unknown" or a.budget is not None or not a.pilot.arms:
        rows.append(Row("why", a.why))
    if a.calibration and a.calibration.inside90 < 0.9 - SHORTFALL:
        share = f"{100 * a.calibration.inside90:.0f}%"
        rows.append(
            Row("careful", f"such 90% intervals contained {share} of the rows, so this one is too narrow")
        )
    if abs(a.width - 1) >= WIDTH_SHOWN:
        how = "too sure" if a.width > 1 else "less sure than it needed to be"
        rows.append(
            Row("careful", f"prior × {a.width:.2f} as wide: earlier advice here was {how} (mu advise score)")
        )
    return rows


def _baseline(baseline: AdviceBaseline, mde: float | None, unit: Unit) -> str:
    composed = (baseline.model or "").startswith("D(")
    kind = "the model trained in the queries' language alone" if composed else BASELINES[baseline.kind]
    if baseline.value is None:
        return f"{kind}, {baseline.how}"
    models = [baseline.model, *baseline.tied] if baseline.model else []
    name = f" ({', '.join(models)})" if models else ""
    items = f" on n = {baseline.n:,}" if baseline.n else ""
    detects = f"; a paired test there detects {mde:.1f} {unit.points} or more" if mde and baseline.n else ""
    return f"{kind}{name}, {unit.show(baseline.value)}{items}{detects}"


def _sources(a: Advice) -> list[Row]:
    if a.verdict == "no-merge":
        return []
    recipe = a.recipe
    rows = [
        Row("sources", _source(source), link=RowLink("log", source.ref) if source.ref else None)
        for source in recipe.sources
    ]
    if recipe.sources_missing or not recipe.sources:
        rows.append(Row("sources", recipe.note))
    return rows


def _rests(a: Advice) -> list[Row]:
    """Return what the expected gain is made of: other targets, relatives, own rows."""
    p, unit = a.parts, _unit(a)
    text = f"{signed(p.prior_pp, 2)} from {_basis(a)}"
    if p.lead_pp:
        here = "" if p.lead_here_pp is None else f", {p.lead_here_pp:.1f} {unit} here"
        text += f"; {signed(p.lead_pp, 2)} lead of the best single model over the sources{here}"
    rows = [Row("rests on", text)]
    if p.relatives_pp:
        how = "better" if p.relatives_pp > 0 else "worse"
        rows.append(
            Row("rests on", f"{signed(p.relatives_pp, 2)} other recipes did {how} here than elsewhere")
        )
    own = [row for row in a.rows if row.arm.label == a.recipe.label and p.own_pp]
    if own:
        measured = ", ".join(pp(row.gain_pp, unit=unit) for row in own[:3])
        weak = " of agreement, without labels (weak)" if all(row.kind == "agreement" for row in own) else ""
        text = f"{signed(p.own_pp, 2)} its own measurement here, {measured}{weak}"
        if p.winner_pp:
            text += f"; {signed(p.winner_pp, 2)} as the best of several measured arms"
        rows.append(Row("rests on", text))
    return rows


def _source(source: ArmSource) -> str:
    """Format a source with its weight, if it has one, and the reason for it."""
    weight = f" {source.weight:.2f}" if source.weight is not None else ""
    reason = source.reason.replace(source.ref, short_ref(source.ref)) if source.ref else source.reason
    return f"{source.locale}{weight}  {reason}"


def _evidence(a: Advice, every: bool) -> list[Row]:
    """Return rows in favour, rows against, the other targets, and rows that are not counted."""
    gains = sorted((row for row in a.rows if row.gain_pp > 0), key=lambda r: -r.gain_pp)
    losses = sorted((row for row in a.rows if row.gain_pp <= 0), key=lambda r: r.gain_pp)
    unit = _unit(a)
    rows = [*_measured("for", gains, every, unit), *_measured("against", losses, every, unit)]
    if prior := a.prior:
        spread = "unknown" if prior.se_pp is None else f"{prior.se_pp:.1f} {unit}"
        part = f"; part {signed(prior.contribution_pp, 2)}" if every else ""
        rows.append(
            Row("prior", f"{prior.label}: mean {pp(prior.gain_pp, unit=unit)}, spread {spread}{part}")
        )
    for row in a.uncounted:
        text = f"{row.arm.short}: {row.kind}, not counted"
        rows.append(
            Row("left out", text, pp(row.gain_pp, 2, unit), short_ref(row.ref), RowLink("log", row.ref))
        )
    return rows


def _measured(label: str, items: Sequence[EvidenceRow], every: bool, unit: str) -> list[Row]:
    """Return result rows by size of the gain; not `every`: those with the largest parts."""
    most = (
        items
        if every
        else sorted(items, key=lambda i: -abs(i.contribution_pp or 0.0))[: ESSENTIAL.get(label, 0)]
    )
    rows = []
    for item in items:
        if item not in most:
            continue
        if not every:
            noise = "within noise, " if item.within_noise else ""
            text = f"{pp(item.gain_pp, 2, unit)}  {item.arm.short}: {noise}{p_value(item.p_value)}"
            rows.append(Row(label, text, link=RowLink("log", item.ref)))
            continue
        noise = "within noise at " if item.within_noise else ""
        pair = ", paired" if item.paired else ""
        kind = KINDS.get(item.kind, "")
        text = f"{item.arm.short}: {noise}n = {item.n:,}, {p_value(item.p_value)}{pair}{kind}"
        figures = f"{pp(item.gain_pp, 2, unit):>9s}  part {signed(item.contribution_pp or 0.0, 2)}"
        rows.append(Row(label, text, figures, short_ref(item.ref), RowLink("log", item.ref)))
    return rows


def short_ref(ref: str) -> str:
    """Shorten a row's id at a word: `2026-01-20-constructive-targets#r2`, enough for `mu log show`."""
    entry, mark, row = ref.partition("#")
    entry = entry[:-9]
    while len(entry) + len(mark + row) > REF:
        entry = entry.rpartition("-")[0]
    return entry + mark + row


def _claims(claims: Sequence[AppliedClaim]) -> list[Row]:
    ordered = sorted(claims, key=lambda c: list(CLAIMS).index(c.predicate))
    return [
        Row(
            CLAIMS[c.predicate],
            f"{c.text} [{c.standing}; {c.skill}]",
            link=RowLink("skills", c.skill),
            hang=True,
        )
        for c in ordered
    ]


def _alternatives(a: Advice) -> list[Row]:
    """Format the other arms; those that differ by their parameters alone, with these."""
    names = Counter(item.arm.short for item in a.alternatives)
    return [
        _alternative(
            item, item.arm.label if names[item.arm.short] > 1 else item.arm.short, find(a.metric).unit
        )
        for item in a.alternatives
    ]


def _alternative(item: PredictedArm | MeasuredArm, name: str, unit: Unit) -> Row:
    """Format another arm with its prediction, or a measured arm of the other mode."""
    if isinstance(item, MeasuredArm):
        link = RowLink("log", item.ref)
        if item.gain_pp is None or item.se_pp is None or item.baseline is None:
            text = f"with {item.needs}: train the target's own model, {unit.show(item.value)}"
        else:
            kind = (item.baseline_kind or "").replace("_", " ")
            text = (
                f"with {item.needs}: {item.mode} {name}, {unit.show(item.value)} against "
                f"{unit.show(item.baseline)} ({kind}), {pp(item.gain_pp, 2, unit.points)} ± {item.se_pp:.2f}"
            )
    else:
        link = RowLink("ask", item.arm.method)
        remarks = [
            *([] if item.measured_here else ["not measured here"]),
            *([] if item.runnable else ["not in this program"]),
            *([f"used {item.saw} of the target"] if item.saw in ("unlabelled text", "labels") else []),
        ]
        text = f"{name}: {pp(item.mean_pp, unit=unit.points)}, P(gain > 0) {item.p_positive:.2f}"
        text += f" ({', '.join(remarks)})" if remarks else ""
    return Row("or", text, link=link, hang=True)


def _pilot(pilot: Pilot, unit: str) -> str:
    """Format what a trial would merge, its value and its work."""
    work = vars(pilot.cost)
    takes = ", ".join(count(n, name.removesuffix("s")) for name, n in work.items() if n)
    return (
        f"{' and '.join(arm.short for arm in pilot.arms)}: worth {pilot.value_pp:.2f} {unit} in expectation, "
        f"cost set at {pilot.cost_pp:.2f} {unit} ({takes}); detects {pilot.sees_pp:.1f} {unit} ({pilot.sees_how})"
    )


def _checked(checked: Calibration, unit: str) -> str:
    """Format how many rows the intervals of such advice contained."""
    return (
        f"{checked.how} ({count(checked.predictions, 'row')}, {count(checked.targets, 'target')}): "
        f"{100 * checked.inside80:.0f}% in the 80% interval, {100 * checked.inside90:.0f}% in the 90% interval, "
        f"mean error {checked.mean_error_pp:.1f} {unit}"
    )


def _next(a: Advice) -> list[Row]:
    tries = a.verdict in ("pilot", "unknown") and a.pilot.arms
    rows = [Row("pilot", _pilot(a.pilot, _unit(a)))] if tries else []
    rows += [Row("change", text, hang=True) for text in a.would_change]
    if a.calibration:
        rows.append(Row("checked", _checked(a.calibration, _unit(a))))
    for step in a.next:
        remark = f"({step.remark})" if step.command and step.remark else step.remark
        rows.append(Row("next", remark, link=RowLink("copy", step.command) if step.command else None))
    return [*rows, Row("from", f"knowledge {a.knowledge_hash}")]

"""Report sections on goals and on every method of each target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

from merginguriel.evaluation.baselines import GOALS
from merginguriel.text.differences import (
    ABOVE,
    BELOW,
    Difference,
    cell_text,
    kind_words,
    p_number,
    percent,
    verdict_words,
)
from merginguriel.text.numbers import listed

from . import figures
from .comparisons import TargetResult, goals_of
from .pages import ReportFigure, ReportSection, ReportTable, difference_record, rounded
from .scored_arms import MERGE, kinds_in
from .sentences import goal_cell, goal_standing, to_goal

UNFOLDED = 8  # targets that are shown without a click
Place = tuple[str, str]  # context, target


def goals(found: Sequence[TargetResult], names: Mapping[Place, str]) -> list[ReportSection]:
    """Return the table of targets, baselines and goals, and a picture of the gains for each goal."""
    if not found:
        return []
    kinds = kinds_in([arm for cell in found for arm in cell.arms])
    rows, records = [], []
    for place, name in names.items():
        here = [c for c in found if (c.context, c.target) == place]
        merges = [c for c in here if c.kind == MERGE and c.goal]
        by_goal = {mode: [c for c in merges if c.mode == mode] for mode in GOALS}
        spans = [_span([c.baselines[kind] for c in here if kind in c.baselines]) for kind in kinds]
        items = [str(n) for n in sorted({arm.row.n for c in here for arm in c.arms if arm.row.n})]
        rows.append([name, " ".join(items) or "–", *spans, *(goal_cell(by_goal[mode]) for mode in GOALS)])
        record: dict[str, object] = {"context": place[0], "target": place[1]}
        for kind in kinds:
            values = [c.baselines[kind] for c in here if kind in c.baselines]
            record |= {
                f"{kind}_low": rounded(min(values, default=None)),
                f"{kind}_high": rounded(max(values, default=None)),
            }
        for mode, (goal, _) in GOALS.items():
            cells_ = by_goal[mode]
            verdicts = [d.verdict for d in to_goal(cells_)]
            record[f"goal_{goal}"] = goal_standing(cells_) if cells_ else "not tried"
            record |= {f"goal_{goal}_merges": len(cells_), f"goal_{goal}_above": verdicts.count(ABOVE),
                       f"goal_{goal}_below": verdicts.count(BELOW)}  # fmt: skip
        records.append(record)
    counted, metric = goals_of(found), found[0].metric
    points = metric.unit.points
    headings = [
        f"goal {goal}: {mode}" + (f" − {kind_words(counted[mode][1])}, {points}" if mode in counted else "")
        for mode, (goal, _) in GOALS.items()
    ]
    columns = ("target", "n", *(f"{kind_words(k)}{metric.mark}" for k in kinds), *headings)
    pictures = []
    for mode, (goal, kind) in counted.items():
        having = [c for c in found if c.goal == kind and c.mode == mode]
        if len(having) > 1:
            draw = partial(figures.gains, having, kind, names, f"the {kind_words(kind)}")
            about = f"Goal {goal}: {metric.name} of every {mode} method minus that of the {kind_words(kind)}, {points}, per target"
            pictures.append(ReportFigure(f"gains-goal-{goal}", about, draw))
    text = ["A baseline with two values differs by the sources. The highest merge was chosen on the test items that it is "
            "shown on, which favours it; a verdict outside noise is after Holm's correction over all merges and targets."]  # fmt: skip
    return [
        ReportSection(
            "Goals",
            text,
            [ReportTable("goals", "Every target, its baselines and goals", columns, rows, records)],
            pictures,
        )
    ]


def targets(found: Sequence[TargetResult], names: Mapping[Place, str]) -> list[ReportSection]:
    """Return a section per target: every method against every baseline, in a table and as bars."""
    if not found:
        return []
    sections = [ReportSection("Target by target")]
    taken: set[str] = set()
    for place, name in names.items():
        here = [c for c in found if (c.context, c.target) == place]
        kinds = kinds_in([arm for c in here for arm in c.arms])
        rows = []
        for c in here:
            main = c.against.get(c.goal or "")
            rows.append([c.label, c.mode, percent(c.value), str(len(c.arms)), *(
                cell_text(c.against[k]) if k in c.against else "–" for k in kinds),
                p_number(main.p if main else None), p_number(main.p_holm if main else None),
                verdict_words(main) if main else "–"])  # fmt: skip
        metric = found[0].metric
        columns = ("method", "mode", f"{metric.name}{metric.mark}", "seeds",
                   *(f"− {kind_words(k)}, {metric.unit.points}" for k in kinds), "p to its goal",
                   "p, Holm", "verdict")  # fmt: skip
        slug = _slug(name, taken)
        table_ = ReportTable(
            f"target-{slug}",
            f"{name}: every method against every baseline, with 95% intervals",
            columns,
            rows,
        )
        panels = [
            (f"{name}, {mode}", group, kind)
            for mode in sorted({c.mode for c in here})
            for kind, group in [_panel([c for c in here if c.mode == mode])]
            if kind
        ]
        about = f"{name}: every method against its baseline, {metric.unit.points}, with 95% intervals"
        pictures = (
            [ReportFigure(f"target-{slug}", about, partial(figures.target_bars, panels, kind_words))]
            if panels
            else []
        )
        sections.append(
            ReportSection(name, baseline_text(here, kinds), [table_], pictures, 3, len(names) > UNFOLDED)
        )
    return sections


def baseline_text(here: Sequence[TargetResult], kinds: Sequence[str]) -> list[str]:
    """List the baselines of a target: `best single source 78.0% (nb-NO, highest of 5 on dev)`."""
    parts = []
    for kind in kinds:
        notes = {
            (round(row.baseline or 0.0, 6), row.note)
            for c in here
            for arm in c.arms
            if (row := arm.against.get(kind)) is not None
        }
        by_value: dict[float, list[str]] = {}
        for value, note in sorted(notes):
            by_value.setdefault(value, []).append(note)
        unit = here[0].metric.unit
        values = [unit.show(v, 1) + _noted(each) for v, each in by_value.items()]
        parts.append(f"{kind_words(kind)} {listed(values, 4)}")
    return [f"Baselines: {'; '.join(parts)}."] if parts else []


def _noted(notes: Sequence[str]) -> str:
    """` (nb-NO, highest of 5 on dev)`; of several notes on one value what they begin with, the model's name."""
    known = sorted({note if len(notes) == 1 else note.partition(",")[0] for note in notes} - {""})
    return f" ({listed(known)})" if known else ""


def _panel(group: Sequence[TargetResult]) -> tuple[str, list[TargetResult]]:
    """Return the kind of baseline at zero in the bars of these cells, and the cells that have it."""
    kinds = [c.goal for c in group if c.goal] or kinds_in([arm for c in group for arm in c.arms])
    kind = kinds[0] if kinds else ""
    return str(kind), [c for c in group if kind in c.against]


def comparisons(found: Sequence[TargetResult], names: Mapping[Place, str]) -> ReportTable:
    """Return the records of every method on every target against every baseline; one record without a baseline."""
    records: list[dict[str, object]] = []
    for c in found:
        row = c.arms[0].row
        start: dict[str, object] = {
            "context": c.context, "target": c.target, "mode": c.mode, "kind": c.kind, "label": c.label, "method": row.method,
            "params": " ".join(f"{k}={v}" for k, v in row.params), "similarity": row.similarity, "k": row.k,
            "sources": " ".join(row.sources), "seeds": len(c.arms), "n": row.n, c.metric.name: rounded(c.value),
        }  # fmt: skip
        for kind, d in c.against.items() or [(None, Difference(0.0))]:
            more = {} if kind is None else {"baseline": rounded(c.baselines[kind]), **difference_record(d)}
            records.append({**start, "baseline_kind": kind, **more})
    return ReportTable("comparisons", "", (), (), records)


def _span(values: Sequence[float]) -> str:
    low, high = (percent(f(values)) if values else "–" for f in (min, max))
    return low if low == high else f"{low} … {high}"


def _slug(name: str, taken: set[str]) -> str:
    """Return the name of a target's files, different from all in `taken`, and add it there."""
    start = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "target"
    slug, number_ = start, 1
    while slug.lower() in taken:
        number_ += 1
        slug = f"{start}-{number_}"
    taken.add(slug.lower())
    return slug

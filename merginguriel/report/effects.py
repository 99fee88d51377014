"""What do settings, ensembles and merging effects show over all targets?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.text.differences import (
    cell_text,
    count,
    difference_words,
    interval,
    kind_words,
    number,
    p_number,
    percent,
    setting_name,
    verdict_words,
)

from . import contrasts, figures, ranking
from .comparisons import ABOVE, BELOW, Cell, Difference, goals_of
from .loading import MERGE
from .pages import Picture, Section, Table
from .records import contrast_record, difference_record, rounded

# What a merging effect can be plotted against: name → (words, value of a cell or None).
FEATURES: dict[str, tuple[str, Callable[[Cell], float | None]]] = {
    "source_mean": ("mean accuracy of the sources, %", lambda c: _percent(c, "source_mean")),
    "best_lead": (
        "best single source − mean of the sources, pp",
        lambda c: _minus(_percent(c, "best_single_source"), _percent(c, "source_mean")),
    ),
    "target_alone": ("accuracy of the target's own model, %", lambda c: _percent(c, "target_alone")),
    "zs_self_ratio": (
        "best single source over the target's own model",
        lambda c: _ratio(c.baselines.get("best_single_source"), c.baselines.get("target_alone")),
    ),
}


def methods_over_targets(found: Sequence[Cell]) -> dict[str, list[contrasts.Setting]]:
    """mode → every method against its goal's baseline, as one difference per target, Holm over the methods."""
    told: dict[str, list[contrasts.Setting]] = {}
    for mode, (_, kind) in goals_of(found).items():
        by_label: dict[str, dict[str, float]] = {}
        for c in found:
            if c.mode == mode and c.goal == kind:
                by_label.setdefault(c.label, {})[f"{c.context} {c.target}"] = c.against[kind].value
        every = [
            contrasts.Setting(
                mode, label, kind_words(kind), values, len(values), contrasts.t_over_targets(values)
            )
            for label, values in by_label.items()
        ]
        every.sort(key=lambda s: (-s.difference.value, s.a))
        if max((len(s.by_target) for s in every), default=0) >= contrasts.FEWEST:
            told[mode] = contrasts.with_holm(every)
    return told


def methods_section(
    told: Mapping[str, Sequence[contrasts.Setting]], counted: Mapping[str, tuple[int, str]]
) -> list[Section]:
    sections = []
    for mode, every in told.items():
        goal, kind = counted[mode]
        text = [
            methods_sentence(mode, kind, every),
            "The unit is the target: the interval tells what to expect of another one.",
        ]
        rows = [
            [s.a, str(len(s.by_target)), interval(s.difference), number(s.difference.mde, sign=False),
             p_number(s.difference.p), p_number(s.difference.p_holm), verdict_words(s.difference)]
            for s in every
        ]  # fmt: skip
        against = f"− {kind_words(kind)}, pp, 95%"
        columns = ("method", "targets", against, "sees, pp", "p", "p, Holm", "verdict")
        tables = [
            Table(
                f"methods-goal-{goal}",
                "Every method over its targets",
                columns,
                rows,
                [contrast_record(s) for s in every],
            )
        ]
        draw = partial(
            figures.forest,
            [(s.a, s) for s in every],
            f"difference to the {kind_words(kind)}, pp, with 95% intervals",
        )
        about = f"{mode}: every method minus the {kind_words(kind)}, pp, mean over targets"
        sections.append(
            Section(
                f"Methods over targets, {mode}", text, tables, [Picture(f"methods-goal-{goal}", about, draw)]
            )
        )
    return sections


def methods_sentence(mode: str, kind: str, every: Sequence[contrasts.Setting]) -> str:
    verdicts = [s.difference.verdict for s in every]
    most = max(len(s.by_target) for s in every)
    best = next(s for s in every if len(s.by_target) == most)
    return (
        f"Over targets, of {count(len(every), 'method')} {verdicts.count(ABOVE)} {_is(verdicts.count(ABOVE))} above the "
        f"{kind_words(kind)}, outside noise, and {verdicts.count(BELOW)} below ({mode}). Highest mean of those on "
        f"{count(most, 'target')}: {best.a}, {difference_words(best.difference, contrasts.family(every))}."
    )


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def settings_section(compared: Mapping[str, Sequence[contrasts.Setting]]) -> list[Section]:
    every = [s for found in compared.values() for s in found]
    if not every:
        return []
    text = ["Merges that differ in nothing but the setting (and in what follows from it, such as the sources), as "
            "differences per target. The targets are the unit: the interval tells what to expect of another target."]  # fmt: skip
    rows = [
        [s.key, s.a, s.b, str(len(s.by_target)), str(s.pairs), interval(s.difference), number(s.difference.mde, sign=False),
         p_number(s.difference.p), p_number(s.difference.p_holm), verdict_words(s.difference)]
        for s in every
    ]  # fmt: skip
    columns = (
        "setting",
        "A",
        "B",
        "targets",
        "pairs",
        "A − B, pp, 95%",
        "sees, pp",
        "p",
        "p, Holm",
        "verdict",
    )
    tables = [Table("settings", "Settings compared", columns, rows, [contrast_record(s) for s in every])]
    draw = partial(
        figures.forest,
        [(setting_name(s), s) for s in every],
        "difference, pp, with 95% intervals over targets",
    )
    return [
        Section(
            "Settings",
            text,
            tables,
            [Picture("settings", "Differences between settings, pp, over targets", draw)],
        )
    ]


def ensembles_section(
    over: Sequence[contrasts.Setting],
    each: Sequence[tuple[Cell, Cell, Difference]],
    names: Mapping[tuple[str, str], str],
) -> list[Section]:
    if not over:
        return []
    rows = [
        [s.a, s.b, str(len(s.by_target)), interval(s.difference), number(s.difference.mde, sign=False),
         p_number(s.difference.p), p_number(s.difference.p_holm), verdict_words(s.difference)]
        for s in over
    ]  # fmt: skip
    columns = (
        "merge",
        "ensemble",
        "targets",
        "merge − ensemble, pp, 95%",
        "sees, pp",
        "p",
        "p, Holm",
        "verdict",
    )
    wide = [s for s in over if len(s.by_target) >= contrasts.FEWEST]
    if wide:
        rows = [row for s, row in zip(over, rows, strict=True) if s in wide]
    records = [
        {"context": m.context, "target": m.target, "merge": m.label, "ensemble": v.label, "merge_accuracy": rounded(m.value),
         "ensemble_accuracy": rounded(v.value), **difference_record(d)}
        for m, v, d in each
    ]  # fmt: skip
    above = sum(d.verdict == ABOVE for _, _, d in each)
    below = sum(d.verdict == BELOW for _, _, d in each)
    text = [f"The same sources, merged into one model or asked together. Of {count(len(each), 'comparison')} on single "
            f"targets, the merge is above the ensemble, outside noise, in {above} and below in {below}."]  # fmt: skip
    if wide and len(wide) < len(over):
        text.append(
            f"Shown are pairs on {contrasts.FEWEST} targets or more; {len(over) - len(wide)} of {len(over)} that met on "
            "fewer are in tables/ensembles.csv."
        )
    single = [
        [names[m.context, m.target], m.label, v.label, percent(m.value), percent(v.value), cell_text(d), verdict_words(d)]
        for m, v, d in each
        if d.verdict in (ABOVE, BELOW)
    ]  # fmt: skip
    tables = [
        Table("ensembles", "Over targets", columns, rows, [contrast_record(s) for s in over]),
        Table("ensembles-by-target", "On single targets, outside noise", ("target", "merge", "ensemble", "merge, %",
              "ensemble, %", "difference, pp", "verdict"), single[:60], records),
    ]  # fmt: skip
    draw = partial(
        figures.forest, [(f"{s.a} − {s.b}", s) for s in wide], "merge − ensemble, pp, with 95% intervals"
    )
    about = "Merge minus ensemble of the same sources, pp, over targets" + (
        f"; the first {figures.MOST} of {len(wide)} pairs" if len(wide) > figures.MOST else ""
    )
    pictures = [Picture("ensembles", about, draw)] if wide else []
    return [Section("Merge against ensemble", text, tables, pictures)]


def effect_points(
    found: Sequence[Cell], feature: str, names: Mapping[tuple[str, str], str]
) -> list[figures.Point]:
    merges = [c for c in found if c.kind == MERGE and "source_mean" in c.against]
    value = FEATURES[feature][1] if feature in FEATURES else partial(_setting_number, feature)
    points = [
        figures.Point(names[c.context, c.target], x, c.against["source_mean"])
        for c in merges
        if (x := value(c)) is not None
    ]
    if merges and not points and feature != "source_mean":
        vary = contrasts.keys_that_vary(found)
        raise UsageError(
            f"no merge has a number {feature!r}.", mend=f"Features are: {', '.join([*FEATURES, *vary])}"
        )
    return points


def effects_section(points: Sequence[figures.Point], feature: str) -> list[Section]:
    if not points:
        return []
    words = FEATURES[feature][0] if feature in FEATURES else feature
    text = [effect_sentence(points)]
    each = by_target(points)
    if len(each) >= 5:
        mean_x = [float(np.mean([p.x for p in found_here])) for found_here in each.values()]
        mean_y = [float(np.mean([p.effect.value for p in found_here])) for found_here in each.values()]
        rho, p = ranking.spearman(mean_x, mean_y)
        text.append(
            f"Rank correlation of a target's mean effect with the {words.rpartition(',')[0] or words}: "
            f"{number(rho, 2)} over {count(len(each), 'target')}, p {p_number(p)}: "
            + ("outside noise." if p < 0.05 else "within noise.")
        )
    records = [
        {"target": p.target, "feature": feature, "x": rounded(p.x), **difference_record(p.effect)}
        for p in points
    ]
    picture = Picture(
        "effects",
        f"Merging effect of {len(points)} merges against: {words}",
        partial(figures.effects, points, words),
    )
    return [Section("Merging effect", text, [Table("effects", "", (), (), records)], [picture])]


def effect_sentence(points: Sequence[figures.Point]) -> str:
    verdicts = [p.effect.verdict for p in points]
    means = {t: float(np.mean([p.effect.value for p in each])) for t, each in by_target(points).items()}
    over = contrasts.t_over_targets(means)
    text = (
        f"Merging effect (merge − mean of its sources): synergy outside noise in {verdicts.count(ABOVE)} of "
        f"{count(len(points), 'merge')}, interference outside noise in {verdicts.count(BELOW)}."
    )
    if over.p is not None:
        text += f" Mean over {count(len(means), 'target')}: {difference_words(over)}."
    return text


def _percent(c: Cell, kind: str) -> float | None:
    return 100 * c.baselines[kind] if kind in c.baselines else None


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _setting_number(key: str, c: Cell) -> float | None:
    try:
        return float(dict(c.key)[key])
    except (KeyError, ValueError):
        return None


def by_target(points: Sequence[figures.Point]) -> dict[str, list[figures.Point]]:
    found: dict[str, list[figures.Point]] = {}
    for point in points:
        found.setdefault(point.target, []).append(point)
    return found

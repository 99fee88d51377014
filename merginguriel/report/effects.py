"""Report sections on methods, settings, ensembles and merging effects over all targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from merginguriel.errors import UsageError
from merginguriel.metrics.registry import Metric
from merginguriel.text.differences import (
    ABOVE,
    BELOW,
    Difference,
    cell_text,
    interval,
    kind_words,
    number,
    p_number,
    percent,
    verdict_words,
)
from merginguriel.text.numbers import count

from . import contrasts, figures, method_ranks
from .comparisons import TargetResult, goals_of
from .contrasts import Contrast
from .pages import ReportFigure, ReportSection, ReportTable, difference_record, rounded
from .scored_arms import ENSEMBLE, MERGE
from .sentences import correlation_sentence, effect_sentence, holm_words, methods_sentence, tally

# What a merging effect can be plotted against: name → (words of a metric, value of a cell or None).
FEATURES: dict[str, tuple[str, Callable[[TargetResult], float | None]]] = {
    "source_mean": ("mean {name} of the sources{mark}", lambda c: _percent(c, "source_mean")),
    "best_lead": (
        "best single source − mean of the sources, {points}",
        lambda c: _minus(_percent(c, "best_single_source"), _percent(c, "source_mean")),
    ),
    "target_alone": ("{name} of the target's own model{mark}", lambda c: _percent(c, "target_alone")),
    "zs_self_ratio": (
        "best single source over the target's own model",
        lambda c: _ratio(c.baselines.get("best_single_source"), c.baselines.get("target_alone")),
    ),
}
TESTS = ("p", "p, Holm", "verdict")


def contrast_table(
    name: str,
    title: str,
    columns: Sequence[str],
    shown: Sequence[Contrast],
    start: Callable[[Contrast], list[str]],
    every: Sequence[Contrast] | None = None,
) -> ReportTable:
    """Lay out contrasts: `columns` begin with those of `start` and end with the difference; the tests follow.

    The page has the rows `shown`, the CSV file `every` contrast.
    """
    rows = [
        [*start(c), interval(c.difference), number(c.difference.mde, sign=False), p_number(c.difference.p),
         p_number(c.difference.p_holm), verdict_words(c.difference)]
        for c in shown
    ]  # fmt: skip
    records = [
        {"key": c.key, "a": c.a, "b": c.b, "targets": len(c.by_target), "pairs": c.pairs, **difference_record(c.difference)}
        for c in (shown if every is None else every)
    ]  # fmt: skip
    points = next((c.difference.points for c in shown), "pp")
    return ReportTable(name, title, (*columns, f"detects, {points}", *TESTS), rows, records)


# methods


def methods_over_targets(cells: Sequence[TargetResult]) -> dict[str, list[Contrast]]:
    """Return, by mode, every method against its goal's baseline as one difference per target, best first.

    Holm's correction counts the merges, and apart from them the ensembles, of a mode.
    """
    found: dict[str, list[Contrast]] = {}
    for mode, (_, kind) in goals_of(cells).items():
        every: list[Contrast] = []
        for of in (MERGE, ENSEMBLE):
            by_label: dict[str, dict[str, list[float]]] = {}
            for c in cells:
                if c.mode == mode and c.goal == kind and c.kind == of:
                    by_label.setdefault(c.label, {})[f"{c.context} {c.target}"] = [c.against[kind].value]
            every += contrasts.corrected(
                [
                    contrasts.contrast(of, label, kind_words(kind), values, cells[0].metric.unit.points)
                    for label, values in by_label.items()
                ]
            )
        every.sort(key=lambda c: (-cells[0].metric.sign * c.difference.value, c.a))
        if any(c.enough for c in every):
            found[mode] = every
    return found


def methods_section(
    methods: Mapping[str, Sequence[Contrast]], goals: Mapping[str, tuple[int, str]], metric: Metric
) -> list[ReportSection]:
    """Return a section on the methods of each mode; `goals` as from `goals_of`."""
    sections = []
    for mode, every in methods.items():
        goal, kind = goals[mode]
        text = [
            methods_sentence(mode, kind, every, metric),
            "The unit is the target: the interval is for another target.",
        ]
        points = every[0].difference.points
        columns = ("method", "targets", f"− {kind_words(kind)}, {points}, 95%")
        table = contrast_table(f"methods-goal-{goal}", "Every method over its targets", columns, every,
                               lambda c: [c.a, str(len(c.by_target))])  # fmt: skip
        xlabel = f"difference to the {kind_words(kind)}, {points}, with 95% intervals"
        draw = partial(figures.forest, [(c.a, c) for c in every], xlabel)
        about = f"{mode}: every method minus the {kind_words(kind)}, {points}, mean over targets"
        picture = ReportFigure(f"methods-goal-{goal}", about, draw)
        sections.append(ReportSection(f"Methods over targets, {mode}", text, [table], [picture]))
    return sections


# settings


def settings_section(compared: Mapping[str, Sequence[Contrast]]) -> list[ReportSection]:
    """Return the section on settings; none where nothing was compared."""
    every = [c for found in compared.values() for c in found]
    if not every:
        return []
    text = ["Merges that differ in the setting and in what follows from it, such as the sources, as differences per target. "
            "The unit is the target: the interval is for another target. Holm's correction counts the comparisons of one setting."]  # fmt: skip
    points = every[0].difference.points
    columns = ("setting", "A", "B", "targets", "pairs", f"A − B, {points}, 95%")
    table = contrast_table("settings", "Settings compared", columns, every,
                           lambda c: [c.key, c.a, c.b, str(len(c.by_target)), str(c.pairs)])  # fmt: skip
    draw = partial(figures.forest, [(f"{c.key}: {c.a} − {c.b}", c) for c in every],
                   f"difference, {points}, with 95% intervals over targets")  # fmt: skip
    picture = ReportFigure("settings", f"Differences between settings, {points}, over targets", draw)
    return [ReportSection("Settings", text, [table], [picture])]


# ensembles


def ensembles_section(
    over: Sequence[Contrast],
    each: Sequence[tuple[TargetResult, TargetResult, Difference]],
    names: Mapping[tuple[str, str], str],
) -> list[ReportSection]:
    """Return the section on merges against ensembles; none where no two share their sources.

    Args:
        over: Contrasts over targets.
        each: (merge, ensemble, difference) on single targets.
        names: (context, target) → name of the target.
    """
    if not over:
        return []
    wide = [c for c in over if c.enough]
    singles = [d for _, _, d in each]
    text = [f"The same sources, merged into one model or combined as an ensemble. Merge against ensemble on single targets: "
            f"{tally(singles)}{holm_words(singles)}."]  # fmt: skip
    if wide and len(wide) < len(over):
        text.append(
            f"The table has the pairs on {contrasts.FEWEST} targets or more; tables/ensembles.csv has all {len(over)}."
        )
    metric = each[0][0].metric
    points, mark = metric.unit.points, metric.mark
    columns = ("merge", "ensemble", "targets", f"merge − ensemble, {points}, 95%")
    main = contrast_table(
        "ensembles", "Over targets", columns, wide or over, lambda c: [c.a, c.b, str(len(c.by_target))], over
    )
    outside = [
        [names[m.context, m.target], m.label, v.label, percent(m.value), percent(v.value), cell_text(d), verdict_words(d)]
        for m, v, d in each
        if d.verdict in (ABOVE, BELOW)
    ]  # fmt: skip
    records = [
        {"context": m.context, "target": m.target, "merge": m.label, "ensemble": v.label, f"merge_{metric.name}": rounded(m.value),
         f"ensemble_{metric.name}": rounded(v.value), **difference_record(d)}
        for m, v, d in each
    ]  # fmt: skip
    heads = (
        "target",
        "merge",
        "ensemble",
        f"merge{mark}",
        f"ensemble{mark}",
        f"difference, {points}",
        "verdict",
    )
    single = ReportTable(
        "ensembles-by-target", "On single targets, outside noise", heads, outside[:60], records
    )
    pictures = []
    if wide:
        xlabel = f"merge − ensemble, {points}, with 95% intervals"
        draw = partial(figures.forest, [(f"{c.a} − {c.b}", c) for c in wide], xlabel)
        cut = f"; the first {figures.MOST} of {len(wide)} pairs" if len(wide) > figures.MOST else ""
        about = f"Merge minus ensemble of the same sources, {points}, over targets{cut}"
        pictures = [ReportFigure("ensembles", about, draw)]
    return [ReportSection("Merge against ensemble", text, [main, single], pictures)]


# merging effects


def effect_points(
    cells: Sequence[TargetResult], feature: str, names: Mapping[tuple[str, str], str]
) -> list[figures.EffectPoint]:
    """Return the merging effect of every merge with the value of a feature.

    Args:
        feature: One of FEATURES, or a setting that is a number.
        names: (context, target) → name of the target.

    Raises:
        UsageError: No merge has a number of this name.
    """
    merges = [c for c in cells if c.kind == MERGE and "source_mean" in c.against]
    value = FEATURES[feature][1] if feature in FEATURES else partial(_setting_number, feature)
    points = [
        figures.EffectPoint(names[c.context, c.target], x, c.against["source_mean"])
        for c in merges
        if (x := value(c)) is not None
    ]
    if merges and not points and feature != "source_mean":
        vary = contrasts.keys_that_vary(cells)
        raise UsageError(
            f"no merge has a number {feature!r}.", hint=f"Features are: {', '.join([*FEATURES, *vary])}"
        )
    return points


def effects_section(
    points: Sequence[figures.EffectPoint], feature: str, metric: Metric
) -> list[ReportSection]:
    """Return the section on merging effects; none without points."""
    if not points:
        return []
    words = feature
    if feature in FEATURES:
        words = FEATURES[feature][0].format(name=metric.name, mark=metric.mark, points=metric.unit.points)
    text = [effects_text(points, metric)]
    means = _by_target(points)
    if len(means) >= 5:
        rho, p = method_ranks.spearman(means["x"].tolist(), means["effect"].tolist())
        text.append(
            correlation_sentence(
                words.removesuffix(metric.mark).rpartition(",")[0] or words.removesuffix(metric.mark),
                rho,
                p,
                len(means),
            )
        )
    records = [
        {"target": p.target, "feature": feature, "x": rounded(p.x), **difference_record(p.effect)}
        for p in points
    ]
    about = f"Merging effect of {count(len(points), 'merge')} against: {words}"
    picture = ReportFigure("effects", about, partial(figures.effects, points, words))
    return [ReportSection("Merging effect", text, [ReportTable("effects", "", (), (), records)], [picture])]


def effects_text(points: Sequence[figures.EffectPoint], metric: Metric) -> str:
    """Return the sentence on merging effects."""
    over = contrasts.t_over_targets(_by_target(points)["effect"].to_dict())
    over = replace(over, points=points[0].effect.points)
    return effect_sentence([p.effect for p in points], over, metric)


def _by_target(points: Sequence[figures.EffectPoint]) -> pd.DataFrame:
    """Return the means of x and effect [targets]."""
    every = pd.DataFrame([(p.target, p.x, p.effect.value) for p in points], columns=["target", "x", "effect"])
    return every.groupby("target", sort=False).mean()


def _percent(c: TargetResult, kind: str) -> float | None:
    return 100 * c.baselines[kind] if kind in c.baselines else None


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _setting_number(key: str, c: TargetResult) -> float | None:
    try:
        return float(dict(c.key)[key])
    except (KeyError, ValueError):
        return None

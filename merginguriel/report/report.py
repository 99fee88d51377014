"""Report on what was measured: goals per target, ranks, settings, ensembles and merging effects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from merginguriel import __version__
from merginguriel.errors import MuError, UsageError
from merginguriel.metrics.registry import Metric
from merginguriel.text.numbers import count, listed

from . import contrasts, figures
from .comparisons import TargetResult, cells, goals_of, repeated
from .contrasts import Contrast
from .effects import (
    effect_points,
    effects_section,
    effects_text,
    ensembles_section,
    methods_over_targets,
    methods_section,
    settings_section,
)
from .pages import Report, ReportFigure, ReportSection
from .ranks import matrices, rankings, ranks
from .scored_arms import ENSEMBLE, MERGE, Evidence
from .sentences import ensembles_sentence, goal_sentence, methods_sentence, settings_sentence
from .targets import Place, comparisons, goals, targets

HIGHEST = 12  # methods in the figure with which a report opens


def build(
    evidence: Evidence, *, by: Sequence[str] = (), feature: str = "source_mean", title: str = "Report"
) -> Report:
    """Build the report on what was loaded.

    Args:
        by: Settings to compare, each two values of one, everything else equal; none: all that vary.
        feature: One of FEATURES, or a setting that is a number: what merging effects are plotted against.

    Raises:
        MuError: Nothing was measured.
        UsageError: No two merges differ in a setting of `by`, or no merge has `feature`.
    """
    found = cells(evidence.arms)
    if not found and not evidence.singles:
        notes = "\n".join(evidence.notes)
        raise MuError("no result to report.", hint=notes or "Name runs or entries that have one.")
    names, metric = places(found, evidence), evidence.metric
    compared = {key: contrasts.settings(found, key) for key in _keys(found, by)}
    over, each = contrasts.ensembles(found)
    points = effect_points(found, feature, names)
    methods = methods_over_targets(found)
    short = in_short(found, names, methods, compared, over, points, metric)
    sections = [
        *goals(found, names),
        *methods_section(methods, goals_of(found), metric),
        *(ranks(mode, r, left, metric) for mode, (r, left) in rankings(found).items()),
        *settings_section(compared),
        *ensembles_section(over, each, names),
        *effects_section(points, feature, metric),
        *matrices(evidence),
        *targets(found, names),
        measured(found, evidence, names),
        reading(metric),
    ]
    opening, sections = _opening(methods, sections, metric)
    data = [comparisons(found, names)] if found else []
    return Report(title, sections, short or ["No merge is compared with a baseline."], data, opening)


def _opening(
    methods: Mapping[str, Sequence[Contrast]], sections: Sequence[ReportSection], metric: Metric
) -> tuple[ReportFigure | None, list[ReportSection]]:
    """Return the figure with which the report opens, and the sections without it.

    The best methods over targets; where there are too few targets, the first figure of a section.
    """
    for mode, every in methods.items():
        top = every[:HIGHEST]
        cut = f", the {metric.superlative} {len(top)} of {len(every)}" if len(every) > len(top) else ""
        points = every[0].difference.points
        about = f"{mode}: methods minus the {every[0].b}, {points}, mean over targets with 95% intervals{cut}"
        draw = partial(figures.forest, [(c.a, c) for c in top], f"difference to the {every[0].b}, {points}")
        return ReportFigure("summary", about, draw), list(sections)
    for i, section in enumerate(sections):
        if section.pictures:
            rest = replace(section, pictures=section.pictures[1:])
            return section.pictures[0], [*sections[:i], rest, *sections[i + 1 :]]
    return None, list(sections)


def places(found: Sequence[TargetResult], evidence: Evidence) -> dict[Place, str]:
    """Return (context, target) → name: its locale, with the context where there are several."""
    known = sorted({(c.context, c.target) for c in found})
    contexts = {context for context, _ in known} | {context for context, _, _ in evidence.singles}
    return {place: place[1] if len(contexts) == 1 else f"{place[1]}, {place[0]}" for place in known}


def _keys(found: Sequence[TargetResult], by: Sequence[str]) -> list[str]:
    vary = contrasts.keys_that_vary(found)
    for key in by:
        if key not in vary and key != "method":
            raise UsageError(
                f"no two merges differ in {key!r}.",
                hint=f"They differ in: {', '.join([*vary, 'method'])}" if vary else None,
            )
    return list(by) or vary


def measured(found: Sequence[TargetResult], evidence: Evidence, names: Mapping[Place, str]) -> ReportSection:
    """Return the section on what was measured and where it comes from."""
    merges = {c.label for c in found if c.kind == MERGE}
    voted = {c.label for c in found if c.kind == ENSEMBLE}
    parts = [count(len(merges), "merge")] + ([count(len(voted), "ensemble")] if voted else [])
    contexts = sorted({c.context for c in found} | {context for context, _, _ in evidence.singles})
    text = [
        f"{' and '.join(parts)} on {count(len(names), 'target')}, {count(len(evidence.singles), 'result')} of single "
        f"models, in {listed(contexts)}.",
        f"From {origins_words(evidence.origins)}: {listed(evidence.origins, 12)}. Made by merginguriel {__version__}.",
    ]
    return ReportSection("What was measured", [*text, *evidence.notes, *repeated(found)])


def origins_words(origins: Sequence[str]) -> str:
    """Count runs and log entries: `96 runs and 1 log entry`. Ids of entries begin with their date."""
    entries = sum(re.match(r"\d{4}-\d{2}-\d{2}-", origin) is not None for origin in origins)
    each = ((len(origins) - entries, "run"), (entries, "log entry"))
    return listed([count(n, word) for n, word in each if n])


def in_short(
    found: Sequence[TargetResult],
    names: Mapping[Place, str],
    methods: Mapping[str, Sequence[Contrast]],
    compared: Mapping[str, Sequence[Contrast]],
    over: Sequence[Contrast],
    points: Sequence[figures.EffectPoint],
    metric: Metric,
) -> list[str]:
    """Return the results in about five sentences, each with its noise: goals, methods, settings, ensembles, effects."""
    lines = []
    for mode, (goal, kind) in goals_of(found).items():
        by_target: dict[str, list[TargetResult]] = {}
        for c in found:
            if c.kind == MERGE and c.goal and c.mode == mode:
                by_target.setdefault(names[c.context, c.target], []).append(c)
        if by_target:
            lines.append(goal_sentence(mode, goal, kind, by_target))
    if found and len(names) < contrasts.FEWEST:
        lines.append(f"{count(len(names), 'target')}: too few to generalise to another target.")
    lines += [
        methods_sentence(mode, goals_of(found)[mode][1], every, metric) for mode, every in methods.items()
    ]
    settings = [c for every in compared.values() for c in every if c.enough]
    wide = [c for c in over if c.enough]
    lines += [settings_sentence(settings)] if settings else []
    lines += [ensembles_sentence(wide)] if wide else []
    return [*lines, *([effects_text(points, metric)] if points else [])]


def reading(metric: Metric) -> ReportSection:
    """Return the section that says how to read the others."""
    if metric.unit.percent:
        unit = f"percentage points (pp) of {metric.name}"
    else:
        unit = f"hundredths ({metric.unit.points}) of {metric.name}"
    test = (
        "that of an exact sign-flip test"
        if metric.name == "accuracy"
        else "of linearised statistics of the items"
    )
    return ReportSection(
        "How to read this",
        [
            f"Differences are in {unit} on test items. A 95% interval is that of one comparison taken "
            "alone. “Detects” is the smallest true difference that such a comparison detects with 80% probability at 5% "
            "(minimum detectable effect).",
            "Above and below (▲ and ▼) mean p < 0.05 after Holm's correction. Its family is stated beside each result: on "
            "single targets, all merges, or all ensembles, that are compared with one kind of baseline; over targets, the "
            "comparisons of one table. Everything else that was tested is within noise, also where an interval taken alone "
            "excludes zero.",
            f"Where the items of each model are known, comparisons are paired, items of one template are taken together, and "
            f"p is {test}. Rows of the log carry counts and a standard error instead: p is then an approximation of that "
            "test. Rows without either are taken as two independent values. Untested: the rows carry no noise of a mean of "
            "models, or only an upper bound of it, which cannot show that there is no difference.",
            f"Over targets, the unit is the target (Student's t); fewer than {contrasts.FEWEST} targets are too few. Ranks: "
            "Friedman, Nemenyi, and Wilcoxon with Holm, as in Demšar (2006), Journal of Machine Learning Research 7.",
        ],
    )

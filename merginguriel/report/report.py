"""What did these runs show? Goals per target, ranks, settings, ensembles, merging effects, as one report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from merginguriel import __version__
from merginguriel.errors import MuError, UsageError
from merginguriel.text.differences import (
    count,
    difference_words,
    goal_sentence,
    listed,
    ranking_sentences,
    setting_sentence,
)

from . import contrasts, figures
from .comparisons import ABOVE, BELOW, Cell, cells, goals_of, repeated
from .effects import (
    effect_points,
    effect_sentence,
    effects_section,
    ensembles_section,
    methods_over_targets,
    methods_section,
    methods_sentence,
    settings_section,
)
from .loading import ENSEMBLE, MERGE, Evidence
from .pages import Report, Section
from .ranks import Ranked, matrices, rankings, ranks
from .targets import Place, comparisons, goals, targets


def build(
    evidence: Evidence, *, by: Sequence[str] = (), feature: str = "source_mean", title: str = "Report"
) -> Report:
    """The report on what was loaded.

    by       settings to compare, each two values of one, everything else equal; none: all that vary
    feature  one of FEATURES, or a setting that is a number: what merging effects are plotted against
    Raises MuError if nothing was measured, UsageError for a setting or feature that nothing has.
    """
    found = cells(evidence.arms)
    if not found and not evidence.singles:
        notes = "\n".join(evidence.notes)
        raise MuError(
            "there is no accuracy to report on.", mend=notes or "Name runs or entries that measured one."
        )
    names = places(found, evidence)
    compared = {key: contrasts.settings(found, key) for key in _keys(found, by)}
    over, each = contrasts.ensembles(found)
    points = effect_points(found, feature, names)
    ranked = rankings(found)
    methods = methods_over_targets(found)
    short = in_short(found, names, methods, ranked, compared, over, points)
    sections = [
        Section("In short", short or ["Nothing here compares a merge with a baseline."]),
        measured(found, evidence, names),
        *goals(found, names),
        *methods_section(methods, goals_of(found)),
        *(ranks(mode, r, left) for mode, (r, left) in ranked.items()),
        *settings_section(compared),
        *ensembles_section(over, each, names),
        *effects_section(points, feature),
        *matrices(evidence),
        *targets(found, names),
        READING,
    ]
    return Report(title, sections, short, [comparisons(found, names)] if found else [])


def places(found: Sequence[Cell], evidence: Evidence) -> dict[Place, str]:
    """What each target is called: its locale, with the context where there are several."""
    known = sorted({(c.context, c.target) for c in found})
    contexts = {context for context, _ in known} | {context for context, _, _ in evidence.singles}
    return {place: place[1] if len(contexts) == 1 else f"{place[1]}, {place[0]}" for place in known}


def _keys(found: Sequence[Cell], by: Sequence[str]) -> list[str]:
    vary = contrasts.keys_that_vary(found)
    for key in by:
        if key not in vary and key != "method":
            raise UsageError(
                f"no two merges differ in {key!r}.",
                mend=f"What they differ in: {', '.join([*vary, 'method'])}" if vary else None,
            )
    return list(by) or vary


def measured(found: Sequence[Cell], evidence: Evidence, names: Mapping[Place, str]) -> Section:
    merges = {c.label for c in found if c.kind == MERGE}
    voted = {c.label for c in found if c.kind == ENSEMBLE}
    parts = [count(len(merges), "merge")] + ([count(len(voted), "ensemble")] if voted else [])
    contexts = sorted({c.context for c in found} | {context for context, _, _ in evidence.singles})
    text = [
        f"{' and '.join(parts)} on {count(len(names), 'target')}, {count(len(evidence.singles), 'accuracy')} of single "
        f"models, in {listed(contexts)}.",
        f"From {origins_words(evidence.origins)}: {listed(evidence.origins, 12)}. Made by merginguriel {__version__}.",
    ]
    return Section("What was measured", [*text, *evidence.notes, *repeated(found)])


def origins_words(origins: Sequence[str]) -> str:
    """`96 runs and 1 log entry`. Ids of entries begin with their date."""
    entries = sum(re.match(r"\d{4}-\d{2}-\d{2}-", origin) is not None for origin in origins)
    each = ((len(origins) - entries, "run"), (entries, "log entry"))
    return listed([count(n, word) for n, word in each if n])


def in_short(
    found: Sequence[Cell],
    names: Mapping[Place, str],
    methods: Mapping[str, Sequence[contrasts.Setting]],
    ranked: Ranked,
    compared: Mapping[str, Sequence[contrasts.Setting]],
    over: Sequence[contrasts.Setting],
    points: Sequence[figures.Point],
) -> list[str]:
    """What the report says, goal by goal; every sentence names its noise."""
    said = []
    for mode, (goal, kind) in goals_of(found).items():
        by_target: dict[str, list[Cell]] = {}
        for c in found:
            if c.kind == MERGE and c.goal and c.mode == mode:
                by_target.setdefault(names[c.context, c.target], []).append(c)
        if by_target:
            said.append(goal_sentence(mode, goal, kind, by_target))
    if found and len(names) < contrasts.FEWEST:
        said.append(
            f"What to expect of another target cannot be told from {count(len(names), 'target')}: nothing is said over targets."
        )
    said += [methods_sentence(mode, goals_of(found)[mode][1], every) for mode, every in methods.items()]
    for mode, (r, _) in ranked.items():
        said.append((f"{mode}: " if len(ranked) > 1 else "") + " ".join(ranking_sentences(r)[:2]))
    told = [(s, contrasts.family(each)) for each in compared.values() for s in wide_enough(each)]
    said += [setting_sentence(s, family) for s, family in told[:12]]
    if len(told) > 12:
        said.append(f"{len(told) - 12} more differences between settings stand under Settings.")
    wide = wide_enough(over)
    if wide:
        verdicts = [s.difference.verdict for s in wide]
        said.append(
            f"Merge against ensemble of the same sources: of {count(len(wide), 'pair')} on {contrasts.FEWEST} targets or "
            f"more, the merge is above, outside noise, in {verdicts.count(ABOVE)}, and below in {verdicts.count(BELOW)}; "
            "of the rest neither is said."
        )
        if len(wide) <= 6:
            said += [
                f"{s.a} against {s.b}: {difference_words(s.difference, contrasts.family(over))}."
                for s in wide
            ]
    return [*said, *([effect_sentence(points)] if points else [])]


def wide_enough(every: Sequence[contrasts.Setting]) -> list[contrasts.Setting]:
    """Those on so many targets that something can be said of another one."""
    return [s for s in every if len(s.by_target) >= contrasts.FEWEST]


READING = Section(
    "How to read this",
    [
        "Differences are in percentage points (pp) of accuracy on test items. An interval holds the true difference 95 "
        "times of 100, taken alone. “Sees” is the smallest true difference that such a comparison finds with 80% "
        "probability at 5% (minimum detectable effect).",
        "Above and below, with ▲ and ▼, are said only where p stays under 0.05 after Holm's correction over all comparisons "
        "with the same kind of baseline; everything else is within noise, also where an interval taken alone leaves zero out.",
        "Where it is known which items each model got right, comparisons are paired and items of one template are taken "
        "together: p is that of an exact sign-flip test, as in mu run. Else p is a normal one, and the noise what a row says "
        "of it, or the larger one of two independent accuracies.",
        f"Over targets, the unit is the target (Student's t); fewer than {contrasts.FEWEST} targets tell nothing of another "
        "one. Ranks: Friedman, Nemenyi, and Wilcoxon with Holm, as in Demšar "
        "(2006), Journal of Machine Learning Research 7.",
    ],
)

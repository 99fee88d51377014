"""Report sections on the ranking of methods and on single models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from merginguriel.evaluation import heatmap
from merginguriel.evaluation.nxn import of_cells
from merginguriel.metrics.registry import Metric
from merginguriel.text.differences import kind_words, p_number, percent
from merginguriel.text.numbers import count, listed

from . import contrasts, figures, method_ranks
from .comparisons import TargetResult, goals_of, table
from .pages import ReportFigure, ReportSection, ReportTable, rounded
from .scored_arms import Evidence
from .sentences import matrix_sentence, ranking_sentences

Ranked = dict[str, tuple[method_ranks.Ranking, str]]


def rankings(found: Sequence[TargetResult]) -> Ranked:
    """Return, by mode, the ranking of its methods with the goal's baseline among them, and what was left out."""
    ranked: Ranked = {}
    for mode in sorted({c.mode for c in found}):
        values = table(c for c in found if c.mode == mode)
        kind = goals_of(found).get(mode, (0, ""))[1]
        known: dict[str, set[float]] = {}
        for c in found:
            if c.mode == mode and kind in c.baselines:
                known.setdefault(f"{c.context} {c.target}", set()).add(round(c.baselines[kind], 6))
        # A baseline that differs by the sources has no single place among the methods.
        if known and all(len(v) == 1 for v in known.values()):
            values[f"[{kind_words(kind)}]"] = {target: next(iter(v)) for target, v in known.items()}
        kept = method_ranks.complete(values)
        r = method_ranks.rank(kept, higher_is_better=found[0].metric.higher_is_better)
        if r is None or len(r.targets) < contrasts.FEWEST:
            continue
        out = sorted(set(values) - set(kept))
        targets_ = sorted({t for v in values.values() for t in v} - set(r.targets))
        left = f"Left out, not scored on all of these targets: {listed(out)}. " if out else ""
        left += f"Left out, not every method was scored on them: {listed(targets_)}." if targets_ else ""
        ranked[mode] = (r, left.strip())
    return ranked


def ranks(mode: str, r: method_ranks.Ranking, left: str, metric: Metric) -> ReportSection:
    """Return the section on one ranking; `left` says what is not in it."""
    slug = {"-": "other"}.get(mode, mode)
    values = r.values.mean(axis=0)
    against_first = {pair.b: pair.p_holm for pair in r.pairs if pair.a == 0}
    rows = [
        [name, f"{r.mean[i]:.2f}", percent(float(values[i])), p_number(against_first.get(i))]
        for i, name in enumerate(r.methods)
    ]
    records = [
        {
            "method": name,
            "mean_rank": rounded(float(r.mean[i])),
            f"mean_{metric.name}": rounded(float(values[i])),
        }
        for i, name in enumerate(r.methods)
    ]
    pairs = [
        {"a": r.methods[p.a], "b": r.methods[p.b], "rank_difference": rounded(p.ranks), "p_nemenyi": rounded(p.p_nemenyi),
         "p_wilcoxon": rounded(p.p_wilcoxon), "p_wilcoxon_holm": rounded(p.p_holm)}
        for p in r.pairs
    ]  # fmt: skip
    columns = (
        "method",
        "mean rank",
        f"mean {metric.name}{metric.mark}",
        "p against the first (Wilcoxon, Holm)",
    )
    title = f"Mean ranks over {count(len(r.targets), 'target')}"
    tables = [
        ReportTable(f"ranking-{slug}", title, columns, rows, records),
        pairs_table(r, f"ranking-pairs-{slug}", pairs),
    ]
    joined = "methods under one bar do not rank apart"
    pictures = [
        ReportFigure(f"ranks-{slug}-nemenyi", f"Mean ranks, {mode}; {joined} (Nemenyi, 0.05)",
                partial(figures.critical_difference, r, "nemenyi")),
        ReportFigure(f"ranks-{slug}-wilcoxon", f"Mean ranks, {mode}; {joined} (Wilcoxon with Holm, 0.05)",
                partial(figures.critical_difference, r, "wilcoxon")),
    ]  # fmt: skip
    text = [*ranking_sentences(r), *([left] if left else [])]
    heading = f"Ranking of methods, {mode}" if mode != "-" else "Ranking of methods"
    return ReportSection(heading, text, tables, pictures)


def pairs_table(r: method_ranks.Ranking, name: str, records: Sequence[Mapping[str, object]]) -> ReportTable:
    """Lay out the pairs that either test separates; the CSV has all of them."""
    apart = [p for p in r.pairs if p.p_holm < r.alpha or p.ranks >= r.critical]
    rows = [
        [r.methods[p.a], r.methods[p.b], f"{p.ranks:.2f}", p_number(p.p_nemenyi), p_number(p.p_holm)]
        for p in apart
    ]
    cut = ", the first 40" if len(rows) > 40 else ""
    title = f"Pairs that rank apart: {len(rows)} of {len(r.pairs)}{cut}"
    columns = ("better", "worse", "difference of ranks", "p Nemenyi", "p Wilcoxon, Holm")
    return ReportTable(name, title, columns, rows[:40], records)


def matrices(evidence: Evidence) -> list[ReportSection]:
    """Return a heat map for every context in which two models or more were scored on two targets or more."""
    sections, metric = [], evidence.metric
    for number_, context in enumerate(sorted({context for context, _, _ in evidence.singles}), 1):
        scored = {(s, t): found for (c, s, t), found in evidence.singles.items() if c == context}
        sources, targets_ = sorted({s for s, _ in scored}), sorted({t for _, t in scored})
        if len(sources) < 2 or len(targets_) < 2:
            continue
        matrix = of_cells(
            {pair: one.value for pair, one in scored.items()},
            {t: one.n for (_, t), one in scored.items()},
            {},
            sources,
            targets_,
            metric=metric.name,
        )
        name = "matrix" if number_ == 1 else f"matrix-{number_}"
        records = [
            {"source": s, "target": t, metric.name: rounded(one.value), "n": one.n}
            for (s, t), one in sorted(scored.items())
        ]
        text = [matrix_sentence(matrix)]
        value = "Accuracy" if metric.name == "accuracy" else metric.name
        about = f"{value} {'in percent' if metric.unit.percent else '× 100'} of {len(sources)} models (rows) on {len(targets_)} test sets (columns), {context}"
        sections.append(
            ReportSection(f"Every model on every target, {context}", text, [ReportTable(name, "", (), (), records)],
                    [ReportFigure(name, about, partial(heatmap.draw, matrix))])
        )  # fmt: skip
    return sections

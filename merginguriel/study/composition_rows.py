"""Result rows and a log entry of a composition study."""

from __future__ import annotations

from datetime import date

from merginguriel.embedding.compose import Plan, Study
from merginguriel.evaluation.significance import compare
from merginguriel.knowledge.parse.rows import ResultRow, row_cells

COLUMNS = (
    "context", "target", "mode", "method", "params", "k", "value", "n", "seed", "baseline_kind", "baseline", "se", "note",
)  # fmt: skip


def rows(plan: Plan, study: Study, base_name: str) -> list[ResultRow]:
    """Return one row per model and direction.

    The context names the pair and the kind of search; the target is the locale of the queries. A single model is compared
    with the base, a merge with the better of its two sources.
    """
    a, b = study.languages
    found = []
    for kind, directions in (("mono", study.within), ("cross", study.cross)):
        for direction in directions:
            target = plan.locale_of[direction.partition("-")[0]]
            better = max((study.specialist, study.mono), key=lambda name: study.value(name, [direction]))
            for model in study.scores:
                merged = model in study.merges
                other = better if merged else "base"
                ours, theirs = (study.scores[name][direction][:, 0] for name in (model, other))
                seen = None if model == "base" else compare(ours, theirs, metric="ndcg_at_10", draws=0)
                method, _, weight = model.partition(" ")
                parts = (
                    ("specialist", study.specialist.strip("D()")),
                    ("mono", study.mono.strip("D()")),
                    ("weight", weight),
                )
                found.append(
                    ResultRow(
                        context=f"retrieval-{kind}-{a}-{b}/{base_name}", target=target, metric="ndcg_at_10",
                        mode="IncTar" if merged else "-", method=method if merged else model if model != "base" else "pretrained",
                        value=float(ours.mean()), n=len(ours), seed=plan.settings.seed,
                        params=parts if merged else (),
                        k=2 if merged else None,
                        baseline_kind=None if seen is None else "best_single_source" if merged else "pretrained_base",
                        baseline=None if seen is None else float(theirs.mean()), se_pp=None if seen is None else seen.se,
                        note=f"T({direction})" + (f", against {other}" if merged else ""),
                    )
                )  # fmt: skip
    return found


def entry(plan: Plan, study: Study, base_name: str, title: str) -> str:
    """Return the text of a log entry, for `mu log add FILE`."""
    a, b = study.languages
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in rows(plan, study, base_name):
        cells = row_cells(row)
        lines.append("| " + " | ".join(cells[name] for name in COLUMNS) + " |")
    findings = [
        f"- {one.name}: {one.found.difference:+.2f} pt ({one.found.interval.low:+.2f} to {one.found.interval.high:+.2f} pt)."
        for one in study.effects
    ]
    learnt, choosing, reported = study.queries
    return f"""---
title: "{title}"
type: "Observation"
date: "{date.today().isoformat()}"
summary: "Eight language compositions of training triples, searched in four directions, and merges of the best cross-lingual and mono-lingual model, for {a} and {b}."
metric: "ndcg_at_10"
tags: "retrieval, embeddings, language composition"
---

## What was tried

D(abc): queries, positives and hard negatives in the languages a, b and c. {learnt} training queries, {plan.window.count} mined negatives each;
{choosing} held-out queries chose the models that were merged, {reported} others are reported. One seed.

## Results

{chr(10).join(lines)}

## Findings

Differences of NDCG@10 with paired 95% intervals over queries.

{chr(10).join(findings)}
"""

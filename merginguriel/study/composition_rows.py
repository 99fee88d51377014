"""Result rows and a log entry of a composition study."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from merginguriel.embedding.compose import Plan, Study
from merginguriel.evaluation.significance import compare
from merginguriel.knowledge.parse.rows import ResultRow, row_cells

COLUMNS = (
    "context", "target", "mode", "method", "params", "k", "value", "n", "seed", "baseline_kind", "baseline", "se", "note",
)  # fmt: skip


def rows(plan: Plan, study: Study, base_name: str) -> list[ResultRow]:
    """Return the rows of every model and direction.

    The context names the pair and the kind of search; the target is the locale of the queries, and its own model the one
    trained in that language alone. Compositions and merges are compared with it, so that advice can choose among them; it
    is compared with the base; merges also with the better of their two sources.
    """
    a, b = study.languages
    found = []
    for kind, directions in (("mono", study.within), ("cross", study.cross)):
        for direction in directions:
            language = direction.partition("-")[0]
            own = f"D({language * 3})"
            better = max((study.specialist, study.mono), key=lambda name: study.value(name, [direction]))
            for model in study.scores:
                ours = study.scores[model][direction][:, 0]
                method, _, weight = model.partition(" ")
                parts = (
                    ("specialist", study.specialist.strip("D()")),
                    ("mono", study.mono.strip("D()")),
                    ("weight", weight),
                )
                merged = model in study.merges
                row = ResultRow(
                    context=f"retrieval-{kind}-{a}-{b}/{base_name}", target=plan.locale_of[language], metric="ndcg_at_10",
                    mode="-" if model in ("base", own) else "IncTar", method="pretrained" if model == "base" else method,
                    params=parts if merged else (), k=2 if merged else None, value=float(ours.mean()), n=len(ours),
                    seed=plan.settings.seed, note=f"T({direction})",
                )  # fmt: skip
                against = (
                    {}
                    if model == "base"
                    else {"pretrained_base": "base"}
                    if model == own
                    else {"target_alone": own}
                )
                against |= {"best_single_source": better} if merged else {}
                found += [
                    compared(row, study, baseline, other, direction) for baseline, other in against.items()
                ] or [row]
    return found


def compared(row: ResultRow, study: Study, kind: str, other: str, direction: str) -> ResultRow:
    """Return the row with another model as its baseline, paired over queries."""
    name = "base" if row.method == "pretrained" else row.method
    name = f"{name} {dict(row.params)['weight']}" if row.params else name
    ours, theirs = (study.scores[one][direction][:, 0] for one in (name, other))
    seen = compare(ours, theirs, metric="ndcg_at_10", draws=0)
    note = f"{row.note}, against {other}"
    return replace(row, baseline_kind=kind, baseline=float(theirs.mean()), se_pp=seen.se, note=note)


def entry(plan: Plan, study: Study, base_name: str, title: str) -> str:
    """Return the text of a log entry, for `mu log add FILE`."""
    a, b = study.languages
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in rows(plan, study, base_name):
        cells = row_cells(row)
        lines.append("| " + " | ".join(cells[name] for name in COLUMNS) + " |")
    findings = [
        f"- {one.name}: {one.found.difference:+.2f} pt ({one.found.interval.low:+.2f} to {one.found.interval.high:+.2f} pt); against the paper: {one.agreement}."
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

D(abc): queries, positives and hard negatives in the languages a, b and c. {learnt} training queries, mined negatives of each: {plan.window.count};
{choosing} held-out queries chose the models that were merged, {reported} others are reported. One seed.

## Results

{chr(10).join(lines)}

## Findings

Differences of NDCG@10 with paired 95% intervals over queries.

{chr(10).join(findings)}
"""

"""Result rows of a composition study."""

from __future__ import annotations

from dataclasses import replace

from merginguriel.embedding.compose import CompositionPlan, CompositionStudy
from merginguriel.evaluation.significance import compare
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.version import measured_by


def rows(plan: CompositionPlan, study: CompositionStudy, base_name: str, run: str) -> list[ResultRow]:
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
                two = {"specialist": study.specialist.strip("D()"), "mono": study.mono.strip("D()")}
                parts, merged = tuple({**two, "weight": weight}.items()), model in study.merges
                row = ResultRow(
                    context=f"retrieval-{kind}-{a}-{b}/{base_name}", target=plan.locale_of[language], metric="ndcg_at_10",
                    mode="-" if model in ("base", own) else "IncTar", method="pretrained" if model == "base" else method,
                    params=parts if merged else (), k=2 if merged else None, value=float(ours.mean()), n=len(ours),
                    seed=plan.settings.seed, run=run, code=measured_by(), note=f"T({direction})",
                )  # fmt: skip
                against = {"pretrained_base": "base"} if model == own else {"target_alone": own}
                against |= {"best_single_source": better} if merged else {}
                if model == "base":
                    found.append(row)
                    continue
                found += [compared(row, study, model, *one, direction) for one in against.items()]
    return found


def compared(
    row: ResultRow, study: CompositionStudy, model: str, kind: str, other: str, direction: str
) -> ResultRow:
    """Return the row with another model as its baseline, paired over queries."""
    ours, theirs = (study.scores[one][direction][:, 0] for one in (model, other))
    seen = compare(ours, theirs, metric="ndcg_at_10", draws=0)
    note = f"{row.note}, against {other}"
    return replace(row, baseline_kind=kind, baseline=float(theirs.mean()), se_pp=seen.se, note=note)

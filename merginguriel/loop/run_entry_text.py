"""Title, summary and sections of an entry about finished runs, from their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.log.plan_scores import scored, scores
from merginguriel.knowledge.parse.expectations import OVER
from merginguriel.knowledge.parse.markdown import format_table
from merginguriel.knowledge.parse.rows import AGREEMENT, ResultRow, is_merge
from merginguriel.report.comparisons import of_rows
from merginguriel.text.differences import ABOVE, BELOW, NOISE, kind_words, number, p_number
from merginguriel.text.numbers import listed

AGAINST = "Expected against actual"
MOST = 12  # merges that get a sentence each


def arm_rows(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Return the rows of merges; where nothing was merged, of ensembles."""
    return [row for row in rows if is_merge(row.method)] or [row for row in rows if row.mode != "-"]


def main_rows(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Return each arm's row against the baseline of its mode: the best single source, or the target's own model."""
    return [row for row in arm_rows(rows) if OVER.get(row.mode, "") == row.baseline_kind]


def title(rows: Sequence[ResultRow]) -> str:
    """Return the title of an entry: `ties for sw-KE`, `average, ties for 3 targets`."""
    studies = _each(
        r.context.split("-", 2)[2].replace("/", " on ") for r in rows if r.method.startswith("D(")
    )
    if studies:
        return f"Languages of training data for retrieval: {listed(studies)}"
    about = main_rows(rows) or list(rows)
    methods, targets = _each(r.method for r in about), _each(r.target for r in about)
    what = ", ".join(methods) if len(methods) <= 3 else f"{len(methods)} methods"
    return f"{what} for {', '.join(targets) if len(targets) <= 2 else f'{len(targets)} targets'}"


def summary(rows: Sequence[ResultRow]) -> str:
    """Return one sentence: how many of the merges gained, or for a single one by how much."""
    about = main_rows(rows)
    if len(about) == 1:
        return sentence(about[0])
    if not about:
        return f"{len(rows)} measurements of {listed(_each(r.method for r in rows))}, none against its usual baseline."
    gained = [row for row in about if (row.gain_pp or 0) > 0]
    sure = [row for row in gained if (d := of_rows(row)) is not None and d.verdict in (ABOVE, BELOW)]
    return (
        f"Of {len(about)} {'compositions and merges' if about[0].method.startswith('D(') else 'merges'} for {listed(_each(r.target for r in about))}, {len(gained)} scored "
        f"{'above' if about[0].sign > 0 else 'below'} the {kind_words(OVER[about[0].mode])}, {len(sure)} of them by more than noise."
    )


def sentence(row: ResultRow) -> str:
    """Describe one row against its baseline.

    `For sw-KE, ties (REAL, 5 sources) scored 42.97% and the best single source 46.70%: −3.73 pp, p = 0.004.`
    """
    how = ", ".join(x for x in (row.similarity, f"{row.k} sources" if row.k else "") if x)
    text = f"For {row.target}, {row.method}{f' ({how})' if how else ''} scored {row.show(row.value)}"
    found = of_rows(row)
    if row.metric == AGREEMENT:
        return (
            f"For {row.target}, without labels, {row.method} agreed with the vote of the single models on "
            f"{100 * row.value:.2f}% of {row.n} items, the best of them on {100 * (row.baseline or 0):.2f}%: weak evidence."
        )
    if row.baseline is None or found is None:
        return f"{text}."
    p = "" if found.p is None else f", p {'' if found.p < 0.001 else '= '}{p_number(found.p)}"
    noise = ", within noise" if found.verdict == NOISE else ""
    against = f"the {kind_words(row.baseline_kind or '')} {row.show(row.baseline)}"
    return f"{text} and {against}: {number(found.value, 2)} {row.points}{p}{noise}."


def sections(rows: Sequence[ResultRow]) -> list[tuple[str, str]]:
    """Return the titles and texts of the sections on what was tried and what was found."""
    studies = {row.context for row in rows if row.method.startswith("D(")}
    tried = _each(_composed(row) if row.context in studies else _recipe(row) for row in arm_rows(rows))
    runs = listed(_each(f"`{row.run}`" for row in rows if row.run), most=12)
    texts = [("What was tried", "\n".join([*(f"- {one}" for one in tried), "", f"Runs: {runs}."]).strip())]
    about = main_rows(rows)
    if 0 < len(about) <= MOST:
        texts.append(("Findings", "\n".join(f"- {sentence(row)}" for row in about)))
    return texts


def answers(knowledge: Knowledge, rows: Sequence[ResultRow]) -> list[str]:
    """Return the open plans that one of these rows answers."""
    waiting = [score for score in scores(knowledge) if score.actual_pp is None]
    return _each(score.plan for score in waiting if any(score.expected.covers(row) for row in rows))


def against(knowledge: Knowledge, rows: Sequence[ResultRow]) -> str:
    """Return a Markdown table of what open plans expected of these rows and what was measured; '' where there is none."""
    found = []
    for waiting in scores(knowledge):
        if waiting.actual_pp is not None:
            continue
        score = scored(waiting.ref, knowledge.by_entry[waiting.plan], waiting.expected, rows)
        if score.actual_pp is None:
            continue
        one = score.expected
        low, high = (f"{number(x, 2)} pp" if x is not None else "-" for x in (one.low_pp, one.high_pp))
        noise = f" ± {score.se_pp:.2f}" if score.se_pp else ""
        held = {True: "inside", False: "outside", None: "-"}[score.inside]
        likely = "-" if one.p_positive is None else f"{one.p_positive:.2f}"
        actual = f"{number(score.actual_pp, 2)} pp{noise}"
        found.append([score.ref, one.label(), one.over, low, high, likely, actual, held])
    heads = ["expectation", "of", "over", "low", "high", "P(gain > 0)", "actual", "held"]
    return format_table(heads, found) if found else ""


def _composed(row: ResultRow) -> str:
    return ", ".join([row.method, *(f"{key}={value}" for key, value in row.params)])


def _recipe(row: ResultRow) -> str:
    params = " ".join(f"{key}={value}" for key, value in row.params)
    parts = [f"{row.target} {row.mode}: {row.method}", params, row.similarity or "", " ".join(row.sources)]
    return ", ".join(part for part in parts if part)


def _each(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))

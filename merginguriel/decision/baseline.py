"""The figure that a merge has to beat, and the precision of one more measurement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from merginguriel import stats
from merginguriel.knowledge.parse.rows import MEASURES, ResultRow
from merginguriel.text.numbers import count, percent

from .arm_types import AdviceBaseline
from .evidence import GOAL, Observation
from .question import Question

ROUNDING = 5e-5  # an accuracy of the log is given to a hundredth of a percentage point
FEWEST_PAIRED = 5  # paired rows of a context, below which other contexts are used
USUAL_N = 500  # test items of a trial where the log knows no test set


def baseline_of(
    rows: Sequence[ResultRow], question: Question, own: Sequence[Observation], k: int
) -> AdviceBaseline:
    """Return the figure to beat: the most recent one of this target's rows, else that of the best single model.

    The best single model is only known where enough of them were scored (see `enough`).
    """
    singles = singles_of(rows, question)
    best = best_single(singles)
    recorded = [o.row for o in own if o.kind == "gain"]
    if recorded:
        row = max(recorded, key=lambda r: (r.date, r.ref))
        value, n, ref, how = row.baseline, row.n, row.ref, "recorded with the rows of this target"
        top = best_known(rows, question, recorded, row.n)
        if top is not None and value is not None and row.sign * (top[0] - value) > ROUNDING:
            value, ref = top
            how = "the best single model of the log on these items"
        others = sorted({r.baseline for r in recorded if r.baseline is not None} - {value})
        if others:
            how += f"; other rows give {', '.join(f'{100 * v:.2f}' for v in others)}"
        return _baseline(question, value, n, _models_at(singles, value), how, ref)
    if best and (question.mode == "IncTar" or enough(singles, k)):
        models = _models_at(singles, best.value)
        how = f"the best of {len(singles)} single models in the log"
        return _baseline(question, best.value, best.n, models, how, best.ref)
    if best:
        how = f"at least {percent(best.value)} ({count(len(singles), 'model')} measured)"
        return _baseline(question, None, best.n, [], how, None)
    return _baseline(question, None, None, [], "not measured yet", None)


def _baseline(
    question: Question, value: float | None, n: int | None, models: Sequence[str], how: str, ref: str | None
) -> AdviceBaseline:
    first = models[0] if models else question.own_composition
    return AdviceBaseline(GOAL[question.mode], value, n, first, tuple(models[1:]), how, ref)


def best_known(
    rows: Sequence[ResultRow], question: Question, recorded: Iterable[ResultRow], n: int | None
) -> tuple[float, str] | None:
    """Return the best accuracy of a single model on the target's n items, with its row; None for IncTar.

    A merge has to beat this one, whichever model its row was compared with.
    """
    if question.mode != "ExcTar":
        return None
    found = [(r.sign * r.value, r.ref, r.value) for r in singles_of(rows, question) if r.n == n]
    found += [
        (r.sign * r.baseline, r.ref, r.baseline) for r in recorded if r.n == n and r.baseline is not None
    ]
    best = max(found, default=None)
    return None if best is None else (best[2], best[1])


def rebased(found: Sequence[Observation], rows: Sequence[ResultRow], question: Question) -> list[Observation]:
    """Return the gains with those of the question's target taken over the best single model known on the same items."""
    own = [o for o in found if (o.arm.target, o.arm.context) == (question.target, question.context)]
    recorded = [o.row for o in own if o.kind == "gain"]
    tops = {n: best_known(rows, question, recorded, n) for n in {row.n for row in recorded}}
    result = []
    for o in found:
        top = tops.get(o.row.n) if o.arm.target == question.target and o.kind == "gain" else None
        if top and o.arm.context == question.context and o.row.baseline is not None:
            short = 100 * o.row.sign * (top[0] - o.row.baseline)
            if short > 100 * ROUNDING:
                lead = None if o.lead_pp is None else o.lead_pp + short
                o = replace(o, gain_pp=o.gain_pp - short, lead_pp=lead)
        result.append(o)
    return result


def singles_of(rows: Iterable[ResultRow], question: Question) -> list[ResultRow]:
    """Return the rows of single models scored on the target: those of other locales, or for IncTar its own."""
    own = question.mode == "IncTar"
    found = {
        r.sources: r
        for r in rows
        if r.method == "single"
        and r.metric not in MEASURES
        and (r.context, r.target) == (question.context, question.target)
        and (r.sources == (question.target,)) == own
        and r.status == "current"
    }
    return list(found.values())


def best_single(singles: Sequence[ResultRow]) -> ResultRow | None:
    """Return the row with the best value."""
    return min(singles, key=lambda r: (-r.sign * r.value, r.sources)) if singles else None


def enough(singles: Sequence[ResultRow], k: int) -> bool:
    """Return True if the best of `singles` counts as the best model: a run scored all its models, or k were scored."""
    return len(singles) >= k or any(single.run for single in singles)


def _models_at(singles: Iterable[ResultRow], value: float | None) -> list[str]:
    return sorted(r.sources[0] for r in singles if r.value == value)


class ExtraMeasurement(NamedTuple):
    """One more measurement on the target's test set, paired; `known`: whether set and figure to beat are known."""

    n: int
    variance: float  # pp²
    known: bool
    how: str


def trial_of(
    own: Sequence[Observation],
    baseline: AdviceBaseline,
    rows: Sequence[ResultRow],
    question: Question,
    method: str,
    paired_ratio: tuple[float, str] | None = None,
) -> ExtraMeasurement:
    """Return the size and variance of one more measurement of `method`.

    How often two models disagree depends on the method: gains of the same method on this target are used where they
    exist. `paired_ratio`: `pairing` of the rows, where it is known.
    """
    gains = [o for o in own if o.kind == "gain"]
    gains = [o for o in gains if o.arm.method == method] or gains
    paired = [o for o in gains if o.row.paired]
    if paired:
        variance, n = _middle([(o.variance, o.row.n or USUAL_N) for o in paired])
        return ExtraMeasurement(n, variance, True, "paired, as measured on this target")
    ratio, how = paired_ratio or pairing(rows, question.context)
    if gains:
        # A recorded standard error is what was measured; a binomial one is what pairing would have made smaller.
        known = [(o.variance, o.row.n or USUAL_N) for o in gains if o.row.se_pp is not None]
        if known:
            variance, n = _middle(known)
            return ExtraMeasurement(n, variance, True, "by the standard errors measured on this target")
        variance, n = _middle([(o.variance, o.row.n or USUAL_N) for o in gains])
        return ExtraMeasurement(n, ratio * variance, True, how)
    value, items = baseline.value, baseline.n
    if value is not None and items is not None:
        return ExtraMeasurement(items, ratio * 1e4 * stats.unpaired_variance(value, value, items), True, how)
    usual = [r.n for r in rows if r.context == question.context and r.n]
    n = max(set(usual), key=lambda size: (usual.count(size), size)) if usual else USUAL_N
    return ExtraMeasurement(n, ratio * 1e4 * 0.5 / n, False, how)


def _middle(found: list[tuple[float, int]]) -> tuple[float, int]:
    return sorted(found)[len(found) // 2]


def pairing(rows: Sequence[ResultRow], context: str) -> tuple[float, str]:
    """Return the ratio of paired variance to the unpaired bound, and a description: the median of rows with wins and losses.

    Rows of the context are used, with the dependence between their items if that is known; where they are fewer than
    FEWEST_PAIRED, rows of any context.
    """
    paired = [r for r in rows if r.paired and r.status == "current" and r.baseline is not None and r.n]
    here = [r for r in paired if r.context == context]
    if len(here) < FEWEST_PAIRED:
        here = []
    ratios = []
    for row in here or paired:
        bound = stats.unpaired_variance(row.value, row.baseline or 0.0, row.n or 1)
        if bound > 0 and row.wins is not None and row.losses is not None:
            variance = (
                (row.variance_pp or 0.0) / 1e4
                if here
                else stats.paired_variance(row.wins, row.losses, row.n or 1)
            )
            ratios.append(variance / bound)
    if not ratios:
        return 1.0, "the unpaired bound: no row has wins and losses"
    ratio = sorted(ratios)[len(ratios) // 2]
    return (
        ratio,
        f"paired: {ratio:.2f} of the unpaired variance, as in {count(len(ratios), 'row')} with wins and losses",
    )


def detectable(trial: ExtraMeasurement) -> float:
    """Return the smallest gain in pp that the trial detects with 80% power."""
    return round(100 * stats.minimum_detectable_effect(trial.variance / 1e4), 2)

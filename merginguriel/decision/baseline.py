"""Which figure has a merge to beat, and what can one more measurement on this target see?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from merginguriel import stats
from merginguriel.knowledge.parse.rows import MEASURES, ResultRow
from merginguriel.text.numbers import count

from .evidence import GOAL, Observation
from .question import Question

ROUNDING = 5e-5  # an accuracy of the log is given to a hundredth of a percentage point
FEWEST_PAIRED = 5  # rows of a context that tell of another merge there
USUAL_N = 500  # test items of a trial where the log knows no test set


def baseline_of(
    rows: Sequence[ResultRow], question: Question, own: Sequence[Observation], k: int
) -> dict[str, object]:
    """The figure to beat: the one recorded most recently with this target's rows, else the best single model.

    Of single models, the best is only known where enough of them were scored (see `enough`).
    """
    singles = singles_of(rows, question)
    best = best_single(singles)
    recorded = [o.row for o in own if o.kind == "gain"]
    if recorded:
        row = max(recorded, key=lambda r: (r.date, r.ref))
        others = sorted({r.baseline for r in recorded if r.baseline is not None} - {row.baseline})
        how = "recorded with the rows of this target"
        if others:
            how += f"; other rows give {', '.join(f'{100 * v:.2f}' for v in others)}"
        told = _told(question, row.baseline, row.n, _level_with(singles, row.baseline), how, row.ref)
        if best and row.baseline is not None and best.sign * (best.value - row.baseline) > ROUNDING:
            # Its sources were fewer than the models that the log knows: a gain over them may be none over this one.
            told["better"] = {"model": best.sources[0], "value": best.value, "ref": best.ref}
        return told
    if best and (question.mode == "IncTar" or enough(singles, k)):
        models = _level_with(singles, best.value)
        how = f"the best of {len(singles)} single models in the log"
        return _told(question, best.value, best.n, models, how, best.ref)
    if best:
        known = f"{len(singles)} model{'s' * (len(singles) != 1)} measured"
        return _told(question, None, best.n, [], f"at least {100 * best.value:.2f}% ({known})", None)
    return _told(question, None, None, [], "not measured yet", None)


def _told(
    question: Question, value: float | None, n: int | None, models: Sequence[str], how: str, ref: str | None
) -> dict[str, object]:
    return {
        "kind": GOAL[question.mode],
        "value": value,
        "n": n,
        "model": models[0] if models else None,
        "tied": list(models[1:]),
        "how": how,
        "ref": ref,
        "better": None,
    }


def singles_of(rows: Iterable[ResultRow], question: Question) -> list[ResultRow]:
    """Unmerged models scored on the target, one row each: the other locales' models, or for IncTar its own."""
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
    return min(singles, key=lambda r: (-r.sign * r.value, r.sources)) if singles else None


def enough(singles: Sequence[ResultRow], k: int) -> bool:
    """Can the best of these be called the best? A run scored every model it had; by hand, k or more are needed."""
    return len(singles) >= k or any(single.run for single in singles)


def _level_with(singles: Iterable[ResultRow], value: float | None) -> list[str]:
    return sorted(r.sources[0] for r in singles if r.value == value)


class Trial(NamedTuple):
    """One more measurement on the target's test set, paired: n items, sampling variance of the gain in pp².

    `known`: the test set and the figure to beat are known. `how`: where the variance comes from.
    """

    n: int
    variance: float
    known: bool
    how: str


def trial_of(
    own: Sequence[Observation],
    baseline: Mapping[str, object],
    rows: Sequence[ResultRow],
    question: Question,
    method: str,
) -> Trial:
    """What one more measurement of `method` would be worth as a measurement.

    How often two models disagree depends on the method: gains of the same one on this target tell, where there are.
    """
    gains = [o for o in own if o.kind == "gain"]
    gains = [o for o in gains if o.setting.method == method] or gains
    paired = [o for o in gains if o.row.paired]
    if paired:
        variance, n = _middle([(o.variance, o.row.n or USUAL_N) for o in paired])
        return Trial(n, variance, True, "paired, as measured on this target")
    ratio, how = pairing(rows, question.context)
    if gains:
        # A recorded standard error is what was measured; a binomial one is what pairing would have made smaller.
        known = [(o.variance, o.row.n or USUAL_N) for o in gains if o.row.se_pp is not None]
        if known:
            variance, n = _middle(known)
            return Trial(n, variance, True, "by the standard errors measured on this target")
        variance, n = _middle([(o.variance, o.row.n or USUAL_N) for o in gains])
        return Trial(n, ratio * variance, True, how)
    value, n_items = baseline["value"], baseline["n"]
    if isinstance(value, float) and isinstance(n_items, int):
        return Trial(n_items, ratio * 1e4 * stats.unpaired_variance(value, value, n_items), True, how)
    usual = [r.n for r in rows if r.context == question.context and r.n]
    n = max(set(usual), key=lambda size: (usual.count(size), size)) if usual else USUAL_N
    return Trial(n, ratio * 1e4 * 0.5 / n, False, how)


def _middle(found: list[tuple[float, int]]) -> tuple[float, int]:
    return sorted(found)[len(found) // 2]


def pairing(rows: Sequence[ResultRow], context: str) -> tuple[float, str]:
    """Paired variance over the unpaired bound, and in words. The median of the rows with wins and losses.

    Those of the context, with the dependence between their items if that is known; of any context where they are
    fewer than FEWEST_PAIRED: how often two models disagree depends on the method, and one row speaks for one.
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


def detectable(trial: Trial) -> float:
    """The smallest gain in pp that the trial finds with 80% power."""
    return round(100 * stats.minimum_detectable_effect(trial.variance / 1e4), 2)

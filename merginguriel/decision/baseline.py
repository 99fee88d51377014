"""Which figure has a merge to beat, and what can one more measurement on this target see?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .. import stats
from ..knowledge.rows import ResultRow
from .evidence import GOAL, Observation
from .question import Question

USUAL_N = 500  # test items of a trial where the log knows no test set


def baseline_of(
    rows: Iterable[ResultRow], question: Question, own: Sequence[Observation]
) -> dict[str, object]:
    """The figure to beat: the one recorded most recently with this target's rows, else the best single model known."""
    kind = GOAL[question.mode]
    recorded = [o.row for o in own if o.kind == "gain"]
    if recorded:
        row = max(recorded, key=lambda r: (r.date, r.ref))
        others = sorted({r.baseline for r in recorded if r.baseline is not None} - {row.baseline})
        known = best_single(rows, question)
        return {
            "kind": kind,
            "value": row.baseline,
            "n": row.n,
            "model": known.sources[0] if known and known.value == row.baseline else None,
            "how": "recorded with the rows of this target"
            + (f"; other rows give {', '.join(f'{100 * v:.2f}' for v in others)}" if others else ""),
            "ref": row.ref,
        }
    known = best_single(rows, question)
    if known:
        return {
            "kind": kind,
            "value": known.value,
            "n": known.n,
            "model": known.sources[0],
            "how": f"the best of {len(_singles(rows, question))} single models in the log",
            "ref": known.ref,
        }
    return {
        "kind": kind,
        "value": None,
        "n": None,
        "model": None,
        "how": "not measured yet: run mu nxn",
        "ref": None,
    }


def best_single(rows: Iterable[ResultRow], question: Question) -> ResultRow | None:
    singles = _singles(rows, question)
    return min(singles, key=lambda r: (-r.value, r.sources)) if singles else None


def _singles(rows: Iterable[ResultRow], question: Question) -> list[ResultRow]:
    """Unmerged models scored on the target: the other locales' models, or for IncTar its own."""
    own = question.mode == "IncTar"
    return [
        r
        for r in rows
        if r.method == "single"
        and r.metric == "accuracy"
        and (r.context, r.target) == (question.context, question.target)
        and (r.sources == (question.target,)) == own
        and r.status == "current"
    ]


@dataclass(frozen=True)
class Trial:
    """One more measurement on the target's test set: n items, sampling variance in pp². `known`: from this target."""

    n: int
    variance: float
    known: bool


def trial_of(
    own: Sequence[Observation], baseline: Mapping[str, object], rows: Iterable[ResultRow], question: Question
) -> Trial:
    measured = sorted((o.variance, o.row.n or USUAL_N) for o in own if o.kind == "gain")
    if measured:
        variance, n = measured[len(measured) // 2]
        return Trial(n, variance, known=True)
    value, n_items = baseline["value"], baseline["n"]
    if isinstance(value, float) and isinstance(n_items, int):
        return Trial(n_items, 1e4 * stats.unpaired_variance(value, value, n_items), known=True)
    usual = [r.n for r in rows if r.context == question.context and r.n]
    n = max(set(usual), key=lambda size: (usual.count(size), size)) if usual else USUAL_N
    return Trial(n, 1e4 * 0.5 / n, known=False)


def detectable(trial: Trial) -> float:
    """The smallest gain in pp that the trial finds with 80% power."""
    return round(100 * stats.minimum_detectable_effect(trial.variance / 1e4), 2)

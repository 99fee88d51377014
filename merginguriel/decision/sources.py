"""Source models of an arm, each with the reason for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from merginguriel import locales, threads
from merginguriel.knowledge.parse.rows import ResultRow, is_merge
from merginguriel.similarity import choice
from merginguriel.similarity.registry import Inputs
from merginguriel.text.numbers import percent

from .arm_types import ArmSource
from .baseline import enough, singles_of
from .evidence import JOINT, Arm, columns
from .question import DEFAULT, RETRIEVAL, Question

ROUNDING = 1e-4  # an accuracy of the log is given to a hundredth of a percentage point


class SourceSet(NamedTuple):
    """Sources of an arm.

    Attributes:
        sources: The sources that the log can name.
        missing: Number of sources that it cannot name.
        note: How the sources were chosen, or what is known of the missing ones.
        untrained: Locales whose models must be trained first, as far as is known.
    """

    sources: tuple[ArmSource, ...]
    missing: int
    note: str
    untrained: tuple[str, ...] = ()


def choose_sources(
    rows: Sequence[ResultRow],
    arm: Arm,
    measured: Sequence[ResultRow],
    question: Question,
    *,
    predicting: bool = True,
) -> SourceSet:
    """Return the sources of the measured row where it names them, else the best by the arm's similarity.

    Where too few models were scored on the target, the others' accuracies are predicted from their scores on other
    targets and from similarities of the languages. A predicted source counts as missing: it is still to be measured; unless `predicting`, it is not named.
    """
    trained = question.lab.trained if question.lab else None
    if arm.method == JOINT and not any(row.sources for row in measured):
        others = f"; measured with {arm.k}" if arm.k else ""
        return SourceSet((), 0, f"trained together on the sentences of all other locales{others}")
    if question.context.startswith(RETRIEVAL):
        two = dict(arm.params)
        merged = "the best cross-lingual and the best mono-lingual composition"
        if "specialist" in two:
            merged = f"the models D({two['specialist']}) and D({two['mono']})"
        return SourceSet((), 0, f"the training data {arm.method}" if arm.method.startswith("D(") else merged)
    for row in measured:
        if row.sources:
            weights = row.weights or (None,) * len(row.sources)
            named = tuple(
                ArmSource(source, None if weight is None else round(weight, 4), f"used by {row.ref}", row.ref)
                for source, weight in zip(row.sources, weights, strict=True)
            )
            return SourceSet(named, 0, "as measured", _without(row.sources, trained))
    wanted = arm.k or DEFAULT[2]
    singles = singles_of(rows, question)
    if question.mode == "IncTar":
        # Its own model is among the sources too.
        singles += singles_of(rows, Question(arm.target, "ExcTar", arm.context))
    by_source = {row.sources[0]: row for row in singles}
    column = {source: row.value for source, row in by_source.items()}
    kind = (arm.similarity or "").partition("×")[0]
    if kind not in ("", "REAL"):  # REAL-row is a row of the matrix, which the log does not have
        near = (
            _nearest(arm, wanted, _pool(rows, arm, column, trained)) if predicting and kind == "URIEL" else ()
        )
        if near:
            return SourceSet(
                near, 0, "ranked by URIEL similarity", _without([s.locale for s in near], trained)
            )
        note = f"{wanted} by {kind}: the log does not name them, and an N×N matrix ranks by REAL"
        return SourceSet(
            (), wanted, note, _candidates(rows, arm, column, wanted, trained) if predicting else ()
        )
    if not enough(singles, wanted):
        note = f"{wanted} to be named by an N×N matrix (mu nxn)"
        if column:
            note += f"; {_known(rows, arm, column, wanted)}"
        found = _predicted(rows, arm, column, wanted, trained) if predicting else ()
        if found:
            names = [source.locale for source in found]
            unknown = sum(source not in column for source in names)
            also = f"; {_known(rows, arm, column, wanted)}" if column else ""
            note = f"{unknown} predicted: an N×N matrix (mu nxn) measures them{also}"
            return SourceSet(found, unknown, note, _without(names, trained))
        return SourceSet(
            (), wanted, note, _candidates(rows, arm, column, wanted, trained) if predicting else ()
        )
    own = question.mode == "IncTar" and arm.target in column
    missing = max(0, wanted - len(column))
    picked = choice.choose(
        arm.target,
        "IncTar" if own else "ExcTar",
        wanted - missing,
        "REAL",
        candidates=list(column),
        inputs=Inputs(accuracy=lambda _: {source: {arm.target: value} for source, value in column.items()}),
        weigh=None if missing or arm.method == "average" else "REAL",
    )
    order = choice.top_k(column, len(column))
    sources = tuple(
        ArmSource(
            source.name,
            None if missing else round(source.weight, 4),
            f"{percent(column[source.name])} on {arm.target}, rank {order.index(source.name) + 1} of {len(column)} measured",
            by_source[source.name].ref,
        )
        for source in picked.sources
    )
    chosen = [source.name for source in picked.sources]
    note = "ranked by REAL similarity"
    if missing:
        note += f"; {missing} more must come from an N×N matrix (mu nxn): the log does not name them"
        return SourceSet(sources, missing, note, _candidates(rows, arm, column, wanted, trained))
    return SourceSet(sources, 0, note, _without(chosen, trained))


def _pool(
    rows: Sequence[ResultRow], arm: Arm, column: Mapping[str, float], trained: frozenset[str] | None
) -> list[str]:
    """Return the models that may be sources: those trained here, where they are enough, else all that the context has."""
    if trained is not None and len(trained - {arm.target}) >= (arm.k or DEFAULT[2]):
        return sorted({*trained, *column} - {arm.target})
    known = {
        source
        for row in rows
        if row.context == arm.context and row.status == "current"
        for source in row.sources
    }
    return sorted({*known, *column, *(trained or ())} - {arm.target})


def _nearest(arm: Arm, k: int, pool: Sequence[str]) -> tuple[ArmSource, ...]:
    """Return the k models nearest to the target by URIEL; nothing where URIEL lacks the target or too many of them."""
    from merginguriel.similarity import uriel

    threads.numpy_with_one()
    known = [name for name in pool if name in locales.table() and not uriel.lacking([name])]
    if arm.target not in locales.table() or uriel.lacking([arm.target]) or len(known) < k:
        return ()
    picked = choice.choose(arm.target, "ExcTar", k, "URIEL", candidates=known, weigh="URIEL")
    return tuple(ArmSource(s.name, round(s.weight, 4), s.reason, None) for s in picked.sources)


def _predicted(
    rows: Sequence[ResultRow], arm: Arm, column: Mapping[str, float], k: int, trained: frozenset[str] | None
) -> tuple[ArmSource, ...]:
    """Return the k models with the highest measured or predicted accuracy, each with how sure that is."""
    threads.numpy_with_one()
    from . import transfer

    if arm.target not in locales.table():
        return ()
    known = columns(rows)
    if any(row.sign < 0 for row in rows if row.context == arm.context and row.method == "single"):
        return ()
    context = {target: values for (where, target), values in known.items() if where == arm.context}
    context[arm.target] = dict(column)
    out = _ruled_out(dict(column), k, _mean_of_sources(rows, arm))
    pool = [name for name in _pool(rows, arm, column, trained) if name not in out]
    told = transfer.predict(context, arm.target, pool)
    values = {
        **{name: one.value for name, one in told.items()},
        **{s: v for s, v in column.items() if s in pool},
    }
    if any(one.sd is None for one in told.values()):
        # Similarities alone say which models are near, not how good: measured ones come first.
        first = choice.top_k({s: v for s, v in values.items() if s in column}, min(k, len(column)))
        best = [*first, *choice.top_k({s: v for s, v in values.items() if s not in column}, len(values))][:k]
    else:
        best = choice.top_k(values, min(k, len(values)))
    if len(best) < k:
        return ()
    found = []
    for name in best:
        if name in column:
            reason = f"{percent(column[name])} on {arm.target}, measured"
        elif (sd := told[name].sd) is not None:
            reason = f"predicted {percent(told[name].value)} ± {100 * sd:.1f} pp from other targets and URIEL"
        else:
            reason = "near by URIEL and script; too few scores in this context to predict more"
        found.append(ArmSource(name, None, reason, None))
    return tuple(found)


def _known(rows: Sequence[ResultRow], arm: Arm, column: dict[str, float], k: int) -> str:
    """Describe what a few measured models show: the best known, and those that cannot be among the k."""
    best = max(column.values())
    top = sorted(source for source, value in column.items() if value == best)
    text = f"best known: {', '.join(top)} {percent(best)}"
    mean = _mean_of_sources(rows, arm)
    out = sorted(_ruled_out(column, k, mean))
    if out and mean:
        text += f"; not among the {k}: {', '.join(out)} (their mean was {percent(mean)})"
    return text


def _mean_of_sources(rows: Sequence[ResultRow], arm: Arm) -> float | None:
    """Return the mean accuracy of the sources of this arm, if a row recorded it."""
    means = [
        r.baseline
        for r in rows
        if r.baseline_kind == "source_mean"
        and r.baseline is not None
        and r.status == "current"
        and (r.context, r.target, r.mode) == (arm.context, arm.target, arm.mode)
        and (r.method, r.similarity, r.k) == (arm.method, arm.similarity, arm.k)
    ]
    return max(means, default=None)


def _ruled_out(column: dict[str, float], k: int, mean: float | None) -> set[str]:
    """Return the models too weak to be among k whose mean is `mean`, were all others as good as the best."""
    if mean is None:
        return set()
    best = max(column.values(), default=0.0)
    return {
        source
        for source, value in column.items()
        if value < best and (value + (k - 1) * best) / k < mean - ROUNDING
    }


def _candidates(
    rows: Sequence[ResultRow], arm: Arm, column: dict[str, float], k: int, trained: frozenset[str] | None
) -> tuple[str, ...]:
    """Return k models that a matrix should score: the best known, then those that merges of the context used.

    Empty where k or more models are trained already.
    """
    if trained is not None and len(trained - {arm.target}) >= k:
        return ()
    used = Counter(
        source
        for row in rows
        if row.context == arm.context and is_merge(row.method) and row.status == "current"
        for source in row.sources
    )
    best = max(column.values(), default=0.0)
    ranked = sorted(source for source, value in column.items() if value == best)
    ranked += sorted(used, key=lambda source: (-used[source], source))
    not_wanted = {arm.target, *_ruled_out(column, k, _mean_of_sources(rows, arm))}
    names = dict.fromkeys(source for source in ranked if source not in not_wanted)
    return _without(list(names)[:k], trained)


def _without(sources: Sequence[str], trained: frozenset[str] | None) -> tuple[str, ...]:
    return () if trained is None else tuple(source for source in sources if source not in trained)

"""Which source models would a setting use, and why each?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from merginguriel.knowledge.parse.rows import ResultRow, is_merge
from merginguriel.similarity import choice
from merginguriel.text.numbers import percent

from .baseline import enough, singles_of
from .evidence import Setting
from .question import DEFAULT, Question

ROUNDING = 1e-4  # an accuracy of the log is given to a hundredth of a percentage point


class Source(NamedTuple):
    locale: str
    weight: float | None
    reason: str
    ref: str | None

    def as_dict(self) -> dict[str, object]:
        weight = None if self.weight is None else round(self.weight, 4)
        return {"locale": self.locale, "weight": weight, "reason": self.reason, "ref": self.ref}


class Choice(NamedTuple):
    """`untrained`: locales whose models are needed first, as far as can be said."""

    sources: tuple[Source, ...]
    missing: int
    note: str
    untrained: tuple[str, ...] = ()


def choose_sources(
    rows: Sequence[ResultRow], setting: Setting, measured: Sequence[ResultRow], question: Question
) -> Choice:
    """The sources of the measured row where it names them; else the best by REAL, if enough models were scored.

    Sources by URIEL are named only where a row names them: accuracies say nothing about typology.
    """
    trained = question.lab.trained if question.lab else None
    for row in measured:
        if row.sources:
            weights = row.weights or (None,) * len(row.sources)
            named = tuple(
                Source(source, weight, f"used by {row.ref}", row.ref)
                for source, weight in zip(row.sources, weights, strict=True)
            )
            return Choice(named, 0, "as measured", _without(row.sources, trained))
    wanted = setting.k or DEFAULT[2]
    singles = singles_of(rows, question)
    if question.mode == "IncTar":
        # Its own model is among the sources too.
        singles += singles_of(rows, Question(setting.target, "ExcTar", setting.context))
    by_source = {row.sources[0]: row for row in singles}
    column = {source: row.value for source, row in by_source.items()}
    if (setting.similarity or "").startswith("URIEL"):
        note = f"{wanted} by URIEL: the log does not name them, and an N×N matrix ranks by REAL"
        return Choice((), wanted, note, _candidates(rows, setting, column, wanted, trained))
    if not enough(singles, wanted):
        note = f"{wanted} to be named by an N×N matrix (mu nxn)"
        if column:
            note += f"; {_known(rows, setting, column, wanted)}"
        return Choice((), wanted, note, _candidates(rows, setting, column, wanted, trained))
    chosen = choice.top_k(column, wanted)
    missing = wanted - len(chosen)
    shares = choice.shares(column, chosen) if not missing else {}
    if setting.method == "average":
        shares = {source: 1 / len(shares) for source in shares}
    sources = tuple(
        Source(
            source,
            shares.get(source),
            f"{100 * column[source]:.2f}% on {setting.target}, rank {rank} of {len(column)} measured",
            by_source[source].ref,
        )
        for rank, source in enumerate(chosen, start=1)
    )
    note = "ranked by REAL similarity"
    if missing:
        note += f"; {missing} more must come from an N×N matrix (mu nxn): the log does not name them"
        return Choice(sources, missing, note, _candidates(rows, setting, column, wanted, trained))
    return Choice(sources, 0, note, _without(chosen, trained))


def _known(rows: Sequence[ResultRow], setting: Setting, column: dict[str, float], k: int) -> str:
    """What a few measured models do say: which are the best known, and which cannot be among the k."""
    best = max(column.values())
    top = sorted(source for source, value in column.items() if value == best)
    said = f"best known: {', '.join(top)} {percent(best)}"
    mean = _mean_of_sources(rows, setting)
    out = sorted(_ruled_out(column, k, mean))
    if out and mean:
        said += f"; not among the {k}: {', '.join(out)} (their mean was {percent(mean)})"
    return said


def _mean_of_sources(rows: Sequence[ResultRow], setting: Setting) -> float | None:
    """What the sources of this very setting score on average, if a row recorded it."""
    means = [
        r.baseline
        for r in rows
        if r.baseline_kind == "source_mean"
        and r.baseline is not None
        and r.status == "current"
        and (r.context, r.target, r.mode) == (setting.context, setting.target, setting.mode)
        and (r.method, r.similarity, r.k) == (setting.method, setting.similarity, setting.k)
    ]
    return max(means, default=None)


def _ruled_out(column: dict[str, float], k: int, mean: float | None) -> set[str]:
    """Models too weak to be among k whose mean is `mean`.

    With one of the k at `value` and the others at most as good as the best, the mean is at most this.
    """
    if mean is None:
        return set()
    best = max(column.values(), default=0.0)
    return {
        source
        for source, value in column.items()
        if value < best and (value + (k - 1) * best) / k < mean - ROUNDING
    }


def _candidates(
    rows: Sequence[ResultRow],
    setting: Setting,
    column: dict[str, float],
    k: int,
    trained: frozenset[str] | None,
) -> tuple[str, ...]:
    """k models that a matrix should score at least: the best known, then those that merges of the context used.

    None where k or more models are there already: a matrix can do with these.
    """
    if trained is not None and len(trained - {setting.target}) >= k:
        return ()
    used = Counter(
        source
        for row in rows
        if row.context == setting.context and is_merge(row.method) and row.status == "current"
        for source in row.sources
    )
    best = max(column.values(), default=0.0)
    ranked = sorted(source for source, value in column.items() if value == best)
    ranked += sorted(used, key=lambda source: (-used[source], source))
    not_wanted = {setting.target, *_ruled_out(column, k, _mean_of_sources(rows, setting))}
    names = dict.fromkeys(source for source in ranked if source not in not_wanted)
    return _without(list(names)[:k], trained)


def _without(sources: Sequence[str], trained: frozenset[str] | None) -> tuple[str, ...]:
    return () if trained is None else tuple(source for source in sources if source not in trained)

"""Rule: one model has one accuracy on one test set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.rows import MEASURES, ResultRow

_CELL = attrgetter(*["context", "target", "mode", "method", "params", "metric", "k", "n", "seed", "value"])


def check(knowledge: Knowledge) -> list[Problem]:
    """Check a target's own models, and rows that two entries label with different similarities."""
    return _drift(knowledge) + _best_sources(knowledge) + _mislabelled(knowledge)


def _rounds(
    knowledge: Knowledge, scored: Callable[[ResultRow], float | None]
) -> Iterator[dict[float, ResultRow]]:
    """Yield value → first row of each model whose values on one test set are further apart than an item and a half.

    Args:
        scored: Accuracy of the model in a row; None for a row without it. Rows of runs are left out.
    """
    seen: dict[tuple[object, ...], dict[float, ResultRow]] = {}
    for row in sorted(knowledge.rows, key=lambda row: (row.day, row.ref)):
        counts = row.status == "current" and row.metric not in MEASURES and not row.run
        if counts and (value := scored(row)) is not None:
            key = (row.context, row.target, row.metric, row.n, row.seed)
            seen.setdefault(key, {}).setdefault(round(value, 6), row)
    for values in seen.values():
        n = next(iter(values.values())).n
        if max(values) - min(values) > 1.5 / (n or 10**6):
            yield values


def _listed(values: dict[float, ResultRow]) -> tuple[str, str]:
    """Return `3 accuracies, 1.20 pp apart`, and each with its row."""
    each = ", ".join(f"{100 * value:.2f}% ({row.ref})" for value, row in values.items())
    return f"{len(values)} accuracies, {100 * (max(values) - min(values)):.2f} pp apart", each


def _drift(knowledge: Knowledge) -> list[Problem]:
    def own(row: ResultRow) -> float | None:
        if row.baseline_kind == "target_alone":
            return row.baseline
        return row.value if row.method == "single" and row.sources == (row.target,) else None

    result = []
    for values in _rounds(knowledge, own):
        last = values[max(values)]
        many, each = _listed(values)
        result.append(
            Problem(
                last.where,
                f"{last.target}'s own model has {many}, and no run says which round each is of: {each}.",
                "Let one entry contest the other rounds (## Contests), or name the runs: a merge and its baseline "
                "are scored in one round.",
            )
        )
    return result


def _best_sources(knowledge: Knowledge) -> list[Problem]:
    """Report a best single source that has another accuracy in another entry, where no run states its round."""

    def best(row: ResultRow) -> float | None:
        return row.baseline if row.n and row.baseline_kind == "best_single_source" else None

    found = []
    for values in _rounds(knowledge, best):
        if len({_entry(row) for row in values.values()}) > 1:
            last = values[max(values)]
            many, each = _listed(values)
            found.append(
                Problem(
                    last.where,
                    f"the best single source of {last.target} has {many}: {each}.",
                    "Name the runs, or let one entry contest the rows of the other round (## Contests).",
                )
            )
    return found


def _mislabelled(knowledge: Knowledge) -> list[Problem]:
    """Report equal figures on two or more targets under two similarities: one entry names the wrong one."""
    seen: dict[tuple[object, ...], list[ResultRow]] = {}
    for row in knowledge.rows:
        if row.status == "current" and row.similarity and row.metric not in MEASURES and not row.sources:
            seen.setdefault(_CELL(row), []).append(row)
    twins: dict[tuple[str, ...], dict[str, tuple[ResultRow, ResultRow]]] = {}
    for rows in seen.values():
        for item in rows:
            for other in rows:
                if str(item.similarity) < str(other.similarity) and _entry(item) != _entry(other):
                    twins.setdefault(tuple(sorted((_entry(item), _entry(other)))), {})[item.target] = (
                        item,
                        other,
                    )
    return [
        Problem(
            pairs[0][1].where,
            f"{pairs[0][0].ref} calls {pairs[0][0].similarity} what {pairs[0][1].ref} calls {pairs[0][1].similarity}: "
            f"the same figures on {len(pairs)} targets.",
            "One of them is wrong. If it is not known which, contest the rows (## Contests).",
        )
        for pairs in (list(item.values()) for item in twins.values())
        if len(pairs) > 1
    ]


def _entry(row: ResultRow) -> str:
    return row.ref.partition("#")[0]

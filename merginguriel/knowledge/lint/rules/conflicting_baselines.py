"""Rule: one model has one accuracy on one test set."""

from __future__ import annotations

from operator import attrgetter

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.rows import MEASURES, ResultRow

_CELL = attrgetter(*["context", "target", "mode", "method", "params", "metric", "k", "n", "seed", "value"])


def check(knowledge: Knowledge) -> list[Problem]:
    """Check a target's own models, and rows that two entries label with different similarities."""
    return _drift(knowledge) + _best_sources(knowledge) + _mislabelled(knowledge)


def _drift(knowledge: Knowledge) -> list[Problem]:
    seen: dict[tuple[str, str, str, int | None, int | None], dict[float, ResultRow]] = {}
    for row in sorted(knowledge.rows, key=lambda row: (row.day, row.ref)):
        if row.status != "current" or row.metric in MEASURES or row.run:
            continue
        own = row.value if row.method == "single" and row.sources == (row.target,) else None
        own = row.baseline if row.baseline_kind == "target_alone" else own
        if own is not None:
            seen.setdefault((row.context, row.target, row.metric, row.n, row.seed), {}).setdefault(
                round(own, 6), row
            )
    result = []
    for (_, target, _, n, _), values in seen.items():
        low, high = min(values), max(values)
        if high - low > 1.5 / (n or 10**6):
            values_text = ", ".join(f"{100 * value:.2f}% ({row.ref})" for value, row in values.items())
            result.append(
                Problem(
                    values[high].where,
                    f"{target}'s own model has {len(values)} accuracies, {100 * (high - low):.2f} pp apart, and no run "
                    f"says which round each is of: {values_text}.",
                    "Let one entry contest the other rounds (## Contests), or name the runs: a merge and its baseline "
                    "are scored in one round.",
                )
            )
    return result


def _best_sources(knowledge: Knowledge) -> list[Problem]:
    """Report a best single source that has another accuracy in another entry, where no run states its round."""
    seen: dict[tuple[object, ...], dict[float, ResultRow]] = {}
    for row in sorted(knowledge.rows, key=lambda row: (row.day, row.ref)):
        if row.status != "current" or row.baseline is None or not row.n or row.run:
            continue
        if row.baseline_kind == "best_single_source" and row.metric not in MEASURES:
            key = (row.context, row.target, row.metric, row.n, row.seed)
            seen.setdefault(key, {}).setdefault(round(row.baseline, 6), row)
    found = []
    for (_, target, _, n, _), values in seen.items():
        low, high = min(values), max(values)
        if high - low > 1.5 / int(str(n)) and len({_entry(row) for row in values.values()}) > 1:
            listed = ", ".join(f"{100 * value:.2f}% ({row.ref})" for value, row in values.items())
            found.append(
                Problem(
                    values[high].where,
                    f"the best single source of {target} has {len(values)} accuracies, {100 * (high - low):.2f} pp apart: "
                    f"{listed}.",
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

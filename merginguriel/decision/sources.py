"""Which source models would a recipe use, and why each?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..knowledge.rows import ResultRow
from ..similarity import real
from .evidence import Recipe


@dataclass(frozen=True)
class Source:
    locale: str
    weight: float | None
    reason: str
    ref: str | None

    def as_dict(self) -> dict[str, object]:
        weight = None if self.weight is None else round(self.weight, 4)
        return {"locale": self.locale, "weight": weight, "reason": self.reason, "ref": self.ref}


@dataclass(frozen=True)
class Choice:
    sources: tuple[Source, ...]
    missing: int
    note: str


def choose_sources(rows: Iterable[ResultRow], recipe: Recipe, measured: Sequence[ResultRow]) -> Choice:
    """The sources of the measured row where it names them; else the best by REAL among the models in the log.

    Sources by URIEL are named only where a row names them: accuracies say nothing about typology.
    """
    for row in measured:
        if row.sources:
            weights = row.weights or (None,) * len(row.sources)
            return Choice(
                tuple(
                    Source(source, weight, f"used by {row.ref}", row.ref)
                    for source, weight in zip(row.sources, weights, strict=True)
                ),
                0,
                "as measured",
            )
    wanted = recipe.k or 5
    if recipe.similarity == "URIEL":
        note = f"{wanted} by URIEL: the log does not name them, and an N×N matrix ranks by REAL"
        return Choice((), wanted, note)
    singles = {
        row.sources[0]: row
        for row in rows
        if row.method == "single"
        and row.metric == "accuracy"
        and row.status == "current"
        and (row.context, row.target) == (recipe.context, recipe.target)
        and (row.sources[0] != recipe.target or recipe.mode == "IncTar")
    }
    column = {source: row.value for source, row in singles.items()}
    chosen = real.top_k(column, wanted)
    missing = max(wanted - len(chosen), 0)
    shares = real.weights(column, chosen) if chosen and not missing else {}
    if recipe.method == "average":
        shares = dict.fromkeys(shares, 1 / len(shares)) if shares else {}
    sources = tuple(
        Source(
            source,
            shares.get(source),
            f"{100 * singles[source].value:.2f}% on {recipe.target}, rank {rank} of {len(column)} measured",
            singles[source].ref,
        )
        for rank, source in enumerate(chosen, start=1)
    )
    note = "ranked by REAL similarity"
    if missing:
        note += f"; {missing} more must come from an N×N matrix (mu nxn): the log does not name them"
    return Choice(sources, missing, note)

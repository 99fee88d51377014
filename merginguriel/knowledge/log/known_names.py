"""Known names of methods, parameters and contexts, and names of an entry that resemble one of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.expectations import Expectation
from merginguriel.knowledge.parse.rows import POLICIES, SUPERSEDED, ResultRow
from merginguriel.text.suggest import close, did_you_mean

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge

# How alike two names are, from 0 to 1, of which one is taken for a slip of the other. Contexts of one task share
# most of their letters and are different all the same.
NEAR = {"method": 0.75, "params": 0.75, "context": 0.92}
METHODS = (
    "single",
    "compat",
    "similarity",
    "ensemble_soft",
    "ensemble_hard",
)  # measured, and no merging function
Program = Mapping[str, Collection[str]]  # a method that the program has → the parameters that it takes


@dataclass(frozen=True)
class Unknown:
    """A name that is not known. `kind` is method, params or context; `near` are similar known names, best first."""

    kind: str
    name: str
    near: tuple[str, ...]
    where: str

    @property
    def what(self) -> str:
        """Return the problem as a phrase."""
        return f"{'the parameter' if self.kind == 'params' else f'the {self.kind}'} {self.name!r} is unknown"

    @property
    def guess(self) -> str:
        """Return "Did you mean …?", or ""."""
        return did_you_mean(self.near)


def known(knowledge: Knowledge, program: Program) -> dict[str, set[str]]:
    """Map each kind to the names that the log's rows, the settings or the program have."""
    rows = [row for row in knowledge.rows if row.status != SUPERSEDED]  # a slip that was corrected is no name
    context = str(knowledge.space.settings["context"])
    return {
        "method": {*METHODS, *program, *(row.method for row in rows)},
        "params": {*POLICIES, *(p for ps in program.values() for p in ps), *(p for row in rows for p, _ in row.params)},
        "context": {context, *(row.context for row in rows)},
    }  # fmt: skip


def unknown(knowledge: Knowledge, program: Program, entry: Entry) -> list[Unknown]:
    """Return the unknown names of an entry's rows and expectations, each once, at its first line.

    Names in the rows of a run are the program's own, and no slips.
    """
    names = known(knowledge, program)
    result: dict[tuple[str, str], Unknown] = {}
    for kind, name, where in _used(entry):
        if name not in names[kind] and (kind, name) not in result:
            result[kind, name] = Unknown(
                kind, name, tuple(close(name, names[kind], cutoff=NEAR[kind])), where
            )
    return list(result.values())


def _used(entry: Entry) -> Iterator[tuple[str, str, str]]:
    used: list[ResultRow | Expectation] = [*(row for row in entry.rows if not row.run), *entry.expected]
    for item in used:
        yield "method", item.method, item.where
        yield "context", item.context, item.where
        for name, _ in item.params:
            yield "params", name, item.where

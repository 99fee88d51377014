"""Registry of similarities between source and target locales.

A similarity is one function in one file of this folder, marked with `@similarity`:

    @similarity("URIEL", doc="cosine of typological features")
    def uriel_similarity(sources, targets, inputs): ...

It takes the names of S sources and T targets and returns [S, T], NaN where it knows no value. What it computes with
beyond the names comes from `inputs`; `needs` declares which part.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from merginguriel.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    Function = Callable[[Sequence[str], Sequence[str], "Inputs"], np.ndarray]

NEEDS = ("nothing", "accuracy", "models")
_DECLARED = re.compile(r"^@similarity\(", re.MULTILINE)
_registered: dict[str, Similarity] = {}


@dataclass(frozen=True)
class Similarity:
    """A registered similarity.

    needs  what it is computed from besides the names: `nothing`, `accuracy` (an N×N matrix on development data) or
           `models` (the models of sources and target)
    historical  whether it names what earlier results used; shown only when asked for
    """

    name: str
    function: Function
    needs: str
    doc: str
    historical: bool = False


@dataclass(frozen=True)
class Inputs:
    """What similarities are computed from; each part is measured only when a similarity asks for it.

    features  sets of URIEL features; empty for all
    accuracy  targets → source → target → score on development data, higher is better (`Metric.benefit`), as far as it
              was measured. Raises UnavailableError where the first target was not
    fit       (`cosine` or `CKA`, N names) → [N, N], symmetric: how alike the models of these names are
    flags     what a command needs to mean the same study, for hints
    """

    features: tuple[str, ...] = ()
    accuracy: Callable[[Sequence[str]], Mapping[str, Mapping[str, float]]] | None = None
    fit: Callable[[str, Sequence[str]], np.ndarray] | None = None
    flags: str = ""


NO_INPUTS = Inputs()


def similarity(
    name: str, *, doc: str, needs: str = "nothing", historical: bool = False
) -> Callable[[Function], Function]:
    """Register a function as the similarity `name`; see the module's docstring for its form.

    Args:
        name: Its name in rows, recipes and flags.
        doc: What it measures, in a line.
        needs: What it is computed from.
        historical: It names what earlier results used, and is shown only when asked for.
    """
    if needs not in NEEDS:
        raise UsageError(f"unknown need {needs!r} of similarity {name}.", hint=f"Known: {', '.join(NEEDS)}.")

    def register(function: Function) -> Function:
        _registered[name] = Similarity(name, function, needs, doc, historical)
        return function

    return register


@cache
def registered() -> Mapping[str, Similarity]:
    """Return every similarity by name: first those that need no model, in the order of what they need."""
    package = importlib.import_module(__package__)
    for folder in package.__path__:
        for path in sorted(Path(folder).glob("*.py")):
            if path.stem != "registry" and _DECLARED.search(path.read_text(encoding="utf-8")):
                importlib.import_module(f"{__package__}.{path.stem}")
    order = sorted(_registered.values(), key=lambda one: (NEEDS.index(one.needs), one.name))
    return {one.name: one for one in order}


@cache
def names(*, models: bool = True, products: bool = True) -> tuple[str, ...]:
    """Return the names that a row, a recipe or a configuration may use.

    Args:
        models: include similarities that are computed from models.
        products: include `URIEL×cosine` and the like: a similarity to the target times the fit among the sources.
    """
    every = registered().values()
    light = [one.name for one in every if one.needs != "models"]
    heavy = [one.name for one in every if one.needs == "models"]
    found = [*light, *(heavy if models else [])]
    return (*found, *(f"{one}×{times}" for one in light for times in heavy if products))


def usual() -> tuple[str, ...]:
    """Return the similarities to a target that need no model and are meant for choosing sources."""
    return tuple(name for name in names(models=False, products=False) if not registered()[name].historical)


def multipliers() -> tuple[str, ...]:
    """Return the names that can stand behind ×: similarities between models."""
    return tuple(one.name for one in registered().values() if one.needs == "models")


def preweights() -> tuple[str, ...]:
    """Return the values of `preweight`: `equal`, and each similarity to the target in lower case."""
    return ("equal", *(name.lower() for name in names(products=False)))


def get(name: str) -> Similarity:
    """Return the similarity of this name, in any case; of a product or a label of choice.label, its first part.

    Raises:
        UsageError: no similarity has this name.
    """
    first = name.partition("×")[0].partition("+")[0].lower()
    for one in registered().values():
        if one.name.lower() == first:
            return one
    raise UsageError(f"unknown similarity {name!r}.", hint=f"Known: {', '.join(names())}.")


def sees_labels(name: str | None) -> bool:
    """Return whether the similarity uses labels of the target: all do that need more than names."""
    return name not in (None, "equal") and get(str(name)).needs != "nothing"

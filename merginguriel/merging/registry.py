"""Registry of merging methods, their parameters and what they need.

A method is one function in one file of `methods/`, marked with `@method`. Its first argument says what it
works on:

    tensors, weights       [k, *s] the sources' weights, and [k] non-negative weights with sum 1 (see `signed`)
    base, deltas, weights  [*s] the pretrained base and [k, *s] task vectors against it
    gram, weights          [k, k] inner products of the sources' tensors, float64
    base_gram, weights     [k, k] inner products of the task vectors

The first two return [*s] and may overwrite `tensors` or `deltas`; the last two return [k] coefficients, and the
merge is that combination of the sources, or of the task vectors on top of the base. Parameters come by keyword,
and of these facts those that the function asks for:

    place         which tensor this is
    dice          random numbers
    importance    [k, *s] how much each entry matters to each source on some text
    grams         [k, d, d] XᵀX / n of the inputs x of a linear layer [out, d] in each source on some text
    coefficients  [k] a number per source that was learnt on some text

The last three are computed from text before the merge (merging.statistics, training.adamerging_coefficients) and
recorded in the recipe, so that the merge itself needs no text. Tensors that the statistics do not cover get the
weighted mean. Where all inputs are equal a method must return that value: the engine copies such tensors.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.text.suggest import suggest

Value = float | int | bool | str
Function = Callable[..., np.ndarray]

registered: dict[str, Method] = {}


@dataclass(frozen=True)
class Param:
    """A parameter of a method: default, whose type it keeps, bounds or choices, and one line of help."""

    default: Value
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    doc: str = ""


UNITS = ("entry", "row", "tensor")
FROM_TEXT = ("importance", "grams", "coefficients")
FACTS = frozenset({"place", "dice", *FROM_TEXT})
SAW = ("nothing", "unlabelled text", "labels")  # what can be seen of a target, from little to much
FIRST = ("tensors", "base", "gram", "base_gram")


@dataclass(frozen=True)
class TensorPlace:
    """The tensor that a method works on.

    name    as in the checkpoint
    shape   *s
    layer   number of its transformer layer from 0; −1 before the first, `layers` after the last
    names   the sources, in the order of `deltas`
    target  the locale that the merge is for, if the recipe says
    """

    name: str
    shape: tuple[int, ...]
    layer: int
    layers: int
    names: tuple[str, ...]
    target: str | None


@dataclass(frozen=True)
class Dice:
    """Random numbers that depend on seed, source, tensor and position only.

    keys   [k] uint64, one per source, for merging.compiled_loops
    start  position in the tensor of the first entry that the method is given
    """

    keys: np.ndarray
    start: int


@dataclass(frozen=True)
class Method:
    """A merging method as the engine, the command line and the model card see it.

    takes     its first argument: `tensors`, `base`, `gram` or `base_gram`
    facts     what else it wants to know, of FACTS
    weighted  its sources may have unequal weights
    signed    weights may be negative and are used as given; elsewhere they are non-negative and scaled to the sum 1
    unit      what it must see at once: an `entry` of all sources, a `row` (of the last dimension) or a `tensor`
    trim      kept ranks (low, high) of ascending magnitude, from size and parameters: the engine zeroes the other
              entries of each task vector before the method sees it
    matrices  it is for weight matrices only; embeddings, biases and norms get the weighted mean
    sources   the least and the greatest number of sources (None: any)
    saw       the most that it uses of the target language, one of SAW
    before    parameters that only the reading of text before the merge needs
    heads     what becomes of heads unless the recipe says: `average` if the method trims, drops, selects, projects or
              shrinks task vectors, `merge` (by this method) if it is a mean or learns from text. A head begins at random
              or zero weights: it has no redundant entries to drop, and no pretrained value to fall back to. The papers
              leave heads out: each task keeps its own. Fixed by this reason, not by the accuracy on any target
    """

    name: str
    function: Function
    paper: str
    params: Mapping[str, Param]
    takes: str
    facts: frozenset[str]
    weighted: bool
    unit: str
    trim: Callable[..., tuple[int, int]] | None
    matrices: bool
    sources: tuple[int, int | None]
    saw: str
    before: tuple[str, ...]
    heads: str
    signed: bool

    @property
    def needs(self) -> str | None:
        """What must be computed from text before a merge, one of FROM_TEXT; None for a data-free method."""
        return next((fact for fact in FROM_TEXT if fact in self.facts), None)

    @property
    def needs_base(self) -> bool:
        """Whether the method works on task vectors."""
        return self.takes.startswith("base")

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


def method(
    name: str,
    *,
    paper: str,
    weighted: bool = True,
    unit: str = "tensor",
    trim: Callable[..., tuple[int, int]] | None = None,
    matrices: bool = False,
    sources: tuple[int, int | None] = (1, None),
    saw: str = "nothing",
    before: tuple[str, ...] = (),
    heads: str = "merge",
    signed: bool = False,
    **params: Param,
) -> Callable[[Function], Function]:
    """Register the function below as `name`. Keyword-only arguments of it and of `trim`, and `before`: the parameters."""

    def register(function: Function) -> Function:
        arguments = inspect.signature(function).parameters
        wanted = keywords(function) - FACTS | (keywords(trim) if trim else frozenset()) | set(before)
        takes = next(iter(arguments), "")
        if wanted != set(params):
            raise TypeError(f"method {name}: takes {sorted(wanted)}, but declares {sorted(params)}")
        if takes not in FIRST:
            raise TypeError(f"method {name}: the first argument must be one of {FIRST}, not `{takes}`")
        if trim and takes != "base":
            raise TypeError(f"method {name}: only task vectors are trimmed")
        if unit not in UNITS:
            raise TypeError(f"method {name}: the unit must be one of {UNITS}, not `{unit}`")
        if saw not in SAW:
            raise TypeError(f"method {name}: saw must be one of {SAW}, not `{saw}`")
        if heads not in ("merge", "average"):
            raise TypeError(f"method {name}: heads must be merge or average, not `{heads}`")
        if name in registered:
            raise TypeError(f"method {name} is declared twice")
        registered[name] = Method(
            name=name,
            function=function,
            paper=paper,
            params=params,
            takes=takes,
            facts=frozenset(keywords(function) & FACTS),
            weighted=weighted,
            unit=unit,
            trim=trim,
            matrices=matrices,
            sources=sources,
            saw=saw,
            before=before,
            heads=heads,
            signed=signed,
        )
        return function

    return register


@lru_cache(maxsize=256)  # called for every block of every tensor
def keywords(function: Callable[..., object]) -> frozenset[str]:
    """Return the names of the keyword-only arguments."""
    found = inspect.signature(function).parameters.items()
    return frozenset(name for name, argument in found if argument.kind is argument.KEYWORD_ONLY)


@cache
def all_methods() -> dict[str, Method]:
    """Return every method by name, sorted; imports each file of `methods/` once."""
    from . import methods

    for module in pkgutil.iter_modules(methods.__path__, methods.__name__ + "."):
        importlib.import_module(module.name)
    return dict(sorted(registered.items()))


def parameters() -> dict[str, tuple[str, ...]]:
    """Return every method's name → the names of its parameters."""
    return {name: tuple(method.params) for name, method in all_methods().items()}


def get(name: str) -> Method:
    """Return the method called `name`. Raises UsageError naming the nearest and all."""
    known = all_methods()
    if name in known:
        return known[name]
    guess = suggest(name, known, n=1, cutoff=0.5)
    hint = f"{guess}\nMethods are: {', '.join(known)}.".lstrip()
    raise UsageError(f"{name!r} is not a merging method.", hint=hint)


def complete(chosen: Method, given: Mapping[str, Value]) -> dict[str, Value]:
    """Return the value of every parameter of `chosen`, defaults filled in. Raises UsageError for an invalid one."""
    for key in given:
        if key not in chosen.params:
            known = ", ".join(chosen.params) or "none"
            raise UsageError(f"{chosen.name} has no parameter {key!r}.", hint=f"Its parameters are: {known}.")
    return {
        key: checked(f"{chosen.name}: {key}", p, given.get(key, p.default))
        for key, p in chosen.params.items()
    }


def checked(what: str, param: Param, value: Value) -> Value:
    """Return `value` in the type of the parameter's default and within its bounds. Text is read as a number."""
    kind = type(param.default)
    if kind in (float, int) and not isinstance(value, bool):
        try:
            number = float(value)
            # The comparison also refuses NaN, which lies within no bounds.
            low, high = param.low, param.high
            if not (
                np.isfinite(number) and (low is None or number >= low) and (high is None or number <= high)
            ):
                raise UsageError(f"{what} is {value}, which is out of range.", hint=bounds(param))
            if kind is float or number.is_integer():
                return kind(number)
        except ValueError:
            pass
    elif kind is bool and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    elif kind is str and isinstance(value, str) and (not param.choices or value in param.choices):
        return value
    raise UsageError(f"{what} is {value!r}.", hint=bounds(param))


def bounds(param: Param) -> str:
    """Describe the valid values of a parameter."""
    if param.choices:
        return f"It is one of: {', '.join(param.choices)}."
    kinds = {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}
    limits = {"at least": param.low, "at most": param.high}
    text = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)
    return (
        f"It is {kinds[type(param.default)]}{' of ' + text if text else ''}; the default is {param.default}."
    )

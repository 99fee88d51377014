"""Which merging methods are there, what parameters do they take, and what do they need?

A method is one function in one file of `methods/`, marked with `@method`. Its first argument says what it
works on: `tensors` [k, *s] (the sources' weights) or `base` [*s] and `deltas` [k, *s] (task vectors, always
against the pretrained base); s has at least one dimension. Then come `weights` [k], non-negative with sum 1,
and its parameters, by keyword. It returns [*s], and may overwrite `tensors` or `deltas`. Where all inputs are
equal it must return that value: the engine copies such tensors without asking.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import UsageError

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


@dataclass(frozen=True)
class Method:
    """A merging method as the engine, the command line and the model card see it.

    needs_base   its function works on task vectors
    weighted     its sources may have unequal weights
    elementwise  no entry depends on another: large tensors may come in blocks
    saw          what it used of the target language: `nothing`, or the data it asks for
    """

    name: str
    function: Function
    paper: str
    params: Mapping[str, Param]
    needs_base: bool
    weighted: bool
    elementwise: bool
    saw: str

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


def method(
    name: str,
    *,
    paper: str,
    weighted: bool = True,
    elementwise: bool = False,
    saw: str = "nothing",
    **params: Param,
) -> Callable[[Function], Function]:
    """Register the function below as `name`. Its keyword-only arguments must be the declared parameters."""

    def register(function: Function) -> Function:
        arguments = inspect.signature(function).parameters
        keywords = {key for key, argument in arguments.items() if argument.kind is argument.KEYWORD_ONLY}
        first = next(iter(arguments), "")
        if keywords != set(params):
            raise TypeError(f"method {name}: takes {sorted(keywords)}, but declares {sorted(params)}")
        if first not in ("tensors", "base"):
            raise TypeError(f"method {name}: the first argument must be `tensors` or `base`, not `{first}`")
        if name in registered:
            raise TypeError(f"method {name} is declared twice")
        registered[name] = Method(name, function, paper, params, first == "base", weighted, elementwise, saw)
        return function

    return register


@cache
def all_methods() -> dict[str, Method]:
    """Every method by name, sorted; imports each file of `methods/` once."""
    from . import methods

    for module in pkgutil.iter_modules(methods.__path__, methods.__name__ + "."):
        importlib.import_module(module.name)
    return dict(sorted(registered.items()))


def get(name: str) -> Method:
    """The method called `name`. Raises UsageError naming the nearest and all."""
    known = all_methods()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]}?\n" if near else ""
    raise UsageError(f"{name!r} is not a merging method.", mend=f"{guess}Methods are: {', '.join(known)}.")


def complete(chosen: Method, given: Mapping[str, Value]) -> dict[str, Value]:
    """The value of every parameter of `chosen`, defaults filled in. Raises UsageError for a wrong one."""
    for key in given:
        if key not in chosen.params:
            known = ", ".join(chosen.params) or "none"
            raise UsageError(f"{chosen.name} has no parameter {key!r}.", mend=f"Its parameters are: {known}.")
    return {
        key: checked(f"{chosen.name}: {key}", p, given.get(key, p.default))
        for key, p in chosen.params.items()
    }


def checked(what: str, param: Param, value: Value) -> Value:
    """`value` in the type of the parameter's default and within its bounds. Text is read as a number."""
    kind = type(param.default)
    if kind in (float, int) and not isinstance(value, bool):
        try:
            number = float(value)
            # The comparison also refuses NaN, which lies within no bounds.
            low, high = param.low, param.high
            if not (
                np.isfinite(number) and (low is None or number >= low) and (high is None or number <= high)
            ):
                raise UsageError(f"{what} is {value}, which is out of range.", mend=bounds(param))
            if kind is float or number.is_integer():
                return kind(number)
        except ValueError:
            pass
    elif kind is bool and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    elif kind is str and isinstance(value, str) and (not param.choices or value in param.choices):
        return value
    raise UsageError(f"{what} is {value!r}.", mend=bounds(param))


def bounds(param: Param) -> str:
    """What a parameter may be, as a sentence."""
    if param.choices:
        return f"It is one of: {', '.join(param.choices)}."
    kinds = {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}
    limits = {"at least": param.low, "at most": param.high}
    text = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)
    return (
        f"It is {kinds[type(param.default)]}{' of ' + text if text else ''}; the default is {param.default}."
    )

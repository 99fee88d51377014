"""The what-if line of the advise screen: mode, method, similarity, k, least gain, budget and context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.widgets import Input, Static

from merginguriel.similarity import registry

from .choice import ChoiceLine

MODES = ("ExcTar", "IncTar")
FIELDS = ("k", "min_gain", "budget")


def numbers_of(values: Mapping[str, str]) -> tuple[int | None, float | None, int | None] | None:
    """Return k, the least gain in pp and the budget as numbers; None while one of them is not a number."""
    try:
        k = int(values["k"]) if values["k"] else None
        least = float(values["min_gain"]) if values["min_gain"] else None
        budget = int(values["budget"]) if values["budget"] else None
    except ValueError:
        return None
    return None if k is not None and k < 1 else (k, least, budget)


class WhatIf(Container):
    """The controls of a question."""

    DEFAULT_CSS = """
    WhatIf { layout: grid; grid-size: 4 2; grid-columns: 16 4fr 5fr 6; grid-rows: 1; height: 2; background: $boost; padding: 0 1; }
    WhatIf .field { height: 1; }
    WhatIf .label { width: auto; color: $text-muted; }
    WhatIf Input { width: 1fr; }
    """

    def compose(self) -> ComposeResult:
        """Yield the controls."""
        yield ChoiceLine("mode", MODES, MODES[0], id="mode")
        yield ChoiceLine("method", ("",), "", id="method")
        similarities = ("", *registry.names(models=False, products=False))
        yield ChoiceLine("similarity", similarities, "", id="similarity")
        with Horizontal(classes="field"):
            yield Static("k ", classes="label")
            yield Input(placeholder="any", type="integer", id="k", compact=True)
        with Horizontal(classes="field"):
            yield Static("min gain, pp ", classes="label")
            yield Input(type="number", id="min_gain", compact=True)
        with Horizontal(classes="field"):
            yield Static("budget ", classes="label")
            yield Input(placeholder="any", type="integer", id="budget", compact=True)
        yield ChoiceLine("context", ("",), "", id="context")

    def given(self) -> dict[str, str]:
        """Return the values of the controls."""
        fields = {name: self.query_one(f"#{name}", Input).value.strip() for name in FIELDS}
        picked = {
            name: self.query_one(f"#{name}", ChoiceLine).value
            for name in ("mode", "method", "similarity", "context")
        }
        return {**picked, **fields}

    def options(self, usual: str, *, pilot: bool = False) -> dict[str, Any] | None:
        """Return the question as arguments of `advise_request.question`; None while a number is not complete.

        Args:
            usual: The context of mu.toml, which is not named.
            pilot: Only the arguments that `mu pilot` has too.
        """
        values, numbers = self.given(), numbers_of(self.given())
        if numbers is None:
            return None
        names = ("mode", "method", *(() if pilot else ("similarity",)))
        picked: dict[str, Any] = {name: values[name] or None for name in names}
        k, least, budget = numbers
        context = None if values["context"] == usual else values["context"]
        picked |= {"context": context, "min_gain": least, "budget": budget}
        return picked if pilot else picked | {"k": k}

    def put(self, values: Mapping[str, Any]) -> None:
        """Set the controls; ignore values that are not among their options."""
        for name in ("mode", "method", "similarity", "context"):
            choice = self.query_one(f"#{name}", ChoiceLine)
            if values.get(name) in choice.options:
                choice.value = str(values[name])
        for name in FIELDS:
            field = self.query_one(f"#{name}", Input)
            with field.prevent(Input.Changed):
                field.value = str(values.get(name, ""))

"""Arms of a pilot: how each is merged, and what is expected of it, as one word of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from merginguriel.config import run_config
from merginguriel.config.schema import Config
from merginguriel.errors import UsageError
from merginguriel.evaluation import ensemble

PREFIX = "ensemble_"


@dataclass(frozen=True)
class PilotArm:
    """An arm of a pilot.

    Attributes:
        method: Method as result rows name it: `ties`, `ensemble_soft`.
        config: The run of kind `merge` that makes it; of an ensemble, with its sources only.
        mean_pp: Expected gain before the pilot, pp.
        sd_pp: Its standard deviation.
        price_pp: Price of its forward passes, pp.
        ahead_pp: What it is expected to gain more than the advised arm before the pilot, less the price, pp.
        apart: Variance of that, pp².
        similarity: Similarity that chose its sources, for the result row; None: the sources were named.
    """

    method: str
    config: Config
    mean_pp: float
    sd_pp: float
    price_pp: float
    ahead_pp: float
    apart: float
    similarity: str | None

    @property
    def together(self) -> bool:
        """Whether the models answer together instead of being merged."""
        return self.method.startswith(PREFIX)

    @property
    def ensemble(self) -> str:
        """Name of the ensemble method: `soft`."""
        return self.method.removeprefix(PREFIX)

    @property
    def label(self) -> str:
        """`ties, REAL, de-DE sv-SE, density=0.2`."""
        params = " ".join(f"{name}={value}" for name, value in self.config.params.items())
        sources = " ".join(self.config.sources) or f"{self.config.k} sources"
        return ", ".join(part for part in (self.method, self.similarity or "", sources, params) if part)


NUMBERS = ("mean", "sd", "price", "ahead", "apart")


def write(table: Mapping[str, Any], *numbers: float, logged: str | None) -> str:
    """Return an arm as one word.

    Args:
        table: Keys of the merge, or of the ensemble: method, sources or similarity and k, params, policies.
        numbers: Those of `NUMBERS`.
        logged: Similarity that chose its sources.
    """
    plain = {
        name: "+".join(value) if isinstance(value, list | tuple) else str(value)
        for name, value in table.items()
        if value is not None
    }
    written = {name: f"{number:.2f}" for name, number in zip(NUMBERS, numbers, strict=True)}
    return urlencode({**plain, **({"chosen_by": logged} if logged else {}), **written}, safe="+×.")


def read(word: str, config: Config) -> PilotArm:
    """Return the arm that `write` wrote.

    Args:
        config: The pilot, whose task, base, target, mode, seed and candidates its arms share.

    Raises:
        UsageError: The word is not an arm.
    """
    table: dict[str, Any] = dict(parse_qsl(word))
    if lacks := [name for name in ("method", *NUMBERS) if name not in table]:
        context = f" --context {config.task}/{config.base}" if config.task and config.base else ""
        raise UsageError(
            f"an arm of this pilot lacks {', '.join(lacks)}: an earlier version of the program wrote it.",
            where="arms",
            hint=f"Start it anew; scores that are cached are not computed again: mu pilot --target {config.target} "
            f"--mode {config.mode}{context}",
        )
    try:
        method = str(table.pop("method"))
        mean, sd, price, ahead, apart = (float(table.pop(name)) for name in NUMBERS)
    except ValueError as error:
        raise UsageError(
            f"{word!r} is not an arm of a pilot: {error}.",
            where="arms",
            hint="Let `mu pilot` write the configuration.",
        ) from error
    logged = table.pop("chosen_by", None)
    for name in ("sources", "include", "exclude"):
        if name in table:
            table[name] = str(table[name]).split()
    together = method.startswith(PREFIX)
    if together and method.removeprefix(PREFIX) not in ensemble.METHODS:
        raise UsageError(
            f"unknown ensemble {method!r}.",
            where="arms",
            hint=f"Ensembles are: {', '.join(ensemble.METHODS)}.",
        )
    if not table.get("sources") and config.candidates:
        table["candidates"] = list(config.candidates)
    shared = {
        "kind": "merge", "task": config.task, "base": config.base, "data": config.data, "seed": config.seed,
        "target": config.target, "mode": config.mode,
    }  # fmt: skip
    made = run_config.from_table(
        {**shared, **table, "method": "average" if together else method}, where="arms"
    )
    made = run_config.changed(made, options=config.options, training=config.training)
    return PilotArm(method, made, mean, sd, price, ahead, apart, logged or made.similarity)


def arms_of(config: Config) -> list[PilotArm]:
    """Return the arms of a pilot, as they are written in its configuration."""
    return [read(word, config) for word in config.arms]

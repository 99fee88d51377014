"""Checks of the keys that say which sources are merged: against each other, the method and the models that exist."""

from __future__ import annotations

from collections.abc import Mapping

from merginguriel.errors import MuError
from merginguriel.merging import registry
from merginguriel.similarity import choice
from merginguriel.similarity.choice import USUAL_K

from .schema import MERGES, SOURCES, Config


def check(config: Config, places: Mapping[str, str] | None = None) -> Config:
    """Return the configuration as it is, once its sources are checked.

    Args:
        places: Where each key was given, as run_config.read returns.

    Raises:
        MuError: For keys that contradict each other; it names the key.
    """
    if config.kind not in SOURCES:
        return config
    if config.sources:
        check_named(config, places or {})
    else:
        check_candidates(config, places or {})
    check_bounds(config, places or {})
    return config


def check_named(config: Config, places: Mapping[str, str]) -> None:
    """Refuse keys that would choose sources where the sources are named: they would be recorded without any effect."""
    count = number_of_sources(config)
    if config.k is not None and config.k != count:
        raise MuError(
            f"k is {config.k}, but the sources are named, and with mode {config.mode} they are {count}.",
            where=places.get("k"),
            hint="Leave k out; or leave sources out and name `candidates`, for k to be chosen from them.",
        )
    kind, _, times = (config.similarity or "").partition("×")
    if not kind:
        return
    weigh = choice.weighing(config.similarity, config.method, config.preweight)
    weighs = weigh is not None and (weigh.partition("×")[0] == kind or bool(times))
    if not weighs:
        why = f"preweight is {config.preweight}" if config.preweight else f"{config.method} weighs them alike"
        also = f", or weigh them by it: `preweight: {kind.lower()}`" if config.kind in MERGES else ""
        raise MuError(
            f"similarity {config.similarity} has no effect: the sources are named, and {why}.",
            where=places.get("similarity"),
            hint=f"Leave similarity out{also};\n"
            "or leave sources out and name `candidates`, for the similarity to choose from them.",
        )


def check_candidates(config: Config, places: Mapping[str, str]) -> None:
    """Refuse a `k` that is larger than the number of models to choose from."""
    others = [name for name in config.candidates if name != config.target]
    inside = config.mode == "IncTar"
    if config.k is not None and config.candidates and config.k - inside > len(others):
        own = " beside the target's own" if inside else ""
        raise MuError(
            f"k is {config.k}, but there are {len(others)} models to choose from{own}: {', '.join(others)}.",
            where=places.get("k"),
            hint=f"Take k: {len(others) + inside} or less, or name more `candidates`, which are then trained.",
        )


def check_bounds(config: Config, places: Mapping[str, str]) -> None:
    """Refuse a number of sources that the method cannot merge."""
    count = number_of_sources(config)
    if config.method is None or count is None:
        return
    least, most = registry.get(config.method).sources
    if least <= count <= (most or count):
        return
    wanted = (
        f"exactly {least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
    )
    key = "sources" if config.sources else "k" if config.k is not None else "method"
    number = f"the sources are {count}" if config.sources else f"k is {count}"
    if key == "method":
        number = f"without k, {count} are chosen"
    change = (
        f"Name {wanted} sources" if config.sources else f"Write k: {least}" if count > least or most else ""
    )
    raise MuError(
        f"{config.method} merges {wanted} sources, and {number}.",
        where=places.get(key) or places.get("method"),
        hint=f"{change or 'Name more candidates'}, or take another method: mu methods",
    )


def number_of_sources(config: Config) -> int | None:
    """Return how many sources the merge will have; None while the candidates are not known."""
    inside = config.mode == "IncTar"
    if config.sources:
        return len({name for name in config.sources if name != config.target}) + inside
    if config.k is not None:
        return config.k
    if not config.candidates:
        return None
    others = {name for name in config.candidates if name != config.target}
    return min(USUAL_K - inside, len(others)) + inside

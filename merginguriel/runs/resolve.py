"""Complete a configuration by what the workspace has: task, base, and the models that can be merged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merginguriel.config import source_checks
from merginguriel.config.run_config import changed, flat_values
from merginguriel.config.schema import EMBEDDERS, MERGES, Config
from merginguriel.errors import UsageError
from merginguriel.similarity.choice import AS_IT_IS, Options
from merginguriel.similarity.registry import sees_labels
from merginguriel.study.study import Study, of_context
from merginguriel.tasks import named
from merginguriel.tasks.parallel import languages
from merginguriel.workspace import Workspace


def study_of(config: Config, space: Workspace) -> Study:
    """Return the study that the run works in."""
    data = Path(config.data) if config.data else None
    return Study(space, config.task or "", config.base or "", data, config.seed, dict(config.options))


def table_of(study: Study, options: Options = AS_IT_IS) -> dict[str, Any]:
    """Return the keys of a configuration that mean this study and this preparation of a similarity."""
    found = {
        **keys_of(options),
        "task": study.task,
        "base": study.base,
        "data": str(study.folder) if study.folder else None,
        "options": dict(study.options),
        "seed": study.seed,
    }
    return {name: value for name, value in found.items() if value is not None}


def keys_of(options: Options) -> dict[str, Any]:
    """Return the keys of a configuration that prepare a similarity like this."""
    return {
        "features": list(options.features),
        "nearest": options.nearest,
        "sinkhorn": options.sinkhorn,
        "sinkhorn_steps": options.steps,
        "similarity_table": str(options.table) if options.table else None,
    }


def options_of(config: Config) -> Options:
    """Return how the configuration prepares a similarity."""
    table = Path(config.similarity_table) if config.similarity_table else None
    return Options(config.features, config.nearest, config.sinkhorn, config.sinkhorn_steps, table)


def placed(config: Config, space: Workspace) -> Config:
    """Return the configuration with the task and the base of mu.toml, where it names none."""
    task, base = of_context(space)
    return changed(config, task=config.task or task, base=config.base or base)


def resolved(config: Config, space: Workspace, places: Mapping[str, str] | None = None) -> Config:
    """Return the configuration with the values that the workspace gives: task, base, and the models to choose from.

    Args:
        places: Where its keys were given, as run_config.read returns.

    Raises:
        MuError: If its sources are too many, too few for the method, or both named and chosen; it names the key.
    """
    given, config = config.task, placed(config, space)
    if config.kind in EMBEDDERS:
        config = changed(config, task=embedding_task(config))
        if given not in (None, config.task):
            what = f"task has no meaning for a run of kind {config.kind}: it follows from the data, {config.task}."
            raise UsageError(what, where=(places or {}).get("task"), hint="Leave it out.")
        return config
    if config.task == named.LOADER:
        refused = named.unnamed()
        raise type(refused)(refused.what, where=(places or {}).get("task"), hint=refused.hint)
    trained = tuple(sorted(study_of(config, space).trained()))
    if config.kind == "iterate" and sees_labels(config.similarity) and not config.sources:
        from merginguriel.study.iterate_study import chosen_now

        now = chosen_now(
            study_of(config, space), config.target, config.mode, config.candidates, config.k,
            str(config.similarity), options_of(config),
        )  # fmt: skip
        config = changed(config, candidates=now)
    if config.kind in (*MERGES, "pilot") and not config.sources and not config.candidates:
        config = changed(config, candidates=trained)
    if config.kind == "nxn":
        config = changed(config, sources=config.sources or trained, locales=config.locales or trained)
    return source_checks.check(config, places)


def embedding_task(config: Config) -> str:
    """Return the first part of the context of a run that trains embedders."""
    if config.kind == "embed":
        return Path(str(config.data)).stem
    return "-".join(
        ["retrieval", *(languages(*config.locales) if len(config.locales) == 2 else config.locales)]
    )


def origins(given: Config, found: Config, places: Mapping[str, str]) -> dict[str, str]:
    """Return where the value of each key came from: a line of a file, `--set`, mu.toml, the workspace or the default.

    Args:
        given: The configuration as it was read.
        found: The same, resolved.
        places: Where its keys were given, as run_config.read returns.
    """
    origin = {}
    before, after = flat_values(given), flat_values(found)
    for name, value in after.items():
        if before[name] == value:
            inner = (place for key, place in places.items() if key.startswith(f"{name}."))
            origin[name] = places.get(name) or next(inner, "default")
        elif name in ("task", "base"):
            origin[name] = "mu.toml"
        else:
            origin[name] = "chosen by the matrix" if found.kind == "iterate" else "trained here"
    return origin

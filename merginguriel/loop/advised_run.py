"""Configuration of a run from an advised recipe, in memory or as a YAML file for `mu run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from merginguriel import files
from merginguriel.config import run_config
from merginguriel.config.schema import Config
from merginguriel.decision.advice_types import Advice
from merginguriel.errors import MuError
from merginguriel.knowledge.parse.rows import POLICIES
from merginguriel.runs.resolve import keys_of, resolved
from merginguriel.runs.run_store import run_id
from merginguriel.similarity.choice import AS_IT_IS, parsed
from merginguriel.study import capabilities
from merginguriel.workspace import Workspace, writable

HEAD = "# {summary}\n# From knowledge {hash}. Run it with: mu run {name}\n"


def configuration(advice: Advice, space: Workspace) -> Config:
    """Return the run that merges as advised.

    Sources that the log can name are named; otherwise similarity and k choose them from the models trained here.

    Raises:
        MuError: The recipe cannot be run in this workspace.
    """
    recipe = advice.recipe
    task, _, base = advice.context.partition("/")
    method = recipe.method
    known = capabilities.methods()
    if recipe.passes > 1:
        raise MuError(
            f"{method} is an ensemble, which is scored from kept answers and not merged.",
            hint="\n".join([*(step.text for step in advice.next), "One model instead: --no-ensembles."]),
        )
    if method not in known or not recipe.runnable:
        raise MuError(f"{method} as it was measured is not in this program.", hint="See: mu methods")
    table: dict[str, Any] = {"kind": "merge", "task": task, "base": base}
    table |= {"target": advice.target, "mode": advice.mode, "method": method}
    for name, value in recipe.params.items():
        if name in ("include", "exclude"):
            table[name] = value.split(",")
        elif name in POLICIES:
            table[name] = value
        elif name in known[method]:
            table[f"params.{name}"] = value
    if known[method].heads != "merge":
        table.setdefault("heads", "merge")  # rows without this parameter merged the heads too
    named = [source.locale for source in recipe.sources]
    kind, options = parsed(recipe.similarity) if recipe.similarity else (None, AS_IT_IS)
    if named and not recipe.sources_missing:
        table["sources"] = named
        if kind and (method == "similarity" or "×" in kind):
            table |= {"similarity": kind, **keys_of(options)}
    else:
        trained = capabilities.trained(space, advice.context)
        others = trained - {advice.target}
        if not capabilities.has_sources(recipe, advice.target, advice.mode, trained):
            raise MuError(
                f"the log cannot name the sources, and there are {len(others)} models here to choose from.",
                hint="\n".join(step.text for step in advice.next),
            )
        table |= {"similarity": kind or "REAL", **keys_of(options), **({"k": recipe.k} if recipe.k else {})}
    return resolved(run_config.from_table(table), space)


def save(advice: Advice, space: Workspace, path: Path | None = None) -> Path:
    """Write the advised recipe as a YAML file for `mu run` and return its path.

    Args:
        path: The file; None: recipes/<run id>.yaml in the workspace, where the same recipe is written once.

    Raises:
        MuError: Another file has this name, or the recipe cannot be run in this workspace.
    """
    usual = path is None
    root = writable(space).root if usual else space.root
    wanted = configuration(advice, space)
    place = root / "recipes" / f"{run_id(wanted)}.yaml" if path is None else path
    if usual and place.is_file() and run_config.load(place) == wanted:
        return place
    head = HEAD.format(summary=one_line(advice.summary), hash=advice.knowledge_hash, name=place.name)
    if usual:
        head = head.replace(f"mu run {place.name}", f"mu run {space.display(place)}")
    files.write_text(place, head + run_config.dump_table(run_config.as_table(wanted)), exclusive=True)
    return place


def one_line(text: object) -> str:
    """Return text as one printable line of a comment."""
    return "".join(c if c.isprintable() else " " for c in str(text))

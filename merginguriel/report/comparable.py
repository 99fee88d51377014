"""What can be compared? A run, or a configuration in a file, whether it was run or not."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merginguriel.config import run_config as configs
from merginguriel.config.schema import Config
from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.yaml_lines import read_text, read_yaml
from merginguriel.runs import resolve, run_store
from merginguriel.runs.run_store import Run
from merginguriel.workspace import Workspace

ENDS = (".yaml", ".yml")  # no id of a run ends so
NEW = "new"  # of a run that was not begun


@dataclass(frozen=True)
class Recipe:
    """A configuration of `mu run`, as it comes to in the workspace.

    name   of its file, as it was given; path: where it was found
    run    that it describes, which may not be there; state: one of runs.STATES, or `new`
    """

    name: str
    path: Path
    config: Config
    run: Run
    state: str

    @property
    def command(self) -> str:
        """What makes its accuracy known, or how far that is."""
        if self.state in ("finished", "running"):
            return f"mu runs {'show' if self.state == 'finished' else 'watch'} {self.run.id}"
        return shlex.join(["mu", "run", self.name if Path(self.name).is_file() else str(self.path)])


def get(space: Workspace, name: str) -> Run | Recipe:
    """What is called `name`: the configuration in this YAML file, else a run by its id or an end of it.

    A relative path starts at the working directory, else at the workspace. Raises UsageError where there is neither,
    MuError for a file that is no configuration of one run.
    """
    if not name.endswith(ENDS):
        return run_store.get(space, name)
    path = next((p for p in (Path(name), space.root / name) if p.is_file()), Path(name))
    if path.is_file() and is_of_a_merge(read_yaml(read_text(path), path)):
        raise UsageError(
            "this is the recipe of a merge that was made, not a configuration of `mu run`.",
            where=str(path),
            mend="Score its folder: mu eval FOLDER --against OTHER",
        )
    given, places = configs.read(path)
    config = resolve.resolved(given, space, places)
    run = Run(run_store.run_id(config), space.runs / run_store.run_id(config))
    there = (run.folder / "config.yaml").is_file()
    return Recipe(name, path, config, run, run_store.state(run) if there else NEW)


def is_of_a_merge(table: object) -> bool:
    """Does a merge's recipe.yaml say this? Its sources are tables, with the folder of each."""
    sources = table.get("sources") if isinstance(table, Mapping) else None
    return isinstance(sources, list) and bool(sources) and all(isinstance(one, Mapping) for one in sources)


def names(space: Workspace, typed: str = "") -> list[str]:
    """What may be compared and has `typed` in its name: files in recipes/, then runs."""
    found = sorted(p for p in (space.root / "recipes").glob("*") if p.suffix in ENDS and p.is_file())
    every = [*(space.display(path) for path in found), *(run.id for run in run_store.listed(space))]
    return [name for name in every if typed.lower() in name.lower()]

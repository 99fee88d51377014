"""What `mu runs compare` compares: runs, and configurations in files, finished or not."""

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
NEW = "new"  # a run that was not started


@dataclass(frozen=True)
class ResolvedRun:
    """A configuration of `mu run`, resolved in the workspace.

    Attributes:
        name: Of its file, as given.
        run: Which it describes; it may not exist.
        state: One of runs.STATES, or NEW.
    """

    name: str
    path: Path
    config: Config
    run: Run
    state: str

    @property
    def command(self) -> str:
        """Command that measures its accuracy, or shows the progress."""
        if self.state in ("finished", "running"):
            return f"mu runs {'show' if self.state == 'finished' else 'watch'} {self.run.id}"
        return shlex.join(["mu", "run", self.name if Path(self.name).is_file() else str(self.path)])


@dataclass(frozen=True)
class StudyModel:
    """A model of a finished study of compositions, named RUN:MODEL."""

    run: Run
    model: str

    @property
    def name(self) -> str:
        """Name by which it can be compared again."""
        return f"{self.run.id}:{self.model}"

    @property
    def config(self) -> Config:
        """Configuration of the study."""
        return self.run.config


def get(space: Workspace, name: str) -> Run | ResolvedRun | StudyModel:
    """Return the configuration in the YAML file `name`, else the run with this id or this end of an id, or its model RUN:MODEL.

    A relative path starts at the working directory, else at the workspace.

    Raises:
        UsageError: Neither exists.
        MuError: The file is not a configuration of one run.
    """
    if not name.endswith(ENDS):
        id, colon, model = name.partition(":")
        run = run_store.get(space, id)
        if not colon:
            return run
        known = models_of(run)
        if model not in known:
            named = f"Its models, to be quoted if they have a space: {', '.join(known)}"
            hint = named if known else "Only studies of kind compose have models."
            raise UsageError(f"{run.id} has no model {model!r}.", hint=hint)
        return StudyModel(run, model)
    path = next((p for p in (Path(name), space.root / name) if p.is_file()), Path(name))
    if path.is_file() and is_of_a_merge(read_yaml(read_text(path), path)):
        raise UsageError(
            "this is the recipe of a finished merge, not a configuration of `mu run`.",
            where=str(path),
            hint="Score its folder: mu eval FOLDER --against OTHER",
        )
    given, places = configs.read(path)
    config = resolve.resolved(given, space, places)
    run = Run(run_store.run_id(config), space.runs / run_store.run_id(config))
    there = (run.folder / "config.yaml").is_file()
    return ResolvedRun(name, path, config, run, run_store.state(run) if there else NEW)


def is_of_a_merge(table: object) -> bool:
    """Return whether a file is a merge's recipe.yaml: its sources are tables."""
    sources = table.get("sources") if isinstance(table, Mapping) else None
    return isinstance(sources, list) and bool(sources) and all(isinstance(one, Mapping) for one in sources)


def models_of(run: Run) -> list[str]:
    """Return the models of a study of compositions; none of another run, or before it has finished."""
    if run.config.kind != "compose" or run_store.state(run) != "finished":
        return []
    return list(run_store.result(run)["ndcg_at_10"])


def names(space: Workspace, typed: str = "") -> list[str]:
    """Return the names that contain `typed`: files in recipes/, runs, and once a colon is typed the models of a study."""
    found = sorted(p for p in (space.root / "recipes").glob("*") if p.suffix in ENDS and p.is_file())
    runs = run_store.listed(space)
    every = [*(space.display(path) for path in found), *(run.id for run in runs)]
    if ":" in typed:
        id, _, part = typed.partition(":")
        studies = [run for run in runs if run.id.endswith(id)]
        models = [StudyModel(run, model) for run in studies for model in models_of(run)]
        return [one.name for one in models if part.lower() in one.model.lower()]
    return [name for name in every if typed.lower() in name.lower()]

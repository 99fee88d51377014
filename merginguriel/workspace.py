"""Workspaces: a folder with a mu.toml, or the shipped knowledge where there is none."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from . import files
from .errors import MuError, UsageError

MARKER = "mu.toml"
SETTINGS = """\
# A MergingUriel workspace. Commands run in this folder, or below it, use the skills and the log beside this file.
context = "{context}"     # task/base-model that a question is about when it does not say
min_gain_pp = 1.0    # the smallest gain worth a merge, in percentage points
"""
DEFAULTS: dict[str, object] = {
    "context": "massive/xlm-roberta-base",  # context of a question that names none
    "min_gain_pp": 1.0,  # the smallest gain worth a merge
    "tui": {},  # of the terminal interface: theme, keys
}


@dataclass(frozen=True)
class Workspace:
    """A workspace and its folders. `shipped`: the read-only knowledge inside the package."""

    root: Path
    shipped: bool = False
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def skills(self) -> Path:
        """Folder of the skills."""
        return self.root / "skills"

    @property
    def log(self) -> Path:
        """Folder of the experiment log."""
        return self.root / "experiment_log"

    @property
    def models(self) -> Path:
        """Folder of the models."""
        return self.root / "models"

    @property
    def embedders(self) -> Path:
        """Folder of the trained embedders and their bases."""
        return self.models / "embed"

    @property
    def results(self) -> Path:
        """Folder of matrices and other results."""
        return self.root / "results"

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.root / "runs"

    def run_folder(self, name: str) -> Path:
        """Return the folder of a run, in the archive if the run is there."""
        archived = self.runs / ".archive" / name
        return self.runs / name if (self.runs / name).is_dir() or not archived.is_dir() else archived

    def matrix(self, context: str, ending: str = "-test") -> Path:
        """Return the file of a context's N×N matrix: `results/nxn-home-e5-small-test.csv`."""
        return self.results / f"nxn-{context.replace('/', '-')}{ending}.csv"

    def display(self, path: Path) -> str:
        """Return `path` relative to the workspace where it is inside."""
        try:
            return str(path.relative_to(self.root))
        except ValueError:
            return str(path)


def shipped() -> Workspace:
    """Return the knowledge that travels with the program: inside the package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "_shipped"
    return Workspace(inside if inside.is_dir() else here.parent, shipped=True, settings=dict(DEFAULTS))


def find(start: Path | None = None, *, explicit: Path | None = None) -> Workspace:
    """Return the workspace at `explicit`, else the nearest one upwards from `start`, else the shipped knowledge."""
    if explicit is not None:
        root = explicit.expanduser().resolve()
        if not (root / MARKER).is_file():
            raise UsageError(
                f"{explicit} is not a workspace: it has no {MARKER}.",
                hint=f"Make one with: mu init {explicit}",
            )
        return Workspace(root, settings=read_settings(root / MARKER))
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / MARKER).is_file():
            return Workspace(candidate, settings=read_settings(candidate / MARKER))
    return shipped()


def writable(space: Workspace) -> Workspace:
    """Return the workspace; raise UsageError for the shipped knowledge, which is read-only."""
    if space.shipped:
        raise UsageError(
            "no workspace to write into here.",
            hint="Make one with: mu init\nor name one with: --workspace DIR",
        )
    return space


def read_settings(path: Path) -> dict[str, object]:
    """Read mu.toml over the defaults. Raises MuError for an unknown key or a value of the wrong type."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MuError(f"this is not valid TOML: {error}", where=str(path)) from error
    for key, value in given.items():
        if key not in DEFAULTS:
            raise MuError(
                f"unknown setting {key!r}.", where=str(path), hint=f"Settings are: {', '.join(DEFAULTS)}."
            )
        wanted = DEFAULTS[key]
        if isinstance(wanted, float) and isinstance(value, int) and not isinstance(value, bool):
            given[key] = float(value)
        elif type(value) is not type(wanted):
            raise MuError(f"{key} must be a {type(wanted).__name__}, not {value!r}.", where=str(path))
    return {**DEFAULTS, **given}


def seed(folder: Path, *, context: str | None = None, empty: bool = False) -> list[str]:
    """Write the missing files of a workspace into `folder`; return their names."""
    source = shipped()
    made: list[str] = []
    for part in ("skills",) if empty else ("skills", "experiment_log"):
        for path in sorted((source.root / part).rglob("*")):
            inner = path.relative_to(source.root)
            if (
                path.is_file()
                and not any(p.startswith(".") for p in inner.parts)
                and not (folder / inner).exists()
            ):
                files.write_bytes(folder / inner, path.read_bytes())
                made.append(str(inner))
    (folder / "experiment_log").mkdir(parents=True, exist_ok=True)
    for name in ("AGENTS.md", "docs/formats.md", "docs/skills.md"):
        if not (folder / name).exists():
            text = (source.root / name).read_text(encoding="utf-8")
            # The rest is about the program's own code, which a workspace does not contain.
            files.write_text(
                folder / name, text.partition("## In the program's own repository")[0].rstrip() + "\n"
            )
            made.append(name)
    if not (folder / MARKER).exists():
        text = SETTINGS.format(context=context or DEFAULTS["context"])
        files.write_text(folder / MARKER, text)
        made.append(MARKER)
    return made

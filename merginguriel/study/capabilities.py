"""What can be run in a workspace for a question: methods, similarities, models, sentences."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from merginguriel.decision.question import Ability, Lab
from merginguriel.errors import MuError
from merginguriel.locales import table
from merginguriel.similarity.registry import names as similarities
from merginguriel.workspace import Workspace

from . import registered

_DECLARED = re.compile(r'^@method\(\s*"([^"]+)"', re.MULTILINE)
METHODS = Path(__file__).resolve().parent.parent / "merging" / "methods"


class Declared(Mapping[str, Ability]):
    """Method → names of its parameters, where each file is imported when its method is asked for.

    Importing thirty files would cost `mu advise` more than it takes to answer; the log speaks of a few.
    """

    def __init__(self) -> None:
        found = {
            name: path.stem
            for path in sorted(METHODS.glob("*.py"))
            for name in _DECLARED.findall(path.read_text(encoding="utf-8"))
        }
        # A linear merge whose weights are a similarity has a name of its own, in the log and for `mu merge`.
        self.files = dict(sorted({**found, "similarity": found["linear"]}.items()))

    def __getitem__(self, name: str) -> Ability:
        importlib.import_module(f"merginguriel.merging.methods.{self.files[name]}")
        from merginguriel.merging.registry import registered

        method = registered["linear" if name == "similarity" else name]
        return Ability(method.params, heads=method.heads)

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def methods() -> Declared:
    """Return every merging method and the names of its parameters."""
    return Declared()


def contexts(space: Workspace) -> list[str]:
    """Return the contexts that have a base model or a model in the workspace."""
    return sorted({f"{path.parent.parent.name}/{path.parent.name}" for path in space.models.glob("*/*/*/")})


def trained(space: Workspace, context: str) -> frozenset[str]:
    """Return the locales that have a fine-tuned or registered model of this context in the workspace."""
    task, _, base = context.partition("/")
    root = space.models / task / base
    return frozenset(path.parent.name for path in root.glob("*/training.yaml")) | registered.read(root).keys()


def scorable(context: str) -> frozenset[str] | None:
    """Return the locales with enough sentences of the context's task; None if that is unknown."""
    from merginguriel.tasks.base import find

    try:
        task = find(context.partition("/")[0])
        return frozenset(task.locales(None)) - task.too_little
    except MuError:
        return None


def offers(context: str, target: str) -> bool:
    """Return whether the context's task has enough sentences of `target`; True if that is unknown."""
    found = scorable(context)
    return found is None or target in found


def first_target(context: str) -> str:
    """Return a locale that the context's task can score, for an example: sw-KE where possible."""
    return next((tag for tag in ("sw-KE", "da-DK", *table()) if offers(context, tag)), "sw-KE")


def lab(space: Workspace, context: str, target: str, *, measured: bool) -> Lab:
    """Return what can be run here for a question. measured: the log has rows of this target in this context."""
    return Lab(
        methods=methods(),
        similarities=frozenset(similarities()),
        trained=trained(space, context),
        offers_target=measured or offers(context, target),
    )

"""What can be run in a workspace for a question: methods, similarities, models, sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from merginguriel import cache
from merginguriel.decision.advice_types import AdvisedArm
from merginguriel.decision.question import Ability, Lab
from merginguriel.errors import MuError
from merginguriel.knowledge.parse.file_stamps import is_settled, stamp
from merginguriel.locales import table
from merginguriel.similarity.registry import names as similarities
from merginguriel.workspace import Workspace

from . import registered

HOME = "home/e5-small"  # context of `mu train` without --task and --base
METHODS = Path(__file__).resolve().parent.parent / "merging" / "methods"


@lru_cache(maxsize=1)
def methods() -> Mapping[str, Ability]:
    """Return every merging method with the names of its parameters; `similarity` is a linear merge by a similarity.

    Cached under the stamps of the methods' files: their import costs `mu advise` more than the answer does.
    """
    files = (*sorted(METHODS.glob("*.py")), METHODS.parent / "registry.py")
    key = " ".join(f"{path.name}:{stamp(path.stat())}" for path in files)
    place = cache.of_folder("methods", METHODS, ".json")
    with suppress(ValueError, TypeError, AttributeError):
        data = json.loads(cache.read(place) or b"null")
        if data["key"] == key:
            return {name: Ability(params, heads=heads) for name, (params, heads) in data["methods"].items()}
    from merginguriel.merging import registry

    found = {name: (sorted(one.params), one.heads) for name, one in registry.all_methods().items()}
    found["similarity"] = found["linear"]
    if all(is_settled(stamp(path.stat())) for path in files):
        cache.write(place, json.dumps({"key": key, "methods": found}).encode())
    return {name: Ability(params, heads=heads) for name, (params, heads) in sorted(found.items())}


def contexts(space: Workspace) -> list[str]:
    """Return the contexts that have a base model or a model in the workspace."""
    found = (path.parent for path in space.models.glob("*/*/*/") if not path.is_relative_to(space.embedders))
    return sorted({f"{path.parent.name}/{path.name}" for path in found})


def trained(space: Workspace, context: str) -> frozenset[str]:
    """Return the locales that have a fine-tuned or registered model of this context in the workspace."""
    task, _, base = context.partition("/")
    root = space.models / task / base
    return frozenset(path.parent.name for path in root.glob("*/training.yaml")) | registered.read(root).keys()


def scorable(space: Workspace, context: str) -> frozenset[str] | None:
    """Return the locales with enough sentences of the context's task; None if the task or its data are unknown."""
    from merginguriel.tasks.named import reading
    from merginguriel.tasks.registry import find

    try:
        how = reading(space, context.partition("/")[0], None)
        task = find(how.loader)
        return frozenset(task.locales(how.folder)) - task.too_little
    except MuError:
        return None


def packaged(context: str) -> bool:
    """Return whether the context's task is one of the program's; none is imported for it."""
    from importlib.util import find_spec

    return find_spec(f"merginguriel.tasks.{context.partition('/')[0]}") is not None


def offers(space: Workspace, context: str, target: str) -> bool:
    """Return whether the context's task has enough sentences of `target`; True if that is unknown."""
    found = scorable(space, context)
    return found is None or target in found


def instead(space: Workspace, context: str, target: str) -> tuple[tuple[str, str], ...]:
    """Return (locale, context) with enough sentences: of the target's language in this task, and of the target in `HOME`."""
    language = target.partition("-")[0]
    same = sorted(tag for tag in scorable(space, context) or () if tag.partition("-")[0] == language)
    other = [(target, HOME)] if context != HOME and offers(space, HOME, target) else []
    return (*((tag, context) for tag in same[:1]), *other)


def has_sources(recipe: AdvisedArm, target: str, mode: str, trained: frozenset[str]) -> bool:
    """Return whether the sources of an advised merge are named, or can be chosen among the `trained` models."""
    named = bool(recipe.sources) and not recipe.sources_missing
    return named or len(trained - {target}) + (mode == "IncTar") >= max(recipe.k or 2, 2)


def first_target(space: Workspace, context: str) -> str:
    """Return a locale that the context's task can score, for an example: sw-KE where possible."""
    return next((tag for tag in ("sw-KE", "da-DK", *table()) if offers(space, context, tag)), "sw-KE")


def lab(space: Workspace, context: str, target: str, *, measured: bool) -> Lab:
    """Return what can be run here for a question. measured: the log has rows of this target in this context."""
    here = measured or offers(space, context, target)
    return Lab(
        methods=methods(),
        similarities=frozenset(similarities()),
        trained=trained(space, context),
        offers_target=here,
        instead=() if here else instead(space, context, target),
        knows_task=packaged(context) or scorable(space, context) is not None,
        context=str(space.settings["context"]),
    )

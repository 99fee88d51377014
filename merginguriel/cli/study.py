"""Options that name a study: --task, --base, --data, --option, --workspace."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UsageError
from merginguriel.models import folder_kinds, remote_code

from .common import Command, say, space, stacked, workspace_option

if TYPE_CHECKING:
    from merginguriel.study.study import Study
    from merginguriel.tasks.registry import TaskData

FEW = 30  # test items below which hardly any difference can be seen
FLAGS = ("task", "base", "folder", "options", "workspace_path")  # names of the parameters below


# Passed on unchanged for `make_study`.
study_flags = stacked(
    workspace_option,
    click.option("--task", help="Task that models are trained and scored on. Default: `context` in mu.toml."),
    click.option(
        "--base", help="Base model: e5-small, a folder, or a name on the hub. Default: as for --task."
    ),
    click.option(
        "--data",
        "folder",
        type=click.Path(path_type=Path, exists=True),
        help="Folder of your own data, under a new --task NAME (see mu tasks add), or of a copy of massive.",
    ),
    click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the task."),
)


def study_options(*, seed: str | None = None) -> Callable[[Command], Command]:
    """Add the same options to a command that takes the Study itself, as `study`.

    Args:
        seed: Help text of its --seed; None: the command has no --seed.
    """

    def around(command: Command) -> Command:
        @functools.wraps(command)
        def made(**given: Any) -> Any:
            which = {name: given.pop(name) for name in (*FLAGS, *(["seed"] if seed else []))}
            return command(study=make_study(**which), **given)

        decorated = study_flags(made)
        if seed is None:
            return decorated
        return click.option("--seed", type=int, default=0, show_default=True, help=seed)(decorated)

    return around


def trust_option(command: Command) -> Command:
    """Add --trust-remote-code, which holds for everything that the command does."""

    def allow(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        del param
        ctx.with_resource(remote_code.trust(value))

    return click.option(
        "--trust-remote-code",
        is_flag=True,
        expose_value=False,
        callback=allow,
        help="Run Python code that a model folder contains (auto_map). Default: never.",
    )(command)


def make_study(
    task: str | None,
    base: str | None,
    folder: Path | None,
    options: tuple[str, ...],
    workspace_path: Path | None,
    seed: int = 0,
) -> Study:
    """Build the study from the options; missing ones default to the workspace's context."""
    from merginguriel.study.study import Study, of_context
    from merginguriel.tasks import named
    from merginguriel.workspace import writable

    pairs = dict(pair(text) for text in options)
    where = writable(space(workspace_path))
    usual_task, usual_base = of_context(where)
    if (task or usual_task) == named.LOADER:
        raise named.unnamed()
    study = Study(
        where, task or usual_task, base or usual_base, folder.resolve() if folder else None, seed, pairs
    )
    if study.reading.loader == named.LOADER:
        study.offered()  # a missing folder is an error before torch is imported
    return study


def load_all(study: Study, locales: tuple[str, ...]) -> dict[str, TaskData]:
    """Load the data of every locale; report errors and small test sets before the work starts."""
    data = {locale: study.data(locale) for locale in dict.fromkeys(locales)}
    for locale, result in data.items():
        warn_if_few(locale, len(result.test))
    return data


def no_model(study: Study) -> UsageError:
    """Return the error for a study without a trained model."""
    return UsageError(
        f"no trained model in {study.space.display(study.root)} yet.",
        hint=f"Train some with: mu train --locale de-DE --locale sv-SE{study.flags()}",
    )


def warn_if_few(locale: str, n: int) -> None:
    """Print a note if the number of test sentences allows only large differences to be detected."""
    if n < FEW:
        # Two models that disagree on a fifth of the items, and a sign test with 80% power at 5%.
        sees = 280 * (0.2 / n) ** 0.5
        say(
            f"note: {locale} has {n} test sentences: only differences of about {sees:.0f} pp or more can be detected."
        )


def pair(text: str) -> tuple[str, str]:
    """Split `KEY=VALUE`. Raises UsageError for other text."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(f"{text!r} is not KEY=VALUE.")
    return key, value


def resolve(study: Study, model: Path) -> Path:
    """Return a model folder, given as a path or by its name in the study."""
    merged = sorted(path.parent.name for path in study.root.glob("merged/[!.]*/recipe.yaml"))
    names = [*study.trained(), *merged]
    own = study.trained().get(str(model))
    for path in (model, *([own] if own else []), study.root / model, study.root / "merged" / model):
        if (path / "config.json").is_file():
            return path
    for path in (model, study.root / model):
        if error := folder_kinds.other_kind(path):
            raise error
    raise UsageError(
        f"{model} is not a model folder.",
        hint=f"Name a folder, or one of the models here: {', '.join(names) or 'none yet; see mu train'}.",
    )

"""`mu tasks`: list tasks, show the locales of one, and name data of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import ShowGroup, columns, emit, json_option, say, space, workspace_option
from .study import pair, warn_if_few

if TYPE_CHECKING:
    from merginguriel.tasks.registry import TaskData


@click.group(cls=ShowGroup, short_help="List tasks; name data of your own.")
def tasks() -> None:
    """List tasks, show the locales of one, and name data of your own.

    \b
    mu tasks home
    mu tasks add topics --data data/topics --option text=utterance
    mu train --task topics --locale sw-KE
    """


@tasks.command(short_help="List tasks, or the locales of one.")
@click.argument("name", required=False)
@click.option("--data", "folder", type=click.Path(path_type=Path), help="Folder of your own data.")
@json_option
@workspace_option
def show(name: str | None, folder: Path | None, as_json: bool, workspace_path: Path | None) -> None:
    """List tasks, or the locales of the task NAME; of your own data with the number of sentences."""
    from merginguriel.tasks import named, registry

    where = space(workspace_path)
    if name is None:
        found = [{"task": task.name, "about": task.doc} for task in registry.tasks().values()]
        for one in named.read(where).values():
            found.append({"task": one.name, "about": f"your data in {where.display(one.folder)}"})
        emit(found) if as_json else click.echo(columns([[t["task"], t["about"]] for t in found]))
        if not as_json:
            say("Retrieval with sentence embeddings, on pairs or parallel text: mu embed --help")
        return
    if name == "home":
        from merginguriel.tasks.home import coverage

        rows = [{"locale": c.locale, "intents": c.intents, "templates": c.templates} for c in coverage()]
        head = ["locale", "intents", "templates"]
        emit(rows) if as_json else click.echo(columns([head, *([str(v) for v in r.values()] for r in rows)]))
        return
    how = named.reading(where, name, folder)
    offered = registry.locales(how.loader, how.folder)
    if how.loader != named.LOADER:
        emit(offered) if as_json else click.echo("\n".join(offered))
        return
    show_sizes(
        [registry.load(how.loader, locale, folder=how.folder, **how.options) for locale in offered], as_json
    )


def show_sizes(data: list[TaskData], as_json: bool) -> None:
    """Print the number of sentences per locale and split."""
    sizes: list[dict[str, Any]] = [
        {"locale": d.locale, "train": len(d.train), "dev": len(d.dev), "test": len(d.test)} for d in data
    ]
    if as_json:
        emit(sizes)
    else:
        head = ["locale", "train", "dev", "test"]
        click.echo(columns([head, *([str(v) for v in r.values()] for r in sizes)]))
        say(f"{len(data[0].labels)} labels: {', '.join(data[0].labels)}" if data else "no files")
    for row in sizes:
        warn_if_few(row["locale"], row["test"])


@tasks.command(short_help="Name data of your own.")
@click.argument("name")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True,
              help="Folder with one file per locale: sw-KE.csv, or sw-KE.train.csv and so on.")  # fmt: skip
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE",
              help="How to read it: text=COLUMN, label=COLUMN, split=COLUMN, metric=NAME; repeat.")  # fmt: skip
@json_option
@workspace_option
def add(
    name: str, folder: Path, options: tuple[str, ...], as_json: bool, workspace_path: Path | None
) -> None:
    """Remember the data in a folder as the task NAME of this workspace, whose context is NAME/BASE.

    Every file is read once, so that wrong columns are reported now. Later commands need only --task NAME.
    """
    from merginguriel.tasks import named, registry
    from merginguriel.workspace import writable

    where = writable(space(workspace_path))
    one = named.add(where, name, folder, dict(pair(text) for text in options))
    offered = registry.locales(named.LOADER, one.folder)
    if as_json:
        emit({"task": name, "data": str(one.folder), "options": dict(one.options), "locales": offered})
        return
    click.echo(f"{name}: {len(offered)} locales in {where.display(one.folder)}: {', '.join(offered)}")
    say(f"Train with: mu train --task {name} --locale {offered[0]}")
    usual, _, base_name = str(where.settings["context"]).partition("/")
    if usual != name:
        say(f'To make it the default, write into mu.toml: context = "{name}/{base_name}"')


@tasks.command(short_help="Forget the name of a data folder.")
@click.argument("name")
@json_option
@workspace_option
def remove(name: str, as_json: bool, workspace_path: Path | None) -> None:
    """Remove the task NAME from this workspace; its data, models and results stay."""
    from merginguriel.tasks import named
    from merginguriel.workspace import writable

    where = writable(space(workspace_path))
    named.remove(where, name)
    emit({"removed": name}) if as_json else say(
        f"{name} removed; its models stay in {where.display(where.models / name)}"
    )

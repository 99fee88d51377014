"""`mu models`: register fine-tunes made elsewhere, list, show and remove them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .common import LOCALE, columns, emit, json_option, say
from .progress import ProgressLine
from .study import study_options

if TYPE_CHECKING:
    from merginguriel.study.registered import Registered
    from merginguriel.study.study import Study


@click.group(short_help="Register fine-tunes made elsewhere.")
def models() -> None:
    """Register fine-tunes made elsewhere, and use them like those that `mu train` makes."""


@models.command(short_help="Register models of locales.")
@click.argument("items", metavar="LOCALE=MODEL…", nargs=-1, required=True)
@study_options()
@json_option
def add(study: Study, items: tuple[str, ...], as_json: bool) -> None:
    """Register folders or hub models as the models of locales. Nothing is copied, and no folder is changed.

    An item is also a CSV file with the columns locale and model, or a YAML file with `locale: model` lines. A hub name is
    taken from the local cache if it is there, else downloaded; NAME@REVISION names a commit. Each model is checked: it
    must have the labels of the task, and the vocabulary and shape of the study's base.

    \b
    mu models add sw-KE=runs/checkpoint-500 de-DE=OWNER/NAME
    mu models add models.csv --task massive --base xlm-roberta-base
    """
    from merginguriel.study import registered

    with ProgressLine("models") as bar:
        found = registered.add(study, registered.parse(items), bar)
    if as_json:
        emit([as_dict(one) for one in found])
        return
    click.echo(columns([[one.locale, one.source, (one.revision or "")[:12]] for one in found]))
    say(f"registered in {study.context}. Next: mu nxn{study.flags()}")


@models.command("list", short_help="List trained and registered models.")
@study_options()
@json_option
def list_models(study: Study, as_json: bool) -> None:
    """List the models of the study: trained here, and registered."""
    from merginguriel.study import registered

    known = registered.read(study.root)
    rows = [
        {
            "locale": locale,
            "made": "registered" if locale in known else "trained",
            "source": known[locale].source if locale in known else study.space.display(path),
            "revision": known[locale].revision if locale in known else None,
            "path": str(path),
            "exists": (path / "config.json").is_file(),
        }
        for locale, path in study.trained().items()
    ]
    if as_json:
        emit(rows)
        return
    shown = [[str(r["locale"]), str(r["made"]) if r["exists"] else "missing", str(r["source"])] for r in rows]
    click.echo(columns(shown) if shown else f"no models of {study.context} yet")


@models.command(short_help="Show a registered model.")
@click.argument("locale", type=LOCALE)
@study_options()
@json_option
def show(study: Study, locale: str, as_json: bool) -> None:
    """Show where the registered model of LOCALE is, where it came from, and whether its weights have changed."""
    from merginguriel.files import sha256
    from merginguriel.study import registered

    one = registered.find(registered.read(study.root), locale)
    state = "unchanged"
    for name, before in one.sha256.items():
        file = one.path / name
        state = "missing" if not file.is_file() else "changed" if sha256(file) != before else state
    found = as_dict(one) | {"weights": state}
    emit(found) if as_json else click.echo(
        columns([[k, str(v)] for k, v in found.items() if v and k != "sha256"])
    )


@models.command(short_help="Remove models from the list.")
@click.argument("locales", type=LOCALE, nargs=-1, required=True)
@study_options()
@json_option
def remove(study: Study, locales: tuple[str, ...], as_json: bool) -> None:
    """Remove registered models from the study; their folders stay."""
    from merginguriel.study import registered

    registered.remove(study, locales)
    emit({"removed": list(locales)}) if as_json else say(f"removed: {', '.join(locales)}")


def as_dict(one: Registered) -> dict[str, object]:
    """Return a registered model as JSON data."""
    return asdict(one) | {"path": str(one.path)}

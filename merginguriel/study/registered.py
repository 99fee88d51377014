"""Registered models of a study: fine-tunes made elsewhere, used like those that `mu train` makes.

models/<task>/<base>/models.yaml holds, per locale, the folder, where it came from, its revision on the hub and the
digests of its weights. The folders themselves are not changed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merginguriel import locales
from merginguriel.errors import IncompatibleError, MuError, UnavailableError, UsageError
from merginguriel.files import Progress, write_text

if TYPE_CHECKING:
    from .study import Study

FILE = "models.yaml"


@dataclass(frozen=True)
class Registered:
    """A model of one locale.

    source    as it was named: a folder, or a name on the hub
    revision  the commit of a model from the hub
    sha256    of its weights, by file name, when it was registered
    """

    locale: str
    path: Path
    source: str
    revision: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)


def read(root: Path) -> dict[str, Registered]:
    """Return locale → registered model of the study in the folder `root`. Raises MuError for a damaged file."""
    path = root / FILE
    if not path.is_file():
        return {}
    import yaml

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {
            str(locale): Registered(
                str(locale),
                Path(one["path"]),
                str(one["source"]),
                one.get("revision"),
                dict(one.get("sha256") or {}),
            )
            for locale, one in table.items()
        }
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise MuError(
            f"this file cannot be read: {error}", where=str(path), hint="See: mu models add"
        ) from error


def write(root: Path, models: Mapping[str, Registered]) -> None:
    """Write the registered models of a study."""
    import yaml

    table: dict[str, dict[str, Any]] = {}
    for locale, one in sorted(models.items()):
        table[locale] = {"path": str(one.path), "source": one.source}
        table[locale] |= {"revision": one.revision} if one.revision else {}
        table[locale]["sha256"] = dict(one.sha256)
    write_text(root / FILE, yaml.safe_dump(table, sort_keys=False, allow_unicode=True))


def parse(items: Iterable[str]) -> dict[str, str]:
    """Return locale → folder or hub name, of `sw-KE=FOLDER` and of CSV or YAML files with many.

    A CSV has the columns locale and model; a YAML file has `locale: model` lines. Relative folders in a file start at
    its own folder.

    Raises:
        UsageError: An item is neither, a locale is unknown, or two models are given for one locale.
        MuError: A file cannot be read.
    """
    found: dict[str, str] = {}
    for item in items:
        name, sign, model = item.partition("=")
        pairs = [(name, model)] if sign else listed(Path(item))
        for given, where in pairs:
            if not where:
                raise UsageError(f"{given} has no model.", hint="Write: sw-KE=FOLDER_OR_HUB_NAME")
            locale = locales.get(given).tag
            if found.setdefault(locale, where) != where:
                raise UsageError(f"two models for {locale}: {found[locale]} and {where}.")
    if not found:
        raise UsageError("name the models: mu models add sw-KE=FOLDER de-DE=OWNER/NAME")
    return found


def listed(path: Path) -> list[tuple[str, str]]:
    """Return the locales and models of a CSV or YAML file."""
    if path.suffix not in (".csv", ".yaml", ".yml"):
        raise UsageError(
            f"{str(path)!r} is neither LOCALE=MODEL nor a .csv or .yaml file.",
            hint="Write: sw-KE=FOLDER_OR_HUB_NAME",
        )
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".csv":
            rows = [(row.get("locale"), row.get("model")) for row in csv.DictReader(text.splitlines())]
        else:
            table = yaml.safe_load(text)
            if not isinstance(table, dict):
                raise MuError("expected `locale: model` lines.", where=str(path))
            rows = list(table.items())
    except (UnicodeDecodeError, csv.Error, yaml.YAMLError) as error:
        raise MuError(f"this file cannot be read: {error}", where=str(path)) from error
    found = []
    for number, (locale, model) in enumerate(rows, 2 if path.suffix == ".csv" else 1):
        if not locale or not model:
            raise MuError("expected the columns locale and model.", where=f"{path}:{number}")
        inside = path.parent / str(model)
        found.append((str(locale), str(inside) if inside.is_dir() else str(model)))
    return found


def add(study: Study, wanted: Mapping[str, str], progress: Progress | None = None) -> list[Registered]:
    """Register models after checking each against the task's labels and the study's base; all or none.

    Raises:
        UsageError: A locale has a trained model already.
        UnavailableError: A folder does not exist, or the hub does not answer.
        IncompatibleError: Labels, vocabulary or shapes differ from those of the task or the base.
    """
    from merginguriel.models.digest_cache import digest

    from .study import make_base

    tell = progress or (lambda done, total, text: None)
    known = read(study.root)
    own = study.fine_tuned()
    places = {}
    for locale, source in wanted.items():
        if locale in own:
            raise UsageError(
                f"there is a trained model of {locale} already.",
                where=str(own[locale]),
                hint="Remove that folder, or register the model in another workspace.",
            )
        places[locale] = located(source)
    if not (study.root / "base" / "config.json").is_file():
        tell(0, 0, f"writing the base {study.base} with the task's head, once for this study")
    base = make_base(study, progress)
    found = []
    for number, (locale, (path, revision)) in enumerate(places.items()):
        tell(number, len(wanted), f"checking {locale}")
        check(base, locale, path)
        tell(number, len(wanted), f"hashing {locale}")
        digests = {file.name: digest(file) for file in sorted(path.glob("*.safetensors"))}
        found.append(Registered(locale, path, wanted[locale], revision, digests))
    write(study.root, {**known, **{one.locale: one for one in found}})
    return found


def located(source: str) -> tuple[Path, str | None]:
    """Return the folder of a model, and its revision if it comes from the hub."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve(), None
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise UnavailableError("no such model folder.", where=source, hint="Check the path.")
    from merginguriel.models.hub import snapshot

    found = snapshot(source)
    return found.folder, found.revision


def check(base_folder: Path, locale: str, path: Path) -> None:
    """Raise IncompatibleError unless a model has the labels of the study's base and fits it."""
    from merginguriel.merging import registry
    from merginguriel.merging.compatibility import align
    from merginguriel.merging.encoder_checks import with_tokenizers
    from merginguriel.models.checkpoint import open_checkpoint

    model, base = open_checkpoint(path), open_checkpoint(base_folder)
    check_labels(locale, path, model.labels or (), base.labels or ())
    with_tokenizers([(locale, model)], None)
    align(registry.get("task_arithmetic"), [(locale, model)], base)


def check_labels(locale: str, path: Path, labels: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """Raise IncompatibleError unless a model has the labels of the task, in whatever order."""
    if set(labels) == set(wanted):
        return
    if not labels or all(label.startswith("LABEL_") for label in labels):
        raise IncompatibleError(
            f"the model of {locale} does not name its labels, so that their order is not known.",
            where=str(path / "config.json"),
            hint="Write them into its config.json as id2label and label2id, in the order of its training.",
        )
    lacking, more = sorted(set(wanted) - set(labels)), sorted(set(labels) - set(wanted))
    parts = [f"{len(lacking)} are missing ({', '.join(lacking[:3])})"] if lacking else []
    parts += [f"{len(more)} are not the task's ({', '.join(more[:3])})"] if more else []
    raise IncompatibleError(
        f"the model of {locale} has other labels than the task: {' and '.join(parts)}.",
        where=str(path / "config.json"),
        hint="Choose the task whose labels the model was trained on: mu tasks",
    )


def remove(study: Study, wanted: Iterable[str]) -> None:
    """Remove models from the study's list; their folders stay. Raises UsageError for one that is not registered."""
    known = read(study.root)
    for locale in wanted:
        find(known, locale)
        del known[locale]
    write(study.root, known)


def find(known: Mapping[str, Registered], locale: str) -> Registered:
    """Return the registered model of a locale. Raises UsageError if there is none."""
    if locale in known:
        return known[locale]
    raise UsageError(
        f"no registered model of {locale}.", hint=f"Registered: {', '.join(sorted(known)) or 'none'}."
    )

"""`mu tasks`, `base`, `train`, `eval`, `nxn`: models of single locales, and what they score."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import MuError, UnavailableError, UsageError
from .common import LOCALE, columns, emit, json_option, say, space, text_width, workspace_option
from .progress import Bar, duration

if TYPE_CHECKING:
    from ..experiments.study import Study
    from ..tasks.base import TaskData

FEW = 30  # test items below which hardly any difference can be seen


def study_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--task, --base, --data, --option, --workspace: which study."""
    for option in reversed(
        (
            click.option(
                "--task",
                help="What models are trained and scored on. Default: what `context` in mu.toml says.",
            ),
            click.option(
                "--base",
                help="Base model: e5-small, a folder, or a name on the hub. Default: as for --task.",
            ),
            click.option(
                "--data",
                "folder",
                type=click.Path(path_type=Path, exists=True),
                help="Folder of your own data, for the task files (or a local copy of massive).",
            ),
            click.option(
                "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the task."
            ),
        )
    ):
        command = option(command)
    return workspace_option(command)


def make_study(
    task: str | None,
    base: str | None,
    folder: Path | None,
    options: tuple[str, ...],
    workspace_path: Path | None,
    seed: int = 0,
) -> Study:
    """The study that the options mean; what they leave out, the workspace's context says."""
    from ..experiments.study import Study, of_context
    from ..tasks.base import find
    from ..workspace import writable

    pairs = dict(pair(text) for text in options)
    where = writable(space(workspace_path))
    usual_task, usual_base = of_context(where)
    found = find(task or usual_task)
    data = folder.resolve() if folder else None
    if found.name == "files":
        found.locales(data)  # a missing folder is told before torch is imported
    return Study(where, found.name, base or usual_base, data, seed, pairs)


def load_all(study: Study, locales: tuple[str, ...]) -> dict[str, TaskData]:
    """The data of every locale; what is wrong with any is told before the work, and so is a small test set."""
    data = {locale: study.data(locale) for locale in dict.fromkeys(locales)}
    for locale, found in data.items():
        warn_if_few(locale, len(found.test))
    return data


def warn_if_few(locale: str, n: int) -> None:
    if n < FEW:
        # Two models that disagree on a fifth of the items, and a sign test with 80% power at 5%.
        sees = 280 * (0.2 / n) ** 0.5
        say(
            f"note: {locale} has {n} test sentences: only differences of about {sees:.0f} pp or more can be seen."
        )


def pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(f"{text!r} is not KEY=VALUE.")
    return key, value


@click.command(short_help="List tasks, or the locales of one.")
@click.argument("name", required=False)
@click.option(
    "--data", "folder", type=click.Path(path_type=Path, exists=True), help="Folder of your own data."
)
@json_option
def tasks(name: str | None, folder: Path | None, as_json: bool) -> None:
    """List tasks, or the locales of the task NAME."""
    from ..tasks import base

    if name is None:
        found = [{"task": task.name, "about": task.doc} for task in base.tasks().values()]
        emit(found) if as_json else click.echo(columns([[t["task"], t["about"]] for t in found]))
        return
    if name == "home":
        from ..tasks.home import coverage

        rows = [{"locale": c.locale, "intents": c.intents, "templates": c.templates} for c in coverage()]
        if as_json:
            emit(rows)
        else:
            click.echo(
                columns([["locale", "intents", "templates"], *([str(v) for v in r.values()] for r in rows)])
            )
        return
    offered = base.locales(name, folder)
    if name != "files":
        emit(offered) if as_json else click.echo("\n".join(offered))
        return
    data = [base.load(name, locale, folder=folder) for locale in offered]
    sizes: list[dict[str, Any]] = [
        {"locale": d.locale, "train": len(d.train), "dev": len(d.dev), "test": len(d.test)} for d in data
    ]
    if as_json:
        emit(sizes)
    else:
        click.echo(
            columns([["locale", "train", "dev", "test"], *([str(v) for v in r.values()] for r in sizes)])
        )
        say(f"{len(data[0].labels)} labels: {', '.join(data[0].labels)}" if data else "no files")
    for row in sizes:
        warn_if_few(row["locale"], row["test"])


@click.command("base", short_help="Get a pretrained base model, with the right head.")
@study_options
@json_option
def base(
    task: str | None,
    base: str | None,
    folder: Path | None,
    options: tuple[str, ...],
    workspace_path: Path | None,
    as_json: bool,
) -> None:
    """Write the pretrained base with a fresh head for the task's labels: what every model starts from."""
    from ..experiments.study import make_base

    study = make_study(task, base, folder, options, workspace_path)
    with Bar("base") as bar:
        path = make_base(study, bar)
    emit({"path": str(path), "context": study.context}) if as_json else click.echo(path)


@click.command(short_help="Fine-tune one model per locale.")
@click.option("--locale", "named", type=LOCALE, multiple=True, help="Repeat for several.")
@click.option("--locales", "listed", metavar="LIST", help="Several at once: de-DE,sv-SE or all.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training sentences.")
@click.option("--learning-rate", type=float, help="Of the encoder. Default: what suits the base.")
@click.option("--head-learning-rate", type=float, help="Of the head, which starts from nothing.")
@click.option("--batch-size", type=click.IntRange(min=1))
@click.option("--max-tokens", type=click.IntRange(min=4), help="Longer sentences are cut.")
@click.option("--freeze-layers", type=click.IntRange(min=0), help="Layers, from the input, left as they are.")
@click.option(
    "--freeze-embeddings/--train-embeddings", default=None, help="Leave embeddings as they are, or not."
)
@click.option("--lora-rank", type=click.IntRange(min=1), help="Train low-rank factors of this rank (LoRA).")
@click.option(
    "--lora-alpha", type=click.IntRange(min=1), help="Their scale times the rank. Default: 2 × rank."
)
@click.option("--patience", type=click.IntRange(min=1),
              help="Stop after so many epochs that bring nothing on development data; keep the best.")  # fmt: skip
@click.option(
    "--bf16/--no-bf16", default=None, help="Matrix products in bfloat16. Default: where it is faster."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed makes other models.")
@click.option("--report-to", multiple=True, metavar="NAME", help="Follow it in trackio, mlflow or wandb.")
@click.option("--dry-run", is_flag=True, help="Say what would be trained and how long it should take.")
@study_options
@json_option
def train(
    named: tuple[str, ...],
    listed: str | None,
    seed: int,
    report_to: tuple[str, ...],
    dry_run: bool,
    task: str | None,
    base: str | None,
    folder: Path | None,
    options: tuple[str, ...],
    workspace_path: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Fine-tune the base on each locale. What is there already is left; an interrupted training goes on.

    Of several locales, one that cannot be trained does not stop the others; it is named at the end.
    """
    from ..experiments import study as studies

    study = make_study(task, base, folder, options, workspace_path, seed)
    data = data_of_all(study, named, listed)
    if dry_run:
        planned = [plan_of(study, found, given["epochs"]) for found in data.values()]
        emit(planned) if as_json else click.echo(plan_text(planned))
        return
    from ..models.record import read

    settings = {key: value for key, value in given.items() if value is not None}
    found: list[dict[str, Any]] = []
    failed: dict[str, MuError] = {}
    with Bar("base") as bar:
        studies.make_base(study, bar)
    for number, locale in enumerate(data, start=1):
        try:
            with Bar(f"train {number}/{len(data)}") as bar:
                path = studies.train(study, locale, progress=bar, report_to=report_to, **settings)
        except UsageError:
            raise  # the settings are wrong, for all alike
        except MuError as error:
            if len(data) == 1:
                raise
            failed[locale] = error
            say(f"{locale} was not trained: {error.render()}")
            continue
        accuracy = read(path / "training.yaml")["dev_accuracy"]
        found.append({"locale": locale, "path": str(path), "dev_accuracy": accuracy})
        if not as_json:
            said = "not scored" if accuracy is None else f"{100 * accuracy:.1f}% on development data"
            click.echo(f"{locale}  {said}  {study.space.display(path)}")
    if failed:
        first = next(iter(failed.values()))
        raise MuError(
            f"{len(failed)} of {len(data)} locales were not trained: {', '.join(failed)}. "
            f"The first, because: {first.what}",
            where=first.where,
            mend=first.mend,
        )
    if as_json:
        emit(found)


def data_of_all(study: Study, named: tuple[str, ...], listed: str | None) -> dict[str, TaskData]:
    """The data of the locales that --locale and --locales name; of `all`, those with enough text."""
    from ..tasks.base import locales as offered

    if listed != "all":
        more = [LOCALE.convert(tag.strip(), None, None) for tag in (listed or "").split(",") if tag.strip()]
        if not (named or more):
            raise UsageError("name the locales: --locale sv-SE, --locales sv-SE,de-DE or --locales all.")
        return load_all(study, (*named, *more))
    data: dict[str, TaskData] = {}
    poor: list[str] = []
    last: UnavailableError | None = None
    for locale in dict.fromkeys((*named, *offered(study.task, study.folder))):
        try:
            data |= load_all(study, (locale,))
        except UnavailableError as error:
            poor.append(locale)
            last = error
    if last and not data:
        raise last
    if poor:
        say(f"note: too little text, or none, in {len(poor)} locales: {', '.join(poor)}")
    return data


def plan_of(study: Study, data: TaskData, epochs: int | None) -> dict[str, Any]:
    """What training on `data` would be. seconds: on two cores; None where nothing was measured."""
    from ..experiments.quickstart import SECONDS

    path = study.model(data.locale)
    # Measured: three epochs over 600 sentences.
    share = len(data.train) / 600 * (epochs or 3) / 3
    return {
        "locale": data.locale,
        "path": str(path),
        "done": path.is_dir(),
        **{split: len(data.split(split)) for split in ("train", "dev", "test")},
        "seconds": round(SECONDS["train"] * share, 1) if study.base == "e5-small" else None,
    }


def plan_text(planned: list[dict[str, Any]]) -> str:
    keys = ("locale", "train", "dev", "test")
    rows = [[*keys, ""]]
    rows += [[*(str(p[key]) for key in keys), "is there" if p["done"] else "to train"] for p in planned]
    times = [p["seconds"] for p in planned if not p["done"]]
    known = [seconds for seconds in times if seconds is not None]
    long = f"about {duration(sum(known))} on two cores" if len(known) == len(times) else "time not known"
    return columns(rows) + f"\n{len(times)} to train" + (f", {long}" if times else "")


@click.command("eval", short_help="Score a model on locales.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--locale", "locales", type=LOCALE, multiple=True, required=True, help="Repeat for several.")
@click.option("--split", type=click.Choice(["train", "dev", "test"]), default="test", show_default=True)
@click.option("--against", type=click.Path(path_type=Path), help="Another model, compared on the same items.")
@click.option("--row", "as_row", is_flag=True, help="Print the result row, as mu log add --row takes it.")
@study_options
@json_option
def evaluate(
    model: Path,
    locales: tuple[str, ...],
    split: str,
    against: Path | None,
    as_row: bool,
    task: str | None,
    base: str | None,
    folder: Path | None,
    options: tuple[str, ...],
    workspace_path: Path | None,
    as_json: bool,
) -> None:
    """Accuracy of MODEL (a folder, or a name) with its 95% interval; with --against, the paired difference.

    \b
    mu eval da-DK-ties-4-1f2e3d --locale da-DK --against nb-NO
    mu log add --title … --row "$(mu eval MODEL --locale da-DK --against nb-NO --row)"
    """
    from ..evaluation.accuracy import accuracy_interval
    from ..evaluation.nxn import nxn as measure
    from ..evaluation.significance import compare
    from ..experiments.results import comparison_dict, row_text, scored_row, seen_words, words
    from ..experiments.study import other_data

    if as_row and split != "test":
        raise UsageError("a result row is measured on test items: --row does not go with --split.")
    study = make_study(task, base, folder, options, workspace_path)
    models = {"model": resolve(study, model)} | ({"against": resolve(study, against)} if against else {})
    data = load_all(study, locales)
    for locale in other_data(study, data, models.values()):
        say(f"note: the model of {locale} was trained on other sentences than the data hold now.")
    with Bar("eval") as bar:
        matrix = measure(models, data, split=split, cache=study.cache, on_progress=bar)
    found: list[dict[str, object]] = []
    for locale, n in zip(matrix.targets, matrix.n, strict=True):
        value, groups = matrix.value("model", locale), matrix.groups[locale]
        right, other = matrix.correct["model", locale], matrix.correct.get(("against", locale))
        low, high = accuracy_interval(right, groups)
        row: dict[str, object] = {
            "locale": locale,
            "split": split,
            "n": int(n),
            "accuracy": value,
            "ci95": [low, high],
        }
        lines = [f"{locale}  {100 * value:.2f}%  95% {100 * low:.1f} … {100 * high:.1f}  n = {n}"]
        seen = None
        if other is not None:
            seen = compare(right, other, groups=groups)
            row |= {"against": float(other.mean()), "comparison": comparison_dict(seen)}
            by = f"template groups ({seen.groups})" if seen.p_groups is not None else "sentences"
            error = "" if seen.se is None else f", standard error {seen.se:.2f} pp"
            lines += [
                f"  against {against} {100 * float(other.mean()):.2f}%: {words(seen)}",
                f"  wins {seen.wins}, losses {seen.losses}{error}; interval and p by {by}",
            ]
        used = {name: text for name, path in models.items() if (text := seen_words(path, locale))}
        row["saw"] = used.get("model")
        lines += [f"  {against if name == 'against' else 'it'} used {text}" for name, text in used.items()]
        if as_row:
            result = scored_row(study, locale, models["model"], right, models.get("against"), seen)
            lines = [row_text(result)]
            row["row"] = lines[0]
        found.append(row)
        if not as_json:
            click.echo("\n".join(lines))
    if as_json:
        emit(found)


def resolve(study: Study, model: Path) -> Path:
    """A model folder: as given, or by its name in the study."""
    merged = sorted(path.parent.name for path in study.root.glob("merged/[!.]*/recipe.yaml"))
    names = [*study.trained(), *merged]
    for path in (model, study.root / model, study.root / "merged" / model):
        if (path / "config.json").is_file():
            return path
    raise UsageError(
        f"{model} is not a model folder.",
        mend=f"Name a folder, or one of the models here: {', '.join(names) or 'none yet; see mu train'}.",
    )


@click.command(short_help="Score every model on every locale.")
@click.option(
    "--locale", "locales", type=LOCALE, multiple=True, help="Test locales. Default: those that have a model."
)
@click.option(
    "--source", "sources", type=LOCALE, multiple=True, help="Models. Default: all that are trained."
)
@click.option("--split", type=click.Choice(["train", "dev", "test"]), default="test", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="CSV file. Default: in results/."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the models.")
@study_options
@json_option
def nxn(
    locales: tuple[str, ...],
    sources: tuple[str, ...],
    split: str,
    out: Path | None,
    seed: int,
    task: str | None,
    base: str | None,
    folder: Path | None,
    options: tuple[str, ...],
    workspace_path: Path | None,
    as_json: bool,
) -> None:
    """Accuracy of every model on every locale: a heat map here, a CSV and a PNG in results/.

    Only what is new is computed: one more model costs one row. Pairs that an earlier call measured stay in the
    CSV as long as their model and data are what they were.
    """
    from ..evaluation import heatmap
    from ..evaluation.nxn import nxn as measure
    from ..experiments import matrices
    from ..experiments.study import need_trained, other_data

    study = make_study(task, base, folder, options, workspace_path, seed)
    models = need_trained(study, sources) if sources else study.trained()
    if not models:
        raise UsageError(
            f"there is no trained model in {study.space.display(study.root)} yet.",
            mend=f"Train some with: mu train --locale de-DE --locale sv-SE{study.flags()}",
        )
    data = load_all(study, locales or tuple(models))
    for locale in other_data(study, data, models.values()):
        say(f"note: the model of {locale} was trained on other sentences than the data hold now.")
    with Bar("nxn") as bar:
        matrix = measure(models, data, split=split, cache=study.cache, on_progress=bar)
    path = matrices.write(study, split, matrix, out)
    if as_json:
        emit(
            {
                "split": split,
                "n": dict(zip(matrix.targets, map(int, matrix.n), strict=True)),
                "accuracy": {s: {t: matrix.value(s, t) for t in matrix.targets} for s in matrix.sources},
                "csv": str(path),
            }
        )
        return
    click.echo(heatmap.render(matrix, depth=heatmap.depth(sys.stdout, os.environ), width=text_width()))
    say(f"written to {study.space.display(path)} and .png")

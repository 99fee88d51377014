"""`mu train`: train one model per locale, or show the plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.text.runs import duration

from .common import LOCALE, LocaleType, columns, emit, json_option, say
from .progress import ProgressLine
from .run import section_options
from .study import load_all, study_options, trust_option

if TYPE_CHECKING:
    from merginguriel.study.study import Study
    from merginguriel.tasks.registry import TaskData

# Keys of the section `training` that are options.
SETTINGS = (
    "epochs", "learning_rate", "head_learning_rate", "batch_size", "accumulate", "max_train_samples", "max_minutes",
    "max_tokens", "freeze_layers", "lora_rank", "lora_alpha", "patience", "bf16",
)  # fmt: skip
TOKENS = 9.3  # per sentence of the task home, by `tokens_of`, on which the seconds were measured


class LocaleOrAll(LocaleType):
    """A locale, or the word `all`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the locale's tag; `all` as it is."""
        return "all" if value == "all" else super().convert(value, param, ctx)


@click.command(short_help="Fine-tune one model per locale.")
@click.option("--locale", "named", type=LocaleOrAll(), multiple=True,
              help="Repeat for several; all: every locale of the task with enough text.")  # fmt: skip
@click.option("--locales", "listed", metavar="LIST", help="Several locales at once: de-DE,sv-SE or all.")
@click.option("--joint", metavar="LIST",
              help="Instead, one model on the sentences of several locales together: de-DE,sv-SE; all: those that have a model.")  # fmt: skip
@click.option("--leave-out", type=LOCALE, multiple=True, help="Of --joint: a locale to leave out; repeat.")
@click.option("--budget", type=click.Choice(["epochs", "examples"]), default="epochs", show_default=True,
              help="Of --joint: as many epochs as a single model, or as many training sentences.")  # fmt: skip
@section_options("training", SETTINGS)
@click.option(
    "--freeze-embeddings/--train-embeddings", default=None, help="Exclude the embeddings from training."
)
@click.option("--report-to", multiple=True, metavar="NAME", help="Report to trackio, mlflow or wandb.")
@click.option("--dry-run", is_flag=True, help="Print the plan and the estimated time; train nothing.")
@trust_option
@study_options(seed="Another seed makes other models.")
@json_option
def train(
    study: Study,
    named: tuple[str, ...],
    listed: str | None,
    joint: str | None,
    leave_out: tuple[str, ...],
    budget: str,
    report_to: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Fine-tune the base on each locale. Existing models are kept; an interrupted training is resumed.

    If one of several locales cannot be trained, the others are still trained; the failed ones are listed at the end.

    \b
    mu train --locale da-DK --locale sv-SE
    mu train --locales all --dry-run
    mu train --joint all --leave-out da-DK
    """
    from merginguriel.study import study as studies
    from merginguriel.study.registered import read as read_registered

    studies.check_base(study)
    if joint is not None:
        if named or listed:
            raise UsageError("--joint names the locales itself.", hint="Leave out --locale and --locales.")
        train_joint(study, joint, leave_out, budget, report_to, dry_run, as_json, given)
        return
    if leave_out:
        raise UsageError("--leave-out belongs to --joint.")
    data = data_of_all(study, named, listed)
    if dry_run:
        limits = {name: given[name] for name in ("epochs", "max_train_samples", "max_tokens")}
        planned = [plan_of(study, found, **limits) for found in data.values()]
        emit(planned) if as_json else click.echo(plan_text(planned))
        return
    from merginguriel.models.build_record import read
    from merginguriel.text.runs import dev_line
    from merginguriel.training.settings import dev_score

    settings = {key: value for key, value in given.items() if value is not None}
    found: list[dict[str, Any]] = []
    failed: dict[str, MuError] = {}
    with ProgressLine("base") as bar:
        studies.make_base(study, bar)
    registered = {} if study.seed else read_registered(study.root)
    for number, locale in enumerate(data, start=1):
        if locale in registered and len(data) > 1:
            say(f"{locale} has a registered model: {registered[locale].source}")
            continue
        try:
            with ProgressLine(f"train {number}/{len(data)}") as bar:
                path = studies.train(study, locale, progress=bar, report_to=report_to, **settings)
        except UsageError:
            raise  # the settings are wrong, for all alike
        except MuError as error:
            if len(data) == 1:
                raise
            failed[locale] = error
            say(f"{locale} was not trained: {error.render()}")
            continue
        metric, value = dev_score(read(path / "training.yaml"))
        found.append({"locale": locale, "path": str(path), f"dev_{metric}": value})
        if not as_json:
            click.echo(f"{locale}  {dev_line(metric, value)}  {study.space.display(path)}")
    if failed:
        first = next(iter(failed.values()))
        raise MuError(
            f"{len(failed)} of {len(data)} locales were not trained: {', '.join(failed)}. "
            f"First error: {first.what}",
            where=first.where,
            hint=first.hint,
        )
    if as_json:
        emit(found)


def train_joint(
    study: Study,
    listed: str,
    leave_out: tuple[str, ...],
    budget: str,
    report_to: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    """Train one model on several locales together, or show the plan."""
    from merginguriel.models.build_record import read
    from merginguriel.study import joint
    from merginguriel.text.runs import dev_line
    from merginguriel.training.settings import dev_score

    here = tuple(study.trained()) if listed == "all" else ()
    data = load_all(study, here) if here else data_of_all(study, (), listed)
    used = joint.remaining(list(data), leave_out)
    path = joint.path_of(study, used, leave_out, budget)
    if dry_run:
        limits = {name: given[name] for name in ("epochs", "max_train_samples", "max_tokens")}
        each = [plan_of(study, data[name], **limits) for name in used]
        share = 1 if budget == "epochs" else 1 / len(used)
        items = joint.chosen([data[name] for name in used], budget, study.seed, given["max_train_samples"])
        time = None if each[0]["seconds"] is None else round(share * sum(one["seconds"] for one in each), 1)
        planned = {"path": str(path), "done": path.is_dir(), "locales": used, "left_out": list(leave_out),
                   "budget": budget, "train": len(items), "seconds": time}  # fmt: skip
        emit(planned) if as_json else click.echo(joint_text(study, planned))
        return
    settings = {key: value for key, value in given.items() if value is not None}
    with ProgressLine("train joint") as bar:
        joint.train(study, list(data), left_out=leave_out, budget=budget, progress=bar, report_to=report_to,
                    **settings)  # fmt: skip
    record = read(path / "training.yaml")
    metric, value = dev_score(record)
    if as_json:
        emit({"path": str(path), "locales": used, "left_out": list(leave_out), "budget": budget,
              "train_items": record["train_items"], f"dev_{metric}": value})  # fmt: skip
        return
    click.echo(f"{path.name}  {dev_line(metric, value)}  {study.space.display(path)}")


def joint_text(study: Study, planned: dict[str, Any]) -> str:
    """Return the plan of a joint training as text."""
    if planned["done"]:
        return f"{study.space.display(Path(planned['path']))} exists"
    time = planned["seconds"]
    long = "time not known" if time is None else f"about {duration(time)} on two cores"
    return (
        f"{study.space.display(Path(planned['path']))}\n"
        f"{planned['train']} sentences of {len(planned['locales'])} locales (equal {planned['budget']}): "
        f"{' '.join(planned['locales'])}\n1 to train, {long}"
    )


def data_of_all(study: Study, named: tuple[str, ...], listed: str | None) -> dict[str, TaskData]:
    """Return the data of the locales of --locale and --locales; for `all`, of those with enough text."""
    if "all" in named:
        named, listed = tuple(one for one in named if one != "all"), "all"
    if listed != "all":
        more = [LOCALE.convert(tag.strip(), None, None) for tag in (listed or "").split(",") if tag.strip()]
        if not (named or more):
            raise UsageError("name the locales: --locale sv-SE, --locales sv-SE,de-DE or --locales all.")
        return load_all(study, (*named, *more))
    data: dict[str, TaskData] = {}
    poor: list[str] = []
    last: UnavailableError | None = None
    for locale in dict.fromkeys((*named, *study.offered())):
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


def plan_of(
    study: Study,
    data: TaskData,
    epochs: int | None = None,
    max_train_samples: int | None = None,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Return the plan of training on `data`. seconds: on two cores; None where nothing was measured."""
    from merginguriel.loop.quickstart_time import SECONDS
    from merginguriel.training.settings import preset

    path = study.model(data.locale)
    # Measured: three epochs over 600 sentences.
    share = tokens_of(data, max_tokens or preset(study.base).max_tokens) / (600 * TOKENS) * (epochs or 3) / 3
    used = min(len(data.train), max_train_samples or len(data.train))
    share *= used / max(len(data.train), 1)
    return {
        "locale": data.locale,
        "path": str(path),
        "done": path.is_dir(),
        **{split: len(data.split(split)) for split in ("train", "dev", "test")},
        "train": used,
        "seconds": round(SECONDS["train"] * share, 1) if study.base == "e5-small" else None,
    }


def tokens_of(data: TaskData, most: int) -> float:
    """Return about how many tokens an epoch reads: characters over 4, with the two that frame a sentence, cut at `most`."""
    return float(sum(min(len(item.text) / 4 + 2, most) for item in data.train))


def plan_text(planned: list[dict[str, Any]]) -> str:
    """Return the plan as a table with the total time."""
    keys = ("locale", "train", "dev", "test")
    rows = [[*keys, ""]]
    rows += [[*(str(p[key]) for key in keys), "exists" if p["done"] else "to train"] for p in planned]
    times = [p["seconds"] for p in planned if not p["done"]]
    known = [seconds for seconds in times if seconds is not None]
    long = f"about {duration(sum(known))} on two cores" if len(known) == len(times) else "time not known"
    return columns(rows) + f"\n{len(times)} to train" + (f", {long}" if times else "")

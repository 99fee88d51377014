"""`mu base`, `eval`, `nxn`: write the base, and score single models."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UsageError

from .common import LOCALE, columns, emit, json_option, say, text_width
from .progress import ProgressLine
from .study import load_all, no_model, resolve, study_options, trust_option

if TYPE_CHECKING:
    from merginguriel.evaluation.nxn_workers import Executor
    from merginguriel.study.study import Study
    from merginguriel.tasks.registry import TaskData


@click.command("base", short_help="Get a pretrained base model, with the right head.")
@click.option("--dry-run", is_flag=True, help="Print where it would be written, and whether it exists.")
@trust_option
@study_options()
@json_option
def base(
    study: Study,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write the pretrained base with a new head for the task's labels. Every training starts from it."""
    from merginguriel.study.study import make_base

    if dry_run:
        path = study.root / "base"
        there = (path / "config.json").is_file()
        if as_json:
            emit({"path": str(path), "context": study.context, "there": there})
        else:
            click.echo(f"{path}  {'exists' if there else 'would be written'}")
        return
    with ProgressLine("base") as bar:
        path = make_base(study, bar)
    emit({"path": str(path), "context": study.context}) if as_json else click.echo(path)


def metric_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--metric`, whose choices are the registered metrics."""
    from merginguriel.metrics.registry import metrics

    return click.option(
        "--metric", type=click.Choice(list(metrics())), help="Metric to score by. Default: the task's."
    )(command)


@click.command("eval", short_help="Score a model on locales.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--locale", "locales", type=LOCALE, multiple=True, required=True, help="Repeat for several.")
@click.option("--split", type=click.Choice(["train", "dev", "test"]), default="test", show_default=True)
@metric_option
@click.option("--against", type=click.Path(path_type=Path), help="Another model, compared on the same items.")
@click.option("--row", "as_row", is_flag=True, help="Print the result row, as mu log add --row takes it.")
@trust_option
@study_options()
@json_option
def evaluate(
    study: Study,
    model: Path,
    locales: tuple[str, ...],
    split: str,
    metric: str | None,
    against: Path | None,
    as_row: bool,
    as_json: bool,
) -> None:
    """Score MODEL (a folder, or a name), with a 95% interval; with --against, print the paired difference.

    \b
    mu eval da-DK-ties-4-1f2e3d --locale da-DK --against nb-NO
    mu log add --title … --row "$(mu eval MODEL --locale da-DK --against nb-NO --row)"
    """
    from merginguriel.evaluation.nxn import nxn as measure
    from merginguriel.evaluation.significance import compare, value_interval
    from merginguriel.metrics.registry import find
    from merginguriel.study.results import comparison_dict, row_text, scored_row, seen_words, words
    from merginguriel.study.study import other_data

    if as_row and split != "test":
        raise UsageError("a result row is measured on test items: --row does not go with --split.")
    models = {"model": resolve(study, model)} | ({"against": resolve(study, against)} if against else {})
    data = load_all(study, locales)
    for locale in other_data(study, data, models.values()):
        say(f"note: the model of {locale} was trained on other sentences than the data hold now.")
    with ProgressLine("eval") as bar:
        matrix = measure(models, data, split=split, cache=study.cache, metric=metric, on_progress=bar)
    used = find(matrix.metric)
    found: list[dict[str, object]] = []
    for locale, n in zip(matrix.targets, matrix.n, strict=True):
        value, groups = matrix.value("model", locale), matrix.groups[locale]
        right, other = matrix.correct["model", locale], matrix.correct.get(("against", locale))
        low, high = value_interval(right, groups, metric=used.name)
        row: dict[str, object] = {
            "locale": locale,
            "split": split,
            "n": int(n),
            "metric": used.name,
            used.name: value,
            "ci95": [low, high],
        }
        show = used.unit.show
        named = "" if used.name == "accuracy" else f"{used.name} "
        lines = [f"{locale}  {named}{show(value)}  95% {used.unit.span(low, high)}  n = {n}"]
        seen = None
        if other is not None:
            seen = compare(right, other, groups=groups, metric=used.name)
            row |= {"against": seen.value_b, "comparison": comparison_dict(seen)}
            by = f"template groups ({seen.groups})" if seen.p_groups is not None else "sentences"
            error = "" if seen.se is None else f", standard error {seen.se:.2f} {seen.points}"
            counts = (
                f"{seen.groups} units" if seen.wins is None else f"wins {seen.wins}, losses {seen.losses}"
            )
            lines += [
                f"  against {against} {show(seen.value_b)}: {words(seen)}",
                f"  {counts}{error}; interval and p by {by}",
            ]
        knows = {name: text for name, path in models.items() if (text := seen_words(path, locale))}
        row["saw"] = knows.get("model")
        lines += [f"  {against if name == 'against' else 'it'} used {text}" for name, text in knows.items()]
        if as_row:
            result = scored_row(study, locale, models["model"], right, models.get("against"), seen, used.name)
            lines = [row_text(result)]
            row["row"] = lines[0]
        found.append(row)
        if not as_json:
            click.echo("\n".join(lines))
    if as_json:
        emit(found)


@click.command(short_help="Score every model on every locale.")
@click.option(
    "--locale", "locales", type=LOCALE, multiple=True, help="Test locales. Default: those that have a model."
)
@click.option(
    "--source", "sources", type=LOCALE, multiple=True, help="Models. Default: all that are trained."
)
@click.option("--joint", is_flag=True, help="The joint models of the study, into a table of their own: see mu train --joint.")  # fmt: skip
@click.option("--split", type=click.Choice(["train", "dev", "test"]), default="test", show_default=True)
@metric_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="CSV file. Default: in results/."
)
@click.option("--bf16", is_flag=True,
              help="Matrix products in bfloat16; such predictions are cached and tabulated separately from those in float32.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), metavar="N",
              help="Score N models at a time, each in a process with its share of the cores and one of the GPUs. "
                   "Default: 1.")  # fmt: skip
@click.option("--on", type=click.Choice(["local", "ray"]), default="local", show_default=True,
              help="Processes of this machine, or tasks of a Ray cluster, one for each model.")  # fmt: skip
@click.option(
    "--address", metavar="HOST:PORT", help="Ray: a running cluster, or auto. Default: one is started here."
)
@click.option("--cpus", type=click.FloatRange(min=0), metavar="X", help="Ray: CPUs of a model. Default: 1.")
@click.option("--gpus", type=click.FloatRange(min=0), metavar="X", help="Ray: GPUs of a model. Default: 0.")
@click.option("--dry-run", is_flag=True, help="List the pairs that would be scored; score nothing.")
@trust_option
@study_options(seed="Of the models.")
@json_option
def nxn(
    study: Study,
    locales: tuple[str, ...],
    sources: tuple[str, ...],
    joint: bool,
    split: str,
    metric: str | None,
    out: Path | None,
    bf16: bool,
    workers: int | None,
    on: str,
    address: str | None,
    cpus: float | None,
    gpus: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Score every model on every locale; print a heat map and write a CSV and a PNG to results/.

    Only new pairs are computed: a new model costs one row. Pairs that an earlier call measured stay in the
    CSV as long as their model and data are unchanged.
    """
    from merginguriel.evaluation import heatmap
    from merginguriel.evaluation.nxn import nxn as measure
    from merginguriel.evaluation.nxn import unanswered
    from merginguriel.study import matrix_writer
    from merginguriel.study.study import need_trained, other_data

    executor = executor_of(on, workers, address, cpus, gpus)
    models = need_trained(study, sources) if sources else study.trained()
    tested = tuple(models)
    if joint:
        from merginguriel.study import joint as joint_models

        if sources:
            raise UsageError("--joint scores the joint models: leave out --source.")
        models = {one.path.name: one.path for one in joint_models.listed(study)}
        if not models:
            raise UsageError(
                f"no joint model in {study.space.display(study.root)}.",
                hint=f"Train one with: mu train --joint all{study.flags()}",
            )
        out = out or study.table(f"{split}-joint", bf16=bf16)
    if not models:
        raise no_model(study)
    data = load_all(study, locales or tested)
    for locale in other_data(study, data, models.values()):
        say(f"note: the model of {locale} was trained on other sentences than the data hold now.")
    if dry_run:
        show_pairs(unanswered(models, data, split=split, cache=study.cache, bf16=bf16), models, data, as_json)
        return
    with ProgressLine("nxn") as bar:
        matrix = measure(
            models, data, split=split, cache=study.cache, bf16=bf16, metric=metric,
            executor=executor, on_progress=bar,
        )  # fmt: skip
    usual = next(iter(data.values())).metric
    path = matrix_writer.write(study, split, matrix, out, bf16=bf16, apart=matrix.metric != usual)
    if as_json:
        emit(
            {
                "split": split,
                "precision": "bfloat16" if bf16 else "float32",
                "n": dict(zip(matrix.targets, map(int, matrix.n), strict=True)),
                "metric": matrix.metric,
                matrix.metric: {s: {t: matrix.value(s, t) for t in matrix.targets} for s in matrix.sources},
                "csv": str(path),
                "wide": str(matrix_writer.wide_path(path)),
            }
        )
        return
    click.echo(heatmap.render(matrix, depth=heatmap.depth(sys.stdout, os.environ), width=text_width()))
    say(f"written to {study.space.display(path)} and .png{', in bfloat16' * bf16}")


def executor_of(
    on: str, workers: int | None, address: str | None, cpus: float | None, gpus: float | None
) -> Executor | None:
    """Return what computes the predictions: Ray tasks or processes; None for this process."""
    if on == "ray":
        from .sweep import executor_for

        tasks: Executor = executor_for(on, workers, address, cpus, gpus, None)[0].each_model
        return tasks
    for name, value in (("address", address), ("cpus", cpus), ("gpus", gpus)):
        if value is not None:
            raise UsageError(f"--{name} is for Ray only.", hint="Add: --on ray")
    from merginguriel.evaluation.nxn_workers import Processes

    return Processes(workers) if workers and workers > 1 else None


def show_pairs(
    missing: list[tuple[str, str]], models: Iterable[str], data: dict[str, TaskData], as_json: bool
) -> None:
    """Print the locales that each model would be scored on, and the number of known pairs."""
    left = {source: [target for name, target in missing if name == source] for source in models}
    known = len(left) * len(data) - len(missing)
    if as_json:
        emit({"to_score": left, "known": known})
        return
    click.echo(columns([[source, " ".join(targets) or "-"] for source, targets in left.items()]))
    say(f"{len(missing)} pairs to score, {known} known already")

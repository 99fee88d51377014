"""`mu iterate`: train locales in turn and merge them as they learn, in a run for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from merginguriel.config.schema import KEYS
from merginguriel.errors import MuError, UsageError
from merginguriel.models import remote_code
from merginguriel.similarity.choice import Options
from merginguriel.training.settings import IterateSettings

from .common import LOCALE, emit, json_option, say
from .progress import ProgressLine
from .run import preview, section_options
from .similarity import choosing_options
from .study import pair, study_options, trust_option

if TYPE_CHECKING:
    from merginguriel.config.schema import Config
    from merginguriel.runs.run_store import Run
    from merginguriel.study.study import Study

# Keys of the section `iterate` that are options.
ROUNDS = (
    "anchor", "epochs", "merge_every", "schedule", "tolerance", "min_gain_pp", "judge", "patience", "keep_checkpoints",
    "learning_rate", "head_learning_rate", "batch_size", "max_tokens", "freeze_layers", "bf16",
)  # fmt: skip


@click.command(short_help="Train locales in turn, merging as they learn.")
@click.option("--target", "targets", type=LOCALE, multiple=True, help="Target locale; repeat for several.")
@click.option(
    "--source",
    "sources",
    type=LOCALE,
    multiple=True,
    help="A locale to train; repeat. Default: the --k best.",
)
@choosing_options(products=False)
@click.option("--method", default="average", show_default=True, help="See: mu methods.")
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter of the method.")
@click.option(
    "--weight",
    "weights",
    multiple=True,
    metavar="LOCALE=NUMBER",
    help="Weight of a source in a weighted mean.",
)
@click.option("--include", multiple=True, metavar="PATTERN", help=KEYS["include"].doc)
@click.option("--exclude", multiple=True, metavar="PATTERN", help=KEYS["exclude"].doc)
@section_options("iterate", ROUNDS, IterateSettings())
@click.option(
    "--score/--no-score", default=True, show_default=True, help="Compare with single models on test data."
)
@click.option("--log", "to_log", is_flag=True, help="Write the results into the experiment log.")
@click.option("--dry-run", is_flag=True, help="Show the runs and their plans; run nothing.")
@trust_option
@study_options(seed="Another seed makes another merge.")
@json_option
def iterate(
    study: Study,
    targets: tuple[str, ...],
    params: tuple[str, ...],
    weights: tuple[str, ...],
    prepare: Options,
    score: bool,
    to_log: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train several locales in turn, merge them every few epochs, and continue all from the merge.

    Each target is a run of kind iterate (see mu run). After an interruption, the same command continues. With several
    targets, a failure does not stop the others; failed targets are listed at the end.

    \b
    mu iterate --target da-DK --source sv-SE --source nb-NO --method ties --epochs 6 --merge-every 2
    mu iterate --target da-DK --target cy-GB --similarity URIEL --k 4 --schedule gain --log
    """
    if to_log and not (targets and score):
        raise UsageError("--log writes what was scored on a --target.")
    scored = score and bool(targets)
    given |= {"params": dict(map(pair, params)), "weights": dict(map(pair, weights)), "score": scored}
    configs = [configuration(study, prepare, target, given) for target in dict.fromkeys(targets or (None,))]
    if dry_run:
        shown = [preview(study.space, config) for config in configs]
        emit([table for table, _ in shown]) if as_json else click.echo("\n".join(text for _, text in shown))
        return
    from merginguriel.loop import iterate_targets

    with ProgressLine("iterate") as bar:
        done, failed = iterate_targets.carry_out(
            study.space, configs, bar, lambda run: None if as_json else click.echo(in_words(run))
        )
    if to_log and done:
        say(f"written to the log: {iterate_targets.entry_of(study.space, done).id}")
    if failed:
        first = next(iter(failed.values()))
        if len(configs) == 1:
            raise first
        raise MuError(
            f"{len(failed)} of {len(configs)} targets failed: {', '.join(failed)}. The first, because: {first.what}",
            where=first.where,
            hint=first.hint,
        )
    if as_json:
        emit([as_dict(one) for one in done])


def configuration(study: Study, prepare: Options, target: str | None, given: dict[str, Any]) -> Config:
    """Return the configuration that the flags mean for one target."""
    from merginguriel.config.run_config import from_table
    from merginguriel.runs.resolve import table_of

    sources = given["sources"]
    if not (sources or target):
        raise UsageError(
            "neither sources nor a target are named.", hint="Name --source LOCALE, repeatedly, or --target."
        )
    table = {name: value for name, value in given.items() if name not in ROUNDS}
    table |= {"kind": "iterate", "target": target, **table_of(study, prepare)}
    table |= {"trust_remote_code": remote_code.trusted()}
    table["iterate"] = {name: given[name] for name in ROUNDS}
    if sources:
        table["mode"] = given["mode"] or ("IncTar" if target in sources else "ExcTar")
    else:
        table["similarity"] = given["similarity"] or "URIEL"
    try:
        return from_table({name: list(v) if isinstance(v, tuple) else v for name, v in table.items()})
    except MuError as error:
        raise UsageError(error.what, hint=error.hint) from error


def in_words(run: Run) -> str:
    """Return the lines that `mu iterate` prints about one run."""
    from merginguriel.runs.run_store import result
    from merginguriel.study.results import comparison_of, words
    from merginguriel.text.runs import metric_of

    found = result(run)
    if not run.config.score:
        return str(run.space.root / found["path"])
    metric = metric_of(found)
    show = metric.unit.show
    lines = [f"{found['target']}  {show(found[metric.name], 1)}  n = {found['n']}  {found['path']}"]
    for kind, text in (("best_single_source", "best source"), ("target_alone", "own model")):
        one = found["baselines"].get(kind)
        if one and one["comparison"]:
            compared = words(comparison_of(one["comparison"]))
            lines.append(f"  against {text} {one['model']} {show(one['value'], 1)}: {compared}")
    lines += [f"  left out: {name}, because {why}" for name, why in found["failed"].items()]
    return "\n".join(lines)


def as_dict(run: Run) -> dict[str, Any]:
    """Return what `mu iterate --json` prints about one run: its result, with an absolute path, and its rows."""
    from merginguriel.loop.iterate_targets import rows_of
    from merginguriel.runs.run_store import result

    found = result(run)
    beat = found.get("baselines", {})
    return {
        **found,
        "path": str(run.space.root / found["path"]),
        "compared": {kind: one["comparison"] for kind, one in beat.items() if one["comparison"]},
        "rows": [row.as_dict() for row in rows_of(run.space, [run])] if beat else [],
    }

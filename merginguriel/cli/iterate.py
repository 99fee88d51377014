"""`mu iterate`: train locales in turn and merge them as they learn, in a run for each target."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from merginguriel.config.schema import Iterate
from merginguriel.errors import MuError, UsageError
from merginguriel.similarity.choice import Options
from merginguriel.training.settings import ANCHORS, JUDGES, SCHEDULES, IterateSettings

from .common import LOCALE, emit, json_option, plain, say
from .progress import Bar
from .similarity import choosing_options
from .study import pair, study_options

if TYPE_CHECKING:
    from merginguriel.config.schema import Config
    from merginguriel.runs.run_store import Run
    from merginguriel.study.study import Study

HELP = {field.name: str(field.metadata["doc"]) for field in fields(IterateSettings)}


@click.command(short_help="Train locales in turn, merging as they learn.")
@click.option(
    "--target", "targets", type=LOCALE, multiple=True, help="The locale that it is for; repeat for many."
)
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
    "--weight", "weights", multiple=True, metavar="LOCALE=NUMBER", help="Of a source, in a weighted mean."
)
@click.option("--include", multiple=True, metavar="PATTERN", help=HELP["include"])
@click.option("--exclude", multiple=True, metavar="PATTERN", help=HELP["exclude"])
@click.option("--anchor", type=click.Choice(ANCHORS), default="last_merge", show_default=True,
              help="What task vectors are taken against.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True, help=HELP["epochs"])
@click.option(
    "--merge-every", type=click.IntRange(min=1), default=1, show_default=True, help=HELP["merge_every"]
)
@click.option("--schedule", type=click.Choice(SCHEDULES), default="fixed", show_default=True,
              help="Merge every round, once no loss falls, or where it gains.")  # fmt: skip
@click.option("--tolerance", type=float, default=0.01, show_default=True, help=HELP["tolerance"])
@click.option(
    "--min-gain", "min_gain_pp", type=float, default=0.0, show_default=True, help=HELP["min_gain_pp"]
)
@click.option("--judge", type=click.Choice(JUDGES), default="sources", show_default=True,
              help="On whose development data a gain is measured.")  # fmt: skip
@click.option("--patience", type=click.IntRange(min=1), help=HELP["patience"])
@click.option("--keep-checkpoints", is_flag=True, help=HELP["keep_checkpoints"])
@click.option("--learning-rate", type=float, help="Of the encoder. Default: what suits the base.")
@click.option("--head-learning-rate", type=float, help="Of the head, which starts from nothing.")
@click.option("--batch-size", type=click.IntRange(min=1))
@click.option("--max-tokens", type=click.IntRange(min=4), help="Longer sentences are cut.")
@click.option("--freeze-layers", type=click.IntRange(min=0), help="Layers, from the input, left as they are.")
@click.option(
    "--bf16/--no-bf16", default=None, help="Matrix products in bfloat16. Default: where it is faster."
)
@click.option(
    "--score/--no-score", default=True, show_default=True, help="Compare with single models on test data."
)
@click.option("--log", "to_log", is_flag=True, help="Write the results into the experiment log.")
@click.option("--dry-run", is_flag=True, help="Show the runs and their plans; run nothing.")
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
    """Train several locales in turn, merge them every few epochs, and let all go on from the merge.

    Each target is a run of kind iterate (see mu run). Killed or interrupted, the same command goes on where it stopped.
    Of several targets, one that fails does not stop the others; it is named at the end.

    \b
    mu iterate --target da-DK --source sv-SE --source nb-NO --method ties --epochs 6 --merge-every 2
    mu iterate --target da-DK --target cy-GB --similarity URIEL --k 4 --schedule gain --log
    """
    if to_log and not (targets and score):
        raise UsageError("--log writes what was scored on a --target.")
    given |= {
        "params": dict(map(pair, params)),
        "weights": numbers(weights),
        "score": score and bool(targets),
    }
    configs = [configuration(study, prepare, target, given) for target in dict.fromkeys(targets or (None,))]
    if dry_run:
        show_plans(study, configs, as_json)
        return
    from merginguriel.loop import iterate_targets

    scored = bool(targets) and score
    with Bar("iterate") as bar:
        done, failed = iterate_targets.carry_out(
            study.space, configs, bar, lambda run: None if as_json else click.echo(in_words(run, scored))
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
        emit([as_dict(one, scored) for one in done])


def configuration(study: Study, prepare: Options, target: str | None, given: dict[str, Any]) -> Config:
    """Return the configuration that the flags mean for one target."""
    from merginguriel.config.run_config import from_table
    from merginguriel.runs.resolve import table_of

    sources = given["sources"]
    if not (sources or target):
        raise UsageError(
            "neither sources nor a target are named.", hint="Name --source LOCALE, repeatedly, or --target."
        )
    table = {name: value for name, value in given.items() if value is not None}
    rounds = {name: table.pop(name) for name in Iterate.model_fields if name in table}
    table |= {"kind": "iterate", "target": target, "iterate": rounds, **table_of(study, prepare)}
    if sources:
        table.setdefault("mode", "IncTar" if target in sources else "ExcTar")
    else:
        table.setdefault("similarity", "URIEL")
    return from_table({name: list(v) if isinstance(v, tuple) else v for name, v in table.items()})


def show_plans(study: Study, configs: list[Config], as_json: bool) -> None:
    """Print the runs of these configurations, and what each would do."""
    from merginguriel.config.run_config import as_table
    from merginguriel.runs import resolve, run_store
    from merginguriel.runs.planning import plan
    from merginguriel.text.runs import plan_lines

    found = []
    for config in configs:
        wanted = resolve.resolved(config, study.space)
        name, planned = run_store.run_id(wanted), plan(study.space, wanted)
        there = (study.space.runs / name / "config.yaml").is_file()
        state = run_store.state(run_store.get(study.space, name)) if there else "new"
        found.append(
            {"run": name, "state": state, "plan": planned.as_dict(), "config": as_table(wanted, every=True)}
        )
        if not as_json:
            click.echo(f"{name}  {state}\n{plain(chr(10).join(plan_lines(planned, state)))}")
    if as_json:
        emit(found)


def numbers(pairs: tuple[str, ...]) -> dict[str, float]:
    """Return LOCALE=NUMBER pairs as a dict."""
    found = {}
    for name, text in map(pair, pairs):
        try:
            found[name] = float(text)
        except ValueError:
            raise UsageError(f"the weight of {name} is {text!r}, not a number.") from None
    return found


def in_words(run: Run, scored: bool) -> str:
    """Return the lines that `mu iterate` prints about one run."""
    from merginguriel.runs.kinds.common import baselines_of
    from merginguriel.runs.run_store import result
    from merginguriel.study import item_file
    from merginguriel.study.results import compare_all, words

    found = result(run)
    if not scored:
        return str(run.space.root / found["path"])
    metric, beat, items = found["metric"], baselines_of(run), item_file.read(run.folder / "items.npz")
    compared = compare_all(items.arms["merge"], items.groups, beat, metric)
    lines = [f"{found['target']}  {100 * found[metric]:.1f}%  n = {found['n']}  {found['path']}"]
    for kind, text in (("best_single_source", "best source"), ("target_alone", "own model")):
        if kind in compared:
            one = beat[kind]
            lines.append(f"  against {text} {one.model} {100 * one.value:.1f}%: {words(compared[kind])}")
    lines += [f"  left out: {name}, because {why}" for name, why in found["failed"].items()]
    return "\n".join(lines)


def as_dict(run: Run, scored: bool) -> dict[str, Any]:
    """Return what `mu iterate --json` prints about one run."""
    from merginguriel.loop.iterate_targets import rows_of
    from merginguriel.runs.run_store import result

    found = result(run)
    table = {"run": run.id, "path": str(run.space.root / found["path"])}
    if not scored:
        return table
    beat = found["baselines"]
    return {
        "target": found["target"],
        **table,
        "accuracy": found[found["metric"]],
        "n": found["n"],
        "baselines": {kind: {"model": b["model"], "value": b["value"]} for kind, b in beat.items()},
        "compared": {kind: b["comparison"] for kind, b in beat.items() if b["comparison"]},
        "failed": found["failed"],
        "rows": [row.as_dict() for row in rows_of(run.space, [run])],
    }

"""`mu iterate`: locales trained in turn and merged every few epochs, for one target or many."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import MuError, UsageError
from merginguriel.similarity.choice import Options
from merginguriel.training.settings import ANCHORS, JUDGES, SCHEDULES, IterateSettings

from .common import LOCALE, emit, json_option, say
from .progress import Bar
from .similarity import choosing_options
from .study import pair, study_options

if TYPE_CHECKING:
    from merginguriel.study.iterate_study import Scored
    from merginguriel.study.study import Study

TRAINING = ("learning_rate", "head_learning_rate", "batch_size", "max_tokens", "freeze_layers", "bf16")
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
    as_json: bool,
    **given: Any,
) -> None:
    """Train several locales in turn, merge them every few epochs, and let all go on from the merge.

    Killed or interrupted, the same command goes on where it stopped. Of several targets, one that fails does not
    stop the others; it is named at the end.

    \b
    mu iterate --target da-DK --source sv-SE --source nb-NO --method ties --epochs 6 --merge-every 2
    mu iterate --target da-DK --target cy-GB --similarity URIEL --k 4 --schedule gain --log
    """
    training = {key: value for key in TRAINING if (value := given.pop(key)) is not None}
    settings = IterateSettings(
        **given, params=dict(map(pair, params)), weights=numbers(weights), training=training, seed=study.seed
    )
    if to_log and not (targets and score):
        raise UsageError("--log writes what was scored on a --target.")
    if not targets or not score:
        paths = [train_one(study, settings, prepare, target) for target in targets or (None,)]
        emit([{"path": str(path)} for path in paths]) if as_json else click.echo("\n".join(map(str, paths)))
        return
    from merginguriel.study.iterate_study import over_targets

    with Bar("iterate") as bar:
        done, failed = over_targets(
            study,
            settings,
            targets,
            bar,
            options=prepare,
            on_scored=None if as_json else lambda s: click.echo(in_words(study, s)),
        )
    if to_log and done:
        say(f"written to the log: {write_down(study, done)}")
    if failed:
        first = next(iter(failed.values()))
        if len(targets) == 1:
            raise first
        raise MuError(
            f"{len(failed)} of {len(targets)} targets failed: {', '.join(failed)}. The first, because: {first.what}",
            where=first.where,
            hint=first.hint,
        )
    if as_json:
        emit([as_dict(one) for one in done])


def train_one(study: Study, settings: IterateSettings, prepare: Options, target: str | None) -> Path:
    """Train and merge for one target, without scoring; return the folder of the merge."""
    from dataclasses import replace

    from merginguriel.study.iterate_study import iterate as carry_out
    from merginguriel.study.iterate_study import settled

    with Bar("iterate") as bar:
        mine = settled(study, replace(settings, target=target), prepare)[0]
        return carry_out(study, mine, bar)


def numbers(pairs: tuple[str, ...]) -> dict[str, float]:
    """Return LOCALE=NUMBER pairs as a dict."""
    found = {}
    for name, text in map(pair, pairs):
        try:
            found[name] = float(text)
        except ValueError:
            raise UsageError(f"the weight of {name} is {text!r}, not a number.") from None
    return found


def in_words(study: Study, one: Scored) -> str:
    """Return the lines that `mu iterate` prints about one target."""
    from merginguriel.metrics.base import find
    from merginguriel.study.results import words

    show = find(one.metric).unit.show
    lines = [f"{one.target}  {show(one.value, 1)}  n = {one.n}  {study.space.display(one.path)}"]
    for kind, text in (("best_single_source", "best source"), ("target_alone", "own model")):
        if kind in one.compared:
            baseline = one.baselines[kind]
            lines.append(
                f"  against {text} {baseline.model} {show(baseline.value, 1)}: {words(one.compared[kind])}"
            )
    lines += [f"  left out: {name}, because {why}" for name, why in one.failed.items()]
    return "\n".join(lines)


def as_dict(one: Scored) -> dict[str, Any]:
    """Return what `mu iterate --json` prints about one target."""
    from merginguriel.study.results import comparison_dict

    return {
        "target": one.target,
        "path": str(one.path),
        "metric": one.metric,
        one.metric: one.value,
        "n": one.n,
        "baselines": {k: {"model": b.model, "value": b.value} for k, b in one.baselines.items()},
        "compared": {kind: comparison_dict(found) for kind, found in one.compared.items()},
        "failed": one.failed,
        "rows": [row.as_dict() for row in one.rows],
    }


def write_down(study: Study, done: list[Scored]) -> str:
    """Return the id of the log entry with the rows of all targets; an entry that has them already is reused."""
    from merginguriel.study.iterate_study import entry_of

    return entry_of(study, done).id

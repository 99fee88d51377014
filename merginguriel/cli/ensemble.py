"""`mu ensemble`: several models that answer together, against single models and baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UsageError
from merginguriel.similarity.choice import Options
from merginguriel.text.differences import p_number
from merginguriel.text.numbers import interval, signed

from .common import LOCALE, columns, emit, json_option, say, stacked
from .lab import metric_option
from .progress import ProgressLine
from .similarity import choosing_options
from .study import load_all, no_model, study_options

if TYPE_CHECKING:
    import numpy as np

    from merginguriel.evaluation.baselines import Baseline, Goal
    from merginguriel.evaluation.nxn import Matrix
    from merginguriel.evaluation.significance import Comparison
    from merginguriel.metrics.registry import Metric
    from merginguriel.similarity.choice import Choice
    from merginguriel.study.study import Study
    from merginguriel.tasks.registry import TaskData

METHODS = ("majority", "weighted_majority", "soft", "uriel_logits", "real_logits")
METHOD_WEIGHTS = {"uriel_logits": "URIEL", "real_logits": "REAL"}  # methods with a similarity of their own
SINGLE = ("best_single_source", "best_zero_shot", "target_alone")


class Usual(click.Group):
    """`mu ensemble --target …` is `mu ensemble score --target …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the subcommand `score` before options."""
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = ["score", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Usual, short_help="Combine cached predictions of several models, without running a model.")
def ensemble() -> None:
    """Combine votes, probabilities or weighted logits of several models, from the cached predictions of mu nxn.

    `mu ensemble --target da-DK` is short for `mu ensemble score --target da-DK`.
    """


# What both subcommands take.
common_options = stacked(
    json_option,
    study_options(seed="Of the models."),
    click.option("--target", "targets", type=LOCALE, multiple=True, required=True, help="Repeat."),
    click.option("--method", "methods", type=click.Choice(METHODS), multiple=True,
                 help="Repeat. Default: all."),
    click.option("--source", "sources", type=LOCALE, multiple=True,
                 help="A model of the ensemble; repeat. Default: the best --k by --similarity."),
    choosing_options(similarity="REAL", mode="ExcTar"),
    metric_option,
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """Options that `score` and `compare` share."""

    targets: tuple[str, ...]
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    k: int | None
    similarity: str
    mode: str
    prepare: Options
    metric: str | None


@dataclass(frozen=True)
class EnsembleScores:
    """One target: its sources, each method's statistics of the metric on test items, and the baselines."""

    target: str
    chosen: Choice
    right: Mapping[str, np.ndarray]
    groups: tuple[str, ...]
    baselines: Mapping[str, Baseline]
    metric: Metric


@ensemble.command("score", short_help="Score ensembles, against what they must beat.")
@common_options
def score(study: Study, as_json: bool, **given: Any) -> None:
    """Score every method, with the paired difference to the best of its models (ExcTar) or the own one (IncTar)."""
    from merginguriel.evaluation.baselines import goal, lacking
    from merginguriel.evaluation.significance import compare, value_interval
    from merginguriel.study.results import comparison_dict

    request, results = Request(**given), []
    mode = request.mode
    for one in score_all(study, request):
        beat = one.baselines["target_alone" if mode == "IncTar" else "best_single_source"]
        assert beat.correct is not None  # measured here, item by item
        name, unit = one.metric.name, one.metric.unit
        table = [["", name, "95%", f"against {beat.model}", "95%", "p", "sees", "goal"]]
        found: dict[str, Any] = {}
        stated: Goal | None = None
        for method, right in one.right.items():
            seen = compare(right, beat.correct, groups=one.groups, metric=name)
            reached = goal(mode, right, one.baselines, one.groups, name)
            low, high = value_interval(right, one.groups, metric=name)
            value = one.metric.value(right)
            state = reached.state if reached else "–"
            shown = unit.show(value, 1).removesuffix("%")
            table.append([method, shown, unit.span(low, high), *cells(seen), state])
            found[method] = {
                name: value,
                "ci95": [low, high],
                "against": beat.kind,
                "comparison": comparison_dict(seen),
                "goal": None
                if reached is None
                else {
                    "number": reached.number,
                    "state": reached.state,
                    "against": reached.against.kind,
                    "comparison": comparison_dict(reached.comparison),
                },
            }
            stated = reached or stated
        results.append(
            {
                "target": one.target,
                "mode": mode,
                "metric": name,
                "sources": one.chosen.names,
                "weights": one.chosen.weights,
                "n": len(one.groups),
                "methods": found,
                "baselines": {
                    kind: {"model": b.model, "value": b.value, "note": b.note}
                    for kind, b in one.baselines.items()
                },
                "lacking": lacking(one.baselines),
            }
        )
        if not as_json:
            click.echo(f"{one.target}  {mode}  {' '.join(one.chosen.names)}  n = {len(one.groups)}\n")
            click.echo(columns(table) + "\n")
            rows = [
                [kind, unit.show(b.value, 1).removesuffix("%"), b.model or "", b.note]
                for kind, b in one.baselines.items()
            ]
            click.echo(columns(rows) + "\n")
            if stated:
                click.echo(f"goal {stated.number}: to beat {stated.aim}")
            click.echo(f"not scored here: {', '.join(lacking(one.baselines)) or 'none'}\n")
    if as_json:
        emit(results)


@ensemble.command("compare", short_help="Methods against one of them, or a baseline, over targets.")
@click.option(
    "--against",
    type=click.Choice([*SINGLE, *METHODS]),
    help="Default: best_single_source; with --mode IncTar target_alone.",
)
@common_options
def compare_(study: Study, against: str | None, as_json: bool, **given: Any) -> None:
    """Compare every method with one opponent on every target: p after Holm over targets, mean with a joint interval.

    \b
    mu ensemble compare --target da-DK --target fi-FI
    mu ensemble compare --target da-DK --target fi-FI --method soft --against majority
    """
    from merginguriel.evaluation.across_targets import over_targets
    from merginguriel.study.results import comparison_dict

    request = Request(**given)
    opponent = against or ("target_alone" if request.mode == "IncTar" else "best_single_source")
    wanted = [m for m in request.methods or METHODS if m != opponent]
    if not wanted:
        raise UsageError(f"{opponent} would be compared with itself.", hint="Name another with --method.")
    needed = tuple(dict.fromkeys([*wanted, *([opponent] if opponent in METHODS else [])]))
    all_of = score_all(study, replace(request, methods=needed))
    used = all_of[0].metric
    points = used.unit.points
    other = {one.target: answers_of(one, opponent) for one in all_of}
    groups = {one.target: one.groups for one in all_of}
    found: dict[str, Any] = {}
    for method in wanted:
        pairs = {one.target: (one.right[method], other[one.target]) for one in all_of}
        family = over_targets(pairs, groups, metric=used.name)
        found[method] = {
            "targets": {
                t: {"comparison": comparison_dict(c), "p_holm": family.holm[t]}
                for t, c in family.comparisons.items()
            },
            "mean_pp": family.mean,
            "ci95_pp": [family.interval.low, family.interval.high],
            "mde_pp": family.mde,
            "standing": family.standing,
        }
        if as_json:
            continue
        table = [[f"{method} − {opponent}", points, "95%", "p", "sees", "p (Holm)"]]
        for target, seen in family.comparisons.items():
            table.append([target, *cells(seen), p_number(family.holm[target])])
        low, high = family.interval.low, family.interval.high
        sees = "–" if family.mde is None else f"{family.mde:.1f} {points}"
        table.append(
            ["mean", signed(family.mean), "–" if family.mde is None else interval(low, high), "", sees, ""]
        )
        click.echo(columns(table) + "\n")
    if as_json:
        emit({"against": opponent, "mode": request.mode, "metric": used.name, "sources": {o.target: o.chosen.names for o in all_of},
              "methods": found})  # fmt: skip
        return
    say(
        "sees: the smallest true difference that such a test finds 4 times of 5; p (Holm): over these targets."
    )


def score_all(study: Study, request: Request) -> list[EnsembleScores]:
    """Score every target. Predictions that are missing or damaged are computed first, with a note."""
    from merginguriel.evaluation.nxn import nxn
    from merginguriel.study.study import need_trained

    trained = study.trained()
    need_trained(study, [*request.sources, *(request.targets if request.mode == "IncTar" else ())])
    if not trained:
        raise no_model(study)
    data = load_all(study, request.targets)
    with ProgressLine("nxn") as bar:
        dev = nxn(trained, data, split="dev", cache=study.cache, metric=request.metric, on_progress=bar)
        test = nxn(trained, data, split="test", cache=study.cache, metric=request.metric, on_progress=bar)
    return [score_one(study, trained, found, dev, test, request) for found in data.values()]


def score_one(
    study: Study, trained: Mapping[str, Path], data: TaskData, dev: Matrix, test: Matrix, request: Request
) -> EnsembleScores:
    """Score one target: choose its models, combine their answers, and collect its baselines."""
    from merginguriel.evaluation.baselines import baselines
    from merginguriel.evaluation.ensemble import scored
    from merginguriel.metrics.registry import find
    from merginguriel.similarity import choice
    from merginguriel.study.source_choice import inputs_of

    methods, similarity = request.methods or METHODS, request.similarity
    target = data.locale
    inputs = inputs_of(study, request.prepare, models=trained, dev=dev)
    chosen = choice.choose(
        target, request.mode, request.k, similarity, candidates=request.sources or list(trained), named=bool(request.sources),
        weigh=similarity, inputs=inputs, options=request.prepare,
    )  # fmt: skip
    for note in chosen.notes:
        say(note)
    if not chosen.sources:
        raise UsageError(f"no model for {target} but its own.", hint="Train more, or: --mode IncTar")
    kinds = {METHOD_WEIGHTS[method] for method in methods if method in METHOD_WEIGHTS} - {similarity}
    weights = {kind: choice.values(target, chosen.names, kind, inputs) for kind in sorted(kinds)}
    weights[similarity] = chosen.weights
    right = scored({n: trained[n] for n in chosen.names}, data.test, study.cache, weights, methods=methods,
                   similarity=similarity, metric=test.metric)  # fmt: skip
    beat = baselines(target, dev, test, chosen.names, data)
    return EnsembleScores(target, chosen, right, test.groups[target], beat, find(test.metric))


def answers_of(one: EnsembleScores, name: str) -> np.ndarray:
    """Return the statistics of a method or a baseline on the test items."""
    if name in one.right:
        return one.right[name]
    found = one.baselines.get(name)
    if found is None or found.correct is None:
        raise UsageError(
            f"{one.target} has no {name} to compare with.", hint="Train its model, or name another: --against"
        )
    return found.correct


def cells(found: Comparison) -> list[str]:
    """Return a difference, its interval, p, and the smallest effect that the test detects."""
    p = p_number(found.trusted_p)
    if found.mde is None:
        return [signed(found.difference), "–", p, "–"]
    inside = interval(found.interval.low, found.interval.high)
    return [signed(found.difference), inside, p, f"{found.mde:.1f} {found.points}"]

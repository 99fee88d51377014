"""Result rows of accuracies, and comparisons in words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merginguriel import stats
from merginguriel.errors import UsageError
from merginguriel.evaluation.baselines import Baseline
from merginguriel.evaluation.nxn import Matrix
from merginguriel.evaluation.significance import Comparison, Interval, compare
from merginguriel.knowledge.parse.rows import BASELINE_KINDS, POLICIES, ResultRow, row_cells
from merginguriel.merging import registry
from merginguriel.merging.card import seen
from merginguriel.merging.recipe import Recipe, load_recipe, seen_of_target
from merginguriel.metrics.registry import find
from merginguriel.models.build_record import read
from merginguriel.version import measured_by

from . import joint

if TYPE_CHECKING:
    from .study import Study

LOGGED = ("best_single_source", "source_mean", "target_alone")  # baselines that an entry lists


def logged_method(recipe: Recipe) -> str:
    """Return the method as the log names it: `similarity` for a weighted mean with the weights of a similarity."""
    return "similarity" if recipe.method == "linear" and recipe.similarity else recipe.method


def matrix_rows(matrix: Matrix, context: str, run: str, code: str | None = None) -> list[ResultRow]:
    """Return every source on every target that it was scored on, as rows of the method `single`.

    code  what measured the pairs of which the matrix does not say it
    """
    return [
        ResultRow(
            context=context,
            target=target,
            mode="-",
            method="single",
            metric=matrix.metric,
            value=float(value),
            n=int(n),
            sources=(source,),
            run=run,
            code=matrix.code.get((source, target), code),
        )
        for source, found in zip(matrix.sources, matrix.scores, strict=True)
        for target, value, n in zip(matrix.targets, found, matrix.n, strict=True)
        if not np.isnan(value)
    ]


def compare_all(
    right: np.ndarray, groups: Sequence[str], baselines: Mapping[str, Baseline], metric: str = "accuracy"
) -> dict[str, Comparison]:
    """Compare the merge with every baseline that is a model scored on the same items.

    right: statistics of the metric [n] or [n, S], for accuracy bool; groups [n]: variants of one template share a name
    """
    return {
        kind: compare(right, baseline.correct, groups=groups, metric=metric)
        for kind, baseline in baselines.items()
        if baseline.correct is not None
    }


def compared_rows(
    row: ResultRow, beat: Mapping[str, Baseline], compared: Mapping[str, Comparison]
) -> list[ResultRow]:
    """Return the row against every baseline that a row can name; paired where both were scored item by item."""
    return [
        replace(
            with_baseline(row, kind, beat[kind].value, compared.get(kind)),
            note=f"{beat[kind].model}, {beat[kind].note}" if kind == "best_single_source" else "",
        )
        for kind in BASELINE_KINDS
        if kind in beat
    ]


def merge_rows(
    recipe: Recipe,
    right: np.ndarray,
    beat: Mapping[str, Baseline],
    compared: Mapping[str, Comparison],
    *,
    context: str,
    run: str,
    metric: str = "accuracy",
) -> list[ResultRow]:
    """Return the rows of a merge against every baseline that a row can name."""
    return compared_rows(merge_row(recipe, right, context, metric, run), beat, compared)


def with_baseline(
    row: ResultRow, kind: str | None, value: float | None, found: Comparison | None
) -> ResultRow:
    """Return the row with a baseline, and with wins, losses and standard error of the comparison where there is one."""
    wins, losses, se = (found.wins, found.losses, found.se) if found else (None, None, None)
    return replace(row, baseline_kind=kind, baseline=value, wins=wins, losses=losses, se_pp=se)


def seen_words(model: Path, target: str) -> str | None:
    """Return what a merge used of its own target, in words; None for another model or target, or nothing."""
    if not (model / "recipe.yaml").is_file():
        return None
    recipe = load_recipe(model / "recipe.yaml")
    if recipe.target != target or seen_of_target(recipe) == "nothing":
        return None
    return "; ".join(seen(recipe, registry.get(recipe.method)))


def scored_row(
    study: Study,
    target: str,
    model: Path,
    right: np.ndarray,
    against: Path | None = None,
    found: Comparison | None = None,
    metric: str = "accuracy",
) -> ResultRow:
    """Return the row of one scored model: a merge, as its recipe.yaml says what it is, or the model of one locale.

    right: statistics of the metric [n] or [n, S]; against: the model of `found`, which decides the kind of baseline: the target's own model, a
    plain average, or else a single source. Raises UsageError where it is none of these.
    """
    kind = None if against is None else baseline_kind(study, target, against)
    note = f"{against.name}, chosen by hand" if against and kind == "best_single_source" else ""
    recipe = load_recipe(model / "recipe.yaml") if (model / "recipe.yaml").is_file() else None
    if recipe is None:
        row = ResultRow(study.context, target, "-", "single", metric, find(metric).value(right), len(right))
        source = single_locale(study, model) or model.name
        row = replace(row, sources=(source,), seed=study.seed, code=measured_by())
        if many := joint.described(model):
            mode = "IncTar" if target in many.locales else "ExcTar"
            row = replace(row, mode=mode, method="joint", k=len(many.locales), sources=many.locales,
                          params=(("budget", many.budget),),
                          saw="labels" if mode == "IncTar" else "nothing")  # fmt: skip
    else:
        included = target in {source.name for source in recipe.sources}
        mode = "IncTar" if included else "ExcTar"
        recipe = replace(recipe, target=target, mode=mode, seed=study.seed)
        row = merge_row(recipe, right, study.context, metric)
    return replace(with_baseline(row, kind, found.value_b if found else None, found), note=note)


def baseline_kind(study: Study, target: str, against: Path) -> str:
    """Return the baseline kind of a comparison with the model `against` in a row for `target`."""
    if (against / "recipe.yaml").is_file():
        if load_recipe(against / "recipe.yaml").method == "average":
            return "average_merge"
    elif joint.described(against):
        return "joint"
    elif locale := single_locale(study, against):
        return "target_alone" if locale == target else "best_single_source"
    raise UsageError(
        f"a row cannot name {against.name} as its baseline.",
        hint="Compare with the best single source, the target's own model, or a plain average.",
    )


def single_locale(study: Study, model: Path) -> str | None:
    """Return the locale that a model was fine-tuned on, here or elsewhere; None for a merge or an unknown model."""
    if (model / "training.yaml").is_file():
        return str(read(model / "training.yaml").get("locale"))
    return study.locale_of(model)


def row_text(row: ResultRow) -> str:
    """Return the cells as `mu log add --row` reads them: `target=da-DK mode=ExcTar … sources='de-DE sv-SE'`."""
    return " ".join(
        f"{key}={shlex.quote(cell)}" for key, cell in row_cells(row).items() if cell not in ("", "-")
    )


def merge_row(recipe: Recipe, right: np.ndarray, context: str, metric: str, run: str = "") -> ResultRow:
    """Return the row of a merge, without a baseline; `right` [n] or [n, S] are the metric's statistics."""
    return ResultRow(
        context=context,
        target=recipe.target or "-",
        mode=recipe.mode or "-",
        method=logged_method(recipe),
        metric=metric,
        value=find(metric).value(right),
        n=len(right),
        params=logged_params(recipe),
        similarity=recipe.similarity,
        k=len(recipe.sources),
        sources=tuple(source.name for source in recipe.sources),
        weights=tuple(source.weight for source in recipe.sources),
        seed=recipe.seed,
        saw=seen_of_target(recipe),
        run=run,
        code=measured_by(),
    )


def logged_params(recipe: Recipe) -> tuple[tuple[str, str], ...]:
    """Return the parameters of the method, and every policy that another recipe of this name might not have.

    Heads that are averaged beside a method that is no average are named: rows that do not name them are of heads
    that the method merged. Weights of a similarity are named, but for a weighted mean, whose similarity says it.
    """
    found = {key: _number(value) for key, value in recipe.params.items() if value != ""}
    for name in POLICIES:
        value, usual = getattr(recipe, name), "merge" if name == "heads" else getattr(Recipe, name, ())
        implied = name == "preweight" and (value == "equal" or recipe.method in ("linear", "average"))
        if value != usual and not implied:
            found[name] = ",".join(value) if isinstance(value, tuple) else str(value)
    if "tuned" in recipe.learnt:
        found["tuned"] = str(recipe.learnt["tuned"]).replace(", ", ",")
    return tuple(sorted(found.items()))


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def words(found: Comparison) -> str:
    """`+2.4 pp, 95% −0.4 … +5.2, p = 0.09: within noise`."""
    low, high, points = found.interval.low, found.interval.high, found.points
    if found.wins == 0 and found.losses == 0:
        return f"no difference: both are right and wrong on the same {found.n} items"
    noise = (
        "outside noise"
        if found.significant
        else "too few items"
        if found.mde is None
        else f"within noise, this test sees {found.mde:.1f} {points} or more"
    )
    text = f"{found.difference:+.1f} {points}, {100 * found.interval.level:.0f}% {low:+.1f} … {high:+.1f}, {stats.p_text(found.trusted_p)}: {noise}"
    return text.replace("-", "−")


def comparison_of(table: Mapping[str, Any]) -> Comparison:
    """Return the comparison that `comparison_dict` wrote."""
    plain = {name: value for name, value in table.items() if name != "significant"}
    return Comparison(**{**plain, "interval": Interval(**table["interval"])})


def comparison_dict(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON data: differences in pp, accuracies as fractions."""
    return {**asdict(found), "significant": found.significant}

"""`mu log plans`, `calibration` and `tried`: open plans, scores of past ones, and earlier attempts."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from merginguriel.text.numbers import count

from .common import (
    DATE,
    LOCALE,
    columns,
    emit,
    json_option,
    known,
    plain,
    say,
    space,
    true_minus,
    workspace_option,
)


@click.command("plans")
@click.option("--all", "every", is_flag=True, help="Include answered and replaced ones.")
@click.option("--today", type=DATE, hidden=True, help="The day from which ages are counted.")
@json_option
@workspace_option
def show_plans(every: bool, today: str | None, as_json: bool, workspace_path: Path | None) -> None:
    """List plans without a retrospective: their age, and the measurements they wait for."""
    from merginguriel.knowledge.log.plan_scores import plans

    result = plans(known(space(workspace_path)), today or date.today().isoformat())
    selected = [item for item in result if every or item.state in ("open", "partly answered")]
    if as_json:
        emit([item.as_dict() for item in selected])
        return
    for item in selected:
        click.echo(plain(f"{item.plan.id}  {item.state}, {item.age_days} days old\n    {item.plan.title}"))
        for ref in item.answered_by:
            click.echo(f"    answered by {ref}")
            for by in (by for answer, by in item.lost if answer == ref):
                click.echo(f"        superseded by {by}, which does not answer it: its score is lost")
        for missing in item.waits_for:
            click.echo(plain(f"    waits for {missing}"))
    waiting = sum(item.state in ("open", "partly answered") for item in result)
    say(f"{waiting} of {len(result)} plans are open.")


@click.command("calibration")
@json_option
@workspace_option
def show_calibration(as_json: bool, workspace_path: Path | None) -> None:
    """Show how accurate past expectations were, one by one and together."""
    from merginguriel.knowledge.log.plan_scores import picture, scores, summary

    result = scores(known(space(workspace_path)))
    totals = summary(result)
    if as_json:
        emit({"summary": totals.as_dict(), "expectations": [score.as_dict() for score in result]})
        return
    measured = [score for score in result if score.actual_pp is not None]
    if not measured:
        say("No plan with an expectation has been answered yet.")
        return
    table = [["expected, pp", "came, pp", "", "", ""]]
    for score, drawn in zip(measured, picture(measured), strict=True):
        item = score.expected
        bounds = f"{_bound(item.low_pp)} … {_bound(item.high_pp)}" if score.inside is not None else ""
        if item.p_positive is not None:
            bounds += f" P(gain) {item.p_positive:.2f}"
        noise = "" if score.se_pp is None else f" ± {1.96 * score.se_pp:.1f}"
        mark = {True: "held", False: "missed", None: ""}[score.inside] + ("*" if score.restated else "")
        actual = f"{score.actual_pp:+.1f}{noise}"
        table.append([bounds.strip(), actual, mark, drawn, plain(f"{item.label()} over {item.over}")])
    click.echo(true_minus(columns(table)))
    lines = []
    if totals.of:
        meant = f", meant to hold {100 * (totals.level or 0):.0f}% of the time"
        lines.append(f"{totals.inside} of {totals.of} intervals held{meant}")
    if totals.mean_error_pp is not None:
        lines.append(
            f"mean error {totals.mean_error_pp:+.1f} pp (came − middle of what was expected), mean miss {totals.mean_miss_pp:.1f} pp"
        )
    if totals.brier is not None:
        lines.append(f"Brier score of P(gain) {totals.brier:.2f} (0.25: a coin)")
    lines.append(f"{totals.measured} of {totals.stated} expectations measured")
    if totals.restated:
        lines.append(f"* {totals.restated} written down in readable form, or dated, after the measurement")
    click.echo("\n" + true_minus("\n".join(lines)))


def _bound(value: float | None) -> str:
    return "open" if value is None else f"{value:+.1f}"


@click.command("tried")
@click.option("--target", type=LOCALE, required=True, help="Target locale of the merge.")
@click.option("--method", help="Merging method.")
@click.option("--similarity", help="Similarity that chooses the sources: URIEL, REAL, REAL×cosine …")
@click.option("--k", type=click.IntRange(min=1), help="Number of sources.")
@click.option("--mode", type=click.Choice(["ExcTar", "IncTar"], case_sensitive=False))
@click.option("--context", help="Task and base model.")
@click.option(
    "--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter of the method; repeatable."
)
@json_option
@workspace_option
def show_tried(
    target: str,
    method: str | None,
    similarity: str | None,
    k: int | None,
    mode: str | None,
    context: str | None,
    params: tuple[str, ...],
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Find rows of the same merge and of similar ones, with their results, and plans for it.

    Default context: that of the workspace. Superseded and invalidated rows come last and are marked.
    """
    from merginguriel.errors import UsageError
    from merginguriel.knowledge.log import known_names
    from merginguriel.knowledge.log.prior_attempts import Wanted, invalidated_attempts, planned, tried
    from merginguriel.merging.registry import parameters
    from merginguriel.text.suggest import close

    pairs = [param.partition("=") for param in params]
    if any(not sign for _, sign, _ in pairs):
        raise UsageError("--param must be KEY=VALUE.")
    knowledge = known(space(workspace_path))
    context = context or str(knowledge.space.settings["context"])
    names = known_names.known(knowledge, parameters())
    fields = [("method", method), ("context", context), *(("params", key) for key, _, _ in pairs)]
    for kind, name in fields:
        if name and name not in names[kind]:
            item = known_names.Unknown(
                kind, name, tuple(close(name, names[kind], cutoff=known_names.NEAR[kind])), ""
            )
            if item.near:
                raise UsageError(f"{item.what}.", hint=item.guess)
            say(plain(f"note: {item.what} to the log and the program."))
    query = Wanted(
        target, method, similarity, k, mode, context, tuple((key, value) for key, _, value in pairs)
    )
    result, invalid, plans = (
        tried(knowledge, query),
        invalidated_attempts(knowledge, query),
        planned(knowledge, query),
    )
    if as_json:
        emit({
            "matches": [match.as_dict() for match in result],
            "fallen": [match.as_dict() for match in invalid],
            "planned": [plan.as_dict() for plan in plans],
        })  # fmt: skip
        return
    for line in [*(m.line() for m in result), *(p.line() for p in plans), *(m.line() for m in invalid)]:
        click.echo(plain(line))
    same = sum(match.degree == "same" for match in result)
    parts = [f"{same} the same, {len(result) - same} close" if result else "No valid row is like it"]
    parts += [f"{count(len(plans), 'expectation')}  of open plans"] if plans else []
    parts += [f"{len(invalid)} superseded or invalidated"] if invalid else []
    say("; ".join(parts) + "." if result or invalid or plans else "The log has nothing like it.")

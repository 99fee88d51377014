"""`mu tune`: search a merge's weights and parameters on labelled development data, in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from merginguriel.config.schema import KEYS
from merginguriel.errors import MuError, UsageError
from merginguriel.models import remote_code
from merginguriel.similarity.choice import Options

from .common import LOCALE, emit, json_option
from .run import carry_out, preview
from .similarity import choosing_options
from .study import pair, study_options, trust_option

if TYPE_CHECKING:
    from merginguriel.study.study import Study


@click.command(short_help="Search a merge's weights and parameters on development data.")
@click.option("--target", type=LOCALE, required=True, help="The locale that the merge is for.")
@click.option("--source", "sources", type=LOCALE, multiple=True,
              help="A source model; repeat. Default: the --k best by --similarity.")  # fmt: skip
@choosing_options()
@click.option("--method", default="task_arithmetic", show_default=True, help="See: mu methods.")
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE",
              help="A parameter of the method; where the search starts, if it is searched.")  # fmt: skip
@click.option("--search", multiple=True, metavar="NAME",
              help="weights, layers (weights by depth) or a parameter; repeat. Default: weights, and the method's shares and scales.")  # fmt: skip
@click.option("--range", "ranges", multiple=True, metavar="KEY=LOW..HIGH",
              help="Search a parameter in this range. Default: its bounds.")  # fmt: skip
@click.option("--evaluations", type=click.IntRange(min=2), default=KEYS["tune.evaluations"].default,
              show_default=True, help="Merges to score on development data.")  # fmt: skip
@click.option("--knots", type=click.IntRange(min=2), default=KEYS["tune.knots"].default, show_default=True,
              help="Of --search layers: depths with weights of their own.")  # fmt: skip
@click.option("--drop/--no-drop", default=True, show_default=True,
              help="Drop a merge that is in the worse half on a part of the data.")  # fmt: skip
@click.option("--keep", is_flag=True, help="Write the merged model to disk.")
@click.option("--detach", is_flag=True, help="Run in a process of its own, which outlives this terminal.")
@click.option("--dry-run", is_flag=True, help="Show the run and its plan; run nothing.")
@trust_option
@study_options(seed="Of the models and of the search.")
@json_option
def tune(
    study: Study,
    target: str,
    sources: tuple[str, ...],
    mode: str | None,
    prepare: Options,
    params: tuple[str, ...],
    ranges: tuple[str, ...],
    detach: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Search the weights and parameters of a merge that score best on the target's development data.

    The best is scored once on test data, beside the merge before the search and the baselines. Its row states that labels
    of the target were used. The same command continues an interrupted search.

    \b
    mu tune --target da-DK --source sv-SE --source nb-NO --source de-DE --evaluations 48
    mu tune --target da-DK --similarity REAL --k 4 --method ties --search density --search scale
    """
    from merginguriel.config.run_config import from_table
    from merginguriel.runs.resolve import table_of

    table = {
        "kind": "tune",
        "target": target,
        "sources": list(sources),
        "mode": mode or ("IncTar" if target in sources else "ExcTar"),
        "params": dict(map(pair, params)),
        "tune": {name: given.pop(name) for name in ("evaluations", "knots", "drop")}
        | {"search": list(given.pop("search")), "ranges": dict(map(pair, ranges))},
        **table_of(study, prepare),
        "trust_remote_code": remote_code.trusted(),
        **given,
    }
    if not (sources or table["similarity"]):
        table["similarity"] = "URIEL"
    try:
        config = from_table(table)
    except MuError as error:
        raise UsageError(error.what, hint=error.hint) from error
    if dry_run:
        shown, text = preview(study.space, config)
        emit(shown) if as_json else click.echo(text)
        return 0
    return carry_out(study.space, config, detach, as_json)

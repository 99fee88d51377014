"""`mu report`: what runs, sweeps and log entries show, as Markdown, HTML, CSV and figures."""

from __future__ import annotations

from pathlib import Path

import click

from .common import emit, json_option, known, plain, say, space, workspace_option


@click.command(short_help="Report on runs, a sweep or log entries.")
@click.argument("runs", nargs=-1, metavar="[RUN]…")
@click.option("--sweep", "sweeps", multiple=True, metavar="NAME", help="The runs of a sweep; repeat.")
@click.option("--log", "entries", multiple=True, metavar="ENTRY", help="The rows of a log entry; repeat.")
@click.option("--by", multiple=True, metavar="KEY",
              help="Compare the values of this setting (k, similarity, params.density …); repeat. Default: all that vary.")  # fmt: skip
@click.option("--feature", default="source_mean", show_default=True, metavar="NAME",
              help="What merging effects are plotted against: source_mean, best_lead, target_alone, zs_self_ratio, or a setting.")  # fmt: skip
@click.option("--title", default="Report", show_default=True, help="The report's heading.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder to write; default: report. With --json, nothing is written unless this is given.")  # fmt: skip
@click.option("--replace", is_flag=True, help="Overwrite an earlier report.")
@json_option
@workspace_option
def report(
    runs: tuple[str, ...],
    sweeps: tuple[str, ...],
    entries: tuple[str, ...],
    by: tuple[str, ...],
    feature: str,
    title: str,
    out: Path | None,
    replace: bool,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Report on runs (ids, or folders), on sweeps, on log entries; by default on every finished run of the workspace.

    \b
    mu report --sweep number-of-languages --out reports/languages
    mu report --log 2026-11-21-every --out reports/methods
    mu report --json | jq .short
    """
    from merginguriel.report import pages, scored_arms
    from merginguriel.report.report import build
    from merginguriel.runs.run_folders import run_folders

    here = space(workspace_path)
    parts = []
    if runs or sweeps or not entries:
        parts.append(scored_arms.from_runs(run_folders(here, runs, sweeps)))
    if entries:
        parts.append(scored_arms.from_entries(known(here), entries))
    made = build(scored_arms.joined(parts), by=by, feature=feature, title=title)
    if out is not None or not as_json:
        from .progress import ProgressLine

        out = out or Path("report")
        with ProgressLine("report") as bar:
            pages.write(made, out, replace=replace, on_progress=bar)
        say(f"Written: {out / 'report.html'}")
    if as_json:
        emit(made.as_dict())
    else:
        click.echo(plain("\n".join(f"- {line}" for line in made.short)))

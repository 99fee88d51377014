"""`mu runs`: list, show, watch, steer, compare and export runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import FAILED, INTERRUPTED, UsageError
from merginguriel.text.runs import duration, event_line, result_lines

from .common import (
    columns,
    emit,
    json_option,
    plain,
    say,
    space,
    stacked,
    terminal_width,
    true_minus,
    workspace_option,
)
from .progress import ProgressLine

if TYPE_CHECKING:
    from merginguriel.runs.run_store import Run

ORDERS = ("newest", "best", "state", "target", "method", "seed")
STATES = ("queued", "running", "paused", "finished", "failed", "cancelled", "dead")
SCREEN = 40  # default length of a list
EVERY = 0.3  # seconds between two looks at a watched run
EXIT = {"finished": 0, "paused": 0, "queued": 0, "cancelled": INTERRUPTED, "failed": FAILED, "dead": FAILED}
SHOWN = ("id", "state", "target", "similarity", "k", "value", "n", "seconds", "created", "tags")
# Dropped on a narrow terminal, in this order.
OPTIONAL = ("created", "seconds", "n", "similarity", "k", "tags", "target")


@click.group("runs", short_help="List, show, watch, steer, compare and export runs.")
def runs() -> None:
    """List, show, watch, steer, compare and export the runs of the workspace, one folder each in runs/."""


# RUN is an id, or its beginning or end.
one_run = stacked(click.argument("name", metavar="RUN"), json_option, workspace_option)
many_runs = stacked(
    click.argument("names", metavar="RUN…", nargs=-1, required=True), json_option, workspace_option
)


def find(workspace_path: Path | None, name: str) -> Run:
    """Return the run of an argument RUN."""
    from merginguriel.runs import run_store as stored

    return stored.get(space(workspace_path), name)


@runs.command("list", short_help="List runs: the newest, or the best, first.")
@click.option("--state", type=click.Choice(STATES), help="Only runs in this state.")
@click.option(
    "--kind",
    type=click.Choice(["merge", "train", "nxn", "iterate", "tune", "pilot", "compose", "embed"]),
    help="Only runs of this kind.",
)
@click.option("--target", help="Only runs for this locale.")
@click.option(
    "--find",
    "text",
    default="",
    metavar="TEXT",
    help="Only runs with all of these words; target:da-DK or tag:x looks in one column.",
)
@click.option("--order", default="newest", type=click.Choice(ORDERS), help="Default: newest.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Maximum number to show. Default: 40; with --json, all."
)
@json_option
@workspace_option
def list_runs(
    state: str | None,
    kind: str | None,
    target: str | None,
    text: str,
    order: str,
    limit: int | None,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """List runs: state, result, and how long each took."""
    from merginguriel.runs import run_index

    most = limit if limit or as_json else SCREEN
    found, count = run_index.listed(
        space(workspace_path), most, text=text, order=order, state=state, kind=kind, target=target
    )
    if as_json:
        emit([row | {"config": json.loads(row["config"])} for row in found])
        return
    if not found:
        say("no runs to list. Start one with: mu run CONFIG.yaml")
        return
    measured = {row["metric"] for row in found if row["value"] is not None}
    heads = {"id": "run", "value": "value" if len(measured) > 1 else next(iter(measured), "accuracy")}
    cells = {
        name: [heads.get(name, name), *(cell(row, name, len(measured) > 1) for row in found)]
        for name in SHOWN
        if name != "tags" or any(row["tags"] for row in found)
    }
    shown, dropped = fitting(cells, terminal_width())
    click.echo(plain(columns([list(row) for row in zip(*shown.values(), strict=True)])))
    if dropped:
        say(f"this terminal is too narrow for: {', '.join(dropped)}; --json has all")
    if count > len(found):
        say(f"{count - len(found):,} more; see them with: mu runs list --limit {count}")


def fitting(cells: dict[str, list[str]], width: int | None) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns that fit into the width of a terminal (None: no terminal), and the names of the others."""
    shown, dropped = dict(cells), []
    for name in OPTIONAL:
        if width is None or sum(max(map(len, column)) + 2 for column in shown.values()) - 2 <= width:
            break
        del shown[name]
        dropped.append(name)
    return shown, dropped


def cell(row: dict[str, Any], name: str, named: bool = False) -> str:
    """Return a cell of the list of runs; `named`: a value is preceded by its metric."""
    value = row[name]
    if value is None:
        return ""
    if name == "value":
        from merginguriel.metrics.registry import find

        return (f"{row['metric']} " if named else "") + find(row["metric"]).unit.show(value)
    if name == "seconds":
        return duration(value)
    if name == "created":
        return str(value)[:16].replace("T", " ")
    return str(value)


@runs.command(short_help="Show configuration, events and result of a run.")
@one_run
def show(name: str, as_json: bool, workspace_path: Path | None) -> None:
    """Print configuration, events and result of RUN."""
    from merginguriel.config import run_config as configs
    from merginguriel.runs import run_store as stored

    run = find(workspace_path, name)
    happened = stored.events(run)
    now = stored.state_of(run, happened)
    result = stored.result(run) if now == "finished" else None
    table = configs.as_table(run.config)
    if as_json:
        emit(
            {
                "run": run.id,
                "state": now,
                "folder": str(run.folder),
                "config": table,
                "events": happened,
                "result": result,
            }
        )
        return
    lines = [f"{run.id}  {now}", ""]
    lines += [f"  {line}" for line in configs.dump_table(table).splitlines()]
    lines += ["", *(event_line(event) for event in happened[-12:])]
    if result:
        lines += ["", *result_lines(result)]
    elif now in ("dead", "failed", "cancelled", "paused"):
        lines += ["", f"continue with: mu runs resume {run.id}"]
    click.echo(true_minus(plain("\n".join(lines))))


@runs.command(short_help="Follow a run until it ends.")
@one_run
def watch(name: str, as_json: bool, workspace_path: Path | None) -> int:
    """Follow RUN until it ends. Ctrl-C ends the watching, not the run.

    Exit code 0 when it has finished or is paused, 1 when it has failed or died, 130 when it was cancelled. With
    --json, one event a line.
    """
    from merginguriel.runs import run_store as stored
    from merginguriel.runs.run_progress import heartbeat

    run = find(workspace_path, name)
    printed = 0
    with ProgressLine(run.id) as bar:
        while True:
            now = stored.state(run)  # before the events are read, so that none is missed
            happened = stored.events(run)
            for event in happened[printed:]:
                bar.clear()
                click.echo(json.dumps(event, ensure_ascii=False) if as_json else plain(event_line(event)))
            printed = len(happened)
            if now != "running":
                break
            beat = heartbeat(run)
            if beat:
                bar(beat["done"], beat["total"], f"{beat['step']}  {beat['text']}")
            time.sleep(EVERY)
    if not as_json:
        say(f"{run.id} is {now}")
    return EXIT[now]


@runs.command(short_help="Print the log of a run.")
@click.option("--tail", type=click.IntRange(min=1), help="Only the last lines.")
@one_run
def logs(name: str, tail: int | None, as_json: bool, workspace_path: Path | None) -> None:
    """Print log.txt of RUN: every step, and the output of its process."""
    run = find(workspace_path, name)
    path = run.folder / "log.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    lines = lines[-tail:] if tail else lines
    emit({"run": run.id, "lines": lines}) if as_json else click.echo(plain("\n".join(lines)))


def steer(what: str, names: tuple[str, ...], as_json: bool, workspace_path: Path | None) -> None:
    """Ask each run to cancel, pause or resume, and print its state."""
    from merginguriel.runs import worker

    results = []
    for run in [find(workspace_path, name) for name in names]:
        results.append(worker.steer(run, what))
        if not as_json:
            click.echo(f"{run.id}  " + (f"asked to {what}" if results[-1]["asked"] else results[-1]["state"]))
    if as_json:
        emit(results)


@runs.command(short_help="End runs; they can be resumed.")
@many_runs
def cancel(names: tuple[str, ...], as_json: bool, workspace_path: Path | None) -> None:
    """End each RUN within seconds. Results of finished steps stay."""
    steer("cancel", names, as_json, workspace_path)


@runs.command(short_help="Pause runs after their current step.")
@many_runs
def pause(names: tuple[str, ...], as_json: bool, workspace_path: Path | None) -> None:
    """Pause each RUN after its current step: its process ends and its memory is freed."""
    steer("pause", names, as_json, workspace_path)


@runs.command(short_help="Resume runs that were paused, cancelled, failed or killed.")
@many_runs
def resume(names: tuple[str, ...], as_json: bool, workspace_path: Path | None) -> None:
    """Start each RUN again in a process of its own. Finished steps are not repeated."""
    steer("resume", names, as_json, workspace_path)


@runs.command(short_help="Compare runs or recipes on the same test items.")
@click.argument("names", metavar="RUN|RUN:MODEL|FILE.yaml…", nargs=-1, required=True)
@json_option
@workspace_option
def compare(names: tuple[str, ...], as_json: bool, workspace_path: Path | None) -> None:
    """Compare the settings of runs, and test whether the others differ from the first by more than noise.

    Accuracies are compared item by item, as by `mu eval --against`; if the test items differ, they are only shown. Runs that differ by their seed alone are also compared together.

    FILE.yaml is a configuration, as `mu advise --save` writes it: its settings are compared, and the figures of its run
    once that has finished. RUN:MODEL is a model of a study of compositions, such as RUN:base or "RUN:average 0.50"; RUN
    alone is its best merge. Each direction of search is compared too.
    """
    from merginguriel.report import comparable
    from merginguriel.report.run_comparison import by_seed, compared

    if len(names) < 2:
        raise UsageError("a comparison needs at least two runs.", hint="See: mu runs list")
    where = space(workspace_path)
    asked = [comparable.get(where, name) for name in names]
    found = compared(asked)
    seeds = by_seed(found, asked)
    if as_json:
        from merginguriel.study.results import comparison_dict

        group = {name: each.as_dict() for each in seeds for name in each.runs}
        emit(
            [
                {
                    **one.as_dict(),
                    "comparison": comparison_dict(one.found) if one.found else None,
                    "over_seeds": group.get(one.run),
                }
                for one in found
            ]
        )
        return
    from merginguriel.report.run_comparison import comparison_table, directions_table, seeds_table

    tables = [comparison_table(found), directions_table(found), seeds_table(seeds) if seeds else []]
    click.echo("\n\n".join(plain(columns(table)) for table in tables if table))


@runs.command(short_help="Remove runs that failed, died or were cancelled.")
@click.option("--state", "states", multiple=True, type=click.Choice([s for s in STATES if s != "running"]),
              help="Runs in this state; repeat. Default: failed, cancelled, dead.")  # fmt: skip
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Only older ones.")
@click.option("--yes", is_flag=True, help="Remove; without it, only list.")
@json_option
@workspace_option
def gc(
    states: tuple[str, ...], older_than: float | None, yes: bool, as_json: bool, workspace_path: Path | None
) -> None:
    """Remove runs that failed, were cancelled or died, and partial files of killed programs. Models stay."""
    from merginguriel.runs import gc as unused
    from merginguriel.workspace import writable

    where = writable(space(workspace_path))
    found = unused.find(where, states or ("failed", "cancelled", "dead"), older_than or 0)
    freed = sum(one.size for one in found)
    if yes:
        found = [one for one in found if unused.remove(one)]
    if as_json:
        emit(
            [
                {"path": where.display(one.path), "why": one.why, "bytes": one.size, "removed": yes}
                for one in found
            ]
        )
        return
    rows = [[where.display(one.path), one.why, f"{one.size / 1e6:.1f} MB"] for one in found]
    click.echo(columns(rows)) if rows else None
    end = "" if yes or not rows else "; remove with: mu runs gc --yes"
    say(f"{len(rows)} {'removed' if yes else 'can be removed'}, {freed / 1e6:.1f} MB{end}")


@runs.command(short_help="Query the index of all runs in SQL.")
@click.argument("query")
@json_option
@workspace_option
def sql(query: str, as_json: bool, workspace_path: Path | None) -> None:
    """Print the result of the SELECT statement QUERY on the tables runs, rows and metrics. The index is read-only.

    \b
    mu runs sql "select target, max(value) from rows where method = 'ties' group by target"
    """
    from merginguriel.runs import run_index

    names, found = run_index.query(space(workspace_path), query)
    if as_json:
        emit([dict(zip(names, row, strict=True)) for row in found])
        return
    table = [
        names,
        *(["" if v is None else f"{v:g}" if isinstance(v, float) else str(v) for v in row] for row in found),
    ]
    click.echo(plain(columns(table)))


@runs.command(short_help="Write result rows to Parquet, CSV or LaTeX.")
@click.argument("out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--run",
    "names",
    multiple=True,
    metavar="RUN",
    help="Only rows of these runs; repeat. Default: all that finished.",
)
@click.option(
    "--column", "chosen", multiple=True, metavar="NAME", help="These columns, in this order; repeat."
)
@json_option
@workspace_option
def export(
    out: Path, names: tuple[str, ...], chosen: tuple[str, ...], as_json: bool, workspace_path: Path | None
) -> None:
    """Write result rows to FILE; its suffix is its format: .parquet, .csv or .tex."""
    from merginguriel.runs import export as exporting

    where = space(workspace_path)
    new = next((folder for folder in reversed(out.absolute().parents) if not folder.exists()), None)
    count = exporting.export(where, out, [find(workspace_path, name).id for name in names], chosen)
    if new:
        say(f"made the folder {new}")
    emit({"path": str(out), "rows": count}) if as_json else click.echo(f"{out}  {count} rows")

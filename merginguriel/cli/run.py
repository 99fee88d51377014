"""`mu run`: carry out what a configuration says, here or in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UsageError

from .common import columns, emit, json_option, plain, say, space, true_minus, workspace_option
from .progress import Bar, duration

if TYPE_CHECKING:
    from merginguriel.runs.planning import Plan

set_option = click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a key: training.epochs=2. Repeat."
)


@click.command(short_help="Carry out an experiment that a YAML file describes.")
@click.argument("config_file", metavar="[CONFIG.yaml]", required=False, type=click.Path(path_type=Path))
@set_option
@click.option("--detach", is_flag=True, help="In a process of its own, which outlives this terminal.")
@click.option("--dry-run", is_flag=True, help="Say which run this is and what it is made of; run nothing.")
@json_option
@workspace_option
def run(
    config_file: Path | None,
    sets: tuple[str, ...],
    detach: bool,
    dry_run: bool,
    as_json: bool,
    workspace_path: Path | None,
) -> int:
    """Carry out the run that CONFIG.yaml describes. The same configuration is the same run: one that has finished is
    shown, one that was interrupted goes on. Without a file, --set says everything.

    \b
    mu run merge.yaml
    mu run merge.yaml --set k=3 --set similarity=URIEL --detach
    """
    from merginguriel.config import run_config as configs
    from merginguriel.runs import resolve, run_store
    from merginguriel.workspace import writable

    where = writable(space(workspace_path))
    if config_file is None and not sets:
        raise UsageError(
            "nothing says what to run.", mend="Name a file, or keys: --set target=sw-KE --set method=ties"
        )
    config, places = configs.read(config_file, sets)
    wanted = resolve.resolved(config, where, places)
    if dry_run:
        there = (where.runs / run_store.run_id(wanted) / "config.yaml").is_file()
        now = run_store.state(run_store.get(where, run_store.run_id(wanted))) if there else "new"
        from merginguriel.runs.planning import plan

        planned = plan(where, wanted)
        if as_json:
            emit({"run": run_store.run_id(wanted), "state": now, "plan": planned.as_dict(),
                  "config": configs.as_table(wanted, every=True)})  # fmt: skip
        else:
            click.echo(f"{run_store.run_id(wanted)}  {now}")
            click.echo(plain("\n".join(plan_lines(planned, now))) + "\n")
            click.echo(configs.dump(wanted).rstrip())
        return 0
    from merginguriel.runs import worker

    if detach:
        found, pid = worker.launch(where, config)
        if pid is not None:
            if as_json:
                emit({"run": found.id, "state": "running", "pid": pid})
            else:
                click.echo(found.id)
                say(f"at work in process {pid}; watch it with: mu runs watch {found.id}")
            return 0
    found = run_store.create(where, config)
    if run_store.state(found) == "finished" and (changed := run_store.outdated(found)):
        say(f"note: {changed} changed since this run was made; it is shown as it was.\n"
            f"To do it again, remove {where.display(found.folder)}")  # fmt: skip
    with Bar(found.id) as bar:
        state = worker.execute(found, bar)
    if state != "finished":
        say(f"{found.id} is {state}; it goes on with: mu runs resume {found.id}")
        return 0 if state == "paused" else 130
    show(run_store.result(found), as_json)
    return 0


def plan_lines(planned: Plan, state: str) -> list[str]:
    """What a run would train, merge and score, and how long it should take."""
    if state == "finished":
        return ["  has finished: it would be shown, and nothing done again"]
    rows = []
    if not planned.base:
        rows.append(["base", "to be made"])
    if planned.train:
        each = next(iter(planned.train.values()))
        long = "time not known: none was trained here yet" if each is None else f"about {duration(each)} each"
        rows.append(["train", f"{' '.join(planned.train)}  ({long})"])
    if planned.there:
        rows.append(["there", " ".join(planned.there)])
    if planned.other:
        rows.append(["other", f"{' '.join(planned.other)}  (trained with other settings or data: refused)"])
    if planned.merges != 0:
        rows.append(["merge", "as the training goes" if planned.merges is None else str(planned.merges)])
    if planned.scores:
        rows.append(
            ["score", f"{planned.scores} times a model on a split; answers that are kept cost nothing"]
        )
    if planned.seconds is not None:
        long = f"about {duration(planned.seconds)}, as it took before"
    elif planned.work is None:
        long = "not known: no run of this kind has finished here"
    else:
        long = f"about {duration(planned.work)} and the training"
    return [f"  {line}" for line in columns([*rows, ["time", long]]).splitlines()]


def show(result: dict[str, Any], as_json: bool) -> None:
    """A run's result: JSON as it is, or the figures that matter."""
    if as_json:
        emit(result)
        return
    click.echo(true_minus(plain("\n".join(lines_of(result)))))


def lines_of(result: dict[str, Any]) -> list[str]:
    from merginguriel.training.settings import dev_score

    head = f"{result['run']}  {result['context']}"
    if result["kind"] == "train":
        rows = [["", "on development data", "sentences", ""]]
        for locale, found in result["models"].items():
            _, value = dev_score(found)
            said = "not scored" if value is None else f"{100 * value:.1f}%"
            rows.append([locale, said, str(found["train_items"]), duration(found["seconds"] or 0)])
        return [head, columns(rows)]
    if result["kind"] == "nxn":
        found = result.get("test") or result["dev"]
        scores = found[found.get("metric", "accuracy")]
        sources, targets = list(scores), list(found["n"])
        table = [["", *targets]]
        table += [[s, *(f"{100 * scores[s][t]:.1f}" for t in targets)] for s in sources]
        return [head, columns(table)]
    from merginguriel.study.results import p_text

    low, high = result["ci95"]
    metric = str(result.get("metric", "accuracy"))
    lines = [
        head,
        f"{result['target']}  {result['mode']}  {result['method']}  {100 * result[metric]:.2f}%  "
        f"95% {100 * low:.1f} … {100 * high:.1f}  n = {result['n']}",
        "sources  "
        + ", ".join(f"{s} {w:.2f}" for s, w in zip(result["sources"], result["weights"], strict=True)),
    ]
    rows = [["against", "", metric, "difference", "95%", "p"]]
    for kind, found in result["baselines"].items():
        compared = found["comparison"]
        cells = ["", "", ""]
        if compared:
            p = compared["p"] if compared["p_groups"] is None else compared["p_groups"]
            span = compared["interval"]
            cells = [
                f"{compared['difference']:+.1f} pp",
                f"{span['low']:+.1f} … {span['high']:+.1f}",
                p_text(p).removeprefix("p = ").removeprefix("p "),
            ]
        rows.append([kind.replace("_", " "), found["model"] or "", f"{100 * found['value']:.2f}%", *cells])
    for name, value in sorted(result.get("ensembles", {}).items(), key=lambda pair: -pair[1]):
        rows.append(["ensemble", name.replace("_", " "), f"{100 * value:.2f}%", "", "", ""])
    goal = result.get("goal")
    if goal:
        lines.insert(2, f"goal {goal['number']} {goal['state']}: against {goal['against'].replace('_', ' ')}")
    return [*lines, columns(rows)]

"""`mu quickstart`: the whole loop on real models, in a few minutes, ending on one screen."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from merginguriel import workspace
from merginguriel.text.runs import duration

from .common import LOCALE, columns, emit, json_option, program, say, text_width
from .progress import ProgressLine

if TYPE_CHECKING:
    import numpy as np

    from merginguriel.loop.quickstart import QuickstartResult


@click.command(short_help="The whole loop on real models, in a few minutes.")
@click.option("--target", type=LOCALE, help="The locale to serve. Default: sr-RS.")
@click.option("--source", "sources", type=LOCALE, multiple=True,
              help="A source locale; repeat. Default: cs-CZ, en-US, it-IT, pl-PL, ru-RU.")  # fmt: skip
@click.option("--base", default="e5-small", show_default=True,
              help="Base model: e5-small, a folder, or a name on the hub.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1),
              help="Epochs of every fine-tuning. Default: depends on the base.")  # fmt: skip
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE",
              help="Option of the task home, like train=200.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--dry-run", is_flag=True, help="Print the plan and the estimated time; run nothing.")
@click.option("--workspace", "path", type=click.Path(path_type=Path, file_okay=False), default=None,
              help="Workspace to use; created if missing. Default: the workspace here, else ./my-workspace.")  # fmt: skip
@json_option
def quickstart(
    target: str | None,
    sources: tuple[str, ...],
    base: str,
    epochs: int | None,
    options: tuple[str, ...],
    seed: int,
    dry_run: bool,
    path: Path | None,
    as_json: bool,
) -> None:
    """Print advice, train sources, try what was advised, merge and compare, log the result, and print the new advice.

    It fine-tunes multilingual-e5-small on Home Assistant sentences in six languages, runs a pilot of its own advice, and
    applies four merging methods.
    This takes a few minutes on two cores; after an interruption, the same command continues.

    \b
    mu quickstart
    mu quickstart --target cy-GB --dry-run
    """
    from merginguriel.loop import quickstart as loop
    from merginguriel.loop.quickstart_time import expected
    from merginguriel.study.study import Study, check_base
    from merginguriel.workspace import seed as make_workspace

    from .study import pair

    space = _space(path)
    target = target or loop.TARGET
    chosen = sources or tuple(s for s in loop.SOURCES if s != target)
    methods = dict(pair(text) for text in options)
    study = Study(workspace.Workspace(space), base=base, seed=seed, options=methods)
    loop.data_of(study, target, chosen)
    if dry_run:
        check_base(study)
        # The estimate was measured with e5-small and the task's own sizes.
        usual = base == "e5-small" and epochs is None and not options
        everyone = (*sorted(set(chosen)), target)
        times = expected(loop.steps_of(everyone), len(everyone), len(loop.METHODS))
        seconds = round(sum(times.values())) if usual else None
        long = f": about {duration(seconds)} on two cores" if seconds else ""
        planned = {
            "target": target,
            "sources": chosen,
            "base": base,
            "workspace": str(space),
            "seconds": seconds,
        }
        text = f"{target} from {', '.join(chosen)} on {base} in {space}{long}"
        emit(planned) if as_json else click.echo(text)
        return
    if not (space / workspace.MARKER).is_file():
        workspace_ = make_workspace(space, context=study.context)
        say(f"made the workspace {space} with {len(workspace_)} files of shipped knowledge")
    study = Study(workspace.find(explicit=space), base=base, seed=seed, options=methods)
    narrator = StepNarrator()
    try:
        tell = loop.Narration(narrator.step, narrator.progress, narrator.note)
        outcome = loop.run(study, target, chosen, tell, epochs=epochs)
    finally:
        narrator.close()
    if as_json:
        emit(outcome.as_dict())
    else:
        click.echo(screen(outcome))


def _space(path: Path | None) -> Path:
    if path is not None:
        return path
    result = workspace.find()
    return Path("my-workspace") if result.shipped else result.root


class StepNarrator:
    """Print steps as lines on stderr, the current one as a bar with the time left in all."""

    def __init__(self) -> None:
        self.bar: ProgressLine | None = None

    def step(self, number: int, steps: int, title: str) -> None:
        """Print the title of a step and begin its bar."""
        self.close()
        say(f"[{number:2d}/{steps}] {title}")
        self.bar = ProgressLine("")

    def progress(self, share: float, text: str, left: float) -> None:
        """Move the bar."""
        if self.bar:
            self.bar(share, 1.0, text, left=left)

    def note(self, text: str) -> None:
        """Print a note below the step."""
        self.close()
        say("\n".join("        " + line for line in text.splitlines()))

    def close(self) -> None:
        """Remove the bar."""
        if self.bar:
            self.bar.__exit__(None, None, None)
            self.bar = None


def screen(outcome: QuickstartResult) -> str:
    """Return the last screen: matrix, table of merges, verdict, what the advice says now, and the paths of the files."""
    from merginguriel.evaluation import heatmap
    from merginguriel.loop.quickstart import pilot_line, verdict_line

    space, wide = outcome.study.space, text_width()
    matrix = outcome.matrix
    n = int(matrix.n[matrix.targets.index(outcome.target)])
    root = os.path.relpath(space.root)
    mu = program(space.root)
    context = outcome.study.context
    question = "" if space.settings["context"] == context else f" --context {context}"
    lines = [
        "",
        heatmap.render(matrix, depth=heatmap.depth(sys.stdout, os.environ), width=wide),
        "",
        *_table(outcome, wide),
        "",
        *textwrap.wrap(pilot_line(outcome), wide),
        "",
        *textwrap.wrap(f"Of the four merges: {verdict_line(outcome)}", wide),
        "",
        f"Advice for {outcome.target} before and after",
        *(line for text in outcome.changed for line in _indented(text, wide)),
        *_indented(f"now: {outcome.after.summary}", wide),
        "",
        f"Files in {root}",
        f"  entry   {space.display(outcome.entry.path)}",
        f"  matrix  {space.display(outcome.table)} and .png",
        f"  models  {space.display(outcome.study.root)}",
        "",
        f"Next: cd {root} && {mu} advise --target {outcome.target}{question}",
        f"      {mu} log show {outcome.entry.id[:-9]}",
        f"(n = {n}, {duration(outcome.seconds)})",
    ]
    return "\n".join(lines)


def _indented(text: str, wide: int) -> list[str]:
    # A name with hyphens, such as an entry's, is not broken: it is there to be copied.
    return textwrap.wrap(
        text, wide, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
    )  # fmt: skip


def _table(outcome: QuickstartResult, wide: int) -> list[str]:
    """Return the lines of the merges, best first, and of what they are compared with."""
    from merginguriel.evaluation.significance import value_interval
    from merginguriel.stats import p_text

    beat = outcome.baselines
    groups = outcome.merges[0].groups

    metric = outcome.metric

    def value_text(right: np.ndarray) -> str:
        low, high = value_interval(right, groups, metric=metric.name)
        return f"{100 * metric.value(right):5.1f} [{100 * low:.1f}, {100 * high:.1f}]"

    own = "target_alone" in beat
    points = metric.unit.points
    against = f"against {beat['best_single_source'].model}, {points}"
    rows = [["", f"{metric.name}{metric.mark}", against, "p", f"own, {points}"]]
    for merged in sorted(outcome.merges, key=lambda m: -metric.sign * m.value):
        best = merged.compared["best_single_source"]
        p = p_text(best.p if best.p_groups is None else best.p_groups).removeprefix("p ").removeprefix("= ")
        inside = f"[{best.interval.low:+.1f}, {best.interval.high:+.1f}]"
        alone = f"{merged.compared['target_alone'].difference:+.1f}".replace("-", "−") if own else ""
        paid = f"{best.difference:+5.1f} {inside}".replace("-", "−")
        rows.append([merged.name, value_text(merged.right), paid, p, alone])
    names = {
        "best_single_source": f"best source, {beat['best_single_source'].model}",
        "source_mean": "mean of sources",
        "target_alone": "its own model",
        "majority_class": "majority class",
    }
    for kind, label in names.items():
        if kind in beat:
            right = beat[kind].correct
            value = f"{100 * beat[kind].value:5.1f}" if right is None else value_text(right)
            rows.append([label, value, "", "", ""])
    effect = outcome.best.value - beat["source_mean"].value
    count = len(set(groups))
    by = f"by {count} groups of variants" if count < len(groups) else "by sentences"
    heading = (
        f"Merges for {outcome.target}: {metric.name}, the difference to the best source, and to the target's own "
        f"model (own). 95% intervals and p {by}."
    )
    return [
        *textwrap.wrap(heading, wide),
        "",
        columns(rows),
        "",
        f"Merging effect of the best merge: {100 * effect:+.1f} {points} over the mean of its sources.".replace(
            "-", "−"
        ),
    ]

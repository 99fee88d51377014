"""Report of a composition study: tables, effects and the Pareto figure."""

from __future__ import annotations

from pathlib import Path

from merginguriel import files

from .compose import CompositionPlan, CompositionStudy

FIGURE = "pareto.png"


def write(plan: CompositionPlan, study: CompositionStudy, folder: Path, measured_by: str) -> Path:
    """Write report.md and the figure into a folder; return the report's path."""
    folder.mkdir(parents=True, exist_ok=True)
    figure(study, folder / FIGURE)
    path = folder / "report.md"
    files.write_text(path, text(plan, study, measured_by))
    return path


def text(plan: CompositionPlan, study: CompositionStudy, measured_by: str) -> str:
    """Return the report as Markdown."""
    a, b = study.languages
    learnt, choosing, reported = study.queries
    best = study.pareto()
    directions = [*study.within, *study.cross]
    parts = [
        f"# Languages of training data: {a} and {b}\n",
        f"D(xyz): queries, positives and negatives in the languages x, y and z. T(x-y): queries in x search documents in y. Data: "
        f"{Path(plan.text.source).name}, {learnt} training queries, mined negatives of each: {plan.window.count}; {choosing} held-out queries "
        f"choose the models to merge, {reported} are reported. Base: {plan.base.name}; pooling {plan.shape.pooling}, head "
        f"{plan.shape.head}, loss {plan.settings.loss}, {plan.settings.steps or plan.settings.epochs} "
        f"{'steps' if plan.settings.steps else 'epochs'} of {plan.settings.batch} examples, learning rate {plan.settings.learning_rate:g}, seed "
        f"{plan.settings.seed}. One seed: the intervals cover the choice of queries, not that of the seed. Measured by {measured_by}.\n",
        "## NDCG@10\n",
        table(study, directions, 0, best),
        f"Merges are of {study.specialist}, the best cross-lingual model on the choosing queries, with weight as written, and {study.mono}, "
        "the best mono-lingual one. Names in bold are on the Pareto front of the two means.\n",
        f"![Cross-lingual against mono-lingual NDCG@10]({FIGURE})\n",
        "## Effects\n",
        "Differences of NDCG@10 in points out of 100, with paired 95% intervals over queries. An interval with 0 in it is inconclusive. The last column compares with arXiv:2507.08480.\n",
        effects_table(study),
        "## Recall and reciprocal rank\n",
        "Recall@10:\n",
        table(study, directions, 1, best),
        "Reciprocal rank, 0 beyond rank ten:\n",
        table(study, directions, 2, best),
    ]
    return "\n".join(parts)


def table(study: CompositionStudy, directions: list[str], measure: int, best: set[str]) -> str:
    """Return a measure of every model by direction, with the means over each kind, as Markdown."""
    heads = [*(f"T({one})" for one in directions), "mono-lingual", "cross-lingual"]
    lines = ["| model | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name in study.scores:
        values = [study.value(name, [one], measure) for one in directions]
        values += [study.value(name, study.within, measure), study.value(name, study.cross, measure)]
        label = f"**{name}**" if name in best else name
        lines.append(f"| {label} | " + " | ".join(f"{value:.4f}" for value in values) + " |")
    return "\n".join(lines) + "\n"


def effects_table(study: CompositionStudy) -> str:
    """Return the effects with intervals as Markdown."""
    lines = ["| effect | A | B | A − B, pt | 95% | p | paper |", "|---|---|---|---|---|---|---|"]
    for one in study.effects:
        low, high = one.found.interval.low, one.found.interval.high
        lines.append(
            f"| {one.name} | {one.a} | {one.b} | {one.found.difference:+.2f} | {low:+.2f} … {high:+.2f} | {one.found.p:.3f} | {one.agreement} |"
        )
    return "\n".join(lines) + "\n"


def figure(study: CompositionStudy, path: Path) -> None:
    """Draw cross-lingual against mono-lingual NDCG@10, with the path of merging weights."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7, 5))
    axes = picture.subplots()
    points = {one: (study.value(one, study.within), study.value(one, study.cross)) for one in study.scores}
    on_path = (name for name in study.merges if name.startswith(("linear", "average")))
    steps = sorted(on_path, key=lambda name: float(name.split()[1]))
    line = [points[name] for name in (study.mono, *steps, study.specialist)]
    axes.plot(*zip(*line, strict=True), color="#999999", zorder=1, label="weights of the average")
    for name, (x, y) in points.items():
        color = "#cc6677" if name in study.merges else "#222222" if name == "base" else "#4477aa"
        axes.scatter(x, y, color=color, zorder=2)
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(4, 3), fontsize=7)
    axes.set_xlabel("mono-lingual NDCG@10")
    axes.set_ylabel("cross-lingual NDCG@10")
    axes.legend(fontsize=8)
    picture.tight_layout()
    picture.savefig(path, dpi=120)

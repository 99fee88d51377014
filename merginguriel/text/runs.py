"""Format runs: settings, plan, events and result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from merginguriel.metrics.registry import Metric, find
from merginguriel.training.settings import dev_score

from . import compositions
from .numbers import interval, p_value, signed
from .tables import columns

if TYPE_CHECKING:
    from merginguriel.runs.planning import RunPlan


def duration(seconds: float) -> str:
    """Format seconds as `12 s` or `1 min 15 s`."""
    whole = max(round(seconds), 0)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def setting(value: object) -> str:
    """Format a configuration value on one line; `-` for an empty one."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={inner}" for name, inner in value.items()) or "-"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)


def plan_lines(planned: RunPlan, state: str) -> list[str]:
    """Return lines that say what a run would train, merge and score, and the expected time.

    Args:
        state: State of the run: `new`, `finished`, `running` ...
    """
    if state == "finished":
        return ["  already finished: the result is shown, nothing is run again"]
    rows = []
    if not planned.base:
        rows.append(["base", "to be made"])
    if planned.train:
        each = next(iter(planned.train.values()))
        long = (
            "time unknown: no model was trained here yet" if each is None else f"about {duration(each)} each"
        )
        rows.append(["train", f"{' '.join(planned.train)}  ({long})"])
    if planned.embedders:
        rows.append(["train", "1 embedder" if planned.embedders == 1 else f"{planned.embedders} embedders"])
    if planned.there:
        rows.append(["trained", " ".join(planned.there)])
    if planned.other:
        rows.append(["refused", f"{' '.join(planned.other)}  (trained with other settings or data)"])
    if planned.merges != 0:
        rows.append(["merge", "during training" if planned.merges is None else str(planned.merges)])
    if planned.scores:
        rows.append(
            ["score", f"{planned.scores} evaluations of a model on a split; cached predictions are free"]
        )
    if planned.seconds is not None:
        long = f"about {duration(planned.seconds)}, from earlier runs"
    elif planned.work is None:
        long = "unknown: no run of this kind has finished here"
    elif planned.work:
        long = f"about {duration(planned.work)} plus training"
    else:
        long = "unknown until the first model is trained"
    return [f"  {line}" for line in columns([*rows, ["time", long]]).splitlines()]


def event_line(event: Mapping[str, Any]) -> str:
    """Format an event of a run: `19:02:11  step  train de-DE (1 of 3)`."""
    more = {k: v for k, v in event.items() if k not in ("time", "event", "config", "digest", "text", "error")}
    words = [str(event[key]) for key in ("text", "error") if event.get(key)]
    words += [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in more.items()
    ]
    return f"{str(event.get('time'))[11:19]}  {event['event']}  {'  '.join(words)}".rstrip()


def metric_of(result: Mapping[str, Any]) -> Metric:
    """Return the metric of a run's result; accuracy for one that names none."""
    return find(result.get("metric", "accuracy"))


def dev_line(metric: str, value: float | None) -> str:
    """Format the score of a trained model: `89.3% on development data`."""
    if value is None:
        return "not scored"
    prefix = "" if metric == "accuracy" else f"{metric} "
    return f"{prefix}{find(metric).unit.show(value, 1)} on development data"


def result_lines(result: Mapping[str, Any]) -> list[str]:
    """Format the result of a run: scores of trained models, an N×N matrix, or a merge against its baselines."""
    head = f"{result['run']}  {result['context']}"
    if result["kind"] == "train":
        rows = [["", "on development data", "sentences", ""]]
        for locale, model in result["models"].items():
            name, value = dev_score(model)
            score = "not scored" if value is None else find(name).unit.show(value, 1)
            rows.append([locale, score, str(model["train_items"]), duration(model["seconds"] or 0)])
        return [head, columns(rows)]
    if result["kind"] == "nxn":
        matrix = result.get("test") or result["dev"]
        scores = matrix[metric_of(matrix).name]
        sources, targets = list(scores), list(matrix["n"])
        table = [["", *targets]]
        show = metric_of(matrix).unit.show
        table += [[s, *(show(scores[s][t], 1).removesuffix("%") for t in targets)] for s in sources]
        return [head, columns(table)]
    if result["kind"] == "compose":
        return [head, *compositions.lines(result)]
    if result["kind"] == "embed":
        return [head, *embedder_lines(result)]
    if result.get("labels") is False:
        return pilot_lines(result)
    if "ci95" not in result:  # an iterative merge that was not scored
        return [head, f"sources  {', '.join(result['sources'])}", str(result["path"])]
    metric = metric_of(result)
    show, points = metric.unit.show, metric.unit.points
    named = "" if metric.name == "accuracy" else f"{metric.name} "
    weights = [f" {w:.2f}" for w in result["weights"]] or [""] * len(result["sources"])  # none of an ensemble
    lines = [
        head,
        f"{result['target']}  {result['mode']}  {result['method']}  {named}{show(result[metric.name])}  "
        f"95% {metric.unit.span(*result['ci95'])}  n = {result['n']}",
        "sources  " + ", ".join(map("{}{}".format, result["sources"], weights)),
    ]
    if found := result.get("tuned"):
        before, after = (show(found[f"dev_{metric.name}_{when}"], 1) for when in ("before", "after"))
        lines.append(
            f"tuned    {found['tuned']}: {before} → {after} on {found['items']} sentences ({found['tuned_on']}); "
            f"{found['evaluations']} merges, {result['dropped']} dropped; {result['recipe']}"
        )
    rows = [["against", "", metric.name, "difference", "95%", "p"]]
    for kind, baseline in result["baselines"].items():
        compared = baseline["comparison"]
        cells = ["", "", ""]
        if compared:
            p = compared["p"] if compared["p_groups"] is None else compared["p_groups"]
            cells = [
                f"{signed(compared['difference'])} {points}",
                interval(compared["interval"]["low"], compared["interval"]["high"]),
                p_value(p).removeprefix("p "),
            ]
        rows.append([kind.replace("_", " "), baseline["model"] or "", show(baseline["value"]), *cells])
    for name, value in sorted(result.get("ensembles", {}).items(), key=lambda pair: -metric.sign * pair[1]):
        rows.append(["ensemble", name.replace("_", " "), show(value), "", "", ""])
    if result["kind"] == "pilot":
        return [*pilot_lines(result), "", *lines[1:], columns(rows)]
    goal = result.get("goal")
    if goal:
        lines.insert(2, f"goal {goal['number']} {goal['state']}: against {goal['against'].replace('_', ' ')}")
    return [*lines, columns(rows)]


def embedder_lines(result: Mapping[str, Any]) -> list[str]:
    """Format the trained embedders: parameters by part, folder, loss, time, and the load of experts."""
    lines = []
    for model in result["models"]:
        rows = [[part, *(f"{count:,}" for count in counts)] for part, counts in model["parameters"].items()]
        lines += [
            columns([["part", "trainable", "parameters"], *rows]),
            f"{model['folder']}  loss {model['loss']:.4f}  {duration(model['seconds'])}",
        ]
        if model["usage"]:
            lines.append("load of the experts: " + ", ".join(f"{share:.2f}" for share in model["usage"]))
    return lines


def pilot_lines(result: Mapping[str, Any]) -> list[str]:
    """Format what a pilot tried, the winner first, and its outcome."""
    arms = sorted(result["arms"], key=lambda arm: (not arm["won"], -arm["rounds"], -arm["expected_pp"]))
    table = [["arm", "prior", "items", "measured", "bounds", "now", ""]]
    for arm in arms:
        name = ", ".join(part for part in (arm["method"], arm["similarity"] or "") if part)
        table.append(
            [
                name + (" (winner)" if arm["won"] else ""),
                f"{signed(arm['prior_pp'])} ± {arm['prior_sd_pp']:.1f}",
                str(arm["items"]),
                f"{signed(arm['dev_pp'])} pp",
                interval(*arm["bounds_pp"]),
                f"{signed(arm['expected_pp'])} ± {arm['sd_pp']:.1f}",
                arm["outcome"],
            ]
        )
    against = result["baselines"][result["against"]]
    found = against["comparison"]
    head = [
        f"{result['run']}  {result['context']}",
        f"{result['target']}  on {result['dev_items']} development items, against {against['model']}:",
        columns(table),
        "",
    ]
    if result.get("labels") is False:
        return [*head, unlabelled_outcome(result, against)]
    return [
        *head,
        f"{result['outcome'].upper()} on {result['n']} test items that chose nothing: {signed(found['difference'])} pp, "
        f"95% {interval(found['interval']['low'], found['interval']['high'])}, against {against['model']}",
    ]


def unlabelled_outcome(result: Mapping[str, Any], against: Mapping[str, Any]) -> str:
    """Return the outcome of a pilot without labels in a sentence."""
    found = against["comparison"]
    return (
        f"WEAK EVIDENCE {result['outcome'].upper()}: no labels; agreement with the vote of the single models "
        f"{signed(found['difference'])} pp, 95% {interval(found['interval']['low'], found['interval']['high'])}, against "
        f"{against['model']}; entropy {result['entropy']:.3f} against {against['entropy']:.3f} (1: a uniform guess)"
    )

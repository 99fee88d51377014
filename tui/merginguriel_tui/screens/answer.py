"""Answer of a finished run: whether the merge paid, against which baseline, with its interval drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from merginguriel.text import compositions
from merginguriel.text.differences import kind_words
from merginguriel.text.numbers import interval, signed
from merginguriel.text.runs import metric_of, result_lines
from merginguriel.text.tables import columns
from merginguriel_tui.widgets.plots import span

USUAL = ("best_zero_shot", "best_single_source", "target_alone")  # baselines, the one that decides first


def decisive(result: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Return the kind of baseline that decides whether a merge paid, and the baseline; None without one."""
    if result.get("labels") is False:
        return None  # agreement without labels proves no gain
    compared = {kind: one for kind, one in result.get("baselines", {}).items() if one["comparison"]}
    usual = USUAL[::-1] if result.get("mode") == "IncTar" else USUAL
    wanted = [result.get("against"), (result.get("goal") or {}).get("against"), *usual, *compared]
    kind = next((kind for kind in wanted if kind in compared), None)
    return None if kind is None else (kind, compared[kind])


def mark(result: Mapping[str, Any], compared: Mapping[str, Any]) -> str:
    """Return the sign of a difference: above, below or within noise."""
    if not compared["significant"]:
        return "≈"
    return "▲" if compared["difference"] * metric_of(result).sign > 0 else "▼"


def sentence(result: Mapping[str, Any]) -> str:
    """Return on one line whether the merge paid; empty for a run that has no merge to compare."""
    if result.get("kind") == "compose":
        return compositions.outcome(result)
    found = decisive(result)
    if found is None:
        return ""
    kind, baseline = found
    one = baseline["comparison"]
    sign = mark(result, one)
    word = {"▲": "it paid", "▼": "it cost", "≈": "not shown to pay"}[sign]
    over = f"{baseline['model']} ({kind_words(kind)})" if baseline["model"] else f"the {kind_words(kind)}"
    low_high = interval(one["interval"]["low"], one["interval"]["high"])
    points = metric_of(result).unit.points
    gain = f"{signed(one['difference'])} {points}"
    return f"{sign} {word}: {gain}, 95% {low_high}, over {over}, n = {result['n']}"


def brief(result: Mapping[str, Any]) -> list[str]:
    """Return the gain over each baseline, without intervals, and the sources of a merge; else the result of the run."""
    if decisive(result) is None:
        return result_lines(result)
    compared = [(kind, one, one["comparison"]) for kind, one in result["baselines"].items()]
    table = [
        [kind.replace("_", " "), one["model"] or "", f"{signed(c['difference'])} {mark(result, c)}"]
        for kind, one, c in compared
        if c
    ]
    weights = zip(result["sources"], result["weights"], strict=True)
    sources = ", ".join(f"{source} {weight:.2f}" for source, weight in weights)
    return [*columns([["gain over", "", ""], *table]).splitlines(), "", f"sources  {sources}"]


def lines(result: Mapping[str, Any], width: int) -> list[str]:
    """Return the result of a run; for a merge that can be compared, each interval drawn on one scale first."""
    if decisive(result) is None:
        return result_lines(result)
    compared = [
        (kind, one, one["comparison"]) for kind, one in result["baselines"].items() if one["comparison"]
    ]
    ends = [end for *_, c in compared for end in (c["interval"]["low"], c["interval"]["high"])]
    least, most = min(0.0, *ends), max(0.0, *ends)
    cells = max(min(width - 46, 40), 12)
    table = [
        [
            kind_words(kind),
            one["model"] or "",
            f"{signed(c['difference'])} {mark(result, c)}",
            span(c["interval"]["low"], c["difference"], c["interval"]["high"], least, most, cells),
        ]
        for kind, one, c in compared
    ]
    scale = f"{signed(least)} … {signed(most)} {metric_of(result).unit.points}, ┊ zero"
    drawn = columns([["against", "", "gain", scale], *table]).splitlines()
    return [*drawn, "", *result_lines(result)]

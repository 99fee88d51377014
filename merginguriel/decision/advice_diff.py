"""Difference between two pieces of advice, in sentences."""

from __future__ import annotations

from merginguriel.metrics.registry import find
from merginguriel.text.numbers import interval, pp

from .advice_types import Advice


def changes(before: Advice | None, after: Advice) -> list[str]:
    """Return what changed, most important first: verdict, recipe, expected gain, added and removed evidence.

    Args:
        before: None where the context was unknown.
    """
    if before is None:
        return [
            f"verdict: {after.verdict}, the first advice in this context",
            f"recipe: {after.recipe.short}",
            f"expected gain: {_gain(after)}",
        ]
    if before.knowledge_hash == after.knowledge_hash:
        return ["nothing: both rest on the same knowledge"]
    same = before.verdict == after.verdict
    texts = [
        f"verdict: {after.verdict}, as before" if same else f"verdict: {before.verdict} → {after.verdict}"
    ]
    if before.recipe.short != after.recipe.short:
        texts.append(f"recipe: {before.recipe.short} → {after.recipe.short}")
    moved = _gain(before) != _gain(after)
    texts.append(
        f"expected gain: {_gain(before)} → {_gain(after)}"
        if moved
        else f"expected gain: {_gain(after)}, as before"
    )
    if before.baseline.value != after.baseline.value:
        texts.append(f"to beat: {_baseline(before)} → {_baseline(after)}")
    unit = find(after.metric).unit.points
    old, new = {row.ref for row in before.rows}, {row.ref for row in after.rows}
    added = [row for row in after.rows if row.ref not in old]
    why = "because" if moved or not same else "new:"
    for row in sorted(added, key=lambda r: -abs(r.contribution_pp or 0))[:5]:
        noise = "within noise" if row.within_noise else "outside noise"
        over = "" if row.baseline is None else f" over {find(after.metric).unit.show(row.baseline, 1)}"
        texts.append(
            f"{why} {row.arm.label} measured {pp(row.gain_pp, unit=unit)}{over} on n = {row.n} ({noise}): {row.ref}"
        )
    removed = [row.ref for row in before.rows if row.ref not in new]
    return [*texts, *(f"no longer counted: {ref}" for ref in removed[:5])]


def _gain(advice: Advice) -> str:
    unit = find(advice.metric).unit.points
    return f"{pp(advice.gain.mean_pp, unit=unit)} (90% {interval(*advice.gain.ci90_pp)})"


def _baseline(advice: Advice) -> str:
    value = advice.baseline.value
    return "not measured" if value is None else find(advice.metric).unit.show(value, 1)

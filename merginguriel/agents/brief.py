"""Short forms of answers: what an agent needs to decide its next call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from merginguriel.decision.advice_types import Advice, Gain, MeasuredArm, PredictedArm

ROWS = 3  # rows of evidence, and alternatives


def advice(found: Advice) -> dict[str, Any]:
    """Return the decision, the figures and rows that it rests on, and the pilot as expectations to fill in."""
    recipe = found.recipe
    result = {
        **head(found),
        "why": found.why,
        "sources": [source.locale for source in recipe.sources],
        "mde_pp": found.mde_pp,
        "baseline": {
            "kind": found.baseline.kind, "model": found.baseline.model, "value": found.baseline.value,
            "n": found.baseline.n,
        },
        "evidence": [evidence(row) for row in found.rows[:ROWS]],
        "against": [evidence(row) for row in found.dissent[:ROWS]],
        "alternatives": [
            {"arm": arm.arm.label, "mode": arm.mode, "mean_pp": arm.gain_pp if isinstance(arm, MeasuredArm) else arm.mean_pp}
            for arm in found.alternatives[:ROWS]
        ],
        "would_change": list(found.would_change[:ROWS]),
    }  # fmt: skip
    if found.verdict == "pilot":
        result["pilot"] = {
            "arms": [arm.label for arm in found.pilot.arms],
            "value_pp": found.pilot.value_pp,
            "n": found.pilot.n,
            "detects_pp": found.pilot.sees_pp,
        }
        result["next"] = {"tool": "plan_check", "expected": expectations(found)}  # fmt: skip
    return result


def head(found: Advice) -> dict[str, Any]:
    """Return the decision and the expected gain."""
    return {
        "target": found.target,
        "mode": found.mode,
        "context": found.context,
        "verdict": found.verdict,
        "summary": found.summary,
        "arm": found.recipe.label,
        "gain": {
            "mean_pp": found.gain.mean_pp,
            "ci90_pp": list(found.gain.ci90_pp),
            "p_positive": found.gain.p_positive,
        },
    }


def expectations(found: Advice) -> list[dict[str, Any]]:
    """Return the arms of the advised pilot as `expected` of a plan, each with the 80% interval that the advice gives."""
    gains: dict[str, Gain] = {
        one.arm.label: one for one in found.alternatives if isinstance(one, PredictedArm)
    }
    gains[found.recipe.label] = found.gain
    return [
        full({
            "target": found.target, "mode": found.mode, "method": arm.method, "similarity": arm.similarity, "k": arm.k,
            "params": " ".join(f"{name}={value}" for name, value in arm.params.items()),
            "low_pp": gains[arm.label].ci80_pp[0], "high_pp": gains[arm.label].ci80_pp[1],
            "p_positive": gains[arm.label].p_positive, "over": found.baseline.kind, "context": found.context,
        })
        for arm in found.pilot.arms
        if arm.label in gains
    ]  # fmt: skip


def evidence(row: Any) -> dict[str, Any]:
    """Return a row of evidence or dissent."""
    return {"ref": row.ref, "arm": row.arm.label, "gain_pp": row.gain_pp}


def match(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an earlier attempt: its row, what differs, and the kind and size of its gain."""
    row = found["row"]
    names = ("ref", "target", "mode", "method", "similarity", "k", "context", "value", "baseline_kind", "baseline", "status")  # fmt: skip
    return {
        "degree": found["degree"],
        "why": found["why"],
        "difference_pp": found["difference_pp"],
        **full({name: row[name] for name in names}),
    }


def full(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are given."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {}, ())}

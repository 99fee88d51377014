"""What changed between two pieces of advice, and why?"""

from __future__ import annotations

from typing import Any

from .advice import Advice


def changes(before: Advice, after: Advice) -> list[str]:
    """Sentences, most important first: verdict, recipe, expected gain, evidence that came or went."""
    a: dict[str, Any] = dict(before)
    b: dict[str, Any] = dict(after)
    if a["knowledge_hash"] == b["knowledge_hash"]:
        return ["nothing: both rest on the same knowledge"]
    said = []
    if a["verdict"] != b["verdict"]:
        said.append(f"verdict: {a['verdict']} → {b['verdict']}")
    else:
        said.append(f"verdict: {b['verdict']}, as before")
    if _recipe(a) != _recipe(b):
        said.append(f"recipe: {_recipe(a)} → {_recipe(b)}")
    said.append(f"expected gain: {_gain(a)} → {_gain(b)}")
    if a["baseline"]["value"] != b["baseline"]["value"]:
        said.append(f"to beat: {_baseline(a)} → {_baseline(b)}")
    old, new = _rows(a), _rows(b)
    came = [item for ref, item in new.items() if ref not in old]
    for item in sorted(came, key=lambda i: -abs(i["contribution_pp"] or 0))[:5]:
        noise = "within noise" if item["within_noise"] else "outside noise"
        said.append(
            f"because {item['recipe']} measured {_pp(item['gain_pp'])} on n = {item['n']} ({noise}): {item['ref']}"
        )
    gone = [ref for ref in old if ref not in new]
    said += [f"no longer counted: {ref}" for ref in gone[:5]]
    return said


def _recipe(advice: dict[str, Any]) -> str:
    recipe = advice["recipe"]
    parts = [recipe["method"], recipe["similarity"], f"{recipe['k']} sources" if recipe["k"] else None]
    return ", ".join(part for part in parts if part)


def _pp(value: float) -> str:
    return f"{value:+.1f} pp".replace("-", "−")


def _gain(advice: dict[str, Any]) -> str:
    low, high = advice["gain"]["ci90_pp"]
    return f"{_pp(advice['gain']['mean_pp'])} (90% {low:+.1f} … {high:+.1f})".replace("-", "−")


def _baseline(advice: dict[str, Any]) -> str:
    value = advice["baseline"]["value"]
    return "not measured" if value is None else f"{100 * value:.1f}%"


def _rows(advice: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["ref"]: item for item in advice["evidence"] if item["kind"] != "prior"}

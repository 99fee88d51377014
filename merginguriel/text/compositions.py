"""Format the result of a composition study: its models, its effects, and whether its merge paid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .numbers import interval, signed
from .tables import columns


def lines(result: Mapping[str, Any]) -> list[str]:
    """Format the mean NDCG@10 of each model of a composition study, and its effects."""
    rows = [["NDCG@10", "mono-lingual", "cross-lingual"]]
    for name, values in result["ndcg_at_10"].items():
        means = (sum(values[one] for one in result[kind]) / 2 for kind in ("within", "cross"))
        rows.append([name, *(f"{mean:.4f}" for mean in means)])
    effects = [["effect", "difference", "95%", "paper"]]
    for one in result["effects"]:
        found = one["found"]
        span = interval(found["interval"]["low"], found["interval"]["high"])
        effects.append([one["name"], f"{signed(found['difference'])} pt", span, one["agreement"]])
    return [columns(rows), "", columns(effects)]


def outcome(result: Mapping[str, Any]) -> str:
    """Return on one line what the merge of a study of compositions gains in each kind of search over the specialist."""
    against = [one for one in result["effects"] if " against the specialist, " in one["name"]]
    signs, parts = [], []
    for one in sorted(against, key=lambda one: one["name"], reverse=True):  # mono-lingual first
        low, high = one["found"]["interval"]["low"], one["found"]["interval"]["high"]
        signs.append("▲" if low > 0 else "▼" if high < 0 else "≈")
        kind, gain = one["name"].rpartition(", ")[2], signed(one["found"]["difference"])
        parts.append(f"{kind} {signs[-1]} {gain} pt, 95% {interval(low, high)}")
    if not against:
        return ""
    words = {
        ("▲", "▲"): "it paid",
        ("▲", "≈"): "it paid",
        ("▲", "▼"): "a trade",
        ("≈", "≈"): "not shown to pay",
    }
    verdict = words.get((signs[0], signs[-1]), "it paid" if "▼" not in signs else "it cost")
    return f"{verdict}: {against[0]['a']} over {against[0]['b']}: {'; '.join(parts)}"
